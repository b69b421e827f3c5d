"""What the environment says carries no loss, credit or KL: it acts on the actions' terms through the context alone."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from creditbench.conformance.synthetic import FIRST_TOKEN, VOCAB, synthetic_batch, tiny_model, try_method
from creditbench.method import get_method, method_names

MARKS = [[1, 0, 0, 1], [0, 1, 0, 0]]
LENGTHS = [[10, 9, 12, 8], [11, 8, 9, 10]]


def without_context(seed: int):
    """A model whose next-token distribution depends on the last token alone: attention and MLP give nothing."""
    model = tiny_model(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.zero_()
    return model


def said_otherwise(batch):
    """The same episodes, but the environment said something else in the first of its two tokens (2 and 3).

    The second one stays: it is the last token before an action, which even a model without context sees.
    """
    other = (batch.response_BT - FIRST_TOKEN + 7) % (VOCAB - FIRST_TOKEN) + FIRST_TOKEN
    at_BT = torch.zeros_like(batch.mask_BT)
    at_BT[:, 2] = True
    assert not bool((batch.mask_BT & at_BT).any()) and not bool(batch.mask_BT[:, 3].any())
    changed = replace(batch, response_BT=torch.where(at_BT, other, batch.response_BT))
    assert bool((changed.response_BT[:, 2] != batch.response_BT[:, 2]).all())
    return changed


@pytest.mark.parametrize("name", method_names())
def test_observations_reach_the_loss_only_through_the_context(name):
    registered = get_method(name)
    method = registered.method(registered.own_defaults("tiny"))
    batch = synthetic_batch(MARKS, lengths=LENGTHS, env_tokens=True)
    seen, terms = [], []
    for model, other in ((without_context(0), without_context(5)), (tiny_model(), tiny_model(5))):
        pair = [try_method(model, method, b, external=other) for b in (batch, said_otherwise(batch))]
        works = [work for work, _ in pair]
        assert not any(bool(work.credit_BT[~batch.mask_BT].any()) for work in works)
        seen.append([got.loss for _, got in pair])
        terms.append([got.grads["model.embed_tokens.weight"] for _, got in pair])
    assert seen[0][0] == pytest.approx(seen[0][1], rel=1e-12, abs=1e-14)
    assert torch.allclose(*terms[0], rtol=1e-10, atol=1e-14) and bool(terms[0][0].any())
    # With a context the same change does matter, so the first half of the test could have failed.
    assert not torch.allclose(*terms[1], rtol=1e-6, atol=1e-9)
