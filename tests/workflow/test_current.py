"""Which stored results still answer what is asked: judged by content, half files and edits included."""

from __future__ import annotations

import os
from pathlib import Path

from creditbench.current import current_eval, current_model, current_run, seal_pages
from creditbench.items import digest_text
from creditbench.pipeline import publish
from creditbench.records import EvalFacts, new_manifest, parent_digests, recovered, whole, write_manifest
from creditbench.suite import Evaluation, Run, make_request
from creditbench.workflow import Rules

ASKED, OTHER = digest_text("asked"), digest_text("other")
EVAL = {
    "benchmark": "addone", "split": "test", "protocol": {"max_new_tokens": 4}, "grader": {"id": "i", "version": "1"},
    "engine": {"name": "raw"}, "batch": 1, "prompts_digest": ASKED, "n_problems": 1, "n_requested": 1, "n_graded": 1,
}  # fmt: skip


def make_run(folder: Path, digest: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cost.json").write_text("{}\n")
    write_manifest(folder, new_manifest("run", config={"config_digest": digest}), files=["cost.json"])
    return folder


def make_eval(folder: Path, digest: str, run: Path | None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text("{}\n")
    parents = parent_digests({"run": run}) if run else {}
    facts = EvalFacts.model_validate(EVAL)
    manifest = new_manifest("eval", config={}, eval=facts, config_digest=digest, parents=parents)
    write_manifest(folder, manifest, files=["metrics.json"])
    return folder


def test_whole_means_untouched_and_complete(tmp_path: Path):
    folder = make_run(tmp_path / "run", ASKED)
    assert whole(folder) is not None
    (folder / "cost.json").unlink()
    assert whole(folder) is None
    make_run(folder, ASKED)
    (folder / "cost.json").write_text("[]\n")
    assert whole(folder) is None, "another file under its name is not it"
    make_run(folder, ASKED)
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text[: len(text) // 2])
    assert whole(folder) is None, "a half manifest is no manifest"
    manifest.write_text(text.replace(ASKED, OTHER))
    assert whole(folder) is None, "an edited manifest is no manifest"
    manifest.unlink()
    assert whole(folder) is None


def test_large_files_are_checked_for_their_end(tmp_path: Path, monkeypatch):
    """Weights cut short by a copied disk, say, with the manifest untouched: whatever the time stamps are."""
    import torch
    from safetensors.torch import save_file

    from creditbench.records import manifest as module

    monkeypatch.setattr(module, "SMALL", 1000)
    path = tmp_path / "run" / "model.safetensors"
    path.parent.mkdir()
    save_file({"w": torch.zeros(1000)}, path)
    write_manifest(path.parent, new_manifest("run", config={}), files=[path.name])
    assert whole(path.parent) is not None
    stamp, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-1])
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert whole(path.parent) is None


def test_a_run_is_current_for_its_own_digest_only(tmp_path: Path):
    make_run(tmp_path / "toy/runs/alpha/math/seed0", ASKED)
    assert current_run(tmp_path, "toy", "alpha", "math", 0, ASKED)
    assert not current_run(tmp_path, "toy", "alpha", "math", 0, OTHER)
    assert not current_run(tmp_path, "toy", "alpha", "math", 1, ASKED)


def test_an_evaluation_belongs_to_the_present_run(tmp_path: Path):
    run = make_run(tmp_path / "toy/runs/alpha/math/seed0", ASKED)
    make_eval(tmp_path / "toy/evals/addone/alpha/math/seed0", OTHER, run)
    asked = (tmp_path, "toy", "addone", "alpha", "math", 0)
    assert current_eval(*asked, OTHER)
    assert not current_eval(*asked, ASKED)
    (run / "cost.json").write_text('{"flops": 1}\n')
    write_manifest(run, new_manifest("run", config={"config_digest": ASKED}), files=["cost.json"])
    assert not current_eval(*asked, OTHER), "the run was made again: its evaluation is of another model"


def test_rules_ask_nothing_of_results_that_are_there(root: Path):
    rules = Rules(make_request({"suite": "toy"}))
    digest = rules.run_digest("alpha", "math", "0")
    base = f"results/models/{next(iter(rules.request.models))}/manifest.json"
    assert rules.run_inputs("alpha", "math", "0") == ["results/toy/data/math.json", base]
    run = make_run(root / "results/toy/runs/alpha/math/seed0", digest)
    assert rules.run_inputs("alpha", "math", "0") == []
    manifest = rules.request.run_manifest(Run("alpha", "math", 0))
    assert rules.eval_inputs("addone", "alpha", "math", "0") == ["results/toy/data/math.json", manifest]
    make_eval(
        root / "results/toy/evals/addone/alpha/math/seed0", rules.eval_digest("alpha", "math", "0", "addone"), run
    )
    assert rules.eval_inputs("addone", "alpha", "math", "0") == [], "a copied folder's times say nothing"
    (run / "cost.json").write_text("")
    assert rules.eval_inputs("addone", "alpha", "math", "0") == [manifest], "made again when its run is"


def test_a_manifest_that_was_removed_is_put_back(root: Path):
    """As Snakemake does when a job fails after its record was made: nothing else is lost, so nothing is made again."""
    run = make_run(root / "results/toy/runs/alpha/math/seed0", ASKED)
    text = (run / "manifest.json").read_bytes()
    for damage in (b"", text[:90], text.replace(ASKED.encode(), OTHER.encode())):
        (run / "manifest.json").write_bytes(damage)
        assert whole(run) is None and recovered(run) and (run / "manifest.json").read_bytes() == text
    (run / "manifest.json").unlink()
    assert recovered(run) and (run / "manifest.json").read_bytes() == text
    (run / "manifest.json").unlink()
    (run / "cost.json").write_text('{"flops": 1}')
    assert recovered(run) is None and not (run / "manifest.json").exists(), "never for files that are others"
    run = make_run(run, ASKED)
    evaluation = make_eval(root / "results/toy/evals/addone/alpha/math/seed0", OTHER, run)
    (evaluation / "manifest.json").unlink()
    assert publish("toy", "alpha", "math", 0, "addone", OTHER, Path("results")) and whole(evaluation)
    assert not publish("toy", "alpha", "math", 0, "addone", ASKED, Path("results")), "it answers another question"


def test_tables_that_were_cut_or_edited_are_made_again(root: Path):
    rules = Rules(make_request({"suite": "toy"}))
    files = [root / path for path in rules.table_files]
    for path in [*files, *(root / path for path in rules.eval_manifests)]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a,b\n")
    seal_pages(root / "results/toy", files)
    assert Rules(rules.request).table_inputs == rules.eval_manifests
    stamp = files[0].stat()
    for text in ("", "a,c\n"):
        files[0].write_text(text)
        os.utime(files[0], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
        assert "/outdated/" in Rules(rules.request).table_inputs[-1]
    files[0].write_text("a,b\n")
    assert Rules(rules.request).table_inputs == rules.eval_manifests
    files[0].unlink()
    assert Rules(rules.request).table_inputs[:-1] == rules.eval_manifests
    files[0].write_text("a,b\n")
    (root / rules.eval_manifests[-1]).unlink()  # of an arm or a seed that is new
    marker = root / Rules(rules.request).table_inputs[-1]
    assert "/outdated/" in str(marker)
    content = marker.read_bytes()
    assert Rules(rules.request).table_inputs[-1] and marker.read_bytes() != content, "Snakemake would take it as known"


def test_results_that_answer_something_else_are_made_again(root: Path):
    rules = Rules(make_request({"suite": "toy"}))
    make_run(root / "results/toy/runs/alpha/math/seed0", OTHER)
    marker = rules.run_inputs("alpha", "math", "0")[-1]
    assert marker.startswith("results/.work/outdated/")
    make_eval(root / "results/toy/evals/addone/base/math/seed0", OTHER, None)
    assert rules.eval_inputs("addone", "base", "math", "0")[-1].startswith("results/.work/outdated/")
    evaluation = rules.request.eval_manifest(Evaluation("addone", "base", "math", 0))
    assert Path(evaluation).exists()


def test_a_model_is_current_when_it_is_whole(root: Path):
    rules = Rules(make_request({"suite": "toy"}))
    key = next(iter(rules.request.models))
    assert rules.model_inputs(key) == ["results/toy/data/math.json", "results/toy/data/more.json"]
    make_run(root / "results/models" / key, ASKED)
    assert current_model("results", key) and rules.model_inputs(key) == []
    (root / "results/models" / key / "cost.json").write_text("")
    data = ["results/toy/data/math.json", "results/toy/data/more.json"]
    assert rules.model_inputs(key)[:-1] == data and "/outdated/" in rules.model_inputs(key)[-1]


def test_reruns_count_on_from_the_first_open_number(root: Path):
    rules = Rules(make_request({"suite": "toy", "methods": "alpha", "seeds": 0, "rerun": True}))
    first = "results/toy/reruns/1/alpha/math/seed0.json"
    assert rules.comparisons[0] == first
    path = root / first
    path.parent.mkdir(parents=True)
    path.write_text('{"half": ')
    fresh = Rules(rules.request)
    assert fresh.comparisons[0] == first, "a half comparison is not one"
    path.write_text('{"identical": true, "summary": "identical", "reasons": []}\n')
    assert Rules(rules.request).comparisons[0] == "results/toy/reruns/2/alpha/math/seed0.json"
