"""Equal tuning: every arm gets the same trials, all are kept, and no seed of a table is used."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from creditbench import tune as tuning
from creditbench.errors import BadInput, CheckFailed
from creditbench.suite import load_suite

SCORES = {("grpo", 1e-4): 0.5, ("grpo", 3e-4): 0.7, ("cast", 1e-4): 0.2, ("cast", 3e-4): 0.1}


@pytest.fixture
def trials(monkeypatch):
    """Training and scoring replaced by a table of scores; what was asked for is kept."""
    asked = []

    def train(spec, results, out, engine):
        asked.append((spec.arm, spec.settings.lr, spec.seed, out))
        return out

    def score(suite, track, seed, run, place, results):
        arm, lr = run.parts[-3], float(run.parts[-2].removeprefix("lr"))
        return {"dev_score": SCORES[arm, lr], "dev_pass": 0.9, "mean_tokens": 30.0, "n_samples": 100}

    monkeypatch.setattr(tuning, "train", train)
    monkeypatch.setattr(tuning, "_score", score)
    return asked


def read(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_arm_gets_the_whole_grid_and_earlier_trials_stay(tmp_path: Path, trials):
    suite = load_suite("tiny")
    path = tuning.tune(suite, "math", ["grpo"], [1e-4, 3e-4], tmp_path, report=lambda line: None)
    assert tuning.tune(suite, "math", ["cast"], [1e-4, 3e-4], tmp_path, report=lambda line: None) == path
    rows = read(path)
    assert {(row["arm"], float(row["lr"])): float(row["dev_score"]) for row in rows} == SCORES
    assert {int(row["seed"]) for row in rows} == {tuning.TUNING_SEED}
    assert [(arm, lr) for arm, lr, _, _ in trials] == list(SCORES)
    assert {seed for _, _, seed, _ in trials}.isdisjoint(suite.seeds)
    assert len({out for *_, out in trials}) == 4, "each trial has a folder of its own"


def test_a_repeated_trial_replaces_its_row(tmp_path: Path, trials, monkeypatch):
    suite = load_suite("tiny")
    tuning.tune(suite, "math", ["grpo"], [1e-4], tmp_path, report=lambda line: None)
    monkeypatch.setitem(SCORES, ("grpo", 1e-4), 0.6)
    rows = read(tuning.tune(suite, "math", ["grpo"], [1e-4], tmp_path, report=lambda line: None))
    assert [float(row["dev_score"]) for row in rows] == [0.6]


def test_seeds_of_the_tables_are_refused(tmp_path: Path, trials):
    with pytest.raises(BadInput, match="seed 0: is one of the suite's"):
        tuning.tune(load_suite("tiny"), "math", ["grpo"], [1e-4], tmp_path, seed=0)
    assert trials == []


def trial(track, lr, score, n=100):
    return {"track": track, "lr": lr, "dev_score": score, "n_samples": n}


def test_best_mean_over_tracks_wins():
    """.5 + .9 against .9 + .8: the second, although the first wins a track."""
    rows = [trial("a", 1e-4, 0.5), trial("b", 1e-4, 0.9), trial("a", 1e-3, 0.9), trial("b", 1e-3, 0.8)]
    assert tuning.chosen_rate(rows) == 1e-3


@pytest.mark.parametrize(("small", "chosen"), [(0.861, 1e-4), (0.859, 1e-3)])
def test_within_a_standard_error_the_smaller_rate_wins(small, chosen):
    """p = .9 over 56 samples: sqrt(.09 / 56) = .0401, so that .8599 is the border."""
    rows = [trial("a", 1e-4, small), trial("a", 1e-3, 0.9, n=56)]
    assert tuning.chosen_rate(rows) == chosen


def test_a_failed_trial_is_logged_and_its_rate_not_chosen(tmp_path: Path, trials, monkeypatch):
    def broken(suite, track, seed, run, place, results):
        if place.name == "lr0.001":
            raise CheckFailed("step 107 got 0 of 8 groups")
        return {"dev_score": 0.5, "dev_pass": 0.9, "mean_tokens": 30.0, "n_samples": 100}

    monkeypatch.setattr(tuning, "_score", broken)
    path = tuning.tune(load_suite("tiny"), "math", ["dapo"], [1e-4, 1e-3], tmp_path, report=lambda line: None)
    rows = read(path)
    assert [(row["dev_score"], row["failed"]) for row in rows] == [("0.5", ""), ("", "step 107 got 0 of 8 groups")]
    assert tuning.chosen_rate(rows) == 1e-4
    with pytest.raises(BadInput, match="no learning rate has a finished trial"):
        tuning.chosen_rate(rows[1:])


def test_a_missing_trial_is_refused():
    with pytest.raises(BadInput, match="every learning rate on every track"):
        tuning.chosen_rate([trial("a", 1e-4, 0.5), trial("b", 1e-3, 0.5)])
