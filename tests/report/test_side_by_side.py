"""`compare`: two arms of one suite, and the same arms in two folders."""

import json
import shutil

import numpy as np
import pytest
from scipy import stats as ss

from creditbench.cli import main
from creditbench.errors import BadInput
from creditbench.report.side_by_side import compare_arms, compare_folders


@pytest.fixture
def filled(put_eval, draw):
    for arm, rate in {"base": 0.2, "grpo": 0.5, "cast": 0.7, "opd": 0.6}.items():
        for seed in range(3):
            put_eval(arm, seed, draw(rate, seed), tokens=10 + seed)


def means(rate, draw):
    return [draw(rate, seed).mean() for seed in range(3)]


def test_two_arms_need_not_be_the_reference(filled, suite, draw):
    found = compare_arms(suite, "cast", "opd")
    fixed, new = found.rows
    welch = ss.ttest_ind(means(0.7, draw), means(0.6, draw), equal_var=False)
    assert (fixed["estimand"], new["estimand"]) == ("fixed_set", "superpopulation")
    assert fixed["p"] == pytest.approx(welch.pvalue) == fixed["p_holm"]
    assert (fixed["ci_low"], fixed["ci_high"]) == pytest.approx(tuple(welch.confidence_interval()))
    assert fixed["score_a"] == pytest.approx(np.mean(means(0.7, draw)))
    assert any("2 of 2 tested arms are significantly above the untrained base" in line for line in found.said)
    assert not any("grpo" in line for line in found.said)
    with pytest.raises(BadInput, match=r"unknown arm with results 'casts' \(did you mean 'cast'"):
        compare_arms(suite, "casts", "grpo")
    with pytest.raises(BadInput, match="two different arms"):
        compare_arms(suite, "grpo", "grpo")


def test_against_the_base_the_sign_follows_the_order(filled, suite):
    there, back = (compare_arms(suite, *pair).rows[0] for pair in (("cast", "base"), ("base", "cast")))
    assert there["difference"] == pytest.approx(-back["difference"]) and there["p"] == pytest.approx(back["p"])
    assert (there["ci_low"], there["ci_high"]) == (pytest.approx(-back["ci_high"]), pytest.approx(-back["ci_low"]))


def test_two_folders_arm_by_arm(filled, suite, put_eval, draw, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(suite, other)
    for seed in range(3):  # cast is trained again, worse
        put_eval("cast", seed, draw(0.3, seed + 20), tokens=10 + seed)
    shutil.rmtree(suite / "evals/aime24/opd")
    found = compare_folders(other, suite)
    rows = {row["a"]: row for row in found.rows}
    assert set(rows) == {"base", "grpo", "cast"}
    assert rows["grpo"]["note"] == "identical" and rows["grpo"]["p"] is None
    welch = ss.ttest_ind([draw(0.3, s + 20).mean() for s in range(3)], means(0.7, draw), equal_var=False)
    assert rows["cast"]["p"] == pytest.approx(welch.pvalue) and rows["cast"]["difference"] < -0.2
    assert any("`opd` only in" in line for line in found.said)
    assert "2 identical sample by sample, 1 tested, significantly different: `cast` on aime24." in found.said[-1]


def test_folders_that_answer_different_questions_are_not_compared(filled, suite, put_eval, draw, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(suite, other)
    for arm, rate in {"base": 0.2, "grpo": 0.5, "cast": 0.7, "opd": 0.6}.items():
        for seed in range(3):
            put_eval(arm, seed, draw(rate, seed), grader_version="2")
    found = compare_folders(other, suite)
    assert found.rows == [] and "not comparable: field 'grader_version' differs" in found.said[0]
    with pytest.raises(BadInput, match="expected a suite's results"):
        compare_folders(tmp_path, suite)


def test_in_the_terminal(filled, suite, capsys, monkeypatch):
    monkeypatch.chdir(suite.parent.parent)
    assert main(["compare", "cast", "grpo"]) == 0
    shown = capsys.readouterr().out
    assert "cast - grpo" in shown and "these problems" in shown and "new problems" in shown
    assert main(["compare", "cast", "grpo", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"][0]["a"] == "cast"
    assert main(["compare", "results/tiny", "results/tiny"]) == 0
    assert "4 identical sample by sample" in capsys.readouterr().out
    record = "results/tiny/evals/aime24/grpo/math/seed"
    assert main(["compare", f"{record}0", f"{record}0"]) == 0
    assert main(["compare", f"{record}0", f"{record}1"]) == 1
    assert "first difference" in capsys.readouterr().out
    assert main(["compare", "results/tiny/none", "results/tiny"]) == 2
