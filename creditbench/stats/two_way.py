"""Seeds x problems crossed: the test behind "method a is better than method b" for new seeds and new problems.

V = V_seed + V_prob - V_int. The spread of seed means and the spread of per-problem differences both contain the
seed x problem residual (which holds the sampling noise too), so it is taken off once. V is never allowed below
V_seed or V_prob: what is cut off would be a negative variance component.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from creditbench.stats.arms import (
    ZERO_VARIANCE,
    Arm,
    arm,
    binomial_floor,
    difference_arm,
    same_problems,
    sampling_variance,
)
from creditbench.stats.result import (
    SUPERPOPULATION,
    Term,
    TestResult,
    cautious_df,
    check_level,
    descriptive,
    satterthwaite,
    t_result,
    too_few_seeds,
)

MIN_PROBLEMS = 2
IDENTICAL = "no spread over seeds and problems: the bound m(1-m)/P on the variance over problems stands in for it"


def two_way_t(y_a: Any, y_b: Any, *, paired: bool = False, level: float = 0.95) -> TestResult:
    """t test of a minus b with seeds and problems both random (crossed analysis of variance).

    y_a (S_a, P, K), y_b (S_b, P, K) in [0, 1], the same problems in the same order, or lists of such arrays
    (families, equal weight, the same seeds in each). Per arm V_seed = s2(seed means)/S, V_int = residual MS/(S P);
    V_prob = s2(d_p)/P over the per-problem differences; V = V_seed + V_prob - V_int, df by Satterthwaite.
    On balanced data t^2 is the quasi-F MS_arm / (MS_seed + MS_arm:problem - MS_residual).
    `paired`: seed s of both arms shares its data order; all spreads are then those of the seed-wise difference, with
    S - 1 instead of 2 (S - 1) df for the seeds, which is why `cautious_df` replaces Satterthwaite's there.
    p is None below 3 seeds or 2 problems. Raises BadInput for unequal problem sets, or unequal S when paired.
    """
    check_level(level)
    a, b = arm(y_a, "y_a"), arm(y_b, "y_b")
    same_problems(a, b)
    difference = a.score - b.score
    if why := too_few_seeds(a.n_seeds, b.n_seeds) or _too_few_problems(a):
        return descriptive(SUPERPOPULATION, difference, a.n_seeds, b.n_seeds, why)
    models = (difference_arm(a, b),) if paired else (a, b)
    seed_terms = [seed_term(m) for m in models]
    interaction_terms = [t for m in models for t in interaction(m)]
    return _combine(difference, seed_terms, problem_terms(a, b), interaction_terms, (a, b), level, two_arms=not paired)


def two_way_against_base(m: Arm, base: Arm, *, level: float = 0.95) -> TestResult:
    """`one_sample_against_base` for new problems: the base brings V_base (sampling) in place of seed variance."""
    difference = m.score - base.score
    if why := _too_few_problems(m):
        return descriptive(SUPERPOPULATION, difference, m.n_seeds, base.n_seeds, why)
    v_base = sampling_variance(base)
    return _combine(
        difference,
        [seed_term(m), v_base],
        problem_terms(m, base),
        [*interaction(m), v_base],
        (m, base),
        level,
    )


def score_interval(
    y: Any, *, estimand: str = SUPERPOPULATION, is_base: bool = False, level: float = 0.95
) -> TestResult:
    """Interval of one arm's own score; `difference` holds the score, `p` tests nothing and is None.

    fixed_set: t interval on seed means; superpopulation: the two-way variance of one arm; both cut at 0 and 1, beyond
    which no score lies (a cut interval covers as often as the whole one). `is_base`: the seeds are
    evaluation seeds of one model, whose only variance besides the problems is sampling.
    """
    check_level(level)
    m = arm(y, "y")
    why = "" if is_base else too_few_seeds(m.n_seeds)
    if estimand == SUPERPOPULATION:
        why = why or _too_few_problems(m)
    if why:
        return descriptive(estimand, m.score, m.n_seeds, 0, why)
    seed = [sampling_variance(m) if is_base else seed_term(m)]
    if estimand == SUPERPOPULATION:
        inner = list(seed) if is_base else interaction(m)
        out = _combine(m.score, seed, problem_terms(m, None), inner, (m,), level)
    elif seed[0][0] <= ZERO_VARIANCE:
        floor = binomial_floor(m, new_problems=False)
        out = t_result(estimand, m.score, floor, max(m.n_seeds - 1, 1), m.n_seeds, 0, level=level, note=IDENTICAL)
    else:
        out = t_result(estimand, m.score, *seed[0], m.n_seeds, 0, level=level)
    ends = [None if end is None else min(max(end, 0.0), 1.0) for end in (out.ci_low, out.ci_high)]
    return TestResult(**{**out.__dict__, "ci_low": ends[0], "ci_high": ends[1], "p": None, "mde": None, "n_b": 0})


def seed_term(m: Arm) -> Term:
    """Contribution of the training seeds to the variance of the score, with df S - 1."""
    return m.seed_variance / m.n_seeds, m.n_seeds - 1


def problem_terms(a: Arm, b: Arm | None) -> list[Term]:
    """Per family s2(d_p)/P over per-problem differences (or scores, without b), weighted for the mean over families."""
    out = []
    for f, n_problems in enumerate(a.problems_F):
        d_P = a.problem_means_FP[f] - (b.problem_means_FP[f] if b is not None else 0.0)
        out.append((float(d_P.var(ddof=1)) / n_problems / a.n_families**2, n_problems - 1))
    return out


def interaction(m: Arm) -> list[Term]:
    """Per family residual MS/(S P): seed x problem interaction and sampling, with df (S-1)(P-1)."""
    return [
        (ms / (m.n_seeds * n_problems) / m.n_families**2, (m.n_seeds - 1) * (n_problems - 1))
        for ms, n_problems in zip(m.residual_F, m.problems_F, strict=True)
    ]


def _too_few_problems(m: Arm) -> str:
    if min(m.problems_F) >= MIN_PROBLEMS:
        return ""
    return (
        f"{min(m.problems_F)} problem(s) say nothing about other problems: use at least {MIN_PROBLEMS}, "
        "or declare the estimand fixed_set"
    )


def _combine(
    difference: float,
    seed: Sequence[Term],
    problem: Sequence[Term],
    inner: Sequence[Term],
    models: tuple[Arm, ...],
    level: float,
    *,
    two_arms: bool = False,
) -> TestResult:
    v_seed, v_problem, v_inner = (sum(v for v, _ in terms) for terms in (seed, problem, inner))
    variance = max(v_seed + v_problem - v_inner, v_seed, v_problem)
    n_a, n_b = models[0].n_seeds, models[-1].n_seeds
    if variance <= ZERO_VARIANCE:
        variance = sum(binomial_floor(m, new_problems=True) for m in models)
        df = max(1, min(sum(m.n_seeds - 1 for m in models), *(p - 1 for p in models[0].problems_F)))
        return t_result(SUPERPOPULATION, difference, variance, df, n_a, n_b, level=level, note=IDENTICAL)
    if two_arms:
        df = satterthwaite(variance, [*seed, *problem, *inner])
    else:
        rest = variance - seed[0][0]
        known = [*seed[1:], *problem]
        df = cautious_df([seed[0], (rest, satterthwaite(sum(v for v, _ in known), known))])
    return t_result(SUPERPOPULATION, difference, variance, df, n_a, n_b, level=level)
