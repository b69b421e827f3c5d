"""The training set: what is left out, copies, decontamination against both benchmarks, TACO rows, training rewards."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from code_kit import ROOT, lcb_row, said, write_rows

from creditbench.benchmark import get_benchmark
from creditbench.data import source
from creditbench.data.code import grade as grading
from creditbench.data.code.rows import read_problem
from creditbench.errors import BadInput
from creditbench.items import Hint
from creditbench.judge import Judge, Test

TRAIN = get_benchmark("code_training", ROOT)
OWN = [json.loads(line) for line in (ROOT / "benchmarks/codeforces/own/own.jsonl").read_text().splitlines()]
FILES = {"files": ["code/contests.jsonl", "code/taco.jsonl"]}


def contest(name: str, description: str, **more: Any) -> dict[str, Any]:
    """A row in the schema of CodeContests whose answer is twice the input."""
    return {
        "name": name, "description": description, "source": 2, "difficulty": 7, "cf_rating": 0, "time_limit": None,
        "public_tests": {"input": ["1\n"], "output": ["2\n"]}, "private_tests": {"input": ["4\n"], "output": ["8\n"]},
        "generated_tests": {"input": [], "output": []}, "input_file": "", "output_file": "", "memory_limit_bytes": 0,
        "solutions": {"language": [3, 3], "solution": ["n = int(input())\nprint(n + n)", "print(2 * int(input()))"]},
        **more,
    }  # fmt: skip


def taco(name: str, question: str, **inner: Any) -> dict[str, Any]:
    tests = {"inputs": ["1\n", ["4"]], "outputs": ["2\n", ["8"]], **inner}
    return {"question": question, "input_output": json.dumps(tests), "solutions": '["print(1)"]', "url": f"u/{name}",
            "difficulty": "EASY", "time_limit": "2.0 seconds", "memory_limit": "256.0 megabytes"}  # fmt: skip


def words(n: int, seed: int) -> str:
    rng = random.Random(seed)
    return " ".join(f"w{rng.randint(0, 10**6)}" for _ in range(n))


@pytest.fixture
def rows(root: Path) -> Path:
    folder = root / "data" / "code"
    write_rows(folder / "contests.jsonl", [
        contest("good", f"Double it. {words(20, 1)}"),
        contest("copy", f"Double  it. {words(20, 1)}"),
        contest("several", "If there are multiple answers, print any."),
        contest("talk", "This is an interactive problem. Guess."),
        contest("cut", "Cut.", private_tests={"input": ["4" * 300 + "..."], "output": ["8\n"]}),
        contest("bare", "Bare.", public_tests={}, private_tests={}),
        contest("broken", "Broken.", private_tests={"input": [4], "output": ["8"]}),
        contest("leak", f"{words(5, 2)} {words(14, 3)} {words(5, 4)}"),
        contest("unjudged leak", f"{words(14, 5)} and more"),
    ])  # fmt: skip
    write_rows(folder / "taco.jsonl", [
        taco("a", "Double it, please."), taco("f", "Complete f.", fn_name="f"), taco("b", f"Double it. {words(20, 1)}")
    ])  # fmt: skip
    return folder


def test_what_is_left_out_is_listed(rows: Path):
    items = TRAIN.load("train", FILES)
    assert [item.id for item in items] == ["good", "leak", "unjudged leak", "u/a"]
    listed = source.recorded("code_training")
    assert listed["not_judged_train"] == {
        "function tests without argument names or types": ["u/f"], "interactive": ["talk"], "no tests": ["bare"],
        "official tests are incomplete": ["cut"], "several answers are right, and there is no checker": ["several"],
    }  # fmt: skip
    assert list(listed["left_out"].values()) == [{"rows without readable tests": 1}]
    assert items[0].solution == "print(2 * int(input()))" and items[0].meta["role"] == "train"


def test_taco_rows():
    problem = read_problem(taco("a", "Double."), "row 1")
    assert problem.tests == (Test("1\n", "2\n"), Test("4", "8")) and (problem.time_s, problem.memory_mb) == (2.0, 256)
    assert read_problem(taco("a", "D.", inputs=[], outputs=[]), "row 1").why_not == "no tests"


def test_decontamination_drops_what_the_benchmarks_hold(rows: Path, root: Path, monkeypatch: pytest.MonkeyPatch):
    """LiveCodeBench shares fourteen words with `leak`; a Codeforces problem that is not judged with the other leak."""
    write_rows(rows / "codeforces" / "test.jsonl", [
        OWN[0], {**OWN[0], "id": "7/A", "description": f"{words(14, 5)} guess", "interaction_format": "talk"}
    ])  # fmt: skip
    row = {**lcb_row("q", "2025-01-01", [("1\n", "2\n")] * 2), "question_content": f"{words(14, 3)} and its end"}
    held = get_benchmark("livecodebench", ROOT)
    write_rows(rows / "lcb.jsonl", [row])
    own = held.load("test", {"files": ["code/lcb.jsonl"]})
    found = {"livecodebench": own, "codeforces": None}

    def stand_in(name: str, *more: Any) -> Any:
        real = get_benchmark(name, ROOT)
        if found[name] is None:
            return real
        return type(real)(**{**real.__dict__, "load": lambda split, options: found[name]})

    monkeypatch.setattr("creditbench.data.load.get_benchmark", stand_in)
    items = TRAIN.load("train", {**FILES, "against": ["livecodebench", "codeforces"]})
    assert [item.id for item in items] == ["good", "u/a"]
    (path,) = (root / "results/data/decontamination").glob("code_training.*.json")
    report = json.loads(path.read_text())
    assert {(d["id"], d["benchmark"], d["item"]) for d in report["dropped"]} == {
        ("leak", "livecodebench", "q"), ("unjudged leak", "codeforces", "7/A"),
    }  # fmt: skip


def test_rewards_come_from_one_fork_per_program(rows: Path, boxed: None, monkeypatch: pytest.MonkeyPatch):
    asked = []
    judge = Judge.judge

    def spy(self: Judge, submissions: Any, training: bool = False) -> Any:
        asked.append(training)
        return judge(self, submissions, training)

    monkeypatch.setattr(grading.Judge, "judge", spy)
    items = TRAIN.load("train", {**FILES, "n": 3, "seed": 1})
    good, bad = said("print(2 * int(input()))"), said("print(2)")
    graded = TRAIN.grade([items[0]] * 2, [good, bad], TRAIN.card.protocol)
    assert [g.reward for g in graded] == [1.0, 0.0] and asked == [True]
    assert graded[1].detail["first_failure"] == 1 and "lenient" not in graded[0].detail


def test_hints(rows: Path):
    item = TRAIN.load("train", FILES)[0]
    shown = TRAIN.prompt(item, TRAIN.card.protocol, Hint("solution"))[-1]["content"]
    assert "print(2 * int(input()))" in shown and shown.startswith(item.problem)
    again = TRAIN.prompt(item, TRAIN.card.protocol, Hint("rollout", said("print(5)")))[-1]["content"]
    assert "print(5)" in again
    tests = TRAIN.prompt(item, TRAIN.card.protocol, Hint("answer"))[-1]["content"]
    assert "Input:\n1\nOutput:\n2\n\nInput:\n4\nOutput:\n8" in tests
    with pytest.raises(BadInput, match="has no content to show"):
        TRAIN.prompt(type(item)("x", "p", meta=item.meta), TRAIN.card.protocol, Hint("solution"))
    assert "[Student response]" in TRAIN.prompt(item, TRAIN.card.protocol, Hint("header"))


def test_train_and_dev_share_no_problem(root: Path):
    write_rows(root / "data/code/contests.jsonl", [contest(f"p{i}", f"Problem {i}") for i in range(200)])
    train, dev = ({i.id for i in TRAIN.load(split, {"files": ["code/contests.jsonl"]})} for split in ("train", "dev"))
    assert not train & dev and len(train | dev) == 200 and 0 < len(dev) < 20  # 200 / 32 is about 6


def test_twenty_real_problems(local: Path):
    items = TRAIN.load("train", {"files": ["code/code_contests_20.jsonl"]})
    assert 10 < len(items) < 20 and all(item.meta["role"] == "train" for item in items)
