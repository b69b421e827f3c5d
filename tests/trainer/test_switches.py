"""Switches that must not change a gradient, and libraries that training must do without."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from creditbench.conformance.synthetic import SETTINGS, outcome_of, synthetic_batch, tiny_model, work_of
from creditbench.method import get_method, method_names
from creditbench.suite import load_suite, resolve
from creditbench.trainer import run
from creditbench.trainer.comm import Comm
from creditbench.trainer.run import limit_threads, load_model
from tests.trainer.small import results_for

REPO = Path(__file__).resolve().parents[2]
SUITE = """\
name: suite
class: tiny
description: One arm.
seeds: [0]
arms: [base, grpo]
settings: {steps: 1}
"""


@pytest.mark.parametrize("name", ["grpo", "opsd", "oar_g", "oar_p"])
def test_gradient_checkpointing_gives_the_same_gradients(tmp_path, name):
    """Layers are run again in the backward pass (their parts are called twice), and nothing else changes."""
    tiny_model().save_pretrained(tmp_path)
    registered = get_method(name)
    method = registered.method(registered.own_defaults("tiny"))
    batch = synthetic_batch([[1, 0, 1, 0], [1, 1, 1, 0]], micro_rows=4)
    found, calls = {}, {}
    for switch in (False, True):
        s = SETTINGS.model_copy(
            update={"epochs_per_rollout": 2, "gradient_checkpointing": switch, "dtype": "float64", "lora_r": 0}
        )
        model = load_model(tmp_path, s)
        work = work_of(model, method, batch, s)
        seen: list[int] = []
        model.model.layers[0].mlp.register_forward_pre_hook(lambda *_, seen=seen: seen.append(1))
        model.train()
        found[switch] = outcome_of(model, method, work, s)
        calls[switch] = len(seen)
    assert calls[True] > calls[False] > 0, calls
    assert found[True].loss == pytest.approx(found[False].loss, rel=1e-12)
    assert any(bool(g.abs().max() > 1e-6) for g in found[False].grads.values())
    for key, g in found[False].grads.items():
        assert torch.allclose(found[True].grads[key], g, rtol=1e-10, atol=1e-14), key


@pytest.mark.parametrize(("told", "threads"), [("2", 2), ("2,1", 2), ("0", 1), ("many", 1), ("", 1), (None, 1)])
def test_threads_are_what_openmp_would_take(monkeypatch, told, threads):
    """One number, or one per level of nesting; nothing that can be read means one."""
    before, asked = torch.get_num_threads(), []
    monkeypatch.setattr(torch, "set_num_threads", asked.append)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if told is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", told)
    limit_threads()
    assert asked == [threads] and torch.get_num_threads() == before


@pytest.mark.parametrize("engine", ["raw", "hf"])
def test_a_sharded_policy_is_sampled_in_the_dtype_of_the_run(tmp_path, monkeypatch, engine):
    """From a copy of its own; one in another precision would sample another policy than one process does."""
    results = results_for(tmp_path, SUITE)
    spec = resolve(load_suite(str(results / "suite.yaml")), "grpo", "math", 0)
    told = spec.settings.model_copy(update={"engine": engine, "dtype": "float64"})
    monkeypatch.setattr(run, "is_sharded", lambda model: True)
    _, state = run.open_run(spec.model_copy(update={"settings": told}), results, Comm(), tmp_path / "work", None)
    weights = state.engine._weights.embed_VH if engine == "raw" else state.engine._model.lm_head.weight
    own = state.model.get_input_embeddings().weight
    assert weights.dtype == torch.float64 == own.dtype and weights.data_ptr() != own.data_ptr()


def test_training_needs_no_library_of_the_workflow_or_the_hub():
    """A machine with a GPU may have torch and transformers and little else: trl, datasets, snakemake, lm-eval, pandas,
    peft and the libraries of tables and pages are out of reach here."""
    absent = ("trl", "datasets", "snakemake", "lm_eval", "peft", "plotly", "matplotlib", "statsmodels", "accelerate")
    code = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({absent!r}))\n"
        "import creditbench.trainer.run, creditbench.trainer.loop, creditbench.signals.compute\n"
        "import creditbench.sampling.engines, creditbench.conformance.synthetic\n"
        "from creditbench.method import get_method, method_names\n"
        "for name in method_names():\n"
        "    one = get_method(name); one.method(one.own_defaults('tiny')); one.method(one.own_defaults('real'))\n"
        "print(len(method_names()))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, env=env, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) == len(method_names()) >= 8
