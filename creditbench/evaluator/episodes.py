"""Numbers of agents' episodes, from the turns and details of graded samples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pyarrow as pa


def episode_values(samples: pa.Table) -> dict[str, float]:
    """Mean actions per episode, share of invalid actions, share of episodes without a purchase (shops only), restarts,
    scenario goal completion (where samples belong to scenarios).

    Empty where no sample has turns. `no_purchase_rate` counts every episode that was graded, so one that ran out of
    steps is in the denominator; an environment's own failure is not an episode of the shop.
    """
    details = [json.loads(text or "{}") for text in samples["detail"].to_pylist()]
    episodes = [[t for t in detail.get("turns", ()) if t["role"] == "model"] for detail in details]
    if not any(episodes):
        return {}
    actions = [turn for episode in episodes for turn in episode]
    values = {
        "mean_steps": len(actions) / len(episodes),
        "invalid_action_rate": _share(not turn["valid"] for turn in actions),
    }
    shopped = [detail["purchased"] for detail in details if "purchased" in detail]
    if shopped:
        values["no_purchase_rate"] = _share(not bought for bought in shopped)
    scenarios = [detail.get("scenario") for detail in details]
    if all(scenarios):
        correct = [outcome == "correct" for outcome in samples["outcome"].to_pylist()]
        values["sgc"] = scenario_completion(scenarios, samples["sample"].to_pylist(), correct)
    restarts = sum(int(detail.get("env_info", {}).get("restarts", 0)) for detail in details)
    return values | ({"restarts": float(restarts)} if restarts else {})


def scenario_completion(scenarios: Sequence[str], samples: Sequence[int], correct: Sequence[bool]) -> float:
    """AppWorld's scenario goal completion with k samples, 0..1.

    For each sample index the share of scenarios all of whose tasks are solved by that very sample, then the mean over
    indices: taking the best of k per task first would credit a scenario that no run solved.
    """
    solved: dict[int, dict[str, bool]] = {}
    for scenario, sample, right in zip(scenarios, samples, correct, strict=True):
        mine = solved.setdefault(sample, {})
        mine[scenario] = mine.get(scenario, True) and right
    return sum(_share(mine.values()) for mine in solved.values()) / len(solved)


def _share(marks: Iterable[bool]) -> float:
    marked = list(marks)
    return sum(marked) / len(marked)
