"""A run that is made is kept, whatever becomes of the evaluation that its job goes on to."""

from __future__ import annotations

from creditbench import evaluator
from creditbench.pipeline import train_run, waiting_place
from creditbench.records import whole
from creditbench.suite import load_suite, resolve, resolve_eval
from creditbench.trainer import run as trainer
from tests.trainer.small import results_for

SUITE = """\
name: suite
class: tiny
description: One step from a random model.
seeds: [0]
arms: [base, grpo]
settings: {prompts_per_step: 2, group_size: 4, steps: 1}
"""


def test_a_run_outlives_its_evaluation(tmp_path, monkeypatch, capsys):
    results_for(tmp_path, SUITE)
    suite = load_suite(str(tmp_path / "suite.yaml"))
    spec = resolve(suite, "grpo", "math", 0)

    def fails(*words, **more):
        raise RuntimeError("no memory\nleft")

    with monkeypatch.context() as patch:
        patch.setattr(evaluator, "evaluate", fails)
        folder = train_run(suite, spec, tmp_path, then_evaluate=True)
    assert whole(folder), "else Snakemake removes the manifest of a run that is made"
    assert "tiny_math is left to its own job: RuntimeError: no memory left" in capsys.readouterr().err
    manifest = folder / "manifest.json"
    text = manifest.read_bytes()
    manifest.unlink()  # Snakemake, after its job was killed while it evaluated
    monkeypatch.setattr(trainer, "loop", fails)
    assert train_run(suite, spec, tmp_path, then_evaluate=True) == folder and manifest.read_bytes() == text
    assert whole(waiting_place(resolve_eval(suite, "grpo", "math", 0, "tiny_math"), tmp_path))
