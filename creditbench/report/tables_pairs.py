"""Differences between arms: which pairs, which test, which correction (`pairwise.csv`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from creditbench.records.paths import split_arm
from creditbench.report.tables_load import BASE, REFERENCE, Group
from creditbench.stats import (
    FIXED_SET,
    SUPERPOPULATION,
    Arm,
    Refusal,
    SeedVariance,
    TestResult,
    all_pairs,
    compare,
    holm,
    pooled_against_base,
    pooled_seed_variance,
    pooled_test,
    probability_of_improvement,
    variance_split,
)
from creditbench.stats import arm as as_arm

Row = dict[str, Any]
VARIANCE_COLUMNS = (
    "track", "benchmark", "metric", "method", "seed_sd", "problem_sd", "interaction_sd", "sampling_sd", "n_seeds",
    "n_problems", "k", "note",
)  # fmt: skip
FAMILIES = ("base", "grpo", "view", "placebo", "all")
MATCHED = "matched"  # the variant in which only the credit differs from the reference


def pairwise_rows(group: Group, metrics: Sequence[str], headline: str) -> list[Row]:
    """Rows of `pairwise.csv` for one (track, benchmark).

    Families: each arm against `base`, each against `grpo`, each method as published against its `@matched` arm
    (`view`), each arm against its placebo, and, for the headline metric, all pairs (for ranks). Each under both
    estimands; Holm inside (metric, family, estimand). `fixed_set`: Welch on seed means, or the fixed base plus its
    sampling variance; the seed variance is pooled over the trained arms where the heterogeneity check allows, and the
    unpooled result stands beside it. `superpopulation`: two-way t. `p_improvement` is the share of pairs of runs in
    which a's scores higher (ties half), a description.
    """
    rows: list[Row] = []
    for metric in metrics:
        known = {name: as_arm(group.values(name, metric), name) for name in group.arms}
        trained = {name: m for name, m in known.items() if name != BASE}
        pool = seed_pool(trained)
        for family in FAMILIES[:4]:
            for estimand in (FIXED_SET, SUPERPOPULATION):
                pairs = family_pairs(known, family)
                tests = [tested(known, a, b, estimand, pool) for a, b in pairs]
                rows += _family_rows(group, metric, family, estimand, known, pairs, tests)
        if metric == headline:
            for estimand in (FIXED_SET, SUPERPOPULATION):
                found = all_pairs(known, estimand=estimand, base=[BASE] if BASE in known else [])
                pairs = [(p.method_a, p.method_b) for p in found]
                tests = [(p.result, None, "") for p in found]
                rows += _family_rows(group, metric, "all", estimand, known, pairs, tests)
    return rows


def family_pairs(arms: Mapping[str, Any], family: str) -> list[tuple[str, str]]:
    """Pairs (a, b) of a family, in order: a is the arm that is judged, b what it is judged against."""
    if family == "placebo":
        placebos = [name for name in arms if split_arm(name)[2]]
        return [(owner, name) for name in sorted(placebos) if (owner := name.partition("+")[0]) in arms]
    if family == "view":
        return [(a, f"{a}@{MATCHED}") for a in sorted(arms) if f"{a}@{MATCHED}" in arms]
    other = BASE if family == "base" else REFERENCE
    return [(name, other) for name in sorted(arms) if name not in (BASE, other)] if other in arms else []


def seed_pool(trained: Mapping[str, Arm]) -> SeedVariance | None:
    """Seed variance pooled over the trained arms; None when no arm has two seeds."""
    try:
        return pooled_seed_variance(trained)
    except Refusal:
        return None


def tested(
    known: Mapping[str, Arm], a: str, b: str, estimand: str, pool: SeedVariance | None
) -> tuple[TestResult, TestResult | None, str]:
    """One pair: (result that counts, the unpooled one beside it or None, why there is no pooled one)."""
    y_a, y_b = known[a], known[b]
    if estimand != FIXED_SET or pool is None:
        return compare(y_a, y_b, estimand=estimand, b_is_base=b == BASE), None, ""
    both = pooled_against_base(y_a, y_b, pool) if b == BASE else pooled_test(y_a, y_b, pool)
    return (both.unpooled, None, both.why_not_pooled) if both.pooled is None else (both.pooled, both.unpooled, "")


def _family_rows(
    group: Group,
    metric: str,
    family: str,
    estimand: str,
    known: Mapping[str, Arm],
    pairs: Sequence[tuple[str, str]],
    tests: Sequence[tuple[TestResult, TestResult | None, str]],
) -> list[Row]:
    adjusted = holm([result.p for result, _, _ in tests])
    rows = []
    for (a, b), (result, own, why), p_holm in zip(pairs, tests, adjusted, strict=True):
        beside = own or result
        rows.append(
            {
                "track": group.track,
                "benchmark": group.benchmark,
                "metric": metric,
                "family": family,
                "method_a": a,
                "method_b": b,
                "estimand": estimand,
                "difference": result.difference,
                "ci_low": result.ci_low,
                "ci_high": result.ci_high,
                "p": result.p,
                "p_holm": p_holm,
                "mde": result.mde,
                "n_seeds_a": result.n_a,
                "n_seeds_b": result.n_b,
                "test": _name(result, own, b, estimand),
                "p_unpooled": beside.p,
                "ci_low_unpooled": beside.ci_low,
                "ci_high_unpooled": beside.ci_high,
                "p_improvement": probability_of_improvement(known[a].seed_means_S, known[b].seed_means_S),
                "note": "; ".join(text for text in (result.note, "" if why and why in result.note else why) if text),
            }
        )
    return rows


def _name(result: TestResult, own: TestResult | None, b: str, estimand: str) -> str:
    if result.p is None:
        return "descriptive"
    if estimand != FIXED_SET:
        return "two-way t"
    kind = "one-sample t" if b == BASE else "Welch t" if own is None else "t"
    return f"{kind}, pooled seed variance" if own is not None else kind


def variance_rows(group: Group, metric: str) -> list[Row]:
    """Rows of `variance.csv`: where an arm's spread comes from, as standard deviations of one seed, problem, sample.

    Crossed ANOVA estimates (`stats.variance_split`) of the headline metric; negative components are cut to 0, unknown
    ones are empty and the note says why. The seeds of `base` are evaluation seeds: their spread is sampling.
    """
    rows = []
    for name in sorted(group.arms):
        found = variance_split(group.values(name, metric))
        parts = {part: getattr(found, part) for part in ("seed", "problem", "interaction", "sampling")}
        sds = {f"{part}_sd": None if v is None else math.sqrt(v) for part, v in parts.items()}
        facts = {"n_seeds": found.n_seeds, "n_problems": found.n_problems, "k": found.k, "note": found.note}
        where = {"track": group.track, "benchmark": group.benchmark, "metric": metric, "method": name}
        rows.append(where | sds | facts)
    return rows
