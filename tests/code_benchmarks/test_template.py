"""The benchmark template is hidden from the registry, and a copy of it is a whole benchmark."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from code_kit import ROOT

from creditbench.benchmark import benchmark_names, get_benchmark
from creditbench.errors import BadInput
from creditbench.evaluator.plan import grader_of
from creditbench.grading import get_grader
from creditbench.items import OUTCOMES, Completion, Hint


def test_a_copy_is_a_benchmark(tmp_path: Path):
    folder = tmp_path / "mine" / "benchmarks" / "mine"
    shutil.copytree(ROOT / "benchmarks" / "_template", folder, ignore=shutil.ignore_patterns("__pycache__"))
    found = get_benchmark("mine", tmp_path / "mine")
    assert benchmark_names(tmp_path / "mine") == ["mine"] and "_template" not in benchmark_names(ROOT)
    train, test = found.load("train", {}), found.load("test", {})
    assert [len(train), len(test)] == [found.card.splits[split]["n"] for split in ("train", "test")]
    assert {i.problem for i in train}.isdisjoint(i.problem for i in test) and len({i.id for i in train + test}) == 96
    assert [i.digest for i in found.load("test", {})] == [i.digest for i in test]
    assert found.load("test", {"n": 5}) == test[:5]
    for item in test:
        left, right = (int(word) for word in item.problem.removeprefix("What is ").removesuffix("?").split(" + "))
        assert left + right == int(item.answer)
    said = [Completion(f"\\boxed{{{test[0].answer}}}", 3, "stop"), Completion("\\boxed{-1}", 3, "stop"),
            Completion("well", 1, "stop"), Completion("well", 1, "length")]  # fmt: skip
    graded = found.grade([test[0]] * 4, said, found.card.protocol)
    assert [g.outcome for g in graded] == ["correct", "wrong", "unparsed", "truncated"]
    assert {g.outcome for g in graded} <= set(OUTCOMES)
    assert grader_of(found, found.card.protocol).version == get_grader(found.card.grader.id).version


def test_its_prompts_and_hints(tmp_path: Path):
    folder = tmp_path / "mine" / "benchmarks" / "mine"
    shutil.copytree(ROOT / "benchmarks" / "_template", folder, ignore=shutil.ignore_patterns("__pycache__"))
    found = get_benchmark("mine", tmp_path / "mine")
    item, other = found.load("test", {"n": 2})
    assert found.prompt(item, found.card.protocol).startswith(item.problem)
    assert found.prompt(item, found.card.protocol, Hint("problem")) == found.prompt(item, found.card.protocol)
    assert f"Known: {other.solution}" in found.prompt(item, found.card.protocol, Hint("solution", item=other))
    assert "Known: so 7" in found.prompt(item, found.card.protocol, Hint("rollout", Completion("so 7", 3, "stop")))
    with pytest.raises(BadInput, match="no content to show"):
        found.prompt(item, found.card.protocol, Hint("rollout"))
    with pytest.raises(BadInput, match="did you mean 'test'"):
        found.load("tset", {})
    with pytest.raises(BadInput, match="expected 1 to 32"):
        found.load("test", {"n": 33})
