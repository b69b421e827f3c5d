"""The pages of docs/methods: one per registered method, the same sections, and no pointer to code that is not there."""

from __future__ import annotations

import ast
import importlib
import json
import re
from functools import lru_cache
from pathlib import Path

import pytest

from creditbench.method import method_names

ROOT = Path(__file__).parents[2]
PAGES = sorted(p for p in (ROOT / "docs" / "methods").glob("*.md") if p.name != "README.md")
SECTIONS = (
    "What it does", "Slots", "leaves? open, and what we chose", "Where each equation lives", "Warnings",
    "What our tiny runs show",
)  # fmt: skip
_POINTER = re.compile(r"`([\w/]+\.py)`: ((?:`[\w.]+`(?:, )?)+)")


@lru_cache
def names_in(path: Path) -> set[str]:
    """Functions, classes and their fields, and constants defined at the top of a module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = [n for n in node.body if isinstance(n, ast.FunctionDef)]
            fields = [n.target for n in node.body if isinstance(n, ast.AnnAssign)]
            found |= {f"{node.name}.{n.name}" for n in inner}
            found |= {f"{node.name}.{n.id}" for n in fields if isinstance(n, ast.Name)}
        if isinstance(node, ast.Assign):
            found |= {t.id for t in node.targets if isinstance(t, ast.Name)}
    return found


def test_every_method_has_a_page_and_a_line_in_the_index():
    index = (ROOT / "docs" / "methods" / "README.md").read_text(encoding="utf-8")
    assert {p.stem for p in PAGES} >= set(method_names(ROOT))
    assert [p.stem for p in PAGES if f"]({p.name})" not in index] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_page(page):
    text = page.read_text(encoding="utf-8")
    for section in SECTIONS:
        assert re.search(rf"^## .*{section}", text, re.M), section
    pointers = _POINTER.findall(text)
    assert pointers, "a page must say where its equations live"
    for file, names in pointers:
        for name in re.findall(r"`([\w.]+)`", names):
            assert name in names_in(ROOT / file), f"{file} has no {name}"
    for link in re.findall(r"\]\((\w+\.md)\)", text):
        assert (page.parent / link).is_file(), link


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_a_page_points_at_every_function_of_its_method(page):
    """No equation without its place: `build` and each public function of method.py stand in the table."""
    file = f"methods/{page.stem}/method.py"
    text = page.read_text(encoding="utf-8")
    named = {n for f, names in _POINTER.findall(text) if f == file for n in re.findall(r"`([\w.]+)`", names)}
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = {n.name for n in tree.body if isinstance(n, ast.FunctionDef) and not n.name.startswith("_")}
    assert sorted(functions - named) == []
    assert "see the card" not in text, "a page says what was chosen"


@pytest.fixture
def numbers(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    return importlib.import_module("method_numbers")


REFERENCE = {
    "command": "make it",
    "groups": [{"track": "math", "arms": {"cast": [{"commit": "0123456789abcdef"}]}}],
    "leaderboard": [
        {"track": "math", "method": m, "score": s, "ci_low": s - 0.02, "ci_high": s + 0.02,
         "rank_low": 1, "rank_high": r}
        for m, s, r in (("base", 0.30, 9), ("cast", 0.41, 1), ("cast@matched", 0.4, 2), ("grpo", 0.385, 2))
    ],
    "pairwise": [
        {"track": "math", "family": f, "method_a": a, "method_b": b, "difference": d, "ci_low": d - 0.01,
         "ci_high": d + 0.01, "p_holm": p}
        for f, a, b, d, p in (
            ("base", "cast", "base", 0.11, 0.0002), ("grpo", "cast", "grpo", 0.025, 0.04),
            ("placebo", "cast", "cast+permuted", -0.004, 0.5), ("placebo", "sc_grpo", "sc_grpo+permuted", 0.2, 0.5),
        )
    ],
}  # fmt: skip


def test_numbers_of_a_page_are_those_of_the_reference_run(numbers):
    block = numbers.numbers("cast", REFERENCE)
    assert "`make it` at `0123456789ab`" in block
    assert "| math | `cast` | 41.0 | 39.0 to 43.0 | 1 | +11.0 | +2.5 | 0.040 |" in block
    assert "| math | `cast@matched` | 40.0 | 38.0 to 42.0 | 1-2 |  |  |  |" in block
    assert "| math | `cast` | `cast+permuted` | -0.4 | -1.4 to +0.6 | 0.500 |" in block
    assert "sc_grpo" not in block and "grpo`" not in block
    assert numbers.numbers("opd", REFERENCE).startswith("No arm of this method is in the reference run")


def test_committed_blocks_are_the_commands_own(numbers):
    """No number in a page is typed: every block is what the command writes from the committed reference run."""
    path = ROOT / "results" / "reference" / "tiny.json"
    reference = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    for page in PAGES:
        found = numbers.BLOCK.search(page.read_text(encoding="utf-8"))
        assert found, f"{page.name}: markers"
        expected = f"{found[1]}\n{numbers.numbers(page.stem, reference)}\n\n{found[2]}"
        assert found[0] == expected, f"{page.name}: run python docs/method_numbers.py"


def test_readme_holds_the_summary_of_the_committed_reference_run():
    own = ROOT / "docs" / "reference_summary.py"
    spec = importlib.util.spec_from_file_location("reference_summary", own)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    told = module.summary(json.loads(module.REFERENCE.read_text(encoding="utf-8")))
    assert told in readme, "run python docs/reference_summary.py"
