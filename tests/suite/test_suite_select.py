"""What `--config suite= methods= seeds= tracks= rerun=` asks for, in every form Snakemake hands it over."""

from __future__ import annotations

from pathlib import Path

import pytest

from creditbench.errors import BadInput
from creditbench.suite import make_request
from tests.suite.test_suite_resolve import fresh


def ask(**config):
    return make_request({"suite": "toy", **config})


def test_everything_by_default(root: Path):
    request = ask()
    assert [run[:2] for run in request.runs if run.seed == 0] == [
        ("alpha", "math"), ("alpha+permuted", "math"), ("alpha", "more"), ("alpha+permuted", "more"),
    ]  # fmt: skip
    assert len(request.runs) == 8
    # base: 2 seeds x (1 + 2 benchmarks); runs: 4 x 1 on math, 4 x 2 on more
    assert len(request.evaluations) == 6 + 4 + 8
    assert not request.rerun


@pytest.mark.parametrize(("given", "meant"), [(3, (3,)), ("3", (3,)), ("3,4", (3, 4)), ("[3, 4]", (3, 4)),
                                               ([3, 4], (3, 4)), (["3", "4"], (3, 4)), ((3, 4), (3, 4)), ("3,3", (3,)),
                                               ("", (0, 1)), (None, (0, 1))])  # fmt: skip
def test_seeds_in_every_form(root: Path, given, meant):
    assert ask(seeds=given).seeds == meant


@pytest.mark.parametrize("given", ["alpha", ["alpha"], "alpha,alpha"])
def test_methods_in_every_form(root: Path, given):
    assert {run.arm for run in ask(methods=given).runs} == {"alpha"}


@pytest.mark.parametrize(("given", "meant"), [(True, True), ("true", True), ("True", True), (1, True), ("no", False),
                                               (False, False), ("false", False)])  # fmt: skip
def test_rerun_in_every_form(root: Path, given, meant):
    assert ask(rerun=given).rerun is meant


def test_restriction_touches_training_only(root: Path):
    request = ask(methods="alpha", seeds=7)
    assert {(run.arm, run.seed) for run in request.runs} == {("alpha", 7)}
    base = {evaluation.seed for evaluation in request.evaluations if evaluation.arm == "base"}
    assert base == {0, 1}, "the base is evaluated on the suite's own seeds"


@pytest.mark.parametrize("given", ["more", ["more"], "more,more"])
def test_tracks_restrict_training_and_evaluation(root: Path, given):
    request = ask(tracks=given)
    assert {run.track for run in request.runs} == {"more"} == {e.track for e in request.evaluations}
    assert request.tracks == ("more",)


def test_any_registered_arm_may_be_asked_for(root: Path):
    assert {run.arm for run in ask(methods="alpha@wide").runs} == {"alpha@wide"}


@pytest.mark.parametrize(("config", "said"), [
    ({"sed": 1}, "--config: unknown key 'sed' (did you mean 'seeds'?)"),
    ({"seeds": "a"}, "--config seeds: 'a' is not a seed"),
    ({"tracks": "maht"}, "--config tracks: unknown track 'maht' (did you mean 'math'?)"),
    ({"seeds": 0.5}, "'0.5' is not a seed"),
    ({"seeds": -1}, "'-1' is not a seed"),
    ({"seeds": "1e3"}, "'1e3' is not a seed"),
    ({"methods": "alfa"}, "--config methods: unknown method 'alfa' (did you mean 'alpha'?)"),
    ({"methods": "beta"}, "needs a `teacher`"),
    ({"rerun": "maybe"}, "--config rerun: 'maybe': expected true or false"),
    ({"suite": "tooy"}, "unknown suite 'tooy' (did you mean 'toy'?)"),
])  # fmt: skip
def test_mistakes(root: Path, config, said):
    with pytest.raises(BadInput) as caught:
        make_request({"suite": "toy", **config})
    assert said in str(caught.value)


def test_paths(root: Path):
    request = ask()
    assert request.run_manifest(request.runs[0]) == "results/toy/runs/alpha/math/seed0/manifest.json"
    assert request.eval_manifest(request.evaluations[-1]) == (
        "results/toy/evals/held-back/alpha+permuted/more/seed1/manifest.json"
    )


def test_results_of_earlier_requests_stand_in_the_tables(root: Path):
    request = ask(methods="alpha", seeds=0)
    for name in ("alpha/math/seed0", "alpha/math/seed5", "alpha@wide/math/seed0"):
        folder = root / "results/toy/evals/addone" / name
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text("{}")
    assert request.others() == [
        "results/toy/evals/addone/alpha/math/seed5/manifest.json",
        "results/toy/evals/addone/alpha@wide/math/seed0/manifest.json",
    ]


def test_track_without_its_data_is_skipped_with_a_reason(root: Path, monkeypatch: pytest.MonkeyPatch):
    card = root / "benchmarks/addone/card.yaml"
    card.write_text(card.read_text() + "data: {files: [sums.jsonl]}\n")
    fresh()
    monkeypatch.delenv("CREDITBENCH_DATA", raising=False)
    request = ask()
    assert request.tracks == () and request.runs == () and request.evaluations == ()
    assert request.skipped["math"].startswith("addone: CREDITBENCH_DATA is not set")
    monkeypatch.setenv("CREDITBENCH_DATA", str(root / "nowhere"))
    assert "no such folder" in ask().skipped["math"]
    monkeypatch.setenv("CREDITBENCH_DATA", str(root))
    assert "sums.jsonl" in ask().skipped["more"]
    (root / "sums.jsonl").write_text("{}\n")
    assert len(ask().tracks) == 2
    fresh()
