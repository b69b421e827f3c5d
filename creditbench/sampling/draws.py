"""From logits to sampled tokens: one counter-based stream per row, inverse-CDF sampling in vocabulary order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from creditbench.sampling.types import SamplingParams

_BLOCK = 64
_BELOW_ONE = 1.0 - 2.0**-40


class Streams:
    """Uniform numbers in [0, 1): row b's n-th number depends on `seeds[b]` and n only (Philox keyed by the seed)."""

    def __init__(self, seeds: Sequence[int]):
        self._generators = [np.random.Generator(np.random.Philox(key=int(seed))) for seed in seeds]
        self._blocks: list[np.ndarray] = []

    def at(self, n: int) -> np.ndarray:
        """The n-th number of every row, shape (B,)."""
        while n >= _BLOCK * len(self._blocks):
            self._blocks.append(np.stack([g.random(_BLOCK) for g in self._generators]))
        return self._blocks[n // _BLOCK][:, n % _BLOCK]


def filtered_probs(logits_BV: Tensor, params: SamplingParams) -> Tensor:
    """Probabilities (B, V) in float64 that are sampled from: tempered, then top-k, then top-p, not renormalised.

    Top-p keeps the shortest prefix of the tokens by falling probability (ties: lower id first) whose mass reaches
    `top_p`; at least one token stays.
    """
    probs_BV = torch.softmax(logits_BV.double() / params.temperature, dim=-1)
    V = probs_BV.shape[-1]
    if params.top_k == 0 and params.top_p >= 1.0:
        return probs_BV
    sorted_BV, order_BV = torch.sort(probs_BV, dim=-1, descending=True, stable=True)
    if 0 < params.top_k < V:
        sorted_BV[:, params.top_k :] = 0.0
    if params.top_p < 1.0:
        before_BV = sorted_BV.cumsum(-1) - sorted_BV
        sorted_BV = sorted_BV.masked_fill(before_BV >= params.top_p * sorted_BV.sum(-1, keepdim=True), 0.0)
    return torch.zeros_like(probs_BV).scatter_(-1, order_BV, sorted_BV)


def pick(
    logits_BV: Tensor, uniform_B: np.ndarray, params: SamplingParams, seen_BV: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Choose one token per row from `logits_BV` (float) with the row's uniform number.

    `seen_BV` marks the tokens that the turn already holds; the presence penalty is taken off their logits.
    Returns ids (B,) and their log-probabilities (B,) under the model at temperature 1, unfiltered and unpenalised.
    """
    asked_BV = logits_BV
    if seen_BV is not None and params.presence_penalty:
        asked_BV = logits_BV - params.presence_penalty * seen_BV.to(logits_BV.dtype)
    if params.temperature == 0.0:
        ids_B = asked_BV.argmax(-1)
    else:
        cdf_BV = filtered_probs(asked_BV, params).cumsum_(-1)
        u_B = torch.from_numpy(np.minimum(uniform_B, _BELOW_ONE)).to(cdf_BV.device)
        ids_B = torch.searchsorted(cdf_BV, u_B[:, None] * cdf_BV[:, -1:], right=True)[:, 0]
    logp_B = logits_BV.log_softmax(-1).gather(-1, ids_B[:, None])[:, 0]
    return ids_B, logp_B
