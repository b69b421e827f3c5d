"""Grading stored completions: a step of its own, so that another grader version needs no model."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from creditbench import records
from creditbench.benchmark import Benchmark, EvalProtocol, get_benchmark
from creditbench.errors import BadInput, CheckFailed, CreditBenchError
from creditbench.evaluator.plan import grader_of, load_items, resolve_protocol
from creditbench.evaluator.record import coordinates, sandbox_mode, write_record
from creditbench.evaluator.rows import GRADED_SCHEMA, completion_of, graded_row, table_of
from creditbench.grading.matrix import Disagreement, disagreement
from creditbench.grading.registry import grader_names
from creditbench.items import OUTCOMES, Completion, Graded, Item, digest_of
from creditbench.records.paths import SAMPLES


def grade_samples(samples: pa.Table, items: Sequence[Item], benchmark: Benchmark, protocol: EvalProtocol) -> pa.Table:
    """Grade stored completions (columns of `GENERATION_SCHEMA`, more are ignored); rows of `GRADED_SCHEMA`.

    No model is needed: turns and what the environment said are read back from `detail`. A completion whose generation
    failed, or on which the grader itself raises, gets outcome `error`. Raises BadInput for a problem that is not among
    `items`, and for an outcome that is none of the five.
    """
    by_id = {item.id: item for item in items}
    rows = samples.to_pylist()
    for row in rows:
        if row["problem_id"] not in by_id:
            raise BadInput(f"problem {row['problem_id']!r}: not in the given split of {benchmark.name}")
    completions = [completion_of(row) for row in rows]
    start = time.perf_counter()
    verdicts = _verdicts([by_id[row["problem_id"]] for row in rows], completions, benchmark, protocol)
    each = (time.perf_counter() - start) / max(len(rows), 1)
    grader = grader_of(benchmark, protocol)
    name = f"{grader.id}@{grader.version}"
    return table_of([graded_row(r, v, name, each) for r, v in zip(rows, verdicts, strict=True)], GRADED_SCHEMA)


def _verdicts(
    items: Sequence[Item], completions: Sequence[Completion], benchmark: Benchmark, protocol: EvalProtocol
) -> list[Graded]:
    try:
        verdicts = list(benchmark.grade(items, completions, protocol))
    except CreditBenchError:
        raise
    except Exception as error:  # the grader's own failure is ours: recorded per sample, never the model's
        if len(items) == 1:
            return [Graded("error", 0.0, verdict=f"grader raised {type(error).__name__}: {error}"[:300])]
        pairs = zip(items, completions, strict=True)
        return [_verdicts([item], [done], benchmark, protocol)[0] for item, done in pairs]
    if len(verdicts) != len(completions):
        raise BadInput(f"{benchmark.name}: grade() gave {len(verdicts)} verdicts for {len(completions)} completions")
    for verdict in verdicts:
        if verdict.outcome not in OUTCOMES:
            raise BadInput(f"{benchmark.name}: outcome {verdict.outcome!r}; expected one of {', '.join(OUTCOMES)}")
    return [_ours(verdict, done) for verdict, done in zip(verdicts, completions, strict=True)]


def _ours(verdict: Graded, done: Completion) -> Graded:
    """A generation that failed is an error whatever the grader made of its text."""
    if done.finish_reason != "error" or verdict.outcome == "error":
        return verdict
    reason = str(done.info.get("error", "generation failed"))
    return Graded("error", 0.0, verdict.extracted, reason, verdict.detail)


def grader_matrix(
    folder: Path | str, graders: Sequence[str] = (), root: Path | None = None
) -> tuple[list[Disagreement], list[tuple[str, int]]]:
    """How far graders disagree on a record's stored completions, each with each and with the stored verdicts.

    graders: ids; none means all that can grade this benchmark. Returns the pairs, whose `examples` index the second
    value: (problem id, sample) in stored order. No model is needed. Raises BadInput for an unknown or unfit grader.
    """
    record = _opened(folder, root)
    names = list(dict.fromkeys(graders)) or _known_graders(record.benchmark)
    stored = f"{record.facts.grader.id}@{record.facts.grader.version} as stored"
    verdicts = {stored: _graded_of(record.samples)}
    for name in names:
        rules = record.rules.model_copy(update={"grader": name})
        grader = grader_of(record.benchmark, rules)
        table = grade_samples(record.samples, record.items, record.benchmark, rules)
        verdicts[f"{grader.id}@{grader.version}"] = _graded_of(table)
    keys = list(zip(record.samples["problem_id"].to_pylist(), record.samples["sample"].to_pylist(), strict=True))
    return disagreement(verdicts), keys


def _known_graders(benchmark: Benchmark) -> list[str]:
    if benchmark.card.graders is not None:
        return list(benchmark.card.graders)
    own = list(getattr(benchmark.module, "graders", {}))
    if own or benchmark.card.grader.id not in grader_names():
        return own or [benchmark.card.grader.id]
    return grader_names()


def _graded_of(table: pa.Table) -> list[Graded]:
    columns = (table[name].to_pylist() for name in ("outcome", "reward", "extracted", "verdict"))
    return [Graded(*values) for values in zip(*columns, strict=True)]


@dataclass(frozen=True)
class _Record:
    manifest: records.Manifest
    facts: records.EvalFacts
    benchmark: Benchmark
    rules: EvalProtocol
    items: list[Item]
    samples: pa.Table


def _opened(folder: Path | str, root: Path | None) -> _Record:
    """A stored evaluation with the problems it was made on. Raises BadInput or CheckFailed when they are not here."""
    folder = Path(folder)
    manifest = records.read_unaltered(folder)
    if manifest.eval is None:
        raise BadInput(f"{folder}: expected an evaluation's record, got kind {manifest.kind!r}")
    benchmark = get_benchmark(manifest.eval.benchmark, root)
    rules = resolve_protocol(benchmark, manifest.eval.protocol)
    items = load_items(benchmark, manifest.eval.split, rules, manifest.eval.options)
    if records.digest_rows(items) != manifest.data[benchmark.name].digest:
        raise CheckFailed(f"{folder}: the problems of {benchmark.name}/{manifest.eval.split} here are not the record's")
    samples = records.read_parquet(folder / SAMPLES, records.SAMPLES_SCHEMA)
    return _Record(manifest, manifest.eval, benchmark, rules, items, samples)


def regrade(
    folder: Path | str,
    out_dir: Path | str,
    protocol: Mapping[str, Any] | None = None,
    root: Path | None = None,
) -> records.Metrics:
    """Grade the completions of an evaluation record again, into a new record whose parent is the old one.

    protocol: changes, in practice `{"grader": id}`; everything that shaped the samples stays as it was. Raises
    BadInput for a change that would have needed other samples, CheckFailed when the data are not those of the record.
    """
    started, folder, out = records.now(), Path(folder), Path(out_dir)
    if out.resolve() == folder.resolve():
        raise BadInput(f"{out}: the new record needs a folder of its own")
    record = _opened(folder, root)
    old, benchmark, before = record.manifest, record.benchmark, record.rules
    rules = resolve_protocol(benchmark, record.facts.protocol | dict(protocol or {}))
    for field, value in rules.model_dump().items():
        if field != "grader" and value != before.model_dump()[field]:
            raise BadInput(f"field {field!r}: only `grader` can change without sampling again")
    graded = grade_samples(record.samples, record.items, benchmark, rules)
    grader = grader_of(benchmark, rules)
    facts = record.facts.model_copy(
        update={"protocol": rules.model_dump(mode="json"), "grader": records.GraderRef(**grader.model_dump())}
    )
    config = {**old.config, "protocol": rules.model_dump(mode="json")}
    keep = ("suite", "arm", "track", "seed", "data", "model_digest", "base_digest", "tokenizer_digest", "arm_digest")
    keep += ("method_digest", "seeds", "determinism")
    fields = {name: getattr(old, name) for name in keep} | {
        "key": digest_of([old.key, grader.model_dump()]),
        "parents": records.parent_digests({"eval": folder}),
        "sandbox": sandbox_mode(benchmark),
        "started": started,
    }
    return write_record(out, graded, facts, config, fields | coordinates(out))
