"""The functions of a code benchmark's `task.py`, all from its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from creditbench.benchmark import EvalProtocol
from creditbench.data.code import grade as grading
from creditbench.data.code.load import load_code
from creditbench.data.code.prompts import render
from creditbench.data.functions import Grade, Load, Render, Span
from creditbench.data.load import read_card
from creditbench.items import Completion, Graded, Item


class _Mode(Protocol):
    def __call__(self) -> str: ...


class CodeTask(NamedTuple):
    """`load, render, grade, answer_span, sandbox_mode, graders = code_task(__file__)` is a whole task file."""

    load: Load
    render: Render
    grade: Grade
    answer_span: Span
    sandbox_mode: _Mode
    graders: dict[str, str]


def code_task(file: str) -> CodeTask:
    """Functions of the benchmark whose `task.py` is `file`; `card.yaml` beside it says everything else.

    `graders` are the ids and versions a protocol or `creditbench grade` may ask for.
    """
    folder = Path(file).resolve().parent

    def load(split: str, options: Mapping[str, Any]) -> list[Item]:
        return load_code(folder, split, options)

    def grade(items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol) -> list[Graded]:
        return grading.grade(items, completions, protocol, read_card(folder).grader.id)

    return CodeTask(load, render, grade, grading.answer_span, grading.sandbox_mode, grading.versions())
