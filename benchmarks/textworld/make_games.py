"""Write games.json: every game of the fixed lists with digest and walkthrough. Run when TextWorld's version changes.

    python benchmarks/textworld/make_games.py [KIND ...]      only these kinds; the others stay as they are
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from creditbench.envs import Pool, world_spec

FILE = Path(__file__).with_name("games.json")
FIRST_SEED = {"train": 1000, "dev": 5000, "test": 9000}
COOKING_SPLIT = {"train": "train", "dev": "valid", "test": "test"}  # TextWorld's own disjoint vocabularies


def recipes(split: str) -> list[tuple[str, dict[str, Any]]]:
    """(kind, settings) of a split's games, in order: coin collector, treasure hunter, simple, cooking."""
    coin = {"train": (1, 2, 3, 4, 5, 6, 8, 10, 12, 14), "dev": (2, 5, 9), "test": (3, 5, 8, 12, 15)}[split]
    hunt = {"train": (1, 2, 3, 4, 5, 7, 11, 12, 14, 16), "dev": (2, 6, 13), "test": (3, 5, 8, 12, 15)}[split]
    goals = {"train": ("detailed", "brief") * 3, "dev": ("brief",), "test": ("detailed", "brief")}[split]
    cook = {"train": 2, "dev": 1, "test": 2}[split]
    found: list[tuple[str, dict[str, Any]]] = [("tw-coin_collector", {"level": level}) for level in coin]
    found += [("tw-treasure_hunter", {"level": level}) for level in hunt]
    found += [("tw-simple", {"rewards": "dense", "goal": goal, "test": split == "test"}) for goal in goals]
    for n in range(cook):
        settings = {
            "recipe": 1 + n % 2, "take": 1 + n % 2, "go": (1, 6)[n % 2], "open": n % 2 == 1, "cook": n >= 2,
            "cut": n >= 2, "drop": False, "recipe_seed": FIRST_SEED[split] + n, "split": COOKING_SPLIT[split],
        }  # fmt: skip
        found.append(("tw-cooking", settings))
    return found


def main() -> None:
    """Make every game once and write the list."""
    pool = Pool(world_spec("textworld"))
    only = sys.argv[1:]
    kept = {game["id"]: game for game in (json.loads(FILE.read_text(encoding="utf-8")) if only else ())}
    games = []
    for split, first in FIRST_SEED.items():
        for n, (kind, settings) in enumerate(recipes(split)):
            game = {"kind": kind, "settings": settings, "seed": first + n}
            level = settings.get("level", settings.get("goal", settings.get("recipe")))
            name = f"{kind.removeprefix('tw-')}-{level}-{first + n}"
            known = kept.get(name) if kind not in only else None
            games.append(known or {"id": name, "split": split, **game, **pool.call("describe", 300.0, **game)})
            print(name, len(games[-1]["walkthrough"]), flush=True)
    FILE.write_text("[\n" + ",\n".join(json.dumps(game, sort_keys=True) for game in games) + "\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
