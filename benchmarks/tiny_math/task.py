"""Tiny math: three short chains of arithmetic read as one integer from 0 to 999 (see `corpus.py` for the format).

Hints stand before the question: `H<solution or verified rollout>Q...?` (kinds solution and rollout), `H#828Q...?`
(kind answer); a header hint puts the header symbol after the question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from creditbench.benchmark import EvalProtocol, Segment, load_module
from creditbench.errors import BadInput, unknown
from creditbench.grading import get_grader
from creditbench.items import Completion, Graded, Hint, Item
from creditbench.seeds import derive
from creditbench.tokenizer import HEADER

corpus_module = load_module(Path(__file__).with_name("corpus.py"), "creditbench_benchmarks_tiny_math_corpus")

SIZES = {"train": 1024, "dev": 256, "test": 256}
SHARES = {"solution": 0.30, "answer": 0.05, "header": 0.08}
NOISE = {"confused": 0.30, "believed": 0.50, "slip": 0.04}


def load(split: str, options: Mapping[str, Any]) -> list[Item]:
    """Items of a split. Options: `n` (how many; the first n stay the same) and `seed` (0 is the published one)."""
    if split not in SIZES:
        raise unknown("split", split, SIZES, "tiny_math")
    for key in options:
        if key not in ("n", "seed"):
            raise unknown("option", key, ("n", "seed"), "tiny_math")
    n, rng = int(options.get("n", SIZES[split])), Random(derive("tiny_math", split, int(options.get("seed", 0))))
    if n < 1:
        raise BadInput(f"tiny_math: option n: expected at least 1, got {n}")
    found: dict[str, None] = {}
    for question in corpus_module.questions(split, rng):
        found.setdefault(question)
        if len(found) == n:
            break
    solutions = {question: corpus_module.solve(question) for question in found}
    return [
        Item(f"{split}-{i:04d}", f"Q{question}?", str(int(solution[-3:])), solution)
        for i, (question, solution) in enumerate(solutions.items())
    ]


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str:
    """The question, with a hint when there is one. Raises BadInput for a hint without content."""
    if hint is None:
        return item.problem
    about = hint.item or item
    if hint.kind == "header":
        return item.problem + HEADER
    if hint.kind == "rollout" and hint.completion is not None:
        return f"H{hint.completion.text}{item.problem}"
    if hint.kind == "solution":
        return f"H{about.solution}{item.problem}"
    if hint.kind == "answer":
        return f"H#{int(about.answer):03d}{item.problem}"
    raise BadInput(f"tiny_math: hint of kind {hint.kind!r} has no content to show")


def grade(items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol) -> list[Graded]:
    """AIME's integer rule on what stands after the last `#`."""
    marked = [replace(c, text=_with_answer_line(c.text)) for c in completions]
    return get_grader("integer").grade_many([item.answer for item in items], marked, protocol)


def _with_answer_line(text: str) -> str:
    """The response with its answer as the last line, where the integer grader looks for it."""
    body, mark, answer = text.rpartition("#")
    return f"{body}\nAnswer: {answer}" if mark else text


def answer_span(text: str) -> tuple[int, int, int] | None:
    """(conclude, start, end): the last `#` concludes, the answer is what stands after it; None without an answer."""
    start = text.rfind("#") + 1
    return (start - 1, start, len(text)) if 0 < start < len(text) else None


def corpus(phase: str, n: int, rng: Random) -> list[list[Segment]]:
    """`n` pretraining examples. phase: `clean`, or `noisy` (steps go wrong as NOISE says)."""
    if phase not in ("easy", "clean", "noisy"):
        raise unknown("phase", phase, ("easy", "clean", "noisy"), "tiny_math")
    return [corpus_module.example(phase, NOISE, SHARES, rng) for _ in range(n)]


def wrong_tokens(item: Item, text: str) -> set[tuple[int, int]]:
    """Character spans of the locally wrong tokens of a response; an empty span at its end is the end token."""
    return corpus_module.wrong_spans(item.problem[1:-1], text)
