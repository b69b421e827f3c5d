"""Numbers of episodes, counted by hand."""

import json

import pyarrow as pa
import pytest

from creditbench.evaluator.episodes import episode_values


def sample(valid="", **detail):
    turns = [{"role": "env", "text": "?", "n_tokens": 0, "reward": 0.0, "valid": True}]
    turns += [{"role": "model", "text": "!", "n_tokens": 1, "reward": 0.0, "valid": v == "1"} for v in valid]
    return json.dumps({**detail, **({"turns": turns} if valid else {})})


def test_counts():
    details = [
        sample("110", purchased=True, env_info={"restarts": 1}),  # three actions, one invalid, bought
        sample("11111", purchased=False),  # ran out of steps
        sample("00", purchased=False),
        sample(),  # the environment could not even be opened
    ]
    values = episode_values(pa.table({"detail": details}))
    assert values == {
        "mean_steps": 10 / 4, "invalid_action_rate": 3 / 10, "no_purchase_rate": 2 / 3, "restarts": 1.0,
    }  # fmt: skip


def test_games_without_a_shop_and_single_turns():
    assert episode_values(pa.table({"detail": [sample("10")]})) == {"mean_steps": 2.0, "invalid_action_rate": 0.5}
    assert episode_values(pa.table({"detail": ["{}", "", None]})) == {}
    with pytest.raises(ValueError):
        episode_values(pa.table({"detail": ["not json"]}))
