"""What is logged per step: reward, outcomes, lengths, weights by group type, and how weights depend on length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from creditbench.items import OUTCOMES
from creditbench.rollouts import RolloutBatch, group_size, masked_mean, n_correct
from creditbench.trainer.collect import Collected

MISMATCH_LIMIT = 1e-3
"""KL(sampler || trainer) per token, in nats, above which a run is flagged: its rollouts are no longer on-policy."""


def mismatch_notes(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """A line for the manifest when sampler and trainer disagreed too much at any step of the curve."""
    worst = max(rows, key=lambda row: row.get("mismatch.kl", 0.0), default={})
    if worst.get("mismatch.kl", 0.0) <= MISMATCH_LIMIT:
        return ()
    return (
        f"train/inference mismatch: KL {worst['mismatch.kl']:.2g} nats per token at step {worst['step']} "
        f"(limit {MISMATCH_LIMIT:g}), mean |difference| {worst['mismatch.mean_abs']:.2g}",
    )


def weights(credit_BT: Tensor, adv_B: Tensor) -> Tensor:
    """Weight of each token: credit / advantage where the advantage is not zero, else 0 [B,T]."""
    safe_B = torch.where(adv_B == 0, torch.ones_like(adv_B), adv_B)
    return torch.where(adv_B[:, None] == 0, torch.zeros_like(credit_BT), credit_BT / safe_B[:, None])


def rank_correlation(x: Tensor, y: Tensor) -> float:
    """Spearman's rank correlation; 0 when either side is constant or there are fewer than 3 values."""
    if len(x) < 3:
        return 0.0
    a, b = _ranks(x.double()), _ranks(y.double())
    a, b = a - a.mean(), b - b.mean()
    scale = float(a.norm() * b.norm())
    return float(a @ b) / scale if scale > 0 else 0.0


def _ranks(x: Tensor) -> Tensor:
    _, inverse, counts = torch.unique(x, return_inverse=True, return_counts=True)
    upto = counts.cumsum(0).double()
    return (upto - (counts.double() - 1) / 2)[inverse]


def batch_row(collected: Collected, adv_B: Tensor, credit_BT: Tensor, live_BT: Tensor, signals) -> dict[str, float]:
    """Curve columns known before the update."""
    batch = collected.batch
    graded = collected.all_graded
    n = max(len(graded), 1)
    row: dict[str, float] = {
        "reward": sum(g.reward for g in graded) / n,
        "correct": sum(g.correct for g in graded) / n,
        "response_tokens": float(batch.tokens_B.double().mean()),
        "uniform_groups": collected.uniform_share,
        "generated_batches": float(collected.generated_batches),
        "groups": float(batch.n_groups),
    }
    for outcome in OUTCOMES:
        row[f"outcome.{outcome}"] = sum(g.outcome == outcome for g in graded) / n
    row.update(weight_row(batch, adv_B, credit_BT, live_BT))
    for name, tokens_B in signals.context_tokens_B.items():
        used = (tokens_B > 0) & (adv_B != 0)
        mean_B = masked_mean(weights(credit_BT, adv_B), live_BT)
        row[f"weight.rank_corr_context.{name}"] = rank_correlation(mean_B[used], tokens_B[used])
    return row


def weight_row(batch: RolloutBatch, adv_B: Tensor, credit_BT: Tensor, live_BT: Tensor) -> dict[str, float]:
    """Statistics of the token weights, overall and by group type, and their rank correlation with length.

    Group types: `mixed` is `one_correct` and `partial` (2 to G - 1 correct) together; SC-GRPO weighs only the latter.
    """
    weight_BT = weights(credit_BT, adv_B)
    used_BT = live_BT & (adv_B != 0)[:, None]
    values = weight_BT[used_BT].double()
    mean_B = masked_mean(weight_BT, live_BT)
    n_c, size = n_correct(batch), group_size(batch.group_B).long()
    kinds = {
        "all_wrong": n_c == 0, "mixed": (n_c > 0) & (n_c < size), "one_correct": (n_c == 1) & (size > 1),
        "partial": (n_c > 1) & (n_c < size), "all_correct": n_c == size,
    }  # fmt: skip
    row = {
        "weight.mean": float(values.mean()) if len(values) else 0.0,
        "weight.std": float(values.std(correction=0)) if len(values) else 0.0,
        "weight.min": float(values.min()) if len(values) else 0.0,
        "weight.max": float(values.max()) if len(values) else 0.0,
        "weight.ess": _ess(values),
        "weight.rank_corr_length": rank_correlation(mean_B[adv_B != 0], batch.tokens_B[adv_B != 0]),
        "credit.abs_mean": float(credit_BT[live_BT].abs().mean()) if bool(live_BT.any()) else 0.0,
        "credit.flipped": _share(((credit_BT * adv_B[:, None]) < 0) & used_BT, used_BT),
    }
    for kind, rows_B in kinds.items():
        row[f"groups.{kind}"] = float(rows_B.double().mean()) if len(rows_B) else 0.0
        at_BT = live_BT & rows_B[:, None]
        row[f"credit.abs_mean.{kind}"] = float(credit_BT[at_BT].abs().mean()) if bool(at_BT.any()) else 0.0
        weighed_BT = at_BT & used_BT
        row[f"weight.mean.{kind}"] = float(weight_BT[weighed_BT].double().mean()) if bool(weighed_BT.any()) else 0.0
    return row


def _ess(values: Tensor) -> float:
    """Effective sample size of the weights as a share: (sum w)^2 / (n sum w^2)."""
    denominator = float((values**2).sum()) * len(values)
    return float(values.sum()) ** 2 / denominator if denominator > 0 else 0.0


def _share(part: Tensor, whole: Tensor) -> float:
    return float(part.sum()) / max(float(whole.sum()), 1.0)
