"""Seeds derived by hashing, so that no two samples share a stream. Floor 1, no torch."""

from __future__ import annotations

from typing import Any

from creditbench.items import digest_of

_BITS = 63


def derive(*parts: Any) -> int:
    """Hash JSON-serialisable `parts` to a seed in [0, 2**63): the leading bits of SHA-256 of their canonical JSON."""
    return int(digest_of(list(parts))[:16], 16) >> (64 - _BITS)


def rollout_seed(track: str, seed: int, purpose: str, step: int, problem: str, sample: int) -> int:
    """Seed of one training sample. Suite and method never enter, so arms share data order and can be paired."""
    return derive("rollout", track, int(seed), purpose, int(step), problem, int(sample))


def eval_seed(benchmark: str, seed: int, problem: str, sample: int) -> int:
    """Seed of one evaluation sample. The arm, the track and the suite never enter."""
    return derive("eval", benchmark, int(seed), problem, int(sample))
