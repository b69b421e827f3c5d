"""Kept rollouts (determinism level D2): everything after sampling can be replayed bit for bit from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from creditbench.errors import BadInput, CheckFailed
from creditbench.items import Completion, Graded, Item, Turn
from creditbench.records import read_json, write_text
from creditbench.sampling import Episode, Generation, SamplingParams, Session
from creditbench.sampling.types import Ids
from creditbench.trainer.collect import Sampled


class Replayed:
    """In the place of an engine where kept rollouts are read: nothing is sampled, so none need be here (vLLM, say)."""

    name, version, batch_rows = "replayed", "", 1

    def update_weights(self, weights: Any) -> None:
        """Nobody samples from them."""

    def sleep(self) -> None:
        """Nothing to give back."""

    def wake(self) -> None:
        """Nothing to undo."""

    def generate(self, prompts: Sequence[Ids], seeds: Sequence[int], params: SamplingParams) -> list[Generation]:
        """Raises CheckFailed: what is not stored is not sampled either."""
        raise CheckFailed("replay: rollouts are read, not sampled; the stored ones do not suffice")

    def session(self, rows: int, params: SamplingParams, capacity: int = 0) -> Session:
        """As `generate`."""
        raise CheckFailed("replay: episodes are read, not played; the stored ones do not suffice")


class RolloutStore:
    """A folder with one JSON file per (step, purpose); files appear whole."""

    def __init__(self, folder: Path, rank: int = 0):
        self.folder, self.rank = folder, rank

    def _path(self, step: int, purpose: str) -> Path:
        return self.folder / f"step{step:06d}.{purpose}.rank{self.rank}.json"

    def write(self, step: int, purpose: str, groups: list[Sampled]) -> None:
        """Keep the groups sampled for one purpose of a step."""
        write_text(self._path(step, purpose), json.dumps([asdict(g) for g in groups], default=dict))

    def read(self, step: int) -> dict[str, list[Sampled]]:
        """All kept groups of a step. Raises BadInput when there are none, CheckFailed for a file cut short."""
        found = {}
        for path in sorted(self.folder.glob(f"step{step:06d}.*.rank{self.rank}.json")):
            found[path.name.split(".")[1]] = [_group(g) for g in read_json(path)]
        if not found:
            raise BadInput(f"{self.folder}: no stored rollouts of step {step}")
        return found


def _group(data: dict) -> Sampled:
    episodes = []
    for e in data["episodes"]:
        c = e["completion"]
        turns = tuple(Turn(**t) for t in c["turns"])
        completion = Completion(**{**c, "token_ids": tuple(c["token_ids"]), "turns": turns})
        plain = {k: tuple(e[k]) for k in ("prompt_ids", "token_ids", "model_mask", "logps")}
        episodes.append(Episode(**plain, completion=completion))
    return Sampled(
        item=Item(**data["item"]),
        opening=data["opening"],
        episodes=tuple(episodes),
        seeds=tuple(data["seeds"]),
        graded=tuple(Graded(**g) for g in data["graded"]),
    )
