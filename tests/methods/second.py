"""A second implementation of the neighbours and of variants of the core methods: float64, one unpadded row at a time.

Written from the papers' formulas with the papers' numbers typed here, so that a wrong default of a card shows too. No
function of the trainer, the signals, the gates, the divergences or a method is called; gradients are autograd's on the
loss as the paper prints it (GSPO's ratio of a whole response, for one), weights held fixed by explicit `detach`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from creditbench.conformance.synthetic import render
from creditbench.items import Hint


@dataclass
class World:
    """What a step knows: policies (sampling, now), teachers' weights, who read what, noise draws already made."""

    batch: Any
    old: Any
    now: Any
    initial: Any
    lagged: Any
    external: Any
    hints: tuple[Hint | None, ...] = ()
    silent: frozenset[int] = frozenset()  # truncated rows when they carry no loss

    def tokens(self, b: int) -> list[int]:
        return self.batch.response_BT[b, : int(self.batch.length_B[b])].tolist()

    def live(self, b: int) -> torch.Tensor:
        on = self.batch.mask_BT[b, : int(self.batch.length_B[b])]
        return on if b not in self.silent else torch.zeros_like(on)

    def logits(self, net, b: int, hint: Hint | None = None):
        prompt = list(render(self.batch.items[b], hint))
        out = net(input_ids=torch.tensor([[*prompt, *self.tokens(b)]])).logits[0]
        return out[len(prompt) - 1 : -1]

    def logs(self, net, b: int, hint: Hint | None = None, temperature: float = 1.0):
        return torch.log_softmax(self.logits(net, b, hint) / temperature, -1)

    def picked(self, net, b: int, hint: Hint | None = None):
        return self.logs(net, b, hint).gather(1, torch.tensor(self.tokens(b), dtype=torch.long)[:, None])[:, 0]

    def members(self, b: int) -> list[int]:
        return torch.nonzero(self.batch.group_B == self.batch.group_B[b]).flatten().tolist()

    def reward(self, b: int) -> float:
        return float(self.batch.reward_B[b])

    def right(self, b: int) -> bool:
        return bool(self.batch.correct_B[b])

    def zscore(self, b: int) -> float:
        r = torch.tensor([self.reward(i) for i in self.members(b)], dtype=torch.float64)
        if len(r) < 2 or bool((r == r[0]).all()):
            return 0.0
        return float((self.reward(b) - r.mean()) / (r.std() + 1e-6))

    def centred(self, b: int) -> float:
        r = [self.reward(i) for i in self.members(b)]
        return self.reward(b) - sum(r) / len(r)


def clipped(rho, a, low: float, high: float):
    return -torch.minimum(rho * a, rho.clamp(1 - low, 1 + high) * a)


def ratio(w: World, b: int):
    return (w.picked(w.now, b) - w.picked(w.old, b).detach()).exp()


def token_mean(per_row: dict, rows: list[int], w: World):
    """Sum over live tokens of the optimizer batch over their number."""
    total = sum(x[w.live(b)].sum() for b, x in per_row.items())
    return total / max(sum(int(w.live(b).sum()) for b in rows), 1)


def sequence_mean(per_row: dict, rows: list[int], w: World):
    return sum(x[w.live(b)].mean() for b, x in per_row.items() if bool(w.live(b).any())) / len(rows)


def constant(per_row: dict, rows: list[int], w: World):
    return sum(x[w.live(b)].sum() for b, x in per_row.items()) / (len(rows) * w.batch.max_response)


# The neighbours. Each takes the rows of one optimizer batch and returns its loss, with gradient to `w.now`.


def dr_grpo(w: World, rows: list[int]):
    return constant({b: clipped(ratio(w, b), w.centred(b), 0.2, 0.2) for b in rows}, rows, w)


def rloo(w: World, rows: list[int]):
    out = {}
    for b in rows:
        others = [w.reward(i) for i in w.members(b) if i != b]
        out[b] = -ratio(w, b) * ((w.reward(b) - sum(others) / len(others)) if others else 0.0)
    return constant(out, rows, w)


def gspo(w: World, rows: list[int]):
    total = 0.0
    for b in rows:
        if bool(w.live(b).any()):
            s = (w.picked(w.now, b) - w.picked(w.old, b).detach())[w.live(b)].mean().exp()
            total = total + clipped(s, w.zscore(b), 3e-4, 4e-4)
    return total / len(rows)


def cispo(w: World, rows: list[int]):
    out = {b: -ratio(w, b).detach().clamp(max=5.0) * w.zscore(b) * w.picked(w.now, b) for b in rows}
    return token_mean(out, rows, w)


def reinforce_pp(w: World, rows: list[int], baseline: bool = False):
    value = {b: w.centred(b) if baseline else w.reward(b) for b in rows}
    every = torch.cat([torch.full((int(w.live(b).sum()),), value[b], dtype=torch.float64) for b in rows])
    mean, std = every.mean(), (every.var() + 1e-8).sqrt()
    return token_mean({b: clipped(ratio(w, b), (value[b] - mean) / std, 0.2, 0.2) for b in rows}, rows, w)


def top_entropy(w: World, rows: list[int]):
    h = {b: -(w.logs(w.old, b).exp() * w.logs(w.old, b)).sum(-1).detach() for b in rows}
    tau = torch.quantile(torch.cat([h[b][w.live(b)] for b in rows]), 0.8)
    kept = {b: (h[b] >= tau) & w.live(b) for b in rows}
    total = sum(clipped(ratio(w, b), w.zscore(b), 0.2, 0.28)[kept[b]].sum() for b in rows)
    return total / sum(int(k.sum()) for k in kept.values())


def bounded(gap, sign: float, eps: float, lam: float = 0.5):
    return 1 - lam + lam * (sign * gap).exp().clamp(1 - eps, 1 + eps)


def rlsd(w: World, rows: list[int]):
    out = {}
    for b in rows:
        a = w.zscore(b)
        gap = (w.picked(w.lagged, b, Hint("answer")) - w.picked(w.old, b)).detach()
        out[b] = clipped(ratio(w, b), a * bounded(gap, (a > 0) - (a < 0), 0.2), 0.2, 0.28)
    return token_mean(out, rows, w)


def rlrt(w: World, rows: list[int]):
    out = {}
    for b in rows:
        a, weight = w.zscore(b), 1.0
        if w.right(b) and w.hints[b] is not None:
            gap = (w.picked(w.old, b) - w.picked(w.lagged, b, w.hints[b])).detach()
            weight = bounded(gap, (a > 0) - (a < 0), 1.0)
        out[b] = clipped(ratio(w, b), a * weight, 0.2, 0.28)
    return token_mean(out, rows, w)


def saliency(w: World, b: int):
    """GRAIL's score: norm of gradient x embedding of the answer's NLL, at the position that predicts the token [T]."""
    ids = [*render(w.batch.items[b]), *w.tokens(b)]
    leaf = w.old.get_input_embeddings()(torch.tensor([ids])).detach().requires_grad_()
    start, logs = len(ids) - len(w.tokens(b)), torch.log_softmax(w.old(inputs_embeds=leaf).logits[0], -1)
    at = torch.nonzero(w.batch.answer_BT[b]).flatten().tolist()
    nll = -torch.stack([logs[start + t - 1, w.tokens(b)[t]] for t in at]).sum()
    (g,) = torch.autograd.grad(nll, leaf)
    return (g * leaf.detach())[0].norm(dim=-1)[start - 1 : -1]


def grail(w: World, rows: list[int]):
    out = {}
    for b in rows:
        a, weight = w.centred(b), torch.ones(len(w.tokens(b)), dtype=torch.float64)
        answer = w.batch.answer_BT[b, : len(weight)]
        if bool(answer.any()):
            if a <= 0:  # symmetry `wrong`: correct rows keep 1
                log, on = (saliency(w, b) + 1e-8).log(), w.live(b)
                z = (log - log[on].mean()) / (log[on].var(unbiased=False) + 1e-8).sqrt()
                weight = (1 + 0.5 * z).clamp(0.5, 5.0)
                weight[~w.batch.reasoning_BT[b, : len(weight)]] = 1.0
            weight[answer] = 5.0
        out[b] = clipped(ratio(w, b), a * weight, 0.2, 0.28)
    return constant(out, rows, w)


def sdpg(w: World, rows: list[int], beta: float = 0.001, alpha: float = 0.001):
    out = {}
    for b in rows:
        if len({w.right(i) for i in w.members(b)}) == 1:
            continue  # dynamic sampling
        a, rho = w.zscore(b), ratio(w, b)
        loss = clipped(rho, a, 0.2, 0.28)
        loss = loss.clamp(max=-10.0 * a) if a < 0 else loss
        log_p = w.logs(w.now, b)
        if a > 0:
            log_q = w.logs(w.now, b, Hint("answer")).detach()
            loss = loss + beta * (log_p.exp() * (log_p - log_q)).sum(-1).clamp(max=20)
        away = w.picked(w.now, b) - w.picked(w.initial, b).detach()
        out[b] = loss + alpha * away**2 / 2
    return token_mean(out, list(out), w)


def jsd(log_t, log_s, beta: float):
    t, s = log_t.exp(), log_s.exp()
    if beta in (0, 1):
        p, q = (t, s) if beta == 0 else (s, t)
        return p * (p / q).log()
    m = beta * t + (1 - beta) * s
    return beta * t * (t / m).log() + (1 - beta) * s * (s / m).log()


def sdpo(w: World, rows: list[int]):
    out = {}
    for b in rows:
        if w.hints[b] is not None:
            d = jsd(w.logs(w.lagged, b, w.hints[b]).detach(), w.logs(w.now, b), 0.5).sum(-1)
            out[b] = d * ratio(w, b).detach().clamp(max=2.0)
    return token_mean(out, list(out), w) if out else w.logits(w.now, rows[0]).sum() * 0


def opsd_sampled(w: World, rows: list[int]):
    """Eq. 9 of OPSD: - mean over tokens of sg[log p_T - log p_S] log p_S, off policy with an unclipped ratio."""
    gap = {b: (w.picked(w.initial, b, Hint("solution")) - w.picked(w.old, b)).detach() for b in rows}
    return token_mean({b: -ratio(w, b) * gap[b] for b in rows}, rows, w)


def grpo_distill(w: World, rows: list[int]):
    """CAST's GRPO+OPSD at its first step: GRPO's clipped loss + 0.2 OPSD's loss."""
    policy = token_mean({b: clipped(ratio(w, b), w.zscore(b), 0.2, 0.28) for b in rows}, rows, w)
    out = {}
    for b in rows:
        teacher = w.logs(w.initial, b, Hint("solution")).detach()
        out[b] = jsd(teacher, w.logs(w.now, b), 0.0).clamp(max=0.05).sum(-1)
    return policy + 0.2 * token_mean(out, rows, w)


def grpo_sibling(w: World, rows: list[int], forward: float, reverse: float):
    """Rows of SC-GRPO's table 2: GRPO + forward and reverse KL to the current model reading a correct sibling."""
    policy = sequence_mean({b: clipped(ratio(w, b), w.zscore(b), 0.2, 0.2) for b in rows}, rows, w)
    out = {}
    for b in rows:
        if w.hints[b] is not None:
            teacher, student = w.logs(w.now, b, w.hints[b]).detach(), w.logs(w.now, b)
            out[b] = (forward * jsd(teacher, student, 0.0) + reverse * jsd(teacher, student, 1.0)).sum(-1)
    live = [b for b in out if bool(w.live(b).any())]
    return policy + (sequence_mean(out, live, w) if live else 0.0)


def oracle_credit(w: World, rows: list[int]):
    out = {}
    for b in rows:
        a = w.zscore(b)
        keep = torch.ones(len(w.tokens(b))) if a >= 0 else w.batch.wrong_BT[b, : len(w.tokens(b))]
        out[b] = clipped(ratio(w, b), a * keep.double(), 0.2, 0.2)
    return sequence_mean(out, rows, w)


# Variants of the core methods that their own tests take at the default.


def grpo_penalty(w: World, rows: list[int], kind: str, beta: float = 0.04):
    out = {}
    for b in rows:
        log_r = w.picked(w.initial, b).detach() - w.picked(w.now, b)
        penalty = {"k1": -log_r, "k2": log_r**2 / 2, "k3": log_r.exp() - log_r - 1}[kind]
        out[b] = clipped(ratio(w, b), w.zscore(b), 0.2, 0.2) + beta * penalty
    return sequence_mean(out, rows, w)


def opd_full(w: World, rows: list[int], beta: float, temperature: float = 1.0):
    def one(b):
        teacher = w.logs(w.external, b, None, temperature).detach()
        return jsd(teacher, w.logs(w.now, b, None, temperature), beta).sum(-1)

    return token_mean({b: one(b) for b in rows}, rows, w)


def opsd(w: World, rows: list[int], beta: float, tau: float, mean=token_mean):
    def one(b):
        teacher = w.logs(w.initial, b, Hint("solution"), 1.1).detach()
        return jsd(teacher, w.logs(w.now, b, None, 1.1), beta).clamp(max=tau).sum(-1)

    # Rows that carry no loss are no part of a distillation's mean: its expectation is over what is distilled.
    return mean({b: one(b) for b in rows}, [b for b in rows if bool(w.live(b).any())], w)


def gap_of_cast(w: World, b: int):
    return (w.picked(w.lagged, b, Hint("header")) - w.picked(w.old, b)).detach()


def cast_without_reversal(w: World, rows: list[int], low: float, high: float, mixed_only: bool = False):
    """Table 7 `no sign reversal`: A = clip(B clip(exp(sign(B) g), l, u), -1.2, 1.2), here with one range for both."""
    out = {}
    for b in rows:
        n_c = sum(w.right(i) for i in w.members(b))
        uniform = {0: -1.0, len(w.members(b)): 1.0}.get(n_c)
        base = w.zscore(b) if uniform is None or mixed_only else uniform
        sign = (base > 0) - (base < 0)
        a = (base * (sign * gap_of_cast(w, b)).exp().clamp(low, high)).clamp(-1.2, 1.2)
        out[b] = clipped(ratio(w, b), a, 0.2, 0.28)
    return token_mean(out, rows, w)


def answer_logits(w: World, b: int, tokens: list[int], at: list[int]):
    prompt = list(render(w.batch.items[b]))
    out = w.old(input_ids=torch.tensor([[*prompt, *tokens]])).logits[0].detach()
    return torch.stack([out[len(prompt) + t - 1] for t in at])


def oar_p(w: World, rows: list[int], outcome: str, quantile: float, beta: float):
    """The released file's three outcome representations, its gate with the mass kept."""
    out = {}
    for b in rows:
        a, weight = w.zscore(b), torch.ones(len(w.tokens(b)), dtype=torch.float64)
        at = torch.nonzero(w.batch.answer_BT[b]).flatten().tolist()
        reasoning = torch.nonzero(w.batch.reasoning_BT[b] & w.batch.mask_BT[b]).flatten().tolist()
        if a != 0 and at and reasoning and b not in w.silent:
            own = [w.tokens(b)[t] for t in at]

            def seen(tokens, b=b, at=at, own=own):
                z = answer_logits(w, b, tokens, at)
                if outcome == "answer_joint":
                    return torch.log_softmax(z, -1)[torch.arange(len(at)), own].mean()
                return torch.log_softmax(z[0] if outcome == "last" else z.mean(0), -1)

            clean, score = seen(w.tokens(b)), []
            for t in reasoning:
                other = seen([0 if i == t else x for i, x in enumerate(w.tokens(b))])
                drop = clean - other
                score.append(float(drop.clamp(min=0) if outcome == "answer_joint" else (clean.exp() * drop).sum()))
            weight[reasoning] = gate(torch.tensor(score, dtype=torch.float64).clamp(min=0), quantile, beta)
        out[b] = clipped(ratio(w, b), a * weight, 0.2, 0.2)
    return sequence_mean(out, rows, w)


def gate(score, quantile: float, beta: float):
    u = (1 + score).log()
    if float(u.max()) <= float(u.min()):
        return torch.ones_like(u)
    n = (u - u.min()) / (u.max() - u.min())
    theta = float(torch.quantile(n, quantile))
    weight = [max(x / theta, 0.1) if x < theta else 1 + beta * (x - theta) / max(1 - theta, 1e-12) for x in n.tolist()]
    return torch.tensor(weight, dtype=torch.float64) * len(weight) / sum(weight)
