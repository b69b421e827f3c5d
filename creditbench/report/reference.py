"""A suite's raw outcomes as one small file that can be committed, and the way back to arrays. Floor 5.

`results/reference/*.json` holds what every statistic starts from: the outcome of each sample of each run, one letter
each, with the digests of what produced them. Anyone can recompute our tables from it, or test another statistic.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from creditbench.errors import BadInput
from creditbench.items import OUTCOMES
from creditbench.records import Manifest, read_manifest, read_parquet, write_text
from creditbench.records.paths import SAMPLES
from creditbench.records.schemas import COUNTED
from creditbench.report.tables import Tables
from creditbench.report.tables_cost import TIMED
from creditbench.report.tables_load import ArmScores, Group
from creditbench.stats import FIXED_SET

FORMAT = 1
LETTERS = {outcome: outcome[0] for outcome in OUTCOMES}
"""correct c, wrong w, truncated t, unparsed u, error e."""
_KEPT = {
    "leaderboard": ("track", "method", "score", "ci_low", "ci_high", "rank_low", "rank_high", "n_seeds", *COUNTED),
    "cost_sums": ("track", "method", "n_runs", *COUNTED, *TIMED),
    "pairwise": ("track", "benchmark", "metric", "family", "method_a", "method_b", "estimand", "difference",
                 "ci_low", "ci_high", "p", "p_holm", "mde"),
}  # fmt: skip
_FAMILIES = ("base", "grpo", "placebo")


def reference_of(tables: Tables, command: str) -> dict[str, Any]:
    """Everything of a suite's tables that is worth keeping for good. `command` is what made the results.

    Raises BadInput when the suite has no table.
    """
    groups = [g for g in tables.loaded.groups if not g.blocked] if tables.loaded else []
    if not groups:
        raise BadInput(f"suite {tables.suite}: no complete results, so there is nothing to publish")
    rows = {name: [_short(row, columns) for row in tables.rows[name]] for name, columns in _KEPT.items()}
    rows["pairwise"] = [
        row
        for row in rows["pairwise"]
        if row["family"] in _FAMILIES
        and row["estimand"] == FIXED_SET
        and row["metric"] == tables.headline.get(f"{row['track']}/{row['benchmark']}")
    ]
    return {
        "format": FORMAT,
        "suite": tables.suite,
        "command": command,
        "outcome_letters": {letter: outcome for outcome, letter in LETTERS.items()},
        "groups": [_group(group) for group in groups],
        **rows,
    }


def write_reference(tables: Tables, command: str, path: Path) -> Path:
    """Write `reference_of` whole or not at all, one line per arm and seed."""
    return write_text(path, dumps(reference_of(tables, command)))


def dumps(value: Any, depth: int = 0) -> str:
    """JSON with one line per fact: containers of plain values stay on one line, others are opened."""
    plain = json.dumps(value, ensure_ascii=False, sort_keys=False)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not inner or not any(isinstance(x, (dict, list)) for x in inner):
        return plain + ("\n" if depth == 0 else "")
    pad = " " * (depth + 1)
    if isinstance(value, dict):
        body = [f"{pad}{json.dumps(str(key))}: {dumps(x, depth + 1)}" for key, x in value.items()]
        opening, closing = "{", "}"
    else:
        body = [f"{pad}{dumps(x, depth + 1)}" for x in value]
        opening, closing = "[", "]"
    return f"{opening}\n" + ",\n".join(body) + f"\n{' ' * depth}{closing}" + ("\n" if depth == 0 else "")


def correct_of(reference: dict[str, Any], track: str, arm: str) -> np.ndarray:
    """correct_SPK (seeds, problems, samples) of one arm, seeds in rising order.

    Raises BadInput when the file has no such arm on that track, or letters are missing.
    """
    for group in reference["groups"]:
        if group["track"] == track and arm in group["arms"]:
            shape = (len(group["problems"]), group["k"])
            seeds = sorted(group["arms"][arm], key=lambda run: run["seed"])
            letters = [np.array(list(run["outcomes"])) for run in seeds]
            if any(len(row) != shape[0] * shape[1] for row in letters):
                raise BadInput(f"reference: {arm} on {track}: expected {shape[0]} problems x {shape[1]} samples")
            return np.stack([(row == LETTERS["correct"]).reshape(shape) for row in letters])
    raise BadInput(f"reference: no arm {arm!r} on track {track!r}")


def _group(group: Group) -> dict[str, Any]:
    facts = group.manifest.eval
    first = next(iter(group.arms.values()))
    names = read_parquet(first.folders[0] / SAMPLES, columns=["problem_id"])["problem_id"].to_pylist()
    return {
        "track": group.track,
        "benchmark": group.benchmark,
        "k": group.k,
        "grader": facts.grader.model_dump() if facts else {},
        "base_digest": group.manifest.base_digest,
        "commits": sorted({_commit(read_manifest(f)) for scores in group.arms.values() for f in scores.folders}),
        "versions": dict(sorted(group.manifest.versions.items())),
        "hardware": group.manifest.hardware.model_dump(mode="json"),
        "problems": names[:: group.k],
        "arms": {name: [_run(scores, i) for i in range(len(scores.seeds))] for name, scores in group.arms.items()},
    }


def _commit(manifest: Manifest) -> str:
    return f"{manifest.code.commit}{'+changes' if manifest.code.dirty else ''}"


def _run(scores: ArmScores, i: int) -> dict[str, Any]:
    manifest = read_manifest(scores.folders[i])
    outcomes = read_parquet(scores.folders[i] / SAMPLES, columns=["outcome"])["outcome"].to_pylist()
    return {
        "seed": scores.seeds[i],
        "config_digest": manifest.config_digest,
        "model_digest": manifest.model_digest,
        "commit": _commit(manifest),
        "mean_tokens": round(float(scores.tokens_SPK[i].mean()), 4),
        "outcomes": "".join(LETTERS[outcome] for outcome in outcomes),
    }


def _short(row: dict[str, Any], columns: tuple[str, ...]) -> dict[str, Any]:
    return {c: float(f"{row[c]:.6g}") if isinstance(row[c], float) else row[c] for c in columns}
