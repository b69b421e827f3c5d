"""Placebos destroy the placement of credit and nothing else."""

import dataclasses

import pytest
import torch

from creditbench.items import Hint
from creditbench.placebos import PLACEBOS, permuted_rows, seams, wrong_context
from tests.methods.kit import build, model, reordered, synthetic_batch, work_of

BATCH = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]]


def both(name: str, placebo: str, **own):
    batch = synthetic_batch(BATCH, env_tokens=True)
    method = build(name, **own)
    return batch, work_of(model(), method, batch), work_of(model(), method, batch, placebo=placebo)


@pytest.mark.parametrize("name", ["cast", "sc_grpo", "oar_p", "oar_g"])
def test_permuted_keeps_each_rows_multiset(name):
    batch, real, placebo = both(name, "permuted")
    moved = 0
    for b in range(batch.n_rows):
        on = batch.mask_BT[b]
        assert torch.equal(real.credit_BT[b][on].sort().values, placebo.credit_BT[b][on].sort().values)
        assert not bool(placebo.credit_BT[b][~on].any())
        moved += int((real.credit_BT[b] != placebo.credit_BT[b]).any())
    assert moved >= 6
    assert torch.allclose(real.credit_BT.sum(-1), placebo.credit_BT.sum(-1), rtol=1e-12)


@pytest.mark.parametrize("name", ["cast", "sc_grpo", "oar_g"])
def test_response_mean_gives_every_token_its_rows_mean(name):
    batch, real, placebo = both(name, "response-mean")
    for b in range(batch.n_rows):
        on = batch.mask_BT[b]
        mean = float(real.credit_BT[b][on].mean())
        assert placebo.credit_BT[b][on].tolist() == pytest.approx([mean] * int(on.sum()), rel=1e-12)
        assert not bool(placebo.credit_BT[b][~on].any())


def test_permuted_gap_shuffles_gaps_before_the_case_rule():
    batch, real, placebo = both("cast", "permuted-gap")
    changed = 0
    for b in range(batch.n_rows):
        on = batch.mask_BT[b]
        gaps = [w.signals.gap_BT("self")[b][on].sort().values for w in (real, placebo)]
        assert torch.allclose(gaps[0], gaps[1], rtol=1e-9, atol=1e-12)
        changed += int((real.credit_BT[b] != placebo.credit_BT[b]).any())
    assert changed >= 8
    assert torch.equal(real.signals.logp_old_BT, placebo.signals.logp_old_BT)


def test_permutation_depends_on_the_sample_alone():
    batch = synthetic_batch(BATCH)
    values_BT = torch.rand(batch.mask_BT.shape)
    order = [7, 3, 11, 0, 5, 1, 9, 2, 10, 4, 8, 6]
    a = permuted_rows(values_BT, batch, "permuted")
    b = permuted_rows(values_BT[order], reordered(batch, order), "permuted")
    assert torch.equal(a[order], b)
    assert torch.equal(a, permuted_rows(values_BT, batch, "permuted"))
    assert not torch.equal(a, permuted_rows(values_BT, batch, "permuted-gap"))


@pytest.mark.parametrize("name", ["sc_grpo", "opsd"])
def test_wrong_context_is_never_the_own_problem(name):
    batch, real, placebo = both(name, "wrong-context")
    teacher = "sibling" if name == "sc_grpo" else "self"
    own, other = real.signals.hints[teacher], placebo.signals.hints[teacher]
    assert [h is None for h in own] == [h is None for h in other]
    for b, hint in enumerate(other):
        if hint is None:
            continue
        if hint.kind == "rollout":
            owners = [r for r in range(batch.n_rows) if batch.completions[r] is hint.completion]
            assert owners and all(batch.items[r].id != batch.items[b].id for r in owners)
        else:
            assert hint.item is not None and hint.item.id != batch.items[b].id
        assert placebo.teachers[teacher].prompts[b] != real.teachers[teacher].prompts[b]


def test_wrong_context_when_a_batch_holds_one_problem_twice():
    """Two groups of the same problem must not swap with each other."""
    batch = synthetic_batch([[1, 0, 1], [1, 1, 0], [1, 0, 1]])
    items = tuple(dataclasses.replace(i, id="twin") if b < 6 else i for b, i in enumerate(batch.items))
    batch = dataclasses.replace(batch, items=items)
    hints = tuple(Hint("rollout", batch.completions[b - b % 3]) for b in range(9))
    for b, hint in enumerate(wrong_context(batch, hints)):
        owner = next(r for r in range(9) if batch.completions[r] is hint.completion)
        assert batch.items[owner].id != batch.items[b].id
    lonely = dataclasses.replace(batch, items=tuple(dataclasses.replace(i, id="twin") for i in batch.items))
    assert wrong_context(lonely, hints) == (None,) * 9


def test_wrong_context_with_one_group_that_has_contexts():
    """Another problem's responses stand in; a bare problem or header is left as it is."""
    batch = synthetic_batch([[1, 0, 1], [1, 0, 0]])
    hints = (*(Hint("rollout", batch.completions[0]),) * 3, *(None,) * 3)
    got = wrong_context(batch, hints)
    assert all(any(h.completion is batch.completions[r] for r in (3, 4, 5)) for h in got[:3]) and got[3:] == (None,) * 3
    bare = (Hint("problem"), Hint("header")) * 3
    assert wrong_context(batch, bare) == bare


def test_wrong_context_does_not_depend_on_row_order():
    batch = synthetic_batch([[1, 0, 1], [1, 1, 0], [1, 0, 1]])
    hints = tuple(Hint("rollout", batch.completions[b - b % 3]) for b in range(9))
    order = [8, 0, 4, 2, 6, 1, 3, 7, 5]
    a = wrong_context(batch, hints)
    b = wrong_context(reordered(batch, order), tuple(hints[i] for i in order))
    assert tuple(a[i] for i in order) == b


def test_names():
    assert set(PLACEBOS) == {"permuted", "response-mean", "permuted-gap", "wrong-context"}
    from creditbench.errors import BadInput

    with pytest.raises(BadInput, match="permuted"):
        seams("permutted")
