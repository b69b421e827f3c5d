"""The judge: submissions in, verdicts out, in order; warm boxes, retries for our own failures, one run per program."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import platform
import threading
from collections import Counter, OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from creditbench.errors import BadInput
from creditbench.judge.checker import run_checker
from creditbench.judge.runs import DEFAULT_MEMORY_MB, DEFAULT_TIME_S, Infra, Runner
from creditbench.judge.types import GRADERS, INFRA, Judged, Submission, Test
from creditbench.sandbox.box import Box
from creditbench.sandbox.job import BoxLost
from creditbench.sandbox.status import SandboxStatus, open_box

GRADER_VERSION = "1"
RETRIES = 2
_CACHE = 1 << 16


def _driver() -> str:
    return "\n".join((Path(__file__).parent / name).read_text() for name in ("inbox.py", "inbox_lcb.py"))


class _Worker:
    """One box for programs and, when asked for, one for checkers; replaced whenever it is lost."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.box: Box | None = None
        self.checker_box: Box | None = None

    def boxes(self, with_checker: bool) -> tuple[Box, Box | None]:
        if self.box is None or not self.box.alive:
            self._drop("box")
            self.box = self.judge._open()
        if with_checker and (self.checker_box is None or not self.checker_box.alive):
            self._drop("checker_box")
            self.checker_box = self.judge._open()
        return self.box, self.checker_box

    def _drop(self, name: str) -> None:
        box = getattr(self, name)
        setattr(self, name, None)
        if box is not None:
            box.close()

    def close(self) -> None:
        self._drop("box")
        self._drop("checker_box")

    def judge_one(self, sub: Submission, training: bool) -> Judged:
        reason = ""
        for attempt in range(RETRIES + 1):
            try:
                box, side = self.boxes(sub.checker is not None)
                checker = None
                if sub.checker is not None and side is not None:
                    checker = functools.partial(run_checker, side, sub.checker)
                result = Runner(box, self.judge.grader, checker).judge(sub, training)
                return replace(result, retries=attempt)
            except Infra as error:
                reason = str(error)
                if box_free(reason):
                    break
            except (BoxLost, OSError) as error:
                reason = f"box lost: {error}"
            self.close()
            self.judge.counts["infra_retries"] += 1
        return Judged(INFRA, detail=reason[:300], retries=RETRIES)


def box_free(reason: str) -> bool:
    """True for failures that no other box can mend: the tests themselves are unusable."""
    return reason.startswith(("no tests", "tests of kind", "functional tests", "test "))


class Judge:
    """`with Judge() as j: j.judge([Submission(code, tests)])`. See creditbench.judge for the rules.

    mode: "auto" (bubblewrap, else Landlock, else Refused), "bwrap", "landlock", or "none" (which also needs
    allow_unsandboxed=True); workers: boxes used side by side; grader: "strict" or "lcb_compat".
    Raises BadInput on unknown names, Refused when untrusted code cannot be run safely here.
    """

    def __init__(self, mode: str = "auto", workers: int = 1, grader: str = "strict", *,
                 allow_unsandboxed: bool = False) -> None:
        if grader not in GRADERS:
            raise BadInput(f"judge: unknown grader {grader!r} (known: {', '.join(GRADERS)})")
        if workers < 1:
            raise BadInput(f"judge: workers must be at least 1, got {workers}")
        self.mode, self.grader, self.allow_unsandboxed = mode, grader, allow_unsandboxed
        self.counts: Counter[str] = Counter()
        self.status: SandboxStatus | None = None
        self._box_facts: dict[str, Any] = {}
        self._seen: OrderedDict[bytes, Judged] = OrderedDict()
        self._test_digests: OrderedDict[int, tuple[tuple[Test, ...], bytes]] = OrderedDict()
        self._lock = threading.Lock()
        self._workers = [_Worker(self) for _ in range(workers)]
        try:
            self._workers[0].boxes(False)  # find out now, not in the middle of a run, whether there is a box
        except BoxLost as error:
            raise OSError(f"sandbox: {error}") from error
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="judge") if workers > 1 else None

    def _open(self) -> Box:
        driver = _driver()
        if self.status is not None:  # checked once; a replacement box is the same box
            return Box(self.status.mode, driver)
        box, status = open_box(self.mode, lambda mode: Box(mode, driver), allow_unsandboxed=self.allow_unsandboxed)
        self.status, self._box_facts = status, box.describe()
        return box

    def judge(self, submissions: Sequence[Submission], training: bool = False) -> list[Judged]:
        """Judge all; the answers are in the order of `submissions`.

        training=True: one fork per program, its tests in sequence, until the first failure (same verdicts as
        one fork per test, which is what False does). Equal programs on equal tests are judged once.
        """
        keys = [self._key(sub) for sub in submissions]
        todo: OrderedDict[bytes, Submission] = OrderedDict()
        known: dict[bytes, Judged] = {}
        for key, sub in zip(keys, submissions, strict=True):
            hit = self._seen.get(key)
            if hit is not None:
                self._seen.move_to_end(key)
                known[key] = hit
            elif key not in todo:
                todo[key] = sub
        self.counts["submissions"] += len(keys)
        self.counts["judged"] += len(todo)
        if self._pool is None or len(todo) < 2:
            found = [self._workers[0].judge_one(sub, training) for sub in todo.values()]
        else:
            found = self._spread(list(todo.values()), training)
        for key, result in zip(todo, found, strict=True):
            known[key] = result
            if result.verdict == INFRA:
                self.counts["infra"] += 1
            else:
                self._seen[key] = result
        while len(self._seen) > _CACHE:
            self._seen.popitem(last=False)
        return [known[key] for key in keys]

    def _spread(self, subs: list[Submission], training: bool) -> list[Judged]:
        results: list[Judged | None] = [None] * len(subs)
        order = iter(range(len(subs)))

        def work(worker: _Worker) -> None:
            while True:
                with self._lock:
                    at = next(order, None)
                if at is None:
                    return
                results[at] = worker.judge_one(subs[at], training)

        assert self._pool is not None
        for job in [self._pool.submit(work, w) for w in self._workers]:
            job.result()
        return [r if r is not None else Judged(INFRA, detail="not judged") for r in results]

    def _key(self, sub: Submission) -> bytes:
        code = (sub.code or "").encode("utf-8", "surrogatepass")
        rest = repr((sub.func_name, sub.time_limit_s, sub.memory_mb, sub.checker, sub.compare)).encode()
        named = sub.tests_sha.encode() if sub.tests_sha else self._tests_digest(sub.tests)
        digest = hashlib.sha256(named)
        for part in (code, rest):
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()

    def _tests_digest(self, tests: tuple[Test, ...]) -> bytes:
        held = self._test_digests.get(id(tests))
        if held is not None and held[0] is tests and isinstance(tests, tuple):
            return held[1]
        digest = hashlib.sha256(repr([(t.kind, t.input, t.output) for t in tests]).encode("utf-8", "surrogatepass"))
        if isinstance(tests, tuple):
            self._test_digests[id(tests)] = (tests, digest.digest())
            if len(self._test_digests) > 4096:
                self._test_digests.popitem(last=False)
        return digest.digest()

    def describe(self) -> dict[str, Any]:
        """Facts for a manifest: grader and its version, defaults, box, fall-back reason, counts."""
        return {
            "grader": self.grader, "grader_version": GRADER_VERSION, "default_time_s": DEFAULT_TIME_S,
            "default_memory_mb": DEFAULT_MEMORY_MB[self.grader], "workers": len(self._workers),
            "python": platform.python_version(),
            "package": _version(), "sandbox": self._box_facts,
            "fallback_reason": self.status.reason if self.status else "", "counts": dict(self.counts),
        }

    def close(self) -> None:
        """End all boxes."""
        if self._pool is not None:
            self._pool.shutdown()
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Judge:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


def _version() -> str:
    try:
        return importlib.metadata.version("creditbench")
    except importlib.metadata.PackageNotFoundError:
        return ""
