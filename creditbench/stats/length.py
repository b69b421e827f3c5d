"""Length control: accuracy under token budgets, and the accuracy difference at equal length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from creditbench.errors import BadInput
from creditbench.stats.arms import ZERO_VARIANCE, Arm, arm, same_problems
from creditbench.stats.result import (
    FIXED_SET,
    SUPERPOPULATION,
    Term,
    TestResult,
    check_estimand,
    check_level,
    descriptive,
    satterthwaite,
    t_result,
    too_few_seeds,
)

MIN_PROBLEMS = 5


def budgets_of(cap: int, published: Sequence[int] = ()) -> list[int]:
    """Token budgets to report: 1/8, 1/4, 1/2 and all of the cap, and the papers' budgets that fit below it."""
    if cap < 8:
        raise BadInput(f"cap: expected at least 8 tokens, got {cap}")
    return sorted({cap // 8, cap // 4, cap // 2, cap, *(b for b in published if 0 < b < cap)})


def accuracy_at_budgets(y: Any, tokens: Any, budgets: Sequence[int]) -> np.ndarray:
    """Accuracy when a sample only counts if it is correct within the budget: (S, P, K) twice -> (budgets, S).

    y: scores in [0, 1]; tokens: generated tokens of each sample. A budget below the cap is what truncation there would
    have left, for a model that was not told to be brief. Raises BadInput for unequal shapes or negative lengths.
    """
    y_SPK, n_SPK = _samples(y, tokens, "y")
    if not len(budgets):
        raise BadInput("budgets: expected at least one")
    return np.stack([(y_SPK * (n_SPK <= b)).mean(axis=(1, 2)) for b in budgets])


@dataclass(frozen=True)
class LengthMatched:
    """Difference as measured, and at equal length.

    matched: intercept of the per-problem regression with its interval; slope: accuracy per unit of log length, with
    its interval over problems; log_ratio: mean over problems of log(length a / length b).
    """

    raw: float
    matched: TestResult
    slope: float | None
    slope_low: float | None
    slope_high: float | None
    log_ratio: float


def length_matched(
    y_a: Any, tokens_a: Any, y_b: Any, tokens_b: Any, *, estimand: str = SUPERPOPULATION, level: float = 0.95
) -> LengthMatched:
    """Regress the per-problem accuracy difference on the log length difference; the intercept is the difference at
    equal length.

    y, tokens: (S, P, K) per arm, the same problems. d_p = alpha + beta x_p with x_p = mean log tokens of a minus b. The
    interval of alpha joins the spread over seeds of the length-adjusted scores (accuracy - beta * log length) with, for
    `superpopulation`, the regression's own error over problems, minus the residual both contain, as in `two_way_t`.
    A description, not a causal estimate: methods that change length may change it because they solve the problem.
    p is None below 3 seeds or 5 problems, or when every problem has the same length ratio. Raises BadInput for
    unequal shapes.
    """
    check_estimand(estimand)
    check_level(level)
    (a, la), (b, lb) = _adjustable(y_a, tokens_a, "a"), _adjustable(y_b, tokens_b, "b")
    same_problems(a, b)
    raw, n_problems = a.score - b.score, a.problems_F[0]
    d_P = a.problem_means_FP[0] - b.problem_means_FP[0]
    x_P = la.mean(0) - lb.mean(0)
    ratio = float(x_P.mean())
    spread = float(((x_P - ratio) ** 2).sum())
    why = too_few_seeds(a.n_seeds, b.n_seeds)
    if not why and n_problems < MIN_PROBLEMS:
        why = f"{n_problems} problems carry no regression; use at least {MIN_PROBLEMS}"
    if not why and spread <= ZERO_VARIANCE:
        why = "the length ratio is the same on every problem, so length and method cannot be told apart"
    if why:
        return LengthMatched(raw, descriptive(estimand, raw, a.n_seeds, b.n_seeds, why), None, None, None, ratio)
    beta = float(((x_P - ratio) * d_P).sum()) / spread
    alpha = float(d_P.mean()) - beta * ratio
    rest = float(((d_P - alpha - beta * x_P) ** 2).sum()) / (n_problems - 2)
    adjusted = [Arm((m.cells_FSP[0] - beta * log,), m.within_FSP, m.k_F) for m, log in ((a, la), (b, lb))]
    seed: list[Term] = [(m.seed_variance / m.n_seeds, m.n_seeds - 1) for m in adjusted]
    problem: Term = (rest * (1 / n_problems + ratio**2 / spread), n_problems - 2)
    # For fixed problems only the part of the regression's error that comes from estimating beta is left.
    if estimand == FIXED_SET:
        problem = (rest * ratio**2 / spread, n_problems - 2)
    v_seed, v_inner = sum(v for v, _ in seed), 0.0
    if estimand == SUPERPOPULATION:
        v_inner = sum(m.residual_F[0] / (m.n_seeds * n_problems) for m in adjusted)
    variance = max(v_seed + problem[0] - v_inner, v_seed, problem[0])
    half = float(stdtrit(n_problems - 2, 0.5 + level / 2)) * math.sqrt(rest / spread)
    if variance <= ZERO_VARIANCE:
        result = descriptive(estimand, alpha, a.n_seeds, b.n_seeds, "no spread over seeds and problems")
    else:
        df = satterthwaite(variance, [*seed, problem])
        note = "" if x_P.min() <= 0 <= x_P.max() else "extrapolated: on no problem do both write equally long"
        result = t_result(estimand, alpha, variance, df, a.n_seeds, b.n_seeds, level=level, note=note)
    return LengthMatched(raw, result, beta, beta - half, beta + half, ratio)


def _samples(y: Any, tokens: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    y_SPK, n_SPK = np.asarray(y), np.asarray(tokens)
    arm(y_SPK, name)
    if y_SPK.ndim != 3 or y_SPK.shape != n_SPK.shape:
        raise BadInput(f"{name}: scores and tokens need one shape (S, P, K), got {y_SPK.shape} and {n_SPK.shape}")
    if not np.isfinite(n_SPK).all() or (n_SPK < 0).any():
        raise BadInput(f"{name}: token counts must be finite and at least 0")
    return y_SPK, n_SPK


def _adjustable(y: Any, tokens: Any, name: str) -> tuple[Arm, np.ndarray]:
    y_SPK, n_SPK = _samples(y, tokens, name)
    # An empty completion counts as one token: its logarithm would not exist.
    return arm(y_SPK, name), np.log(np.maximum(n_SPK, 1)).mean(axis=2)
