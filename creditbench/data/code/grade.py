"""Grading programs: extraction, the judge in its box, verdicts as outcomes. Both extraction rules are recorded.

The official rule (between the last two fence lines) decides. Where the lenient rule reads another program, that one is
judged too in an evaluation, and its verdict stands in `detail`; it never changes an outcome.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Mapping, Sequence
from typing import Any

from creditbench.benchmark import EvalProtocol
from creditbench.data.code.store import get_tests
from creditbench.errors import BadInput, unknown
from creditbench.items import Completion, Graded, Item
from creditbench.judge import GRADER_VERSION, Judge, Judged, Submission, Test, extract_lenient, extract_official
from creditbench.sandbox import available

GRADERS = {"judge-strict": "strict", "judge-lcb_compat": "lcb_compat"}
MAX_BOXES = 16
_OUTCOMES = {"AC": "correct", "INFRA": "error", "NO_CODE": "unparsed"}
_judges: dict[tuple[int, str], Judge] = {}


def versions() -> dict[str, str]:
    """Graders a code benchmark can be graded with, and their versions."""
    return dict.fromkeys(GRADERS, GRADER_VERSION)


def judge_for(rule: str) -> Judge:
    """This process's warm judge under a rule. Raises Refused when no box holds here."""
    key = (os.getpid(), rule)
    if key not in _judges:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        _judges[key] = judge = Judge(workers=min(cores, MAX_BOXES), grader=rule)
        atexit.register(judge.close)
    return _judges[key]


def sandbox_mode() -> str:
    """The box that programs run in on this machine: `bwrap`, `landlock` or `refused`."""
    for (pid, _), judge in _judges.items():
        if pid == os.getpid() and judge.status is not None:
            return judge.status.mode
    return available().mode


def tests_of(item: Item) -> tuple[tuple[Test, ...], str]:
    """An item's tests (its half of them, where it has one) and a name for them."""
    tests, chosen = get_tests(item.meta["tests"]), item.meta.get("test_ids")
    if chosen is None:
        return tests, item.meta["tests"]
    return tuple(tests[i] for i in chosen), f"{item.meta['tests']}:{','.join(map(str, chosen))}"


def submission(item: Item, code: str) -> Submission:
    """A program for an item, with the item's limits, checker and comparison."""
    meta: Mapping[str, Any] = item.meta
    tests, name = tests_of(item)
    return Submission(
        code, tests, meta.get("func_name") or None, meta.get("time_limit_s"), meta.get("memory_mb"),
        meta.get("checker") or None, meta.get("compare", "lines"), name,
    )  # fmt: skip


def grade(
    items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol, default: str = "judge-strict"
) -> list[Graded]:
    """Judge each completion's program on its item's tests: correct is every test passed.

    Items with `meta["role"] == "train"` are judged in one fork until the first failing test. Raises BadInput (unknown
    grader, tests that are not here), Refused (no box).
    """
    id = default if protocol.grader == "default" else protocol.grader
    if id not in GRADERS:
        raise unknown("grader", id, GRADERS, "code benchmarks")
    if GRADERS[id] == "lcb_compat" and any(item.meta.get("checker") for item in items):
        raise BadInput("grader 'judge-lcb_compat' knows no checkers; these problems accept several answers")
    judge, training = judge_for(GRADERS[id]), bool(items) and all(i.meta.get("role") == "train" for i in items)
    official = [extract_official(done.text) for done in completions]
    lenient = official if training else [extract_lenient(done.text) for done in completions]
    pairs = list(zip(items, official, strict=True))
    seconds = [n for n, code in enumerate(lenient) if code.strip() and code != official[n]]
    work = [submission(item, code) for item, code in pairs] + [submission(items[n], lenient[n]) for n in seconds]
    judged = judge.judge(work, training=training)
    second = dict(zip(seconds, judged[len(pairs) :], strict=True))
    return [
        _graded(verdict, done, code, None if training else second.get(n, verdict))
        for n, (verdict, done, code) in enumerate(zip(judged, completions, official))  # noqa: B905  (judged is longer)
    ]


def _graded(judged: Judged, done: Completion, code: str, lenient: Judged | None) -> Graded:
    """The outcome of one verdict; a response cut at the cap is `truncated` unless its program is right."""
    outcome = _OUTCOMES.get(judged.verdict, "wrong")
    if outcome in ("wrong", "unparsed") and done.finish_reason == "length":
        outcome = "truncated"
    detail: dict[str, Any] = {"tests_passed": judged.tests_passed, "tests_run": judged.tests_run}
    if judged.first_failure is not None:
        detail["first_failure"] = judged.first_failure
    if judged.verdict == "INFRA":
        detail["why"] = judged.detail
    if lenient is not None:
        detail["lenient"] = lenient.verdict
    return Graded(outcome, float(judged.correct), code or None, judged.verdict, detail)  # type: ignore[arg-type]


def answer_span(text: str) -> tuple[int, int, int] | None:
    """(conclude, start, end) for OAR and GRAIL: the last fence pair's opening line, and the program inside it.

    Our reading: a program is the answer, what stands before its block is the reasoning. None without a block.
    """
    fences, at = [], 0
    for line in text.split("\n"):
        if "```" in line:
            fences.append((at, at + len(line) + 1))
        at += len(line) + 1
    if len(fences) < 2 or fences[-2][1] >= fences[-1][0]:
        return None
    return fences[-2][0], fences[-2][1], fences[-1][0] - 1
