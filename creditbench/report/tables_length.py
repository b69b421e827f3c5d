"""Length control: accuracy under token budgets (`budget.csv`) and differences at equal length (`length.csv`)."""

from __future__ import annotations

import math
from typing import Any

from creditbench.report.tables_load import BASE, Group
from creditbench.report.tables_pairs import family_pairs
from creditbench.stats import ESTIMANDS, accuracy_at_budgets, budgets_of, holm, length_matched
from creditbench.stats.two_way import score_interval

Row = dict[str, Any]
PUBLISHED_BUDGETS = (1000, 2000, 4000, 8000, 16000, 32000)
FAMILIES = ("base", "grpo", "view", "placebo")
BUDGET_COLUMNS = (
    "track", "benchmark", "method", "budget", "of_cap", "score", "ci_low", "ci_high", "over_budget", "n_seeds",
)  # fmt: skip
LENGTH_COLUMNS = (
    "track", "benchmark", "family", "method_a", "method_b", "estimand", "difference", "at_equal_length", "ci_low",
    "ci_high", "p", "p_holm", "slope", "slope_low", "slope_high", "length_ratio", "n_seeds_a", "n_seeds_b", "note",
)  # fmt: skip


def budget_rows(group: Group) -> list[Row]:
    """Rows of `budget.csv`: the share of samples that are correct within a token budget, per arm, with its interval.

    Budgets: 1/8, 1/4, 1/2 and all of the cap, and the papers' 1k to 32k where they fit. `over_budget` is the share of
    samples that are longer. Intervals speak about these problems and new seeds (`fixed_set`).
    """
    rows = []
    if group.cap < 8:
        return rows
    budgets = budgets_of(group.cap, PUBLISHED_BUDGETS)
    for name, scores in sorted(group.arms.items()):
        values_BS = accuracy_at_budgets(scores.correct_SPK, scores.tokens_SPK, budgets)
        for i, budget in enumerate(budgets):
            within_SPK = scores.correct_SPK & (scores.tokens_SPK <= budget)
            interval = score_interval(within_SPK, estimand="fixed_set", is_base=name == BASE)
            rows.append(
                {
                    "track": group.track,
                    "benchmark": group.benchmark,
                    "method": name,
                    "budget": budget,
                    "of_cap": budget / group.cap,
                    "score": float(values_BS[i].mean()),
                    "ci_low": interval.ci_low,
                    "ci_high": interval.ci_high,
                    "over_budget": float((scores.tokens_SPK > budget).mean()),
                    "n_seeds": len(scores.seeds),
                }
            )
    return rows


def length_rows(group: Group) -> list[Row]:
    """Rows of `length.csv`: accuracy of a minus b as measured, and at equal length, for the families of `pairwise.csv`.

    `at_equal_length` is the intercept of the per-problem regression of the accuracy difference on the difference of
    mean log lengths (`stats.length_matched`) with its interval; `slope` is accuracy per unit of log length;
    `length_ratio` is the geometric mean over problems of length a / length b. p is Holm-corrected inside (family,
    estimand). Evaluation seeds of the base count as its seeds. Accuracy only: partial rewards have no row.
    """
    rows: list[Row] = []
    for family in FAMILIES:
        for estimand in ESTIMANDS:
            pairs = family_pairs(group.arms, family)
            found = [_matched(group, a, b, estimand) for a, b in pairs]
            adjusted = holm([result.matched.p for result in found])
            for (a, b), result, p_holm in zip(pairs, found, adjusted, strict=True):
                test = result.matched
                has = test.p is not None
                rows.append(
                    {
                        "track": group.track,
                        "benchmark": group.benchmark,
                        "family": family,
                        "method_a": a,
                        "method_b": b,
                        "estimand": estimand,
                        "difference": result.raw,
                        "at_equal_length": test.difference if has else None,
                        "ci_low": test.ci_low,
                        "ci_high": test.ci_high,
                        "p": test.p,
                        "p_holm": p_holm,
                        "slope": result.slope,
                        "slope_low": result.slope_low,
                        "slope_high": result.slope_high,
                        "length_ratio": math.exp(result.log_ratio),
                        "n_seeds_a": test.n_a,
                        "n_seeds_b": test.n_b,
                        "note": test.note,
                    }
                )
    return rows


def _matched(group: Group, a: str, b: str, estimand: str) -> Any:
    x, y = group.arms[a], group.arms[b]
    return length_matched(x.correct_SPK, x.tokens_SPK, y.correct_SPK, y.tokens_SPK, estimand=estimand)
