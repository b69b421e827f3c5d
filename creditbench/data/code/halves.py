"""SC-GRPO's protocol on LiveCodeBench (2606.18810): half of each problem's tests trains, the other half evaluates.

Same problems on both sides: it measures whether programs pass the held-out tests of trained problems, not
generalisation. Our reading where the paper is silent: identical tests count once; the distinct ones are shuffled by a
hash of (seed, problem); the first floor(n/2) train, the rest evaluate; a problem with one distinct test is left out of
both halves (SDPO lets them overlap there). The choice is stored by test number and checked when it is made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from creditbench.data import source
from creditbench.errors import CheckFailed, unknown
from creditbench.items import Item
from creditbench.records import read_json, write_json
from creditbench.seeds import derive

HALVES = ("train", "eval")
CLAIM = "held-out tests of trained problems; not generalisation"


def split_tests(distinct: Sequence[int], id: str, seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the tests of the train and of the evaluation half, each in rising order; both empty for one test.

    distinct: numbers of the tests that differ from all before them.
    """
    if len(distinct) < 2:
        return [], []
    distinct = list(distinct)
    Random(derive("halves", seed, id)).shuffle(distinct)
    middle = len(distinct) // 2
    return sorted(distinct[:middle]), sorted(distinct[middle:])


def halved(name: str, items: Sequence[Item], half: str, seed: int) -> list[Item]:
    """Items that keep one half of their tests (`meta.test_ids`). Raises CheckFailed when a stored choice differs."""
    if half not in HALVES:
        raise unknown("half", half, HALVES, name)
    path = source.record_path("x").parent / "halves" / f"{name}.seed{seed}.json"
    stored: dict[str, Any] = read_json(path)["problems"] if path.is_file() else {}
    found, kept = dict(stored), []
    for item in items:
        train, held = split_tests(item.meta.get("distinct") or range(item.meta["n_tests"]), item.id, seed)
        entry = {"tests": item.meta["tests"], "train": train, "eval": held}
        if stored.get(item.id, entry) != entry:
            raise CheckFailed(f"{path}: problem {item.id!r} is split otherwise now: its tests or the rule have changed")
        found[item.id] = entry
        if train:
            chosen = train if half == "train" else held
            more = {"test_ids": chosen, "half": half, "half_seed": seed, "claim": CLAIM}
            kept.append(Item(item.id, item.problem, item.answer, item.solution, {**item.meta, **more}
                             | ({"role": "train"} if half == "train" else {})))  # fmt: skip
    if found != stored:
        write_json(path, {"set": name, "seed": seed, "claim": CLAIM, "problems": found})
    return kept
