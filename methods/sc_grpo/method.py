"""SC-GRPO (2606.18810 v1): tokens where a verified sibling changes the model's mind carry the gradient.

    D_it = KL( sg pi(. | x, tau, o_<t) || pi(. | x, o_<t) ),   f = D / (D + c),   c = max(P75(D_active), 1e-4)
    2 <= n_c < G : tau_i ~ uniform over the group's correct rollouts other than o_i;  A_i = GRPO;       weight f
    n_c = 0      : one reference rollout o_r;  A_i = alpha (s_i - mean s)/(std s + eps), s_i = mean_{t<=L_i} f_it
    n_c in {1,G} : plain GRPO, weight 1

Which of these groups are weighted is table 3's first ablation: setting `weighted`.
"""

from functools import partial

import torch

from creditbench.items import Hint
from creditbench.method import Method, Surrogate, Teacher, group_zscore
from creditbench.rollouts import n_correct, quantile_of
from creditbench.signals import TeacherKL

guide = partial(Hint, "rollout", guide=True)  # section 5: the trajectory stands in the teacher's system prompt
WEIGHTED = {
    "partial": {"partial"},
    "partial+none": {"partial", "none"},
    "any-partial": {"one", "partial"},
    "all-correct": {"all"},
    "every": {"none", "one", "partial", "all"},
}


def kind(n_correct: int, size: int) -> str:
    """Routing of a group by its number of correct responses."""
    return "none" if n_correct == 0 else "all" if n_correct == size else "one" if n_correct == 1 else "partial"


def siblings(group, match_length: bool = False, weighted: str = "partial+none"):
    """Context: a correct sibling (never the response itself), or in solve-none groups one reference for the others.

    A response without a sibling to read, and every response of a group that is not weighted, gets no context.
    """
    right = [i for i in range(group.size) if bool(group.correct_G[i])]
    routed = kind(len(right), group.size)
    if routed not in WEIGHTED[weighted]:
        return [None] * group.size
    if routed == "none":
        r = group.rng.randrange(group.size)
        return [None if i == r else guide(group.completions[r], solved=False) for i in range(group.size)]
    hints = []
    for i in range(group.size):
        others = [j for j in right if j != i]
        own = group.completions[i].n_tokens
        if not others:
            hints.append(None)
            continue
        if match_length:
            nearest = min(abs(group.completions[j].n_tokens - own) for j in others)
            others = [j for j in others if abs(group.completions[j].n_tokens - own) == nearest]
        hints.append(guide(group.completions[group.rng.choice(others)]))
    return hints


def saturation(kl_BT, active_BT, scope_B, c_min: float, quantile: float):
    """f = D/(D+c) on active tokens [B,T]; c is the quantile of active KLs within each scope, floored at c_min."""
    f_BT = torch.zeros_like(kl_BT)
    for scope in torch.unique(scope_B).tolist():
        at_BT = active_BT & (scope_B == scope)[:, None]
        if bool(at_BT.any()):
            c = max(float(quantile_of(kl_BT[at_BT], quantile)), c_min)
            f_BT = torch.where(at_BT, kl_BT / (kl_BT + c), f_BT)
    return f_BT


def gathered_saturation(kl_BT, active_BT, batch, s):
    """The same with the quantile over the gathered optimizer batch (default) or each micro-batch (variant)."""
    if s.fixed_c is not None:
        return torch.where(active_BT, kl_BT / (kl_BT + s.fixed_c), torch.zeros_like(kl_BT))
    if s.scope == "micro-batch":
        scope_B = batch.optim_B * (int(batch.micro_B.max()) + 1) + batch.micro_B
        return saturation(kl_BT, active_BT, scope_B, s.c_min, s.quantile)
    f_BT = torch.zeros_like(kl_BT)
    for u in torch.unique(batch.optim_B).tolist():
        at_BT = active_BT & (batch.optim_B == u)[:, None]
        everyone = batch.gather(kl_BT[at_BT])
        if len(everyone):
            c = max(float(quantile_of(everyone, s.quantile)), s.c_min)
            f_BT = torch.where(at_BT, kl_BT / (kl_BT + c), f_BT)
    return f_BT


def diversity(f_BT, batch, signals, eps: float):
    """Solve-none pseudo-advantage [B]: z-score, within the group, of mean f over the first min(|o_i|, |o_r|) tokens.

    The reference rollout is left out of the statistics and gets 0 (our reading).
    """
    score_B = torch.full((batch.n_rows,), float("nan"), dtype=f_BT.dtype)
    for b, hint in enumerate(signals.hints["sibling"]):
        at = torch.nonzero(batch.mask_BT[b]).flatten()
        if hint is not None and hint.completion is not None and len(at):
            score_B[b] = f_BT[b, at[: hint.completion.n_tokens]].mean()
    out_B = torch.zeros_like(score_B)
    for group in batch.groups():
        rows = torch.tensor([r for r in group.rows if not torch.isnan(score_B[r])], dtype=torch.long)
        if group.n_correct == 0 and len(rows) > 1:
            values = score_B[rows]
            out_B[rows] = (values - values.mean()) / (values.std() + eps)
    return out_B


def credit(adv_B, batch, signals, s):
    """Slot 3: advantage times f where a sibling was read, times 1 elsewhere; solve-none groups by diversity [B,T]."""
    has_context_B = signals.has_context_B["sibling"]
    active_BT = batch.mask_BT & has_context_B[:, None]
    f_BT = gathered_saturation(signals.kl_BT["kl_teacher_student", "sibling"], active_BT, batch, s)
    if "none" in WEIGHTED[s.weighted]:
        div_B = s.alpha * diversity(f_BT, batch, signals, s.std_eps)
        adv_B = torch.where(n_correct(batch) == 0, div_B.to(adv_B.dtype), adv_B)
    if s.length_normalised:
        mean_B = (f_BT * active_BT).sum(-1) / active_BT.sum(-1).clamp(min=1)
        f_BT = f_BT / mean_B.clamp(min=1e-12)[:, None]
    weight_BT = torch.where(has_context_B[:, None], f_BT.to(adv_B.dtype), torch.ones((), dtype=adv_B.dtype))
    return adv_B[:, None] * weight_BT * batch.mask_BT


def build(s) -> Method:
    """Slots of SC-GRPO on GRPO's loss: per-sequence mean, symmetric clip."""
    contexts = partial(siblings, match_length=s.length_matched, weighted=s.weighted)
    return Method(
        advantage=partial(group_zscore, std=s.std, eps=s.std_eps),
        credit=partial(credit, s=s),
        surrogate=Surrogate(low=s.clip_low, high=s.clip_high),
        aggregate=s.aggregate,
        teachers={"sibling": Teacher(weights="live", context=contexts)},
        signals=(TeacherKL("sibling", "kl_teacher_student"),),
    )
