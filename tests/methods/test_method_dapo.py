"""DAPO against 2503.14476: clip-higher, soft overlong punishment, dynamic sampling, one mean over all tokens."""

from types import SimpleNamespace

import pytest
import torch

from creditbench.errors import CheckFailed
from creditbench.items import Completion, Graded, Item
from creditbench.method import Surrogate, get_method
from creditbench.sampling import Episode
from creditbench.settings import TrainSettings
from creditbench.trainer.collect import Sampled, Source, collect
from creditbench.trainer.loss import policy_loss
from tests.methods.kit import (
    SETTINGS,
    build,
    model,
    naive_logp,
    naive_loss,
    nudged,
    outcome_of,
    synthetic_batch,
    work_of,
)

DAPO = get_method("dapo")


@pytest.mark.parametrize(
    ("rho", "adv", "high", "gradient"),
    [
        (1.25, 1.0, 0.28, True), (1.25, 1.0, 0.20, False), (1.2799, 1.0, 0.28, True), (1.2801, 1.0, 0.28, False),
        (0.70, -1.0, 0.28, False), (0.8001, -1.0, 0.28, True), (0.7999, -1.0, 0.28, False),
        (0.70, 1.0, 0.28, True), (1.50, -1.0, 0.28, True),
    ],
)  # fmt: skip
def test_clip_higher_boundaries(rho, adv, high, gradient):
    logp = torch.tensor([[rho]], dtype=torch.float64).log().requires_grad_()
    zero, on = torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool)
    loss, hit = policy_loss(logp, zero, torch.full_like(zero, adv), on, Surrogate(low=0.2, high=high))
    loss.sum().backward()
    # d(-rho A)/d log pi = -rho A where the minimum takes the unclipped branch, else nothing.
    assert float(logp.grad) == pytest.approx(-rho * adv if gradient else 0.0, rel=1e-12)
    assert bool(hit) is not gradient
    clipped = min(max(rho, 0.8), 1 + high)
    assert float(loss.detach()) == pytest.approx(-min(rho * adv, clipped * adv), rel=1e-12)


def test_default_range_is_the_papers():
    surrogate = build("dapo").surrogate
    assert (surrogate.low, surrogate.high, surrogate.kl) == (0.2, 0.28, "none")


@pytest.mark.parametrize(
    ("tokens", "penalty"),
    [
        (16383, 0.0),
        (16384, 0.0),
        (16385, -1 / 4096),
        (18432, -0.5),
        (20479, -4095 / 4096),
        (20480, -1.0),
        (20481, -1.0),
    ],
)
def test_soft_overlong_penalty_at_its_kinks(tokens, penalty):
    """Eq. 13 with the paper's 20480 = 16384 + 4096 tokens."""
    import sys

    module = sys.modules["creditbench_methods_dapo"]
    assert float(module.overlong_penalty(torch.tensor([tokens]), 20480, 4096)) == pytest.approx(penalty, abs=1e-12)
    assert round(DAPO.card.own_settings["overlong_cache"].paper * 20480) == 4096


def test_reward_is_plus_minus_one_plus_length_and_selection_ignores_length():
    # Cap 16, cache 0.2 * 16 -> 3 tokens: 13 cost nothing, 16 cost 1. Group 0: all correct, unequal rewards.
    batch = synthetic_batch([[1, 1], [1, 0]], lengths=[[13, 16], [14, 16]])
    keep_B, reward_B = build("dapo").select(batch)
    assert keep_B.tolist() == [False, False, True, True]
    assert reward_B.tolist() == pytest.approx([1.0, 0.0, 1 - 1 / 3, -2.0])
    all_kept, _ = build("dapo", dynamic_sampling=False).select(batch)
    assert all_kept.tolist() == [True] * 4


S = TrainSettings(dtype="float64", prompts_per_step=2, group_size=2, max_new_tokens=16, steps=3)
SOURCE = Source(benchmark=None, items=(Item("a", "1"),), protocol=None, tokenizer=SimpleNamespace(), track="t", seed=0)  # pyright: ignore


def group(name: str, marks, n_tokens: int = 4) -> Sampled:
    episodes, graded = [], []
    for right in marks:
        ids = tuple(range(6, 6 + n_tokens))
        done = Completion("x", n_tokens, "stop", ids)
        episodes.append(
            Episode(
                prompt_ids=(7,), token_ids=ids, model_mask=(True,) * n_tokens, logps=(-1.0,) * n_tokens, completion=done
            )
        )
        graded.append(Graded("correct" if right else "wrong", float(right)))
    return Sampled(Item(name, "7"), "", tuple(episodes), tuple(range(len(marks))), tuple(graded))


def run(stored):
    return collect(SOURCE, None, build("dapo"), S, 0, torch.float64, stored=stored)  # pyright: ignore


def test_dynamic_sampling_fills_the_batch_and_drops_the_surplus():
    got = run(
        {
            "rollout": [group("all right", [1, 1]), group("mixed 1", [1, 0])],
            "refill-1": [group("all wrong", [0, 0]), group("all right", [1, 1])],
            "refill-2": [group("mixed 2", [0, 1]), group("mixed 3", [1, 0])],
        }
    )
    assert [item.id for item in got.batch.items] == ["mixed 1", "mixed 1", "mixed 2", "mixed 2"]
    assert bool(got.keep_B.all()) and got.generated_batches == 3
    # Every generated token is paid for, dropped groups and the discarded surplus group included.
    assert got.generated_tokens == 6 * 2 * 4 and got.uniform_share == pytest.approx(3 / 6)


def test_dynamic_sampling_filters_on_correctness_not_on_the_shaped_reward():
    """Two correct responses of unequal length have unequal shaped rewards; the group is still dropped."""
    long, short = group("both right", [1, 1], 16), group("both right", [1, 1], 4)
    both = Sampled(long.item, "", (long.episodes[0], short.episodes[0]), (0, 1), (long.graded[0], short.graded[0]))
    mixed = [group("mixed", [1, 0]), group("mixed too", [0, 1])]
    got = run({"rollout": [both, both], "refill-1": mixed})
    assert {item.id for item in got.batch.items} == {"mixed", "mixed too"}


def test_dynamic_sampling_is_bounded():
    uniform = [group("all right", [1, 1]), group("all wrong", [0, 0])]
    stored = {"rollout": uniform, **{f"refill-{i}": uniform for i in range(1, 50)}}
    with pytest.raises(CheckFailed, match="after 10 generated batches"):
        run(stored)


def test_a_step_that_cannot_be_filled_goes_on_with_the_groups_it_has():
    """One mixed group of the two wanted in ten batches: no run is lost because its model became too good."""
    uniform = [group("all right", [1, 1]), group("all right too", [1, 1])]
    stored = {"rollout": uniform, **{f"refill-{i}": uniform for i in range(1, 10)}}
    stored["refill-4"] = [group("all right", [1, 1]), group("mixed", [1, 0])]
    got = run(stored)
    assert [item.id for item in got.batch.items] == ["mixed", "mixed"] and got.generated_batches == 10
    assert got.generated_tokens == 40 * 4 and bool(got.keep_B.all())


@pytest.mark.parametrize("micro_rows", [1, 3, 12])
def test_token_mean_over_the_whole_optimizer_batch_under_accumulation(micro_rows):
    """Responses of 1 to 16 tokens: a mean per micro-batch would weigh tokens differently."""
    lengths = [[1, 16, 3, 9], [2, 12, 16, 5], [7, 7, 1, 16]]
    s = SETTINGS.model_copy(update={"epochs_per_rollout": 2, "micro_rows": micro_rows})
    batch = synthetic_batch([[1, 0, 0, 1], [0, 0, 0, 1], [1, 1, 0, 1]], lengths=lengths, micro_rows=micro_rows)
    method, old, new = build("dapo", overlong_cache=0.0), model(), nudged(model(), 0.03)
    got = outcome_of(new, method, work_of(old, method, batch, s), s)
    z = torch.cat([(r - r.mean()) / (r.std() + 1e-6) for r in (2 * batch.reward_B - 1).split(4)])
    old_logp = [naive_logp(old, batch, row).detach() for row in range(12)]
    net = nudged(new, 0.0)
    expected = naive_loss(net, batch, z[:, None].expand(batch.mask_BT.shape), old_logp, "token-mean", 0.2, 0.28)
    expected.backward()
    assert got.loss == pytest.approx(float(expected.detach()), rel=1e-10)
    for name, parameter in net.named_parameters():
        assert torch.allclose(parameter.grad, got.grads[name], rtol=1e-8, atol=1e-12), name
