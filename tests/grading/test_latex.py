"""Graders `latex`, `lenient`, `math_verify` and the compatibility graders against their truth tables."""

from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from creditbench.errors import BadInput
from creditbench.grading import Gold, get_grader, grader_names
from creditbench.grading.compat import _lm_eval_extract, hendrycks, lm_eval_aime, minerva
from creditbench.items import Completion

HERE = Path(__file__).parent
LATEX = yaml.safe_load((HERE / "latex.yaml").read_text(encoding="utf-8"))
COMPAT = yaml.safe_load((HERE / "compat.yaml").read_text(encoding="utf-8"))
ROWS = [(grader, row) for grader, rows in COMPAT.items() for row in rows]


class Thinking:
    thinking = True


def name(row):
    return f"{row['text'][:40]!r}|{row['gold']}"


@pytest.mark.parametrize("row", LATEX, ids=name)
def test_latex_truth_table(row):
    gold = row["gold"]
    if isinstance(gold, list):
        gold = Gold(tuple(gold), row.get("tolerance"))
    completion = Completion(row["text"], 1, row.get("finish", "stop"))
    graded = get_grader("latex").grade_many([gold], [completion], Thinking if row.get("thinking") else None)[0]
    assert graded.outcome == row["outcome"], graded
    if "verdict" in row:
        assert graded.verdict == row["verdict"]


@pytest.mark.parametrize(("grader", "row"), ROWS, ids=lambda v: v if isinstance(v, str) else name(v))
def test_compatibility_truth_table(grader, row):
    text = row["text"] + ("\n" + "y" * row["tail"] if "tail" in row else "")
    graded = get_grader(grader).grade_many([row["gold"]], [Completion(text, 1, "stop")])[0]
    assert graded.correct is row["right"], graded
    if grader == "verl_math_dapo":
        assert graded.detail["score"] == (1.0 if row["right"] else -1.0)


def test_truth_tables_are_large_enough():
    integer = yaml.safe_load((HERE / "integer.yaml").read_text(encoding="utf-8"))
    assert len(integer) >= 120 and len(LATEX) >= 120 and len(ROWS) >= 60


def test_the_installed_library_is_the_one_the_version_stands_for():
    assert version("math-verify") == "0.9.0"


def test_unknown_grader_names_the_nearest():
    with pytest.raises(BadInput, match="did you mean 'integer'"):
        get_grader("intger")
    assert {get_grader(id).id for id in grader_names()} == set(grader_names())


TEXT = st.text(alphabet=st.sampled_from(list("\\boxedfranswAtl :${}()=/.,0123459-%^ _\n")), max_size=60)
PIECES = st.lists(
    st.sampled_from(
        [
            "\\boxed{",
            "\\fbox{",
            "\\boxed ",
            "}",
            "{",
            "$",
            "33",
            "\\frac",
            "\\sqrt",
            "1",
            "/",
            "=",
            "n",
            " ",
            "\\text{ ",
        ]
    ),
    max_size=14,
).map("".join)


@settings(max_examples=300, deadline=None)
@given(st.one_of(TEXT, PIECES), st.sampled_from(["33", "1", "\\frac{1}{2}", "n=1", "025"]))
def test_lm_eval_rule_equals_the_installed_task(text, gold):
    from lm_eval.tasks.aime.utils import process_results

    ours = lm_eval_aime([gold], [Completion(text, 1, "stop")])[0]
    assert ours.reward == process_results({"answer": gold}, [text])["exact_match"]


def test_normal_forms_by_hand():
    assert hendrycks("\\dfrac12") == "\\frac{1}{2}"
    assert hendrycks("0.5") == "\\frac{1}{2}"
    assert hendrycks("3/4") == "\\frac{3}{4}"
    assert hendrycks("10 \\text{ cm}") == "10"
    assert minerva("$x = 1{,}000$ dollars") == "1000"
    assert minerva("\\frac12") == "\\frac{1}{2}"
    assert minerva("the $5$ apples") == "5"
    assert _lm_eval_extract("a $b$ c") == "b"
