"""Summarise graded samples and write an evaluation's record, manifest last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from creditbench import records
from creditbench.benchmark import Benchmark
from creditbench.evaluator.episodes import episode_values
from creditbench.items import OUTCOMES
from creditbench.records.atomic import clear_errors, private_name, sweep, sync_folder
from creditbench.records.paths import KEPT, MANIFEST, METRICS, SAMPLES, TIMING
from creditbench.stats.estimators import pass_at_k, pass_hat_k


def summarise(samples: pa.Table, name: str, version: str, n_problems: int, k: int) -> records.Metrics:
    """Numbers of `metrics.json` from graded samples in problem order (n_problems x k rows).

    avg@k, unbiased pass@j for the powers of two up to k and k itself, pass^k, shares of outcomes, mean tokens and
    reward, the share of samples that repeat an earlier one of their problem; for agents steps and invalid actions.
    The standard error covers the draw of problems only: it says nothing about training seeds.
    """
    outcomes = samples["outcome"].to_pylist()
    correct_PK = np.array([outcome == "correct" for outcome in outcomes]).reshape(n_problems, k)
    solved_P = correct_PK.sum(axis=1)
    tokens = np.asarray(samples["n_tokens"].to_numpy(), dtype=np.float64)
    counts = {outcome: outcomes.count(outcome) for outcome in OUTCOMES}
    values = {f"avg@{k}": float(correct_PK.mean())}
    for j in sorted({2**i for i in range(k.bit_length())} | {k}):
        values[f"pass@{j}"] = float(pass_at_k(k, solved_P, j).mean())
    values[f"pass^{k}"] = float(pass_hat_k(k, solved_P, k).mean())
    right = correct_PK.ravel()
    values["mean_tokens"] = float(tokens.mean())
    values["mean_tokens_correct"] = float(tokens[right].mean()) if right.any() else 0.0
    values["mean_reward"] = float(np.asarray(samples["reward"].to_numpy()).mean())
    values["identical_rate"] = identical_rate(samples)
    values |= {f"share_{outcome}": n / len(outcomes) for outcome, n in counts.items()} | episode_values(samples)
    result: dict[str, float | str] = {"alias": name}
    result |= {f"{metric},none": values[metric] for metric in (f"avg@{k}", f"pass@{k}")}
    spread = float(correct_PK.mean(axis=1).std(ddof=1)) if n_problems > 1 else 0.0
    result[f"avg@{k}_stderr,none"] = spread / n_problems**0.5
    return records.Metrics.model_validate(
        {
            "results": {name: result},
            "versions": {name: version},
            "n-shot": {name: 0},
            "n-samples": {name: {"original": n_problems, "effective": n_problems}},
            "higher_is_better": {name: {f"avg@{k}": True, f"pass@{k}": True}},
            "outcomes": counts,
            "values": values,
            "n_problems": n_problems,
            "k": k,
            "mean_tokens": values["mean_tokens"],
        }
    )


def identical_rate(samples: pa.Table) -> float:
    """Share of samples whose text equals an earlier sample of the same problem; near 1 means a seed did not act."""
    pairs = list(zip(samples["problem_id"].to_pylist(), samples["completion_digest"].to_pylist(), strict=True))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def write_record(
    out: Path, graded: pa.Table, facts: records.EvalFacts, config: Mapping[str, Any], fields: Mapping[str, Any]
) -> records.Metrics:
    """Write samples, timing, metrics and, last, the manifest of an evaluation.

    All are made beside `out` and only then moved in, which needs no space: a full disk leaves an older record alone.
    """
    samples = graded.select(records.SAMPLES_SCHEMA.names)
    name = facts.label or facts.benchmark
    metrics = summarise(samples, name, facts.benchmark_version, facts.n_problems, facts.protocol["k"])
    facts = facts.model_copy(update={"outcomes": metrics.outcomes, "identical_rate": metrics.values["identical_rate"]})
    batch = pa.array([n // facts.batch for n in range(graded.num_rows)], pa.int32())
    timing = graded.append_column("batch", batch).select(records.TIMING_SCHEMA.names)
    manifest = records.new_manifest("eval", config=config, eval=facts.model_dump(), **fields)
    sweep(out)
    private = private_name(out)
    try:
        records.write_parquet(private / SAMPLES, samples)
        records.write_parquet(private / TIMING, timing)
        records.write_json(private / METRICS, metrics.model_dump(by_alias=True))
        records.write_manifest(private, manifest, files=[SAMPLES, TIMING, METRICS])
        with clear_errors(out):
            out.mkdir(parents=True, exist_ok=True)
            for name in (KEPT, MANIFEST):
                (out / name).unlink(missing_ok=True)
            for name in (SAMPLES, TIMING, METRICS, KEPT, MANIFEST):
                os.replace(private / name, out / name)
            sync_folder(out)
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return metrics


def coordinates(out: Path) -> dict[str, str]:
    """suite, arm and track spelled by a folder of the layout `<suite>/evals/<benchmark>/<arm>/<track>/seed<k>`."""
    parts = out.absolute().parts
    if len(parts) >= 6 and parts[-5] == "evals":
        return {"suite": parts[-6], "arm": parts[-3], "track": parts[-2]}
    return {}


def label_of(out: Path) -> str:
    """The benchmark's name in folders and tables, when `out` follows the layout; "" otherwise."""
    return out.absolute().parts[-4] if coordinates(out) else ""


def sandbox_mode(benchmark: Benchmark) -> str:
    """Mode of the box in which a benchmark grades untrusted code (its task says so); `none` when it runs none."""
    mode = getattr(benchmark.module, "sandbox_mode", None)
    return str(mode()) if callable(mode) else "none"
