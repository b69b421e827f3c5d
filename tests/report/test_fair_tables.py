"""Length, views, equal steps and tokens, variance and contamination tables, against numbers worked out beside them."""

from types import SimpleNamespace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats as ss
from statsmodels.stats.multitest import multipletests

from creditbench import records
from creditbench.errors import BadInput
from creditbench.records import paths
from creditbench.report.markdown import leaderboard_markdown
from creditbench.report.tables import build_tables
from creditbench.report.tables_data import contamination_rows
from creditbench.report.tables_views import arms_of_views
from creditbench.stats import trailing_mean


def pick(tables, table, **wanted):
    return [row for row in tables.rows[table] if all(row[name] == value for name, value in wanted.items())]


@pytest.fixture
def put_curve(tmp_path):
    """put_curve(arm, seed, correct (T,), tokens (T,)) writes a run with a curve."""

    def put(arm, seed, correct, tokens, track="math"):
        folder = paths.run_dir(tmp_path / "results", "tiny", arm, track, seed)
        rows = [
            {"step": i, "correct": float(c), "generated_tokens": float(n)}
            for i, (c, n) in enumerate(zip(correct, tokens, strict=True))
        ]
        records.write_json(folder / "cost.json", records.Cost(generated_tokens=int(sum(tokens))).model_dump())
        records.write_parquet(folder / "curve.parquet", records.curve_table(rows))
        manifest = records.new_manifest("run", config={}, suite="tiny", arm=arm, track=track, seed=seed)
        records.write_manifest(folder, manifest, files=["cost.json", "curve.parquet"])

    return put


def test_length_rows_are_the_regressions_of_every_pair(put_eval, draw, suite):
    rng, tokens = np.random.default_rng(3), {}
    for arm in ("base", "grpo", "cast", "cast+permuted"):
        for seed in range(3):
            tokens[arm, seed] = rng.integers(5, 40, size=(40, 4)) * (2 if arm == "cast" else 1)
            put_eval(arm, seed, draw({"base": 0.3, "cast": 0.6}.get(arm, 0.5), seed), tokens[arm, seed])
    tables = build_tables(suite)
    assert [(r["family"], r["method_a"], r["method_b"]) for r in pick(tables, "length", estimand="fixed_set")] == [
        ("base", "cast", "base"), ("base", "cast+permuted", "base"), ("base", "grpo", "base"),
        ("grpo", "cast", "grpo"), ("grpo", "cast+permuted", "grpo"), ("placebo", "cast", "cast+permuted"),
    ]  # fmt: skip
    y = {arm: np.stack([draw(rate, s) for s in range(3)]) for arm, rate in (("cast", 0.6), ("grpo", 0.5))}
    log = {arm: np.log(np.stack([tokens[arm, s] for s in range(3)])).mean((0, 2)) for arm in y}
    d_P, x_P = y["cast"].mean((0, 2)) - y["grpo"].mean((0, 2)), log["cast"] - log["grpo"]
    fit = sm.OLS(d_P, sm.add_constant(x_P)).fit()
    row = pick(tables, "length", estimand="fixed_set", family="grpo", method_a="cast")[0]
    assert row["at_equal_length"] == pytest.approx(fit.params[0]) and row["slope"] == pytest.approx(fit.params[1])
    assert row["difference"] == pytest.approx(d_P.mean()) and row["length_ratio"] == pytest.approx(np.exp(x_P.mean()))
    low, high = fit.conf_int()[1]
    assert (row["slope_low"], row["slope_high"]) == (pytest.approx(low), pytest.approx(high))
    both = pick(tables, "length", estimand="fixed_set", family="grpo")
    assert [r["p_holm"] for r in both] == pytest.approx(multipletests([r["p"] for r in both], method="holm")[1])
    assert f"{100 * fit.params[0]:+.1f}" in leaderboard_markdown(tables)


def test_equal_lengths_everywhere_are_no_regression(put_eval, draw, suite):
    for arm, rate in (("grpo", 0.4), ("cast", 0.6)):
        for seed in range(3):
            put_eval(arm, seed, draw(rate, seed))
    row = pick(build_tables(suite), "length", estimand="fixed_set")[0]
    assert row["at_equal_length"] is None and row["p"] is None and "cannot be told apart" in row["note"]


def test_views_hold_the_plain_and_the_matched_arms():
    assert arms_of_views(["base", "grpo", "cast", "cast+permuted"]) == {}
    assert arms_of_views(["base", "grpo", "cast", "opd", "cast@matched", "cast@b", "cast@matched+permuted"]) == {
        "as-published": {"base": "base", "grpo": "grpo", "cast": "cast", "opd": "opd"},
        "matched": {"base": "base", "grpo": "grpo", "cast": "cast@matched"},
    }


def test_views_test_and_rank_inside_themselves(put_eval, draw, suite):
    rates = {"base": 0.2, "grpo": 0.5, "cast": 0.75, "cast@matched": 0.52, "opd": 0.8, "opd@matched": 0.78}
    for arm, rate in rates.items():
        for seed in range(3):
            put_eval(arm, seed, draw(rate, seed))
    tables = build_tables(suite)
    for view, arms in (("as-published", ["cast", "opd"]), ("matched", ["cast@matched", "opd@matched"])):
        rows = {r["arm"]: r for r in pick(tables, "views", view=view)}
        assert set(rows) == {"base", "grpo", *arms}
        assert max(r["rank_high"] for r in rows.values()) == 4  # of the view's arms, not of the table's six
        found = pick(tables, "pairwise", family="grpo", estimand="fixed_set", metric="avg@4")
        alone = {r["method_a"]: r for r in found}
        holm = multipletests([alone[arm]["p"] for arm in arms], method="holm")[1]
        assert [rows[arm]["p_holm"] for arm in arms] == pytest.approx(holm)
        assert rows[arms[0]]["against_grpo"] == pytest.approx(alone[arms[0]]["difference"])
        assert rows["grpo"]["against_grpo"] is None
    own = {(r["method_a"], r["method_b"]): r for r in pick(tables, "pairwise", family="view", metric="avg@4")}
    assert set(own) == {("cast", "cast@matched"), ("opd", "opd@matched")}
    y = {arm: np.array([draw(rates[arm], s).mean() for s in range(3)]) for arm in ("cast", "cast@matched")}
    row = pick(tables, "pairwise", family="view", metric="avg@4", estimand="fixed_set", method_a="cast")[0]
    wins = [(a > b) + 0.5 * (a == b) for a in y["cast"] for b in y["cast@matched"]]
    assert row["p_improvement"] == pytest.approx(np.mean(wins))
    assert row["difference"] == pytest.approx(y["cast"].mean() - y["cast@matched"].mean())
    page = leaderboard_markdown(tables)
    assert "Two views" in page and "| `cast` |" in page


def test_equal_steps_and_tokens_by_hand(put_eval, put_curve, draw, suite):
    steps = np.arange(10)
    for arm, tokens, slope in (("grpo", 100, 0.05), ("opd", 200, 0.08)):
        for seed in range(3):
            put_eval(arm, seed, draw(0.5, seed))
            put_curve(arm, seed, 0.1 + slope * steps + 0.01 * seed, np.full(10, tokens))
    tables = build_tables(suite)
    by = {(r["equal"], r["method"]): r for r in tables.rows["equal"]}
    # Steps: all ran 10; the window is one step, so the last value counts.
    assert by["steps", "grpo"]["at"] == 10
    assert by["steps", "opd"]["training_accuracy"] == pytest.approx(0.1 + 0.72 + 0.01)
    # Tokens: grpo generated 1000 in all, opd had as many after its fifth step (index 4).
    assert by["tokens", "opd"]["at"] == 1000 and by["tokens", "opd"]["step"] == 5
    assert by["tokens", "opd"]["training_accuracy"] == pytest.approx(0.1 + 0.32 + 0.01)
    assert by["tokens", "grpo"]["training_accuracy"] == pytest.approx(0.1 + 0.45 + 0.01)
    row = by["tokens", "opd"]
    welch = ss.ttest_ind([0.42, 0.43, 0.44], [0.55, 0.56, 0.57], equal_var=False)
    assert row["against_grpo"] == pytest.approx(-0.13) and row["p"] == pytest.approx(welch.pvalue)
    assert (row["diff_low"], row["diff_high"]) == pytest.approx(tuple(welch.confidence_interval()))
    assert "10 steps | 1k tokens" in leaderboard_markdown(tables)


def test_damaged_or_missing_curves_leave_no_row(put_eval, put_curve, put_cost, draw, suite):
    for arm in ("grpo", "opd"):
        put_eval(arm, 0, draw(0.5, 0))
    put_curve("grpo", 0, [0.1, 0.2], [10, 10])
    put_cost("opd", 0)
    assert build_tables(suite).rows["equal"] == []
    put_curve("opd", 0, [0.3, 0.4], [10, 10])
    assert len(build_tables(suite).rows["equal"]) == 4
    path = suite / "runs/opd/math/seed0/curve.parquet"
    path.write_bytes(path.read_bytes()[:-7])
    assert build_tables(suite).rows["equal"] == []


def test_trailing_mean_never_looks_ahead():
    assert trailing_mean([1, 2, 3, 4], 2).tolist() == [1, 1.5, 2.5, 3.5]
    assert trailing_mean([5], 10).tolist() == [5]
    for bad in ([], [1, float("nan")]):
        with pytest.raises(BadInput, match="all finite"):
            trailing_mean(bad, 2)


def test_variance_rows_are_standard_deviations_of_the_parts(put_eval, suite):
    rng = np.random.default_rng(1)
    y = (rng.random((3, 30, 8)) < rng.random((1, 30, 1))).astype(int)
    for seed in range(3):
        put_eval("grpo", seed, y[seed])
    row = build_tables(suite).rows["variance"][0]
    cells = y.mean(2)
    sampling = cells * (1 - cells) * 8 / 7
    assert row["sampling_sd"] == pytest.approx(np.sqrt(sampling.mean()))
    rest = cells - cells.mean(0) - cells.mean(1, keepdims=True) + cells.mean()
    residual = (rest**2).sum() / (2 * 29)
    assert row["problem_sd"] == pytest.approx(np.sqrt(cells.mean(0).var(ddof=1) - residual / 3))
    assert row["seed_sd"] == pytest.approx(np.sqrt(max(cells.mean(1).var(ddof=1) - residual / 30, 0)))
    assert (row["n_seeds"], row["n_problems"], row["k"]) == (3, 30, 8)


def _track(hub="Qwen/Qwen3-4B", against=("toy",)):
    eval_ref = SimpleNamespace(benchmark="toy", label="toy_late", split="test", options={}, protocol={})
    train = SimpleNamespace(benchmark="dapo", options={"against": list(against)})
    return SimpleNamespace(base=SimpleNamespace(hub=hub), train=train, eval=[eval_ref])


def test_contamination_rows_give_counts_and_dates(tmp_path, monkeypatch):
    from creditbench.items import Item

    days = ["2025-04-28", "2025-04-29", "2025-04-30", "2025-06-01"]
    items = [Item(f"p{i}", f"problem {i}", "1", "", {"date": day}) for i, day in enumerate(days)]
    monkeypatch.setattr("creditbench.report.tables_data.get_benchmark", lambda name: name)
    monkeypatch.setattr("creditbench.report.tables_data.resolve_protocol", lambda *_: None)
    monkeypatch.setattr("creditbench.report.tables_data.load_items", lambda *_: items)
    monkeypatch.setattr("creditbench.report.tables_data.overlap_path", lambda *_: tmp_path / "overlap.json")
    suite = SimpleNamespace(tracks={"math": _track()})
    assert "no n-gram counts here" in contamination_rows(suite, tmp_path)[0]["note"]
    counts = {"items": 4, "train_with_8gram": 9, "train_with_13gram": 3, "dropped": 4}
    records.write_json(tmp_path / "overlap.json", {"n_train": 100, "counts": {"toy": counts}})
    splits = [{"role": role, "label": "toy_late", "same_as_train": n} for role, n in (("train", 9), ("test", 2))]
    records.write_json(tmp_path / "data" / "math.json", {"splits": splits})
    row = contamination_rows(suite, tmp_path)[0]
    assert (row["n_train"], row["with_8gram"], row["with_13gram"], row["dropped"]) == (100, 9, 3, 4)
    # Released on 29 April 2025: that day counts as before.
    assert (row["n_before"], row["n_after"], row["window"]) == (2, 2, "mixed")
    assert (row["model_released"], row["first"], row["last"]) == ("2025-04-29", "2025-04-28", "2025-06-01")
    assert row["same_text"] == 2 and row["note"] == ""
    other = contamination_rows(SimpleNamespace(tracks={"math": _track(None, ())}), tmp_path)[0]
    assert "made by this suite" in other["note"] and "was asked for (option against)" in other["note"]
    items[0].meta["claim"] = "held-out tests of trained problems"
    claimed = contamination_rows(suite, tmp_path)[0]
    assert claimed["note"] == "held-out tests of trained problems"
    unknown = contamination_rows(SimpleNamespace(tracks={"math": _track("org/new-model")}), tmp_path)[0]
    assert unknown["model"] == "org/new-model" and "unknown model" in unknown["note"] and "window" not in unknown
