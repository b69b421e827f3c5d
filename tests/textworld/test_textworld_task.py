"""The textworld benchmark without its engine: lists, prompts, the action of a turn, one outcome for each ending."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from creditbench.benchmark import get_benchmark
from creditbench.envs import environment_card, served_names, world_spec
from creditbench.envs.tasks import read_command
from creditbench.errors import BadInput
from creditbench.items import Completion, Hint, Turn, digest_of

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def textworld():
    return get_benchmark("textworld", ROOT)


def episode(actions, finish="stop", **info):
    """Actions are (text, valid)."""
    turns = [Turn("model", text, 3, 0.0, valid) for text, valid in actions]
    return Completion("\n".join(t for t, _ in actions), 9, finish, turns=tuple(turns), info=info)


def test_lists_are_fixed_and_disjoint(textworld):
    items = {split: textworld.load(split, {}) for split in ("train", "dev", "test")}
    assert {split: len(found) for split, found in items.items()} == {"train": 28, "dev": 8, "test": 14}
    for split, found in items.items():
        facts = textworld.card.splits[split]
        assert (len(found), digest_of([i.digest for i in found])) == (facts["n"], facts["digest"])
    whole = [item for found in items.values() for item in found]
    assert len({i.id for i in whole}) == len({i.meta["game"]["sha256"] for i in whole}) == 50
    assert len({i.meta["game"]["seed"] for i in whole}) == 50
    kinds = Counter(i.meta["game"]["kind"] for i in items["test"])
    assert kinds == {"tw-coin_collector": 5, "tw-treasure_hunter": 5, "tw-cooking": 2, "tw-simple": 2}
    limit = textworld.card.protocol.max_turns
    assert all(0 < len(i.solution.split("\n")) <= limit for i in whole), "a walkthrough does not fit into the turns"
    # A quest of coin collector is as long as its level; cooking vocabularies are TextWorld's disjoint ones.
    for item in whole:
        game = item.meta["game"]
        if game["kind"] == "tw-coin_collector":
            assert len(item.solution.split("\n")) == game["settings"]["level"]
    words = {"train": "train", "dev": "valid", "test": "test"}
    cooking = [(s, i.meta["game"]["settings"]) for s, f in items.items() for i in f if "cooking" in i.id]
    assert all(settings["split"] == words[split] for split, settings in cooking) and len(cooking) == 5


def test_options(textworld):
    few = textworld.load("test", {"n": 2, "kinds": ["tw-cooking"], "commands": False})
    assert len(few) == 2 and all(i.meta["game"]["kind"] == "tw-cooking" and not i.meta["commands"] for i in few)
    for options, told in (
        ({"kind": 1}, "did you mean 'kinds'"),
        ({"kinds": ["tw-cook"]}, "did you mean 'tw-cooking'"),
    ):
        with pytest.raises(BadInput, match=told):
            textworld.load("test", options)
    with pytest.raises(BadInput, match="unknown split 'valid'"):
        textworld.load("valid", {})


def test_prompts_and_hints(textworld):
    item, protocol = textworld.load("test", {"n": 1})[0], textworld.card.protocol
    (message,) = textworld.prompt(item, protocol)
    assert message["role"] == "user" and "40 commands" in message["content"]
    plain = protocol.model_copy(update={"prompt": "plain"})
    assert textworld.prompt(item, plain) == message["content"]
    assert item.solution in textworld.prompt(item, plain, Hint("solution"))
    assert "go {x}" in textworld.prompt(item, plain, Hint("rollout", Completion("go {x}", 1, "stop")))
    with pytest.raises(BadInput, match="'answer'"):
        textworld.prompt(item, plain, Hint("answer"))


@pytest.mark.parametrize(
    ("turn", "command"),
    [
        ("go west", "go west"),
        ("I think the key is there.\n> take key\n", "take key"),
        ("<action>open door</action> then I will go", "open door"),
        ("<action>look</action> no: <action>\n go east \n</action>", "go east"),
        ("  \n ", ""),
        ("", ""),
    ],
)
def test_the_action_of_a_turn(turn, command):
    assert read_command(turn) == command


def test_one_outcome_for_each_ending(textworld):
    go = [("go west", True), ("go up", False)]
    done = [
        episode(go, won=True, score=2, max_score=2, normalised_score=1.0),
        episode(go, won=False, lost=True, score=1, max_score=4, normalised_score=0.25),  # done, but not won
        episode(go, "steps", won=False, lost=False, score=3, max_score=4, normalised_score=0.75),
        episode(go, "length", won=False, lost=False, score=0, max_score=4, normalised_score=0.0),
        episode([("?", False)] * 2, "steps", won=False, normalised_score=0.0),
        episode([], "length"),
        episode(go, "error", won=False, error="textworld: no answer within 20 s"),
        episode(go, "error", won=True, error="lost after the end"),
    ]
    items = textworld.load("test", {"n": 8})
    graded = textworld.grade(items, done, textworld.card.protocol)
    assert [g.outcome for g in graded] == [
        *("correct", "wrong", "wrong", "truncated", "unparsed", "unparsed", "error", "error")
    ]
    assert [g.reward for g in graded] == [1.0, 0.25, 0.75, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert graded[1].verdict == "lost" and graded[6].verdict == "textworld: no answer within 20 s"
    assert graded[0].detail == {"turns": 2, "invalid": 1, "won": True, "score": 2, "max_score": 2}


def test_where_the_world_runs(tmp_path, monkeypatch):
    assert "textworld" in served_names(ROOT)
    assert environment_card("textworld", ROOT).packages["textworld"] == "1.7.0"
    monkeypatch.setenv("CREDITBENCH_VENVS", str(tmp_path))
    monkeypatch.delenv("CREDITBENCH_ENV_TEXTWORLD", raising=False)
    with pytest.raises(BadInput, match=r"sh requirements/agents\.sh games"):
        world_spec("textworld", ROOT)
    monkeypatch.setenv("CREDITBENCH_ENV_TEXTWORLD", "127.0.0.1:1/token")
    assert world_spec("textworld", ROOT).address == "127.0.0.1:1/token"
    with pytest.raises(BadInput, match="did you mean 'textworld'"):
        world_spec("textwrld", ROOT)
