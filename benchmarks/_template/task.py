"""New benchmark: sums of two numbers. A working example to copy; `creditbench/benchmark.py` has the whole contract.

Rows that come from a file or the hub need no code of their own: a math set's task is
`load, render, grade, answer_span = math_task(__file__)`, a set of programs
`load, render, grade, answer_span, sandbox_mode, graders = code_task(__file__)`; their cards name the source.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from creditbench.benchmark import EvalProtocol
from creditbench.errors import BadInput, unknown
from creditbench.grading import get_grader
from creditbench.items import Completion, Graded, Hint, Item
from creditbench.seeds import derive

SIZES = {"train": 64, "test": 32}


def load(split: str, options: Mapping[str, Any]) -> list[Item]:
    """Frozen items: the same split and options give the same items everywhere. Raises BadInput for unknown ones."""
    if split not in SIZES:
        raise unknown("split", split, SIZES, "new_benchmark")
    for key in options:
        if key != "n":
            raise unknown("option", key, ("n",), "new_benchmark")
    n = int(options.get("n", SIZES[split]))
    if not 1 <= n <= SIZES[split]:
        raise BadInput(f"new_benchmark: option n: expected 1 to {SIZES[split]}, got {n}")
    rng = Random(derive("new_benchmark", split))
    odd = int(split == "test")  # the first number's parity keeps the splits apart
    pairs = rng.sample([(a, b) for a in range(odd, 100, 2) for b in range(100)], SIZES[split])
    return [
        Item(f"{split}-{i:03d}", f"What is {a} + {b}?", str(a + b), f"{a} + {b} = {a + b}", {"date": "2026-01-01"})
        for i, (a, b) in enumerate(pairs[:n])
    ]


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str:
    """The prompt; teachers see the same prompt with the hint between problem and instruction."""
    shown = ""
    if hint is not None:
        about = hint.item or item
        said = hint.completion.text if hint.completion is not None else ""
        shown = {"rollout": said, "solution": about.solution, "answer": about.answer}.get(hint.kind, "")
        if not shown:
            raise BadInput(f"item {about.id!r}: a hint of kind {hint.kind!r} has no content to show")
        shown = f"\n\nKnown: {shown}"
    return f"{item.problem}{shown}\n\nPut your final answer within \\boxed{{}}.\n\n"


def grade(items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol) -> list[Graded]:
    """One typed outcome per completion, in order; `error` is ours, never the model's."""
    id = "integer_any" if protocol.grader == "default" else protocol.grader
    return get_grader(id).grade_many([item.answer for item in items], completions, protocol)
