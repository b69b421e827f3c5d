"""Placebo arms: the same method with its placement of credit destroyed.

A gain that the placebo also shows is not credit assignment. Each placebo is a change at one seam, so that it works on
every method without knowing it: on the credit, on a teacher's log-probs, or on a teacher's context.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from creditbench.errors import unknown
from creditbench.items import Hint
from creditbench.rollouts import RolloutBatch, masked_mean
from creditbench.signals import Signals

PLACEBOS = ("permuted", "response-mean", "permuted-gap", "wrong-context")
_BARE = ("problem", "header")  # contexts that carry nothing to exchange


@dataclass(frozen=True)
class Seams:
    """Where a placebo acts; None leaves that seam alone."""

    credit: Callable[[Tensor, RolloutBatch], Tensor] | None = None
    signals: Callable[[Signals, RolloutBatch], Signals] | None = None
    hints: Callable[[RolloutBatch, tuple[Hint | None, ...]], tuple[Hint | None, ...]] | None = None


def seams(placebo: str) -> Seams:
    """The seams of a placebo by name ("" for none). Raises BadInput for an unknown name."""
    table = {
        "": Seams(),
        "permuted": Seams(credit=permute_within_response),
        "response-mean": Seams(credit=response_mean),
        "permuted-gap": Seams(signals=permute_gap),
        "wrong-context": Seams(hints=wrong_context),
    }
    if placebo not in table:
        raise unknown("placebo", placebo, PLACEBOS)
    return table[placebo]


def _order(seed: int, purpose: str, n: int) -> Tensor:
    key = int.from_bytes(hashlib.sha256(f"{purpose}:{seed}".encode()).digest()[:8], "big") >> 1
    return torch.randperm(n, generator=torch.Generator().manual_seed(key))


def permuted_rows(values_BT: Tensor, batch: RolloutBatch, purpose: str) -> Tensor:
    """Values shuffled among each response's model tokens [B,T]; the multiset of a row is unchanged.

    The permutation depends on the row's sampling seed alone, so several tensors can be shuffled alike.
    """
    out_BT = values_BT.clone()
    for b, seed in enumerate(batch.seed_B):
        at = torch.nonzero(batch.mask_BT[b]).flatten()
        out_BT[b, at] = values_BT[b, at[_order(seed, purpose, len(at))]]
    return out_BT


def permute_within_response(credit_BT: Tensor, batch: RolloutBatch) -> Tensor:
    """`permuted`: each response keeps its credits, at random tokens."""
    return permuted_rows(credit_BT, batch, "permuted")


def response_mean(credit_BT: Tensor, batch: RolloutBatch) -> Tensor:
    """`response-mean`: every token of a response gets the response's mean credit."""
    return masked_mean(credit_BT, batch.mask_BT)[:, None] * batch.mask_BT.to(credit_BT.dtype)


def permute_gap(signals: Signals, batch: RolloutBatch) -> Signals:
    """`permuted-gap`: teacher-student gaps are shuffled within the response before the method's own rule."""
    moved = {}
    for name, logp_BT in signals.logp_teacher_BT.items():
        gap_BT = (logp_BT - signals.logp_old_BT) * batch.mask_BT.to(logp_BT.dtype)
        moved[name] = signals.logp_old_BT + permuted_rows(gap_BT, batch, "permuted-gap")
    return replace(signals, logp_teacher_BT=moved)


def wrong_context(batch: RolloutBatch, hints: tuple[Hint | None, ...]) -> tuple[Hint | None, ...]:
    """`wrong-context`: the teacher sees a trajectory, solution or answer of another problem of the batch.

    Each group takes from the next group that has contexts and another problem (a batch may hold one problem twice).
    When there is none, another problem's responses (for rollouts) or item (for solutions and answers) stand in; a
    batch of one problem keeps no context at all.
    """
    group_of = batch.group_B.tolist()
    rows_of = [[b for b, other in enumerate(group_of) if other == g] for g in range(batch.n_groups)]
    for rows in rows_of:
        rows.sort(key=lambda b: batch.seed_B[b])
    item_of = [batch.items[rows[0]] for rows in rows_of]
    offered = [[h for b in rows if (h := hints[b]) is not None and h.kind not in _BARE] for rows in rows_of]
    out: list[Hint | None] = list(hints)
    for b, hint in enumerate(hints):
        if hint is None or hint.kind in _BARE:
            continue
        g, n = group_of[b], len(rows_of)
        others = [d % n for d in range(g + 1, g + n) if item_of[d % n].id != item_of[g].id]
        donor = next((d for d in others if offered[d]), next(iter(others), None))
        if donor is None or (hint.kind == "solution" and not item_of[donor].solution):
            out[b] = None
        elif hint.kind == "rollout":
            given = [h.completion for h in offered[donor]] or [batch.completions[r] for r in rows_of[donor]]
            out[b] = replace(hint, completion=given[batch.seed_B[b] % len(given)])
        else:
            out[b] = replace(hint, item=item_of[donor])
    return tuple(out)
