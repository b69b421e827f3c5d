"""A run's fingerprint, step by step: digests of rollouts, rewards, credit, gradient norm and weights.

Two runs are identical when their traces are; otherwise the first differing row names the step and the tensor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from creditbench.sampling.weights import full

# Hashing every weight at every step is cheap for small models; large ones are hashed at the end alone.
HASH_EVERY_STEP_BELOW = 5_000_000


def tensor_digest(x: Tensor) -> str:
    """First 16 hex digits of the SHA-256 of a tensor's bytes, shape and type."""
    x = x.detach().to("cpu").contiguous()
    raw = x.view(torch.uint8) if x.dtype == torch.bfloat16 else x
    head = f"{tuple(x.shape)}:{x.dtype}".encode()
    return hashlib.sha256(head + raw.numpy().tobytes()).hexdigest()[:16]


def entry(step: int, order: int, name: str, x: Tensor) -> dict[str, Any]:
    """One trace row; `norm` gives the magnitude when two runs part."""
    norm = float(x.detach().double().norm()) if x.numel() else 0.0
    return {"step": step, "order": order, "name": name, "digest": tensor_digest(x), "norm": norm}


def weight_entries(step: int, model: nn.Module, order: int = 100) -> list[dict[str, Any]]:
    """Trace rows of the model's trainable tensors after `step`."""
    named = ((n, p) for n, p in model.named_parameters() if p.requires_grad)
    # One at a time: all of a sharded model's weights, whole at once, need not fit where its shards do.
    return [entry(step, order + i, f"weights/{n}", full(p)) for i, (n, p) in enumerate(named)]


@dataclass(frozen=True)
class Parting:
    """Where two traces part."""

    step: int
    name: str
    left: float
    right: float

    def __str__(self) -> str:
        return (
            f"first difference at step {self.step} in {self.name}: "
            f"norm {self.left:.17g} there, {self.right:.17g} here (difference {abs(self.left - self.right):.3g})"
        )


def first_difference(left: Sequence[Mapping[str, Any]], right: Iterable[Mapping[str, Any]]) -> Parting | None:
    """The earliest (step, order) whose digests differ or that only one trace has; None when the traces are equal."""
    a = {(r["step"], r["order"], r["name"]): r for r in left}
    b = {(r["step"], r["order"], r["name"]): r for r in right}
    for key in sorted(set(a) | set(b)):
        x, y = a.get(key), b.get(key)
        if x is None or y is None or x["digest"] != y["digest"]:
            nan = float("nan")
            return Parting(key[0], key[2], x["norm"] if x else nan, y["norm"] if y else nan)
    return None
