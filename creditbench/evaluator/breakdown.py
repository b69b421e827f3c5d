"""Scores of an evaluation by what is known of its problems: rating, difficulty, platform, month, errata, ..."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from creditbench import records
from creditbench.benchmark import get_benchmark
from creditbench.errors import BadInput, CheckFailed, unknown
from creditbench.evaluator.plan import load_items, resolve_protocol
from creditbench.items import Item
from creditbench.records.paths import SAMPLES

NONE = "(none)"


def breakdown(
    folder: Path | str, by: str, width: int = 400, ratings: Path | None = None, root: Path | None = None
) -> list[dict[str, Any]]:
    """Rows group, n_problems, avg@k, pass@k, errors for the groups of `by`, then for all problems.

    by: `rating` (buckets of `width`), `month`, or any field of the items' meta. ratings: a table of people's ratings
    (see data.code.ratings); the last row then has the fitted rating and its percentile. Raises BadInput for a field
    that no problem has, CheckFailed when the problems here are not the record's.
    """
    folder = Path(folder)
    manifest = records.read_unaltered(folder)
    if manifest.eval is None:
        raise BadInput(f"{folder}: expected an evaluation's record, got kind {manifest.kind!r}")
    if width < 1:
        raise BadInput(f"width: expected at least 1, got {width}")
    benchmark, facts = get_benchmark(manifest.eval.benchmark, root), manifest.eval
    items = load_items(benchmark, facts.split, resolve_protocol(benchmark, facts.protocol), facts.options)
    if records.digest_rows(items) != manifest.data[benchmark.name].digest:
        raise CheckFailed(f"{folder}: the problems of {benchmark.name}/{facts.split} here are not the record's")
    group, k = _grouping(by, width, items), int(facts.protocol["k"])
    samples = records.read_parquet(folder / SAMPLES, records.SAMPLES_SCHEMA, ["problem_id", "outcome"]).to_pylist()
    outcomes: dict[str, list[str]] = {item.id: [] for item in items}
    for row in samples:
        outcomes[row["problem_id"]].append(row["outcome"])
    named: dict[str, list[Item]] = {}
    for item in items:
        named.setdefault(group(item), []).append(item)
    order = sorted(named, key=lambda name: (name in (NONE, "unrated"), _first_number(name), name))
    rows = [_row(name, named[name], outcomes, k) for name in order] + [_row("all", items, outcomes, k)]
    return rows if ratings is None else [*rows[:-1], rows[-1] | _rated(items, outcomes, ratings)]


def _grouping(by: str, width: int, items: list[Item]) -> Callable[[Item], str]:
    from creditbench.data.code.ratings import bucket

    fields = sorted({key for item in items for key, value in item.meta.items() if isinstance(value, str | int)})
    if by == "month":
        return lambda item: str(item.meta.get("date") or NONE)[:7]
    if by == "rating" and "rating" in fields:
        return lambda item: bucket(item.meta.get("rating"), width)
    if by == "errata" or by in fields:  # a field of listed problems: having none of them is an answer
        return lambda item: str(item.meta.get(by) or NONE)
    raise unknown("field", by, [*fields, "month", "errata"], "breakdown: by")


def _first_number(name: str) -> float:
    head = name.split("-")[0]
    return float(head) if head.isdigit() else float("inf")


def _row(name: str, items: list[Item], outcomes: dict[str, list[str]], k: int) -> dict[str, Any]:
    right = [np.mean([outcome == "correct" for outcome in outcomes[item.id]]) for item in items]
    errors = sum(outcome == "error" for item in items for outcome in outcomes[item.id])
    return {
        "group": name, "n_problems": len(items), f"avg@{k}": float(np.mean(right)),
        f"pass@{k}": float(np.mean([share > 0 for share in right])), "errors": errors,
    }  # fmt: skip


def _rated(items: list[Item], outcomes: dict[str, list[str]], path: Path) -> dict[str, Any]:
    """The fitted rating of all rated problems and its percentile; both None when none or all are solved."""
    from creditbench.data.code.ratings import fitted_rating, percentile, read_table

    table, rated = read_table(path), [item for item in items if item.meta.get("rating")]
    if not rated:
        raise BadInput("breakdown: ratings: no problem of this record has a rating")
    solved = [float(np.mean([outcome == "correct" for outcome in outcomes[item.id]])) for item in rated]
    rating = fitted_rating([float(item.meta["rating"]) for item in rated], solved)
    place = None if rating is None else percentile(rating, table)
    return {"fitted_rating": None if rating is None else round(rating, 1), "percentile": place}
