"""On an accelerator nothing may mix devices: steps of all methods, sampling and whole runs, on a pretended one."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from creditbench.conformance.synthetic import SETTINGS, nudged, outcome_of, synthetic_batch, tiny_model, work_of
from creditbench.method import get_method, method_names
from creditbench.records import read_parquet
from creditbench.sampling import SamplingParams, open_engine
from creditbench.suite import load_suite, resolve
from creditbench.trainer import run
from tests.trainer.elsewhere import THERE, Elsewhere, elsewhere
from tests.trainer.small import results_for

MARKS = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]]
SUITE = """\
name: suite
class: tiny
description: Four steps from a random model; a copied teacher, an averaged one with adapters, an answer probe.
seeds: [0]
arms: [base, cast, opsd, oar_g]
settings: {prompts_per_step: 2, group_size: 4, lr: 1.0e-3, steps: 4, checkpoint_every: 2, updates_per_rollout: 2}
overrides:
  cast: {refresh: 3, mask_truncated: false}
  opsd: {teacher: ema, ema_rate: 0.2, mask_truncated: false, lora_r: 4}
"""


def test_the_pretended_device_refuses_what_cuda_refuses():
    with elsewhere() as there:
        far, near = torch.arange(3.0, device=there), torch.arange(3.0)
        assert isinstance(far + 1, Elsewhere) and (far + 1).device == there and (far * 2).sum().item() == 6
        assert (far + torch.tensor(1.0)).tolist() == [1, 2, 3] and (far + near.to(far.device)).tolist() == [0, 2, 4]
        assert far[near.long()].tolist() == [0, 1, 2] and far.cpu().device.type == "cpu"
        for mixed in (lambda: far + near, lambda: near[far.long()], lambda: torch.where(near > 0, far, far),
                      lambda: far.gather(0, near.long()), lambda: near.add_(far), lambda: torch.cat([far, near]),
                      lambda: torch.rand(2, device=there, generator=torch.Generator())):  # fmt: skip
            with pytest.raises(RuntimeError, match="elsewhere"):
                mixed()
        weight = torch.nn.Linear(3, 2).to(there).weight
        (weight @ far).sum().backward()
        assert isinstance(weight.grad, Elsewhere) and weight.grad.tolist() == [[0, 1, 2], [0, 1, 2]]


@pytest.mark.parametrize("name", method_names())
def test_a_step_elsewhere_is_the_step_here(name):
    """Signals, loss and gradients of a method whose model is on another device than the batch: the same numbers."""
    registered = get_method(name)
    method = registered.method(registered.own_defaults("tiny"))
    batch = synthetic_batch(MARKS, micro_rows=5)
    s = SETTINGS.model_copy(update={"epochs_per_rollout": 2})
    outer = any(teacher.weights == "external" for teacher in method.teachers.values())
    model, external = tiny_model(), tiny_model(5) if outer else None
    left = outcome_of(nudged(model, 0.02), method, work_of(model, method, batch, s, external=external), s)
    with elsewhere() as there:
        far = copy.deepcopy(model).to(there)
        teacher = external.to(there) if external is not None else None
        work = work_of(far, method, batch, s, external=teacher)
        right = outcome_of(nudged(model, 0.02).to(there), method, work, s)
        grads = {key: g.cpu() for key, g in right.grads.items()}
    assert right.loss == pytest.approx(left.loss, rel=1e-9, abs=1e-12)
    assert grads.keys() == left.grads.keys()
    for key, g in left.grads.items():
        assert torch.allclose(g, grads[key], rtol=1e-9, atol=1e-12), key


@pytest.mark.parametrize("engine", ["raw", "hf"])
def test_sampling_elsewhere_draws_the_same_tokens(engine):
    model = tiny_model(dtype=torch.float32)
    prompts, seeds = [(3, 4, 5), (6, 7), (8, 9, 10, 11)] * 2, range(6)
    params = SamplingParams(12, temperature=0.9, top_p=0.95, top_k=8)
    here = open_engine(engine, model, eos_ids=[1]).generate(prompts, seeds, params)
    with elsewhere() as there:
        far = open_engine(engine, copy.deepcopy(model).to(there), eos_ids=[1]).generate(prompts, seeds, params)
    assert [g.token_ids for g in here] == [g.token_ids for g in far]
    assert [g.logps for g in far] == [pytest.approx(g.logps, abs=1e-5) for g in here]


@pytest.mark.parametrize("arm", ["cast", "opsd", "oar_g"])
def test_a_run_elsewhere_with_its_checkpoints_is_the_run_here(tmp_path, monkeypatch, arm):
    results = results_for(tmp_path, SUITE)
    spec = resolve(load_suite(str(results / "suite.yaml")), arm, "math", 0)
    with sdpa_kernel(SDPBackend.MATH):  # the kernel that the pretended device gets
        here = run.train(spec, results, out=tmp_path / "here")
    base = run.load_model(run.models_dir(results, spec.base.key), spec.settings)

    save = run.save_model

    def save_here(model, folder_of_base, folder, weights=None):
        """Writing safetensors reads memory addresses, which the pretended device has none of."""
        save(model, folder_of_base, folder, {k: v.cpu() for k, v in (weights or run.plain_state(model)).items()})

    class Killed(BaseException):
        pass

    def kill(step, steps, row):
        if step == 3:
            raise Killed

    with elsewhere():
        monkeypatch.setattr(run, "load_model", lambda *given: copy.deepcopy(base).to(THERE))
        monkeypatch.setattr(run, "save_model", save_here)
        with pytest.raises(Killed):
            run.train(spec, results, out=tmp_path / "there", report=kill)
        there = run.train(spec, results, out=tmp_path / "there")
    left, right = (read_parquet(folder / "curve.parquet").to_pylist() for folder in (here, there))
    assert len(left) == len(right) == 4
    for key in ("loss", "grad_norm", "reward"):
        assert [row[key] for row in right] == pytest.approx([row[key] for row in left], rel=1e-4, abs=1e-7), key
