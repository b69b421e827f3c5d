"""The few collective operations the loop needs; identities in one process."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from creditbench.errors import BadInput
from creditbench.launch import alone_by_mistake


@dataclass(frozen=True)
class Comm:
    """This process among `world`; groups are dealt whole, so group statistics never cross processes."""

    rank: int = 0
    world: int = 1

    @property
    def main(self) -> bool:
        """Whether this process writes records."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """This process's part of `count` groups. Raises BadInput when they cannot be dealt evenly."""
        if count % self.world:
            raise BadInput(f"prompts_per_step: {count} groups cannot be dealt to {self.world} processes evenly")
        each = count // self.world
        return slice(self.rank * each, (self.rank + 1) * each)

    def sum(self, value: float) -> float:
        """Sum of a number over processes."""
        if self.world == 1:
            return value
        total = torch.tensor(value, dtype=torch.float64)
        dist.all_reduce(total)
        return float(total)

    def largest(self, value: int) -> int:
        """Largest of a whole number over processes."""
        if self.world == 1:
            return value
        most = torch.tensor(value)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        return int(most)

    def gather(self, x: Tensor) -> Tensor:
        """Concatenation over processes along the first axis; lengths may differ."""
        if self.world == 1:
            return x
        parts: list[Tensor | None] = [None] * self.world
        dist.all_gather_object(parts, x.detach().cpu())
        return torch.cat([p for p in parts if p is not None]).to(x.device)

    def sum_counts(self, counts: dict[str, float]) -> dict[str, float]:
        """Each number summed over processes (all must have the same keys)."""
        if self.world == 1:
            return counts
        total = torch.tensor(list(counts.values()), dtype=torch.float64)
        dist.all_reduce(total)
        return dict(zip(counts, total.tolist(), strict=True))

    def mean_rows(self, row: dict[str, float]) -> dict[str, float]:
        """Mean of each number over processes, of `*.max` and `*.min` the extreme (rows must have the same keys)."""
        if self.world == 1:
            return row
        parts: list[dict[str, float] | None] = [None] * self.world
        dist.all_gather_object(parts, row)
        rows = [p for p in parts if p is not None]
        extremes = {"max": max, "min": min}
        how = {k: extremes.get(k.rpartition(".")[2]) for k in row}
        return {k: f(r[k] for r in rows) if (f := how[k]) else sum(r[k] for r in rows) / len(rows) for k in row}

    def sum_gradients(self, model: nn.Module) -> None:
        """Add up gradients over processes: each process holds its share of the optimizer batch's loss."""
        if self.world == 1:
            return
        for parameter in model.parameters():
            # Sharded gradients (FSDP2) have been summed on the way.
            if parameter.requires_grad and not hasattr(parameter, "full_tensor"):
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                dist.all_reduce(parameter.grad)

    def barrier(self) -> None:
        """Wait for all."""
        if self.world > 1:
            dist.barrier()


def connect(expected: int | None = None) -> Comm:
    """Join the process group that torchrun describes, or stay alone.

    Raises BadInput when several processes (`expected`, or of the launcher) were asked for and another number came up:
    some launchers start one process without a word.
    """
    if alone_by_mistake():
        raise BadInput(
            "processes: accelerate launch was asked for several and started one; use torchrun, or `creditbench train "
            "... --processes N`, which does"
        )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world > 1 and not dist.is_initialized():
        if torch.cuda.is_available():
            here, there = int(os.environ.get("LOCAL_WORLD_SIZE", "1")), torch.cuda.device_count()
            if here > there:
                raise BadInput(f"processes: {here} on this machine, which has {there} accelerators")
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # Counts and statistics live on the CPU, gradients where the model is: each device type has its own backend.
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    comm = Comm(dist.get_rank(), dist.get_world_size()) if world > 1 else Comm()
    if expected is not None and comm.world != expected:
        raise BadInput(f"processes: expected {expected}, got {comm.world}; start the run with torchrun")
    return comm
