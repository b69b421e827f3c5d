"""Adjusted p-values: Holm for claims, Benjamini-Hochberg for dashboards."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from creditbench.errors import BadInput


def holm(p: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values, in the order given (Holm 1979; controls the family-wise error).

    A missing p (None or nan: too few seeds) stays None and does not count towards the family.
    Raises BadInput for a p outside [0, 1].
    """
    return _adjusted(p, _step_down)


def benjamini_hochberg(p: Sequence[float | None]) -> list[float | None]:
    """Benjamini-Hochberg step-up adjusted p-values (1995; controls the false discovery rate), as `holm` otherwise."""
    return _adjusted(p, _step_up)


def _step_down(p_sorted: np.ndarray) -> np.ndarray:
    m = p_sorted.size
    return np.maximum.accumulate(p_sorted * np.arange(m, 0, -1))


def _step_up(p_sorted: np.ndarray) -> np.ndarray:
    m = p_sorted.size
    return np.minimum.accumulate((p_sorted * m / np.arange(1, m + 1))[::-1])[::-1]


def _adjusted(p: Sequence[float | None], rule) -> list[float | None]:
    try:
        values = np.array([np.nan if x is None else float(x) for x in p])
    except (TypeError, ValueError):
        raise BadInput("p: expected numbers, None where there is no test") from None
    known = np.flatnonzero(~np.isnan(values))
    if ((values[known] < 0) | (values[known] > 1)).any():
        raise BadInput("p: every p-value must lie in [0, 1]")
    order = known[np.argsort(values[known], kind="stable")]
    out: list[float | None] = [None] * values.size
    for i, adjusted in zip(order, rule(values[order]), strict=True):
        out[i] = min(float(adjusted), 1.0)
    return out
