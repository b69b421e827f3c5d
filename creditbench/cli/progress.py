"""Progress of one command: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

EVERY_SECONDS = 10.0
Report = Callable[[str, int, int], None]


def counter(what: str) -> Report:
    """A callback `report(phase, done, total)` that shows how far `what` is and the time to go, on stderr."""
    return _bar(what) if sys.stderr.isatty() else _lines(what)


def _lines(what: str) -> Report:
    state = {"phase": "", "started": 0.0, "said": 0.0, "first": 0}

    def report(phase: str, done: int, total: int) -> None:
        now = time.monotonic()
        if phase != state["phase"]:
            state.update(phase=phase, started=now, said=now, first=done)
            return
        if now - state["said"] < EVERY_SECONDS and done < total:
            return
        state["said"] = now
        pace = (now - state["started"]) / max(done - state["first"], 1)
        left = "" if done >= total else f", {duration(pace * (total - done))} to go"
        print(f"{what}: {phase} {done}/{total}{left}", file=sys.stderr, flush=True)

    return report


def _bar(what: str) -> Report:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    tasks: dict[str, int] = {}

    def report(phase: str, done: int, total: int) -> None:
        if phase not in tasks:
            tasks[phase] = bar.add_task(f"{what}: {phase}", total=total)
            bar.start()
        bar.update(tasks[phase], completed=done, total=total)  # pyright: ignore[reportArgumentType]
        if done >= total:
            bar.stop()

    return report


def duration(seconds: float) -> str:
    """Seconds as people say them: 45 s, 3 min 20 s, 2 h 5 min."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def say(line: str) -> None:
    """Print a line at once. Where nobody reads any more (`| head -1`, a closed terminal), the work goes on unseen."""
    try:
        print(line, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
