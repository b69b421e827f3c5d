"""Sampler and trainer disagree: it is recorded per step, flagged above the limit, and never enters the loss."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from creditbench.records import read_manifest, read_parquet
from creditbench.sampling.engines import RawEngine
from creditbench.suite import load_suite, resolve
from creditbench.trainer.curve import MISMATCH_LIMIT
from creditbench.trainer.run import train
from tests.trainer.small import results_for

STEPS = 3
SUITE = f"""\
name: suite
class: tiny
description: Three steps from a random model.
seeds: [0]
arms: [base, grpo]
settings: {{prompts_per_step: 2, group_size: 8, lr: 1.0e-2, updates_per_rollout: 2, steps: {STEPS}}}
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return results_for(tmp_path_factory.mktemp("results"), SUITE)


def run(results, name, **settings):
    """The run's manifest and the mismatch columns of its curve, step by step."""
    spec = resolve(load_suite(str(results / "suite.yaml")), "grpo", "math", 0)
    spec = spec.model_copy(update={"settings": spec.settings.model_copy(update=settings)})
    folder = train(spec, results, out=results / name, scratch=f"-{name}")
    rows = read_parquet(folder / "curve.parquet").to_pylist()
    assert len(rows) == STEPS
    return read_manifest(folder), [{k[9:]: v for k, v in row.items() if k.startswith("mismatch.")} for row in rows]


@pytest.fixture(scope="module")
def calm(results):
    return run(results, "calm")


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_an_honest_engine_agrees_at_every_step(results, calm, temperature):
    """Engines report log-probs at temperature 1; the trainer's are taken there too, whatever the run samples at."""
    manifest, rows = calm if temperature == 1.0 else run(results, "tempered", temperature=temperature)
    assert manifest.notes == ()
    assert all(0 < row["mean_abs"] <= row["max"] < 1e-4 and abs(row["kl"]) < 1e-8 for row in rows)


def test_a_presence_penalty_shapes_the_samples_and_no_log_prob(results, calm):
    """CAST's rollouts: other samples, hence other weights; the ratio's log-probs are those of the plain policy."""
    manifest, rows = run(results, "penalised", presence_penalty=2.0)
    assert manifest.model_digest != calm[0].model_digest and manifest.key != calm[0].key
    assert manifest.notes == ()
    assert all(0 < row["mean_abs"] <= row["max"] < 1e-4 and abs(row["kl"]) < 1e-8 for row in rows)


def test_the_ratio_is_the_trainers_own_whatever_the_engine_says(results, calm, monkeypatch):
    """Log-probs wrong by 0.5 nats everywhere: the same weights to the bit; in the record 0.5, and exp(-d) - 1 + d."""
    honest = RawEngine.generate

    def lying(self, prompts, seeds, params):
        done = honest(self, prompts, seeds, params)
        return [replace(g, logps=tuple(x + 0.5 for x in g.logps)) for g in done]

    monkeypatch.setattr(RawEngine, "generate", lying)
    manifest, rows = run(results, "lying")
    assert manifest.model_digest == calm[0].model_digest
    for row in rows:
        assert row["mean_abs"] == pytest.approx(0.5, abs=1e-4)
        assert row["max"] == pytest.approx(0.5, abs=1e-4)
        assert row["kl"] == pytest.approx(math.exp(-0.5) - 1 + 0.5, abs=1e-4)
    [note] = manifest.notes
    assert "train/inference mismatch: KL 0.11 nats per token at step" in note


def test_lost_pushes_flag_the_run(results, monkeypatch):
    """An engine that stays on its first weights: right at step 0, off-policy later, and the record says so."""
    monkeypatch.setattr(RawEngine, "update_weights", lambda self, weights: None)
    manifest, rows = run(results, "stale")
    assert rows[0]["kl"] < 1e-8 < MISMATCH_LIMIT < rows[-1]["kl"]
    [note] = manifest.notes
    assert "train/inference mismatch" in note and f"limit {MISMATCH_LIMIT:g}" in note
