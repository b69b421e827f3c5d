"""What `creditbench replay` takes beside a record: a suite's tables, a trial of tuning, a check of data. Floor 6.

Tables are computed again from the records and compared file by file; a trial is its run and its evaluation on dev; a
data check loads the splits again.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from creditbench.errors import BadInput
from creditbench.records import read_json
from creditbench.records.paths import MANIFEST
from creditbench.replay import Replay, replay


def remake(
    path: Path | str, *, config: Path | None = None, stored: bool = False, report: Callable[..., None] | None = None
) -> Replay:
    """Make again whatever `path` names: a record's folder (`replay`), a suite's folder or its tables, a tuning trial
    (`tuning/<track>/<arm>/lr<rate>`), or a data check (`data/<track>.json`).

    Raises BadInput when it is none of these, or when `config` or `stored` are given for anything but a run.
    """
    place = Path(path).resolve()
    if place.name == MANIFEST:
        place = place.parent
    if (place / "run" / MANIFEST).is_file() and not (place / MANIFEST).is_file():
        return _trial(place, config, stored, report)
    if place.is_file() and place.suffix != ".json" and place.name not in ("leaderboard.md", "leaderboard.html"):
        raise BadInput(f"{place}: not a record; expected the folder of one")
    folder = place.parent if place.name in ("tables", "leaderboard.md", "leaderboard.html") else place
    if not (folder / "evals").is_dir() and place.suffix != ".json":
        return replay(place, config=config, stored=stored, report=report)
    if config is not None or stored:
        raise BadInput(f"{place}: --config and --stored apply to runs")
    return _data(place) if place.suffix == ".json" else _tables(folder)


def _trial(place: Path, config: Path | None, stored: bool, report: Callable[..., None] | None) -> Replay:
    parts = {"run": replay(place / "run", config=config, stored=stored, report=report)}
    if (place / "dev" / MANIFEST).is_file():
        parts["dev"] = replay(place / "dev")
    return Replay(all(p.identical for p in parts.values()), "\n".join(f"{k}: {p.report}" for k, p in parts.items()))


def _tables(folder: Path) -> Replay:
    from creditbench.publish import rebuilt

    if folder.is_relative_to(Path.cwd()):
        folder = folder.relative_to(Path.cwd())  # notes name files as they were given
    made = rebuilt(folder.name, folder.parent)
    for name, text in made.items():
        if not (folder / name).is_file():
            return Replay(False, f"first difference: {folder / name} is not there")
        here = text.encode("utf-8", "backslashreplace").decode("utf-8").split("\n")
        there = (folder / name).read_bytes().decode("utf-8", "replace").split("\n")
        for number, (a, b) in enumerate(zip(there, here, strict=False), start=1):
            if a != b:
                return Replay(False, f"first difference: {name} line {number}: {_near(a, b)} there, {_near(b, a)} here")
        if len(there) != len(here):
            return Replay(False, f"first difference: {name}: {len(there)} lines there, {len(here)} here")
    return Replay(True, f"identical: {len(made)} tables and pages")


def _near(text: str, other: str, width: int = 60) -> str:
    """The part of a line where it parts from another one."""
    at = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other)))
    return repr(text[max(0, at - width // 2) : at + width // 2])


def _data(file: Path) -> Replay:
    from creditbench.verify import check_data

    old = read_json(file)
    if not isinstance(old, dict) or not {"suite", "track", "splits"} <= set(old):
        raise BadInput(f"{file}: neither a record nor a data check; expected a folder, or <suite>/data/<track>.json")
    new = check_data(str(old["suite"]), str(old["track"]))
    for a, b in zip(old["splits"], new["splits"], strict=False):
        if a != b:
            name = f"{b['role']} split {b['split']!r} of {b['benchmark']}"
            return Replay(False, f"first difference: {name}: {a} there, {b} here")
    same = old == new
    return Replay(same, f"identical: {len(new['splits'])} splits" if same else "the splits agree, the overlap differs")
