"""A box round a world that executes the model's programs: bubblewrap, no network, nothing of the host but libraries."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from creditbench.benchmark import repo_root
from creditbench.envs.spec import venv_python
from creditbench.envs.wire import WORKER
from creditbench.errors import Refused

MEMORY_BYTES, FILE_BYTES = 8 << 30, 1 << 28
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime")


def box_words(
    name: str, readable: Sequence[Path] = (), writable_memory: Sequence[Path] = (), root: Path | None = None
) -> tuple[str, ...]:
    """Words before the interpreter's that put a world into the box.

    readable: further folders it may read. writable_memory: folders that are empty and writable inside, in memory, and
    vanish with it. Raises Refused without bubblewrap.
    """
    bwrap, prlimit = shutil.which("bwrap"), shutil.which("prlimit")
    if bwrap is None or prlimit is None:
        raise Refused(f"{name}: it executes the model's programs and needs bubblewrap and prlimit (util-linux)")
    python = venv_python(name, root)
    shown = [python.parents[1], base_prefix(python), WORKER.parent, (root or repo_root()) / "benchmarks" / name]
    words = [prlimit, f"--as={MEMORY_BYTES}", f"--fsize={FILE_BYTES}", "--core=0", "--nofile=1024", bwrap]
    words += ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    for path in SYSTEM:
        words += ["--ro-bind-try", path, path]
    words += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for path in dict.fromkeys(str(p.absolute()) for p in shown):
        words += ["--ro-bind", path, path]
    for folder in writable_memory:
        words += ["--tmpfs", str(folder.absolute())]
    for folder in readable:
        words += ["--ro-bind", str(folder.absolute()), str(folder.absolute())]
    return (*words, "--chdir", "/tmp", "--")


def base_prefix(python: Path) -> Path:
    """The installation that a virtual environment's interpreter comes from."""
    config = python.parents[1] / "pyvenv.cfg"
    for line in config.read_text(encoding="utf-8").splitlines() if config.is_file() else ():
        key, _, value = line.partition("=")
        if key.strip() == "home":
            return Path(os.path.realpath(value.strip())).parent
    return Path(os.path.realpath(python)).parents[1]
