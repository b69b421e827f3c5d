"""Fair comparisons beyond the final score: the two views (`views.csv`), and equal steps and tokens (`equal.csv`).

Views. `as-published`: each method's own clip, aggregation, sampling and reward shaping: its plain
arm. `matched`: the arm `<method>@matched`, where only the credit differs from the reference; the reference itself
stands in both. Scores, ranks and Holm's correction are computed inside each view.

Equal steps and tokens. Only the last checkpoint is evaluated, so the test score at an earlier point is not known.
What is known at every step is the share of correct training rollouts. Its mean over the last tenth of a run's steps is
read at the largest number of steps, and of generated tokens, that every trained run of the track reached: nothing is
extrapolated. It speaks about training problems; the test score at the end, and the tokens it took, stand in
`leaderboard.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from creditbench.errors import CreditBenchError
from creditbench.records import read_parquet
from creditbench.records.paths import CURVE, find_runs, split_arm
from creditbench.report.tables_load import BASE, REFERENCE, Group, Loaded
from creditbench.report.tables_pairs import MATCHED, seed_pool, tested
from creditbench.stats import FIXED_SET, SUPERPOPULATION, compare, holm, rank_intervals, trailing_mean, value_at_cost
from creditbench.stats import arm as as_arm
from creditbench.stats.two_way import score_interval

Row = dict[str, Any]
PUBLISHED = "as-published"
VIEWS_COLUMNS = (
    "track", "benchmark", "metric", "view", "method", "arm", "score", "ci_low", "ci_high", "rank_low", "rank_high",
    "against_grpo", "diff_low", "diff_high", "p", "p_holm", "n_seeds",
)  # fmt: skip
EQUAL_COLUMNS = (
    "track", "method", "equal", "at", "training_accuracy", "ci_low", "ci_high", "against_grpo", "diff_low", "diff_high",
    "p", "p_holm", "step", "generated_tokens", "n_seeds",
)  # fmt: skip
WINDOW = 0.1  # of a run's steps


def arms_of_views(arms: Sequence[str]) -> dict[str, dict[str, str]]:
    """view -> method -> arm; empty when no `@matched` arm is there. Placebos belong to neither view."""
    parts = {arm: split_arm(arm) for arm in arms}
    matched = {p[0]: arm for arm, p in parts.items() if p[1:] == (MATCHED, "")}
    if not matched:
        return {}
    plain = {p[0]: arm for arm, p in parts.items() if p[1:] == ("", "")}
    both = {method: plain[method] for method in (BASE, REFERENCE) if method in plain}
    return {PUBLISHED: plain, MATCHED: both | matched}


def views_rows(group: Group, metric: str) -> list[Row]:
    """Rows of `views.csv` for one (track, benchmark): both views side by side, headline metric.

    Score intervals and ranks speak about new problems, differences to the reference about these problems, as in the
    leaderboard's tables; the seed variance is pooled over all trained arms of the group where that is allowed.
    """
    rows: list[Row] = []
    views = arms_of_views(sorted(group.arms))
    known = {arm: as_arm(group.values(arm, metric), arm) for arm in group.arms} if views else {}
    pool = seed_pool({arm: m for arm, m in known.items() if arm != BASE})
    for view, by_method in views.items():
        ys = {arm: known[arm] for arm in by_method.values()}
        ranks = {r.method: r for r in rank_intervals(ys, base=[BASE] if BASE in ys else [])}
        reference = by_method.get(REFERENCE)
        judged = [arm for arm in ys if reference in ys and arm not in (reference, BASE)]
        tests = [tested(known, arm, reference, FIXED_SET, pool)[0] for arm in judged] if reference else []
        found = dict(zip(judged, zip(tests, holm([t.p for t in tests]), strict=True), strict=True))
        for method, arm in sorted(by_method.items()):
            own = score_interval(ys[arm], estimand=SUPERPOPULATION, is_base=arm == BASE)
            test, p_holm = found.get(arm, (None, None))
            rows.append(
                {
                    "track": group.track,
                    "benchmark": group.benchmark,
                    "metric": metric,
                    "view": view,
                    "method": method,
                    "arm": arm,
                    "score": own.difference,
                    "ci_low": own.ci_low,
                    "ci_high": own.ci_high,
                    "rank_low": ranks[arm].rank_low,
                    "rank_high": ranks[arm].rank_high,
                    **_against(test, p_holm),
                    "n_seeds": len(group.arms[arm].seeds),
                }
            )
    return rows


def equal_rows(loaded: Loaded, track: str) -> list[Row]:
    """Rows of `equal.csv` for one track: training accuracy of every arm at equal steps and at equal generated tokens.

    Differences to the reference by Welch's test on seeds, Holm inside (track, kind of equality). Empty when fewer than
    two arms of the track left a curve with accuracies and token counts. Damaged curves are skipped; `verify` names
    them.
    """
    runs = _curves(loaded, track)
    arms = sorted({arm for arm, _ in runs})
    if len(arms) < 2:
        return []
    rows = []
    for equal, axis in (("steps", 0), ("tokens", 1)):
        at = min(float(curve[axis][-1]) for curve in runs.values())
        points = {key: _reading(curve, axis, at) for key, curve in runs.items()}
        known = {key: point for key, point in points.items() if point is not None}
        values = {arm: np.array([p[2] for (a, _), p in sorted(known.items()) if a == arm]) for arm in arms}
        values = {arm: v_S for arm, v_S in values.items() if v_S.size}
        judged = [arm for arm in values if arm != REFERENCE and REFERENCE in values]
        tests = [compare(values[arm], values[REFERENCE], estimand=FIXED_SET) for arm in judged]
        found = dict(zip(judged, zip(tests, holm([t.p for t in tests]), strict=True), strict=True))
        for arm, v_S in values.items():
            own = score_interval(v_S, estimand=FIXED_SET)
            mine = [p for (a, _), p in known.items() if a == arm]
            test, p_holm = found.get(arm, (None, None))
            rows.append(
                {
                    "track": track,
                    "method": arm,
                    "equal": equal,
                    "at": at,
                    "training_accuracy": own.difference,
                    "ci_low": own.ci_low,
                    "ci_high": own.ci_high,
                    **_against(test, p_holm),
                    "step": float(np.mean([p[0] for p in mine])),
                    "generated_tokens": float(np.mean([p[1] for p in mine])),
                    "n_seeds": v_S.size,
                }
            )
    return rows


def _against(test: Any, p_holm: float | None) -> Row:
    if test is None:
        return dict.fromkeys(("against_grpo", "diff_low", "diff_high", "p", "p_holm"))
    low, high = test.ci_low, test.ci_high
    return {"against_grpo": test.difference, "diff_low": low, "diff_high": high, "p": test.p, "p_holm": p_holm}


Curve = tuple[np.ndarray, np.ndarray, np.ndarray]  # steps done, tokens generated so far, trailing accuracy; (T,) each


def _curves(loaded: Loaded, track: str) -> Mapping[tuple[str, int], Curve]:
    """Curves of the track's runs whose arm is in one of its tables, by (arm, seed)."""
    shown = {arm for group in loaded.of_track(track) for arm in group.arms}
    out: dict[tuple[str, int], Curve] = {}
    for place in find_runs(loaded.folder):
        if place.track != track or place.arm not in shown:
            continue
        try:
            table = read_parquet(place.folder / CURVE, columns=["step", "correct", "generated_tokens"])
            correct_T, tokens_T = (table[c].to_numpy().astype(np.float64) for c in ("correct", "generated_tokens"))
        except (CreditBenchError, OSError, KeyError, ValueError):
            continue  # no usable curve: the run keeps its place in the other tables
        keep = np.isfinite(correct_T) & np.isfinite(tokens_T) & (tokens_T > 0)
        if not keep.any():
            continue
        window = max(1, round(WINDOW * int(keep.sum())))
        steps_T = table["step"].to_numpy().astype(np.float64)[keep] + 1
        out[place.arm, place.seed] = (steps_T, np.cumsum(tokens_T[keep]), trailing_mean(correct_T[keep], window))
    return out


def _reading(curve: Curve, axis: int, at: float) -> tuple[float, float, float] | None:
    """(step, tokens, accuracy) of a curve at a number of steps (axis 0) or tokens (axis 1); None before its start."""
    found = [value_at_cost(curve[axis], column, at) for column in curve]
    if any(value is None for value in found):
        return None
    step, tokens, accuracy = (float(value) for value in found if value is not None)
    return step, tokens, accuracy
