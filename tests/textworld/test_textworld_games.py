"""TextWorld itself (marker agents): games are remade to their digests, walkthroughs win, the evaluator plays."""

from __future__ import annotations

import dataclasses
import os

import pytest

from creditbench import records
from creditbench.benchmark import get_benchmark, repo_root
from creditbench.envs import Pool, Served, open_pool
from creditbench.evaluator import evaluate
from tests.envs.policies import Characters, RandomPolicy, play

pytestmark = pytest.mark.agents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of games that starts empty: every game is made here."""
    folder, before = tmp_path_factory.mktemp("games"), os.environ.get("CREDITBENCH_GAMES")
    os.environ["CREDITBENCH_GAMES"] = str(folder)
    yield folder
    os.environ.pop("CREDITBENCH_GAMES")
    if before is not None:
        os.environ["CREDITBENCH_GAMES"] = before


@pytest.fixture(scope="module")
def textworld(folder):
    return get_benchmark("textworld", repo_root())


@pytest.fixture(scope="module")
def pool(textworld):
    """A pool of its own, so that it sees this module's folder of games."""
    spec = dataclasses.replace(open_pool("textworld").spec, **textworld.module.world_changes())
    pool = Pool(spec)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def plays(textworld, pool):
    """The walkthrough of every test game, played; opening a game makes it and compares its digest."""
    return {i.id: (i, *play(Served(pool), i, i.solution.split("\n"))) for i in textworld.load("test", {})}


def test_games_are_made_to_the_stored_digests(plays, folder):
    wanted = {item.meta["game"]["sha256"] for item, *_ in plays.values()}
    assert {path.stem for path in folder.glob("*.z8")} == wanted and len(wanted) == 14


def test_the_walkthrough_wins_every_test_game(plays):
    for item, first, steps in plays.values():
        assert steps[-1].info["won"] and steps[-1].done and steps[-1].reward == 1.0, item.id
        assert len(steps) == len(item.solution.split("\n"))
        assert not any(step.info["won"] or step.done for step in steps[:-1])
        assert all(step.valid for step in steps), item.id
        assert "Commands: " in first and "$$" not in first, "the banner is left out"


def test_replay_is_exact_in_another_process_with_another_hash_seed(plays, pool):
    other = Pool(dataclasses.replace(pool.spec, environ={**pool.spec.environ, "PYTHONHASHSEED": "77"}))
    item, first, steps = plays[max(plays, key=lambda name: len(plays[name][2]))]
    actions = item.solution.split("\n")
    assert play(Served(other), item, actions) == (first, steps)
    game = {key: item.meta["game"][key] for key in ("kind", "settings", "seed")}
    assert other.call("describe", 120.0, **game)["sha256"] == item.meta["game"]["sha256"]
    other.close()


def test_a_tampered_game_is_refused(textworld, pool, plays):
    item = textworld.load("test", {"n": 1})[0]
    changed = {**item.meta, "game": {**item.meta["game"], "sha256": "0" * 64}}
    with pytest.raises(RuntimeError, match=r"digest [0-9a-f]{64}, expected 0{64}"):
        Served(pool).reset(dataclasses.replace(item, meta=changed), 0)


def test_a_killed_game_is_replayed(plays, pool):
    item, first, steps = next(iter(plays.values()))
    env = Served(pool)
    assert env.reset(item, 0) == first
    actions = item.solution.split("\n")
    for action, step in zip(actions[:2], steps, strict=False):
        assert env.step(action) == step
    os.kill(env._host.wire.process.pid, 9)
    after = env.step(actions[2])
    assert after.observation == steps[2].observation and after.info["restarts"] == 1


def test_the_evaluator_plays_ten_games_with_a_random_policy(textworld, pool, plays, tmp_path, monkeypatch):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "tokenizer.json").write_text("{}")
    monkeypatch.setattr(textworld.module, "open_pool", lambda name: pool)
    out = tmp_path / "results" / "games" / "evals" / "textworld" / "base" / "text" / "seed0"
    metrics = evaluate(
        model, "textworld", "test", {"k": 2, "max_turns": 12}, 0, out, engine=RandomPolicy(), tokenizer=Characters(),
        options={"n": 10},
    )  # fmt: skip
    assert metrics.n_problems == 10 and metrics.outcomes["error"] == 0 and sum(metrics.outcomes.values()) == 20
    assert metrics.values["invalid_action_rate"] == 0.0 and 1 < metrics.values["mean_steps"] <= 12
    assert metrics.values["avg@2"] < 0.5, "a random policy should not win most games"
    rows = records.read_parquet(out / "samples.parquet").to_pylist()
    assert {r["outcome"] for r in rows} <= {"correct", "wrong"} and all(0 <= r["reward"] <= 1 for r in rows)
