"""Responses that broke in our hands leave the batch; they are no statistic of their group."""

from dataclasses import replace

import pytest
import torch

from creditbench.conformance.synthetic import SETTINGS, synthetic_batch, tiny_model, work_of
from creditbench.errors import CheckFailed
from creditbench.method import Method, group_zscore
from creditbench.trainer.collect import Collected, optimizer_batches, without_failed
from creditbench.trainer.comm import Comm
from creditbench.trainer.update import Tally, optimizer_step


def made():
    return synthetic_batch([[1, 0, 0, 1], [0, 1, 0, 0]])


def collected(failed: list[int]) -> Collected:
    batch = made()
    failed_B = torch.zeros(batch.n_rows, dtype=torch.bool)
    failed_B[failed] = True
    batch = replace(batch, failed_B=failed_B)
    sampler_BT = torch.arange(batch.n_rows, dtype=torch.float64)[:, None].expand(batch.response_BT.shape)
    return Collected(batch, torch.ones_like(failed_B), (), 0, 0, 1, 0.0, sampler_BT)


def test_failed_rows_leave_and_the_group_mean_is_over_the_rest():
    before = collected([0])
    after = without_failed(before)
    assert after.batch.n_rows == before.batch.n_rows - 1
    first = before.batch.reward_B[before.batch.group_B == 0][1:].tolist()
    expected = [r - sum(first) / len(first) for r in first]
    assert group_zscore(after.batch, std="none")[: len(first)].tolist() == pytest.approx(expected)


def test_the_samplers_log_probs_stay_with_their_rows():
    """Else the next row's would be compared with the trainer's, and the run flagged for a mismatch that is none."""
    after = without_failed(collected([1, 4]))
    assert after.sampler_logp_BT[:, 0].tolist() == [0, 2, 3, 5, 6, 7]


class Pair(Comm):
    """The second of two processes; the first has rows of optimizer batches 0 and 1."""

    def gather(self, x):
        return torch.cat([torch.tensor([0, 0, 1]), x])


def test_every_process_makes_every_optimizer_step():
    """A process whose rows of one optimizer batch all failed still steps with the others, without a gradient."""
    batch = made()
    batch = replace(batch, optim_B=torch.zeros_like(batch.optim_B))
    assert list(optimizer_batches(batch)) == [[list(range(8))]]
    assert list(optimizer_batches(batch, Pair(1, 2))) == [[list(range(8))], []]
    model, method = tiny_model(), Method()
    work, tally = work_of(model, method, batch), Tally()
    optimizer_step(model, method, work, [], SETTINGS, Comm(), tally)
    assert tally == Tally() and all(p.grad is None for p in model.parameters())


def test_nothing_failed_changes_nothing():
    before = collected([])
    assert without_failed(before) is before


def test_a_batch_of_failures_is_an_error():
    with pytest.raises(CheckFailed, match="every response"):
        without_failed(collected(list(range(made().n_rows))))
