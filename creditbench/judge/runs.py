"""From one submission and a box to a verdict: which driver runs, what each outcome means, when to stop."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from creditbench.judge import compare
from creditbench.judge.lcb_tests import normalise
from creditbench.judge.types import AC, CE, MLE, NO_CODE, OLE, RE, TLE, WA, Judged, Submission, Test
from creditbench.sandbox.box import Box
from creditbench.sandbox.job import Job, Limits, Run

DEFAULT_TIME_S = 6.0
DEFAULT_MEMORY_MB = {"strict": 1024, "lcb_compat": 4096}
_PIPE = 60_000  # a sequence feeds stdin through one pipe buffer; larger inputs get a fork of their own
_SEQUENCE_BYTES, _SEQUENCE_TESTS = 4 << 20, 1000
_EXIT_MEMORY = 98

# (input, expected, output) -> accepted; raises Infra when the checker itself is broken.
Checker = Callable[[str, str, str], bool]


class Infra(Exception):
    """Our failure, not the program's: bad tests, a lost box, a broken checker."""


@dataclass(frozen=True)
class Prepared:
    """A submission with its tests normalised and decoded; raised as Infra when that is impossible."""

    code: bytes
    tests: tuple[Test, ...]
    expected: tuple[Any, ...]
    limits: Limits
    functional: bool
    func_name: str | None
    tokens: bool = False


@dataclass
class Tally:
    """What has been seen so far of one submission."""

    passed: int = 0
    run: int = 0
    cpu_s: float = 0.0

    def verdict(self, verdict: str, detail: str = "") -> Judged:
        """Close the tally; a verdict other than AC points at the test that failed."""
        failed = None if verdict in (AC, CE) else self.passed
        return Judged(verdict, self.passed, self.run, failed, round(self.cpu_s, 6), _clean(detail))


def _clean(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)[:300].strip()


def prepare(sub: Submission, grader: str) -> Prepared:
    """Check and decode; raises Infra on zero tests, tests of two kinds, undecodable or unnamed functional tests."""
    if not sub.tests:
        raise Infra("no tests")
    kinds = {t.kind for t in sub.tests}
    if len(kinds) != 1 or kinds - {"stdin", "functional"}:
        raise Infra(f"tests of kind {sorted(map(str, kinds))}")
    functional = kinds == {"functional"}
    if functional and not sub.func_name:
        raise Infra("functional tests without func_name")
    tests, expected = [], []
    for k, test in enumerate(sub.tests):
        if not isinstance(test.input, str) or not isinstance(test.output, str):
            raise Infra(f"test {k} is not text")
        test = Test(normalise(test.input), normalise(test.output), test.kind)
        try:
            test.input.encode()
            if functional:
                for line in test.input.split("\n"):
                    if line.strip():
                        json.loads(line)
            expected.append(json.loads(test.output) if functional else test.output)
        except (ValueError, RecursionError) as error:
            raise Infra(f"test {k} cannot be decoded ({type(error).__name__})") from error
        tests.append(test)
    time_s = sub.time_limit_s or DEFAULT_TIME_S
    longest = max(len(t.output) for t in tests)
    limits = Limits(
        cpu_s=time_s, memory_mb=sub.memory_mb or DEFAULT_MEMORY_MB[grader],
        output_bytes=max(1 << 20, 4 * longest + (1 << 16)),
        idle_s=time_s if grader == "lcb_compat" else None)
    code = (sub.code or "").encode("utf-8", "surrogatepass")
    return Prepared(code, tuple(tests), tuple(expected), limits, functional, sub.func_name, sub.compare == "tokens")


def outcome(run: Run, limits: Limits, *, any_exit: bool = False) -> tuple[str, str]:
    """Verdict of a finished fork before its output is compared: AC = ended well. Raises Infra when it is ours."""
    if not run.ready or run.reason in ("lost", "starved"):
        raise Infra(run.detail or f"box: {run.reason or 'no set-up'}")
    if run.compile_error is not None:
        return CE, run.compile_error
    if run.reason == "cpu" or run.signal == signal.SIGXCPU or run.cpu_s > limits.cpu_s * 1.0001:
        return TLE, f"{run.cpu_s:.2f} s CPU, limit {limits.cpu_s:g}"
    if run.reason == "idle":
        return TLE, f"blocked for more than {limits.idle():g} s"
    if run.reason in ("output", "files"):
        return OLE, f"{run.reason} limit"
    words = run.stderr.decode("utf-8", "replace").strip()
    if run.exit_code == _EXIT_MEMORY or run.rss_mb > limits.memory_mb:
        return MLE, f"memory limit {limits.memory_mb} MB"
    if run.reason == "threads":
        return RE, "too many threads"
    if run.signal == signal.SIGKILL:
        if run.rss_mb > 0.8 * limits.memory_mb:
            return MLE, "killed near the memory limit"
        raise Infra("killed from outside the judge")
    if run.signal is not None:
        return RE, f"signal {run.signal} {words}"
    if run.exit_code != 0 and not any_exit:
        return RE, f"exit status {run.exit_code} {words}"
    return AC, ""


class Runner:
    """Judges one submission in one box under one grader. `checker`: decides stdin outputs instead of equality."""

    def __init__(self, box: Box, grader: str, checker: Checker | None) -> None:
        self.box, self.grader, self.checker = box, grader, checker

    def judge(self, sub: Submission, training: bool) -> Judged:
        """Return the verdict; raises Infra or BoxLost, which the caller retries in another box."""
        work = prepare(sub, self.grader)
        if not work.code.strip():
            return Judged(NO_CODE)
        if self.grader == "lcb_compat":
            return self._compat(work)
        tally = Tally()
        if not training:
            return self._each(work, tally, len(work.tests))
        while tally.passed < len(work.tests):
            begin = tally.passed
            if len(work.tests) - begin == 1 or not _fits(work, begin):
                return self._each(work, tally, len(work.tests))
            verdict = self._sequence(work, tally)
            if verdict is None:
                continue
            if tally.passed == begin or verdict.verdict not in (WA, RE):
                return verdict
            # An earlier test in the same process may have left something behind: ask a fresh process.
            again = self._each(work, tally, tally.passed + 1)
            if again.verdict != AC:
                return again
        return tally.verdict(AC)

    # -- one fork per test -----------------------------------------------------------------------------------

    def _each(self, work: Prepared, tally: Tally, end: int) -> Judged:
        while tally.passed < end:
            k = tally.passed
            tally.run = k + 1
            run = self.box.run(self._single(work, k))
            tally.cpu_s += run.cpu_s
            verdict, detail = outcome(run, work.limits)
            if verdict == AC:
                if work.functional:
                    frame = compare.parse_frame(run.frames[0]) if run.frames else {"err": "no result"}
                    verdict, detail = self._returned(frame, work.expected[k])
                else:
                    verdict, detail = self._printed(run.stdout, work, k)
            if verdict != AC:
                return tally.verdict(verdict, detail)
            tally.passed += 1
        return tally.verdict(AC)

    def _single(self, work: Prepared, k: int) -> Job:
        data = work.tests[k].input.encode()
        if work.functional:
            args = {"spans": [[0, len(data)]], "func_name": work.func_name}
            return Job("calls", work.code, work.limits, inputs=data, args=args)
        return Job("script", work.code, work.limits, stdin=data)

    def _printed(self, out: bytes, work: Prepared, k: int) -> tuple[str, str]:
        text = normalise(out.decode("utf-8", "replace"))
        test = work.tests[k]
        if self.checker is not None:
            good = self.checker(test.input, test.output, text)
        else:
            good = (compare.same_tokens if work.tokens else compare.same_text)(text, test.output)
        return (AC, "") if good else (WA, f"got {text.strip()[:80]!r}")

    def _returned(self, frame: dict[str, Any], expected: Any) -> tuple[str, str]:
        if "v" not in frame:
            return (MLE if frame.get("memory") else RE), str(frame.get("err", ""))[:200]
        good = compare.same_value(frame, expected, self.grader)
        return (AC, "") if good else (WA, f"got {json.dumps(frame['v'])[:80]}")

    # -- one fork, tests in sequence -------------------------------------------------------------------------

    def _sequence(self, work: Prepared, tally: Tally) -> Judged | None:
        """Run the next tests in one fork. None = all of them passed, or it ended early but well: go on in another."""
        begin = tally.passed
        driver = "calls" if work.functional else "scripts"
        found: list[tuple[str, str]] = []

        def on_frame(index: int, frame: bytes, out: bytes) -> bool:
            k = begin + index
            tally.run = k + 1
            parsed = compare.parse_frame(frame)
            if work.functional:
                verdict = self._returned(parsed, work.expected[k])
            elif parsed.get("rc") != 0:
                memory = parsed.get("rc") == _EXIT_MEMORY
                verdict = (MLE, "MemoryError") if memory else (RE, f"exit status {parsed.get('rc')}")
            else:
                verdict = self._printed(out, work, k)
            if verdict[0] != AC:
                found.append(verdict)
                return False
            tally.passed += 1
            return True

        end = min(len(work.tests), begin + _SEQUENCE_TESTS)
        run = self.box.run(self._several(work, driver, begin, end), on_frame)
        tally.cpu_s += run.cpu_s
        if found:
            return tally.verdict(*found[0])
        if tally.passed == end and run.reason == "exit":
            if run.rss_mb > work.limits.memory_mb:  # some test took too much: ask which, one by one
                tally.passed = begin
                return self._each(work, tally, len(work.tests))
            return None
        if tally.passed == end:  # answered everything, then would not end: that is the last test's time
            tally.passed -= 1
        k = tally.passed
        tally.run = k + 1
        verdict, detail = outcome(replace_cpu(run, work.limits), work.limits)
        if verdict == AC and not work.functional:  # os._exit(0) after printing: the rest needs a new process
            verdict, detail = self._printed(run.stdout, work, k)
        elif verdict == AC:
            verdict, detail = RE, "no result"
        if verdict != AC:
            return tally.verdict(verdict, detail)
        tally.passed += 1
        return None

    def _several(self, work: Prepared, driver: str, begin: int, end: int) -> Job:
        data = [t.input.encode() for t in work.tests[begin:end]]
        spans, at = [], 0
        for piece in data:
            spans.append([at, at + len(piece)])
            at += len(piece)
        args = {"spans": spans, "func_name": work.func_name}
        return Job(driver, work.code, work.limits, inputs=b"".join(data), args=args, n_tests=len(data))

    # -- LiveCodeBench's own rules ---------------------------------------------------------------------------

    def _compat(self, work: Prepared) -> Judged:
        """All tests in one process under the official rules; stop at the first failure; no second chance."""
        tally = Tally()
        found: list[tuple[str, str]] = []

        def on_frame(index: int, frame: bytes, out: bytes) -> bool:
            tally.run = index + 1
            parsed = compare.parse_frame(frame)
            if "out" in parsed:
                good = compare.same_text(str(parsed["out"]), work.tests[index].output)
                verdict = (AC, "") if good else (WA, f"got {str(parsed['out']).strip()[:80]!r}")
            else:
                verdict = self._returned(parsed, work.expected[index])
            if verdict[0] != AC:
                found.append(verdict)
                return False
            tally.passed += 1
            return True

        driver = "lcb_calls" if work.functional else "lcb_stdin"
        run = self.box.run(self._several(work, driver, 0, len(work.tests)), on_frame)
        tally.cpu_s += run.cpu_s
        if found:
            return tally.verdict(*found[0])
        if run.reason == "exit" and tally.passed == len(work.tests):
            return tally.verdict(AC)
        tally.passed = min(tally.passed, len(work.tests) - 1)
        tally.run = tally.passed + 1
        verdict, detail = outcome(replace_cpu(run, work.limits), work.limits)
        return tally.verdict(RE if verdict == AC else verdict, detail or "the process ended before its result")


def replace_cpu(run: Run, limits: Limits) -> Run:
    """A sequence is timed per test by the fork-server; its total must not be held against one test's limit."""
    return run if run.reason == "cpu" else replace(run, cpu_s=min(run.cpu_s, limits.cpu_s))


def _fits(work: Prepared, begin: int) -> bool:
    sizes = [len(t.input) for t in work.tests[begin:]]
    return sum(sizes) <= _SEQUENCE_BYTES and (work.functional or max(sizes) * 4 <= _PIPE or all(
        len(t.input.encode()) <= _PIPE for t in work.tests[begin:]))
