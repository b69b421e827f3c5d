"""TRL's GRPOTrainer against our trainer: same frozen batch, loss and gradients to 1e-5 relative in float32."""

import copy
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import torch

from creditbench.conformance.synthetic import (
    EOS,
    PAD,
    SETTINGS,
    VOCAB,
    nudged,
    outcome_of,
    render,
    synthetic_batch,
    tiny_model,
    work_of,
)
from creditbench.errors import BadInput
from creditbench.method import Surrogate, get_method, method_names
from creditbench.trainer.comm import Comm
from creditbench.trainer.loop import Setup, State, make_optimizer
from creditbench.trainer.teachers import TeacherPool

pytestmark = [pytest.mark.peer, pytest.mark.skipif(find_spec("trl") is None, reason="needs the trl extra")]

from creditbench.trainer_trl import inputs_of, make_trainer, micro_batch, supported, translate, with_reference  # noqa: E402

MARKS = [[1, 0, 0, 1], [0, 0, 0, 0], [1, 1, 1, 0], [1, 0, 0, 0]]
S = SETTINGS.model_copy(update={"dtype": "float32", "prompts_per_step": 4, "group_size": 4, "epochs_per_rollout": 2})
SOURCE = SimpleNamespace(prompt_ids=render, tokenizer=SimpleNamespace(pad_id=PAD, eos_id=EOS), seed=0)


def of(name: str, **own):
    registered = get_method(name)
    return registered.method({**registered.own_defaults("real"), **own})


def losses(method, s, batch, folder):
    """(our loss, our gradients), (TRL's loss, TRL's gradients) on one frozen batch at a policy that has moved."""
    old, external = tiny_model(dtype=torch.float32), tiny_model(5, dtype=torch.float32)
    work = work_of(old, method, batch, s, external=external)
    new = nudged(old, 0.02)
    ours = outcome_of(copy.deepcopy(new), method, work, s)
    setup = Setup(source=SOURCE, method=method, settings=s)  # pyright: ignore
    state = State(new, make_optimizer(new, s), TeacherPool(new, method.teachers, external), None)  # pyright: ignore
    trainer = make_trainer(setup, state, folder, [])
    inputs = with_reference(inputs_of(work, PAD, Comm()), work, method)
    inputs = {k: v.float() if v.is_floating_point() else v for k, v in inputs.items()}
    new.train()
    new.zero_grad()
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    rows, n, total = batch.n_rows, trainer.args.per_device_train_batch_size, 0.0
    for start in range(0, rows, n):
        part = {k: v[start : start + n] if v.ndim else v for k, v in inputs.items()}
        loss = trainer._compute_loss(new, part)
        loss.backward()
        total += float(loss.detach())
    return ours, total, {k: p.grad for k, p in new.named_parameters()}


RUNS = {
    "grpo": {}, "dapo": {}, "dr_grpo": {}, "gspo": {}, "rloo": {}, "cispo": {}, "cast": {}, "sc_grpo": {},
    "oar_g": {}, "oar_p": {}, "rlsd": {}, "reinforce_pp": {}, "top_entropy": {}, "grail": {}, "opd": {},
}  # fmt: skip


@pytest.mark.parametrize("micro_rows", [16, 4])
@pytest.mark.parametrize("name", RUNS)
def test_loss_and_gradients_agree_on_a_frozen_batch(name, micro_rows, tmp_path):
    s = S.model_copy(update={"micro_rows": micro_rows})
    batch = synthetic_batch(MARKS, env_tokens=True, truncated=[5], micro_rows=micro_rows, dtype=torch.float32)
    ours, loss, grads = losses(of(name), s, batch, tmp_path)
    assert loss == pytest.approx(ours.loss, rel=1e-5, abs=2e-7)
    whole = sum(float(g.norm()) ** 2 for g in ours.grads.values()) ** 0.5
    off = sum(float((grads[k] - g).norm()) ** 2 for k, g in ours.grads.items()) ** 0.5
    assert whole > 0 and off / whole < 1e-5


@pytest.mark.parametrize("own", [{"kl": "k3", "beta": 0.04}, {"aggregate": "token-mean"}, {"clip_low": 0.02}])
def test_grpo_forms_agree(own, tmp_path):
    batch = synthetic_batch(MARKS, dtype=torch.float32)
    ours, loss, grads = losses(of("grpo", **own), S, batch, tmp_path)
    assert loss == pytest.approx(ours.loss, rel=1e-5, abs=2e-7)
    for k, g in ours.grads.items():
        assert float((grads[k] - g).norm()) < 1e-5 * max(float(g.norm()), 1e-3), k


def test_dual_clip_agrees(tmp_path):
    import dataclasses

    method = dataclasses.replace(of("grpo"), surrogate=Surrogate(low=0.01, high=0.01, dual=1.05))
    batch = synthetic_batch(MARKS, dtype=torch.float32)
    ours, loss, grads = losses(method, S, batch, tmp_path)
    assert loss == pytest.approx(ours.loss, rel=1e-5, abs=2e-7)
    for k, g in ours.grads.items():
        assert float((grads[k] - g).norm()) < 1e-5 * max(float(g.norm()), 1e-3), k


def test_a_wrong_aggregate_would_be_noticed(tmp_path):
    """The comparison has teeth: DAPO's token mean against GRPO's sequence mean is off by far more than 1e-5."""
    batch = synthetic_batch(MARKS, dtype=torch.float32)
    ours, _, _ = losses(of("dapo", dynamic_sampling=False, clip_high=0.2), S, batch, tmp_path)
    _, _, grads = losses(of("grpo"), S, batch, tmp_path)
    whole = sum(float(g.norm()) ** 2 for g in ours.grads.values()) ** 0.5
    off = sum(float((grads[k] - g).norm()) ** 2 for k, g in ours.grads.items()) ** 0.5
    assert off / whole > 0.01


def test_group_advantages_agree_with_trls_own(tmp_path):
    """TRL scores the same completions itself (its eps is 1e-4): group std, no std, both against our slot 2."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from creditbench.method import group_zscore
    from creditbench.trainer_trl import ids_tokenizer

    batch = synthetic_batch(MARKS, dtype=torch.float32)
    done = [batch.response_BT[b, : int(batch.length_B[b])].tolist() for b in range(16)]

    def rollout(prompts, trainer):
        return {"prompt_ids": [list(p) for p in batch.prompts], "completion_ids": done, "logprobs": None}

    for scale, expected in (("group", group_zscore(batch, eps=1e-4)), ("none", group_zscore(batch, std="none"))):
        args = GRPOConfig(
            output_dir=str(tmp_path), per_device_train_batch_size=16, num_generations=4, scale_rewards=scale,
            max_completion_length=16, use_cpu=True, bf16=False, report_to=[], save_strategy="no",
        )  # fmt: skip
        trainer = GRPOTrainer(
            model=tiny_model(dtype=torch.float32), args=args, rollout_func=rollout,
            reward_funcs=lambda completions, **_: batch.reward_B.tolist(),
            train_dataset=Dataset.from_dict({"prompt": ["x"] * 4}), processing_class=ids_tokenizer(VOCAB, PAD, EOS),
        )  # fmt: skip
        trainer.model.train()
        scored = trainer._generate_and_score_completions([{"prompt": "x"}] * 16)
        assert torch.allclose(scored["advantages"].double(), expected, rtol=1e-5, atol=1e-6)
        assert scored["completion_mask"].sum(-1).tolist() == batch.length_B.tolist()


def test_what_trl_cannot_run_is_refused():
    refused = {name: supported(of(name)) for name in method_names()}
    assert {name for name, why in refused.items() if why} == {"grpo_distill", "opsd", "sdpo", "sdpg"}
    assert "slot 6" in refused["opsd"]
    with pytest.raises(BadInput, match="k3 penalty alone"):
        translate(of("grpo", kl="k1", beta=0.1))
    assert micro_batch(12, 5) == 4 and micro_batch(7, 5) == 1 and micro_batch(16, 64) == 16


@pytest.mark.parametrize("name", ["grpo", "dapo", "gspo", "cast"])
def test_whole_steps_agree(name, tmp_path):
    """Four steps from rollouts to weights: same samples, rewards and credit; weights within float32 rounding."""
    from creditbench.trainer.loop import train_step
    from creditbench.trainer_trl import train_trl
    from tests.trainer import bandit

    s = bandit.S.model_copy(update={"steps": 4, "micro_rows": 8})
    setup, mine = bandit.open_run(name, 0, s)
    rows = [train_step(setup, mine)[0] for _ in range(s.steps)]
    setup, theirs = bandit.open_run(name, 0, s)
    found = train_trl(setup, theirs, tmp_path)
    assert [r["reward"] for r in found] == [r["reward"] for r in rows]
    assert [r["grad_norm"] for r in found] == pytest.approx([r["grad_norm"] for r in rows], rel=1e-3)
    assert theirs.optimizer_step == mine.optimizer_step == 4 and theirs.step == 4
    start = dict(tiny_model(dtype=torch.float32).named_parameters())
    for k, p in theirs.model.named_parameters():
        q = dict(mine.model.named_parameters())[k]
        assert float((p - q).detach().norm()) < 0.01 * float((q - start[k]).detach().norm()), k
    for key in ("generated_tokens", "trained_tokens", "extra_forwards", "optimizer_steps", "rollout_batches"):
        assert getattr(theirs.ledger, key) == getattr(mine.ledger, key), key


@pytest.mark.slow
@pytest.mark.parametrize("name", ["grpo", "dr_grpo", "gspo"])
def test_final_accuracy_over_three_seeds_is_equivalent(name, tmp_path):
    """Two one-sided t-tests on three paired seeds, margin 0.05 of accuracy (a run gains about 0.4), 5 % level."""
    from scipy import stats

    from creditbench.trainer.loop import train_step
    from creditbench.trainer_trl import train_trl
    from tests.trainer import bandit

    before = bandit.accuracy(tiny_model(dtype=torch.float32))
    pairs = []
    for seed in range(3):
        setup, mine = bandit.open_run(name, seed)
        for _ in range(bandit.S.steps):
            train_step(setup, mine)
        setup, theirs = bandit.open_run(name, seed)
        train_trl(setup, theirs, tmp_path)
        pairs.append((bandit.accuracy(mine.model), bandit.accuracy(theirs.model)))
    gap = torch.tensor([a - b for a, b in pairs], dtype=torch.float64)
    assert min(a for a, _ in pairs) > before + 0.15  # there is something to agree on
    error = max(float(gap.std()) / 3**0.5, 1e-9)
    p = max(stats.t.sf((0.05 + float(gap.mean())) / error, 2), stats.t.sf((0.05 - float(gap.mean())) / error, 2))
    assert p < 0.05, pairs
