"""Small tests on numbers rather than score arrays, in any unit: clustered errors, equivalence, one reported number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import fdtrc, stdtr, stdtrit

from creditbench.errors import BadInput
from creditbench.stats.arms import ZERO_VARIANCE, Refusal
from creditbench.stats.result import (
    Term,
    TestResult,
    cautious_df,
    descriptive,
    satterthwaite,
    t_result,
    too_few_seeds,
)


def clustered_se(values: Any, clusters: Any, *, small_sample: bool = False) -> float:
    """Standard error of a mean whose values come in clusters (samples of a problem, problems of a contest).

    (1/n) sqrt(sum_c (sum_{i in c} (y_i - mean))^2), Miller 2024 (arXiv 2411.00640); `small_sample` multiplies the sum
    by C/(C-1), which Inspect does and the paper does not. Raises Refusal for fewer than two clusters.
    """
    y, c = np.asarray(values, dtype=np.float64).ravel(), np.asarray(clusters).ravel()
    if y.size != c.size or not np.isfinite(y).all():
        raise BadInput(f"values, clusters: expected as many finite values as labels, got {y.size} and {c.size}")
    _, index = np.unique(c, return_inverse=True)
    sums_C = np.bincount(index, weights=y - y.mean()) if y.size else np.zeros(0)
    if sums_C.size < 2:
        raise Refusal("clustered_se: one cluster has no spread between clusters; use at least two (advised: 10)")
    factor = sums_C.size / (sums_C.size - 1) if small_sample else 1.0
    return float(math.sqrt(factor * (sums_C**2).sum()) / y.size)


def tost(a: Any, b: Any, margin: float, *, equal_var: bool = True, alpha: float = 0.05) -> TestResult:
    """Two one-sided t tests: are a and b equivalent within (-margin, margin)?

    a, b: one number per run (seed means), any unit. p is the larger one-sided p, the interval has level 1 - 2 alpha;
    equivalent iff p < alpha, which is iff the interval lies inside the margin. equal_var pools the two variances; set
    it False (Welch) when the numbers of runs differ. Below 3 runs p is None. Raises BadInput for a margin <= 0.
    """
    x, y = _numbers(a, "a"), _numbers(b, "b")
    _positive(margin)
    difference = float(x.mean() - y.mean())
    if why := too_few_seeds(x.size, y.size):
        return descriptive("equivalence", difference, x.size, y.size, why)
    vx, vy = float(x.var(ddof=1)), float(y.var(ddof=1))
    if equal_var:
        df = float(x.size + y.size - 2)
        variance = ((x.size - 1) * vx + (y.size - 1) * vy) / df * (1 / x.size + 1 / y.size)
    else:
        variance = vx / x.size + vy / y.size
        df = satterthwaite(variance, [(vx / x.size, x.size - 1), (vy / y.size, y.size - 1)])
    if variance <= ZERO_VARIANCE:
        return descriptive("equivalence", difference, x.size, y.size, "the runs of both sides are identical")
    return _equivalence(difference, variance, df, margin, alpha, x.size, y.size)


def crawford_howell(
    ours: Any,
    reported: float,
    *,
    reported_seeds: int = 1,
    reported_sd: float | None = None,
    extra_variance: float = 0.0,
    margin: float | None = None,
    level: float = 0.95,
) -> TestResult:
    """Is a reported number one more draw from the distribution of our runs? Difference = ours - reported.

    ours: our seed means, any unit; reported: a mean of `reported_seeds` runs taken to spread like ours:
    t = (mean - reported) / (s sqrt(1/S + 1/r)), df S - 1 (Crawford & Howell 1998 for r = 1). With the paper's own
    `reported_sd` over r >= 2 runs: Welch. `extra_variance`: further sampling variance of the reported number. With
    `margin` the two one-sided tests of equivalence are returned instead (p and a 2 * level - 1 interval), as in
    `tost`. Below 3 runs p is None.
    """
    x = _numbers(ours, "ours")
    if not math.isfinite(reported):
        raise BadInput(f"reported: expected a finite number, got {reported}")
    if why := too_few_seeds(x.size):
        return descriptive("reported", float(x.mean() - reported), x.size, reported_seeds, why)
    out = reported_variance(float(x.var(ddof=1)), x.size - 1, x.size, reported_seeds, reported_sd, extra_variance)
    difference = float(x.mean() - reported)
    if out[0] <= ZERO_VARIANCE:
        return descriptive("reported", difference, x.size, reported_seeds, "all our runs scored the same")
    if margin is not None:
        _positive(margin)
        return _equivalence(difference, *out, margin, 1 - level, x.size, reported_seeds)
    return t_result("reported", difference, *out, x.size, reported_seeds, level=level)


def reported_variance(
    s2: float, df: float, n_ours: int, n_reported: int, reported_sd: float | None, extra: float
) -> Term:
    """Variance of ours - reported and its degrees of freedom (see `crawford_howell`).

    Raises BadInput for fewer than one reported run or a negative deviation.
    """
    if not (n_reported >= 1 and extra >= 0 and (reported_sd is None or reported_sd >= 0)):
        raise BadInput("reported number: expected at least one run and deviations of at least 0")
    if reported_sd is not None and n_reported > 1:
        terms: list[Term] = [(s2 / n_ours, df), (reported_sd**2 / n_reported, n_reported - 1)]
        variance = sum(v for v, _ in terms)
        return variance, satterthwaite(variance, terms)
    terms = [(s2 * (1 / n_ours + 1 / n_reported), df), (extra, math.inf)]
    return sum(v for v, _ in terms), cautious_df(terms)


@dataclass(frozen=True)
class Friedman:
    """Friedman's test over benchmarks: chi-squared, Iman-Davenport F with its p, and Nemenyi's critical difference."""

    chi2: float
    f: float
    p: float
    critical_difference: float


def friedman_nemenyi(mean_ranks: Any, n_sets: int, *, alpha: float = 0.05) -> Friedman:
    """Demsar's comparison of k arms over N benchmarks from their mean ranks; needs many benchmarks to have power.

    chi2 = 12 N / (k (k+1)) (sum R^2 - k (k+1)^2 / 4), F = (N-1) chi2 / (N (k-1) - chi2), CD = q sqrt(k (k+1) / 6N)
    (Demsar 2006, JMLR 7). Raises Refusal below 5 benchmarks, BadInput for ranks that do not average (k+1)/2.
    """
    from scipy.stats import studentized_range  # half a second: only who asks for it pays

    r_A = _numbers(mean_ranks, "mean_ranks")
    k = r_A.size
    if k < 3 or abs(r_A.mean() - (k + 1) / 2) > 0.01:
        raise BadInput(f"mean_ranks: expected at least 3 ranks averaging {(k + 1) / 2}, got {r_A.tolist()}")
    if n_sets < 5:
        raise Refusal(
            f"friedman_nemenyi: {n_sets} benchmarks cannot separate arms; use rank_intervals, which tests "
            "on seeds and problems"
        )
    chi2 = 12 * n_sets / (k * (k + 1)) * float((r_A**2).sum() - k * (k + 1) ** 2 / 4)
    room = n_sets * (k - 1) - chi2
    f = (n_sets - 1) * chi2 / room if room > 0 else math.inf
    p = float(fdtrc(k - 1, (k - 1) * (n_sets - 1), f)) if math.isfinite(f) else 0.0
    q = float(studentized_range.ppf(1 - alpha, k, np.inf)) / math.sqrt(2)
    return Friedman(chi2, f, p, q * math.sqrt(k * (k + 1) / (6 * n_sets)))


def _equivalence(
    difference: float, variance: float, df: float, margin: float, alpha: float, n_a: int, n_b: int
) -> TestResult:
    out = t_result("equivalence", difference, variance, df, n_a, n_b, level=1 - 2 * alpha)
    se = math.sqrt(variance)
    p = max(float(stdtr(df, -(margin + d) / se)) for d in (difference, -difference))
    least = float(stdtrit(df, 1 - alpha)) * se
    note = f"smallest margin that could pass at no difference: {least:.4g}"
    return TestResult(**{**out.__dict__, "p": p, "mde": None, "note": note})


def _numbers(values: Any, name: str) -> np.ndarray:
    try:
        v = np.asarray(values, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        raise BadInput(f"{name}: expected numbers") from None
    if v.size == 0 or not np.isfinite(v).all():
        raise BadInput(f"{name}: expected at least one number, all finite")
    return v


def _positive(margin: float) -> None:
    if not (margin > 0 and math.isfinite(margin)):
        raise BadInput(f"margin: expected a positive number fixed before the runs, got {margin}")
