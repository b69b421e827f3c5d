"""Which accelerators a job sees: none where its suite asks for none, and never one that another job has. Floor 2.

Snakemake counts accelerators on one machine (`--resources gpus=8`) and does not say which; left to themselves, eight
jobs of one accelerator each would all compute on the first. So a job locks those it takes. A kernel lock ends with the
processes that hold it, however they end. On a cluster the scheduler has chosen, and nothing is chosen here.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
LOOK_EVERY, SAY_AFTER = 0.5, 5.0
_held: list[int] = []
"""Open lock files; they stay open for the rest of the process, and over exec."""


def take(count: int, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Let this process and its children see `count` accelerators that no other job has; returns their names.

    Must come before torch looks for accelerators. Waits until so many are free. With 0 none is seen: the results of
    small suites are then the same bits with and without an accelerator in the machine. Nothing is changed on a
    cluster, under torchrun (its parent has chosen), and where the machine has fewer than `count`.
    """
    if "SLURM_JOB_ID" in environ or "WORLD_SIZE" in environ or _held:
        return []
    if count == 0:
        os.environ[VISIBLE] = ""
        return []
    offered = environ.get(VISIBLE)
    names = installed() if offered is None else [name.strip() for name in offered.split(",") if name.strip()]
    if len(names) < count:
        return []
    try:
        taken = _wait_for(count, names, _folder())
    except OSError as error:
        print(f"creditbench: accelerators cannot be locked: {error.filename}: {error.strerror}", file=sys.stderr)
        return []
    os.environ[VISIBLE] = ",".join(taken)
    return taken


def of_rank(environ: Mapping[str, str]) -> str | None:
    """Name of the accelerator that a process of torchrun computes on, for a child of its own; None outside torchrun.

    Its number counts within what the job sees: rank 1 of a job that was given 4 and 5 has 5.
    """
    if "LOCAL_RANK" not in environ:
        return None
    rank, seen = int(environ["LOCAL_RANK"]), environ.get(VISIBLE)
    names = [str(n) for n in range(rank + 1)] if seen is None else seen.split(",")
    return names[rank].strip() if rank < len(names) else seen


@contextlib.contextmanager
def hidden(hide: bool = True) -> Iterator[None]:
    """No accelerator is seen inside: what was made without one is made again without one."""
    before = os.environ.get(VISIBLE)
    if hide:
        os.environ[VISIBLE] = ""
    try:
        yield
    finally:
        if hide:
            os.environ.pop(VISIBLE)
            if before is not None:
                os.environ[VISIBLE] = before


def installed() -> list[str]:
    """Numbers of this machine's NVIDIA accelerators, without waking any."""
    return [str(n) for n in range(len(list(Path("/proc/driver/nvidia/gpus").glob("*"))))]


def _folder() -> Path:
    return Path(tempfile.gettempdir()) / f"creditbench-accelerators-{os.getuid()}"


def _wait_for(count: int, names: list[str], folder: Path) -> list[str]:
    folder.mkdir(mode=0o700, exist_ok=True)
    start, said = time.monotonic(), False
    while not (taken := _try(count, names, folder)):
        if not said and time.monotonic() - start >= SAY_AFTER:
            said = True
            print(f"creditbench: waiting for {count} of {len(names)} accelerators; others compute", file=sys.stderr)
        time.sleep(LOOK_EVERY)
    return taken


def _try(count: int, names: list[str], folder: Path) -> list[str]:
    """Lock the first `count` that are free, or none at all."""
    locks: dict[str, int] = {}
    for name in names:
        lock = os.open(folder / f"{name.replace('/', '_')}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        locks[name] = lock
        if len(locks) == count:
            for kept in locks.values():
                os.set_inheritable(kept, True)  # torchrun replaces this process and must go on holding them
            _held.extend(locks.values())
            return list(locks)
    for lock in locks.values():
        os.close(lock)
    return []
