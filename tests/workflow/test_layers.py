"""Imports only point down: every room stands on a floor, a room imports its own floor or below."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "creditbench"

# Lower floors first. On one floor, rooms may use each other as long as there is no circle.
FLOORS = (
    ("errors", "items", "versions", "seeds", "settings", "tokenizer", "rollouts", "records", "stats", "reported"),
    ("divergences", "signals", "sandbox", "judge", "grading", "sampling", "shop", "gates", "launch", "accelerators"),
    ("benchmark", "method", "placebos", "data", "envs"),
    ("basemodel", "suite", "trainer", "trainer_trl", "evaluator"),
    ("report", "plan", "driver", "cluster", "replay", "compare", "verify", "doctor", "conformance", "schemas"),
    ("current", "pipeline", "publish", "remake", "tune"),
    ("progress", "workflow", "cli", "__main__", "__init__"),
)
FLOOR = {room: number for number, rooms in enumerate(FLOORS, start=1) for room in rooms}


def imports(path: Path) -> Iterator[str]:
    """Rooms of creditbench that a file imports when it runs, inside functions too; imports for types alone do not."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            block.body = [ast.Pass()]
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "creditbench" and len(parts) > 1:
                yield parts[1]


def room_of(path: Path) -> str:
    """The room a file belongs to: its folder below the package, or its own name."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def edges() -> set[tuple[str, str]]:
    """(importer, imported) over the whole package."""
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        for room in imports(path):
            if room in FLOOR and room != room_of(path):
                found.add((room_of(path), room))
    return found


def test_every_room_has_a_floor():
    rooms = {room_of(path) for path in PACKAGE.rglob("*.py")}
    assert sorted(rooms - set(FLOOR)) == []


def test_imports_point_down():
    upward = [f"{a} (floor {FLOOR[a]}) imports {b} (floor {FLOOR[b]})" for a, b in edges() if FLOOR[a] < FLOOR[b]]
    assert sorted(upward) == []


def test_no_circles():
    graph: dict[str, set[str]] = {}
    for a, b in edges():
        graph.setdefault(a, set()).add(b)
    done: set[str] = set()

    def walk(room: str, path: tuple[str, ...]) -> None:
        if room in path:
            pytest.fail(" -> ".join([*path[path.index(room) :], room]))
        if room not in done:
            for below in sorted(graph.get(room, ())):
                walk(below, (*path, room))
            done.add(room)

    for room in sorted(graph):
        walk(room, ())


def test_statistics_know_no_models():
    allowed = {"stats", "errors"}
    found = {room for path in (PACKAGE / "stats").rglob("*.py") for room in imports(path) if room in FLOOR}
    assert sorted(found - allowed) == []
