"""Export an evaluation record in lm-eval's two files: `results_<date>.json` and `samples_<task>_<date>.jsonl`.

Existing readers of lm-eval output can then read our runs. What lm-eval has no place for (outcomes, tokens, finish
reasons, seeds, grader) stands under the key `creditbench`. Problem text is left out unless `with_text` asks for it.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from creditbench import records
from creditbench.benchmark import EvalProtocol, get_benchmark, private_transcripts
from creditbench.errors import BadInput, CheckFailed, Refused
from creditbench.items import Item, digest_text
from creditbench.records.paths import SAMPLES

FILTER = "all"
Row = Mapping[str, Any]


def export(folder: Path | str, out_dir: Path | str, with_text: bool = False, root: Path | None = None) -> list[Path]:
    """Write both files for the record in `folder`; returns their paths. The date is that of the record.

    with_text: also write problems and prompts, which needs the benchmark's data here. Raises BadInput for a folder
    that is no evaluation record, CheckFailed when the data here are not the record's, Refused for a benchmark whose
    transcripts are private.
    """
    folder = Path(folder)
    manifest = records.read_unaltered(folder)
    facts = manifest.eval
    if facts is None:
        raise BadInput(f"{folder}: expected an evaluation's record, got kind {manifest.kind!r}")
    if why := private_transcripts(facts.benchmark, root):
        raise Refused(f"{folder}: completions of {facts.benchmark} stay private: {why}")
    rows = records.read_parquet(folder / SAMPLES, records.SAMPLES_SCHEMA).to_pylist()
    items = _items(manifest, facts, root) if with_text else {}
    date = manifest.ended or manifest.started
    task = facts.label or facts.benchmark
    docs = _by_problem(rows)
    values = [[float(row["outcome"] == "correct") for row in samples] for samples in docs.values()]
    results = {
        "results": {task: {"name": task, "alias": task, "sample_len": len(docs), **_metrics(values)}},
        "group_subtasks": {},
        "configs": {task: _config(task, facts)},
        "versions": {task: facts.benchmark_version},
        "n-shot": {task: 0},
        "higher_is_better": {task: {"avg@k": True, "pass@k": True}},
        "n-samples": {task: {"original": facts.n_problems, "effective": len(docs)}},
        "config": {"model": f"creditbench-{facts.engine.name}", "model_args": _model_args(manifest), "limit": None},
        "git_hash": manifest.code.commit,
        "date": _seconds(date),
        "lm_eval_version": manifest.versions.get("lm-eval", ""),
        "transformers_version": manifest.versions.get("transformers", ""),
        "creditbench": {
            "arm": manifest.arm,
            "track": manifest.track,
            "seed": manifest.seed,
            "outcomes": facts.outcomes,
            "grader": facts.grader.model_dump(),
            "protocol": facts.protocol,
            "manifest": manifest.digest,
        },
    }
    stamp = date.replace(":", "-") or "undated"
    out = Path(out_dir)
    written = [out / f"results_{stamp}.json", out / f"samples_{task}_{stamp}.jsonl"]
    records.write_json(written[0], results)
    lines = (json.dumps(_sample(i, s, facts, items), ensure_ascii=False) for i, s in enumerate(docs.values()))
    records.write_text(written[1], "".join(f"{line}\n" for line in lines))
    return written


def _items(manifest: records.Manifest, facts: records.EvalFacts, root: Path | None) -> dict[str, tuple[Item, Any]]:
    """Items and prompts of the record's split, checked against the record's digest."""
    benchmark = get_benchmark(facts.benchmark, root)
    from creditbench.records import digest_rows

    protocol = EvalProtocol.model_validate(facts.protocol)
    items = benchmark.load(facts.split, dict(facts.options))
    wanted = manifest.data[facts.benchmark].digest
    if digest_rows(items) != wanted and not (protocol.window.start or protocol.window.end):
        raise CheckFailed(f"{facts.benchmark}/{facts.split}: the problems here are not the record's")
    return {item.id: (item, benchmark.prompt(item, protocol)) for item in items}


def _by_problem(rows: Iterable[Row]) -> dict[str, list[Row]]:
    """Samples of each problem in their order."""
    docs: dict[str, list[Row]] = {}
    for row in rows:
        docs.setdefault(row["problem_id"], []).append(row)
    return {id: sorted(samples, key=lambda row: row["sample"]) for id, samples in docs.items()}


def _metrics(values: Sequence[Sequence[float]]) -> dict[str, float]:
    """avg@k and pass@k with lm-eval's standard error (over documents, n - 1)."""
    columns = {"avg@k": [sum(v) / len(v) for v in values], "pass@k": [float(any(v)) for v in values]}
    out: dict[str, float] = {}
    for name, column in columns.items():
        mean = sum(column) / len(column)
        spread = sum((x - mean) ** 2 for x in column) / max(len(column) - 1, 1)
        out[f"{name},{FILTER}"] = mean
        out[f"{name}_stderr,{FILTER}"] = math.sqrt(spread / len(column))
    return out


def _config(task: str, facts: records.EvalFacts) -> dict[str, Any]:
    rules = facts.protocol
    return {
        "task": task,
        "test_split": facts.split,
        "output_type": "generate_until",
        "repeats": rules["k"],
        "num_fewshot": 0,
        "generation_kwargs": _generation(rules),
        "metric_list": [{"metric": m, "aggregation": "mean", "higher_is_better": True} for m in ("avg@k", "pass@k")],
        "metadata": {"version": facts.benchmark_version, "grader": f"{facts.grader.id}@{facts.grader.version}"},
    }


def _generation(rules: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "until": [],
        "do_sample": rules["temperature"] > 0,
        "temperature": rules["temperature"],
        "top_p": rules["top_p"],
        "max_gen_toks": rules["max_new_tokens"],
    }


def _model_args(manifest: records.Manifest) -> dict[str, Any]:
    return {"arm": manifest.arm, "model_digest": manifest.model_digest, "tokenizer_digest": manifest.tokenizer_digest}


def _sample(number: int, samples: Sequence[Row], facts: records.EvalFacts, items: Mapping[str, Any]) -> dict[str, Any]:
    """One line of the samples file: one document with its k completions."""
    first = samples[0]
    item, prompt = items.get(first["problem_id"], (None, None))
    texts = [row["completion"] for row in samples]
    correct = [float(row["outcome"] == "correct") for row in samples]
    doc: dict[str, Any] = {"id": first["problem_id"], "digest": first["problem_digest"]}
    if item is not None:
        doc |= {"problem": item.problem, "answer": item.answer}
    return {
        "doc_id": number,
        "doc": doc,
        "target": "" if item is None else item.answer,
        "arguments": {"gen_args_0": {"arg_0": prompt or "", "arg_1": _generation(facts.protocol)}},
        "resps": [texts],
        "filtered_resps": [texts],
        "filter": FILTER,
        "metrics": ["avg@k", "pass@k"],
        "doc_hash": first["problem_digest"],
        "prompt_hash": first["prompt_digest"],
        "target_hash": digest_text("" if item is None else item.answer),
        "avg@k": sum(correct) / len(correct),
        "pass@k": float(any(correct)),
        "creditbench": [
            {
                key: row[key]
                for key in ("sample", "seed", "outcome", "extracted", "verdict", "n_tokens", "finish_reason")
            }
            for row in samples
        ],
    }


def _seconds(date: str) -> float:
    """ISO time as seconds since 1970, as lm-eval writes it; 0 for none."""
    return dt.datetime.fromisoformat(date).timestamp() if date else 0.0
