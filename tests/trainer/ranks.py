"""Two real processes for tests: what each rank saved after running a script of ours under torchrun."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch


def two_ranks(script: str, folder: Path, seconds: float) -> list[dict[str, Any]]:
    """Run `script FOLDER` in two gloo processes; returns the content of `rank0.pt` and `rank1.pt` that it wrote."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run([*command, script, str(folder)], env=env, capture_output=True, text=True, timeout=seconds)
    assert done.returncode == 0, done.stderr[-3000:]
    return [torch.load(folder / f"rank{rank}.pt") for rank in range(2)]
