"""The step on an accelerator is the step on the CPU; the measuring script runs anywhere, with few libraries."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from creditbench.conformance.synthetic import SETTINGS, nudged, outcome_of, synthetic_batch, tiny_model, work_of
from creditbench.method import get_method
from creditbench.trainer.loop import autocast
from creditbench.trainer.update import Tally, optimizer_step
from tests.perf.gpu_step import PAPERS, SHAPES, build, rollouts, update_flops

REPO = Path(__file__).resolve().parents[2]
ABSENT = ("trl", "datasets", "snakemake", "lm_eval")
MARKS = [[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 0]]
CUDA = pytest.param("cuda", marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")])
DEVICES = ["cpu", CUDA]


def test_script_runs_at_a_small_shape_without_the_heavy_libraries(tmp_path):
    """A GPU machine may have none of them: importing one fails here."""
    block = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r})); from tests.perf.gpu_step import main; "
    out = tmp_path / "step.json"
    words = ["--tiny", "--methods", "grpo,sc_grpo,oar_p", "--repeats", "1", "--decode", "4", "--blocks", "2"]
    done = subprocess.run(
        [sys.executable, "-c", f"{block} sys.exit(main({[*words, '--out', str(out)]!r}))"],
        cwd=REPO, env={**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    [case] = json.loads(out.read_text())["cases"]
    rows = case["methods"]
    assert set(rows) == {"grpo", "sc_grpo", "oar_p"}
    assert case["rollout_s_estimated"] > 0
    assert rows["grpo"]["actor_ratio"] == rows["grpo"]["end_to_end_ratio"] == 1
    for name in ("sc_grpo", "oar_p"):
        row, plain = rows[name], rows["grpo"]
        rollout = case["rollout_s_estimated"]
        actor, actor_grpo = (r["signals_s"] + r["update_s"] for r in (row, plain))
        assert row["end_to_end_ratio"] == pytest.approx((rollout + actor) / (rollout + actor_grpo))
        assert [(p["low"], p["high"]) for p in row["paper"]] == [(low, high) for low, high, _ in PAPERS[name]]
    assert rows["oar_p"]["actor_ratio"] > 1.5, "thirty extra passes cost nothing?"
    # 48 tokens of which 16 are the answer, one the end and one the conclusion: 30 reasoning tokens, 8 perturbed
    assert rows["oar_p"]["scaled_from"] == "1/3.8 of the reasoning tokens"


def test_flops_by_hand():
    """6 FLOPs per weight and token, and 4 per pair and head dimension, backward twice the forward."""
    shape, s = SHAPES["tiny"], SETTINGS.model_copy(update={"group_size": 8, "prompts_per_step": 2})
    batch = rollouts(40, 8, s)
    model = build(shape, torch.device("cpu"), 128)
    per_layer = sum(p.numel() for n, p in model.named_parameters() if "layers" in n and p.ndim == 2)
    pairs = 16 * 48 * 48 / 2
    by_hand = 6 * per_layer * 16 * 48 + 6 * 32 * 512 * 16 * 40 + 3 * 4 * pairs * 2 * 2 * 16
    assert update_flops(shape, batch) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("name", ["grpo", "cast", "sc_grpo", "oar_g", "oar_p", "opsd"])
def test_step_on_a_device_equals_the_step_on_the_cpu_in_float64(name, device):
    registered = get_method(name)
    method = registered.method(registered.own_defaults("tiny"))
    batch = synthetic_batch(MARKS, micro_rows=5)
    s = SETTINGS.model_copy(update={"epochs_per_rollout": 2})
    model = tiny_model()
    there = copy.deepcopy(model).to(device)
    left = outcome_of(nudged(model, 0.02), method, work_of(model, method, batch, s), s)
    moved = nudged(model, 0.02).to(device)
    right = outcome_of(moved, method, work_of(there, method, batch, s), s)
    assert left.loss == pytest.approx(right.loss, rel=1e-5, abs=1e-12)
    for key, g in left.grads.items():
        assert torch.allclose(g, right.grads[key].cpu(), rtol=1e-5, atol=1e-10), key


@pytest.mark.parametrize("device", DEVICES)
def test_log_probs_are_float32_under_bf16_autocast(device):
    """Products in bf16, log-probabilities summed in float32: close to the float32 step, and not equal to it."""
    registered = get_method("grpo")
    method = registered.method(registered.own_defaults("tiny"))
    batch = synthetic_batch(MARKS, micro_rows=5, dtype=torch.float32)
    model = tiny_model(dtype=torch.float32).to(device)
    s = SETTINGS.model_copy(update={"dtype": "bfloat16", "epochs_per_rollout": 2})
    with autocast(s)():
        work = work_of(model, method, batch, s)
    exact = work_of(model, method, batch, s.model_copy(update={"dtype": "float32"}))
    assert work.signals.logp_old_BT.dtype == torch.float32
    gap = (work.signals.logp_old_BT - exact.signals.logp_old_BT).abs().max()
    assert 0 < float(gap) < 0.2
    model.zero_grad(set_to_none=True)
    optimizer_step(model, method, work, [list(range(batch.n_rows))], s, *_alone(), autocast(s)())
    assert {p.grad.dtype for p in model.parameters() if p.grad is not None} == {torch.float32}


def _alone():
    from creditbench.trainer.comm import Comm

    return Comm(), Tally()
