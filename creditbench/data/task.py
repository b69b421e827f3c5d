"""The functions of a math benchmark's `task.py`, all from its card: one loader, one renderer, one way to grade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from creditbench.benchmark import EvalProtocol
from creditbench.data.functions import Grade, Load, Render, Span
from creditbench.data.load import gold_of, load_items, read_card
from creditbench.data.prompts import render
from creditbench.grading import get_grader
from creditbench.grading.extract import answer_span
from creditbench.items import Completion, Graded, Item


class MathTask(NamedTuple):
    """`load, render, grade, answer_span = math_task(__file__)` is a whole task file."""

    load: Load
    render: Render
    grade: Grade
    answer_span: Span


def math_task(file: str) -> MathTask:
    """Functions of the benchmark whose `task.py` is `file`; `card.yaml` beside it says everything else."""
    folder = Path(file).resolve().parent

    def load(split: str, options: Mapping[str, Any]) -> list[Item]:
        return load_items(folder, split, options)

    def grade(items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol) -> list[Graded]:
        id = read_card(folder).grader.id if protocol.grader == "default" else protocol.grader
        return get_grader(id).grade_many([gold_of(item) for item in items], completions, protocol)

    return MathTask(load, render, grade, answer_span)
