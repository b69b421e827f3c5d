"""The curve's weights by group type: groups with one correct response stand apart from those with 2 to G - 1."""

import pytest
import torch

from creditbench.conformance.synthetic import synthetic_batch
from creditbench.trainer.curve import weight_row


def test_mean_weight_by_number_correct():
    # Advantages 1 and -1, so that weights are the credits; every response has 5 tokens.
    batch = synthetic_batch([[1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 1], [1]], lengths=[[5] * 3] * 4 + [[5]])
    adv_B = torch.tensor([1.0] * 3 + [2.0] * 3 + [0.0] * 3 + [-1.0] * 3 + [1.0])
    weight_B = torch.tensor([1.0] * 3 + [0.25] * 3 + [0.0] * 3 + [0.5] * 3 + [3.0])
    row = weight_row(batch, adv_B, (adv_B * weight_B)[:, None] * batch.mask_BT, batch.mask_BT)
    expected = {"one_correct": 1.0, "partial": 0.25, "mixed": 0.625, "all_wrong": 0.0, "all_correct": (1.5 + 3) / 4}
    assert {kind: row[f"weight.mean.{kind}"] for kind in expected} == pytest.approx(expected)
    shares = {"one_correct": 3 / 13, "partial": 3 / 13, "mixed": 6 / 13, "all_wrong": 3 / 13, "all_correct": 4 / 13}
    assert {kind: row[f"groups.{kind}"] for kind in shares} == pytest.approx(shares)
    assert row["credit.abs_mean.partial"] == pytest.approx(0.5) and row["credit.abs_mean.one_correct"] == 1.0
    # A group of one that is right is all correct, not "one of several".
    assert row["weight.mean"] == pytest.approx((3 * 1 + 3 * 0.25 + 3 * 0.5 + 3) / 10)
