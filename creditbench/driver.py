"""One driver at a time, and no job left behind: the file lock and the job records under `results/.work`.

Snakemake's own lock survives a killed driver, and the jobs of a killed driver live on and write. So the driver holds
a kernel lock, which dies with it; every job watches its driver and ends when that is gone; every job notes its
process; and only who holds the lock may end jobs that are left and remove a stale Snakemake lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from creditbench.errors import CheckFailed
from creditbench.records.atomic import clear_errors
from creditbench.records.locks import take_lock

HELD = "CREDITBENCH_LOCK_HELD_BY"
DRIVER = "CREDITBENCH_DRIVER"
LOOK_EVERY = 1.0


class Job(NamedTuple):
    """A running job: its process (with its start on `clock`, since process ids are reused) and what it does."""

    pid: int
    born: float
    host: str
    what: str
    facts: dict[str, Any]
    at: tuple[str, int, int] | None
    file: Path


def clock() -> float:
    """Seconds since the machine was started: setting the time of day must not make a job look older, or another."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.time()


def _born(pid: int) -> float | None:
    """When a process was started, on `clock`; None when it is gone."""
    try:  # psutil's start time is a time of day; the kernel's is not
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[0] == "Z" else int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, ValueError, IndexError):
        return None
    import psutil

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else round(process.create_time(), 2)
    except psutil.Error:
        return None


def name_of(pid: int) -> str:
    """A process as `pid:start time`, so that a later process with the same id is not taken for it."""
    return f"{pid}:{_born(pid)}"


def _driver_gone() -> bool:
    told = os.environ.get(DRIVER, "")
    return bool(told) and name_of(int(told.partition(":")[0])) != told


def _watch_driver() -> None:
    """End this process when the driver that started it is gone (nobody would take its result, and all is resumable)."""
    while not _driver_gone():
        time.sleep(LOOK_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


def _jobs_dir(results: Path | str) -> Path:
    return Path(results) / ".work" / "jobs"


@contextlib.contextmanager
def job(
    results: Path | str, what: str, noted: bool = True, **facts: Any
) -> Iterator[Callable[[str, int, int], None]]:
    """Note this process as a running job while the block runs; yields `report(phase, done, total)` for the display.

    `facts` (JSON) say which job it is. Of a job's several processes only one is `noted`; all end with their driver.
    """
    pid = os.getpid()
    host = socket.gethostname()
    file = _jobs_dir(results) / f"{host}-{pid}.json"
    with clear_errors(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
    record = {"pid": pid, "born": _born(pid), "host": host, "what": what, "facts": facts}
    draft = file.with_name(f".{file.name}.tmp")
    said = 0.0

    def write() -> None:
        draft.write_text(json.dumps(record), encoding="utf-8")
        os.replace(draft, file)

    def report(phase: str, done: int, total: int) -> None:
        nonlocal said
        if noted and time.monotonic() - said >= 1.0:
            said = time.monotonic()
            record["at"] = [phase, done, total]
            with contextlib.suppress(OSError):
                write()

    if _driver_gone():
        raise CheckFailed("the driver that started this job is gone; start the workflow again")
    if os.environ.get(DRIVER):
        threading.Thread(target=_watch_driver, daemon=True).start()
    try:
        if noted:
            with clear_errors(file):
                write()
        yield report
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
            file.unlink(missing_ok=True)


def live_jobs(results: Path | str) -> list[Job]:
    """Jobs of this machine that are running, oldest first. Records of processes that are gone are removed."""
    found = []
    for file in sorted(_jobs_dir(results).glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
            at = tuple(record["at"]) if "at" in record else None
            noted = Job(record["pid"], record["born"], record["host"], record["what"], record["facts"], at, file)
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if noted.host != socket.gethostname():
            continue
        if noted.born is not None and _born(noted.pid) == noted.born:
            found.append(noted)
        else:
            file.unlink(missing_ok=True)
    return sorted(found, key=lambda one: one.born)


def end_orphans(results: Path | str, grace: float = 5.0) -> list[Job]:
    """End the jobs (with their children) that a dead driver left; call only while holding the driver's lock."""
    import psutil

    orphans = [one for one in live_jobs(results) if one.pid != os.getpid()]
    processes = []
    for orphan in orphans:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(orphan.pid)
            processes += [process, *process.children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=grace)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=grace)
    for orphan in orphans:
        orphan.file.unlink(missing_ok=True)
    return orphans


def hold(results: Path | str) -> IO[str] | None:
    """Take the driver's lock for as long as the returned file stays open; None when our own parent holds it.

    Raises CheckFailed when another driver works on these results.
    """
    if os.environ.get(HELD) == str(os.getppid()):
        return None
    path = Path(results) / ".work" / "driver.lock"
    if (file := take_lock(path)) is None:
        try:
            holder = path.read_text(encoding="utf-8").strip()
        except OSError:
            holder = ""
        raise CheckFailed(f"{path}: held by {holder or 'another process'}; wait for it, or end it first")
    with contextlib.suppress(OSError):  # who holds it is only told; the lock itself needs no space
        file.seek(0)
        file.truncate()
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
        file.flush()
    return file
