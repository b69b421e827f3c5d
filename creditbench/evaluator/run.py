"""`evaluate`: sample, grade and record one model on one benchmark, resumable at fixed batch boundaries."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from creditbench import records
from creditbench.benchmark import EvalProtocol, get_benchmark
from creditbench.errors import CheckFailed
from creditbench.evaluator.grade import grade_samples
from creditbench.evaluator.plan import Plan, grader_of, load_items, resolve_protocol
from creditbench.evaluator.record import coordinates, label_of, sandbox_mode, write_record
from creditbench.evaluator.rows import GENERATED_SCHEMA, GRADED_SCHEMA, table_of
from creditbench.items import digest_of
from creditbench.records.guard import arm_digest
from creditbench.records.locks import hold_lock
from creditbench.versions import EVALUATOR_VERSION

Progress = Callable[[str, int, int], None]


def evaluate(
    model_dir: Path | str,
    benchmark_name: str,
    split: str,
    protocol: EvalProtocol | Mapping[str, Any] | None,
    seed: int,
    out_dir: Path | str,
    *,
    engine: Any = "raw",
    tokenizer: Any = None,
    options: Mapping[str, Any] | None = None,
    batch: int = 256,
    workers: int = 1,
    progress: Progress | None = None,
    parents: Mapping[str, Path | str] | None = None,
    config_digest: str | None = None,
    work: Path | str | None = None,
    root: Path | None = None,
) -> records.Metrics:
    """Sample and grade k completions for every problem of a split; write the record to `out_dir`, manifest last.

    protocol: None for the card's own, a mapping of changes to it, or a whole one. engine: a name for `open_engine`, or
    an open engine. options: passed to the benchmark's `load`. batch: samples per batch, the boundary of resumption (it
    is part of the key: batch shape can change bits). workers: threads that step environments.
    progress(phase, done, total). parents: name -> record folder; `run` (or `base`) is the record that made the model.
    config_digest: the suite's digest of what was asked for (default: of the config recorded here). work: private folder
    for partial batches (default: under `results/.work`). Arm, track, suite are read from `out_dir`.

    Raises BadInput for an unusable model, split or protocol, or when the disk refuses; CheckFailed when the model is
    not the parent's, when two samples would share a seed, or (Busy) when another process makes this evaluation.
    """
    started, out, parents = records.now(), Path(out_dir), dict(parents or {})
    benchmark = get_benchmark(benchmark_name, root)
    rules = resolve_protocol(benchmark, protocol)
    items = load_items(benchmark, split, rules, options)
    model = model_facts(model_dir, parents)
    opened = _open(engine, model_dir, batch)
    tokenizer = tokenizer if tokenizer is not None else _tokenizer(model_dir, rules.thinking)
    plan, grader = Plan(benchmark, rules, items, seed, batch), grader_of(benchmark, rules)
    config = {
        "benchmark": benchmark.name, "benchmark_version": benchmark.card.version, "split": split,
        "options": dict(options or {}), "protocol": rules.model_dump(mode="json"), "seed": seed, "batch": batch,
        "engine": {"name": opened.name, "version": opened.version}, "evaluator_version": EVALUATOR_VERSION,
    }  # fmt: skip
    key = {"config": config, "data": plan.data_digest, "model": model.digest, "tokenizer": model.tokenizer}
    folder = _work_folder(out, work, digest_of(key))
    with contextlib.ExitStack() as held, contextlib.ExitStack() as sampling:
        if isinstance(engine, str):
            sampling.callback(_close, opened)
        # Of two writers of one record each would take the other's batches and files from under it.
        held.enter_context(hold_lock(folder / "lock", f"{folder}: another process is making this evaluation"))
        generated = _generate(plan, opened, tokenizer, folder, workers, progress)
        sampling.close()  # what it holds is not needed for grading
        graded = _grade(plan, generated, digest_of(grader.model_dump()), folder, progress)
        facts = records.EvalFacts(
            benchmark=benchmark.name, label=label_of(out) or benchmark.name, benchmark_version=benchmark.card.version,
            split=split, options=dict(options or {}), protocol=config["protocol"],
            grader=records.GraderRef(**grader.model_dump()), engine=records.Engine(**config["engine"]), batch=batch,
            prompts_digest=plan.prompts_digest, chance=benchmark.card.chance, n_problems=len(items),
            n_requested=len(items) * rules.k, n_graded=graded.num_rows,
        )  # fmt: skip
        fields = {
            **coordinates(out), "seed": seed, "key": digest_of({**key, "grader": grader.model_dump()}),
            "data": {benchmark.name: plan.data_ref()}, "model_digest": model.digest, "base_digest": model.base,
            "tokenizer_digest": model.tokenizer, "method_digest": model.method, "arm_digest": model.arm,
            "seeds": {"eval": seed}, "determinism": _determinism(opened), "sandbox": sandbox_mode(benchmark),
            "parents": records.parent_digests(parents), "started": started,
            **({"config_digest": config_digest} if config_digest else {}),
        }  # fmt: skip
        metrics = write_record(out, graded, facts, config, fields)
        shutil.rmtree(folder, ignore_errors=True)
    return metrics


@dataclass(frozen=True)
class ModelFacts:
    """Digests of the evaluated model and of what made it."""

    digest: str
    tokenizer: str
    base: str
    method: str = ""
    arm: str = ""


def model_facts(model_dir: Path | str, parents: Mapping[str, Path | str]) -> ModelFacts:
    """Digest the model folder; with its maker's record given, check that the model is the one recorded there."""
    digest, tokenizer = records.model_digest(model_dir)
    maker = parents.get("run") or parents.get("base")
    if maker is None:
        return ModelFacts(digest, tokenizer, digest)
    made = records.read_manifest(maker)
    if made.model_digest and made.model_digest != digest:
        raise CheckFailed(f"{model_dir}: not the model that {maker} made (SHA-256 of weights and config differs)")
    return ModelFacts(digest, tokenizer, made.base_digest or digest, made.method_digest, arm_digest(made))


def _generate(
    plan: Plan, engine: Any, tokenizer: Any, folder: Path, workers: int, progress: Progress | None
) -> list[pa.Table]:
    tables = []
    for number, part in enumerate(plan.batches()):
        path = folder / f"generated-{number:05d}.parquet"
        table = _stored(path, GENERATED_SCHEMA, plan, part)
        if table is None:
            table = table_of(plan.sample(part, engine, tokenizer, workers), GENERATED_SCHEMA)
            records.write_parquet(path, table)
        tables.append(table)
        if progress:
            progress("sampling", part.stop, len(plan.cells))
    return tables


def _grade(
    plan: Plan, generated: list[pa.Table], grader_digest: str, folder: Path, progress: Progress | None
) -> pa.Table:
    tables = []
    for number, (part, table) in enumerate(zip(plan.batches(), generated, strict=True)):
        path = folder / f"graded-{grader_digest[:12]}-{number:05d}.parquet"
        graded = _stored(path, GRADED_SCHEMA, plan, part)
        if graded is None:
            graded = grade_samples(table, plan.items, plan.benchmark, plan.protocol)
            records.write_parquet(path, graded)
        tables.append(graded)
        if progress:
            progress("grading", part.stop, len(plan.cells))
    return pa.concat_tables(tables)


def _stored(path: Path, schema: pa.Schema, plan: Plan, part: range) -> pa.Table | None:
    """A finished partial batch, or None when it is missing, damaged or of other samples."""
    if not path.is_file():
        return None
    try:
        table = records.read_parquet(path, schema)
    except CheckFailed:
        return None
    return table if plan.expects(table, part) else None


def _work_folder(out: Path, work: Path | str | None, key: str) -> Path:
    if work is None:
        home = out.absolute().parents[5] if coordinates(out) else out.absolute().parent
        work = home / ".work"
    return Path(work) / f"eval-{key[:24]}"


def _open(engine: Any, model_dir: Path | str, batch: int) -> Any:
    if not isinstance(engine, str):
        return engine
    from creditbench.sampling import open_engine

    return open_engine(engine, Path(model_dir), batch_rows=batch)


def _close(engine: Any) -> None:
    from creditbench.sampling import close_engine

    close_engine(engine)


def _tokenizer(model_dir: Path | str, thinking: bool) -> Any:
    from creditbench.tokenizer import load_tokenizer

    return load_tokenizer(model_dir, thinking=thinking)


def _determinism(engine: Any) -> str:
    """D3 on CPU with one thread (same bits again), D1 elsewhere: the seeds are fixed, the kernels are not."""
    torch = sys.modules.get("torch")
    on_gpu = torch is not None and torch.cuda.is_available()
    return "D3" if engine.name in ("raw", "hf") and not on_gpu and records.thread_count() == 1 else "D1"
