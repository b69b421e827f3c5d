"""A small project folder for tests: two methods, one benchmark, one suite; every part is an independent stand-in."""

from __future__ import annotations

from pathlib import Path

METHOD = '''
"""A method for tests."""
from creditbench.method import Method


def build(settings):
    """GRPO."""
    return Method()
'''

CARD = """
id: {name}-0000.00000
title: {name}
paper: {{id: "0000.00000", title: A paper}}
summary: a method for tests
implemented: [all]
own_settings:
  strength: {{paper: 0.5, where: "Table 1"}}
  shape: {{paper: round, where: "Table 1", choices: [round, square]}}
defaults:
  tiny: {{lr: 0.004, strength: 0.6}}
variants:
  wide: {{strength: 0.7, lr: 0.005}}
placebos: [permuted]
privileged: {privileged}
cost: {cost}
"""

TASK = '''
"""Add one."""
from creditbench.items import Graded, Item


def load(split, options):
    n, first = options.get("n", 4), {"train": 0, "dev": 100, "test": 200}[split]
    return [Item(id=f"{split}-{i}", problem=f"{first + i}+1", answer=str(first + i + 1)) for i in range(n)]


def render(item, protocol, hint=None):
    return f"{item.problem}="


def grade(items, completions, protocol):
    pairs = zip(items, completions, strict=True)
    return [Graded("correct" if c.text == i.answer else "wrong", float(c.text == i.answer)) for i, c in pairs]
'''

BENCHMARK = """
id: addone
title: Add one
version: "1"
role: both
grader: {id: integer, version: "1"}
protocol: {k: 2, max_new_tokens: 4}
splits: {train: {n: 4}, dev: {n: 4}, test: {n: 4}}
"""

SUITE = """
name: toy
class: tiny
description: for tests
seeds: [0, 1]
arms: [base, alpha, beta@wide, alpha+permuted]
settings: {steps: 3, lr: 0.001, group_size: 2, prompts_per_step: 2}
overrides:
  alpha: {strength: 0.9}
  beta@wide: {lr: 0.006}
tracks:
  math:
    base: {random: {hidden: 16}}
    train: {benchmark: addone, split: train}
    dev: {benchmark: addone, split: dev}
    eval: [{benchmark: addone, split: test, protocol: {k: 4}}]
    settings: {steps: 5, temperature: 0.9}
    skip_arms: {beta@wide: too dear for a test}
  more:
    base: {random: {hidden: 16}}
    train: {benchmark: addone, split: train}
    eval: [{benchmark: addone, split: test}, {benchmark: addone, split: dev, name: held-back}]
    skip_arms: {beta@wide: no teacher here}
"""


MINI = """
name: mini
class: tiny
description: for tests
seeds: SEEDS
arms: [base, alpha]
settings: {group_size: 2, prompts_per_step: 2, max_new_tokens: 4, MORE}
tracks:
  math:
    base: {random: {hidden: 16, layers: 1, heads: 2, kv_heads: 1, head_dim: 8, ffn: 16, positions: 64}}
    train: {benchmark: addone, split: train}
    dev: {benchmark: addone, split: dev}
    eval: [{benchmark: addone, split: test}]
"""


def make_mini(folder: Path, settings: str, seeds: str = "[0]", tables: str = "") -> Path:
    """`make_root` with suite `mini`: one random base, one method; settings and seeds as YAML."""
    make_root(folder)
    text = MINI.replace("SEEDS", seeds).replace("MORE", settings) + tables
    (folder / "workflows/suites/mini.yaml").write_text(text)
    return folder


def make_root(folder: Path) -> Path:
    """Write the project folder and return it."""
    files = {
        "benchmarks/addone/card.yaml": BENCHMARK,
        "benchmarks/addone/task.py": TASK,
        "workflows/suites/toy.yaml": SUITE,
    }
    for name, privileged, cost in (("alpha", "outcome", "S0"), ("beta", "external model", "S5")):
        files[f"methods/{name}/method.py"] = METHOD
        files[f"methods/{name}/card.yaml"] = CARD.format(name=name, privileged=privileged, cost=cost)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
