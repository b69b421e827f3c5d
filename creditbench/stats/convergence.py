"""Training curves as data: when a target is reached, and how much sooner is too much to be luck."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from creditbench.errors import BadInput
from creditbench.stats.arms import Refusal


@dataclass(frozen=True)
class Speedup:
    """What a reference allows: its trimmed mean and population sd, the smallest believable mean, and the speed-up."""

    mean: float
    sd: float
    least_mean: float
    speedup: float


def largest_acceptable_speedup(reference: Any, n_runs: int, *, alpha: float = 0.05) -> Speedup:
    """How much faster than `reference` a mean of `n_runs` runs may be before it is significantly faster.

    reference: cost to the target (steps, tokens) of each reference run; the best and worst run of both sides are
    dropped. least = mean - t_{1-alpha, df} sd sqrt(1/n_ref + 1/n_runs) with trimmed counts, df their sum - 2, sd the
    population sd of the trimmed reference (MLPerf training rules, appendix on reference convergence points; its two
    worked examples, which its published checker does not reproduce). speedup = mean / least - 1.
    Raises Refusal when fewer than 3 runs are left on the reference side or 1 on the other.
    """
    x = np.sort(np.asarray(reference, dtype=np.float64).ravel())
    if not np.isfinite(x).all() or (x <= 0).any():
        raise BadInput("reference: expected positive finite costs")
    n_ref, n_sub = x.size - 2, n_runs - 2
    if n_ref < 3 or n_sub < 1:
        raise Refusal(f"speed-up from {x.size} reference and {n_runs} runs: needs at least 5 and 3 (two are dropped)")
    kept = x[1:-1]
    sd = float(kept.std())
    mean = float(kept.mean())
    least = mean - float(stdtrit(n_ref + n_sub - 2, 1 - alpha)) * sd * math.sqrt(1 / n_ref + 1 / n_sub)
    return Speedup(mean, sd, least, mean / least - 1 if least > 0 else math.inf)


def cost_to_target(cost_T: Any, value_T: Any, target: float) -> float | None:
    """Cost (steps or tokens) at which a curve first reaches `target`, linear between points; None if it never does.

    cost_T increasing, value_T the curve at these costs. Raises BadInput for unequal lengths or a falling cost.
    """
    cost, value = _curve(cost_T, value_T)
    reached = np.flatnonzero(value >= target)
    if reached.size == 0:
        return None
    i = int(reached[0])
    if i == 0:
        return float(cost[0])
    share = (target - value[i - 1]) / (value[i] - value[i - 1])
    return float(cost[i - 1] + share * (cost[i] - cost[i - 1]))


def value_at_cost(cost_T: Any, value_T: Any, at: float) -> float | None:
    """The curve's value at a cost, linear between points; None outside the curve (no extrapolation).

    For scores at equal generated tokens rather than equal steps. Errors as `cost_to_target`.
    """
    cost, value = _curve(cost_T, value_T)
    return float(np.interp(at, cost, value)) if cost[0] <= at <= cost[-1] else None


def trailing_mean(value_T: Any, window: int) -> np.ndarray:
    """Mean of the last `window` values at every step, of as many as there are at the start: (T,) -> (T,).

    Never looks ahead, so that a reading at a cost holds nothing that was paid for later. Raises BadInput for a window
    below 1, an empty curve or a value that is not finite.
    """
    value = np.asarray(value_T, dtype=np.float64).ravel()
    if window < 1 or value.size == 0 or not np.isfinite(value).all():
        raise BadInput("trailing_mean: expected a window of at least 1 and at least one value, all finite")
    total = np.concatenate([[0.0], np.cumsum(value)])
    last = np.arange(1, value.size + 1)
    first = np.maximum(last - window, 0)
    return (total[last] - total[first]) / (last - first)


def _curve(cost_T: Any, value_T: Any) -> tuple[np.ndarray, np.ndarray]:
    cost, value = (np.asarray(v, dtype=np.float64).ravel() for v in (cost_T, value_T))
    if cost.size == 0 or cost.size != value.size or (np.diff(cost) <= 0).any() or not np.isfinite(value).all():
        raise BadInput("curve: expected as many finite values as costs, the costs strictly increasing")
    return cost, value
