"""The committed reference file holds every outcome: arrays and tables come back from it unchanged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from creditbench.errors import BadInput
from creditbench.report.reference import correct_of, dumps, write_reference
from creditbench.report.tables import build_tables
from creditbench.stats import avg_at_k


@pytest.fixture
def made(put_eval, put_cost, suite, draw, tmp_path):
    truth = {}
    for arm, rate in (("base", 0.3), ("grpo", 0.6), ("cast", 0.5)):
        for seed in (2, 0, 1):
            truth[arm, seed] = draw(rate, 10 * seed + len(arm))
            put_eval(arm, seed, truth[arm, seed])
            if arm != "base":
                put_cost(arm, seed, generated_tokens=100 + seed, flops=1e9 + seed, wall_seconds=60)
    tables = build_tables(suite)
    path = write_reference(tables, "make leaderboard SUITE=tiny", tmp_path / "reference.json")
    return truth, tables, path


def test_every_outcome_comes_back(made):
    truth, _, path = made
    reference = json.loads(path.read_text(encoding="utf-8"))
    for arm in ("base", "grpo", "cast"):
        correct_SPK = correct_of(reference, "math", arm)
        np.testing.assert_array_equal(correct_SPK, np.stack([truth[arm, seed] for seed in (0, 1, 2)]))
    scores = {row["method"]: row["score"] for row in reference["leaderboard"]}
    assert scores["grpo"] == pytest.approx(avg_at_k(correct_of(reference, "math", "grpo")).mean(), abs=1e-6)
    pairs = [(row["family"], row["method_a"], row["method_b"]) for row in reference["pairwise"]]
    assert sorted(pairs) == [("base", "cast", "base"), ("base", "grpo", "base"), ("grpo", "cast", "grpo")]
    assert reference["command"] == "make leaderboard SUITE=tiny"


def test_costs_come_along(made):
    """Mean of a run beside each score, and the sums of runs: three of each trained arm with 100, 101, 102 tokens."""
    reference = json.loads(made[2].read_text(encoding="utf-8"))
    board = {row["method"]: row for row in reference["leaderboard"]}
    assert (board["grpo"]["generated_tokens"], board["grpo"]["flops"]) == (101, 1e9)
    assert board["base"]["generated_tokens"] is None and board["base"]["flops"] is None
    sums = {(row["track"], row["method"]): row for row in reference["cost_sums"]}
    assert sums["math", "cast"]["generated_tokens"] == 303 and sums["math", ""]["generated_tokens"] == 606
    assert sums["math", ""]["n_runs"] == 6 and sums["math", ""]["wall_seconds"] == 360


def test_same_results_give_the_same_bytes(made, tmp_path):
    _, tables, path = made
    again = write_reference(tables, "make leaderboard SUITE=tiny", tmp_path / "again.json")
    assert again.read_bytes() == path.read_bytes()


def test_layout_is_plain_json_with_a_line_per_fact():
    value = {"a": [1, 2], "b": {"c": [], "d": {"e": "x"}}, "f": [{"g": None}, {"g": 0.5}]}
    text = dumps(value)
    assert json.loads(text) == value
    assert '"a": [1, 2],\n' in text and ' {"g": 0.5}\n' in text


def test_what_is_not_there_is_named(made, tmp_path):
    reference = json.loads(made[2].read_text(encoding="utf-8"))
    with pytest.raises(BadInput, match="no arm 'dapo' on track 'math'"):
        correct_of(reference, "math", "dapo")
    reference["groups"][0]["arms"]["grpo"][0]["outcomes"] = "c"
    with pytest.raises(BadInput, match="expected 40 problems x 4 samples"):
        correct_of(reference, "math", "grpo")


def test_nothing_is_published_from_an_empty_suite(tmp_path):
    from creditbench.publish import make_reference

    with pytest.raises(BadInput, match="no evaluations here yet"):
        make_reference("tiny", tmp_path / "results", tmp_path / "out.json", "make")
    assert not (tmp_path / "out.json").exists()
