"""A second implementation of the eight core methods, in numpy float64, from the papers' formulas alone.

Nothing here calls the trainer, the signals, the gates or a method's own functions: log-probabilities come row by row
from the model without padding, everything after that is plain loops over rows and tokens. Slow and simple on purpose.
"""

from __future__ import annotations

import math

import numpy as np
import torch

from creditbench.conformance.synthetic import PAD, render

CLIP = {"grpo": (0.2, 0.2), "dapo": (0.2, 0.28), "cast": (0.2, 0.28), "sc_grpo": (0.2, 0.2), "oar_p": (0.2, 0.2),
        "oar_g": (0.2, 0.2)}  # fmt: skip
PER_RESPONSE = {"grpo", "sc_grpo", "oar_p", "oar_g"}  # mean over a response's tokens first; the rest: over all tokens


def log_softmax(z):
    z = z - z.max(-1, keepdims=True)
    return z - np.log(np.exp(z).sum(-1, keepdims=True))


def logits(net, prompt, response) -> np.ndarray:
    """Logits [T,V] that predict each response token, from one unpadded row."""
    ids = torch.tensor([[*prompt, *response]])
    with torch.no_grad():
        return net(input_ids=ids).logits[0, len(prompt) - 1 : -1].double().numpy()


class Rows:
    """A batch as plain lists: what an outside reader of the records would have."""

    def __init__(self, batch, mask_truncated: bool):
        self.batch = batch
        self.n = batch.n_rows
        self.tokens = [batch.response_BT[b, : int(batch.length_B[b])].tolist() for b in range(self.n)]
        own = batch.mask_BT.numpy()
        cut = batch.truncated_B.numpy() if mask_truncated else np.zeros(self.n, bool)
        self.live = [own[b, : len(self.tokens[b])] & ~cut[b] for b in range(self.n)]
        self.right = batch.correct_B.numpy()
        self.group = batch.group_B.numpy()
        self.members = [np.flatnonzero(self.group == g) for g in range(int(self.group.max()) + 1)]

    def picked(self, net, b, prompt=None) -> np.ndarray:
        """Log-probability of each sampled token [T]."""
        z = log_softmax(logits(net, prompt or self.batch.prompts[b], self.tokens[b]))
        return z[np.arange(len(self.tokens[b])), self.tokens[b]]

    def zscore(self, reward) -> np.ndarray:
        adv = np.zeros(self.n)
        for rows in self.members:
            r = np.asarray(reward, float)[rows]
            if len(set(r.tolist())) > 1:
                adv[rows] = (r - r.mean()) / (r.std(ddof=1) + 1e-6)
        return adv


def surrogate(rho: float, a: float, low: float, high: float) -> float:
    return -min(rho * a, min(max(rho, 1 - low), 1 + high) * a)


def cast_token(b: float, g: float) -> float:
    """Eqs. 3 to 7 with Table 8's numbers."""
    if b == 0:
        return 0.0
    if g == 0:
        return min(max(b, -1.2), 1.2)
    size = abs(b) * (min(math.exp(abs(g)), 1.05) if g > 0 else min(math.exp(abs(g)), 1.2))
    return min(max(math.copysign(size, g), -1.2), 1.2)


def bilevel(score: np.ndarray, quantile: float = 0.40, beta: float = 2.0) -> np.ndarray:
    """Gate over one response's reasoning tokens, mass kept; the released file's 1e-8 beside theta is left out."""
    u = np.log1p(np.maximum(score, 0.0))
    if u.max() <= u.min():
        return np.ones(len(u))
    h = (u - u.min()) / (u.max() - u.min())
    theta = np.quantile(h, quantile)
    w = np.array([max(x / theta, 0.1) if x < theta else 1 + beta * (x - theta) / (1 - theta) for x in h])
    return w * len(w) / w.sum()


def answer_probability(net, rows: Rows, b: int, response) -> np.ndarray:
    """Softmax of the mean logits at the positions that predict the answer's tokens [V]."""
    at = np.flatnonzero(rows.batch.answer_BT[b].numpy())
    return np.exp(log_softmax(logits(net, rows.batch.prompts[b], response)[at].mean(0)))


def perturbation(net, rows: Rows, b: int, at) -> np.ndarray:
    """OAR-P: KL(original || token replaced by padding) at the answer, for each position of `at`."""
    p = answer_probability(net, rows, b, rows.tokens[b])
    out = []
    for t in at:
        changed = list(rows.tokens[b])
        changed[t] = PAD
        q = answer_probability(net, rows, b, changed)
        out.append(float((p * (np.log(p) - np.log(q))).sum()))
    return np.array(out)


def sibling_weights(rows: Rows, old, hints) -> list[np.ndarray]:
    """SC-GRPO: D = KL(teacher || student) and f = D / (D + c), c = max(P75 of active D, 1e-4)."""
    d = [np.zeros(len(t)) for t in rows.tokens]
    for b, hint in enumerate(hints):
        if hint is not None and len(rows.tokens[b]):
            item = rows.batch.items[b]
            t = log_softmax(logits(old, render(item, hint), rows.tokens[b]))
            s = log_softmax(logits(old, rows.batch.prompts[b], rows.tokens[b]))
            d[b] = (np.exp(t) * (t - s)).sum(-1)
    active = [d[b][rows.live[b]] for b, hint in enumerate(hints) if hint is not None]
    pooled = np.concatenate(active) if active else np.zeros(0)
    c = max(float(np.percentile(pooled, 75)), 1e-4) if len(pooled) else 1e-4
    return [x / (x + c) for x in d]


def sc_credit(rows: Rows, old, hints) -> list[np.ndarray]:
    f, adv = sibling_weights(rows, old, hints), rows.zscore(rows.right)
    out = [np.full(len(t), adv[b]) for b, t in enumerate(rows.tokens)]
    for members in rows.members:
        n_c = int(rows.right[members].sum())
        if 2 <= n_c < len(members):
            for b in members:
                out[b] = adv[b] * f[b]
        if n_c == 0:
            score = {}
            for b in members:
                out[b] = np.zeros(len(rows.tokens[b]))
                hint = hints[b]
                upto = hint.completion.n_tokens if hint is not None else 0
                if len(seen := f[b][rows.live[b]][:upto]):
                    score[b] = seen.mean()
            values = np.array(list(score.values()))
            if len(values) > 1:
                for b, s in score.items():
                    out[b] = 0.1 * (s - values.mean()) / (values.std(ddof=1) + 1e-6) * f[b]
    return out


def credit(name: str, rows: Rows, old, external, work) -> list[np.ndarray]:
    """Token credit of every row; `work` is asked only for random draws: contexts of SC-GRPO, scores of OAR-G."""
    batch = rows.batch
    plain = rows.zscore(rows.right)
    if name == "dapo":
        cache = round(0.2 * batch.max_response)
        late = [min(0.0, max(-1.0, ((batch.max_response - cache) - int(m.sum())) / cache)) for m in rows.live]
        plain = rows.zscore([(1.0 if r else -1.0) + p for r, p in zip(rows.right, late, strict=True)])
    if name in ("grpo", "dapo"):
        return [np.full(len(t), plain[b]) for b, t in enumerate(rows.tokens)]
    if name == "opd":
        return [rows.picked(external, b) - rows.picked(old, b) for b in range(rows.n)]
    if name == "cast":
        base = plain.copy()
        for members in rows.members:
            if rows.right[members].all() or not rows.right[members].any():
                base[members] = 1.0 if rows.right[members].all() else -1.0
        from creditbench.items import Hint

        out = []
        for b in range(rows.n):
            g = rows.picked(old, b, render(batch.items[b], Hint("header"))) - rows.picked(old, b)
            out.append(np.array([cast_token(base[b], x) for x in g]))
        return out
    if name == "sc_grpo":
        return sc_credit(rows, old, work.signals.hints["sibling"])
    out = [np.full(len(t), plain[b]) for b, t in enumerate(rows.tokens)]
    for b in range(rows.n):
        at = np.flatnonzero(batch.reasoning_BT[b].numpy() & batch.mask_BT[b].numpy())
        if plain[b] != 0 and len(at) and bool(batch.answer_BT[b].any()):
            score = perturbation(old, rows, b, at) if name == "oar_p" else work.signals.input_grad_BT[b, at].numpy()
            out[b][at] *= bilevel(score)
    return out


def loss(name: str, rows: Rows, old_logp, a, now) -> float:
    """The whole loss at the policy `now`, credit `a` and behaviour log-probabilities held fixed."""
    kept = [b for b in range(rows.n) if name != "dapo" or 0 < rows.right[rows.group == rows.group[b]].mean() < 1]
    per_row = {}
    for b in kept:
        rho = np.exp(rows.picked(now, b) - old_logp[b])
        if name == "opd":
            terms = [-r * x for r, x in zip(rho, a[b], strict=True)]
        else:
            terms = [surrogate(r, x, *CLIP[name]) for r, x in zip(rho, a[b], strict=True)]
        per_row[b] = np.array(terms)[rows.live[b]]
    if name in PER_RESPONSE:
        return sum(float(x.mean()) for x in per_row.values() if len(x)) / rows.n
    total = sum(len(x) for x in per_row.values())
    return sum(float(x.sum()) for x in per_row.values()) / max(total, 1)


def opsd_loss(rows: Rows, initial, now, tau: float = 0.05, temperature: float = 1.1) -> float:
    """Mean over tokens of sum_v min(p_T log(p_T / p_S), tau)."""
    from creditbench.items import Hint

    total, count = 0.0, 0
    for b in range(rows.n):
        if not len(rows.tokens[b]):
            continue
        item = rows.batch.items[b]
        t = log_softmax(logits(initial, render(item, Hint("solution")), rows.tokens[b]) / temperature)
        s = log_softmax(logits(now, rows.batch.prompts[b], rows.tokens[b]) / temperature)
        entries = np.minimum(np.exp(t) * (t - s), tau).sum(-1)[rows.live[b]]
        total, count = total + float(entries.sum()), count + len(entries)
    return total / max(count, 1)
