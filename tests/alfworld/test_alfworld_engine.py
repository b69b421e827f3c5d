"""ALFWorld's real engine on our own problems (marker agents): the stored plans win, and only they."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from creditbench.benchmark import get_benchmark, repo_root
from creditbench.envs import Pool, Served, open_pool
from creditbench.items import Completion, Turn, digest_text
from tests.envs.policies import play

pytestmark = pytest.mark.agents


@pytest.fixture(scope="module")
def alfworld():
    return get_benchmark("alfworld", repo_root())


@pytest.fixture(scope="module")
def one_of_each(alfworld):
    """A test item of every kind."""
    items = alfworld.load("test", {"n": 6})
    assert len({i.meta["kind"] for i in items}) == 6
    return items


def test_the_planner_solves_our_problems_with_the_stored_plans(alfworld, one_of_each):
    for item in one_of_each[:2]:
        assert open_pool("alfworld").call("solve", 300.0, meta=dict(item.meta)) == item.solution.split("\n"), item.id


def test_the_plan_wins_and_nothing_before_its_end_does(alfworld, one_of_each):
    for item in one_of_each:
        first, steps = play(alfworld.environment(), item, item.solution.split("\n"))
        assert f"Your task is to: {item.meta['goal']}" in first and "Welcome" not in first
        assert [step.info["won"] for step in steps] == [False] * (len(steps) - 1) + [True], item.id
        assert steps[-1].done and steps[-1].reward == 1.0 and all(step.valid for step in steps)


def test_done_without_won(alfworld, one_of_each):
    """An episode that ends at the step limit is done for the caller, and scores nothing."""
    item = one_of_each[0]
    env = alfworld.environment()
    env.reset(item, 0)
    steps = [env.step("look") for _ in range(3)]
    assert not any(step.info["won"] or step.done for step in steps)
    turns = tuple(Turn("model", "look", 2, step.reward, step.valid) for step in steps)
    done = Completion("look", 6, "stop", turns=turns, reward=1.0, info=steps[-1].info)
    (graded,) = alfworld.grade([item], [done], alfworld.card.protocol)
    assert graded.outcome == "wrong" and graded.reward == 0.0


def test_invalid_commands_and_old_verbs_do_nothing(alfworld, one_of_each):
    item = one_of_each[0]
    env = alfworld.environment()
    env.reset(item, 0)
    before = env.admissible
    for action in ("put apple 1 in/on fridge 1", "", "fly"):
        step = env.step(action)
        assert not step.valid and step.observation.startswith("Nothing happens") and env.admissible == before


def test_an_official_file_plays_and_is_checked(alfworld, one_of_each, tmp_path, monkeypatch):
    """A file in the official form, made here from our own problem: the engine's own domain and grammar inside."""
    own = one_of_each[0]
    spec = open_pool("alfworld").spec
    package = next(Path(spec.python).parents[1].glob("lib/python3*/site-packages/alfworld/data"))
    grammar = (package / "alfred.twl2").read_text().replace("UNKNOWN GOAL", own.meta["goal"])
    game = {"pddl_domain": (package / "alfred.pddl").read_text(), "grammar": grammar, "pddl_problem": own.meta["pddl"]}
    text = json.dumps({**game, "solvable": True, "walkthrough": own.solution.split("\n")})
    (tmp_path / "game.tw-pddl").write_text(text)
    meta = {"games": "official", "kind": "x", "path": "game.tw-pddl", "sha256": digest_text(text), "commands": True}
    pool = Pool(dataclasses.replace(spec, environ={**spec.environ, "CREDITBENCH_ALFWORLD": str(tmp_path)}))
    item = dataclasses.replace(own, meta=meta)
    _, steps = play(Served(pool), item, own.solution.split("\n"))
    assert steps[-1].info["won"]
    (tmp_path / "game.tw-pddl").write_text(text + " ")
    with pytest.raises(RuntimeError, match="not the file that the item was made from"):
        Served(pool).reset(item, 0)
    pool.close()
