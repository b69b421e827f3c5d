"""Jobs of this folder that a dead driver left in Slurm: they live on, and would write beside the new driver's jobs.

The profile names every job `creditbench_<UUID of the driver's run>`. Who holds the driver's lock may cancel all of
them that were submitted from this folder, and must do so before it removes a stale lock or starts jobs. Floor 1.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from creditbench.errors import CheckFailed

PREFIX = "creditbench_"
LOGS = Path("results") / ".work" / "slurm"
GONE = {
    "COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "DEADLINE", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL",
    "LAUNCH_FAILED", "RECONFIG_FAIL", "PREEMPTED", "REVOKED",
}  # fmt: skip
"""States of a job that is over; `squeue --states=all` shows it for some minutes more."""


class ClusterJob(NamedTuple):
    """A job that is not over: its id, name (with the run's UUID) and state."""

    id: str
    name: str
    state: str


def live_jobs(folder: Path | str = ".") -> list[ClusterJob]:
    """Jobs of this user, submitted from `folder`, that are not over. [] where there is no Slurm.

    Raises CheckFailed when Slurm does not answer although jobs were submitted from here before.
    """
    if shutil.which("squeue") is None:
        return []
    here = Path(folder).resolve()
    words = ["squeue", "--noheader", f"--user={os.getuid()}", "--states=all", "--format=%i|%j|%T|%Z"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        if not (here / LOGS).exists():
            return []
        raise CheckFailed(
            f"Slurm does not answer ({type(error).__name__}), and jobs were submitted from {here}: "
            "whether some still run cannot be told; try again when squeue works"
        ) from None
    rows = [line.split("|", 3) for line in done.stdout.splitlines() if line.count("|") >= 3]
    mine = [row for row in rows if row[1].startswith(PREFIX) and Path(row[3]).resolve() == here]
    return [ClusterJob(*row[:3]) for row in mine if row[2] not in GONE]


def end_jobs(folder: Path | str = ".", grace: float = 120.0) -> list[ClusterJob]:
    """Cancel what `live_jobs` finds and wait until it is over; call only while holding the driver's lock.

    Raises CheckFailed when a job is still there after `grace` seconds.
    """
    found = left = live_jobs(folder)
    if found:
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # what is left then is named below
            subprocess.run(["scancel", *(job.id for job in found)], capture_output=True, timeout=60, check=False)
    end = time.monotonic() + grace
    while left:
        if time.monotonic() > end:
            named = ", ".join(f"{job.id} ({job.state})" for job in left)
            raise CheckFailed(f"Slurm jobs of an earlier driver do not end: {named}; cancel them, then start again")
        time.sleep(0.5)
        left = live_jobs(folder)
    return found
