"""What the page and the figures show, as plain JSON values computed from the tables: nothing here is drawn or escaped.

Numbers have the eight significant digits of the CSVs, lists are sorted: equal records give equal bytes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from creditbench.benchmark import read_yaml, repo_root
from creditbench.records.paths import split_arm
from creditbench.records.schemas import COUNTED
from creditbench.report.tables import Tables
from creditbench.report.tables_load import BASE, REFERENCE, Group
from creditbench.report.tables_reading import reading_aids
from creditbench.stats import ESTIMANDS, rank_intervals
from creditbench.stats.two_way import score_interval

Json = dict[str, Any]
PAIR_FIELDS = ("method_a", "method_b", "difference", "ci_low", "ci_high", "p", "p_holm", "mde", "test", "note")
LENGTH_FIELDS = (
    "method_a", "method_b", "difference", "at_equal_length", "ci_low", "ci_high", "p_holm", "slope", "length_ratio",
    "note",
)  # fmt: skip
VIEW_FIELDS = (
    "view", "method", "arm", "score", "ci_low", "ci_high", "rank_low", "rank_high", "against_grpo", "diff_low",
    "diff_high", "p_holm",
)  # fmt: skip
EQUAL_FIELDS = (
    "method", "equal", "at", "training_accuracy", "ci_low", "ci_high", "against_grpo", "diff_low", "diff_high",
    "p_holm", "step", "generated_tokens",
)  # fmt: skip
SPREAD_FIELDS = ("method", "seed_sd", "problem_sd", "interaction_sd", "sampling_sd")
CORE_VERSION = 2
MAX_PROBLEMS = 2000  # more columns than this are no heat map


def rounded(value: Any) -> Any:
    """A JSON value with every float at the CSVs' eight significant digits; NaN and infinities become None.

    With fewer the page would round twice: 30.7498 as 30.75 and then as 30.8, where the tables say 30.7.
    """
    if isinstance(value, Mapping):
        return {str(key): rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, np.generic):
        return rounded(value.item())
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        short = float(f"{value:.8g}")
        return int(short) if short.is_integer() and abs(short) < 1e15 else short
    return value


def page_view(tables: Tables, suite_folder: Path, root: Path | None = None) -> Json:
    """The whole core payload of the page: tracks, groups, arms, verdicts and what was left out."""
    loaded = tables.loaded
    groups = [g for g in loaded.groups if not g.blocked] if loaded else []
    arms = sorted({arm for group in groups for arm in group.arms} | {r["method"] for r in tables.rows["cost"]})
    view = {
        "suite": tables.suite,
        "base": BASE,
        "reference": REFERENCE,
        "estimands": list(ESTIMANDS),
        "tracks": [track_view(tables, track) for track in sorted({g.track for g in groups})],
        "groups": {f"{g.track}/{g.benchmark}": group_view(tables, g) for g in groups},
        "arms": {arm: arm_view(arm, root) for arm in arms},
        "verdicts": verdicts(tables, suite_folder),
        "blocked": tables.blocked,
        "footnotes": tables.footnotes,
        "contamination": tables.rows["contamination"],
        "left_out": tables.left_out,
    }
    return rounded(view)


def track_view(tables: Tables, track: str) -> Json:
    """One track: its benchmarks, the reading aids, costs per arm and summed (under ""), ranks over all benchmarks."""
    assert tables.loaded is not None
    groups = tables.loaded.of_track(track)
    rows = [row for row in tables.rows["leaderboard"] if row["track"] == track]
    view: Json = {
        "name": track,
        "benchmarks": [g.benchmark for g in groups],
        "aids": reading_aids(tables, track),
        "equal": [[row.get(name) for name in EQUAL_FIELDS] for row in tables.rows["equal"] if row["track"] == track],
        "costs": {row["method"]: {name: row[name] for name in COUNTED} for row in rows},
        "spent": {row["method"]: row for row in tables.rows["cost_sums"] if row["track"] == track},
    }
    if len(groups) > 1:
        headline = [tables.headline[f"{track}/{g.benchmark}"] for g in groups]
        ys = {}
        for row in rows:
            arm = row["method"]
            seeds = sorted(set.intersection(*(set(g.arms[arm].seeds) for g in groups)))
            ys[arm] = [_of_seeds(g, arm, m, seeds) for g, m in zip(groups, headline, strict=True)]
        view["overall"] = {estimand: rank_rows(ys, estimand) for estimand in ESTIMANDS}
        view["metric"] = headline[0] if len(set(headline)) == 1 else "headline metric"
    return view


def _of_seeds(group: Group, arm: str, metric: str, seeds: Sequence[int]) -> np.ndarray:
    index = [group.arms[arm].seeds.index(seed) for seed in seeds]
    return np.asarray(group.values(arm, metric))[index]


def rank_rows(ys: Mapping[str, Any], estimand: str) -> list[Json]:
    """Score, interval and rank range of every arm, best first."""
    rows = []
    for rank in rank_intervals(ys, estimand=estimand, base=[BASE] if BASE in ys else []):
        own = score_interval(ys[rank.method], estimand=estimand, is_base=rank.method == BASE)
        rows.append(
            {
                "arm": rank.method, "score": rank.score, "lo": own.ci_low, "hi": own.ci_high,
                "rank": [rank.rank_low, rank.rank_high],
            }
        )  # fmt: skip
    return rows


def group_view(tables: Tables, group: Group) -> Json:
    """One (track, benchmark): scores, ranks, differences, budgets and per-problem counts of every arm."""
    where = f"{group.track}/{group.benchmark}"
    scores = [r for r in tables.rows["scores"] if (r["track"], r["benchmark"]) == (group.track, group.benchmark)]
    metrics = list(dict.fromkeys(row["metric"] for row in scores))
    by_metric: dict[str, dict[str, list[float]]] = {}
    for row in scores:
        by_metric.setdefault(row["metric"], {}).setdefault(row["method"], []).append(row["value"])
    view: Json = {
        "track": group.track,
        "benchmark": group.benchmark,
        "metrics": metrics,
        "headline": tables.headline[where],
        "k": group.k,
        "n": group.n_problems,
        "cap": group.cap,
        "protocol": protocol_facts(group),
        "seeds": {arm: list(found.seeds) for arm, found in group.arms.items()},
        "scores": by_metric,
        "ranks": {
            metric: {e: rank_rows({arm: group.values(arm, metric) for arm in group.arms}, e) for e in ESTIMANDS}
            for metric in metrics
        },
        "pairs": pair_views(tables, group),
        "budget": [
            [r["method"], r["budget"], r["score"], r["ci_low"], r["ci_high"], r["over_budget"]]
            for r in tables.rows["budget"]
            if (r["track"], r["benchmark"]) == (group.track, group.benchmark)
        ],
        "length": length_views(tables, group),
        "views": _lists(tables, group, "views", VIEW_FIELDS),
        "spread": _lists(tables, group, "variance", SPREAD_FIELDS),
        "facts": {
            arm: {"tokens": found.mean_tokens, **{o: found.share(o) for o in ("truncated", "unparsed", "error")}}
            for arm, found in group.arms.items()
        },
        "chance": group.manifest.eval.chance if group.manifest.eval else None,
    }
    if group.n_problems <= MAX_PROBLEMS:
        view["solved"] = {arm: found.correct_SPK.sum(axis=(0, 2)).tolist() for arm, found in group.arms.items()}
        view["of"] = {arm: len(found.seeds) * found.k for arm, found in group.arms.items()}
    return view


def _lists(tables: Tables, group: Group, table: str, names: Sequence[str]) -> list[list[Any]]:
    rows = [r for r in tables.rows[table] if (r["track"], r["benchmark"]) == (group.track, group.benchmark)]
    return [[row.get(name) for name in names] for row in rows]


def length_views(tables: Tables, group: Group) -> Json:
    """family -> estimand -> rows in the order of `LENGTH_FIELDS`."""
    out: Json = {}
    for row in tables.rows["length"]:
        if (row["track"], row["benchmark"]) == (group.track, group.benchmark):
            place = out.setdefault(row["family"], {}).setdefault(row["estimand"], [])
            place.append([row.get(name) for name in LENGTH_FIELDS])
    return out


def pair_views(tables: Tables, group: Group) -> Json:
    """metric -> family -> estimand -> rows in the order of `PAIR_FIELDS`."""
    out: Json = {}
    for row in tables.rows["pairwise"]:
        if (row["track"], row["benchmark"]) == (group.track, group.benchmark):
            place = out.setdefault(row["metric"], {}).setdefault(row["family"], {})
            place.setdefault(row["estimand"], []).append([row.get(name) for name in PAIR_FIELDS])
    return out


def protocol_facts(group: Group) -> str:
    """One line that says how the benchmark was run."""
    facts = group.manifest.eval
    if facts is None:
        return ""
    protocol, window = facts.protocol, facts.protocol.get("window") or {}
    turns = protocol.get("max_turns", 1)
    parts = [
        f"{group.n_problems} problems × {group.k} samples",
        f"split {facts.split}",
        f"temperature {protocol.get('temperature', 1):g}, top-p {protocol.get('top_p', 1):g}",
        f"cap {protocol.get('max_new_tokens')} tokens" + (f" per turn, {turns} turns" if turns > 1 else ""),
        f"grader {facts.grader.id} {facts.grader.version}",
        f"engine {facts.engine.name} {facts.engine.version}".rstrip(),
    ]
    if any(window.values()):
        parts.append(f"dates {window.get('start') or ''} to {window.get('end') or ''}")
    return ", ".join(parts)


def arm_view(arm: str, root: Path | None = None) -> Json:
    """What kind of arm it is and what its method's card says, as far as there is a card."""
    method, variant, placebo = split_arm(arm)
    kind = "base" if arm == BASE else "placebo" if placebo else "variant" if variant else "method"
    view: Json = {"kind": kind, "method": method, "owner": arm.partition("+")[0] if placebo else ""}
    path = (root or repo_root()) / "methods" / method / "card.yaml"
    if path.is_file():
        card = read_yaml(path)
        paper = card.get("paper") or {}
        view |= {
            "title": str(card.get("title", "")),
            "summary": str(card.get("summary", "")),
            "privileged": str(card.get("privileged", "")),
            "paper": str(paper.get("id", "")) if isinstance(paper, Mapping) else "",
            "url": web_address(paper.get("url")) if isinstance(paper, Mapping) else "",
        }
    return view


def web_address(url: Any) -> str:
    """`url` when it is an https address, else "": a card must not smuggle another scheme into a link."""
    return str(url) if str(url or "").startswith("https://") else ""


def verdicts(tables: Tables, suite_folder: Path) -> list[Json]:
    """Rows of `verdicts.csv`: from the tables when they hold it, else from the suite's folder; numbers as numbers."""
    rows: list[Json] = list(tables.rows.get("verdicts", []))
    path = Path(suite_folder) / "tables" / "verdicts.csv"
    if not rows and path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [dict(row) for row in csv.DictReader(file)]
    for row in rows:
        for name in ("reported", "ours", "margin"):
            row[name] = _number(row.get(name))
    return rows


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
