"""`train(spec, results)`: one run from its spec to its record, resumable after any interruption."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import torch

from creditbench.benchmark import get_benchmark
from creditbench.errors import BadInput, Busy, CheckFailed
from creditbench.launch import PROCESSES, SHARD
from creditbench.method import Method, get_method
from creditbench.placebos import seams
from creditbench.records import DataRef as DataFacts
from creditbench.records import (
    atomic_folder,
    curve_table,
    digest_rows,
    model_digest,
    new_manifest,
    now,
    parent_digests,
    run_key,
    source_digest,
    whole,
    write_json,
    write_manifest,
    write_parquet,
)
from creditbench.records.atomic import clear_errors
from creditbench.records.locks import take_lock
from creditbench.records.paths import models_dir, run_dir, work_dir
from creditbench.sampling import close_engine, open_engine
from creditbench.sampling.weights import accelerator, plain_state
from creditbench.settings import TrainSettings
from creditbench.suite import RunSpec, prompt_shape, resolve_protocol
from creditbench.tokenizer import load_tokenizer
from creditbench.trainer.checkpoint import CHECKPOINT, CURVE_LINES, TRACE_LINES, read_lines, restore, save, truncate
from creditbench.trainer.collect import Source
from creditbench.trainer.comm import Comm, connect
from creditbench.trainer.cost import cost
from creditbench.trainer.curve import mismatch_notes
from creditbench.trainer.fsdp import is_sharded, shard
from creditbench.trainer.loop import WALL, Setup, State, make_optimizer, train_step
from creditbench.trainer.stored import Replayed, RolloutStore
from creditbench.trainer.teachers import TeacherPool
from creditbench.trainer.trace import HASH_EVERY_STEP_BELOW, weight_entries
from creditbench.versions import TRAINER_VERSION

Report = Callable[[int, int, dict[str, float]], None]
Engine = Callable[[Setup, State, Path], list[dict[str, float]]]
LOCK_PATIENCE = 600.0


def train(
    spec: RunSpec,
    results: Path | str,
    *,
    out: Path | None = None,
    report: Report | None = None,
    stored: Path | None = None,
    scratch: str = "",
    engine: Engine | None = None,
) -> Path:
    """Train one run and write its record; returns its folder. A complete record with the same key is left alone.

    `out` replaces the default folder (a rerun, a replay), `scratch` separates work folders of such copies, `stored`
    replays kept rollouts (level D2), `engine` runs the steps instead of our loop. Raises BadInput, CheckFailed.
    """
    results = Path(results)
    comm = connect(int(os.environ[PROCESSES]) if PROCESSES in os.environ else None)
    folder = out or run_dir(results, spec.suite, spec.arm, spec.track, spec.seed)
    started = now()
    limit_threads()
    facts = run_facts(spec, results)
    key = facts["key"]
    if comm.sum(float(comm.main and made(folder, key))):
        return folder  # all processes must agree, whatever their file systems show them
    work = work_dir(results, key + scratch)
    for place in (work, folder.parent):
        with clear_errors(place):  # now, and not after all the training
            place.mkdir(parents=True, exist_ok=True)
            if not os.access(place, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    with locked(work, comm, LOCK_PATIENCE if "SLURM_JOB_ID" in os.environ else 0.0):
        if comm.sum(float(comm.main and made(folder, key))):
            return folder  # by whoever held the lock
        setup, state = open_run(spec, results, comm, work, stored)
        try:
            if engine is not None:
                with state.ledger.phase(WALL):
                    other_engine(engine, setup, state, work)
            else:
                loop(spec, setup, state, work, report)
        finally:
            close_engine(state.engine)
        weights = plain_state(state.model)
        if comm.main:
            write_run(spec, results, folder, work, setup, state, facts, started, weights)
            shutil.rmtree(work, ignore_errors=True)
        comm.barrier()
        del setup, state, weights
    if torch.cuda.is_initialized():
        # An evaluation may follow in this process, and vLLM takes its share of what is free when it starts.
        gc.collect()
        torch.cuda.empty_cache()
    return folder


def made(folder: Path, key: str) -> bool:
    """Whether the complete record of this very run is there."""
    manifest = whole(folder)
    return manifest is not None and manifest.key == key


def limit_threads() -> None:
    """One torch thread per process unless OMP_NUM_THREADS says otherwise; same bits need the same number."""
    told = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()  # OpenMP takes a list: one number a level
    torch.set_num_threads(max(1, int(told)) if told.isdigit() else 1)


def run_facts(spec: RunSpec, results: Path) -> dict[str, Any]:
    """What identifies the run: digests of base, teacher, data, method, and the run key over all of them."""
    base = models_dir(results, spec.base.key)
    for role, ref in (("base", spec.base), ("teacher", spec.teacher)):
        if ref is not None and whole(models_dir(results, ref.key)) is None:
            where = models_dir(results, ref.key)
            raise BadInput(f"{where}: the {role} model is missing or damaged; make it with `creditbench base`")
    benchmark = get_benchmark(spec.train.benchmark)
    items = tuple(benchmark.load(spec.train.split, spec.train.options))
    base_digest, tokenizer_digest = model_digest(base)
    teacher = models_dir(results, spec.teacher.key) if spec.teacher else None
    teachers = {"external": model_digest(teacher)[0]} if teacher else {}
    method = get_method(spec.method)
    config = spec.settings.model_dump(mode="json", exclude={"checkpoint_every"}) | {
        "placebo": spec.placebo, "track": spec.track, "seed": spec.seed, **prompt_shape(spec.train),
    }  # fmt: skip
    data = DataFacts(digest=digest_rows(items), n=len(items), revision=benchmark.card.version)
    key = run_key(
        config,
        data={"train": data.digest},
        base=base_digest,
        method=source_digest(*sorted(method.folder.glob("*.py"))),
        trainer_version=TRAINER_VERSION,
        teachers=teachers,
    )
    return {
        "key": key, "base": base, "teacher": teacher, "base_digest": base_digest, "items": items,
        "tokenizer_digest": tokenizer_digest, "data": data,
        "method_digest": source_digest(*sorted(method.folder.glob("*.py"))),
    }  # fmt: skip


@contextlib.contextmanager
def locked(work: Path, comm: Comm, patience: float = 0.0) -> Iterator[None]:
    """Hold the work folder's lock: two processes never train the same run.

    On a cluster a job may live on after its node was given up; `patience` is how many seconds to wait for it. Raises
    Busy (a CheckFailed) when the lock stays taken.
    """
    if not comm.main:
        yield
        return
    end = time.monotonic() + patience
    while (lock := take_lock(work / "lock")) is None:
        if time.monotonic() >= end:
            raise Busy(f"{work}: another process is training this run; wait for it or end it")
        time.sleep(min(1.0, patience))
    with lock:
        yield


DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}


def load_model(folder: Path, s: TrainSettings, trainable: bool = True) -> Any:
    """A causal LM from a saved folder, in the run's dtype, on the accelerator when there is one."""
    from transformers import AutoModelForCausalLM

    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=DTYPES[s.dtype])
    model = loaded.to(accelerator())
    if not trainable:
        return model.requires_grad_(False).eval()
    if s.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if s.lora_r:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=s.lora_r, lora_alpha=s.lora_alpha or 2 * s.lora_r, target_modules="all-linear")
        torch.manual_seed(0)
        model = get_peft_model(model, config)
    return model


def open_run(spec: RunSpec, results: Path, comm: Comm, work: Path, stored: Path | None) -> tuple[Setup, State]:
    """Load models, data, method and engine; restore the last checkpoint when there is one."""
    s = spec.settings
    check_shares(spec, comm)
    base = models_dir(results, spec.base.key)
    registered = get_method(spec.method)
    method = registered.method(s.method)
    benchmark = get_benchmark(spec.train.benchmark)
    model = load_model(base, s)
    external = load_model(models_dir(results, spec.teacher.key), s, trainable=False) if spec.teacher else None
    protocol = resolve_protocol(spec.train)
    source = Source(
        benchmark=benchmark,
        items=tuple(benchmark.load(spec.train.split, spec.train.options)),
        protocol=protocol,
        tokenizer=load_tokenizer(base, thinking=protocol.thinking),
        track=spec.track,
        seed=spec.seed,
    )
    store = RolloutStore(stored, rank=comm.rank) if stored else None
    keeper = RolloutStore(work / "rollouts", rank=comm.rank) if s.store_rollouts else None
    setup = Setup(
        source=source,
        method=method,
        settings=s,
        seams=seams(spec.placebo),
        comm=comm,
        dtype=DTYPES[s.dtype],
        stored=store.read if store else lambda step: None,
        keep=keeper.write if keeper else None,
    )
    pool = TeacherPool(model, method.teachers, external)
    if os.environ.get(SHARD) == "1":
        model = pool.student = shard_policy(model, pool, method)
    if stored is not None:
        engine = Replayed()
    elif s.engine == "vllm":
        engine = open_engine("vllm", base, dtype="bfloat16" if s.dtype == "bfloat16" else None)
    else:
        # A sharded policy is sampled from a copy, which must be in the run's dtype as the policy itself would be.
        engine = open_engine(s.engine, load_model(base, s, trainable=False) if is_sharded(model) else model)
    state = State(model, make_optimizer(model, s), pool, engine)
    with contextlib.ExitStack() as failing:
        failing.callback(close_engine, engine)
        restore(work / CHECKPOINT, state)
        if (latest := comm.largest(state.step)) != state.step:
            told = f"this process found step {state.step}, another one step {latest}; is the disk slow to show files?"
            raise CheckFailed(f"{work / CHECKPOINT}: {told}")
        failing.pop_all()
    if comm.main:
        # Another process that replaced these later would take them from under the main one's open files.
        for name in (CURVE_LINES, TRACE_LINES):
            truncate(work / name, state.step)
    comm.barrier()
    return setup, state


def check_shares(spec: RunSpec, comm: Comm) -> None:
    """Raises BadInput when the groups of a step cannot be dealt evenly, or leave a placebo nothing to exchange."""
    share = comm.share(spec.settings.prompts_per_step)
    if comm.world > 1 and spec.placebo == "wrong-context" and share.stop - share.start < 2:
        raise BadInput(
            f"prompts_per_step: {spec.settings.prompts_per_step} on {comm.world} processes is one group each, and "
            "wrong-context takes another group's; use fewer processes"
        )


def shard_policy(model: Any, pool: TeacherPool, method: Method) -> Any:
    """The policy dealt over the processes. Raises BadInput for teachers that need its weights out of step with others.

    Those are a distillation teacher that is the policy itself, and copies that are swapped into an adapted policy.
    """
    for name, teacher in pool.teachers.items():
        distils = method.distill is not None and method.distill.teacher == name and teacher.weights == "live"
        swapped = hasattr(model, "peft_config") and teacher.weights in ("initial", "copy", "ema")
        if distils or swapped:
            kind = f"teacher {name!r} ({teacher.weights})"
            raise BadInput(f"{SHARD}=1: {kind} uses the policy's own weights; train unsharded")
    return shard(model)


def loop(spec: RunSpec, setup: Setup, state: State, work: Path, report: Report | None = None) -> None:
    """All remaining steps, with curve and trace written as they go and checkpoints in between."""
    s, comm = setup.settings, setup.comm
    small = sum(p.numel() for p in state.model.parameters()) < HASH_EVERY_STEP_BELOW
    with contextlib.ExitStack() as files:
        curve = trace = None
        if comm.main:
            curve, trace = ((work / name).open("a", encoding="utf-8") for name in (CURVE_LINES, TRACE_LINES))
            for handle in (curve, trace):
                files.callback(close_quietly, handle)
        while state.step < s.steps:
            step = state.step
            # Inside a checkpoint, so that a run that goes on after a kill knows what it took before.
            with state.ledger.phase(WALL):
                row, marks = train_step(setup, state)
                row = comm.mean_rows(row)
                if small or state.step == s.steps:
                    marks = marks + weight_entries(step, state.model)
                if curve is not None and trace is not None:
                    with clear_errors(work):
                        curve.write(json.dumps({"step": step, **row}) + "\n")
                        trace.write("".join(json.dumps(m) + "\n" for m in marks))
                        curve.flush()
                        trace.flush()
            if state.step % s.checkpoint_every == 0 and state.step < s.steps:
                with clear_errors(work):
                    for handle in (h for h in (curve, trace) if h is not None):
                        os.fsync(handle.fileno())  # no checkpoint outlives the lines of its steps
                save(work / CHECKPOINT, state, comm.main)
            if report is not None and comm.main:
                report(state.step, s.steps, row)


def close_quietly(handle: IO[str]) -> None:
    """Close a file that was flushed after every line: what a full disk did not take then, it does not take now."""
    with contextlib.suppress(OSError):
        handle.close()


def other_engine(engine: Engine, setup: Setup, state: State, work: Path) -> None:
    """All steps on another engine. A killed run starts again: it keeps its own state, not our checkpoints."""
    rows = engine(setup, state, work / "engine")
    with (work / CURVE_LINES).open("w", encoding="utf-8") as curve:
        curve.writelines(json.dumps({**row, "step": step}) + "\n" for step, row in enumerate(rows))
    with (work / TRACE_LINES).open("w", encoding="utf-8") as trace:
        marks = weight_entries(setup.settings.steps - 1, state.model)
        trace.writelines(json.dumps(mark) + "\n" for mark in marks)


def write_run(
    spec: RunSpec, results: Path, folder: Path, work: Path, setup: Setup, state: State, facts: dict[str, Any],
    started: str, weights: dict[str, torch.Tensor],
) -> None:  # fmt: skip
    """The run's record appears whole: model, curve, trace, cost, config, manifest."""
    import pyarrow as pa

    with atomic_folder(folder) as private:
        save_model(state.model, facts["base"], private / "model", weights)
        curve = read_lines(work / CURVE_LINES)
        write_parquet(private / "curve.parquet", curve_table(curve))
        write_parquet(private / "trace.parquet", pa.Table.from_pylist(read_lines(work / TRACE_LINES)))
        write_json(private / "cost.json", cost(state, spec, setup.comm).model_dump(mode="json"))
        write_json(private / "config.json", spec.model_dump(mode="json"))
        files = ["curve.parquet", "trace.parquet", "cost.json", "config.json"]
        if (work / "rollouts").is_dir():
            shutil.copytree(work / "rollouts", private / "rollouts")
            files += [p.relative_to(private).as_posix() for p in sorted((private / "rollouts").iterdir())]
        files += [p.relative_to(private).as_posix() for p in sorted((private / "model").rglob("*")) if p.is_file()]
        parents = {"base": facts["base"]} | ({"teacher": facts["teacher"]} if facts["teacher"] else {})
        manifest = new_manifest(
            "run",
            config=spec.model_dump(mode="json"),
            started=started,
            key=facts["key"],
            suite=spec.suite,
            arm=spec.arm,
            track=spec.track,
            seed=spec.seed,
            data={"train": facts["data"]},
            model_digest=model_digest(private / "model")[0],
            base_digest=facts["base_digest"],
            tokenizer_digest=facts["tokenizer_digest"],
            method_digest=facts["method_digest"],
            trainer_version=str(TRAINER_VERSION),
            threads=torch.get_num_threads(),
            determinism=level(setup.settings, setup.comm),
            seeds={"run": spec.seed},
            sandbox=getattr(setup.source.benchmark.module, "sandbox_mode", lambda: "none")(),
            parents=parent_digests(parents),
            notes=mismatch_notes(curve),
        )
        if spec.settings.engine == "vllm" and state.engine.version:  # its server may run in another environment
            told = {**manifest.versions, "vllm": state.engine.version}
            manifest = manifest.model_copy(update={"versions": told})
        write_manifest(private, manifest, files)


def level(s: TrainSettings, comm: Comm) -> str:
    """Determinism level: D3 the same bits end to end, D2 the same updates from kept rollouts, D1 data order."""
    if torch.cuda.is_available() or torch.get_num_threads() != 1 or comm.world > 1:
        return "D1"
    if s.engine != "vllm":
        return "D3"
    return "D2" if s.store_rollouts else "D1"


def save_model(model: Any, base: Path, folder: Path, weights: dict[str, torch.Tensor] | None = None) -> None:
    """Save the weights, adapters merged in, with the base's tokenizer files; the model itself is left as it is.

    `weights` is what `plain_state` gave; a sharded model's must be asked for by all processes.
    """
    plain = model.get_base_model() if hasattr(model, "peft_config") else model
    plain.save_pretrained(folder, state_dict=plain_state(model) if weights is None else weights)
    for path in sorted(base.iterdir()):
        if any(word in path.name for word in ("token", "vocab", "merges", "chat_template", "special_tokens")):
            shutil.copy(path, folder / path.name)
