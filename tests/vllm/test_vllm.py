"""A real vLLM: same tokens and log-probs as transformers, weights really taken, seeds really apart, and it trains."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from creditbench.errors import BadInput
from creditbench.sampling import SamplingParams, open_engine
from tests.vllm.conftest import logps_of, moved, random_policy

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]
PROMPTS = [[10, 11, 12], [20 + i for i in range(17)], [7], [9, 9, 30, 31, 32, 33]]
GREEDY = SamplingParams(24, temperature=0.0)


@pytest.fixture(autouse=True)
def fresh(engine, policy):
    """Every test starts with the engine awake and on the first weights."""
    engine.wake()
    engine.update_weights(policy)


def worst(model, prompts, generations) -> float:
    """Largest |engine's log-prob - plain forward pass's| of any sampled token."""
    gaps = [logps_of(model, p, g.token_ids) - torch.tensor(g.logps) for p, g in zip(prompts, generations, strict=True)]
    return max(float(gap.abs().max()) for gap in gaps)


def test_greedy_equals_hf(engine, policy):
    ours = engine.generate(PROMPTS, [0] * 4, GREEDY)
    theirs = open_engine("hf", policy).generate(PROMPTS, [0] * 4, GREEDY)
    assert [g.token_ids for g in ours] == [g.token_ids for g in theirs]
    assert [g.finish_reason for g in ours] == [g.finish_reason for g in theirs]
    assert worst(policy, PROMPTS, ours) < 1e-4


@pytest.mark.parametrize("penalty", [0.2, 1.0])
def test_presence_penalty_equals_hf(engine, policy, penalty):
    """Off the logits of what the turn holds, the prompt not counted; log-probs stay the model's own."""
    params = SamplingParams(24, temperature=0.0, presence_penalty=penalty)
    ours = engine.generate(PROMPTS, [0] * 4, params)
    theirs = open_engine("hf", policy).generate(PROMPTS, [0] * 4, params)
    assert [g.token_ids for g in ours] == [g.token_ids for g in theirs]
    assert worst(policy, PROMPTS, ours) < 1e-4
    if penalty == 1.0:
        assert [g.token_ids for g in ours] != [g.token_ids for g in engine.generate(PROMPTS, [0] * 4, GREEDY)]


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probs_are_the_models_own_whatever_the_temperature_and_filters(engine, policy, temperature):
    params = SamplingParams(24, temperature=temperature, top_p=0.9, top_k=20)
    done = engine.generate(PROMPTS * 4, range(16), params)
    assert worst(policy, PROMPTS * 4, done) < 1e-4


def test_an_end_token_ends_a_turn_and_is_part_of_it(engine):
    done = engine.generate(PROMPTS * 16, range(64), SamplingParams(48))
    stopped = [g for g in done if g.finish_reason == "stop"]
    assert stopped
    assert all(g.token_ids[-1] == 1 and 1 not in g.token_ids[:-1] for g in stopped)
    assert all(len(g.token_ids) == 48 and 1 not in g.token_ids for g in done if g.finish_reason == "length")


def test_every_push_is_used_and_a_return_to_old_weights_too(engine, policy):
    """The head is tied to the embeddings: a push without it would leave the old head in place, without a word."""
    other, third = moved(policy), moved(policy, seed=2)
    for model in (other, policy, third, other):
        engine.update_weights(model)
        done = engine.generate(PROMPTS, [1, 2, 3, 4], SamplingParams(16))
        assert worst(model, PROMPTS, done) < 1e-4
        wrong = policy if model is not policy else other
        assert worst(wrong, PROMPTS, done) > 0.1


def test_a_later_change_of_the_module_does_not_reach_the_engine(engine, policy):
    model = moved(policy)
    engine.update_weights(model)
    before = engine.generate(PROMPTS, [0] * 4, GREEDY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert engine.generate(PROMPTS, [0] * 4, GREEDY) == before


def test_adapters_are_merged_into_what_is_pushed(engine, policy):
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    adapted = get_peft_model(moved(policy), LoraConfig(r=4, lora_alpha=8, target_modules="all-linear"))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    adapted.eval()
    engine.update_weights(adapted)
    done = engine.generate(PROMPTS, [1, 2, 3, 4], SamplingParams(16))
    assert worst(adapted, PROMPTS, done) < 1e-4
    with adapted.disable_adapter():
        assert worst(adapted, PROMPTS, done) > 0.1


def test_seeds_decide_the_samples_and_neighbouring_seeds_share_none(engine):
    """Of one request with n samples, vLLM gives sample k the seed s + k; here every sample is a request of its own."""
    prompts, seeds, params = [PROMPTS[0]] * 32, list(range(1000, 1032)), SamplingParams(16)
    first = engine.generate(prompts, seeds, params)
    assert len({g.token_ids for g in first}) == 32
    assert engine.generate(prompts, seeds, params) == first
    again = engine.generate(prompts[:8], seeds[8:16], params)
    assert [g.token_ids for g in again] == [g.token_ids for g in first[8:16]]
    with pytest.raises(BadInput, match="share a seed"):
        engine.generate([PROMPTS[0]] * 2, [5, 5], params)
    assert len(engine.generate([PROMPTS[0], PROMPTS[2]], [2**63 - 1, 2**63 - 1], params)) == 2


def test_turns_continue_the_conversation_as_hf_does(engine, policy):
    params = SamplingParams(6, temperature=0.0)
    ours, theirs = engine.session(3, params), open_engine("hf", policy).session(3, params, 64)
    for blocks in (PROMPTS[:3], [[40, 41], None, [42]], [[50], None, [51, 52, 53]]):
        got, want = ours.extend(blocks, [0] * 3), theirs.extend(blocks, [0] * 3)
        assert [g and g.token_ids for g in got] == [g and g.token_ids for g in want]


def test_it_sleeps_and_wakes(engine, policy):
    before = engine.generate(PROMPTS, [0] * 4, GREEDY)
    engine.sleep()
    with pytest.raises(BadInput, match="asleep"):
        engine.generate(PROMPTS, [0] * 4, GREEDY)
    engine.wake()
    assert engine.generate(PROMPTS, [0] * 4, GREEDY) == before


def test_ten_steps_of_grpo_reach_the_reward_of_ten_steps_with_hf(engine, tmp_path):
    """The trainer's own step on the one-token task: reward at the end, and sampler and trainer agree at every step."""
    from creditbench.trainer.loop import make_optimizer, train_step
    from tests.trainer import bandit

    s = bandit.S.model_copy(update={"steps": 10, "group_size": 8, "lr": 2e-3})
    rewards = {}
    for name in ("hf", "vllm"):
        setup, state = bandit.open_run("grpo", 0, s)
        model = random_policy(4)
        start = bandit.accuracy(model)
        sampler = open_engine("hf", model) if name == "hf" else engine
        state = replace(state, model=model, optimizer=make_optimizer(model, s), engine=sampler)
        rows = [train_step(setup, state)[0] for _ in range(10)]
        rewards[name] = bandit.accuracy(model)
        assert rewards[name] > start + 0.15, f"{name}: {start:.3f} -> {rewards[name]:.3f}"
        assert max(row["mismatch.max"] for row in rows) < 1e-4
        assert max(row["mismatch.kl"] for row in rows) < 1e-8
    assert rewards["vllm"] == pytest.approx(rewards["hf"], abs=0.1)


def test_stale_weights_show_in_the_recorded_mismatch(engine, policy):
    """Were a push lost, the curve would say so: the same rollouts under other weights."""
    from creditbench.trainer.update import Tally, count_mismatch

    prompts = PROMPTS * 8
    done = engine.generate(prompts, range(32), SamplingParams(16))
    sampled = torch.cat([torch.tensor(g.logps, dtype=torch.float64) for g in done])
    for model, low, high in ((policy, 0.0, 1e-8), (moved(policy, 0.02), 1e-3, 1e3)):
        tally = Tally()
        own = torch.cat([logps_of(model, p, g.token_ids) for p, g in zip(prompts, done, strict=True)])
        count_mismatch(tally, own, sampled)
        assert low <= tally.gap_kl / len(own) < high
