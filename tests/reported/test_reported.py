"""The papers' numbers: transcription (counts and spot values taken from the papers' tables) and the checker."""

from __future__ import annotations

import csv
from decimal import ROUND_HALF_DOWN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from itertools import product
from math import comb
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from creditbench.errors import BadInput
from creditbench.reported import COLUMNS, check_reported, impossible_values, load_reported, main, undeclared

FOLDER = Path(__file__).parents[2] / "results" / "reported"
ROW = {
    "paper": "toy-2601.00001", "table": "table1", "model": "Tiny", "benchmark": "aime24", "metric": "avg@16",
    "method": "grpo", "variant": "", "checkpoint": "not stated", "value": "12.71", "unit": "percent", "k": "16",
    "n_problems": "30", "seeds": "not stated", "length_cap": "", "source": "table", "evidence": "paper",
    "check": "", "note": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def table():
    return load_reported(FOLDER)


def write(folder: Path, *rows: dict[str, str], header=COLUMNS) -> Path:
    with (folder / "toy-2601.00001.csv").open("w", newline="", encoding="utf-8") as handle:
        out = csv.writer(handle)
        out.writerow(header)
        out.writerows([{**ROW, **row}.get(c, "") for c in header] for row in rows)
    return folder


def kinds(folder: Path, *rows: dict[str, str]) -> list[str]:
    return impossible_values(load_reported(write(folder, *rows)))["kind"].tolist()


# Rows x columns of the papers' tables, counted by hand: models x methods x benchmarks x metrics.
COUNTS = {
    ("dapo-2503.14476", "table1"): 7,
    ("opsd-2601.18734", "table2"): 3 * 4 * 4,
    ("opsd-2601.18734", "table3"): 1 + 3 * 2,
    ("opsd-2601.18734", "table4"): 2 * 2,
    ("opsd-2601.18734", "table5"): 4 * 3 * 3,
    ("cast-2606.00172", "table3"): 3 * 7 * 5 * 2,
    ("cast-2606.00172", "table4"): 3 * 5 * 2,
    ("cast-2606.00172", "table5"): 3 * 3 * 5 * 2,
    ("cast-2606.00172", "table7"): 6 * 5 * 2,
    ("cast-2606.00172", "table9"): 7,
    ("cast-2606.00172", "table11"): 6 * 2,
    ("cast-2606.00172", "table12"): 3 * 7 * 5,
    ("cast-2606.00172", "table13"): 3 * 7,
    ("cast-2606.00172", "table14"): 5 * 6 * 6 * 2,
    ("cast-2606.00172", "table15"): 7 * 2 * 2 * 2,
    ("cast-2606.00172", "table16"): 3 * 2 * 2,
    ("cast-2606.00172", "table17"): 7 * 5 * 2,
    ("sc-grpo-2606.18810", "table1"): (8 * 6 - 3) * 2,
    ("sc-grpo-2606.18810", "table2"): 7 * 2,
    ("sc-grpo-2606.18810", "table3"): 10 * 2,
    ("sc-grpo-2606.18810", "table5"): 3 * 4,
    ("sc-grpo-2606.18810", "figure3"): 2 * 2 * 2,
    ("sc-grpo-2606.18810", "figure4"): 2 * 2 * 3,
    ("sc-grpo-2606.18810", "figure5"): 3 * 2,
    ("rlsd-2604.03128", "headline"): 3 * 6 + 1 + 2 + 1,
    ("grail-2606.04889", "abstract"): 2,
    ("sdpg-2606.04036", "headline"): 4 * 3 * 2,
    ("serl-2605.19447", "headline"): 5 * 3,
}


def test_every_table_is_whole(table):
    counted = table.groupby(["paper", "table"]).size().to_dict()
    assert {key: counted.get(key) for key in COUNTS} == COUNTS


SPOT = [
    ("dapo-2503.14476", "table1", "aime24", "avg@32", "dapo", {}, 50),
    ("dapo-2503.14476", "table1", "aime24", "avg@32", "grpo", {"variant": ""}, 30),
    ("opsd-2601.18734", "table2", "hmmt25", "avg@12", "grpo", {"model": "Qwen3-8B"}, 46.7),
    ("opsd-2601.18734", "table2", "average", "avg@12", "opsd", {"model": "Qwen3-1.7B"}, 43.4),
    ("opsd-2601.18734", "table3", "aime25", "avg@12", "opsd", {"variant": "reverse-KL, step 100"}, 35.0),
    ("opsd-2601.18734", "table4", "hmmt25", "pass@8", "opsd", {"variant": "sampled-token"}, 57.3),
    ("cast-2606.00172", "table3", "aime24", "avg@16", "base", {"model": "Qwen3-1.7B"}, 12.71),
    ("cast-2606.00172", "table3", "hmmt25", "pass@16", "cast", {"model": "Qwen3-8B"}, 43.3),
    ("cast-2606.00172", "table5", "aime25", "avg@16", "cast", {"model": "Qwen3-1.7B", "variant": "100 steps"}, 13.3),
    ("cast-2606.00172", "table7", "math500", "avg@16", "cast", {"variant": "no sign reversal"}, 85.0),
    ("cast-2606.00172", "table12", "aime26", "pass@1", "cast", {"model": "Qwen3-4B"}, 40.0),
    ("cast-2606.00172", "table13", "average", "mean_tokens", "cast", {"model": "Qwen3-1.7B"}, 10085.0),
    ("cast-2606.00172", "table14", "aime25", "avg@16", "rlsd", {"length_cap": 32768}, 21.88),
    ("cast-2606.00172", "table14", "hmmt25", "pass@16", "cast", {"length_cap": 1024}, 0.0),
    ("cast-2606.00172", "table15", "aime26", "pass@16", "rlrt", {"variant": "evaluation seed 0"}, 63.3),
    ("cast-2606.00172", "table16", "aime24", "avg@16", "cast", {"variant": "training seed 1024"}, 40.0),
    ("cast-2606.00172", "table17", "aime26", "avg@16", "rlsd", {"variant": "Flip RLSD"}, 22.5),
    ("sc-grpo-2606.18810", "table1", "livecodebench", "avg@8", "sc_grpo", {}, 43.22),
    ("sc-grpo-2606.18810", "table1", "average", "pass@8", "sc_grpo", {}, 64.11),
    ("sc-grpo-2606.18810", "table1", "webshop", "pass@8", "opsd", {"variant": "demonstrations Oracle"}, 21.6),
    ("sc-grpo-2606.18810", "table3", "livecodebench", "pass@8", "sc_grpo", {"variant": "groups: all"}, 42.75),
    ("sc-grpo-2606.18810", "figure3", "livecodebench", "seconds_per_step", "sc_grpo", {"variant": "end to end"}, 158),
    ("sc-grpo-2606.18810", "figure4", "aime24", "avg@8", "opd", {"model": "Qwen3-1.7B-Base"}, 6.7),
    ("sc-grpo-2606.18810", "figure5", "codeforces", "pass@8", "dapo", {}, 31.4),
    ("rlsd-2604.03128", "headline", "average", "accuracy", "rlsd", {}, 56.18),
    ("grail-2606.04889", "abstract", "average", "pass@3_gain", "grail", {}, 3.05),
    ("sdpg-2606.04036", "headline", "aime25", "avg@32", "sdpg", {"variant": "UFKL", "checkpoint": "best"}, 0.335),
    ("serl-2605.19447", "headline", "webshop", "success", "serl", {}, 80.1),
]


@pytest.mark.parametrize(("paper", "tab", "benchmark", "metric", "method", "more", "value"), SPOT)
def test_spot_values(table, paper, tab, benchmark, metric, method, more, value):
    want = {"paper": paper, "table": tab, "benchmark": benchmark, "metric": metric, "method": method, **more}
    hit = table[(table[list(want)] == list(want.values())).all(axis=1)]
    assert hit["value"].tolist() == [value]


def test_figures_are_marked_as_figures(table):
    assert set(table.loc[table["table"].str.startswith("figure"), "source"]) == {"figure"}
    assert "figure" not in set(table.loc[~table["table"].str.startswith("figure"), "source"])


def test_oar_has_no_numbers(table):
    assert not table["paper"].str.startswith("oar").any()
    assert not table["method"].str.startswith("oar").any()


def test_failing_cells_are_the_hand_checked_ones_and_all_declared(table):
    bad = impossible_values(table)
    got = bad.groupby(["paper", "table", "kind"]).size().to_dict()
    # OPSD table 2 by hand: in steps of 1/360, 72.3 lies between 72.222 and 72.5, and so on; SC-GRPO cuts digits.
    assert got[("opsd-2601.18734", "table4", "more-samples")] == 3
    assert not bad["paper"].str.startswith(("cast", "dapo", "sdpg")).any()
    lines = "\n".join(check_reported(FOLDER))
    assert "aime24 / avg@8 / base = 25.41: 61/240 = 25.4167 rounds to 25.42" in lines
    assert "= 39.11: the nearest possible are 409/1048 = 39.0267 and 410/1048 = 39.1221" in lines
    assert undeclared(table).empty


@pytest.mark.parametrize(("n", "k", "decimals"), [(30, 1, 0), (30, 8, 1), (30, 16, 2), (131, 1, 2), (7, 3, 1)])
def test_grid_check_equals_brute_force(tmp_path, n, k, decimals):
    quantum = Decimal(1).scaleb(-decimals)
    possible = set()
    for correct in range(n * k + 1):
        exact = Fraction(100 * correct, n * k)
        number = Decimal(exact.numerator) / Decimal(exact.denominator)
        possible |= {number.quantize(quantum, mode) for mode in (ROUND_HALF_UP, ROUND_HALF_DOWN)}
    every = [Decimal(i).scaleb(-decimals) for i in range(100 * 10**decimals + 1)]
    rows = [
        {"metric": f"avg@{k}", "k": str(k), "n_problems": str(n), "value": str(v), "variant": str(i)}
        for i, v in enumerate(every)
    ]
    bad = set(impossible_values(load_reported(write(tmp_path, *rows)))["variant"].astype(int))
    assert bad == {i for i, v in enumerate(every) if v not in possible}


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 900), k=st.integers(1, 64), data=st.data())
def test_a_true_fraction_always_passes(tmp_path_factory, n, k, data):
    correct, decimals = data.draw(st.integers(0, n * k)), data.draw(st.integers(0, 4))
    row = {"metric": f"avg@{k}", "k": str(k), "n_problems": str(n), "unit": "fraction"}
    row["value"] = f"{correct / (n * k):.{decimals}f}"
    assert kinds(tmp_path_factory.mktemp("grid"), row) == []


def test_kinds(tmp_path):
    # 61/480 = 12.708; 25/30 = 83.33, 26/30 = 86.67; 61/240 = 25.4167
    assert kinds(tmp_path, {"value": "12.71"}) == []
    assert kinds(tmp_path, {"value": "12.75"}) == ["impossible"]
    assert kinds(tmp_path, {"metric": "avg@8", "k": "8", "value": "25.41"}) == ["cut-off"]
    assert kinds(tmp_path, {"metric": "pass@8", "k": "8", "value": "84.1"}) == ["impossible"]
    assert kinds(tmp_path, {"metric": "pass@8", "k": "", "value": "84.1"}) == ["more-samples"]
    assert kinds(tmp_path, {"metric": "pass@8", "k": "12", "value": "84.1"}) == []
    assert kinds(tmp_path, {"metric": "pass@8", "k": "8", "value": "83.3"}) == []
    assert kinds(tmp_path, {"value": "12.75", "n_problems": ""}) == []
    assert kinds(tmp_path, {"metric": "pass@16", "value": "43.4", "source": "figure"}) == []
    assert kinds(tmp_path, {"metric": "pass@16", "value": "43.6", "source": "figure"}) == ["impossible"]


def test_accuracy_of_stated_samples_is_on_the_grid(tmp_path):
    """51 of 100 x 1 is possible, 51.0 % of 30 x 1 is not (15/30 = 50, 16/30 = 53.3); without k nothing is claimed."""
    for metric in ("accuracy", "success"):
        assert kinds(tmp_path, {"metric": metric, "k": "1", "value": "51.0"}) == ["impossible"]
        assert kinds(tmp_path, {"metric": metric, "k": "1", "n_problems": "100", "value": "51.0"}) == []
        assert kinds(tmp_path, {"metric": metric, "k": "", "value": "51.0"}) == []
    # pass@1 of many samples is their mean: 1/(30 x 16) steps.
    assert kinds(tmp_path, {"metric": "pass@1", "k": "16", "value": "12.71"}) == []
    assert kinds(tmp_path, {"metric": "pass@1", "k": "16", "value": "12.75"}) == ["impossible"]


@pytest.mark.parametrize(("n", "k", "samples"), [(2, 8, 9), (3, 2, 4), (4, 3, 5), (1, 4, 8)])
def test_pass_at_k_from_more_samples_equals_brute_force(tmp_path, n, k, samples):
    """Every table of correct counts, problem by problem, through 1 - C(m - c, k) / C(m, k)."""
    each = [1 - Fraction(comb(samples - c, k), comb(samples, k)) for c in range(samples + 1)]
    means = {100 * sum(table) / n for table in product(each, repeat=n)}
    quantum, possible = Decimal("0.1"), set()
    for mean in means:
        exact = Decimal(mean.numerator) / Decimal(mean.denominator)
        possible |= {exact.quantize(quantum, mode) for mode in (ROUND_HALF_UP, ROUND_HALF_DOWN)}
    every = [Decimal(i).scaleb(-1) for i in range(1001)]
    row = {"metric": f"pass@{k}", "k": str(samples), "n_problems": str(n)}
    rows = [{**row, "value": str(v), "variant": str(i)} for i, v in enumerate(every)]
    bad = set(impossible_values(load_reported(write(tmp_path, *rows)))["variant"].astype(int))
    assert bad == {i for i, v in enumerate(every) if v not in possible}


def test_avg_above_pass_and_wrong_mean(tmp_path):
    high = {"value": "50.00"}, {"metric": "pass@16", "value": "46.7"}
    assert kinds(tmp_path, *high) == ["order"]
    parts = [{"benchmark": b, "value": "50.00", "n_problems": "30"} for b in ("aime24", "aime25")]
    assert kinds(tmp_path, *parts, {"benchmark": "average", "n_problems": "", "value": "50.00"}) == []
    assert kinds(tmp_path, *parts, {"benchmark": "average", "n_problems": "", "value": "50.20"}) == ["average"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": "12,71"}, "line 2: value: expected a plain number"),
        ({"value": "112.71"}, "value: 112.71 is no percent"),
        ({"unit": "percents"}, "did you mean 'percent'"),
        ({"metric": "avg@8"}, "k: expected 8 as in avg@8"),
        ({"metric": "pass@32"}, "pass@32 needs at least 32 samples"),
        ({"metric": "mean@16"}, "unknown metric 'mean@16'"),
        ({"n_problems": "30.0"}, "n_problems: expected a whole number"),
        ({"seeds": "0"}, "seeds: expected a whole number"),
        ({"source": "figures"}, "did you mean 'figure'"),
        ({"check": "odd"}, "unknown check 'odd'"),
        ({"paper": "other-2601.00001"}, "expected 'toy-2601.00001' as in the file's name"),
        ({"method": ""}, "method: expected a name"),
    ],
)
def test_bad_rows_name_line_and_field(tmp_path, change, words):
    with pytest.raises(BadInput, match=r"toy-2601\.00001\.csv") as error:
        load_reported(write(tmp_path, change))
    assert words in str(error.value)


def test_readme_holds_the_listing():
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [line for line in check_reported(FOLDER) if line not in text] == []


def test_bad_files(tmp_path):
    with pytest.raises(BadInput, match="found none"):
        load_reported(tmp_path / "nowhere")
    with pytest.raises(BadInput, match="did you mean 'value'"):
        load_reported(write(tmp_path, {}, header=[c if c != "value" else "valu" for c in COLUMNS]))
    with pytest.raises(BadInput, match="line 3: the same cell again"):
        load_reported(write(tmp_path, {}, {"value": "9.58"}))


def test_cli_refuses_what_is_not_declared(tmp_path, capsys):
    assert main([str(FOLDER)]) == 0
    assert "0 not declared" in capsys.readouterr().out
    assert main([str(write(tmp_path, {"value": "12.75"}))]) == 1
    assert "refused: toy-2601.00001.csv line 2" in capsys.readouterr().out
    assert main([str(write(tmp_path, {"value": "12.75", "check": "impossible"}))]) == 0
    assert main([str(write(tmp_path, {"value": "12.71", "check": "impossible"}))]) == 1
    assert main([str(tmp_path / "nowhere")]) == 2
