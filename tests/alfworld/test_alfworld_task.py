"""The alfworld benchmark without its engine: our own problems, the official folder's rules, done is not won."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from creditbench.benchmark import get_benchmark
from creditbench.errors import BadInput
from creditbench.items import Completion, Hint, Turn, digest_of, digest_text

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def alfworld():
    return get_benchmark("alfworld", ROOT)


@pytest.fixture(scope="module")
def rooms(alfworld):
    return alfworld.module.rooms()


def test_own_problems_are_those_of_the_card(alfworld):
    own = {split: facts for split, facts in alfworld.card.splits.items() if "options" not in facts}
    assert list(own) == ["train", "dev", "test"]
    for split, facts in own.items():
        items = alfworld.load(split, {})
        assert (len(items), digest_of([i.digest for i in items])) == (facts["n"], facts["digest"])
        assert len({i.id for i in items}) == len(items) and all(i.solution for i in items)
        assert len(set(Counter(i.meta["kind"] for i in items).values())) == 1, "kinds in equal parts"


def test_no_goal_of_test_is_a_goal_of_train(rooms):
    splits = {name: set(rooms.split_of(name)) for name in ("train", "dev", "test")}
    assert sum(map(len, splits.values())) == len(set.union(*splits.values())) == len(rooms.combinations())
    for name, found in splits.items():
        assert {kind for kind, *_ in found} == set(rooms.KINDS), name


def test_problems_are_fixed_by_their_seed_and_never_solved_at_the_start(rooms):
    for kind, target, place in rooms.combinations()[::7]:
        one = rooms.problem(kind, target, place, 3)
        assert one == rooms.problem(kind, target, place, 3) != rooms.problem(kind, target, place, 4)
        assert one.pddl.count("(") == one.pddl.count(")")
        wanted = 2 if kind == "pick_two_obj_and_place" else 1
        lines = [line.strip() for line in one.pddl.splitlines()]
        lying = [line.split() for line in lines if line.startswith(f"(inReceptacle {target}_bar_")]
        assert len(lying) == wanted and (not place or not any(place in words[2] for words in lying))
        assert target.lower() in one.goal and place.lower() in one.goal
        assert "(openable CounterTop" not in one.pddl


def test_more_items_than_published(alfworld, rooms):
    many = alfworld.load("test", {"n": 200, "commands": False})
    assert len({i.digest for i in many}) == 200 and many[-1].solution == ""
    assert [i.meta["pddl"] for i in many[:12]] == [i.meta["pddl"] for i in alfworld.load("test", {})]
    with pytest.raises(BadInput, match="'solution'"):
        alfworld.prompt(many[-1], alfworld.card.protocol, Hint("solution"))
    assert many[0].solution.split("\n")[0] in str(alfworld.prompt(many[0], alfworld.card.protocol, Hint("solution")))


def episode(finish="stop", valid=True, **info):
    return Completion("go to shelf 1", 4, finish, turns=(Turn("model", "go to shelf 1", 4, 0.0, valid),), info=info)


def test_done_without_won_scores_nothing(alfworld):
    done = [
        episode(won=True), episode(won=False), episode(), episode(won=1), episode("steps", won=False),
        episode("length", won=False), episode(valid=False, won=False), episode("error", won=True, error="lost"),
    ]  # fmt: skip
    items = alfworld.load("test", {"n": 8})
    graded = alfworld.grade(items, done, alfworld.card.protocol)
    assert [g.outcome for g in graded] == [
        *("correct", "wrong", "wrong", "wrong", "wrong", "truncated", "unparsed", "error")
    ]
    assert [g.reward for g in graded] == [1.0] + [0.0] * 7
    assert alfworld.card.protocol.max_turns == 50


@pytest.fixture
def official(tmp_path, monkeypatch, alfworld):
    """A folder laid out like the official one, with two games that count and four that do not."""
    folder = tmp_path / "alfworld" / "json_2.1.1" / "valid_seen"
    kinds = "pick_two_obj_and_place", "look_at_obj_in_light"
    games = {"a": (kinds[0], True), "b": (kinds[1], True), "c": (kinds[0], False), "d": ("other", True)}
    games |= {"movable-e": (kinds[0], True), "Sliced-f": (kinds[0], True)}
    for name, (kind, solvable) in games.items():
        place = folder / f"{name}-task" / "trial_1"
        place.mkdir(parents=True)
        (place / "traj_data.json").write_text(json.dumps({"task_type": kind}))
        (place / "game.tw-pddl").write_text(json.dumps({"solvable": solvable, "walkthrough": ["look"], "n": name}))
    monkeypatch.setenv("CREDITBENCH_DATA", str(tmp_path))
    return folder


def test_official_games(alfworld, official, monkeypatch):
    with pytest.raises(BadInput, match="2 games, the official split has 140"):
        alfworld.load("valid_seen", {"games": "official"})
    monkeypatch.setitem(alfworld.module.OFFICIAL, "valid_seen", 2)
    a, b = alfworld.load("valid_seen", {"games": "official"})
    assert (a.id, b.id) == ("valid_seen/a-task/trial_1", "valid_seen/b-task/trial_1")
    text = (official / "a-task" / "trial_1" / "game.tw-pddl").read_text()
    assert a.meta["sha256"] == digest_text(text) and a.meta["kind"] == "pick_two_obj_and_place" and a.solution == "look"


def test_bad_input(alfworld, monkeypatch, tmp_path):
    monkeypatch.delenv("CREDITBENCH_DATA", raising=False)
    with pytest.raises(BadInput, match=r"official games are not in \$CREDITBENCH_DATA.*alfworld-download"):
        alfworld.load("valid_unseen", {"games": "official"})
    with pytest.raises(BadInput, match=r"unknown split 'valid_seen'.*own"):
        alfworld.load("valid_seen", {})
    with pytest.raises(BadInput, match="did you mean 'official'"):
        alfworld.load("train", {"games": "oficial"})
    item = alfworld.load("dev", {"n": 1})[0]
    assert replace(item, solution="").digest != item.digest
