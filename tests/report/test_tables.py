"""Every number of the tables against scipy, statsmodels or a hand calculation."""

import csv
import io
import itertools
import shutil

import numpy as np
import pytest
from scipy import stats as ss
from statsmodels.stats.multitest import multipletests

from creditbench.errors import BadInput
from creditbench.records import curve_table, read_manifest, write_manifest, write_parquet
from creditbench.report.html.evidence import curves
from creditbench.report.markdown import leaderboard_markdown, write_leaderboard
from creditbench.report.tables import COLUMNS, build_tables, number, write_tables
from creditbench.report.tables_latex import escape, leaderboard_latex, pairwise_latex, write_latex
from creditbench.report.tables_load import load_suite_results
from creditbench.report.tables_reading import reading_aids

RATES = {"base": 0.3, "grpo": 0.5, "dapo": 0.55, "cast": 0.5, "cast+permuted": 0.45}


@pytest.fixture
def filled(put_eval, draw, suite):
    data = {}
    for arm, rate in RATES.items():
        for seed in range(3):
            data[arm, seed] = draw(rate, seed + 10 * list(RATES).index(arm))
            put_eval(arm, seed, data[arm, seed])
    return data


def means(data, arm):
    return np.array([y.mean() for (a, _), y in sorted(data.items()) if a == arm])


def pick(tables, table="pairwise", **wanted):
    return [r for r in tables.rows[table] if all(r[name] == value for name, value in wanted.items())]


def read_csv(text):
    return list(csv.DictReader(io.StringIO(text)))


def test_columns_are_those_of_the_design():
    scores = "suite track benchmark method seed metric value n_problems k mean_tokens truncated unparsed errors"
    pairwise = "track benchmark metric family method_a method_b estimand difference ci_low ci_high p p_holm mde"
    leaderboard = "track method score ci_low ci_high rank_low rank_high n_seeds"
    assert " ".join(COLUMNS["scores"]) == scores
    assert " ".join(COLUMNS["pairwise"][:15]) == f"{pairwise} n_seeds_a n_seeds_b"
    assert " ".join(COLUMNS["leaderboard"][:8]) == leaderboard


def test_scores_hold_avg_and_pass_per_seed(filled, suite):
    tables = build_tables(suite)
    assert len(tables.rows["scores"]) == 5 * 3 * 2
    row = pick(tables, "scores", method="grpo", seed=1, metric="avg@4")[0]
    y = filled["grpo", 1]
    assert row["value"] == pytest.approx(y.mean()) and row["k"] == 4 and row["n_problems"] == 40
    passed = pick(tables, "scores", method="grpo", seed=1, metric="pass@4")[0]["value"]
    assert passed == pytest.approx(y.any(axis=1).mean())
    two = build_tables(suite, metrics=["avg@k", "pass@2", "pass^2"])
    brute = [[y[p][list(c)] for c in itertools.combinations(range(4), 2)] for p in range(40)]
    any_, all_ = (np.mean([[f(v) for v in row] for row in brute]) for f in (np.any, np.all))
    assert pick(two, "scores", method="grpo", seed=1, metric="pass@2")[0]["value"] == pytest.approx(any_)
    assert pick(two, "scores", method="grpo", seed=1, metric="pass^2")[0]["value"] == pytest.approx(all_)


@pytest.fixture
def even(put_eval, draw, suite):
    """Arms whose seeds spread alike, so that the seed variance may be pooled."""
    counts = {
        "grpo": (200, 204, 196),
        "dapo": (212, 208, 205),
        "cast": (201, 198, 204),
        "cast+permuted": (180, 184, 178),
    }
    data = {("base", seed): draw(0.3, seed, 50, 8) for seed in range(3)}
    for arm, found in counts.items():
        for seed, count in enumerate(found):
            data[arm, seed] = np.zeros((50, 8), int)
            data[arm, seed].ravel()[:count] = 1
    for (arm, seed), y in data.items():
        put_eval(arm, seed, y)
    return data


def test_differences_to_grpo_use_the_pooled_seed_variance_and_show_the_unpooled(even, suite):
    filled, tables = even, build_tables(suite)
    trained = [arm for arm in RATES if arm != "base"]
    assert ss.bartlett(*(means(filled, a) for a in trained)).pvalue > 0.10  # the check allows pooling here
    pooled = np.mean([means(filled, a).var(ddof=1) for a in trained])
    rows = pick(tables, family="grpo", estimand="fixed_set", metric="avg@8")
    assert [r["method_a"] for r in rows] == ["cast", "cast+permuted", "dapo"]
    ps = []
    for row in rows:
        d = means(filled, row["method_a"]).mean() - means(filled, "grpo").mean()
        se = np.sqrt(pooled * 2 / 3)
        p = 2 * ss.t.sf(abs(d / se), 8)
        ps.append(p)
        half = ss.t.ppf(0.975, 8) * se
        assert row["difference"] == pytest.approx(d) and row["p"] == pytest.approx(p)
        assert (row["ci_low"], row["ci_high"]) == (pytest.approx(d - half), pytest.approx(d + half))
        assert row["mde"] == pytest.approx((ss.t.ppf(0.975, 8) + ss.t.ppf(0.8, 8)) * se)
        welch = ss.ttest_ind(means(filled, row["method_a"]), means(filled, "grpo"), equal_var=False)
        assert row["p_unpooled"] == pytest.approx(welch.pvalue)
        assert row["ci_low_unpooled"] == pytest.approx(welch.confidence_interval().low)
        assert row["test"] == "t, pooled seed variance" and "Bartlett" in row["note"]
    assert [r["p_holm"] for r in rows] == pytest.approx(multipletests(ps, method="holm")[1])


def test_without_equal_seed_variances_welch_counts(put_eval, suite):
    spread = {"grpo": (100, 100.5, 99.5), "dapo": (60, 100, 140), "cast": (110, 110.5, 109.8)}
    for arm, counts in spread.items():
        for seed, count in enumerate(counts):
            y = np.zeros((50, 8), int)
            y.ravel()[: round(count * 2)] = 1
            put_eval(arm, seed, y)
    tables = build_tables(suite)
    row = pick(tables, family="grpo", estimand="fixed_set", metric="avg@8", method_a="dapo")[0]
    a, b = (np.round(np.array(spread[arm]) * 2) / 400 for arm in ("dapo", "grpo"))
    welch = ss.ttest_ind(a, b, equal_var=False)
    assert row["p"] == pytest.approx(welch.pvalue) and row["test"] == "Welch t"
    assert row["p_unpooled"] == row["p"] and "seed variances differ" in row["note"]


def test_against_base_adds_only_the_bases_sampling_variance(even, suite):
    filled, tables = even, build_tables(suite)
    rows = pick(tables, family="base", estimand="fixed_set", metric="avg@8")
    assert [r["method_a"] for r in rows] == ["cast", "cast+permuted", "dapo", "grpo"]
    base = np.stack([filled["base", s] for s in range(3)])
    per_problem = base.transpose(1, 0, 2).reshape(50, 24)
    v_p = per_problem.var(axis=1, ddof=1) / 24 / 50**2
    v_base, df_base = v_p.sum(), v_p.sum() ** 2 / (v_p**2 / 23).sum()
    pooled = np.mean([means(filled, a).var(ddof=1) for a in RATES if a != "base"])
    v = pooled / 3 + v_base
    df = v / (pooled / 3 / 8 + v_base / df_base)
    d = means(filled, "grpo").mean() - base.mean()
    row = rows[-1]
    assert row["p"] == pytest.approx(2 * ss.t.sf(abs(d) / np.sqrt(v), df))
    own = means(filled, "grpo").var(ddof=1) / 3
    df_own = (own + v_base) / (own / 2 + v_base / df_base)
    assert row["p_unpooled"] == pytest.approx(2 * ss.t.sf(abs(d) / np.sqrt(own + v_base), df_own))
    assert row["p_holm"] < 0.05


def test_placebo_family_pairs_an_arm_with_its_own_placebo(filled, suite):
    rows = pick(build_tables(suite), family="placebo", estimand="fixed_set", metric="avg@4")
    assert [(r["method_a"], r["method_b"]) for r in rows] == [("cast", "cast+permuted")]
    assert rows[0]["p_holm"] == rows[0]["p"]


def test_all_pairs_carry_the_ranks(filled, suite):
    tables = build_tables(suite)
    rows = pick(tables, family="all", estimand="superpopulation")
    assert len(rows) == 10 and {r["metric"] for r in rows} == {"avg@4"}
    assert [r["p_holm"] for r in rows] == pytest.approx(multipletests([r["p"] for r in rows], method="holm")[1])
    for place in tables.rows["leaderboard"]:
        name = place["method"]
        better = worse = 0
        for row in rows:
            if name in (row["method_a"], row["method_b"]) and row["p_holm"] < 0.05:
                up = row["method_a"] if row["difference"] > 0 else row["method_b"]
                better, worse = better + (up != name), worse + (up == name)
        assert (place["rank_low"], place["rank_high"]) == (1 + better, 5 - worse)
    assert tables.rows["leaderboard"][-1]["method"] == "base"
    scores = [r["score"] for r in tables.rows["leaderboard"]]
    assert scores == sorted(scores, reverse=True)


def test_share_of_first_places_and_interquartile_mean(filled, put_eval, draw, suite):
    """Secondary columns: shares sum to 1 and follow the scores; of 3 values the interquartile mean cuts none."""
    rows = build_tables(suite).rows["leaderboard"]
    assert sum(row["p_first"] for row in rows) == pytest.approx(1)
    apart = [(a["p_first"], b["p_first"]) for a, b in itertools.pairwise(rows) if a["score"] - b["score"] > 0.1]
    assert apart and all(above >= below for above, below in apart)
    assert all(row["iqm"] == pytest.approx(row["score"]) for row in rows)
    for seed in (3, 4):  # five seeds: the lowest and the highest are cut
        put_eval("grpo", seed, draw(0.99, seed))
    tables = build_tables(suite)
    grpo = next(row for row in tables.rows["leaderboard"] if row["method"] == "grpo")
    values = sorted(row["value"] for row in pick(tables, "scores", method="grpo", metric="avg@4"))
    assert grpo["iqm"] == pytest.approx(np.mean(values[1:4])) and grpo["iqm"] != pytest.approx(grpo["score"])


def test_below_three_seeds_the_table_only_describes(put_eval, draw, suite):
    for arm in ("base", "grpo", "dapo"):
        for seed in range(2):
            put_eval(arm, seed, draw(RATES[arm], seed))
    tables = build_tables(suite)
    for row in tables.rows["pairwise"]:
        assert row["p"] is row["p_holm"] is row["ci_low"] is row["mde"] is None
        assert row["test"] == "descriptive" and "train at least 3 seeds" in row["note"]
    board = {r["method"]: r for r in tables.rows["leaderboard"]}
    assert board["grpo"]["ci_low"] is None and (board["grpo"]["rank_low"], board["grpo"]["rank_high"]) == (1, 3)
    line = read_csv(tables.csv("leaderboard"))[0]
    assert line["ci_low"] == line["p_first"] == "" and line["n_seeds"] == "2" and line["iqm"]
    assert "decide nothing" in leaderboard_markdown(tables)


def test_an_arm_with_fewer_seeds_states_them(filled, put_eval, draw, suite):
    shutil.rmtree(suite / "evals/aime24/dapo/math/seed2")
    put_eval("grpo", 3, draw(0.5, 77))
    tables = build_tables(suite)
    counts = {r["method"]: r["n_seeds"] for r in tables.rows["leaderboard"]}
    assert counts == {"base": 3, "grpo": 4, "dapo": 2, "cast": 3, "cast+permuted": 3}
    row = pick(tables, family="grpo", estimand="fixed_set", metric="avg@4", method_a="dapo")[0]
    assert (row["n_seeds_a"], row["n_seeds_b"]) == (2, 4) and row["p"] is None
    assert "`dapo` 2" in leaderboard_markdown(tables)


def test_a_blocked_table_says_why_and_holds_no_row(filled, put_eval, draw, suite):
    put_eval("opd", 0, draw(0.6, 5), grader_version="2")
    put_eval("grpo", 0, draw(0.6, 5), benchmark="aime25")
    tables = build_tables(suite)
    assert len(tables.blocked) == 1 and "'grader_version' differs" in tables.blocked[0]
    assert {r["benchmark"] for r in tables.rows["scores"]} == {"aime25"}
    assert "grader_version" in leaderboard_markdown(tables)
    allowed = build_tables(suite, allow=["grader_version"])
    assert not allowed.blocked and "--allow grader_version" in allowed.footnotes[0]
    assert "--allow grader_version" in leaderboard_markdown(allowed)
    with pytest.raises(BadInput, match="unknown field"):
        build_tables(suite, allow=["grader_versio"])


def test_too_many_errors_block(put_eval, suite):
    y = np.full((50, 2), "wrong", dtype=object)
    y[0, 0] = "error"
    put_eval("grpo", 0, y.astype(str))
    assert build_tables(suite).rows["scores"]  # exactly 1 % is allowed
    y[1, 1] = "error"
    put_eval("grpo", 0, y.astype(str))
    assert "2.0% of the samples" in build_tables(suite).blocked[0]


def test_a_damaged_record_is_left_out_and_named(filled, suite):
    path = suite / "evals/aime24/grpo/math/seed1/samples.parquet"
    path.write_bytes(path.read_bytes()[:-10])
    tables = build_tables(suite)
    assert any("grpo/math/seed1/samples.parquet" in line for line in tables.left_out)
    assert {r["method"]: r["n_seeds"] for r in tables.rows["leaderboard"]}["grpo"] == 2
    assert "samples.parquet" in leaderboard_markdown(tables)


def test_partial_rewards_get_a_metric_of_their_own(put_eval, suite):
    rng = np.random.default_rng(0)
    for seed in range(3):
        rewards = np.round(rng.random((10, 2)), 2)
        put_eval("grpo", seed, rewards > 0.9, rewards=rewards)
    tables = build_tables(suite)
    values = [r["value"] for r in pick(tables, "scores", metric="reward")]
    assert len(values) == 3 and values[-1] == pytest.approx(rewards.mean(), abs=1e-6)


def test_two_benchmarks_count_equally_and_missing_ones_are_named(put_eval, draw, suite):
    rates = {"base": (0.2, 0.4), "grpo": (0.5, 0.7), "dapo": (0.55, None)}
    data = {}
    for arm, pair in rates.items():
        for benchmark, rate, n in zip(("aime24", "amc"), pair, (30, 60), strict=True):
            for seed in range(3):
                if rate is not None:
                    data[arm, benchmark, seed] = draw(rate, seed, n)
                    put_eval(arm, seed, data[arm, benchmark, seed], benchmark=benchmark)
    tables = build_tables(suite)
    board = {r["method"]: r for r in tables.rows["leaderboard"]}
    assert set(board) == {"base", "grpo"} and "dapo has no result on amc" in tables.footnotes[0]
    expected = np.mean([[data["grpo", b, s].mean() for s in range(3)] for b in ("aime24", "amc")])
    assert board["grpo"]["score"] == pytest.approx(expected)


def test_budget_counts_correct_samples_within_the_budget(put_eval, suite):
    for seed in range(3):
        put_eval("grpo", seed, [[1, 1, 0, 1]], tokens=[[5, 10, 3, 40]])
    rows = build_tables(suite).rows["budget"]
    assert [(r["budget"], r["score"], r["over_budget"]) for r in rows] == [
        (5, 0.25, 0.5), (10, 0.5, 0.25), (20, 0.5, 0.25), (40, 0.75, 0.0),
    ]  # fmt: skip
    assert [r["of_cap"] for r in rows] == [0.125, 0.25, 0.5, 1.0]


def test_costs_are_counted_in_the_leaderboard_and_timed_only_in_cost(filled, put_cost, suite):
    for seed in range(2):
        put_cost("grpo", seed, generated_tokens=100 + seed, flops=1e9, wall_seconds=3.5, seconds={"rollout": 1.25})
    tables = build_tables(suite)
    board = {r["method"]: r for r in tables.rows["leaderboard"]}
    assert board["grpo"]["generated_tokens"] == 100.5 and board["grpo"]["flops"] == 1e9
    assert board["base"]["generated_tokens"] is None
    line = read_csv(tables.csv("cost"))[1]
    assert line["wall_seconds"] == "3.5" and line["seconds"] == "rollout=1.2" and line["generated_tokens"] == "101"
    timed = ("cost", "cost_sums")
    assert not [c for name in COLUMNS if name not in timed for c in COLUMNS[name] if "second" in c or "wall" in c]


def test_a_cost_record_that_is_not_its_runs_is_left_out_and_named(filled, put_cost, suite):
    """Emptied, cut, edited, or from another run's folder: no number of it stands in a table."""
    put_cost("grpo", 0, generated_tokens=70)
    put_cost("grpo", 1, generated_tokens=80)
    path = suite / "runs/grpo/math/seed0/cost.json"
    text = path.read_text()
    for damage in ("{}", text.replace("70", "7"), text[:40], ""):
        path.write_text(damage)
        loaded = load_suite_results(suite)
        assert list(loaded.costs) == [("math", "grpo", 1)]
        assert any(line.startswith(str(path)) for line in loaded.left_out)
    shutil.copytree(path.parent.parent / "seed1", path.parent, dirs_exist_ok=True)
    loaded = load_suite_results(suite)
    assert list(loaded.costs) == [("math", "grpo", 1)] and "speaks of another run" in loaded.left_out[-1]


def test_a_damaged_curve_stops_no_page_and_is_named(filled, put_cost, suite):
    put_cost("grpo", 0, generated_tokens=70)
    folder = suite / "runs/grpo/math/seed0"
    write_parquet(folder / "curve.parquet", curve_table([{"step": n, "correct": 0.5} for n in range(3)]))
    write_manifest(folder, read_manifest(folder), ["cost.json", "curve.parquet"])
    whole = (folder / "curve.parquet").read_bytes()
    assert list(curves(load_suite_results(suite))["math"]) == ["grpo"]
    for damage in (whole[:50], b"", bytes(len(whole))):
        (folder / "curve.parquet").write_bytes(damage)
        loaded = load_suite_results(suite)
        assert curves(loaded) == {} and "curve.parquet: not the curve" in loaded.left_out[-1]


def test_costs_are_summed_per_table(filled, put_cost, suite, tmp_path):
    """Runs added by hand: two of grpo, one of cast, and one of another track that this table must not hold."""
    put_cost("grpo", 0, generated_tokens=100, trained_tokens=90, flops=1e9, wall_seconds=3600, gpu_hours=2)
    put_cost("grpo", 1, generated_tokens=200, trained_tokens=180, flops=2e9, wall_seconds=1800, gpu_hours=1)
    put_cost("cast", 0, generated_tokens=50, extra_forwards=7, flops=5e8, wall_seconds=60)
    put_cost("grpo", 0, track="code", generated_tokens=1_000_000, flops=1e15, wall_seconds=10, gpu_hours=0.5)
    tables = build_tables(suite)
    rows = {(r["track"], r["method"]): r for r in read_csv(tables.csv("cost_sums"))}
    assert list(rows) == [("code", "grpo"), ("code", ""), ("math", "cast"), ("math", "grpo"), ("math", ""), ("", "")]
    names = ("n_runs", "generated_tokens", "trained_tokens", "extra_forwards", "flops", "wall_seconds", "gpu_hours")
    found = {key: tuple(float(row[name]) for name in names) for key, row in rows.items()}
    assert found["math", "grpo"] == (2, 300, 270, 0, 3e9, 5400, 3)
    assert found["math", ""] == (3, 350, 270, 7, 3.5e9, 5460, 3)
    assert found["", ""] == (4, 1_000_350, 270, 7, 1e15 + 3.5e9, 5470, 3.5)
    assert rows["math", ""]["n_runs"] == "3" and rows["math", ""]["generated_tokens"] == "350"
    said = write_leaderboard(tables, suite, tmp_path).read_text()
    line = "The 3 training runs of this table together: 350 generated, 270 trained, 7 extra passes, 3.5G FLOPs."
    assert said.count(line) == 1 and said.index("| `grpo` |") < said.index(line)


def test_equal_records_give_equal_bytes(filled, suite, tmp_path, put_eval, draw):
    def written(folder):
        tables = build_tables(folder)
        paths = [
            *write_tables(tables, folder),
            write_leaderboard(tables, folder, tmp_path),
            *write_latex(tables, folder),
        ]
        return {p.name: p.read_bytes() for p in paths}

    first = written(suite)
    for (arm, seed), y in reversed(list(filled.items())):
        put_eval(arm, seed, y, started="2020-01-01T00:00:00+00:00", ended="2021-01-01T00:00:00+00:00")
    assert written(suite) == first and set(first) >= {"scores.csv", "leaderboard.md", "leaderboard.tex", "pairwise.csv"}


def test_numbers_have_one_format():
    assert [number(v) for v in (None, float("nan"), 0.1 + 0.2, 3, True, 1 / 3, -0.0, np.float32(0.5), "x")] == [
        "", "", "0.3", "3", "true", "0.33333333", "0", "0.5", "x",
    ]  # fmt: skip


def test_latex_is_escaped_and_well_formed(filled, put_eval, draw, suite, tmp_path):
    for seed in range(3):
        put_eval("oar_g@b", seed, draw(0.5, 40 + seed))
    tables = build_tables(suite)
    assert escape("a_b%c&{}^~\\#$") == (r"a\_b\%c\&\{\}\textasciicircum{}\textasciitilde{}\textbackslash{}\#\$")
    for text in (leaderboard_latex(tables), pairwise_latex(tables)):
        lines = text.splitlines()
        assert lines[0].startswith(r"\begin{tabular}") and lines[-1] == r"\end{tabular}"
        assert [line for line in lines if line.startswith("\\") and "rule" in line] == [
            r"\toprule",
            r"\midrule",
            r"\bottomrule",
        ]
        columns = lines[0].split("{")[-1].rstrip("}")
        assert all(line.count(" & ") == len(columns) - 1 and line.endswith(r" \\") for line in lines if "&" in line)
        assert r"\texttt{oar\_g@b}" in text
    if shutil.which("pdflatex"):
        import subprocess

        body = leaderboard_latex(tables) + pairwise_latex(tables)
        (tmp_path / "t.tex").write_text(
            r"\documentclass{article}\usepackage{booktabs}\begin{document}" + body + r"\end{document}"
        )
        subprocess.run(["pdflatex", "-halt-on-error", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_an_empty_suite_gives_empty_tables(tmp_path):
    tables = build_tables(tmp_path / "none")
    assert all(rows == [] for rows in tables.rows.values())
    assert "no complete result" in leaderboard_markdown(tables)
    assert reading_aids(tables, "math") == []
