"""`verdicts.csv`: a paper's number beside ours, with a verdict (`creditbench.stats.verdict` has the rules)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from creditbench.errors import unknown
from creditbench.records.paths import split_arm
from creditbench.report.tables_load import BASE, REFERENCE, Group, Loaded
from creditbench.report.tables_pairs import Row, seed_pool
from creditbench.stats import Reported, SeedVariance, paper_verdict
from creditbench.stats import arm as as_arm

COLUMNS = (
    "paper", "table", "benchmark", "metric", "method", "reported", "ours", "margin", "verdict", "gain_verdict", "why",
    "track",
)  # fmt: skip
_AT_K = re.compile(r"(avg|pass)@([0-9]+)")
_SCALE = {"percent": 100.0, "fraction": 1.0}


@dataclass(frozen=True)
class ReportedPlan:
    """Which papers' numbers a suite is judged against, fixed before running.

    names: `<paper>` or `<paper>:<table>` of `folder` (results/reported); margin: a share of 0..1; models: track -> the
    base model's name as papers write it ("" when unknown: then the base model differs); rows: reported row
    (`method / variant`) -> our arm, where the suite says so and the names do not.
    """

    names: tuple[str, ...]
    folder: Path
    margin: float
    models: Mapping[str, str] = field(default_factory=dict)
    rows: Mapping[str, str] = field(default_factory=dict)


def reported_plan(suite: Any, folder: Path) -> ReportedPlan:
    """The plan that a suite file states (`verdicts`, and the hub names of its tracks' base models)."""
    models = {
        name: (track.base.hub or track.base.path or "").rsplit("/", 1)[-1] for name, track in suite.tracks.items()
    }
    return ReportedPlan(tuple(suite.verdicts.reported), folder, suite.verdicts.margin, models, suite.verdicts.rows)


def verdict_rows(loaded: Loaded, plan: ReportedPlan | None) -> list[Row]:
    """One row per reported number that an arm, benchmark and metric of ours answer, in the papers' order.

    A number is `not comparable` when base model, problems, k or token cap differ from the paper's, as far as it states
    them. Rows of a paper's ablations count only for an arm whose variant has the same name, or that the plan's `rows`
    name. Raises BadInput for an unknown paper, table or row.
    """
    if plan is None or not plan.names:
        return []
    papers = _papers(plan)
    rows = []
    for group in loaded.groups:
        if group.blocked:
            continue
        pools: dict[str, SeedVariance | None] = {}
        for line in papers:
            rows += _row(group, line, papers, plan, pools)
    return rows


def _papers(plan: ReportedPlan) -> list[dict[str, Any]]:
    from creditbench.reported import load_reported

    frame = load_reported(plan.folder).astype(object)
    lines = frame.where(frame.notna(), None).to_dict("records")
    chosen = []
    for name in plan.names:
        paper, _, table = name.partition(":")
        mine = [line for line in lines if line["paper"] == paper and table in ("", line["table"])]
        if not mine:
            known = {line["paper"] for line in lines} | {f"{line['paper']}:{line['table']}" for line in lines}
            raise unknown("reported table", name, known, "verdicts.reported")
        chosen += mine
    names = {row_name(line) for line in chosen}
    for name in plan.rows:
        if name not in names:
            raise unknown("reported row", name, names, "verdicts.rows")
    return [line for line in chosen if line["unit"] in _SCALE and _AT_K.fullmatch(line["metric"])]


def row_name(line: Mapping[str, Any]) -> str:
    """`method / variant` of a reported line, or the method alone."""
    return f"{line['method']} / {line['variant']}" if line["variant"] else str(line["method"])


def _row(
    group: Group,
    line: Mapping[str, Any],
    papers: Sequence[Mapping[str, Any]],
    plan: ReportedPlan,
    pools: dict[str, SeedVariance | None],
) -> list[Row]:
    arm = _arm_of(group, line, plan)
    if line["benchmark"] != group.benchmark or arm is None:
        return []
    metric, differs = _our_metric(group, line)
    differs = [*_differs(group, line, plan), *differs]
    if metric not in pools:
        pools[metric] = seed_pool({a: as_arm(group.values(a, metric), a) for a in group.arms if a != BASE})
    other = next((found for name in (REFERENCE, BASE) if (found := _baseline(group, line, papers, arm, name))), None)
    value = line["value"] / _SCALE[line["unit"]]
    reported = Reported(
        value=value,
        baseline=None if other is None else other["value"] / _SCALE[other["unit"]],
        n_seeds=int(line["seeds"]) if str(line["seeds"]).isdecimal() else None,
        k=line["k"],
    )
    verdict = paper_verdict(
        group.values(arm, metric), reported, plan.margin, differs=differs,
        baseline=None if other is None else group.values(other["method"], metric),
        baseline_is_base=other is not None and other["method"] == BASE,
        pool=pools[metric] if arm != BASE else None,
    )  # fmt: skip
    return [
        {
            "paper": line["paper"],
            "table": line["table"],
            "benchmark": group.benchmark,
            "metric": line["metric"],
            "method": arm,
            "reported": value,
            "ours": as_arm(group.values(arm, metric)).score,
            "margin": verdict.margin,
            "verdict": verdict.verdict,
            "gain_verdict": verdict.gain_verdict,
            "why": verdict.why,
            "track": group.track,
        }
    ]


def _arm_of(group: Group, line: Mapping[str, Any], plan: ReportedPlan) -> str | None:
    """Our arm that a paper's row speaks of: the one the plan names, else same method, same variant, no placebo."""
    named = plan.rows.get(row_name(line))
    if named is not None:
        return named if named in group.arms else None
    wanted = (line["method"], line["variant"] or "", "")
    return next((name for name in sorted(group.arms) if split_arm(name) == wanted), None)


def _our_metric(group: Group, line: Mapping[str, Any]) -> tuple[str, list[str]]:
    kind, j = line["metric"].split("@")
    if kind == "avg":
        return f"avg@{group.k}", [] if int(j) == group.k else [f"k ({j}, ours {group.k})"]
    fits = int(j) <= group.k
    return f"pass@{min(int(j), group.k)}", [] if fits else [f"k ({j}, ours {group.k})"]


def _differs(group: Group, line: Mapping[str, Any], plan: ReportedPlan) -> list[str]:
    ours = plan.models.get(group.track, "")
    found = [] if ours == line["model"] else [f"base model ({line['model']}, ours {ours or 'another'})"]
    for name, theirs, mine in (
        ("problems", line["n_problems"], group.n_problems), ("token cap", line["length_cap"], group.cap),
    ):  # fmt: skip
        if theirs is not None and int(theirs) != mine:
            found.append(f"{name} ({theirs}, ours {mine})")
    return found


def _baseline(
    group: Group, line: Mapping[str, Any], papers: Sequence[Mapping[str, Any]], arm: str, name: str
) -> Mapping[str, Any] | None:
    """The paper's row of its baseline beside `line`, when we have that arm too and it is another one."""
    if name == arm or name not in group.arms or arm == BASE:
        return None
    same = ("paper", "table", "model", "benchmark", "metric")
    beside = [p for p in papers if all(p[key] == line[key] for key in same)]
    return next((p for p in beside if p["method"] == name and not p["variant"]), None)
