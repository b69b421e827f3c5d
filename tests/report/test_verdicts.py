"""Papers' numbers beside ours: which rows are matched, what makes them incomparable, what the words say."""

import numpy as np
import pytest

from creditbench.errors import BadInput
from creditbench.report.markdown import leaderboard_markdown
from creditbench.report.tables import build_tables
from creditbench.report.tables_verdicts import ReportedPlan, reported_plan
from creditbench.reported import COLUMNS
from creditbench.suite import Suite


@pytest.fixture
def papers(tmp_path):
    """papers(rows) writes results/reported/demo-1.csv; a row is (table, metric, method, variant, value, k, cap)."""

    def write(*rows, model="Tiny-1B", n=50):
        folder = tmp_path / "reported"
        folder.mkdir(exist_ok=True)
        lines = [",".join(COLUMNS)]
        for tab, metric, method, variant, value, k, cap in rows:
            lines.append(
                f"demo-1,{tab},{model},aime24,{metric},{method},{variant},last,{value},percent,{k},{n},"
                f"not stated,{cap},table,paper,,"
            )
        (folder / "demo-1.csv").write_text("\n".join(lines) + "\n")
        return folder

    return write


@pytest.fixture
def filled(put_eval, suite):
    """Five seeds each: grpo scores about 50, cast about 60, with a seed spread of about half a point."""
    for arm, counts in {"grpo": (200, 202, 198, 201, 199), "cast": (240, 241, 239, 242, 238)}.items():
        for seed, count in enumerate(counts):
            y = np.zeros((50, 8), int)
            y.ravel()[:count] = 1
            put_eval(arm, seed, y)
    return suite


def verdicts(folder, reported, margin=0.05, models=None, names=("demo-1",)):
    plan = ReportedPlan(tuple(names), reported, margin, models or {"math": "Tiny-1B"})
    return build_tables(folder, reported=plan).rows["verdicts"]


def test_reproduced_lower_and_the_gain(filled, papers):
    reported = papers(
        ("table1", "avg@8", "grpo", "", "50.0", 8, 40), ("table1", "avg@8", "cast", "", "75.00", 8, 40),
        ("table2", "avg@8", "cast", "", "60.0", 8, 40), ("table1", "avg@8", "opd", "", "60.0", 8, 40),
    )  # fmt: skip
    rows = {(r["table"], r["method"]): r for r in verdicts(filled, reported)}
    assert set(rows) == {("table1", "grpo"), ("table1", "cast"), ("table2", "cast")}
    same, far, alone = rows["table1", "grpo"], rows["table1", "cast"], rows["table2", "cast"]
    assert (same["verdict"], same["reported"], same["ours"]) == ("reproduced", 0.5, pytest.approx(0.5))
    assert far["verdict"] == "lower" and far["gain_verdict"] == "lower"  # our gain 10 points, the paper's 25
    assert alone["verdict"] == "reproduced" and alone["gain_verdict"] is None  # that table has no baseline
    assert same["margin"] == 0.05 and same["track"] == "math" and "one reported run" in same["why"]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"k": 16, "metric": "avg@16"}, "k (16, ours 8)"),
        ({"cap": 3072}, "token cap (3072, ours 40)"),
        ({"n": 30}, "problems (30, ours 50)"),
        ({"model": "Big-8B"}, "base model (Big-8B, ours Tiny-1B)"),
        ({"metric": "pass@16", "k": 16}, "k (16, ours 8)"),
    ],
)
def test_what_makes_a_number_incomparable(filled, papers, change, text):
    row = ("table1", change.get("metric", "avg@8"), "grpo", "", "50", change.get("k", 8), change.get("cap", 40))
    reported = papers(row, model=change.get("model", "Tiny-1B"), n=change.get("n", 50))
    found = verdicts(filled, reported)
    assert [r["verdict"] for r in found] == ["not comparable"] and text in found[0]["why"]


def test_unstated_fields_do_not_separate_and_pass_at_a_smaller_k_is_ours_too(filled, papers):
    reported = papers(("table1", "avg@8", "grpo", "", "50.0", 8, ""), ("table1", "pass@2", "grpo", "", "50.0", 8, ""))
    assert [r["verdict"] for r in verdicts(filled, reported)] == ["reproduced", "reproduced"]


def test_ablation_rows_need_an_arm_of_that_variant(filled, papers, put_eval):
    reported = papers(
        ("t", "avg@8", "cast", "no_reversal", "50.0", 8, 40), ("t", "avg@8", "cast", "other", "9.00", 8, 40)
    )
    assert verdicts(filled, reported) == []
    for seed in range(3):
        put_eval("cast@no_reversal", seed, np.ones((50, 8), int))
    assert [r["method"] for r in verdicts(filled, reported)] == ["cast@no_reversal"]


def test_rows_that_the_suite_names_find_their_arm(filled, papers):
    text = "groups: 2 to 7"
    reported = papers(
        ("t", "avg@8", "grpo", "", "50.0", 8, 40), ("t", "avg@8", "opd", text, "60.0", 8, 40),
        ("t", "avg@8", "cast", "absent", "60.0", 8, 40),
    )  # fmt: skip

    def plan(rows):
        return ReportedPlan(("demo-1",), reported, 0.05, {"math": "Tiny-1B"}, rows)

    rows = build_tables(filled, reported=plan({f"opd / {text}": "cast", "cast / absent": "rloo"})).rows["verdicts"]
    # The named arm answers with the paper's baseline of that table; an arm without results answers nothing.
    assert [(r["method"], r["reported"], r["gain_verdict"]) for r in rows] == [
        ("grpo", 0.5, None), ("cast", 0.6, "reproduced")
    ]  # fmt: skip
    with pytest.raises(BadInput, match=r"verdicts\.rows: unknown reported row 'opd / groups: 2 to 8'.*2 to 7"):
        build_tables(filled, reported=plan({"opd / groups: 2 to 8": "cast"}))


def test_one_table_of_a_paper_and_unknown_names(filled, papers):
    reported = papers(("table1", "avg@8", "grpo", "", "50.0", 8, 40), ("table2", "avg@8", "grpo", "", "50.0", 8, 40))
    assert [r["table"] for r in verdicts(filled, reported, names=["demo-1:table2"])] == ["table2"]
    with pytest.raises(BadInput, match=r"verdicts\.reported: unknown reported table 'demo-1:tabel2'.*'demo-1:table2'"):
        verdicts(filled, reported, names=["demo-1:tabel2"])


def test_below_three_seeds_nothing_is_decided(put_eval, suite, papers):
    put_eval("grpo", 0, np.ones((50, 8), int))
    found = verdicts(suite, papers(("t", "avg@8", "grpo", "", "50.0", 8, 40)))
    assert found[0]["verdict"] == "descriptive only"


def test_page_and_plan(filled, papers, tmp_path):
    reported = papers(("table1", "avg@8", "grpo", "", "50.0", 8, 40))
    suite = Suite.model_validate(
        {
            "name": "demo",
            "class": "tiny",
            "description": "x",
            "seeds": [0],
            "arms": ["base"],
            "tracks": {
                "math": {
                    "base": {"hub": "org/Tiny-1B", "revision": "unresolved"},
                    "train": {"benchmark": "tiny_math", "split": "train"},
                    "eval": [{"benchmark": "tiny_math", "split": "test"}],
                }
            },
            "verdicts": {"margin": 0.04, "reported": ["demo-1"]},
        }
    )
    plan = reported_plan(suite, reported)
    assert plan == ReportedPlan(("demo-1",), reported, 0.04, {"math": "Tiny-1B"})
    page = leaderboard_markdown(build_tables(filled, reported=plan), tmp_path)
    assert "| demo-1 | table1 | aime24 | avg@8 | `grpo` | reproduced | - | 50.0 | 50.0 |" in page


def test_arms_the_suite_leaves_out_are_named(filled, tmp_path):
    page = leaderboard_markdown(build_tables(filled, not_run={"math": {"oar_p": "too dear"}}), tmp_path)
    assert "Not run: `oar_p`: too dear." in page
