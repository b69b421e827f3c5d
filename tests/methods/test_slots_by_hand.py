"""What an outside reader can check with nothing but the contract: slots called on signals and rewards typed by hand.

No model runs here. Numbers are the papers' formulas worked out by hand or the golden values of their reference maps.
"""

import dataclasses
import math

import pytest
import torch

from creditbench.items import Completion, Hint
from creditbench.method import get_method
from creditbench.signals import Signals
from tests.methods.kit import synthetic_batch


def at_paper_settings(name: str, **own):
    """The method with the paper's values and nothing of a suite's."""
    return get_method(name).method(own)


def plain(marks, length: int, **masks):
    """Responses of equal length, every token the model's own; masks are rows of 0 and 1 per response."""
    batch = synthetic_batch(marks, lengths=[[length] * len(row) for row in marks])
    spans = {k: torch.tensor([v] * batch.n_rows, dtype=torch.bool) for k, v in masks.items()}
    return dataclasses.replace(batch, **spans)


def gaps(values, teacher: str = "self", off=()):
    """Signals in which the teacher's log-prob exceeds the policy's by `values` [B,T]; rows in `off` have no context."""
    gap_BT = torch.tensor(values, dtype=torch.float64)
    old_BT = torch.full_like(gap_BT, -1.5)
    has_B = torch.tensor([b not in off for b in range(len(values))])
    return Signals(old_BT, logp_teacher_BT={teacher: old_BT + gap_BT}, has_context_B={teacher: has_B})


def credit(method, adv, batch, signals):
    return method.credit(torch.tensor(adv, dtype=torch.float64), batch, signals).tolist()


def test_rlsd():
    gap = [0.1, -0.5, 1.0, 0.0]
    batch, signals = plain([[1, 0, 1]], 4), gaps([gap] * 3, off=[2])
    got = credit(at_paper_settings("rlsd"), [1.0, -1.0, 2.0], batch, signals)
    assert got[0] == pytest.approx([1.05259, 0.9, 1.1, 1], abs=5e-6)
    assert got[1] == pytest.approx([-0.95242, -1.1, -0.9, -1], abs=5e-6)
    assert got[2] == [2.0] * 4  # no context: weight 1
    late = dataclasses.replace(batch, step=25)  # lambda .25 of .5: half of each deviation is left
    got = credit(at_paper_settings("rlsd"), [1.0, -1.0, 2.0], late, signals)
    assert got[0] == pytest.approx([1 + 0.25 * (math.exp(0.1) - 1), 0.95, 1.05, 1], abs=1e-12)


def test_rlrt():
    """w = clip(exp(-gap), 0, 2) for A > 0; half of it counts; wrong rollouts and rows without a sibling keep 1."""
    batch = plain([[1, 0, 1]], 3)
    got = credit(at_paper_settings("rlrt"), [1.0, -1.0, 1.0], batch, gaps([[0.2, -0.3, -3.0]] * 3, off=[2]))
    assert got[0] == pytest.approx([0.5 + 0.5 * math.exp(-0.2), 0.5 + 0.5 * math.exp(0.3), 1.5], rel=1e-12)
    assert got[1:] == [[-1.0] * 3, [1.0] * 3]


def test_cast():
    """B in (.5, -.5, 2, -2) and gaps (.02, -.02, .3, -.3, 0): size |B| min(e^|g|, 1.05 or 1.2), sign of the gap."""
    batch, e = plain([[1, 0, 1, 0]], 5), math.exp(0.02)
    got = credit(at_paper_settings("cast"), [0.5, -0.5, 2.0, -2.0], batch, gaps([[0.02, -0.02, 0.3, -0.3, 0.0]] * 4))
    assert got[0] == pytest.approx([0.5 * e, -0.5 * e, 0.525, -0.6, 0.5], rel=1e-12)
    assert got[1] == pytest.approx([0.5 * e, -0.5 * e, 0.525, -0.6, -0.5], rel=1e-12)
    assert got[2] == [1.2, -1.2, 1.2, -1.2, 1.2] and got[3] == [1.2, -1.2, 1.2, -1.2, -1.2]


def test_opd():
    batch = plain([[1, 0]], 2)
    got = credit(at_paper_settings("opd"), [1.0, 1.0], batch, gaps([[0.7, -2.0], [0.0, 0.1]], "teacher"))
    assert got == [pytest.approx([0.7, -2.0]), pytest.approx([0.0, 0.1])]


def kls(values, hints=None):
    kl_BT = torch.tensor(values, dtype=torch.float64)
    hints = hints or (Hint("rollout", Completion("", 99, "stop")),) * len(values)
    has_B = torch.tensor([h is not None for h in hints])
    return Signals(
        torch.zeros_like(kl_BT), kl_BT={("kl_teacher_student", "sibling"): kl_BT}, hints={"sibling": hints},
        has_context_B={"sibling": has_B},
    )  # fmt: skip


def test_sc_grpo():
    """D = (0, .01, .02, .05, 1): P75 is .05, f = 0, 1/6, 2/7, 1/2, 20/21, on correct and wrong responses alike."""
    d = [0.0, 0.01, 0.02, 0.05, 1.0]
    got = credit(at_paper_settings("sc_grpo"), [1.0, 1.0, -2.0], plain([[1, 1, 0]], 5), kls([d] * 3))
    f = [0, 1 / 6, 2 / 7, 0.5, 20 / 21]
    assert got == [pytest.approx(f)] * 2 + [pytest.approx([-2 * x for x in f])]
    assert f == pytest.approx([0, 0.16667, 0.28571, 0.5, 0.95238], abs=5e-6)


def test_sc_grpo_in_a_group_without_a_correct_response():
    """Reference row 0 of 2 tokens: s = mean f over 2 tokens, z-scored over rows 1 to 3, times .1, times f."""
    d = [[9.0, 9.0, 9.0, 9.0], [0.0, 0.1, 5.0, 5.0], [0.1, 0.1, 0.0, 0.0], [0.3, 0.3, 0.1, 0.1]]
    active = sorted(d[1] + d[2] + d[3])
    c = active[8] + 0.25 * (active[9] - active[8])  # linear interpolation at 0.75 x 11 = 8.25
    f = [[x / (x + c) for x in row] for row in d]
    s = [(f[b][0] + f[b][1]) / 2 for b in (1, 2, 3)]
    mean = sum(s) / 3
    std = math.sqrt(sum((x - mean) ** 2 for x in s) / 2)
    reference = Hint("rollout", Completion("", 2, "stop"))
    got = credit(at_paper_settings("sc_grpo"), [0.0] * 4, plain([[0] * 4], 4), kls(d, (None, *(reference,) * 3)))
    assert got[0] == [0.0] * 4
    for b in (1, 2, 3):
        z = 0.1 * (s[b - 1] - mean) / (std + 1e-6)
        assert got[b] == pytest.approx([z * x for x in f[b]], rel=1e-9)


def test_grail():
    """Scores (1e-3, 1e-2, .1, 1): .5 (from .32918), .77639, 1.22361 and the answer's own 5; right rows keep 1."""
    batch = plain([[1, 0]], 4, answer_BT=[0, 0, 0, 1], reasoning_BT=[1, 1, 1, 0])
    signals = Signals(torch.zeros(2, 4), input_grad_BT=torch.tensor([[1e-3, 1e-2, 0.1, 1.0]] * 2, dtype=torch.float64))
    got = credit(at_paper_settings("grail"), [0.5, -0.5], batch, signals)
    assert got[0] == [0.5, 0.5, 0.5, 2.5]
    assert got[1] == pytest.approx([-0.25, -0.388195, -0.611805, -2.5], abs=5e-6)


@pytest.mark.parametrize("name", ["oar_p", "oar_g"])
def test_oar(name):
    """Scores 0 to 4 on five reasoning tokens: golden weights of both gates, 1 on the conclusion and the answer."""
    batch = plain([[1, 0]], 7, answer_BT=[0] * 6 + [1], reasoning_BT=[1] * 5 + [0, 0])
    scores = torch.tensor([[0.0, 1, 2, 3, 4, 8, 8]] * 2, dtype=torch.float64)
    signals = Signals(torch.zeros(2, 7), perturbed_BT=scores, input_grad_BT=scores)
    got = credit(at_paper_settings(name), [1.0, -3.0], batch, signals)
    golden = [0.06528, 0.48322, 0.96746, 1.52557, 1.95847, 1, 1]
    assert got[0] == pytest.approx(golden, abs=6e-6) and got[1] == pytest.approx([-3 * x for x in golden], abs=2e-5)
    # Set a by hand: h = log(1 + I) / log 5, the level .25 falls on I = 1, from there on 1 + (h - theta) / (1 - theta).
    h = [math.log1p(i) / math.log(5) for i in range(5)]
    raw = [0.1] + [1 + (x - h[1]) / (1 - h[1]) for x in h[1:]]
    got = credit(at_paper_settings(name, quantile=0.25, beta=1.0), [1.0, -3.0], batch, signals)
    assert got[0] == pytest.approx([5 * x / sum(raw) for x in raw] + [1, 1], abs=1e-6)
    hot = torch.zeros(2, 7, dtype=torch.float64)
    hot[:, 0] = 2.0
    # One of five above the rest: theta is 0, nothing is pressed down: 5 / 7 and 15 / 7 of 1 and 1 + beta.
    again = credit(at_paper_settings(name), [1.0, -3.0], batch, Signals(hot, perturbed_BT=hot, input_grad_BT=hot))
    assert again[0] == pytest.approx([15 / 7, *[5 / 7] * 4, 1, 1], rel=1e-9)


def test_top_entropy():
    """Entropies 0 to 9: the .8 quantile is 7.2, two of ten tokens stay and count five times."""
    signals = Signals(torch.zeros(2, 5), entropy_BT=torch.arange(10, dtype=torch.float64).reshape(2, 5))
    got = credit(at_paper_settings("top_entropy"), [1.0, -1.0], plain([[1, 0]], 5), signals)
    assert got == [[0.0] * 5, [0, 0, 0, -5.0, -5.0]]


def test_reinforce_pp():
    """Rewards 1, 0, 0 on 3 tokens each: mean 1/3, sample variance of nine tokens 1/4."""
    method, batch = at_paper_settings("reinforce_pp"), plain([[1, 0, 0]], 3)
    got = method.credit(method.advantage(batch), batch, Signals(torch.zeros(3, 3)))
    scale = math.sqrt(0.25 + 1e-8)
    assert got[:, 0].tolist() == pytest.approx([2 / 3 / scale, -1 / 3 / scale, -1 / 3 / scale], rel=1e-12)


def test_advantages_and_selection():
    batch = plain([[1, 0, 0, 0], [1, 1, 1, 1]], 3)
    rows = {
        "rloo": [1, -1 / 3, -1 / 3, -1 / 3],
        "dr_grpo": [0.75, -0.25, -0.25, -0.25],
        "grpo": [1.5, -0.5, -0.5, -0.5],
    }
    for name, expected in rows.items():
        got = at_paper_settings(name).advantage(batch).tolist()
        assert got == pytest.approx([*expected, 0, 0, 0, 0], rel=3e-6, abs=1e-12), name
    # DAPO at a cap of 20 tokens with a cache of 4: 16 tokens are free, 18 cost half, 20 cost 1.
    lengths = dataclasses.replace(
        synthetic_batch([[1, 0, 1], [1, 1, 1]], lengths=[[16, 18, 20], [20, 20, 1]]), max_response=20
    )
    keep_B, reward_B = at_paper_settings("dapo").select(lengths)
    assert keep_B.tolist() == [True] * 3 + [False] * 3
    assert reward_B[:3].tolist() == pytest.approx([1.0, -1.5, 0.0], abs=1e-12)


def sixth(name: str, **own):
    slot = at_paper_settings(name, **own).distill
    assert slot is not None
    return slot


def test_slot_six():
    """SDPG's beta over 400 steps and its gate; OPSD and SDPO at one position over three words, by hand."""
    coef = sixth("sdpg", beta=2.0, warm_steps=50, decay_steps=100).coef
    assert [coef(k, 400) for k in (0, 25, 50, 200, 350, 400)] == pytest.approx([0, 1, 2, 2, 1, 0])
    gate = sixth("sdpg").weight
    assert gate is not None
    got = gate(torch.tensor([0.5, -0.5, 0.0]), plain([[1, 0, 1]], 2), Signals(torch.zeros(3, 2)))
    assert got.tolist() == [[True, True], [False, False], [False, False]]
    student = torch.tensor([[0.1, 0.8, 0.1]], dtype=torch.float64).log()
    teacher = torch.tensor([[0.9, 0.09, 0.01]], dtype=torch.float64).log()
    opsd = sixth("opsd").divergence(student, teacher)
    assert float(opsd) == pytest.approx(0.05 + 0.09 * math.log(0.09 / 0.8) + 0.01 * math.log(0.1), rel=1e-12)
    p, q = (0.9, 0.09, 0.01), (0.1, 0.8, 0.1)
    m = [(a + b) / 2 for a, b in zip(p, q, strict=True)]
    jsd = sum(a * math.log(a / c) + b * math.log(b / c) for a, b, c in zip(p, q, m, strict=True)) / 2
    assert float(sixth("sdpo").divergence(student, teacher)) == pytest.approx(jsd, rel=1e-12)
    reverse = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert float(sixth("sdpg").divergence(student, teacher)) == pytest.approx(reverse, rel=1e-12)
    assert float(sixth("grpo_distill").divergence(student, teacher)) == pytest.approx(float(opsd), rel=1e-12)


def test_grpo_distill_coefficients():
    """CAST: 0.2 down to 0 over 50 steps. SC-GRPO's table 2: 0.1, or 0.03 to 0.1 over a run; both: the rest forward."""
    assert [sixth("grpo_distill").coef(k, 300) for k in (0, 25, 50, 51, 299)] == pytest.approx([0.2, 0.1, 0, 0, 0])
    rows = get_method("grpo_distill").card.variants
    for name in ("forward", "reverse"):
        assert {sixth("grpo_distill", **rows[name]).coef(k, 321) for k in (0, 7, 320)} == {0.1}
        rising = sixth("grpo_distill", **rows[f"{name}_ramp"]).coef
        assert [rising(k, 321) for k in (0, 160, 320)] == pytest.approx([0.03, 0.065, 0.1])
    both = sixth("grpo_distill", **rows["both_ramp"])
    p, q = (0.9, 0.09, 0.01), (0.1, 0.8, 0.1)
    student, teacher = (torch.tensor([x], dtype=torch.float64).log() for x in (q, p))
    forward = sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    reverse = sum(b * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert both.divergence_at is not None
    for k, beta in ((0, 0.03), (160, 0.065), (320, 0.1)):
        got = both.coef(k, 321) * float(both.divergence_at(k, 321)(student, teacher))
        assert got == pytest.approx(beta * reverse + (0.1 - beta) * forward, rel=1e-12)


def test_who_teaches_in_grpo_distill():
    """GRPO+OPSD: the frozen start, reading the solution. Table 2: current weights, a correct sibling, system turn."""
    opsd, sibling = (at_paper_settings("grpo_distill", **own).teachers["self"] for own in (
        {}, get_method("grpo_distill").card.variants["forward"],
    ))  # fmt: skip
    assert (opsd.weights, sibling.weights) == ("initial", "live")
    for group in plain([[1, 0, 1], [1, 0, 0], [0, 0, 0]], 2).groups():
        hints = sibling.context(group)
        right = [group.completions[i] for i in range(3) if bool(group.correct_G[i])]
        for i, hint in enumerate(hints):
            others = [c for c in right if c is not group.completions[i]]
            assert (hint is None) is (not others)
            assert hint is None or (hint.guide and any(hint.completion is c for c in others))
        kinds = {None if h is None else h.kind for h in opsd.context(group)}
        assert kinds == ({"solution"} if group.item.solution else {None})
