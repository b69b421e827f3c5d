"""OPSD (2601.18734 v3): the frozen initial model, shown the reference solution, teaches the student on its own samples.

    L = E mean_n sum_v min( p_T(v) log(p_T(v) / p_S(v)), tau ),   p_T = pi_0(. | x, y*, y_<n),  p_S = pi(. | x, y_<n)

Forward KL, clipped per vocabulary entry before the sum; gradient through the student's logits only.
"""

from functools import partial

import torch

from creditbench.divergences import clipped_jsd
from creditbench.items import Hint
from creditbench.method import Distill, Method, Surrogate, Teacher


def reference_solution(group, thinking=None):
    """Context: the item's reference solution for every response; items without one do not train."""
    return [Hint("solution", thinking=thinking) if group.item.solution else None] * group.size


def build(s) -> Method:
    """Slots of OPSD: no policy gradient, no reward; slot 6 alone."""
    context = partial(reference_solution, thinking=s.teacher_thinking)
    return Method(
        advantage=lambda batch: torch.zeros_like(batch.reward_B),
        surrogate=Surrogate(kind="off"),
        aggregate="token-mean",
        teachers={"self": Teacher(weights=s.teacher, context=context, rate=s.ema_rate)},
        distill=Distill(
            teacher="self",
            divergence=partial(clipped_jsd, beta=s.beta, tau=s.tau if s.tau is not None else float("inf")),
            temperature=s.divergence_temperature,
            aggregate=s.aggregate,
        ),
    )
