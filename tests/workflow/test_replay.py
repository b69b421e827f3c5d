"""`creditbench replay` takes every artefact of a suite: identical when nothing was touched, the place of the difference
otherwise."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from creditbench import pipeline
from creditbench.cli import main
from creditbench.errors import BadInput, CheckFailed
from creditbench.publish import make_pages
from creditbench.records import read_json, read_manifest, read_parquet, write_json, write_manifest, write_parquet
from creditbench.remake import remake
from creditbench.replay import Replay
from creditbench.sampling.engines import RawEngine
from creditbench.suite import load_suite, models_of, resolve, resolve_eval
from creditbench.tune import TUNING_SEED, tune
from creditbench.verify import check_data
from tests.suite.toy import make_mini

RUN, EVAL = Path("results/mini/runs/alpha/math/seed0"), Path("results/mini/evals/addone/alpha/math/seed0")
BASE_EVAL = Path("results/mini/evals/addone/base/math/seed0")
TRIAL = Path("results/mini/tuning/math/alpha/lr0.001")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished small suite, one trial of tuning and a data check."""
    settings = "steps: 3, store_rollouts: true, reward: random, updates_per_rollout: 2"
    tables = "tables: {figures: false, html: true}\n"
    folder = make_mini(tmp_path_factory.mktemp("made results of ü"), settings, "[0, 1]", tables)
    before = Path.cwd()
    os.chdir(folder)
    try:
        results, suite = Path("results"), load_suite("mini")
        check_data("mini", "math", results / "mini/data/math.json")
        for model in models_of(suite, "math"):
            pipeline.make_model(model, results)
        for seed in suite.seeds:
            pipeline.evaluate_run(resolve_eval(suite, "base", "math", seed, "addone"), results)
            pipeline.train_run(suite, resolve(suite, "alpha", "math", seed), results, then_evaluate=True)
            pipeline.evaluate_run(resolve_eval(suite, "alpha", "math", seed, "addone"), results)
        make_pages("mini", results)
        tune(suite, "math", ["alpha"], [0.001], results, report=lambda line: None)
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    """A copy that a test may spoil, and the current folder."""
    folder = tmp_path / "project"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (RUN, "identical: 3 steps"), (RUN / "manifest.json", "identical: 3 steps"), (EVAL, "identical: 8 samples"),
        (BASE_EVAL, "identical: 8 samples"), (Path("results/mini"), "identical: 17 tables and pages"),
        (Path("results/mini/tables"), "identical: 17"), (TRIAL / "run", "identical: 3 steps"),
        (TRIAL / "dev", "identical: 8 samples"), (TRIAL, "run: identical"),
        (Path("results/mini/data/math.json"), "identical: 3 splits"),
    ],
)  # fmt: skip
def test_everything_can_be_made_again(project, capsys, path, said):
    before = sorted(p for p in (project / "results").rglob("*") if ".work" not in p.parts)
    assert main(["replay", str(path)]) == 0, capsys.readouterr()
    assert capsys.readouterr().out.startswith(said)
    assert sorted(p for p in (project / "results").rglob("*") if ".work" not in p.parts) == before
    assert list((project / "results/.work").glob("replay-*")) == []


def test_a_base_model_is_made_again(project, capsys):
    [model] = (project / "results/models").iterdir()
    assert main(["replay", str(model)]) == 0 and capsys.readouterr().out == "identical: the same weights\n"


def test_a_trial_is_of_its_own_seed(project):
    assert read_manifest(TRIAL / "run").seed == TUNING_SEED
    assert remake(TRIAL).report.splitlines()[1] == "dev: identical: 8 samples"


def test_another_table_is_named_by_line(project):
    file = project / "results/mini/tables/scores.csv"
    lines = file.read_text().splitlines()
    cells = lines[2].split(",")
    cells[6] = "0.99"
    file.write_text("\n".join([*lines[:2], ",".join(cells), *lines[3:]]) + "\n")
    outcome = remake("results/mini")
    assert not outcome.identical and outcome.report.startswith("first difference: tables/scores.csv line 3: ")
    assert "0.99" in outcome.report.split(" there, ")[0]
    file.unlink()
    assert remake("results/mini").report.endswith("scores.csv is not there")


def test_another_data_set_is_named_by_split(project):
    file = project / "results/mini/data/math.json"
    found = read_json(file)
    found["splits"][2]["digest"] = "0" * 64
    write_json(file, found)
    assert remake(file).report.startswith("first difference: test split 'test' of addone")
    write_json(file, {"x": 1})
    with pytest.raises(BadInput, match="neither a record nor a data check"):
        remake(file)


def test_a_changed_record_is_refused(project):
    (project / RUN / "curve.parquet").write_bytes(b"PAR1PAR1")
    with pytest.raises(CheckFailed, match=r"curve\.parquet: SHA-256 differs .* changed cannot be replayed"):
        remake(RUN)


def test_an_evaluation_of_a_run_that_was_replaced_is_refused(project):
    shutil.rmtree(project / RUN)
    with pytest.raises(BadInput, match="the run that it evaluated is not there any more"):
        remake(EVAL)


def edited(folder: Path, **fields) -> None:
    """The record's manifest with other fields, sealed again."""
    manifest = read_manifest(folder).model_copy(update={**fields, "files": {}})
    names = [p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json"]
    write_manifest(folder, manifest, names)


def test_numbers_written_by_hand_are_named_although_trace_and_samples_agree(project):
    """Resealed, so that every digest fits: only making the record again can tell."""
    cost = read_json(RUN / "cost.json")
    write_json(RUN / "cost.json", cost | {"generated_tokens": 7})
    edited(project / RUN)
    said = f"first difference: cost.json, generated_tokens: 7 there, {cost['generated_tokens']} here"
    assert remake(RUN) == Replay(False, said)
    write_json(RUN / "cost.json", cost)
    curve = read_parquet(RUN / "curve.parquet")
    rows = curve.to_pylist()
    rows[1]["correct"] = 2.0
    write_parquet(RUN / "curve.parquet", pa.Table.from_pylist(rows, curve.schema))
    edited(project / RUN)
    assert remake(RUN).report.startswith("first difference: curve.parquet, step 1, correct: 2.0 there, ")
    metrics = read_json(BASE_EVAL / "metrics.json")
    metrics["values"]["pass@1"] = 1.5
    write_json(BASE_EVAL / "metrics.json", metrics)
    edited(project / BASE_EVAL)
    assert remake(BASE_EVAL).report.startswith("first difference: metrics.json, pass@1: 1.5 there, ")


@pytest.mark.parametrize("path", [RUN / "curve.parquet", EVAL / "samples.parquet", "results/mini/tables/scores.csv"])
def test_a_file_of_a_record_is_no_record(project, capsys, path):
    assert main(["replay", str(path)]) == 2
    assert capsys.readouterr().err.endswith("not a record; expected the folder of one\n")


def test_level_d2_is_replayed_from_its_rollouts_by_itself(project, monkeypatch):
    """A sampler whose bits nobody promises is not asked again."""
    assert read_manifest(project / RUN).determinism == "D3"
    edited(project / RUN, determinism="D2")
    monkeypatch.setattr(RawEngine, "generate", None)
    outcome = remake(RUN)
    assert outcome.identical, outcome.report


def test_kept_rollouts_that_do_not_fit_are_named(project):
    edited(project / RUN, determinism="D2")
    kept = project / RUN / "rollouts/step000001.rollout.rank0.json"
    whole = kept.read_text()
    kept.write_text(whole[: len(whole) // 2])
    edited(project / RUN)
    with pytest.raises(CheckFailed, match=r"step000001\.rollout\.rank0\.json: damaged or cut short"):
        remake(RUN)
    kept.write_text(json.dumps(json.loads(whole)[:1]))
    edited(project / RUN)
    with pytest.raises(CheckFailed, match="step 1, rollout: 1 stored groups, 2 needed"):
        remake(RUN)
    kept.unlink()
    edited(project / RUN)
    with pytest.raises(BadInput, match="no stored rollouts of step 1"):
        remake(RUN)


def test_replay_runs_with_as_many_threads_as_the_record(project, monkeypatch):
    """A record of two threads: its replay has two, and this process has what it had afterwards."""
    seen, before = [], torch.get_num_threads()
    edited(project / RUN, threads=2)
    kept = torch.optim.AdamW.step

    def watched(self, *rest):
        seen.append(torch.get_num_threads())
        return kept(self, *rest)

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    remake(RUN)
    assert set(seen) == {2} and torch.get_num_threads() == before and os.environ["OMP_NUM_THREADS"] == "1"
