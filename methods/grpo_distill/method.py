"""GRPO with a self-teacher's divergence added to its loss: the rows that other papers set beside their token weights.

    L = L_GRPO + a(k) E mean_t D( pi_T(. | c, x, y_<t), pi(. | x, y_<t) ),   a(k) linear from `coef_from` to `coef_to`

CAST 2606.00172, GRPO+OPSD: D is OPSD's clipped forward KL, c the solution, a from 0.2 to 0 over 50 steps.
SC-GRPO 2606.18810, table 2: c a verified sibling, D forward or reverse KL with a = 0.1 or 0.03 to 0.1; `both`:
reverse KL with a(k) and forward KL with coef_to - a(k).
"""

from dataclasses import replace
from functools import partial

from creditbench.divergences import clipped_jsd
from creditbench.items import Hint, HintKind
from creditbench.method import Distill, Method, Surrogate, Teacher, group_zscore


def reference(group, kind: HintKind = "solution", thinking=None):
    """Context of OPSD's teacher: the item's reference solution (or final answer), none where there is none."""
    return [Hint(kind, thinking=thinking) if getattr(group.item, kind) else None] * group.size


def verified_sibling(group):
    """Context of SC-GRPO's teacher: a correct rollout of the group other than the response itself; none elsewhere."""
    right = [i for i in range(group.size) if bool(group.correct_G[i])]
    others = [[j for j in right if j != i] for i in range(group.size)]
    return [Hint("rollout", group.completions[group.rng.choice(js)], guide=True) if js else None for js in others]


def ramp(step: int, total: int, start: float, end: float, steps: int) -> float:
    """Linear from `start` at step 0 to `end` at step `steps` (0: the run's last step), constant from there on."""
    return start + (end - start) * min(1.0, step / (steps or max(total - 1, 1)))


def mixture(student_NV, teacher_NV, reverse: float, tau: float):
    """Share `reverse` of KL(student || teacher), the rest KL(teacher || student); clipped per entry at tau [N]."""
    forward_N = clipped_jsd(student_NV, teacher_NV, beta=0.0, tau=tau)
    return reverse * clipped_jsd(student_NV, teacher_NV, beta=1.0, tau=tau) + (1 - reverse) * forward_N


def build(s) -> Method:
    """Slots of GRPO, and a divergence in slot 6 that is averaged as GRPO's loss is."""
    tau = s.tau if s.tau is not None else float("inf")
    own = partial(reference, kind=s.context, thinking=s.teacher_thinking)
    coef = partial(ramp, start=s.coef_from, end=s.coef_to, steps=s.ramp_steps)
    distill = Distill(
        teacher="self",
        divergence=partial(clipped_jsd, beta=0.0 if s.divergence == "forward" else 1.0, tau=tau),
        coef=coef,
        temperature=s.divergence_temperature,
        aggregate=s.aggregate,
    )
    if s.divergence == "both":
        distill = replace(
            distill,
            coef=lambda step, total: s.coef_to,
            divergence_at=lambda step, total: partial(mixture, reverse=coef(step, total) / s.coef_to, tau=tau),
        )
    return Method(
        advantage=partial(group_zscore, std=s.std, eps=s.std_eps),
        surrogate=Surrogate(low=s.clip_low, high=s.clip_high),
        aggregate=s.aggregate,
        teachers={"self": Teacher(weights=s.teacher, context=verified_sibling if s.context == "sibling" else own)},
        distill=distill,
    )
