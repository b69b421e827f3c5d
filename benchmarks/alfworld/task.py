"""ALFWorld: the official games from a local folder, or household problems of our own through the real engine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from creditbench.benchmark import EvalProtocol, Messages, Step, load_module, repo_root
from creditbench.envs import Served, open_pool
from creditbench.envs.tasks import grade_game, last_action_span, read_command, render_rules
from creditbench.errors import BadInput, unknown
from creditbench.items import Completion, Graded, Hint, Item, digest_text

HERE = Path(__file__).parent
OWN = {"train": 18, "dev": 6, "test": 12}
OFFICIAL = {"train": 3553, "valid_seen": 140, "valid_unseen": 134}
OPTIONS = ("n", "games", "commands")
RULES = """You do a task in a household. Each turn shows what you see; answer with one command, alone on the last \
line, for example: go to shelf 1. You have {turns} commands.

"""


@lru_cache(maxsize=1)
def rooms() -> Any:
    """The module that draws our own problems."""
    return sys.modules.get("creditbench_alfworld_rooms") or load_module(HERE / "rooms.py", "creditbench_alfworld_rooms")


@lru_cache(maxsize=1)
def solutions() -> dict[str, list[str]]:
    """The planner's plan of every published problem of our own."""
    path = HERE / "solutions.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def missing(options: Mapping[str, Any]) -> str | None:
    """What to download first for the official games, or None."""
    if options.get("games", "own") == "official":
        try:
            data_folder()
        except BadInput as error:
            return str(error)
    return None


def load(split: str, options: Mapping[str, Any]) -> list[Item]:
    """Games of a split. Options: `games` (own or official), `n` (first n), `commands` (show the admissible ones)."""
    for key in options:
        if key not in OPTIONS:
            raise unknown("option", key, OPTIONS, "alfworld")
    games, commands = options.get("games", "own"), bool(options.get("commands", True))
    if games not in ("own", "official"):
        raise unknown("games", str(games), ("own", "official"), "alfworld: option games")
    splits = OWN if games == "own" else OFFICIAL
    if split not in splits:
        raise unknown("split", split, splits, f"alfworld ({games} games)")
    if games == "own":
        return own_items(split, int(options.get("n", OWN[split])), commands)
    return official_items(split, commands)[: options.get("n")]


def own_items(split: str, n: int, commands: bool = True) -> list[Item]:
    """The first n problems of our own, for any n: combinations in turn, with a new seed every round."""
    members, found = rooms().split_of(split), []
    for number in range(n):
        kind, target, place = members[number % len(members)]
        seed = number // len(members)
        name = f"{kind}-{target}-{place or 'DeskLamp'}-{seed}".lower()
        made = rooms().problem(kind, target, place, seed)
        meta = {"games": "own", "kind": kind, "goal": made.goal, "pddl": made.pddl, "commands": commands}
        found.append(Item(name, made.goal, solution="\n".join(solutions().get(name, ())), meta=meta))
    return found


def data_folder() -> Path:
    """Where the official games lie. Raises BadInput, saying what to download, when they do not."""
    base = os.environ.get("CREDITBENCH_DATA", "")
    folder = Path(base) / "alfworld" / "json_2.1.1"
    if not base or not folder.is_dir():
        where = str(folder) if base else "$CREDITBENCH_DATA/alfworld/json_2.1.1"
        raise BadInput(
            f"alfworld: the official games are not in {where}: run `ALFWORLD_DATA=$CREDITBENCH_DATA/alfworld "
            "alfworld-download` (package alfworld 0.4.2), or use games: own"
        )
    return folder


def official_items(split: str, commands: bool = True) -> list[Item]:
    """All official games of a split that the official loader takes, by path. Raises BadInput for another number."""
    folder, found = data_folder(), []
    for path in sorted((folder / split).glob("*/*/game.tw-pddl")):
        place = path.relative_to(folder).as_posix()
        facts = json.loads((path.parent / "traj_data.json").read_text(encoding="utf-8"))
        if "movable" in place or "Sliced" in place or facts["task_type"] not in rooms().KINDS:
            continue
        text = path.read_text(encoding="utf-8")
        game = json.loads(text)
        if game.get("solvable") is not True:
            continue
        meta = {
            "games": "official", "kind": facts["task_type"], "path": place, "sha256": digest_text(text),
            "commands": commands,
        }  # fmt: skip
        plan = "\n".join(game.get("walkthrough") or ())
        found.append(Item(place.removesuffix("/game.tw-pddl"), facts["task_type"], solution=plan, meta=meta))
    if len(found) != OFFICIAL[split]:
        raise BadInput(f"{folder / split}: {len(found)} games, the official split has {OFFICIAL[split]}")
    return found


def render(item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages:
    """The rules (the task is in the first observation) as text (`plain`) or as chat messages (`chat`)."""
    return render_rules("alfworld", RULES, item, protocol, hint)


def world_changes() -> dict[str, Any]:
    """Where the world finds the official games, and where the package may keep its own folder."""
    base = Path(os.environ.get("CREDITBENCH_DATA") or repo_root() / "results" / "data") / "alfworld"
    return {"environ": {"CREDITBENCH_ALFWORLD": str(base / "json_2.1.1"), "ALFWORLD_DATA": str(base)}}


class Environment(Served):
    """One play, the command being the last line of the model's turn."""

    def __init__(self) -> None:
        super().__init__(open_pool("alfworld"))

    def step(self, action: str) -> Step:
        """Take the command found in the model's turn."""
        return super().step(read_command(action))


environment, answer_span = Environment, last_action_span


def grade(items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol) -> list[Graded]:
    """Correct is `won` within the protocol's turns."""
    return [grade_game(completion) for _, completion in zip(items, completions, strict=True)]
