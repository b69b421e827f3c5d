"""A run's cost record: what its ledger counted, FLOPs by one formula, times, memory."""

from __future__ import annotations

import resource
import sys

import torch

from creditbench.records.schemas import Cost
from creditbench.suite import RunSpec
from creditbench.trainer.comm import Comm
from creditbench.trainer.loop import WALL, State


def cost(state: State, spec: RunSpec, comm: Comm = Comm()) -> Cost:
    """The run's cost record; FLOPs by the formula that the record names."""
    ledger = state.ledger
    counted = {k: v for k, v in vars(ledger).items() if k != "seconds"}
    body = sum(p.numel() for n, p in state.model.named_parameters() if "embed_tokens" not in n)
    sampled = ledger.prompt_tokens + ledger.generated_tokens + ledger.env_tokens
    flops = 2.0 * body * (sampled + ledger.forward_tokens + ledger.backward_tokens)
    flops += 4.0 * body * ledger.backward_tokens
    passes = spec.settings.epochs_per_rollout
    flops += 6.0 * body * passes * (ledger.prompt_tokens + ledger.trained_tokens + ledger.env_tokens)
    wall = ledger.seconds.get(WALL, 0.0)
    phases = {k: v for k, v in ledger.seconds.items() if k != WALL}
    gpus = comm.world if torch.cuda.is_available() else 0
    return Cost(
        **counted, flops=flops, seconds=phases, wall_seconds=wall, gpu_hours=wall * gpus / 3600, peak_bytes=peak_bytes()
    )


def peak_bytes() -> int:
    """Most memory this process has held: of its accelerator where there is one, else resident (Linux counts in KiB)."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held if sys.platform == "darwin" else 1024 * held
