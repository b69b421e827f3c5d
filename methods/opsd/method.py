"""OPSD (2601.18734 v3): the frozen initial model, shown the reference solution, teaches the student on its own samples.

    L = E mean_n sum_v min( p_T(v) log(p_T(v) / p_S(v)), tau ),   p_T = pi_0(. | x, y*, y_<n),  p_S = pi(. | x, y_<n)

Forward KL, clipped per vocabulary entry before the sum; gradient through the student's logits only.
Form `sampled` (eq. 9):  A_n = sg[log p_T(y_n) - log p_S(y_n)],   L = - mean_n A_n log p_S(y_n).
"""

from functools import partial

import torch

from creditbench.divergences import clipped_jsd
from creditbench.items import Hint, HintKind
from creditbench.method import Distill, Method, Surrogate, Teacher
from creditbench.signals import TeacherLogp


def reference(group, kind: HintKind = "solution", thinking=None):
    """Context: the item's reference solution (or final answer) for every response; items without one do not train."""
    return [Hint(kind, thinking=thinking) if getattr(group.item, kind) else None] * group.size


def usable(batch, kind="solution"):
    """Slot 1 of the sampled form: responses to items that have a reference; correctness plays no part."""
    return torch.tensor([bool(getattr(item, kind)) for item in batch.items]), batch.reward_B


def credit(adv_B, batch, signals):
    """Slot 3 of the sampled form, eq. 9: log-ratio of teacher to student on the sampled token [B,T]."""
    return adv_B[:, None] * signals.gap_BT("self") * batch.mask_BT


def build(s) -> Method:
    """Slots of OPSD: no reward; slot 6 alone, or in the sampled form the teacher's log-ratio as advantage."""
    context = partial(reference, kind=s.context, thinking=s.teacher_thinking)
    teachers = {"self": Teacher(weights=s.teacher, context=context, rate=s.ema_rate)}
    if s.form == "sampled":
        return Method(
            select=partial(usable, kind=s.context),
            advantage=lambda batch: torch.ones_like(batch.reward_B),
            credit=credit,
            surrogate=Surrogate(kind="none"),
            aggregate=s.aggregate,
            teachers=teachers,
            signals=(TeacherLogp("self"),),
        )
    return Method(
        advantage=lambda batch: torch.zeros_like(batch.reward_B),
        surrogate=Surrogate(kind="off"),
        aggregate="token-mean",
        teachers=teachers,
        distill=Distill(
            teacher="self",
            divergence=partial(clipped_jsd, beta=s.beta, tau=s.tau if s.tau is not None else float("inf")),
            temperature=s.divergence_temperature,
            aggregate=s.aggregate,
        ),
    )
