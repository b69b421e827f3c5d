"""Codeforces: our own problems with known verdicts; which problems count, limits, checkers, both public schemas."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from code_kit import ROOT, said, write_rows

from creditbench.benchmark import get_benchmark, load_module
from creditbench.data import source
from creditbench.data.code import store
from creditbench.data.code.rows import CodeProblem, read_problem
from creditbench.errors import BadInput, CheckFailed
from creditbench.judge import Test

CF = get_benchmark("codeforces", ROOT)
OWN = [json.loads(line) for line in (CF.folder / "own" / "own.jsonl").read_text().splitlines()]
JUDGED = [row for row in OWN if not row["id"].startswith("903/")]
FILES = {"files": ["code/rows.jsonl"]}


# -- our own problems ----------------------------------------------------------------------------------------------


def test_the_shipped_file_is_what_the_generators_make():
    build = load_module(CF.folder / "own" / "build.py", "creditbench_tests_own_build")
    assert build.text() == (CF.folder / "own" / "own.jsonl").read_text(encoding="utf-8")


def test_fourteen_problems_of_many_kinds():
    assert len(JUDGED) == 14 and sum(bool(row["generated_checker"]) for row in JUDGED) == 6
    assert all(len(row["official_tests"]) >= 5 and row["solutions"] for row in JUDGED)
    known = Counter(wrong["verdict"] for row in JUDGED for wrong in row["incorrect_solutions"])
    assert set(known) == {"WA", "TLE", "RE", "MLE", "OLE", "CE", "NO_CODE"} and known.total() >= 28


@pytest.mark.parametrize("row", JUDGED, ids=[row["id"] for row in JUDGED])
def test_right_and_wrong_programs_get_their_verdicts(row: dict[str, Any], boxed: None):
    item = next(item for item in CF.load("own", {}) if item.id == row["id"])
    wrong = row["incorrect_solutions"]
    programs = [*row["solutions"], *(entry["code"] for entry in wrong)]
    expected = ["AC"] * len(row["solutions"]) + [entry["verdict"] for entry in wrong]
    strict = type(item)(item.id, item.problem, meta={**item.meta, "time_limit_s": 0.5})  # less to wait for
    graded = CF.grade([strict] * len(programs), [said(code) for code in programs], CF.card.protocol)
    assert [g.verdict for g in graded] == expected
    outcomes = {"AC": "correct", "NO_CODE": "unparsed"}
    assert [g.outcome for g in graded] == [outcomes.get(verdict, "wrong") for verdict in expected]


def test_the_expected_outputs_alone_would_fail_right_programs(boxed: None):
    """Without its checker a problem with several answers rejects a right program: the checker is what decides."""
    row = next(row for row in JUDGED if row["id"] == "902/A")
    item = next(item for item in CF.load("own", {}) if item.id == row["id"])
    bare = type(item)(item.id, item.problem, meta={k: v for k, v in item.meta.items() if k != "checker"})
    graded = CF.grade([bare, bare], [said(code) for code in row["solutions"]], CF.card.protocol)
    assert [g.verdict for g in graded] == ["AC", "WA"]


def test_a_broken_checker_is_our_error(boxed: None):
    row = next(row for row in JUDGED if row["id"] == "902/A")
    item = next(item for item in CF.load("own", {}) if item.id == row["id"])
    broken = type(item)(item.id, item.problem, meta={**item.meta, "checker": "raise SystemExit(3)\n"})
    graded = CF.grade([broken], [said(row["solutions"][0])], CF.card.protocol)[0]
    assert (graded.outcome, graded.verdict) == ("error", "INFRA") and "checker" in graded.detail["why"]


def test_the_official_rules_of_another_benchmark_are_refused_with_checkers():
    rules = CF.card.protocol.model_copy(update={"grader": "judge-lcb_compat"})
    item = next(item for item in CF.load("own", {}) if item.meta.get("checker"))
    with pytest.raises(BadInput, match="knows no checkers"):
        CF.grade([item], [said("print(1)")], rules)


# -- which problems count ------------------------------------------------------------------------------------------


@pytest.fixture
def own_rows(root: Path) -> Path:
    return write_rows(root / "data" / "code" / "rows.jsonl", OWN)


def test_what_is_left_out_and_why(own_rows: Path):
    headline, judged, every = ({i.id for i in CF.load(split, FILES)} for split in ("test", "judged", "every"))
    assert headline == {row["id"] for row in JUDGED} == {i.id for i in CF.load("own", {})}
    assert judged - headline == {"903/C", "903/D", "903/E"} and every - judged == {"903/A", "903/B"}
    listed = source.recorded("codeforces")
    assert listed["not_judged_test"] == {
        "interactive": ["903/A"], "reads and writes files": ["903/B"],
        "official tests are incomplete": ["903/C", "903/D"],
        "several answers are right, and there is no checker": ["903/E"],
    }  # fmt: skip
    assert set(listed["not_judged_judged"]) == {"interactive", "reads and writes files"}
    flagged = {item.id: item.meta.get("unfit") for item in CF.load("judged", FILES)}
    assert flagged["903/C"] == flagged["903/D"] == "official tests are incomplete" and flagged["900/A"] is None


def test_limits_are_the_problems_own_times_the_declared_multiplier():
    item = CF.load("own", {})[0]
    assert item.meta["time_limit_s"] == 0.5 * 3 and item.meta["memory_mb"] == 256 and item.meta["compare"] == "tokens"
    assert CF.load("own", {"python_multiplier": 1})[0].meta["time_limit_s"] == 0.5
    assert CF.load("own", {"python_multiplier": 1})[0].digest != item.digest
    with pytest.raises(BadInput, match="python_multiplier: expected more than 0"):
        CF.load("own", {"python_multiplier": 0})


def test_a_changed_own_file_is_refused(tmp_path: Path):
    from creditbench.data.code.files import _check_pin

    changed = tmp_path / "own.jsonl"
    changed.write_text((CF.folder / "own" / "own.jsonl").read_text().replace("YES", "JA"))
    with pytest.raises(CheckFailed, match="SHA-256"):
        _check_pin("codeforces", changed, CF.card.splits["own"])


# -- schemas -------------------------------------------------------------------------------------------------------


def read(row: dict[str, Any]) -> CodeProblem:
    return read_problem(row, "row 1")


def test_open_r1_row():
    problem = read({**OWN[0], "note": "Mind n = 2.", "contest_start": 1700000000, "memory_limit": 512.0})
    assert (problem.time_s, problem.memory_mb, problem.rating, problem.date) == (0.5, 512, 800, "2023-11-14")
    for part in ("Can n stones", "Input\nOne integer n", "Output\nYES or NO", "Example input\n8", "Note\nMind n = 2."):
        assert part in problem.statement
    assert read({**OWN[0], "executable": False}).why_not == "marked as not executable"
    assert read({**OWN[0], "official_tests": []}).why_not == "no tests"


CONTESTS = {
    "name": "1_A. Sums", "description": "Add. If there are multiple answers, print any.", "source": 2, "difficulty": 7,
    "public_tests": {"input": ["1 2\r\n"], "output": ["3\n"]}, "private_tests": {"input": ["4 5\n"], "output": ["9\n"]},
    "generated_tests": {"input": ["0 0\n"], "output": ["0\n"]}, "cf_contest_id": 1, "cf_index": "A", "cf_rating": 900,
    "solutions": {"language": [2, 3, 1], "solution": ["int main(){}", "print(3)", "print 3"]},
    "incorrect_solutions": {"language": [3], "solution": ["print(4)"]}, "input_file": "", "output_file": "",
    "time_limit": {"seconds": 1, "nanos": 500000000}, "memory_limit_bytes": 268435456,
    "is_description_translated": False, "untranslated_description": "",
}  # fmt: skip


def test_code_contests_row():
    problem = read(CONTESTS)
    assert problem.id == "1/A" and problem.facts["platform"] == "codeforces"
    assert problem.n_public == 1 and problem.rating == 900 and problem.several_answers
    assert problem.tests == (Test("1 2\n", "3\n"), Test("4 5\n", "9\n"), Test("0 0\n", "0\n"))
    assert (problem.time_s, problem.memory_mb, problem.solutions) == (1.5, 256, ("print(3)",))
    assert read({**CONTESTS, "input_file": "input.txt"}).why_not == "reads and writes files"
    assert read({**CONTESTS, "time_limit": None, "cf_rating": 0}).time_s is None
    cut = read({**CONTESTS, "private_tests": {"input": ["4 5\n"], "output": ["9" * 250 + "...\n"]}})
    assert not cut.complete and len(cut.tests) == 2
    drawn = read({**CONTESTS, "private_tests": {"input": ["2 3\n#..\n...\n"], "output": ["..." * 90]}})
    assert drawn.complete and len(drawn.tests) == 3


@pytest.mark.parametrize("row", [
    {"name": "x"}, {**CONTESTS, "public_tests": {"input": ["1"], "output": []}},
    {**CONTESTS, "private_tests": {"input": [1], "output": ["9"]}}, {**OWN[0], "official_tests": [{"input": "1"}]},
    {**OWN[0], "contest_start": "soon"},
])  # fmt: skip
def test_malformed_rows_name_themselves(row: dict[str, Any]):
    with pytest.raises(BadInput, match=r"^row 1: "):
        read(row)


@pytest.mark.parametrize(("text", "several"), [
    ("If there are multiple answers, print any of them.", True), ("You may output any valid permutation.", True),
    ("If there exist several solutions, you can print any.", True), ("Find any such pair.", True),
    ("Print the number of ways.", False), ("There are no two equal numbers in any row.", False),
    ("For any vertex the answer is unique.", False),
])  # fmt: skip
def test_statements_that_accept_several_answers(text: str, several: bool):
    assert read({**CONTESTS, "description": text}).several_answers is several


# -- real rows -----------------------------------------------------------------------------------------------------


def test_twenty_contest_problems_load_and_their_tests_run(local: Path, boxed: None):
    options = {"files": ["code/code_contests_20.jsonl"]}
    items = CF.load("judged", options)
    assert len(items) == 20 and sum(item.meta["n_tests"] for item in items) == 2233
    assert 0 < len(CF.load("test", options)) < 20
    pairs = [(item, store.get_tests(item.meta["tests"])[0]) for item in items]
    first = [said(f"import sys\nsys.stdout.write({test.output!r})") for _, test in pairs]
    graded = CF.grade(items, first, CF.card.protocol)
    assert all(g.outcome == "wrong" and g.detail["tests_passed"] >= 1 for g in graded), [g.verdict for g in graded]
