"""What goes into the judge and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AC, WA, TLE, MLE, RE, CE, OLE, NO_CODE, INFRA = "AC", "WA", "TLE", "MLE", "RE", "CE", "OLE", "NO_CODE", "INFRA"
VERDICTS = (AC, WA, TLE, MLE, RE, CE, OLE, NO_CODE, INFRA)
GRADERS = ("strict", "lcb_compat")


@dataclass(frozen=True, slots=True)
class Test:
    """One test. kind "stdin": text in, text out; "functional": one JSON value per input line, one JSON output."""

    input: str
    output: str
    kind: str = "stdin"

    __test__ = False  # not a pytest class


@dataclass(frozen=True, slots=True)
class Submission:
    """A program and its problem. Limits default to the grader's; `checker`: Python source, see judge.checker.

    compare: how stdin outputs are compared without a checker, see judge.compare; lcb_compat knows "lines" only.
    tests_sha: a name for `tests`, where the caller has one: they are then not hashed again for the cache.
    """

    code: str | None
    tests: tuple[Test, ...]
    func_name: str | None = None
    time_limit_s: float | None = None
    memory_mb: int | None = None
    checker: str | None = None
    compare: Literal["lines", "tokens"] = "lines"
    tests_sha: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """The verdict. `first_failure`: index of the failing test; `cpu_s`: of all tests run; `retries`: INFRA ones."""

    verdict: str
    tests_passed: int = 0
    tests_run: int = 0
    first_failure: int | None = None
    cpu_s: float = 0.0
    detail: str = ""
    retries: int = 0

    @property
    def correct(self) -> bool:
        """True for AC only."""
        return self.verdict == AC
