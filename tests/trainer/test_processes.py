"""Two processes give the loss and the gradients of one (gloo, torchrun)."""

from types import SimpleNamespace

import pytest
import torch

from creditbench.errors import BadInput
from creditbench.trainer.comm import Comm
from creditbench.trainer.run import check_shares
from tests.trainer.ranks import two_ranks
from tests.trainer.two_processes import METHODS, results


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return two_ranks("tests/trainer/two_processes.py", tmp_path_factory.mktemp("ranks"), 200)


@pytest.fixture(scope="module")
def one():
    return results(Comm())


@pytest.mark.parametrize("name", METHODS)
def test_loss_and_gradients_equal_one_process(ranks, one, name):
    """Token means run over the tokens of both ranks, SC-GRPO's quantile over both ranks' KLs; groups stay whole."""
    expected = one[name]
    for rank in ranks:
        got = rank[name]
        assert got["loss"] == pytest.approx(expected["loss"], rel=1e-9, abs=1e-14)
        for key, g in expected["grads"].items():
            assert torch.allclose(got["grads"][key], g, rtol=1e-8, atol=1e-12), key
    first, second = (rank[name] for rank in ranks)
    for key in expected["grads"]:
        assert torch.equal(first["grads"][key], second["grads"][key]), key
    assert torch.allclose(first["credit"], expected["credit"], rtol=1e-9, atol=1e-12)


def test_a_wrong_context_needs_another_group_on_the_same_process():
    """With one group each there is none: the teacher would see nothing, and the arm would not be the placebo."""
    spec = SimpleNamespace(placebo="wrong-context", settings=SimpleNamespace(prompts_per_step=8))
    check_shares(spec, Comm(0, 4))
    check_shares(SimpleNamespace(placebo="permuted", settings=spec.settings), Comm(0, 8))
    with pytest.raises(BadInput, match="8 on 8 processes is one group each"):
        check_shares(spec, Comm(0, 8))
    spec.settings.prompts_per_step = 1
    check_shares(spec, Comm())


def test_groups_are_dealt_whole_or_not_at_all():
    shares = [Comm(rank, 4).share(8) for rank in range(4)]
    assert [list(range(8))[s] for s in shares] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    with pytest.raises(BadInput, match="7 groups cannot be dealt to 2"):
        Comm(0, 2).share(7)
