"""`creditbench compare` beyond single records: two arms of one suite, or the same arms in two result folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from creditbench.errors import BadInput, CheckFailed, unknown
from creditbench.records import comparable
from creditbench.report.tables import build_tables
from creditbench.report.tables_load import BASE, Group, load_suite_results
from creditbench.report.tables_reading import p_text, points, reading_aids
from creditbench.stats import ESTIMANDS, FIXED_SET, compare, holm, length_matched
from creditbench.stats.two_way import score_interval

Row = dict[str, Any]
CLAIM = {"fixed_set": "these problems", "superpopulation": "new problems"}


@dataclass(frozen=True)
class SideBySide:
    """Rows (numbers as numbers), rows as shown in a terminal, and sentences."""

    rows: list[Row]
    shown: list[dict[str, str]]
    said: list[str] = field(default_factory=list)


def compare_arms(folder: Path | str, a: str, b: str, *, allow: Iterable[str] = ()) -> SideBySide:
    """Difference a minus b on every track and benchmark that has both: both claims, length, tokens, cost, sentences.

    p-values are Holm-corrected over the benchmarks of one claim. The sentences are those of a leaderboard that holds
    only these two (and the base). Raises BadInput for an arm without results.
    """
    if a == b:
        raise BadInput(f"compare: {a!r} twice; give two different arms")
    tables = build_tables(folder, allow=allow, arms=(a, b, BASE))
    loaded = tables.loaded
    assert loaded is not None
    groups = [g for g in loaded.groups if not g.blocked]
    present = {arm for g in load_suite_results(folder, allow).groups for arm in g.arms}
    for name in (a, b):
        if name not in present:
            raise unknown("arm with results", name, sorted(present), str(folder))
    both = [g for g in groups if a in g.arms and b in g.arms]
    rows: list[Row] = []
    for estimand in ESTIMANDS:
        tests = [_of_pair(g, a, b, tables.headline[f"{g.track}/{g.benchmark}"], estimand) for g in both]
        adjusted = holm([row["p"] for row in tests])
        rows += [row | {"p_holm": p} for row, p in zip(tests, adjusted, strict=True)]
    rows.sort(key=lambda row: (row["track"], row["benchmark"], row["estimand"]))
    said = [f"{where}: no table: {why}" for where, _, why in (line.partition(": ") for line in tables.blocked)]
    said += [f"{g.track}/{g.benchmark}: only {', '.join(sorted(g.arms))} there" for g in groups if g not in both]
    for track in sorted({g.track for g in both}):
        said += [f"{track}: {line}" for line in reading_aids(tables, track)]
        said += [_cost_line(tables, track, a, b)]
    return SideBySide(rows, [_shown(row) for row in rows], [line for line in said if line])


def _of_pair(group: Group, a: str, b: str, metric: str, estimand: str) -> Row:
    y_a, y_b = group.values(a, metric), group.values(b, metric)
    if a == BASE:
        test = compare(y_b, y_a, estimand=estimand, b_is_base=True)
        sign = -1.0
    else:
        test, sign = compare(y_a, y_b, estimand=estimand, b_is_base=b == BASE), 1.0
    ends = [None if v is None else sign * v for v in (test.ci_low, test.ci_high)]
    low, high = ends if sign > 0 else ends[::-1]
    x, y = group.arms[a], group.arms[b]
    matched = length_matched(x.correct_SPK, x.tokens_SPK, y.correct_SPK, y.tokens_SPK, estimand=estimand).matched
    return {
        "track": group.track,
        "benchmark": group.benchmark,
        "metric": metric,
        "estimand": estimand,
        "a": a,
        "b": b,
        "score_a": float(np.mean(y_a)),
        "score_b": float(np.mean(y_b)),
        "difference": sign * test.difference,
        "ci_low": low,
        "ci_high": high,
        "p": test.p,
        "mde": test.mde,
        "at_equal_length": None if matched.p is None else matched.difference,
        "equal_length_low": matched.ci_low,
        "equal_length_high": matched.ci_high,
        "tokens_a": x.mean_tokens,
        "tokens_b": y.mean_tokens,
        "n_seeds_a": len(x.seeds),
        "n_seeds_b": len(y.seeds),
        "note": test.note,
    }


def _cost_line(tables: Any, track: str, a: str, b: str) -> str:
    rows = {row["method"]: row for row in tables.rows["leaderboard"] if row["track"] == track}
    parts, words = [], {"generated_tokens": "generated tokens", "flops": "FLOPs", "extra_forwards": "extra passes"}
    for name, word in words.items():
        x, y = (rows.get(arm, {}).get(name) for arm in (a, b))
        if x is not None and y is not None:
            parts.append(f"{word} {x:.3g} and {y:.3g}")
    return f"{track}: per training run, `{a}` and `{b}`: {'; '.join(parts)}." if parts else ""


def compare_folders(old: Path | str, new: Path | str) -> SideBySide:
    """The same arms in two result folders of suites: new minus old per track, benchmark and arm, on these problems.

    What the comparability guard would not put into one table has no difference, and the reason. Equal seeds whose
    samples are all alike are `identical` and not tested; others are tested as independent runs (Welch), which errs on
    the careful side where seeds share their data order. p is Holm-corrected over the arms of one benchmark.
    """
    left, right = load_suite_results(old), load_suite_results(new)
    for loaded in (left, right):
        if not loaded.groups:
            raise BadInput(f"{loaded.folder}: expected a suite's results (evals/...), found none")
    mine = {(g.track, g.benchmark): g for g in right.groups}
    rows: list[Row] = []
    said: list[str] = []
    for group in left.groups:
        where = f"{group.track}/{group.benchmark}"
        other = mine.pop((group.track, group.benchmark), None)
        if other is None:
            said.append(f"{where}: only in {left.folder}")
            continue
        why = group.blocked or other.blocked or _guarded(group, other)
        if why:
            said.append(f"{where}: not comparable: {why}")
            continue
        shared = sorted(set(group.arms) & set(other.arms))
        said += [
            f"{where}: `{arm}` only in {left.folder if arm in group.arms else right.folder}"
            for arm in sorted(set(group.arms) ^ set(other.arms))
        ]
        found = [_of_arm(group, other, arm) for arm in shared]
        adjusted = holm([row["p"] for row in found])
        rows += [row | {"p_holm": p} for row, p in zip(found, adjusted, strict=True)]
    said += [f"{track}/{benchmark}: only in {right.folder}" for track, benchmark in sorted(mine)]
    tested = [row for row in rows if row["p_holm"] is not None]
    differ = [f"`{row['a']}` on {row['benchmark']}" for row in tested if row["p_holm"] < 0.05]
    same = sum(row["note"] == IDENTICAL for row in rows)
    said.append(
        f"{len(rows)} arms stand in both: {same} identical sample by sample, {len(tested)} tested, "
        + (f"significantly different: {', '.join(differ)}." if differ else "none shown to differ.")
    )
    return SideBySide(rows, [_shown(row) for row in rows], said)


IDENTICAL = "identical"


def _guarded(a: Group, b: Group) -> str:
    try:
        comparable([a.manifest, b.manifest])
    except CheckFailed as error:
        return str(error).removeprefix("table blocked: ")
    if a.n_problems != b.n_problems:
        return f"{a.n_problems} and {b.n_problems} problems"
    return ""


def _of_arm(old: Group, new: Group, arm: str) -> Row:
    x, y = new.arms[arm], old.arms[arm]
    metric = f"avg@{new.k}"
    same = x.seeds == y.seeds and all(
        np.array_equal(getattr(x, name), getattr(y, name)) for name in ("correct_SPK", "tokens_SPK", "reward_SPK")
    )
    own = [score_interval(scores.correct_SPK, estimand=FIXED_SET, is_base=arm == BASE) for scores in (x, y)]
    test = None if same else compare(x.correct_SPK, y.correct_SPK, estimand=FIXED_SET)
    return {
        "track": new.track,
        "benchmark": new.benchmark,
        "metric": metric,
        "estimand": FIXED_SET,
        "a": arm,
        "b": arm,
        "score_a": own[0].difference,
        "score_b": own[1].difference,
        "difference": own[0].difference - own[1].difference,
        "ci_low": test.ci_low if test else None,
        "ci_high": test.ci_high if test else None,
        "p": test.p if test else None,
        "mde": test.mde if test else None,
        "at_equal_length": None,
        "tokens_a": x.mean_tokens,
        "tokens_b": y.mean_tokens,
        "n_seeds_a": len(x.seeds),
        "n_seeds_b": len(y.seeds),
        "note": IDENTICAL if test is None else test.note,
    }


def _shown(row: Row) -> dict[str, str]:
    """One row for a terminal; the same words as in the Markdown tables."""
    arms = row["a"] if row["a"] == row["b"] else f"{row['a']} - {row['b']}"
    span = "-" if row["ci_low"] is None else f"{points(row['ci_low'], True)} to {points(row['ci_high'], True)}"
    shown = {
        "track": row["track"],
        "benchmark": row["benchmark"],
        "arms": arms,
        "metric": row["metric"],
        "claim about": CLAIM[row["estimand"]],
        "scores": f"{points(row['score_a'])}, {points(row['score_b'])}",
        "difference": points(row["difference"], True),
        "95 % interval": span,
        "p (Holm)": IDENTICAL if row["note"] == IDENTICAL else p_text(row["p_holm"]),
        "detectable": "-" if row["mde"] is None else points(row["mde"]),
    }
    shown["at equal length"] = "-" if row["at_equal_length"] is None else points(row["at_equal_length"], True)
    shown["tokens"] = f"{row['tokens_a']:.1f}, {row['tokens_b']:.1f}"
    shown["seeds"] = f"{row['n_seeds_a']}, {row['n_seeds_b']}"
    return shown
