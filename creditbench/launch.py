"""How processes are started. Several for one training job: the torchrun command, on one machine or on all nodes of a
Slurm job. And children that must not outlive us. Floor 2.

torchrun and not another launcher: some start a single process without a word. What is asked for is told to every
process (`CREDITBENCH_PROCESSES`), which refuses to train among another number.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

from creditbench.errors import BadInput

PROCESSES = "CREDITBENCH_PROCESSES"
SHARD = "CREDITBENCH_SHARD"
"""Set to 1 under torchrun, the policy is dealt over the processes (FSDP2); like their number, no part of the run."""
FIRST_PORT, PORTS = 20_000, 20_000
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded before any fork


def inside(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process was started by torchrun."""
    return "WORLD_SIZE" in environ


def alone_by_mistake(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether a launcher was asked for several processes and started this one alone, as `accelerate launch
    --num_processes 2` does on a CPU: it names a meeting point for processes that it does not start."""
    return not inside(environ) and "MASTER_ADDR" in environ and any(k.startswith("ACCELERATE_") for k in environ)


def is_main(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether this process writes records: the first one, or the only one."""
    return environ.get("RANK", "0") == "0"


def world(environ: Mapping[str, str] = os.environ) -> int:
    """How many processes torchrun started."""
    return int(environ.get("WORLD_SIZE", "1"))


def expect(processes: int, shard: bool) -> None:
    """Under torchrun: let the trainer refuse another number of processes than the command line says."""
    os.environ.setdefault(PROCESSES, str(processes))
    if shard:
        os.environ[SHARD] = "1"


def die_with_parent(parent: int, how: signal.Signals = signal.SIGKILL) -> None:
    """In a child before exec: get signal `how` when process `parent` dies, or has died already (Linux alone)."""
    if _LIBC is not None:
        _LIBC.prctl(1, int(how))
        if os.getppid() != parent:
            os.kill(os.getpid(), how)


def first_host(node_list: str) -> str:
    """The first host of a Slurm node list such as `n[01-04],m7`, as Slurm itself reads it. Raises BadInput."""
    words = ["scontrol", "show", "hostnames", node_list]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
        return done.stdout.split()[0]
    except (OSError, subprocess.SubprocessError, IndexError) as error:
        raise BadInput(f"SLURM_JOB_NODELIST={node_list}: scontrol names no host ({error})") from None


def torchrun(
    processes: int, words: Sequence[str], environ: Mapping[str, str], head: Callable[[str], str] = first_host
) -> list[str]:
    """Command line that runs `creditbench words` in `processes` processes, on all nodes of the Slurm job we are in.

    Raises BadInput when the processes cannot be dealt to the nodes evenly.
    """
    nodes = int(environ.get("SLURM_JOB_NUM_NODES", "1"))
    each, rest = divmod(processes, nodes)
    if rest or not each:
        raise BadInput(f"processes: {processes} cannot be dealt to {nodes} nodes evenly")
    python, what = sys.executable, ["-m", "creditbench", *words]
    run = [python, "-m", "torch.distributed.run", "--nproc-per-node", str(each)]
    if nodes == 1:
        return [*run, "--standalone", *what]
    job = environ["SLURM_JOB_ID"]
    # Every node must know the meeting point beforehand; jobs that share a host get ports of their own.
    point = f"{head(environ['SLURM_JOB_NODELIST'])}:{FIRST_PORT + int(job) % PORTS}"
    meet = ["--nnodes", str(nodes), "--rdzv-backend", "c10d", "--rdzv-id", job, "--rdzv-endpoint", point]
    srun = ["srun", "--overlap", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1", "--kill-on-bad-exit=1"]
    return [*srun, *run, *meet, *what]


def become(processes: int, shard: bool, words: Sequence[str]) -> None:
    """Replace this process by torchrun and its `processes` copies of `creditbench words`; does not return."""
    command = torchrun(processes, words, os.environ)
    environ = {**os.environ, PROCESSES: str(processes), SHARD: "1" if shard else os.environ.get(SHARD, "0")}
    sys.stdout.flush()
    os.execvpe(command[0], command, environ)


def options(processes: int, shard: bool) -> str:
    """What a rule's `creditbench train` says about processes; empty for one."""
    if processes < 2:
        return ""
    return f" --processes {processes}" + (" --shard" if shard else "")
