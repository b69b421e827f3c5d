"""Drive Snakemake and show what runs, what is left and the time to go: `python -m creditbench.progress [words]`.

Words are Snakemake's own (`--config suite=... methods=...`, `--cores`, `--profile` ...). This process holds the
driver's lock; only while holding it does it end the jobs that a dead driver left and remove a stale Snakemake lock.
If it dies, its Snakemake dies with it, and the next start goes on from what is on disk.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from creditbench import cluster, driver
from creditbench.cli.progress import duration, say
from creditbench.current import current_eval, current_run
from creditbench.errors import CheckFailed, CreditBenchError
from creditbench.launch import die_with_parent
from creditbench.pipeline import ahead
from creditbench.plan import relative_cost
from creditbench.records import whole
from creditbench.records.atomic import clear_errors, refusal
from creditbench.suite import BASE, Request, Run, make_request
from creditbench.workflow import skipped_lines, table_warnings

PLAIN_EVERY = 15.0
TERMINAL_EVERY = 1.0
# Rough seconds of a job before any of its kind has finished: model, GRPO-equivalent training, evaluation.
FIRST_GUESS = {"base": 60.0, "train": 25.0, "evaluate": 8.0}
# Share of an evaluation's time that is left when it only has to be checked and moved into its place.
PUBLISHING = 0.1


class Target(NamedTuple):
    """One thing that must be there at the end: its kind, its manifest, and its weight within the kind.

    waiting: a file that says that all but the last bit of the work is done (an evaluation made with its run).
    """

    kind: str
    path: Path
    weight: float
    waiting: Path | None = None


class View(NamedTuple):
    """What the display shows at one moment."""

    done: dict[str, int]
    total: dict[str, int]
    running: list[driver.Job]
    seconds_left: float


def targets(request: Request) -> list[Target]:
    """Everything the request asks for, tables apart."""
    found = [Target("base", Path(request.model_manifest(key)), 1.0) for key in request.models]
    cost = {arm: relative_cost(arm, request.suite.class_) for arm in request.arms}
    found += [Target("train", Path(request.run_manifest(run)), cost[run.arm]) for run in request.runs]
    for evaluation in request.evaluations:
        path = Path(request.eval_manifest(evaluation))
        waiting = None if evaluation.arm == BASE else ahead(request.results) / path.relative_to(request.results)
        found.append(Target("evaluate", path, 1.0, waiting))
    return found


def outdated(request: Request) -> dict[Path, int]:
    """Manifests that are there but answer another question, with their time stamps (ns): their jobs run again."""
    results, suite = request.results, request.suite.name
    found = [
        (request.run_manifest(r), current_run(results, suite, *r, request.run_digest(*r))) for r in request.runs
    ]
    again = {r for r, (_, current) in zip(request.runs, found, strict=True) if not current}
    for e in request.evaluations:
        digest = request.eval_digest(e.arm, e.track, e.seed, e.label)
        current = current_eval(results, suite, e.label, e.arm, e.track, e.seed, digest)
        found.append((request.eval_manifest(e), current and Run(e.arm, e.track, e.seed) not in again))
    there = [Path(path) for path, current in found if not current and Path(path).exists()]
    return {path: path.stat().st_mtime_ns for path in there}


class Seen(NamedTuple):
    """A job while it runs: when it began and was last seen, and where its counter stood at first (time, done)."""

    job: driver.Job
    began: float
    last: float
    first: tuple[float, int]

    def pace(self) -> float | None:
        """Seconds per step of its own counter, None until it has moved a twentieth of its way: first steps are slow.

        A resumed job counts only what it does now.
        """
        if self.job.at is None or self.job.at[1] - self.first[1] < max(1.0, self.job.at[2] / 20):
            return None
        return (self.last - self.first[0]) / (self.job.at[1] - self.first[1])


class Pace:
    """Seconds per unit of weight of each kind, learnt from jobs as they run and finish. stale: see `outdated`."""

    def __init__(self, wanted: Sequence[Target], workers: int, stale: Mapping[Path, int] | None = None):
        self.wanted, self.workers, self.stale = wanted, max(1, workers), stale or {}
        self.seen: dict[tuple[Path, str], Seen] = {}
        self.spent: dict[str, tuple[float, float]] = {}

    def view(self, running: list[driver.Job]) -> View:
        """Counts, and the time to go if jobs keep the pace seen so far."""
        self._learn(running)
        done, total = dict.fromkeys(FIRST_GUESS, 0), dict.fromkeys(FIRST_GUESS, 0)
        seconds = self._per_weight()
        left = 0.0
        for target in self.wanted:
            total[target.kind] += 1
            if self._made(target.path):
                done[target.kind] += 1
            else:
                ready = target.waiting is not None and target.waiting.exists()
                left += target.weight * seconds[target.kind] * (PUBLISHING if ready else 1.0)
        left -= sum(self._behind(seen, seconds) for seen in self.seen.values())
        return View(done, total, running, max(0.0, left) / self.workers)

    def _made(self, path: Path) -> bool:
        try:
            return path.stat().st_mtime_ns != self.stale.get(path)
        except OSError:
            return False

    def _learn(self, running: list[driver.Job]) -> None:
        now = driver.clock()
        current: dict[tuple[Path, str], Seen] = {}
        for job in running:
            # One process may train and then evaluate: its second job begins when it is first seen.
            key, again = (job.file, job.what), any(file == job.file for file, _ in self.seen)
            old = self.seen.get(key) or Seen(job, now if again else job.born, now, (now, job.at[1] if job.at else 0))
            same = old.job.at is None or job.at is None or old.job.at[0] == job.at[0]
            first = old.first if same and old.job.at is not None else (now, job.at[1] if job.at else 0)
            current[key] = Seen(job, old.began, now, first)
        for key, seen in self.seen.items():
            if key not in current:
                kind, weight = _kind(seen.job)
                seconds, weights = self.spent.get(kind, (0.0, 0.0))
                self.spent[kind] = (seconds + seen.last - seen.began, weights + weight)
        self.seen = current

    def _per_weight(self) -> dict[str, float]:
        """Of each kind: what finished jobs took and running ones will; a kind not seen yet is as slow as the others."""
        sums = dict(self.spent)
        for seen in self.seen.values():
            pace, (kind, weight) = seen.pace(), _kind(seen.job)
            if pace is not None and seen.job.at is not None:
                seconds, weights = sums.get(kind, (0.0, 0.0))
                sums[kind] = (seconds + pace * seen.job.at[2], weights + weight)
        sums = {kind: both for kind, both in sums.items() if kind in FIRST_GUESS and both[1]}
        guessed = sum(weights * FIRST_GUESS[kind] for kind, (_, weights) in sums.items())
        slow = sum(seconds for seconds, _ in sums.values()) / guessed if guessed else 1.0
        return {
            kind: sums[kind][0] / sums[kind][1] if kind in sums else guess * slow for kind, guess in FIRST_GUESS.items()
        }

    def _behind(self, seen: Seen, seconds: Mapping[str, float]) -> float:
        """Seconds of a running job that need not be waited for any more."""
        kind, weight = _kind(seen.job)
        whole_job, pace = weight * seconds.get(kind, 0.0), seen.pace()
        if pace is None or seen.job.at is None:
            return min(whole_job, seen.last - seen.began)
        return max(0.0, whole_job - pace * (seen.job.at[2] - seen.job.at[1]))


def _kind(job: driver.Job) -> tuple[str, float]:
    return str(job.facts.get("kind", "")), float(job.facts.get("weight", 1.0))


def plain(view: View, started: float) -> str:
    """The state as one line."""
    counts = ", ".join(
        f"{name} {view.done[kind]}/{view.total[kind]}"
        for kind, name in (("base", "models"), ("train", "runs"), ("evaluate", "evaluations"))
        if view.total[kind]
    )
    running = "; ".join(_doing(job) for job in view.running) or _between(view)
    spent = duration(time.monotonic() - started)
    return f"[{spent}] {counts} | {running} | about {duration(view.seconds_left)} to go"


def _between(view: View) -> str:
    return "tables and pages" if view.done == view.total else "waiting for jobs to start"


def _doing(job: driver.Job) -> str:
    if job.at is None:
        return job.what
    phase, done, total = job.at
    return f"{job.what} ({phase} {done}/{total})"


def table(view: View, started: float) -> Any:
    """The state as a rich renderable: bars for what is done, one line per running job."""
    from rich.console import Group
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    bars = Progress(TextColumn("{task.description:<12}"), BarColumn(bar_width=32), MofNCompleteColumn())
    for kind, name in (("base", "models"), ("train", "runs"), ("evaluate", "evaluations")):
        if view.total[kind]:
            bars.add_task(name, total=view.total[kind], completed=view.done[kind])
    lines = [Text(f"  {_doing(job)}") for job in view.running] or [Text(f"  {_between(view)}")]
    spent = duration(time.monotonic() - started)
    return Group(bars, *lines, Text(f"{spent} so far, about {duration(view.seconds_left)} to go"))


def split_words(words: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """(values of --config, all words): the request is read here too, so that a wrong one stops before Snakemake."""
    config: dict[str, str] = {}
    taking = False
    for word in words:
        if word in ("--config", "-C"):
            taking = True
        elif taking and re.fullmatch(r"[A-Za-z_][\w-]*=.*", word):
            key, _, value = word.partition("=")
            config[key] = value
        else:
            taking = False
    return config, list(words)


def unlock(words: Sequence[str], log: Any) -> None:
    """Remove a stale Snakemake lock; the driver's lock must be held and no job of a dead driver may be alive."""
    locks = Path(".snakemake") / "locks"
    if locks.is_dir() and any(locks.iterdir()):
        command = [sys.executable, "-m", "snakemake", "--unlock", *words]
        subprocess.run(command, stdout=log, stderr=log, check=False)


def forgive(request: Request, words: Sequence[str], log: Any) -> None:
    """Tell Snakemake of results that are whole although a killed driver still has them marked as incomplete."""
    marks = Path(".snakemake") / "incomplete"
    if not any(path.is_file() for path in marks.rglob("*")):
        return
    finished = [str(target.path) for target in targets(request) if whole(target.path.parent)]
    if finished:
        command = [sys.executable, "-m", "snakemake", *words, "--cleanup-metadata", *finished]
        subprocess.run(command, stdout=log, stderr=log, check=False)


def cache_somewhere(results: str) -> None:
    """Snakemake keeps a cache below the home folder; where that may not be written, among our scratch files."""
    home = os.path.expanduser("~")
    if "XDG_CACHE_HOME" not in os.environ and not os.access(home, os.W_OK):
        os.environ["XDG_CACHE_HOME"] = str(Path(results).absolute() / ".work" / "cache")


def drive(words: Sequence[str]) -> int:
    """Run Snakemake with the given words under the driver's lock and show its progress; returns its exit code."""
    config, words = split_words(words)
    request = make_request(config)
    if not request.tracks:
        raise CheckFailed("; ".join(skipped_lines(request)))
    lock = driver.hold(request.results)
    cache_somewhere(request.results)
    logs = Path(request.folder) / "logs"
    with clear_errors(logs):
        logs.mkdir(parents=True, exist_ok=True)
    log_path = logs / "snakemake.log"
    try:
        cancelled = cluster.end_jobs()  # before the local ones: a cluster's job may run on this very machine
        if cancelled:
            say(f"cancelled {len(cancelled)} Slurm jobs of a driver that died ({cancelled[0].name})")
        ended = driver.end_orphans(request.results)
        if ended:
            say(f"ended {len(ended)} jobs of a driver that died: {', '.join(job.what for job in ended)}")
        with log_path.open("ab") as log:
            unlock(words, log)
            forgive(request, words, log)
            code = _run(request, [sys.executable, "-m", "snakemake", *words], log)
    finally:
        if lock is not None:
            lock.close()
    return _last_words(request, code, log_path)


def _run(request: Request, command: list[str], log: Any) -> int:
    environment = {**os.environ, driver.HELD: str(os.getpid())}
    start = log.tell()
    interrupts = 0

    def passed_on(*_: Any) -> None:
        # The terminal sends Ctrl-C to the whole group: Snakemake ends its jobs, we wait for it; the third one is final.
        nonlocal interrupts
        interrupts += 1
        if interrupts >= 3:
            child.kill()

    # Elsewhere than on Linux the child may outlive us; the next start then waits for the lock.
    last_will = partial(die_with_parent, os.getpid())
    child = subprocess.Popen(command, stdout=log, stderr=log, env=environment, preexec_fn=last_will)
    before = signal.signal(signal.SIGINT, passed_on)
    stop = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        _show(request, child, at_once(command))
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, stop)
    if child.returncode and not interrupts:
        _tell_errors(Path(log.name), start)
    return 130 if interrupts and child.returncode else child.returncode


def at_once(words: Sequence[str]) -> int:
    """Jobs that this machine runs at a time: its cores, or fewer where `--cores` says so."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = re.search(r"(?:^| )(?:--cores|-c)[ =]?(\d+)(?= |$)", " ".join(words))
    return max(1, min(cores, int(told[1]))) if told else cores


def _show(request: Request, child: subprocess.Popen, workers: int) -> None:
    started = time.monotonic()
    stale: dict[Path, int] = {}
    with contextlib.suppress(CreditBenchError):  # the child says what is wrong
        stale = outdated(request)
    pace = Pace(targets(request), workers, stale)
    if sys.stdout.isatty():
        from rich.live import Live

        with Live(refresh_per_second=4, transient=True) as live:
            while child.poll() is None:
                live.update(table(pace.view(driver.live_jobs(request.results)), started))
                _wait(child, TERMINAL_EVERY)
        return
    counts, at = "", 0.0
    while child.poll() is None:
        _wait(child, 1.0)
        view = pace.view(driver.live_jobs(request.results))
        if str(view.done) != counts or time.monotonic() - at >= PLAIN_EVERY:
            counts, at = str(view.done), time.monotonic()
            say(plain(view, started))


def _wait(child: subprocess.Popen, seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(seconds)


def _tell_errors(log: Path, start: int) -> None:
    """Show the part of Snakemake's log that says what failed."""
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines()]
    # A name alone ("WorkflowError:") says nothing; what it means stands in the last words.
    wanted = [x for x in lines if re.match(r"creditbench: |.*(Error|Exception)\b", x) and not re.fullmatch(r"\w+:?", x)]
    for line in dict.fromkeys(wanted[-20:]):
        print(line, file=sys.stderr)


def _last_words(request: Request, code: int, log: Path) -> int:
    """Where the tables are, or how to go on. A blocked table or a skipped track makes the exit code 1."""
    page = Path(request.folder) / "leaderboard.md"
    if code:
        print(f"creditbench: stopped (exit code {code}); details in {log}; the same command goes on", file=sys.stderr)
        return code
    warnings = [*skipped_lines(request), *table_warnings(request.folder)]
    for line in warnings:
        print(f"creditbench: {line}", file=sys.stderr)
    html = page.with_suffix(".html")
    say(f"leaderboard: {page}" + (f" and {html}" if html.exists() else ""))
    return 1 if any(line.startswith(("blocked", "track")) for line in warnings) else 0


def main(argv: Sequence[str] | None = None) -> int:
    """Entry: the words after `python -m creditbench.progress` go to Snakemake."""
    try:
        return drive(list(sys.argv[1:] if argv is None else argv))
    except CreditBenchError as error:
        print(f"creditbench: {error}", file=sys.stderr)
        return error.exit_code
    except OSError as error:
        told = refusal(error, error.filename or "results")
        if told is None:
            raise
        print(f"creditbench: {told}", file=sys.stderr)
        return told.exit_code


if __name__ == "__main__":
    raise SystemExit(main())
