"""SC-GRPO against 2606.18810 v1: saturating weight, routing by number correct, diversity branch, scopes, direction."""

import dataclasses
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from creditbench.benchmark import get_benchmark
from creditbench.conformance.synthetic import SIBLING, ids_of
from creditbench.items import Item
from creditbench.method import get_method, group_zscore
from creditbench.placebos import wrong_context
from creditbench.rollouts import quantile_of
from tests.methods.kit import (
    SETTINGS,
    build,
    model,
    naive_logits,
    naive_logp,
    naive_loss,
    nudged,
    outcome_of,
    synthetic_batch,
    try_method,
    work_of,
)

EVERY = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 0]]


def module():
    get_method("sc_grpo")
    return sys.modules["creditbench_methods_sc_grpo"]


def contexts(batch, match_length=False, **routing):
    """The sibling each row reads: index of the row whose completion it is, or None."""
    got = {}
    for group in batch.groups():
        for row, hint in zip(group.rows, module().siblings(group, match_length, **routing), strict=True):
            same = [r for r in group.rows if hint is not None and batch.completions[r] is hint.completion]
            got[row] = same[0] if same else None
    return got


def f_of(kl, **own):
    """Weights of one row of KLs, all active, by the method's own function."""
    s = SimpleNamespace(**{**get_method("sc_grpo").own_defaults("real"), **own})
    kl_BT = torch.tensor([kl], dtype=torch.float64)
    batch = SimpleNamespace(
        optim_B=torch.zeros(1, dtype=torch.long), micro_B=torch.zeros(1, dtype=torch.long), gather=lambda x: x
    )
    return module().gathered_saturation(kl_BT, torch.ones_like(kl_BT, dtype=torch.bool), batch, s)[0].tolist()


def test_saturating_weight_golden_values():
    """c is P75 of (0, .01, .02, .05, 1) = .05: f = 0, .16667, .28571, .5, .95238."""
    assert f_of([0.0, 0.01, 0.02, 0.05, 1.0]) == pytest.approx([0, 0.16667, 0.28571, 0.5, 0.95238], abs=5e-6)


def test_floor_of_c_and_table_three_variants():
    assert f_of([0.0, 1e-4, 0.0, 0.0, 0.0]) == pytest.approx([0, 0.5, 0, 0, 0])  # P75 is 0: c = 1e-4
    assert f_of([0.0, 0.01, 0.02, 0.05, 1.0], quantile=0.5)[2] == pytest.approx(0.5)  # P50 = .02
    assert f_of([1e-4, 1.0], fixed_c=1e-4) == pytest.approx([0.5, 1 / 1.0001])
    values = f_of(np.random.default_rng(0).exponential(0.1, 500).tolist())
    assert min(values) >= 0 and max(values) < 1 and float(np.median(values)) < 0.5


def test_routing_by_number_correct():
    batch = synthetic_batch(EVERY)
    got = contexts(batch)
    # two correct (rows 0, 2): each reads the other; wrong rows read either
    assert got[0] == 2 and got[2] == 0 and {got[1], got[3]} <= {0, 2}
    # none correct: one reference reads nothing, the rest read it
    reference = [r for r in range(4, 8) if got[r] is None]
    assert len(reference) == 1 and {got[r] for r in range(4, 8) if r not in reference} == set(reference)
    # one or all correct: no context
    assert all(got[r] is None for r in range(8, 16))
    # three of four: a correct sibling, never the row itself
    assert all(got[r] in {16, 17, 18} - {r} for r in range(16, 20))


ROUTES = {
    # groups of EVERY are rows 0-3 (two correct), 4-7 (none), 8-11 (row 8), 12-15 (all), 16-19 (three)
    "partial": {*range(4), *range(16, 20)},
    "partial+none": {*range(8), *range(16, 20)},
    "any-partial": {*range(4), 9, 10, 11, *range(16, 20)},
    "all-correct": {*range(12, 16)},
    "every": {*range(8), 9, 10, 11, *range(12, 20)},
}


@pytest.mark.parametrize("weighted", ROUTES)
def test_table_three_groups_weighted(weighted):
    """Only the named groups read a sibling and are weighted; the rest is GRPO's credit bit for bit."""
    batch = synthetic_batch(EVERY)
    got = contexts(batch, weighted=weighted)
    reads = {row for row, other in got.items() if other is not None}
    assert ROUTES[weighted] - reads == {r for r in range(4, 8) if r in ROUTES[weighted] and got[r] is None}
    assert reads <= ROUTES[weighted] and all(got[row] != row for row in reads)
    work, plain = (work_of(model(), m, batch) for m in (build("sc_grpo", weighted=weighted), build("grpo")))
    rest = [row for row in range(20) if row not in ROUTES[weighted]]
    assert torch.equal(work.credit_BT[rest], plain.credit_BT[rest])
    differs = [row for row in range(20) if not torch.equal(work.credit_BT[row], plain.credit_BT[row])]
    # a group all correct has advantage 0 whatever the weight; the reference of a solve-none group stays at 0
    assert set(differs) == {row for row in reads if not 12 <= row < 16}
    assert bool(differs) is (weighted != "all-correct")
    lighter = [row for row in differs if row not in range(4, 8)]
    assert bool((work.credit_BT[lighter].abs() <= plain.credit_BT[lighter].abs()).all())


def test_a_rollout_never_reads_itself_and_the_choice_is_uniform():
    counts = np.zeros((6, 6))
    for seed in range(600):
        batch = synthetic_batch([[1, 1, 1, 1, 0, 0]], lengths=[[5] * 6], seed=seed)
        for row, read in contexts(batch).items():
            counts[row, read] += 1
    assert np.trace(counts) == 0 and counts[:, 4:].sum() == 0
    # 600 draws over 3 siblings (rows 0-3) or 4 (rows 4, 5): 5 standard deviations around 200 and 150.
    for row in range(6):
        others = [c for c in range(4) if c != row]
        p = 1 / len(others)
        assert np.all(np.abs(counts[row, others] - 600 * p) < 5 * np.sqrt(600 * p * (1 - p)))


def test_kl_direction_and_weight_by_the_book():
    """D = KL(teacher || student) over the vocabulary, teacher = current weights with the sibling in the prompt."""
    batch = synthetic_batch([[1, 0, 1, 0], [1, 1, 1, 0]])
    work = work_of(model(), build("sc_grpo"), batch)
    read = contexts(batch)
    d_BT = torch.zeros(batch.mask_BT.shape, dtype=torch.float64)
    for b in range(8):
        n = int(batch.length_B[b])
        response = batch.response_BT[b, :n].tolist()
        prompt = (SIBLING, *batch.completions[read[b]].token_ids, *ids_of(batch.items[b].problem))
        log_t = torch.log_softmax(naive_logits(model(), prompt, response), -1)
        log_s = torch.log_softmax(naive_logits(model(), batch.prompts[b], response), -1)
        d_BT[b, :n] = (log_t.exp() * (log_t - log_s)).sum(-1).detach()
        assert work.teachers["sibling"].prompts[b] == prompt
    c = max(float(np.quantile(d_BT[batch.mask_BT].numpy(), 0.75)), 1e-4)
    expected = group_zscore(batch)[:, None] * (d_BT / (d_BT + c)) * batch.mask_BT
    assert torch.allclose(work.credit_BT, expected, rtol=1e-8, atol=1e-12)
    assert torch.allclose(work.signals.kl_BT["kl_teacher_student", "sibling"], d_BT, rtol=1e-8, atol=1e-12)


def test_loss_is_grpos_with_weighted_advantages():
    batch = synthetic_batch(EVERY)
    method, new = build("sc_grpo"), nudged(model(), 0.02)
    work = work_of(model(), method, batch)
    got = outcome_of(new, method, work)
    old = [naive_logp(model(), batch, b).detach() for b in range(batch.n_rows)]
    expected = naive_loss(new, batch, work.credit_BT, old, "sequence-mean", 0.2, 0.2)
    assert got.loss == pytest.approx(float(expected.detach()), rel=1e-9)


def test_diversity_branch_by_the_book():
    """n_c = 0: s_i = mean of f over the first min(|o_i|, |o_r|) tokens, z-scored without o_r, times alpha, times f."""
    lengths = [[12, 5, 9, 7, 12]]
    batch = synthetic_batch([[0] * 5], lengths=lengths)
    work = work_of(model(), build("sc_grpo"), batch)
    d_BT = work.signals.kl_BT["kl_teacher_student", "sibling"]
    read = contexts(batch)
    r = next(row for row, other in read.items() if other is None)
    rest = [row for row in range(5) if row != r]
    active = np.concatenate([d_BT[row, : lengths[0][row]].numpy() for row in rest])
    c = max(float(np.quantile(active, 0.75)), 1e-4)
    f = (d_BT / (d_BT + c)).numpy()
    s = np.array([f[row, : min(lengths[0][row], lengths[0][r])].mean() for row in rest])
    adv = 0.1 * (s - s.mean()) / (s.std(ddof=1) + 1e-6)
    assert adv.mean() == pytest.approx(0, abs=1e-12)
    for value, row in zip(adv, rest, strict=True):
        n = lengths[0][row]
        assert work.credit_BT[row, :n].tolist() == pytest.approx((value * f[row, :n]).tolist(), rel=1e-8)
    assert not bool(work.credit_BT[r].any())
    off = work_of(model(), build("sc_grpo", weighted="partial"), batch)
    assert not bool(off.credit_BT.any())
    doubled = work_of(model(), build("sc_grpo", alpha=0.2), batch)
    assert torch.allclose(doubled.credit_BT, 2 * work.credit_BT, rtol=1e-12)


@pytest.mark.parametrize("groups", [[[1, 0, 0, 0]], [[1, 1, 1, 1]], [[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 1, 0]]])
def test_one_or_all_correct_is_grpo_bit_for_bit(groups):
    batch = synthetic_batch(groups)
    s = SETTINGS.model_copy(update={"epochs_per_rollout": 2})
    work, ours = try_method(model(), build("sc_grpo"), batch, s)
    plain, grpo = try_method(model(), build("grpo"), batch, s)
    assert torch.equal(work.credit_BT, plain.credit_BT)
    assert ours.equals(grpo)
    moved = nudged(model(), 0.05)
    a = outcome_of(moved, build("sc_grpo"), work, s)
    assert a.equals(outcome_of(moved, build("grpo"), plain, s))
    assert (a.loss != 0) is (groups != [[1, 1, 1, 1]])


def test_quantile_over_the_gathered_optimizer_batch_by_default_per_micro_batch_as_variant():
    batch = synthetic_batch([[1, 0, 1, 0], [1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0]], updates=2, micro_rows=4)
    assert batch.optim_B.tolist() == [0] * 8 + [1] * 8 and batch.micro_B.tolist() == ([0] * 4 + [1] * 4) * 2
    for own, scope_B in (({}, batch.optim_B), ({"scope": "micro-batch"}, 2 * batch.optim_B + batch.micro_B)):
        work = work_of(model(), build("sc_grpo", **own), batch)
        d_BT = work.signals.kl_BT["kl_teacher_student", "sibling"]
        expected = torch.zeros_like(d_BT)
        seen = []
        for scope in torch.unique(scope_B).tolist():
            at_BT = batch.mask_BT & (scope_B == scope)[:, None]
            c = max(float(np.quantile(d_BT[at_BT].numpy(), 0.75)), 1e-4)
            expected[at_BT] = (d_BT / (d_BT + c))[at_BT]
            seen.append(c)
        assert len(set(seen)) == len(seen)
        adv_B = group_zscore(batch)
        assert torch.allclose(work.credit_BT, adv_B[:, None] * expected, rtol=1e-9, atol=1e-12), own


def test_quantile_sees_other_processes_through_gather():
    """What another process's tokens add moves c: gather is called with this process's active KLs."""
    batch = synthetic_batch([[1, 0, 1, 0]])
    kl_BT = torch.rand(batch.mask_BT.shape, dtype=torch.float64)
    s = SimpleNamespace(**get_method("sc_grpo").own_defaults("real"))
    far = torch.full((100,), 3.0, dtype=torch.float64)
    joined = dataclasses.replace(batch, gather=lambda x: torch.cat([x, far]))
    f_BT = module().gathered_saturation(kl_BT, batch.mask_BT, joined, s)
    c = float(np.quantile(np.concatenate([kl_BT[batch.mask_BT].numpy(), far.numpy()]), 0.75))
    assert torch.allclose(f_BT[batch.mask_BT], (kl_BT / (kl_BT + c))[batch.mask_BT], rtol=1e-12)


def test_inactive_tokens_do_not_enter_the_quantile():
    """Rows without a context have KL 0 and must not pull P75 down."""
    mixed = synthetic_batch([[1, 0, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
    work = work_of(model(), build("sc_grpo"), mixed)
    alone = work_of(model(), build("sc_grpo"), mixed.rows([0, 1, 2, 3]))
    t = alone.credit_BT.shape[1]
    assert torch.allclose(work.credit_BT[:4, :t], alone.credit_BT, rtol=1e-9, atol=1e-12)


def test_length_controls():
    batch = synthetic_batch([[1, 0, 1, 1, 0]], lengths=[[5, 6, 12, 7, 11]])
    work = work_of(model(), build("sc_grpo", length_normalised=True), batch)
    weight = (work.credit_BT / group_zscore(batch)[:, None]).masked_fill(~batch.mask_BT, 0)
    assert (weight.sum(-1) / batch.length_B).tolist() == pytest.approx([1.0] * 5, rel=1e-9)
    nearest = contexts(batch, match_length=True)
    assert nearest == {0: 3, 1: nearest[1], 2: 3, 3: 0, 4: 2} and nearest[1] in {0, 3}


def test_wrong_context_reads_another_problem():
    batch = synthetic_batch([[1, 0, 1, 0], [1, 1, 1, 0]])
    hints = wrong_context(batch, work_of(model(), build("sc_grpo"), batch).signals.hints["sibling"])
    for b, hint in enumerate(hints):
        owner = next(r for r in range(8) if batch.completions[r] is hint.completion)
        assert batch.items[owner].id != batch.items[b].id


def test_a_failed_reference_is_never_called_a_solution():
    """Solve-none groups: the teacher reads o_r as another response, on every kind of benchmark that words it."""
    batch = synthetic_batch([[0, 0, 0, 0], [1, 0, 1, 0]])
    unsolved, partial = (module().siblings(group) for group in batch.groups())
    assert {h.solved for h in unsolved if h is not None} == {False} and {h.solved for h in partial} == {True}
    item = Item("p1", "Find it.", "7", "", {})
    for name, form, praised in (
        ("dapo_math_17k", "boxed", "reached the correct answer"),
        ("dapo_math_17k", "chat", "a correct solution"),
        ("livecodebench", "chat", "a correct solution"),
        ("webshop", "chat", "bought the right product"),
    ):
        found = get_benchmark(name)
        for hint, told in ((unsolved, False), (partial, True)):
            given = next(h for h in hint if h is not None)
            shown = str(found.prompt(item, found.card.protocol.model_copy(update={"prompt": form}), given))
            assert (praised in shown) is told and given.completion.text in shown


@pytest.mark.parametrize("name", ["dapo_math_17k", "livecodebench", "webshop", "alfworld"])
@pytest.mark.parametrize("system", ["", "Be brief."])
def test_the_guide_stands_in_the_system_turn_of_chats(name, system):
    """Section 5 and appendix: the base system prompt, the guide, the trajectory; the user turn is the student's."""
    found, item = get_benchmark(name), Item("p1", "Find it.", "7", "", {})
    protocol = found.card.protocol.model_copy(update={"prompt": "chat", "system": system})
    batch = synthetic_batch([[1, 0, 1, 0]])
    given = next(h for h in module().siblings(next(iter(batch.groups()))) if h is not None)
    student, teacher = found.prompt(item, protocol), found.prompt(item, protocol, given)
    assert [turn["role"] for turn in teacher] == ["system", "user"] and teacher[-1] == student[-1]
    assert teacher[0]["content"].startswith(system) and given.completion.text in teacher[0]["content"]
    plain = found.card.protocol.model_copy(update={"prompt": "boxed" if name == "dapo_math_17k" else "plain"})
    assert given.completion.text in found.prompt(item, plain, given)


def test_quantile_is_torchs_and_has_no_upper_size():
    for n in (1, 2, 5, 1000):
        values = torch.randn(n, generator=torch.Generator().manual_seed(n))
        for q in (0.0, 0.5, 0.75, 0.8, 1.0):
            assert torch.equal(quantile_of(values, q), torch.quantile(values.double(), q))
    values = torch.arange(2**24 + 5, dtype=torch.float32).flip(0)  # torch.quantile refuses more than 2**24
    assert float(quantile_of(values, 0.75)) == pytest.approx(0.75 * (2**24 + 4), abs=2)
