"""What this machine has, found by trying: libraries, cores, accelerators, sandbox, Slurm, hub, data, display."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Literal, NamedTuple

State = Literal["ok", "absent", "missing"]
# Three times the profile's slurm-init-seconds-before-status-checks; below it the executor asks sacct whatever is set.
FORGETS = 30
NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "pydantic", "pyarrow", "numpy", "scipy", "snakemake")
OPTIONAL = ("accelerate", "datasets", "trl", "peft", "vllm", "math-verify", "lm-eval", "plotly")


class Finding(NamedTuple):
    """One thing looked for. `missing` is needed and not there; `absent` only switches something off."""

    what: str
    state: State
    found: str

    @property
    def mark(self) -> str:
        """A word for the first column."""
        return {"ok": "ok", "absent": "-", "missing": "MISSING"}[self.state]


def examine() -> list[Finding]:
    """Look at everything; nothing is changed and nothing is downloaded."""
    checks = [_python, *_libraries(), _cores, _memory, _disk, _accelerators, _sandbox, _slurm, _accounting, _hub, _data]
    return [check() for check in checks]


def _python() -> Finding:
    fits = (3, 11) <= sys.version_info[:2] < (3, 13)
    wanted = "" if fits else " (expected 3.11 or 3.12)"
    return Finding("python", "ok" if fits else "missing", f"{platform.python_version()}{wanted}")


def _libraries() -> list:
    def check(name: str, absent: State):
        def look() -> Finding:
            try:
                return Finding(name, "ok", importlib.metadata.version(name))
            except importlib.metadata.PackageNotFoundError:
                return Finding(name, absent, "not installed")

        return look

    return [*(check(name, "missing") for name in NEEDED), *(check(name, "absent") for name in OPTIONAL)]


def _cores() -> Finding:
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    load = os.getloadavg()[0]
    return Finding("cores", "ok", f"{usable}, load {load:.1f}")


def _memory() -> Finding:
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return Finding("memory", "absent", "unknown")
    return Finding("memory", "ok", f"{pages / 2**30:.0f} GiB")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("disk", "ok" if free > 2 else "missing", f"{free:.0f} GiB free here")


def _accelerators() -> Finding:
    if importlib.util.find_spec("torch") is None:
        return Finding("accelerators", "absent", "torch is not installed")
    import torch

    if not torch.cuda.is_available():
        return Finding("accelerators", "absent", "none; tiny suites need none")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return Finding("accelerators", "ok", ", ".join(names))


def _sandbox() -> Finding:
    """Told by a box that was started and attacked: bubblewrap may be installed and not work, or Landlock do instead."""
    from creditbench.sandbox import available

    status = available()
    found = f"{status.mode}: {status.reason}" if status.reason else status.mode
    return Finding("sandbox", "absent" if status.mode == "refused" else "ok", found)


def _slurm() -> Finding:
    if shutil.which("sbatch") is None:
        return Finding("slurm", "absent", "sbatch not found")
    answer = _run("sinfo", "--noheader", "--format=%P %D %T")
    return Finding("slurm", "ok" if answer else "absent", answer or "installed, but sinfo does not answer")


def _accounting() -> Finding:
    """Without accounting, job states must come from squeue: the sacct mode of the executor would wait for ever."""
    if shutil.which("sacct") is None:
        return Finding("slurm accounting", "absent", "sacct not found")
    if _run("sacct", "--noheader", "--starttime=now-1hour", "--format=JobID") is not None:
        return Finding("slurm accounting", "ok", "answers")
    kept = remembered(_run("scontrol", "show", "config") or "")
    ask = "use --slurm-status-command squeue, as our profile does"
    if kept is not None and kept < FORGETS:
        ask = f"squeue forgets jobs after {kept} s: set MinJobAge to {FORGETS} s or more, or switch accounting on"
    return Finding("slurm accounting", "absent", f"does not answer; {ask}")


def remembered(config: str) -> int | None:
    """Seconds for which Slurm remembers a job that is over (MinJobAge in `scontrol show config`); None if not said."""
    found = re.search(r"MinJobAge\s*=\s*(\d+)", config)
    return int(found[1]) if found else None


def _run(*words: str) -> str | None:
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    return "; ".join(done.stdout.split("\n")).strip("; ") if done.returncode == 0 else None


def _hub() -> Finding:
    if os.environ.get("HF_HUB_OFFLINE") == "1":
        return Finding("hub", "absent", "switched off by HF_HUB_OFFLINE=1")
    try:
        with socket.create_connection(("huggingface.co", 443), timeout=3):
            return Finding("hub", "ok", "reachable")
    except OSError as error:
        return Finding("hub", "absent", f"not reachable ({error}); local data and tiny suites still work")


def _data() -> Finding:
    folder = os.environ.get("CREDITBENCH_DATA", "")
    if not folder:
        return Finding("local data", "absent", "CREDITBENCH_DATA is not set; tiny suites need none")
    there = Path(folder).is_dir()
    return Finding("local data", "ok" if there else "absent", folder if there else f"{folder}: no such folder")
