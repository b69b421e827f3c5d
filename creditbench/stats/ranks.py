"""Ranks with ties: an arm is only ahead of the arms that a corrected test puts behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from creditbench.errors import BadInput
from creditbench.stats.arms import Arm, Refusal, arms, same_problems, sampling_variance
from creditbench.stats.multiplicity import holm
from creditbench.stats.result import SUPERPOPULATION, TestResult, check_estimand
from creditbench.stats.tests import compare
from creditbench.stats.two_way import seed_term


@dataclass(frozen=True)
class Rank:
    """Place of one arm: rank_low = 1 + arms significantly better, rank_high = M - arms significantly worse.

    Arms with equal rank_low are tied and share that number.
    """

    method: str
    score: float
    rank_low: int
    rank_high: int


@dataclass(frozen=True)
class Pair:
    """One of all pairs: result of a minus b with its p-value adjusted by Holm over all pairs (None: no test)."""

    method_a: str
    method_b: str
    result: TestResult
    p_holm: float | None


def all_pairs(
    ys: Mapping[str, Any],
    *,
    estimand: str = SUPERPOPULATION,
    base: Sequence[str] = (),
    paired: bool = False,
    level: float = 0.95,
) -> list[Pair]:
    """Test every pair of arms and adjust by Holm over all of them.

    ys: arm -> y (S, P, K) or families; `base`: names of arms that are one fixed model with evaluation seeds (a pair
    of two such arms is not tested). Errors as `compare`, BadInput for an unknown base name.
    """
    check_estimand(estimand)
    known = arms(dict(ys))
    for name in base:
        if name not in known:
            raise BadInput(f"base: {name!r} is not one of the arms {', '.join(known)}")
    pairs, results = [], []
    for a, b in combinations(known, 2):
        first, second = (b, a) if a in base and b not in base else (a, b)
        if first in base:
            continue
        pairs.append((first, second))
        results.append(
            compare(
                known[first],
                known[second],
                estimand=estimand,
                paired=paired and second not in base,
                b_is_base=second in base,
                level=level,
            )
        )
    adjusted = holm([r.p for r in results])
    return [Pair(a, b, r, p) for (a, b), r, p in zip(pairs, results, adjusted, strict=True)]


def rank_intervals(
    ys: Mapping[str, Any],
    *,
    estimand: str = SUPERPOPULATION,
    base: Sequence[str] = (),
    paired: bool = False,
    alpha: float = 0.05,
) -> list[Rank]:
    """Rank the arms by score, with the interval of ranks that the data allow, best first.

    All pairs are tested (`all_pairs`) and counted at Holm-adjusted p < alpha; pairs without a test (fewer than 3
    seeds) count as not different. Arms in the order of score, then name.
    """
    pairs = all_pairs(ys, estimand=estimand, base=base, paired=paired)
    return ranks_from_pairs({name: m.score for name, m in arms(dict(ys)).items()}, pairs, alpha=alpha)


def ranks_from_pairs(scores: Mapping[str, float], pairs: Sequence[Pair], *, alpha: float = 0.05) -> list[Rank]:
    """`rank_intervals` from pairs that were tested already."""
    better = dict.fromkeys(scores, 0)
    worse = dict.fromkeys(scores, 0)
    for pair in pairs:
        if pair.p_holm is None or pair.p_holm >= alpha:
            continue
        up, down = pair.method_a, pair.method_b
        if pair.result.difference < 0:
            up, down = down, up
        better[down] += 1
        worse[up] += 1
    order = sorted(scores, key=lambda name: (-scores[name], name))
    return [Rank(name, scores[name], 1 + better[name], len(scores) - worse[name]) for name in order]


def p_best(
    ys: Mapping[str, Any], *, base: Sequence[str] = (), n_draws: int = 20_000, seed: int = 0
) -> dict[str, float]:
    """Share of parametric redraws of seeds and problems in which each arm comes first; secondary to rank intervals.

    Scores are drawn as normal with the fitted variances: the covariance over problems C/P (arms share the problems)
    plus, per arm, its seed variance without the residual that C already holds. Not a posterior and not a p-value.
    Raises Refusal for an arm below 3 seeds (unless in `base`) or below 2 problems, BadInput for unequal problem sets.
    """
    known = arms(dict(ys))
    if not known:
        raise BadInput("p_best: expected at least one arm")
    first = next(iter(known.values()))
    for name, m in known.items():
        same_problems(first, m)
        if (m.n_seeds < 3 and name not in base) or min(m.problems_F) < 2:
            raise Refusal(
                f"p_best: {name} needs 3 seeds and 2 problems to fit its variances; train more or leave it out"
            )
    covariance_AA = np.zeros((len(known), len(known)))
    for f, n_problems in enumerate(first.problems_F):
        table_AP = np.stack([m.problem_means_FP[f] for m in known.values()])
        covariance_AA += np.atleast_2d(np.cov(table_AP)) / n_problems / first.n_families**2
    seed_A = np.array([_seed_only(m, name in base) for name, m in known.items()])
    covariance_AA += np.diag(seed_A)
    mean_A = np.array([m.score for m in known.values()])
    draws_NA = np.random.default_rng(seed).multivariate_normal(mean_A, covariance_AA, size=n_draws, method="eigh")
    top_NA = draws_NA == draws_NA.max(axis=1, keepdims=True)
    share_A = (top_NA / top_NA.sum(axis=1, keepdims=True)).mean(axis=0)
    return {name: float(x) for name, x in zip(known, share_A, strict=True)}


def _seed_only(m: Arm, is_base: bool) -> float:
    inner = sum(ms / (m.n_seeds * p) / m.n_families**2 for ms, p in zip(m.residual_F, m.problems_F, strict=True))
    if is_base:  # the covariance over problems holds all of its sampling variance
        return max(sampling_variance(m)[0] - inner, 0.0) if m.n_seeds > 1 else 0.0
    return max(seed_term(m)[0] - inner, 0.0)
