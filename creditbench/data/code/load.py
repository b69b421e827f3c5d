"""One loader for the code benchmarks and training sets; the card says what is particular.

Options of `load(split, options)`, besides `source`, `n`, `seed`, `ids`, `against` of the math loader:
    release     release_vN (files 1 to N), vN (file N alone), vA_vB (files A to B), where the card has releases
    files       these files below CREDITBENCH_DATA instead of the card's
    start, end  ISO dates of the contests that count; `ends`: `day` (both days whole, the default) or `midnight`
                (LiveCodeBench's own rule: the end is 00:00 of that day, so that later contests of it drop out)
    errata      `keep` (the default) or `exclude` the problems that the card lists under data.errata
    ids_sha256  what the sorted list of problem ids must hash to
    half_seed   seed of the test halves, where the split is one (see halves.py)
    python_multiplier  factor on the problems' own time limits, instead of the card's
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from creditbench.benchmark import BenchmarkCard
from creditbench.data import source
from creditbench.data.code.files import rows_of
from creditbench.data.code.halves import halved
from creditbench.data.load import choose, read_card, without_overlap
from creditbench.errors import BadInput, CheckFailed, unknown
from creditbench.items import Item, digest_of, digest_text
from creditbench.records import write_json
from creditbench.seeds import derive

OPTIONS = (
    "source", "n", "seed", "ids", "against", "release", "files", "start", "end", "ends", "errata", "ids_sha256",
    "half_seed", "python_multiplier",
)  # fmt: skip
ENDS = {"day": "both days whole", "midnight": "the end is 00:00 of its day (LiveCodeBench's rule)"}
Row = Mapping[str, Any]


def load_code(folder: Path, split: str, options: Mapping[str, Any]) -> list[Item]:
    """Items of a split of the benchmark in `folder`; see the module's docstring.

    Raises BadInput (unknown split or option, missing or malformed data), CheckFailed (not the pinned files or ids).
    """
    card = read_card(folder)
    if split not in card.splits:
        raise unknown("split", split, card.splits, card.id)
    facts = card.splits[split]
    chosen = {**facts.get("options", {}), **options}
    for key in chosen:
        if key not in OPTIONS:
            raise unknown("option", key, OPTIONS, card.id)
    rows = _one_each(card, rows_of(card, folder, facts, chosen))
    _check_release(card, facts, chosen, len(rows))
    if not facts.get("everything"):
        rows = _judged(card, split, rows, card.role == "training-set" or bool(facts.get("headline")))
    rows = _windowed(card, rows, chosen)
    errata = _errata(card)
    if str(chosen.get("errata", "keep")) not in ("keep", "exclude"):
        raise unknown("errata", str(chosen["errata"]), ("keep", "exclude"), card.id)
    if chosen.get("errata") == "exclude":
        rows = [row for row in rows if not _erratum(row, errata)]
    items = [_item(card, row, chosen, _erratum(row, errata)) for row in rows]
    if chosen.get("against"):  # before the parts, so that they share one report
        items = without_overlap(card.id, items, list(chosen["against"]), str(chosen.get("source", "auto")))
    if facts.get("part"):
        items = [item for item in items if part_of(item.id) == facts["part"]]
    if facts.get("half"):
        items = halved(card.id, items, str(facts["half"]), int(chosen.get("half_seed", 0)))
    _check_list(card, split, items, chosen, facts)
    return choose(card.id, split, items, chosen)


def part_of(id: str) -> str:
    """`dev` for one problem in 32, `train` for the others, by a hash of the id."""
    return "train" if derive("part", id) % 32 else "dev"


def _one_each(card: BenchmarkCard, rows: Iterable[Row]) -> list[Row]:
    """First copy of every problem; a training set knows copies by their text as well.

    Raises CheckFailed when a benchmark has one id with two different problems.
    """
    training = card.role == "training-set"
    found: dict[str, Row] = {}
    texts: set[str] = set()
    for row in rows:
        text = digest_text(" ".join(str(row["statement"]).split()))
        known = found.get(row["id"])
        if known is None and not (training and text in texts):
            found[row["id"]] = row
        elif known is not None and not training and any(known[key] != row[key] for key in ("sha", "statement")):
            raise CheckFailed(f"{card.id}: problem {row['id']!r} comes twice, with different tests or text")
        texts.add(text)
    return list(found.values())


def _check_release(card: BenchmarkCard, facts: Mapping[str, Any], options: Mapping[str, Any], n: int) -> None:
    """Compare the number of problems with what the card says of the release."""
    releases = card.data.get("releases", {})
    expected = releases.get("problems", {}).get(options.get("release", releases.get("default")))
    if expected is not None and n != expected and not (options.get("files") or facts.get("file")):
        raise CheckFailed(f"{card.id}: {n} problems in {options.get('release')}, the card says {expected}")


def _judged(card: BenchmarkCard, split: str, rows: Sequence[Row], headline: bool) -> list[Row]:
    """Rows that can be judged; with `headline` also fit to be counted. The others are listed under results/data."""
    kept: list[Row] = []
    left: dict[str, list[str]] = {}
    for row in rows:
        reason = row["why_not"] or (unfit(row) if headline else "")
        if reason:
            left.setdefault(reason, []).append(row["id"])
        else:
            kept.append(row)
    _note(card.id, f"not_judged_{split}", {reason: sorted(ids) for reason, ids in sorted(left.items())})
    return kept


def unfit(row: Row) -> str:
    """Why a judged problem is left out of a headline: cut tests let wrong programs pass, a missing checker fails
    right ones."""
    if not row["complete"]:
        return "official tests are incomplete"
    if row["several_answers"] and not row["checker"]:
        return "several answers are right, and there is no checker"
    return ""


def _windowed(card: BenchmarkCard, rows: Sequence[Row], options: Mapping[str, Any]) -> list[Row]:
    ends = str(options.get("ends", "day"))
    if ends not in ENDS:
        raise unknown("ends", ends, ENDS, card.id)
    start, end = (_date(card, key, options.get(key)) for key in ("start", "end"))
    if start is None and end is None:
        return list(rows)
    kept = []
    for row in rows:
        if not row["date"]:
            raise BadInput(f"{card.id}: problem {row['id']!r} has no date, but the options have a window")
        at = dt.datetime.fromisoformat(row["date"]).replace(tzinfo=None)
        late = at.date() > end.date() if end and ends == "day" else bool(end and at > end)
        if not late and (start is None or at >= start):
            kept.append(row)
    return kept


def _date(card: BenchmarkCard, key: str, value: Any) -> dt.datetime | None:
    if value is None:
        return None
    try:
        return dt.datetime.fromisoformat(str(value)[:10])
    except ValueError:
        raise BadInput(f"{card.id}: option {key}: expected an ISO date, got {value!r}") from None


def _errata(card: BenchmarkCard) -> dict[str, str]:
    """Problem id or title slug -> what is wrong with it."""
    return {str(id): kind for kind, ids in card.data.get("errata", {}).items() for id in ids}


def _erratum(row: Row, errata: Mapping[str, str]) -> str:
    slug = re.sub(r"[^a-z0-9]+", "-", str(row["title"]).lower()).strip("-")
    return errata.get(row["id"]) or errata.get(slug, "")


def _item(card: BenchmarkCard, row: Row, options: Mapping[str, Any], erratum: str) -> Item:
    """The frozen item: limits and everything else that decides a verdict are in `meta`, tests by their digest."""
    data = card.data
    factor = float(options.get("python_multiplier", data.get("python_multiplier", 1.0)))
    if not factor > 0:
        raise BadInput(f"{card.id}: option python_multiplier: expected more than 0, got {factor:g}")
    memory = max(int(row["memory_mb"]), int(data.get("memory_floor_mb", 0))) if row["memory_mb"] else None
    meta = {
        "tests": row["sha"], "n_tests": row["n_tests"], "distinct": row["distinct"], "n_public": row["n_public"],
        "title": row["title"],
        "date": row["date"][:10], "starter": row["starter"], "func_name": row["func_name"],
        "time_limit_s": round(row["time_s"] * factor, 3) if row["time_s"] else None, "memory_mb": memory,
        "checker": row["checker"], "rating": row["rating"], "errata": erratum, "unfit": unfit(row),
        "compare": data.get("compare", ""), "role": "train" if card.role == "training-set" else "", **row["facts"],
    }  # fmt: skip
    solution = row["solutions"][0] if row["solutions"] else ""
    return Item(row["id"], row["statement"], "", solution, {k: v for k, v in meta.items() if v not in ("", None)})


def _check_list(
    card: BenchmarkCard, split: str, items: Sequence[Item], options: Mapping[str, Any], facts: Mapping[str, Any]
) -> None:
    """Record the list of ids with its hash; compare it with `ids_sha256` and, for a shipped file, the card's `n`."""
    if not items:
        raise BadInput(f"{card.id}, split {split!r}: no problems are left (window, options or data folder?)")
    ids = sorted(item.id for item in items)
    sha, expected = digest_of(ids), options.get("ids_sha256")
    asked = {key: value for key, value in options.items() if key not in ("n", "seed", "ids", "ids_sha256")}
    dates = sorted(item.meta["date"] for item in items if item.meta.get("date"))
    listed = {
        "set": card.id, "split": split, "options": asked, "n": len(ids), "ids_sha256": sha, "ids": ids,
        "ends": ENDS[str(asked.get("ends", "day"))], "first": (dates or [""])[0], "last": (dates or [""])[-1],
    }  # fmt: skip
    path = source.record_path("x").parent / "lists" / f"{card.id}.{split}.{digest_of(asked)[:8]}.json"
    write_json(path, listed)
    if expected is not None and expected != sha:
        raise CheckFailed(f"{card.id}, split {split!r}: its {len(ids)} ids hash to {sha[:16]}, expected {expected}")
    if facts.get("file") and not asked.keys() - {"source", "python_multiplier"} and len(ids) != facts["n"]:
        raise CheckFailed(f"{card.id}, split {split!r}: {len(ids)} items, the card says {facts['n']}")


def _note(name: str, key: str, value: Any) -> None:
    if source.recorded(name).get(key, {}) != value:
        source.record(name, {key: value})
