"""Ratings: buckets of problem ratings, the rating that fits a set of solve rates, its percentile in a table of people.

Codeforces defines a problem's rating d by who solves it half of the time: P(solve) = 1 / (1 + 10^((d - r) / 400)) for a
person of rating r. The fitted r makes the expected number of solved problems equal the observed one. It is no contest
standing: attempts, penalties and time are not simulated (CodeElo, 2501.01257, does that with standings from the site).
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

from creditbench.errors import BadInput

LOWEST, HIGHEST = -2000.0, 8000.0


def bucket(rating: int | None, width: int = 400) -> str:
    """The bucket of a rating, `800-1199` for width 400; `unrated` for none."""
    if rating is None:
        return "unrated"
    low = rating // width * width
    return f"{low}-{low + width - 1}"


def fitted_rating(ratings: Sequence[float], solved: Sequence[float]) -> float | None:
    """The rating whose expected number of solved problems is the observed one; None when none or all are solved.

    ratings: problem ratings; solved: solve rates in [0, 1], one each.
    """
    if len(ratings) != len(solved):
        raise ValueError(f"{len(ratings)} ratings for {len(solved)} solve rates")
    total = math.fsum(solved)
    if not ratings or not 0 < total < len(ratings):
        return None
    low, high = LOWEST, HIGHEST
    for _ in range(60):
        middle = (low + high) / 2
        expected = math.fsum(1 / (1 + 10 ** ((d - middle) / 400)) for d in ratings)
        low, high = (middle, high) if expected < total else (low, middle)
    return (low + high) / 2


def read_table(path: Path) -> list[tuple[float, float]]:
    """(rating, people) rows of a CSV with a column `rating` and, for a histogram, `count`. Raises BadInput."""
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from None
    if not rows or "rating" not in rows[0]:
        raise BadInput(f"{path}: expected a CSV with the column rating (and count, for a histogram)")
    table = []
    for number, row in enumerate(rows, start=2):
        try:
            rating, people = float(row["rating"]), float(row.get("count") or 1)
        except (TypeError, ValueError):
            raise BadInput(f"{path}:{number}: expected numbers, got {dict(row)}") from None
        if not (math.isfinite(rating) and people >= 0):
            raise BadInput(f"{path}:{number}: expected a finite rating and a count of at least 0, got {dict(row)}")
        table.append((rating, people))
    if math.fsum(people for _, people in table) <= 0:
        raise BadInput(f"{path}: field count: the table holds nobody")
    return table


def percentile(rating: float, table: Sequence[tuple[float, float]]) -> float:
    """Share of people rated below `rating`, equals counted half, in percent."""
    everyone = math.fsum(people for _, people in table)
    below = math.fsum(people if at < rating else people / 2 if at == rating else 0.0 for at, people in table)
    return 100 * below / everyone
