"""Each core method against the second implementation, on random batches with every kind of edge in them."""

import numpy as np
import pytest
import torch

from tests.methods import examiner
from tests.methods.kit import SETTINGS, build, model, nudged, outcome_of, synthetic_batch, work_of

CORE = ("grpo", "dapo", "opd", "opsd", "cast", "sc_grpo", "oar_p", "oar_g")
TWICE = SETTINGS.model_copy(update={"epochs_per_rollout": 2})


def random_batch(seed: int):
    """Groups of 1 to 5: all right, all wrong, two of a kind, mixed; one-token, empty, full-length, truncated rows."""
    draw = np.random.default_rng(seed)
    marks = [[1, 1], [0, 0, 0], [1, 0], [int(draw.random() < 0.5)]]
    marks += [draw.integers(0, 2, int(draw.integers(2, 6))).tolist() for _ in range(2)]
    marks += [[1, 1, 0], [1, 0, 0, 0]]
    order = draw.permutation(len(marks))
    marks = [marks[i] for i in order]
    lengths = [[int(draw.integers(1, 17)) for _ in group] for group in marks]
    rows = sum(map(len, marks))
    flat = [(g, i) for g, group in enumerate(marks) for i in range(len(group))]
    truncated = sorted(draw.choice(rows, 4, replace=False).tolist())
    for row, n in zip(truncated, (0, 1, 16, 16), strict=True):  # one response has no token at all
        lengths[flat[row][0]][flat[row][1]] = n
    return synthetic_batch(
        marks, lengths=lengths, truncated=truncated, no_answer=[int(draw.integers(rows))], seed=seed,
        env_tokens=seed % 2 == 1,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", CORE)
def test_credit_loss_and_gradient_agree_with_the_second_implementation(name: str, seed: int):
    s = TWICE.model_copy(update={"mask_truncated": name == "cast", "micro_rows": 3})
    batch, own = random_batch(seed), {"teacher": "initial"} if name == "opsd" else {}
    method, old, new, external = build(name, **own), model(), nudged(model(), 0.03, seed=seed), model(5)
    work = work_of(old, method, batch, s, external=external)
    rows = examiner.Rows(batch, s.mask_truncated)
    if name == "opsd":

        def loss(net) -> float:
            return examiner.opsd_loss(rows, old, net)
    else:
        credit = examiner.credit(name, rows, old, external, work)
        old_logp = [rows.picked(old, b) for b in range(rows.n)]
        kept = batch.mask_BT.any(-1) if name != "dapo" else method.select(batch)[0]
        for b in range(rows.n):
            ours = work.credit_BT[b, : len(rows.tokens[b])].numpy()
            if bool(kept[b]):
                np.testing.assert_allclose(ours[rows.live[b]], credit[b][rows.live[b]], rtol=1e-7, atol=1e-10)

        def loss(net) -> float:
            return examiner.loss(name, rows, old_logp, credit, net)

    got = outcome_of(new, method, work, s)
    assert got.loss == pytest.approx(loss(new), rel=1e-8, abs=1e-12)
    assert abs(got.loss) > 1e-6
    # Gradient: central difference of the second implementation's loss along random directions, weights held fixed.
    generator = torch.Generator().manual_seed(seed)
    ends = []
    direction = {n: torch.randn(p.shape, generator=generator, dtype=p.dtype) for n, p in new.named_parameters()}
    slope = sum(float((g * direction[n]).sum()) for n, g in got.grads.items())
    for sign in (1, -1):
        moved = nudged(new, 0.0)
        with torch.no_grad():
            for n, p in moved.named_parameters():
                p.add_(sign * 1e-7 * direction[n])
        ends.append(loss(moved))
    assert (ends[0] - ends[1]) / 2e-7 == pytest.approx(slope, rel=2e-4, abs=1e-6)
