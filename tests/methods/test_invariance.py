"""Neither padding, nor row order, nor the cut into micro-batches reaches credit, loss or gradient of any method.

`creditbench check-method` looks at the tiny defaults; here are the papers' settings and two optimizer batches.
"""

import pytest
import torch

from creditbench.method import get_method, method_names
from creditbench.trainer.collect import optimizer_batches
from tests.methods.kit import SETTINGS, build, model, nudged, outcome_of, reordered, repadded, synthetic_batch, work_of

S = SETTINGS.model_copy(update={"epochs_per_rollout": 2, "mask_truncated": True})
MARKS = [[1, 0, 0, 1], [0, 0, 0], [1, 1, 1, 0], [0, 1], [1, 1], [1, 0, 0]]


def batch():
    return synthetic_batch(MARKS, updates=2, truncated=[5, 13], no_answer=[2], env_tokens=True)


def outcomes(method, of, micro_rows: int):
    """Credit, and loss and gradients of both optimizer batches cut into micro-batches of `micro_rows`."""
    work = work_of(model(), method, of, S, external=model(5))
    found = []
    for micros in optimizer_batches(work.batch):
        rows = [r for micro in micros for r in micro]
        cut = [rows[i : i + micro_rows] for i in range(0, len(rows), micro_rows)]
        found.append(outcome_of(nudged(model(), 0.03), method, work, S, micros=cut))
    return work.credit_BT, found


@pytest.mark.parametrize("name", method_names())
def test_padding_row_order_and_micro_batches_change_nothing(name: str):
    method, plain = build(name), batch()
    credit_BT, whole = outcomes(method, plain, 64)
    width = credit_BT.shape[1]
    wide_BT, padded = outcomes(method, repadded(plain, 5, fill=17), 3)
    assert torch.allclose(wide_BT[:, :width], credit_BT, rtol=1e-9, atol=1e-12) and not bool(wide_BT[:, width:].any())
    order = torch.randperm(plain.n_rows, generator=torch.Generator().manual_seed(4)).tolist()
    moved_BT, moved = outcomes(method, reordered(plain, order), 4)
    assert torch.allclose(moved_BT, credit_BT[order], rtol=1e-9, atol=1e-12)
    for a, b, c in zip(whole, padded, moved, strict=True):
        assert a.distance(b) < 1e-8 and a.distance(c) < 1e-8
    assert any(bool(g.any()) for g in whole[0].grads.values())


# Every kind of batch statistic and denominator; the rest are slow tests.
STATISTICS = ("grpo", "dapo", "cast", "sc_grpo", "top_entropy", "reinforce_pp", "opsd")
ALONE = [pytest.param(n, marks=() if n in STATISTICS else pytest.mark.slow) for n in method_names()]


@pytest.mark.parametrize("name", ALONE)
def test_each_optimizer_batch_stands_alone(name: str):
    """Statistics of a batch, denominators too, are the optimizer batch's: the other one may be anything."""
    method, plain = build(name), batch()
    rows = torch.nonzero(plain.optim_B == 1).flatten().tolist()
    alone = plain.rows(rows)
    a = outcomes(method, plain, 64)[1][1]
    b = outcomes(method, alone, 64)[1][0]
    assert a.distance(b) < 1e-8


@pytest.mark.parametrize("name", [n for n in method_names() if get_method(n).card.own_settings.get("scope")])
def test_the_papers_micro_batch_scope_does_depend_on_the_cut(name: str):
    """What the default scope avoids: with `scope: micro-batch` the memory setting moves the credit."""
    method = build(name, scope="micro-batch")
    few, many = (work_of(model(), method, synthetic_batch(MARKS, micro_rows=m), S).credit_BT for m in (2, 64))
    assert not torch.allclose(few, many, rtol=1e-3)
