"""Household problems of our own for ALFWorld's engine: the six official kinds of task, as PDDL over its domain.

Each problem is fixed by (kind, object, receptacle, seed). No data of ALFRED is used: rooms are drawn from the short
lists below, and only the predicates of the domain are the engine's.
"""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

KINDS = (
    "pick_and_place_simple", "look_at_obj_in_light", "pick_clean_then_place_in_recep",
    "pick_heat_then_place_in_recep", "pick_cool_then_place_in_recep", "pick_two_obj_and_place",
)  # fmt: skip
FOOD = ("Apple", "Tomato", "Potato", "Bread", "Egg", "Lettuce")
DISHES = ("Mug", "Plate", "Bowl", "Cup")
CUTLERY = ("Knife", "Fork", "Spoon", "Spatula")
SMALL = ("Book", "Pen", "Pencil", "CD", "KeyChain", "Watch", "CreditCard", "CellPhone", "RemoteControl")
KITCHEN = {"CounterTop": 2, "Cabinet": 3, "Drawer": 3, "DiningTable": 1, "GarbageCan": 1, "Shelf": 1}
STUDY = {"Desk": 1, "SideTable": 2, "Drawer": 3, "Shelf": 2, "Sofa": 1, "Bed": 1, "GarbageCan": 1}
FIXED = {"Fridge": 1, "Microwave": 1, "SinkBasin": 1}
OPENABLE = ("Fridge", "Microwave", "Cabinet", "Drawer")
GOALS = {
    "pick_and_place_simple": ("", "put a {o} in {r}"),
    "pick_clean_then_place_in_recep": ("(cleanable ?o) (isClean ?o)", "put a clean {o} in {r}"),
    "pick_heat_then_place_in_recep": ("(heatable ?o) (isHot ?o)", "put a hot {o} in {r}"),
    "pick_cool_then_place_in_recep": ("(coolable ?o) (isCool ?o)", "put a cool {o} in {r}"),
    "pick_two_obj_and_place": ("", "put two {o} in {r}"),
    "look_at_obj_in_light": ("", "look at {o} under the desklamp"),
}


class Problem(NamedTuple):
    """A problem: what is asked in words, and the PDDL text."""

    goal: str
    pddl: str


def combinations() -> list[tuple[str, str, str]]:
    """Every (kind, object type, receptacle type) that makes sense, in a fixed order."""
    treated = {
        "pick_clean_then_place_in_recep": (*DISHES, *CUTLERY, *FOOD[:3]),
        "pick_heat_then_place_in_recep": (*FOOD[:5], "Mug", "Cup", "Plate"),
        "pick_cool_then_place_in_recep": (*FOOD, *DISHES),
    }
    found = [(kind, o, r) for kind, objects in treated.items() for o in objects for r in KITCHEN if r != "GarbageCan"]
    found += [("look_at_obj_in_light", o, "") for o in SMALL]
    for kind in ("pick_and_place_simple", "pick_two_obj_and_place"):
        found += [(kind, o, r) for o in SMALL for r in STUDY]
    return found


def split_of(split: str) -> list[tuple[str, str, str]]:
    """The combinations of a split, kinds in turn: of each kind a fifth is test, a tenth dev, the rest train."""
    shares = {"test": (0.0, 0.2), "dev": (0.2, 0.3), "train": (0.3, 1.0)}
    low, high = shares[split]
    columns = []
    for kind in KINDS:
        members = [combination for combination in combinations() if combination[0] == kind]
        Random(f"alfworld-own/{kind}").shuffle(members)
        columns.append(members[math.ceil(low * len(members)) : math.ceil(high * len(members))])
    return [column[n] for n in range(max(map(len, columns))) for column in columns if n < len(column)]


def problem(kind: str, target: str, place: str, seed: int) -> Problem:
    """The problem of a combination; `seed` draws the room and where things lie (never already solved)."""
    rng = Random(f"{kind}/{target}/{place}/{seed}")
    study = target in SMALL
    counts = dict(STUDY) if study else {**FIXED, **KITCHEN}
    counts = {name: n if name in FIXED else n + rng.randint(0, 1) for name, n in counts.items()}
    receptacles = [_receptacle(name, i) for name, n in counts.items() for i in range(1, n + 1)]
    targets = [f"{target}_bar_{i}" for i in range(1, (2 if kind == "pick_two_obj_and_place" else 1) + 1)]
    others = [name for name in (SMALL if study else (*FOOD, *DISHES, *CUTLERY)) if name != target]
    objects = targets + [f"{name}_bar_1" for name in rng.sample(others, rng.randint(4, 6))]
    free = [r for r in receptacles if _type(r) not in (place, "SinkBasin", "Microwave")]
    where = {o: rng.choice(free) for o in objects}
    lamp = "DeskLamp_bar_1" if study else ""
    if lamp:
        stand = rng.choice(("Desk", "SideTable"))
        where[lamp] = next(r for r in receptacles if _type(r) == stand)
    asked = GOALS[kind][1].format(o=target.lower(), r=place.lower())
    return Problem(asked, _pddl(kind, target, place, receptacles, where, lamp))


def _receptacle(name: str, number: int) -> str:
    """An identifier that the engine's names are read from: it appends "basin" wherever that word occurs."""
    return f"Sink_bar_{number}_bar_basin" if name == "SinkBasin" else f"{name}_bar_{number}"


def _type(identifier: str) -> str:
    return "SinkBasin" if identifier.endswith("basin") else identifier.split("_bar_", 1)[0]


def _pddl(kind: str, target: str, place: str, receptacles: list[str], where: dict[str, str], lamp: str) -> str:
    spots = {r: f"loc_bar_{n}" for n, r in enumerate(receptacles, start=1)}
    rtypes = sorted({_type(r) for r in receptacles})
    otypes = sorted({_type(o) for o in where})
    facts = ["(atLocation agent1 loc_bar_0)", "(= (total-cost) 0)"]
    for r, spot in spots.items():
        facts += [f"(receptacleAtLocation {r} {spot})", f"(receptacleType {r} {_type(r)}Type)"]
        facts += [f"(openable {r})"] if _type(r) in OPENABLE else []
    facts += [f"(canContain {r}Type {o}Type)" for r in rtypes for o in otypes if o != "DeskLamp"]
    for o, r in where.items():
        facts += [f"(objectType {o} {_type(o)}Type)", f"(inReceptacle {o} {r})", f"(objectAtLocation {o} {spots[r]})"]
        facts += [f"(toggleable {o})"] if o == lamp else [f"(pickupable {o})"]
        facts += [f"(heatable {o})"] if _type(o) in (*FOOD[:5], "Mug", "Cup", "Plate") else []
        facts += [f"(coolable {o})"] if _type(o) in (*FOOD, *DISHES) else []
        facts += [f"(cleanable {o})"] if _type(o) in (*FOOD, *DISHES, *CUTLERY) else []
    things = [
        "agent1 - agent", " ".join(["loc_bar_0", *spots.values()]) + " - location",
        " ".join(receptacles) + " - receptacle", " ".join(where) + " - object",
        " ".join(f"{name}Type" for name in rtypes) + " - rtype",
        " ".join(f"{name}Type" for name in otypes) + " - otype",
    ]  # fmt: skip
    lines = "\n    ".join
    return (
        f"(define (problem household)\n  (:domain alfred)\n  (:objects\n    {lines(things)}\n  )\n"
        f"  (:init\n    {lines(facts)}\n  )\n  (:goal {_goal(kind, target, place)})\n"
        "  (:metric minimize (total-cost))\n)\n"
    )


def _goal(kind: str, target: str, place: str) -> str:
    if kind == "look_at_obj_in_light":
        return (
            "(and (exists (?t - object ?r - receptacle ?a - agent ?l - location) (and (objectType ?t DeskLampType) "
            "(toggleable ?t) (isToggled ?t) (receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?t ?r))) "
            f"(exists (?o - object ?a - agent) (and (objectType ?o {target}Type) (holds ?a ?o))))"
        )
    one = f"(objectType ?o {target}Type) (receptacleType ?r {place}Type) (inReceptacle ?o ?r) {GOALS[kind][0]}"
    if kind == "pick_two_obj_and_place":
        one += f"(exists (?p - object) (and (not (= ?o ?p)) (objectType ?p {target}Type) (inReceptacle ?p ?r)))"
    return f"(and (exists (?r - receptacle) (exists (?o - object) (and {one}))))"
