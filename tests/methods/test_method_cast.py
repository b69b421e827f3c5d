"""CAST against 2606.00172 v1: case rule, closed form, final clip, teacher copy, context, uniform and truncated rows."""

import dataclasses
import math
import sys

import pytest
import torch

from creditbench.conformance.synthetic import ANSWER, HEADER, ids_of
from creditbench.items import Hint
from creditbench.method import get_method, group_zscore
from creditbench.trainer.teachers import TeacherPool
from tests.methods.kit import (
    SETTINGS,
    build,
    model,
    naive_logits,
    naive_logp,
    naive_loss,
    nudged,
    outcome_of,
    render,
    synthetic_batch,
    work_of,
)

MASKED = SETTINGS.model_copy(update={"mask_truncated": True})


def settings(**own):
    from types import SimpleNamespace

    return SimpleNamespace(**{**get_method("cast").own_defaults("real"), **own})


def shaped(b: torch.Tensor, g: torch.Tensor, **own) -> torch.Tensor:
    get_method("cast")
    return sys.modules["creditbench_methods_cast"].shaped(b, g, settings(**own))


def random_pairs(n: int = 100_000):
    generator = torch.Generator().manual_seed(0)
    b = torch.randn(n, generator=generator, dtype=torch.float64)
    g = 2 * torch.randn(n, generator=generator, dtype=torch.float64)
    small = torch.rand(n, generator=generator) < 0.4
    return b, torch.where(small, 0.05 * g, g)


def case_rule(b: float, g: float, flip_right=True, flip_wrong=True) -> float:
    """Eqs. 3-7 of the paper, scalar and literal, lambda = 1."""
    z = math.exp((1 if b > 0 else -1) * g)
    w = min(max(z, 0.80), 1.05) if b > 0 else min(max(z, 0.95), 1.20)
    a = b * (1 + 1.0 * (w - 1))
    if b > 0 and g < 0 and flip_right:
        a = -abs(b) * (1 + (min(max(math.exp(-g), max(1, 0.95)), 1.20) - 1))
    if b < 0 and g > 0 and flip_wrong:
        a = abs(b) * (1 + (min(max(math.exp(g), max(1, 0.80)), 1.05) - 1))
    return min(max(a, -1.2), 1.2)


@pytest.mark.parametrize("flips", [(True, True), (True, False), (False, True), (False, False)])
def test_case_rule_on_a_hundred_thousand_pairs(flips):
    b, g = random_pairs()
    got = shaped(b, g, flip_correct=flips[0], flip_wrong=flips[1])
    expected = torch.tensor(
        [case_rule(x, y, *flips) for x, y in zip(b.tolist(), g.tolist(), strict=True)], dtype=got.dtype
    )
    assert torch.allclose(got, expected, rtol=1e-12, atol=1e-12)


def test_closed_form_on_a_hundred_thousand_pairs():
    """clip(sgn(g) |B| min(e^|g|, 1.05 if g > 0 else 1.2), +-1.2): the gap decides the sign, correctness the size."""
    b, g = random_pairs()
    cap = torch.where(g > 0, torch.full_like(g, 1.05), torch.full_like(g, 1.2))
    expected = (g.sign() * b.abs() * torch.minimum(g.abs().exp(), cap)).clamp(-1.2, 1.2)
    assert torch.allclose(shaped(b, g), expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(shaped(b, torch.zeros_like(b)), b.clamp(-1.2, 1.2))  # g = 0 keeps the base advantage


def test_final_clip_and_one_sided_variants():
    one = torch.ones(1, dtype=torch.float64)
    assert float(shaped(3 * one, one)) == pytest.approx(1.2) and float(shaped(3 * one, -one)) == pytest.approx(-1.2)
    assert float(shaped(one, 2 * one)) == pytest.approx(1.05)
    assert float(shaped(one, -2 * one)) == pytest.approx(-1.2)
    assert float(shaped(-one, 2 * one)) == pytest.approx(1.05)
    assert float(shaped(-one, -2 * one)) == pytest.approx(-1.2)
    # Without reversal the sign is the base's: B exp clipped to [.8, 1.05] or [.95, 1.2].
    keep = {"flip_correct": False, "flip_wrong": False}
    assert [float(shaped(s * one, t * one, **keep)) for s in (1, -1) for t in (2, -2)] == pytest.approx(
        [1.05, 0.8, -0.95, -1.2]
    )


def test_uniform_groups_get_plus_and_minus_one():
    batch = synthetic_batch([[1, 1, 1], [0, 0, 0], [1, 0, 0], [1], [0]])
    adv_B = build("cast").advantage(batch)
    assert adv_B[:6].tolist() == [1.0] * 3 + [-1.0] * 3
    assert adv_B[6:9].tolist() == group_zscore(batch)[6:9].tolist()
    assert adv_B[9:].tolist() == [1.0, -1.0]
    assert build("cast", uniform_groups=False).advantage(batch)[:6].tolist() == [0.0] * 6


def test_gap_and_loss_by_the_book():
    """The teacher scores the sampled tokens after problem + header; credit and loss follow, gradient through rho."""
    batch = synthetic_batch([[1, 0, 0], [1, 1, 1], [0, 0, 0]])
    method, now, behind = build("cast"), model(), nudged(model(), 0.05, seed=7)
    pool = TeacherPool(behind, method.teachers)
    work = work_of(now, method, batch, pool=pool)
    base_B = torch.cat([group_zscore(batch)[:3], torch.ones(3), -torch.ones(3)]).double()
    credit_BT = torch.zeros(batch.mask_BT.shape, dtype=torch.float64)
    old = []
    for b in range(9):
        n = int(batch.length_B[b])
        response = batch.response_BT[b, :n]
        prompt = (*ids_of(batch.items[b].problem), HEADER)
        teacher = torch.log_softmax(naive_logits(behind, prompt, response.tolist()), -1)[torch.arange(n), response]
        old.append(naive_logp(now, batch, b).detach())
        gap = (teacher - old[-1]).detach()
        credit_BT[b, :n] = torch.tensor([case_rule(float(base_B[b]), float(g)) for g in gap], dtype=gap.dtype)
    assert torch.allclose(work.credit_BT, credit_BT, rtol=1e-8, atol=1e-10)
    got = outcome_of(now, method, work)
    net = nudged(now, 0.0)
    expected = naive_loss(net, batch, credit_BT, old, "token-mean", 0.2, 0.28)
    expected.backward()
    assert got.loss == pytest.approx(float(expected.detach()), rel=1e-9)
    for name, p in net.named_parameters():
        assert torch.allclose(p.grad, got.grads[name], rtol=1e-7, atol=1e-10), name


def test_gap_carries_no_gradient():
    batch = synthetic_batch([[1, 0], [0, 0]])
    work = work_of(model(), build("cast"), batch)
    gap = work.signals.logp_teacher_BT["self"] - work.signals.logp_old_BT
    assert bool((gap != 0).any())
    assert not gap.requires_grad and not work.credit_BT.requires_grad


def test_teacher_is_a_hard_copy_every_ten_optimizer_steps():
    method, student = build("cast"), nudged(model(), 0.0)
    teacher = method.teachers["self"]
    assert (teacher.weights, teacher.every) == ("copy", 10)
    pool = TeacherPool(student, method.teachers)
    seen = []
    for step in range(1, 31):
        with torch.no_grad():
            for p in student.parameters():
                p.fill_(float(step))
        pool.after_step(step)
        with pool.model("self") as now:
            values = {float(p.flatten()[0]) for p in now.parameters()}
        seen.append(next(iter(values)) if step >= 10 else None)
    assert seen[9:19] == [10.0] * 10 and seen[19:29] == [20.0] * 10 and seen[29] == 30.0
    fresh = TeacherPool(model(), method.teachers)
    with fresh.model("self") as first:  # the first teacher is the initial model
        assert all(torch.equal(a, b) for a, b in zip(first.parameters(), model().parameters(), strict=True))


def test_context_is_the_header_alone():
    batch = synthetic_batch([[1, 0], [0, 0]])
    privileged = ({"context": "answer-header"}, "answer-header", None), ({"context": "answer"}, "answer", None)
    for own, kind, tail in (({}, "header", HEADER), *privileged):
        work = work_of(model(), build("cast", **own), batch)
        assert set(work.signals.hints["self"]) == {Hint(kind)}
        for b, prompt in enumerate(work.teachers["self"].prompts):
            problem = ids_of(batch.items[b].problem)
            if tail is not None:
                assert prompt == (*problem, HEADER)
            elif kind == "answer-header":
                assert prompt == (*problem, ANSWER, *ids_of(batch.items[b].answer), HEADER)
            else:
                assert prompt == (ANSWER, *ids_of(batch.items[b].answer), *problem)
    # Answer-free: another gold answer changes nothing.
    items = tuple(dataclasses.replace(i, answer="9 9", solution="8 8") for i in batch.items)
    changed = work_of(model(), build("cast"), dataclasses.replace(batch, items=items))
    assert torch.equal(changed.credit_BT, work_of(model(), build("cast"), batch).credit_BT)


def test_truncated_rows_are_silent_and_keep_their_reward_in_the_statistics():
    full = synthetic_batch([[1, 0, 0, 0]], truncated=[3])
    work = work_of(model(), build("cast"), full, MASKED)
    assert not bool(work.credit_BT[3].any()) and not bool(work.live_BT[3].any())
    assert work.adv_B.tolist() == group_zscore(full).tolist()  # 1 of 4 correct, not 1 of 3
    a = outcome_of(model(), build("cast"), work, MASKED)
    other = full.response_BT.clone()
    other[3, : int(full.length_B[3])] = 8
    replaced = dataclasses.replace(full, response_BT=other)
    b = outcome_of(model(), build("cast"), work_of(model(), build("cast"), replaced, MASKED), MASKED)
    assert a.distance(b) < 1e-10
    # All wrong, one truncated: still an all-wrong group, minus one for the others.
    uniform = synthetic_batch([[0, 0, 0]], truncated=[0])
    assert work_of(model(), build("cast"), uniform, MASKED).adv_B.tolist() == [-1.0] * 3


def test_teacher_equal_to_student_without_header_leaves_the_clipped_base():
    batch = synthetic_batch([[1, 0, 0, 0, 0, 0, 0, 0], [1, 1], [0, 0]])
    method = build("cast", context="problem")
    work = work_of(model(), method, batch)
    assert not bool(work.signals.gap_BT("self").any())
    expected = method.advantage(batch).clamp(-1.2, 1.2)[:, None] * batch.mask_BT
    assert torch.equal(work.credit_BT, expected)
    assert float(expected.max()) == 1.2  # 1 of 8 correct: 2.475 before the clip
    assert work.teachers["self"].prompts == tuple(render(i) for i in batch.items)
