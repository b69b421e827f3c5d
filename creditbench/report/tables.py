"""The tidy tables of a suite, one fact per row.

Statistics come from `creditbench.stats`; this file only chooses what is asked and writes it down. Equal records give
equal bytes: rows are sorted, numbers have one format, and times stand in `cost.csv` and `cost_sums.csv` alone.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from creditbench.records import write_text
from creditbench.records.schemas import COUNTED
from creditbench.report.tables_cost import COST_COLUMNS, SUMS_COLUMNS, cost_rows, counted_costs, sum_rows
from creditbench.report.tables_data import COLUMNS as CONTAMINATION_COLUMNS
from creditbench.report.tables_length import BUDGET_COLUMNS, LENGTH_COLUMNS, budget_rows, length_rows
from creditbench.report.tables_load import BASE, Group, Loaded, load_suite_results, restricted
from creditbench.report.tables_pairs import VARIANCE_COLUMNS, pairwise_rows, variance_rows
from creditbench.report.tables_verdicts import COLUMNS as VERDICT_COLUMNS
from creditbench.report.tables_verdicts import ReportedPlan, verdict_rows
from creditbench.report.tables_views import EQUAL_COLUMNS, VIEWS_COLUMNS, equal_rows, views_rows
from creditbench.stats import SUPERPOPULATION, iqm, p_best, rank_intervals
from creditbench.stats.two_way import score_interval

Row = dict[str, Any]
COLUMNS: dict[str, tuple[str, ...]] = {
    "scores": (
        "suite", "track", "benchmark", "method", "seed", "metric", "value", "n_problems", "k", "mean_tokens",
        "truncated", "unparsed", "errors",
    ),
    "pairwise": (
        "track", "benchmark", "metric", "family", "method_a", "method_b", "estimand", "difference", "ci_low", "ci_high",
        "p", "p_holm", "mde", "n_seeds_a", "n_seeds_b", "test", "p_unpooled", "ci_low_unpooled", "ci_high_unpooled",
        "note", "p_improvement",
    ),
    "leaderboard": (
        "track", "method", "score", "ci_low", "ci_high", "rank_low", "rank_high", "n_seeds", *COUNTED, "p_first", "iqm",
    ),
    "verdicts": VERDICT_COLUMNS,
    "cost": COST_COLUMNS,
    "cost_sums": SUMS_COLUMNS,
    "budget": BUDGET_COLUMNS,
    "length": LENGTH_COLUMNS,
    "views": VIEWS_COLUMNS,
    "equal": EQUAL_COLUMNS,
    "variance": VARIANCE_COLUMNS,
    "contamination": CONTAMINATION_COLUMNS,
}  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """All tables of a suite as rows, and what a reader must be told: blocked groups, footnotes, results left out."""

    suite: str
    rows: dict[str, list[Row]]
    headline: dict[str, str]
    blocked: list[str] = field(default_factory=list)
    footnotes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    not_run: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    loaded: Loaded | None = None

    def csv(self, name: str) -> str:
        """One table as CSV text."""
        return csv_text(self.rows[name], COLUMNS[name])


def build_tables(
    suite_folder: Path | str,
    *,
    metrics: Sequence[str] = ("avg@k", "pass@k"),
    headline: str = "avg@k",
    allow: Iterable[str] = (),
    reported: ReportedPlan | None = None,
    not_run: Mapping[str, Mapping[str, str]] | None = None,
    data: Sequence[Row] = (),
    arms: Sequence[str] | None = None,
) -> Tables:
    """Compute every table from the complete records below `results/<suite>`.

    metrics: `avg@k`, `pass@j`, `pass^j`, `reward`, with `k` standing for the samples per problem; headline: the one
    that ranks. allow: guarded fields that may differ, printed as footnotes. A group that fails the guard contributes
    no row to any table; the reason is in `blocked`. reported: the papers' numbers to judge against. not_run: track ->
    arm -> why the suite leaves it out. data: rows of `contamination.csv` (`tables_data.contamination_rows`).
    arms: only these, where a table of few is wanted.
    Raises BadInput for an unknown field in `allow` or an unknown paper.
    """
    loaded = load_suite_results(suite_folder, allow)
    if arms is not None:
        loaded = restricted(loaded, arms)
    rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
    headlines: dict[str, str] = {}
    notes = []
    for group in loaded.groups:
        where = f"{group.track}/{group.benchmark}"
        if group.blocked:
            continue
        notes += [f"{where}: {note}" for note in group.footnotes]
        names = group.metrics(metrics)
        headlines[where] = group.metrics([headline])[0]
        rows["scores"] += score_rows(loaded.suite, group, names)
        rows["pairwise"] += pairwise_rows(group, names, headlines[where])
        rows["budget"] += budget_rows(group)
        rows["length"] += length_rows(group)
        rows["views"] += views_rows(group, headlines[where])
        rows["variance"] += variance_rows(group, headlines[where])
    for track in loaded.tracks:
        ranked, more = leaderboard_rows(loaded, track, headline)
        rows["leaderboard"] += ranked
        notes += more
        rows["equal"] += equal_rows(loaded, track)
    rows["contamination"] = list(data)
    rows["verdicts"] = verdict_rows(loaded, reported)
    rows["cost"], rows["cost_sums"] = cost_rows(loaded), sum_rows(loaded)
    blocked = [f"{g.track}/{g.benchmark}: {g.blocked}" for g in loaded.groups if g.blocked]
    return Tables(loaded.suite, rows, headlines, blocked, notes, loaded.left_out, not_run or {}, loaded)


def write_tables(tables: Tables, suite_folder: Path | str) -> list[Path]:
    """Write `tables/*.csv` below the suite's folder, each whole or not at all; returns the paths."""
    folder = Path(suite_folder) / "tables"
    return [write_text(folder / f"{name}.csv", tables.csv(name)) for name in COLUMNS]


def score_rows(suite: str, group: Group, metrics: Sequence[str]) -> list[Row]:
    """Rows of `scores.csv`: one per arm, seed and metric. Truncated, unparsed and errors are shares of samples."""
    rows = []
    for name, scores in sorted(group.arms.items()):
        shares = {column: scores.shares(o) for column, o in _SHARES.items()}
        tokens_S = scores.tokens_SPK.mean(axis=(1, 2), dtype=np.float64)
        for metric in metrics:
            values_S = np.asarray(group.values(name, metric)).mean(axis=(1, 2), dtype=np.float64)
            for i, seed in enumerate(scores.seeds):
                rows.append(
                    {
                        "suite": suite,
                        "track": group.track,
                        "benchmark": group.benchmark,
                        "method": name,
                        "seed": seed,
                        "metric": metric,
                        "value": float(values_S[i]),
                        "n_problems": group.n_problems,
                        "k": scores.k,
                        "mean_tokens": float(tokens_S[i]),
                        **{column: float(values[i]) for column, values in shares.items()},
                    }
                )
    return sorted(rows, key=lambda r: (r["track"], r["benchmark"], r["method"], r["seed"], metrics.index(r["metric"])))


_SHARES = {"truncated": "truncated", "unparsed": "unparsed", "errors": "error"}


def leaderboard_rows(loaded: Loaded, track: str, headline: str) -> tuple[list[Row], list[str]]:
    """Rows of `leaderboard.csv` for one track, best first, and notes on arms that could not be ranked.

    Score: mean over the track's benchmarks of the headline metric, over the seeds that have all of them. Interval and
    ranks speak about new problems of this kind and new seeds (`superpopulation`); ranks are Holm-corrected over all
    pairs. Arms with fewer than 3 seeds have no interval and no test, so that their rank range is everything.
    Secondary, in the CSV alone: `p_first` (`stats.p_best` among the arms that have the seeds for it), which takes the
    fitted variances for the true ones and so is too sure at few seeds, and `iqm`, the interquartile mean over seeds and
    benchmarks.
    """
    groups = loaded.of_track(track)
    if not groups:
        return [], []
    notes, ys, n_seeds = [], {}, {}
    for name in sorted({arm for group in groups for arm in group.arms}):
        missing = [g.benchmark for g in groups if name not in g.arms]
        if missing:
            notes.append(f"{track}: {name} has no result on {', '.join(missing)} and is not ranked")
            continue
        seeds = sorted(set.intersection(*(set(g.arms[name].seeds) for g in groups)))
        if not seeds:
            notes.append(f"{track}: {name} has no seed that is evaluated on every benchmark and is not ranked")
            continue
        ys[name] = [_rows_of(g, name, g.metrics([headline])[0], seeds) for g in groups]
        n_seeds[name] = len(seeds)
    if not ys:
        return [], notes
    rows = []
    base = [BASE] if BASE in ys else []
    tested = {name: y for name, y in ys.items() if n_seeds[name] >= 3 or name == BASE}
    fit = len(tested) > 1 and all(np.shape(y)[1] >= 2 for y in ys[next(iter(ys))])
    first = p_best(tested, base=base) if fit else {}
    for rank in rank_intervals(ys, base=base):
        interval = score_interval(ys[rank.method], estimand=SUPERPOPULATION, is_base=rank.method == BASE)
        rows.append(
            {
                "track": track,
                "method": rank.method,
                "score": rank.score,
                "ci_low": interval.ci_low,
                "ci_high": interval.ci_high,
                "rank_low": rank.rank_low,
                "rank_high": rank.rank_high,
                "p_first": first.get(rank.method),
                "iqm": iqm(np.stack([np.mean(y, axis=tuple(range(1, np.ndim(y)))) for y in ys[rank.method]])),
                "n_seeds": n_seeds[rank.method],
                **counted_costs(loaded, track, rank.method),
            }
        )
    return rows, notes


def _rows_of(group: Group, arm: str, metric: str, seeds: Sequence[int]) -> np.ndarray:
    index = [group.arms[arm].seeds.index(seed) for seed in seeds]
    return np.asarray(group.values(arm, metric))[index]


def csv_text(rows: Iterable[Row], columns: Sequence[str]) -> str:
    """CSV with a header and a final newline; numbers have one format, None and NaN are empty cells."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([number(row.get(name)) for name in columns])
    return out.getvalue()


def number(value: Any) -> str:
    """One text per value: eight significant digits, whole numbers without a point, nothing for None and NaN."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        return f"{float(value) + 0.0:.8g}"
    return str(value)
