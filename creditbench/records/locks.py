"""A lock that ends with the process that holds it, in a file that its holder may remove."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import IO

from creditbench.errors import BadInput, Busy
from creditbench.records.atomic import clear_errors


def take_lock(path: Path) -> IO[str] | None:
    """The lock file, held for as long as it stays open; None while another process holds it.

    A holder that is done may remove the file with its folder. Who waited for it then holds a file that nobody else
    will find, which is no lock: it is the file at `path` that counts. Raises BadInput where the file cannot be made
    and on a file system without locks.
    """
    while True:
        try:
            with clear_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:
            continue  # the folder went between the two lines
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except BlockingIOError:
            file.close()
            return None
        except FileNotFoundError:
            pass
        except OSError as error:
            file.close()
            raise BadInput(f"{path}: cannot be locked: {error.strerror}; expected a file system with locks") from None
        file.close()


PATIENCE = 600.0
"""Seconds to wait on a cluster, where a job may live on after its node was given up."""


def hold_lock(path: Path, busy: str) -> IO[str]:
    """`take_lock`; `busy` says what another process does that holds it. Raises Busy, on a cluster after `PATIENCE`."""
    end = time.monotonic() + (PATIENCE if "SLURM_JOB_ID" in os.environ else 0.0)
    while (lock := take_lock(path)) is None:
        if time.monotonic() >= end:
            raise Busy(f"{busy}; wait for it or end it")
        time.sleep(1.0)
    return lock
