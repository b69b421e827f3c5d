"""The sentences under a table say what the numbers say."""

import numpy as np
import pytest

from creditbench.report.markdown import leaderboard_markdown, short_count, table
from creditbench.report.tables import build_tables
from creditbench.report.tables_reading import listed, p_text, points, reading_aids


def put_arm(put_eval, arm, rate, *, tokens=10, outcomes=None, n=60, k=4, salt=0, **more):
    for seed in range(3):
        rng = np.random.default_rng([sum(map(ord, arm)), seed, salt])
        y = np.where(rng.random((n, k)) < rate, "correct", outcomes or "wrong")
        put_eval(arm, seed, y, tokens=np.maximum(1, rng.poisson(tokens, (n, k))), **more)


@pytest.fixture
def text(suite, tmp_path):
    return lambda: " ".join(reading_aids(build_tables(suite), "math"))


def test_clear_winner_and_loser(put_eval, text):
    put_arm(put_eval, "base", 0.1)
    put_arm(put_eval, "grpo", 0.5)
    put_arm(put_eval, "dapo", 0.9)
    said = text()
    assert "`dapo` is significantly better than every other arm" in said
    assert "2 of 2 tested arms are significantly above the untrained base (`dapo` +" in said
    assert "1 of 1 tested arms is significantly above `grpo` (`dapo` +" in said
    assert "asks for new problems" not in said


def test_ties_and_what_cannot_be_told(put_eval, text):
    put_arm(put_eval, "base", 0.1)
    for arm in ("grpo", "dapo", "cast"):
        put_arm(put_eval, arm, 0.5, salt=5)
    said = text()
    assert "tie for first place: no arm is significantly better than they are, while the other one is behind" in said
    assert "None of the 2 tested arms differs significantly from `grpo`" in said
    assert "would be missed more than one time in five" in said
    assert "No large confound" in said


def test_a_base_alone_is_not_said_to_lack_seeds(put_eval, text):
    put_arm(put_eval, "base", 0.2)
    said = text()
    assert said.startswith("Only `base` has results; there is nothing to rank.") and "seeds" not in said


@pytest.mark.parametrize(
    ("grpo", "dapo", "word"), [(12, 14, "above `grpo` (`dapo` +"), (14, 12, "below `grpo` (`dapo` -")]
)
def test_a_difference_on_these_problems_beside_a_tie_on_new_ones_is_explained(put_eval, text, grpo, dapo, word):
    """One arm solves two problems of 24 that the other never does: sure on these, nothing is sure about others."""
    for arm, solved in (("grpo", grpo), ("dapo", dapo)):
        for seed in range(3):
            y = np.full((24, 8), "wrong", dtype="<U7")
            y[:solved] = "correct"
            y[20, : seed % 2] = "correct"
            put_eval(arm, seed, y)
    said = text()
    assert said.startswith("No arm is significantly better than any other: all 2 tie for first place.")
    assert f"1 of 1 tested arms is significantly {word}8.3 points)" in said
    assert "; that is on these problems; first place, above, asks for new problems too." in said


def test_length_is_named_with_the_difference_at_equal_length(put_eval, text):
    put_arm(put_eval, "grpo", 0.5)
    put_arm(put_eval, "cast", 0.5, tokens=30)
    said = text()
    assert "Largest confound: `cast` writes 3.0" in said or "Largest confound: `cast` writes 2.9" in said
    assert "at equal length its difference is" in said


def test_truncation_is_named_when_it_is_the_largest(put_eval, text):
    put_arm(put_eval, "grpo", 0.5)
    put_arm(put_eval, "cast", 0.5, outcomes="truncated")
    assert "points of truncated samples against `grpo`" in text()


def test_a_placebo_that_does_as_well_is_pointed_out(put_eval, text):
    for arm in ("grpo", "cast", "cast+permuted"):
        put_arm(put_eval, arm, 0.6)
    assert "`cast` is not shown to beat its placebo `cast+permuted`" in text()


def test_a_placebo_that_is_beaten(put_eval, text):
    put_arm(put_eval, "grpo", 0.3)
    put_arm(put_eval, "cast", 0.9)
    put_arm(put_eval, "cast+permuted", 0.3)
    assert "`cast` beats its placebo `cast+permuted` (+" in text()


def test_chance_scores_are_stated(put_eval, text):
    put_arm(put_eval, "grpo", 0.5, chance=0.001)
    put_arm(put_eval, "base", 0.0, chance=0.001)
    assert "A blind guess scores 0.1; `base` scores less than twice that." in text()


def test_page_shows_every_arm_protocol_and_cost(put_eval, put_cost, suite, tmp_path):
    (tmp_path / "methods" / "cast").mkdir(parents=True)
    (tmp_path / "methods" / "cast" / "card.yaml").write_text("privileged: outcome\n")
    put_arm(put_eval, "grpo", 0.5)
    put_arm(put_eval, "cast", 0.5)
    put_cost("cast", 0, generated_tokens=1_234_567)
    page = leaderboard_markdown(build_tables(suite), tmp_path)
    assert "60 problems x 4 samples, temperature 1, top-p 1, cap 40 tokens, grader integer 1, engine raw 1." in page
    line = next(line for line in page.splitlines() if line.startswith("| `cast` | 1-2"))
    assert "| outcome | 0 | 1.23M |" in line
    assert "| `grpo` | 1-2" in page


def test_small_words():
    assert points(0.1234, True) == "+12.3" and points(-0.0) == "0.0"
    assert p_text(None) == "no test" and p_text(0.0004) == "p < 0.001" and p_text(0.012) == "p = 0.012"
    assert p_text(0.5) == "p = 0.50"
    assert listed([]) == "none" and listed(["a"]) == "`a`" and listed("abc") == "`a`, `b` and `c`"
    assert [short_count(v) for v in (None, 5.0, 1234.0, 2.5e9)] == ["-", "5", "1.23k", "2.5G"]
    assert table(["a", "b"], [["x|y", "1"]]) == "| a | b |\n| --- | ---: |\n| x\\|y | 1 |"


def test_oracle_and_mask_say_whether_the_track_can_tell_credit(put_eval, text):
    for arm, rate in {"grpo": 0.3, "oracle_credit": 0.8, "random_mask": 0.4}.items():
        put_arm(put_eval, arm, rate)
    assert "Exact credit beats a random mask of equal size (+" in text()


def test_oracle_that_ties_with_its_mask(put_eval, text):
    for arm, rate in {"grpo": 0.3, "oracle_credit": 0.5, "random_mask": 0.5}.items():
        put_arm(put_eval, arm, rate, salt=5)
    assert "this track cannot separate credit rules" in text()


@pytest.mark.parametrize(
    ("rate", "said"), [(0.7, "rises above the base without a true reward"), (0.2, "as it should not")]
)
def test_random_reward_must_not_beat_the_base(put_eval, text, rate, said):
    for arm, at in {"base": 0.2, "grpo": 0.6, "grpo@random_reward": rate}.items():
        put_arm(put_eval, arm, at, salt=3)
    assert said in text()


def test_one_arm_alone_is_not_ranked(put_eval, text):
    put_arm(put_eval, "grpo", 0.5)
    said = text()
    assert said.startswith("Only `grpo` has results; there is nothing to rank.")
    assert "significant" not in said.replace("`not significant`", "") and "confound" not in said


@pytest.mark.parametrize("seeds", [1, 2])
def test_below_three_seeds_nothing_is_called_a_tie(put_eval, text, seeds):
    rng = np.random.default_rng(4)
    for arm, rate in {"base": 0.1, "grpo": 0.5, "dapo": 0.9}.items():
        for seed in range(seeds):
            put_eval(arm, seed, rng.random((40, 4)) < rate)
    said = text()
    assert said.startswith("No arm has 3 training seeds, so nothing is tested: the order of the 3 rows describes")
    for word in ("tie", "significantly", "p =", "p <", "beat"):
        assert word not in said, word
    assert "decide nothing" in said


def test_base_seeds_alone_do_not_count_as_training_seeds(put_eval, text):
    rng = np.random.default_rng(4)
    for seed in range(3):
        put_eval("base", seed, rng.random((40, 4)) < 0.1)
    put_eval("grpo", 0, rng.random((40, 4)) < 0.9)
    said = text()
    assert said.startswith("No arm has 3 training seeds") and "Fewer seeds" not in said.split("decide")[0]


def test_equal_scores_everywhere_tie_without_numbers_that_do_not_exist(put_eval, text):
    y = np.zeros((20, 4), int)
    y[:10] = 1
    for arm in ("base", "grpo", "dapo", "dapo+permuted"):
        for seed in range(3):
            put_eval(arm, seed, y)
    said = text()
    assert "all 4 tie for first place" in said and "`dapo` is not shown to differ from `grpo`" not in said
    assert "None of the 2 tested arms differs significantly from `grpo`" in said
    assert "nan" not in said and "inf" not in said
    assert "`dapo` is not shown to beat its placebo `dapo+permuted` (+0.0 points, p = 1.00)" in said


def test_nobody_right_anywhere(put_eval, text):
    for arm in ("base", "grpo", "dapo"):
        for seed in range(3):
            put_eval(arm, seed, np.zeros((20, 4), int), chance=0.001)
    said = text()
    assert "all 3 tie for first place" in said and "nan" not in said
    assert "`base`, `dapo` and `grpo` score less than twice that" in said


def test_a_single_leader_that_does_not_beat_everyone_is_not_called_the_winner():
    from creditbench.report.tables_reading import _ranks

    rows = [
        {"method": name, "rank_low": low, "rank_high": high, "n_seeds": 3}
        for name, low, high in (("cast", 1, 2), ("opd", 2, 3), ("grpo", 2, 3))
    ]
    said = _ranks(rows)
    assert said.startswith("No arm is significantly better than `cast`") and "not shown to beat every one" in said


def test_a_track_without_results_has_no_sentence_and_is_named(put_eval, suite):
    put_arm(put_eval, "grpo", 0.5)
    tables = build_tables(suite)
    assert reading_aids(tables, "agent") == []
    put_eval("grpo", 0, np.full((10, 2), "error"), track="agent")
    blocked = build_tables(suite)
    assert reading_aids(blocked, "agent") == [] and "agent" in blocked.blocked[0]
    assert "## Blocked" in leaderboard_markdown(blocked)
