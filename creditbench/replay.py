"""`creditbench replay RECORD`: make a stored record again in a scratch folder and say whether it is the same.

A run is retrained and its trace compared entry by entry; an evaluation is sampled again and compared sample by
sample; a base model is trained again and compared by digest. Above level D3 bits are not promised: then the
difference of the final training accuracy is shown beside the spread over the seeds that are there. Floor 5.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from creditbench.accelerators import hidden
from creditbench.errors import BadInput, CheckFailed
from creditbench.records import COUNTED, check_files, digest_file, read_json, read_manifest, read_parquet
from creditbench.records.manifest import Manifest
from creditbench.records.paths import COST, CURVE, MANIFEST, METRICS, MODEL, ROLLOUTS, find_runs, run_dir

LAST_STEPS = 10


@dataclass(frozen=True)
class Replay:
    """Outcome of a replay: `identical`, or a `report` of where the two part."""

    identical: bool
    report: str


def replay(
    record: Path | str, *, config: Path | None = None, stored: bool = False, report: Callable[..., None] | None = None
) -> Replay:
    """Replay the record in folder `record`, with as many threads as it was made with, on a CPU what was made on one.

    config: another config file (a copy of the run's `config.json`, edited) to replay with. stored: use the run's kept
    rollouts; a run recorded at level D2 is replayed so by itself. Raises BadInput when the folder holds no complete
    record, CheckFailed when its files are not the ones that its manifest lists.
    """
    record = Path(record).resolve()
    manifest = read_manifest(record)
    if altered := check_files(record, manifest):
        raise CheckFailed(f"{altered[0]}; a record that was changed cannot be replayed")
    with _threads(manifest.threads), hidden(not manifest.hardware.accelerators):
        if manifest.kind == "run":
            kept = (record / ROLLOUTS).is_dir()
            return _replay_run(record, manifest, config, stored or (manifest.determinism == "D2" and kept), report)
        if config is not None or stored:
            raise BadInput(f"{record}: --config and --stored apply to runs, this is a record of kind {manifest.kind!r}")
        if manifest.kind == "eval":
            return _replay_eval(record, manifest)
        if manifest.kind == "base":
            return _replay_base(record, manifest)
    raise BadInput(f"{record}: records of kind {manifest.kind!r} cannot be replayed")


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    """As many torch threads as the record had: another number may give other bits."""
    import torch

    before, told = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(number)
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        os.environ.pop("OMP_NUM_THREADS")
        if told is not None:
            os.environ["OMP_NUM_THREADS"] = told


def results_of(record: Path) -> Path:
    """The results folder that a record lies in: the nearest one above it that holds `models`."""
    found = next((folder for folder in record.parents if (folder / "models").is_dir()), None)
    if found is None:
        raise BadInput(f"{record}: not inside a results folder (none above it holds `models`)")
    return found


def _scratch(results: Path) -> Path:
    (results / ".work").mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="replay-", dir=results / ".work"))


def _replay_run(record: Path, manifest: Manifest, config: Path | None, stored: bool, report) -> Replay:
    from creditbench.suite import read_spec
    from creditbench.trainer import train
    from creditbench.trainer.trace import first_difference
    from creditbench.trainer_trl import engine_of

    results = results_of(record)
    spec = read_spec(config or record / "config.json")
    if stored and not (record / ROLLOUTS).is_dir():
        raise BadInput(f"{record}: no stored rollouts; train with `store_rollouts: true` to replay at level D2")
    scratch = _scratch(results)
    try:
        train(
            spec, results, out=scratch / "run", scratch=f"-{scratch.name}", report=report,
            stored=record / ROLLOUTS if stored else None, engine=engine_of(spec.settings),
        )  # fmt: skip
        old = read_parquet(record / "trace.parquet").to_pylist()
        new = read_parquet(scratch / "run" / "trace.parquet").to_pylist()
        parting = first_difference(old, new)
        again = read_manifest(scratch / "run")
        if parting is None and again.model_digest == manifest.model_digest:
            ours = engine_of(spec.settings) is None and config is None and not stored
            if ours and (told := _counts_part(record, scratch / "run")) is not None:
                return Replay(False, told)
            return Replay(True, f"identical: {spec.settings.steps} steps, {len(new)} digests, the same final weights")
        where = str(parting) if parting else "the traces agree but the saved weights differ"
        lines = [where, *differences(manifest, again)]
        if manifest.determinism != "D3":
            lines.append(_against_spread(record, scratch / "run", manifest))
        return Replay(False, "\n".join(lines))
    finally:
        for folder in (scratch, *(results / ".work").glob(f"*-{scratch.name}")):  # the checkpoints of a run cut short
            shutil.rmtree(folder, ignore_errors=True)


def _counts_part(old: Path, new: Path) -> str | None:
    """Where the curves or the counted costs of two runs with the same trace part: one of them was written by hand."""
    here, there = (read_parquet(folder / CURVE) for folder in (new, old))
    for name in [n for n in there.column_names if not n.startswith("seconds.")]:
        a, b = there[name].to_pylist(), here[name].to_pylist() if name in here.column_names else []
        if len(a) != len(b):
            return f"first difference: curve.parquet, {name}: {len(a)} steps there, {len(b)} here"
        for step, (x, y) in enumerate(zip(a, b, strict=True)):
            if x != y and (x == x or y == y):
                return f"first difference: curve.parquet, step {step}, {name}: {x!r} there, {y!r} here"
    counted, again = (read_json(folder / COST) for folder in (old, new))
    for name in COUNTED:
        if counted.get(name) != again.get(name):
            return f"first difference: cost.json, {name}: {counted.get(name)!r} there, {again.get(name)!r} here"
    return None


def differences(old: Manifest, new: Manifest) -> list[str]:
    """What differs between the two records and may be the reason: settings, machine, versions."""
    lines = []
    before, after = _flat(old.config), _flat(new.config)
    for key in sorted(set(before) | set(after)):
        if before.get(key) != after.get(key) and not key.endswith("config_digest"):
            lines.append(f"config {key}: {before.get(key)!r} there, {after.get(key)!r} here")
    for field in ("base_digest", "tokenizer_digest", "method_digest", "trainer_version", "threads"):
        if getattr(old, field) != getattr(new, field):
            lines.append(f"{field}: {getattr(old, field)!r} there, {getattr(new, field)!r} here")
    if old.hardware != new.hardware:
        lines.append(f"hardware: {old.hardware.cpu} there, {new.hardware.cpu} here")
    for name in sorted(set(old.versions) | set(new.versions)):
        if old.versions.get(name) != new.versions.get(name):
            lines.append(f"{name}: {old.versions.get(name)} there, {new.versions.get(name)} here")
    return lines


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, inner in value.items():
        flat.update(_flat(inner, f"{prefix}.{key}" if prefix else str(key)))
    return flat


def final_accuracy(run: Path) -> float:
    """Mean share of correct training samples over the last steps of a run."""
    rows = read_parquet(run / "curve.parquet", columns=["step", "correct"]).to_pylist()
    tail = sorted(rows, key=lambda r: r["step"])[-LAST_STEPS:]
    return sum(r["correct"] for r in tail) / len(tail)


def _against_spread(record: Path, again: Path, manifest: Manifest) -> str:
    runs = find_runs(results_of(record) / manifest.suite)
    same = [p.folder for p in runs if (p.arm, p.track) == (manifest.arm, manifest.track)]
    values = [final_accuracy(folder) for folder in same or [record]]
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else float("nan")
    there, here = final_accuracy(record), final_accuracy(again)
    return (
        f"level {manifest.determinism}, bits are not promised: training accuracy over the last {LAST_STEPS} steps "
        f"{there:.4f} there, {here:.4f} here; standard deviation over {len(values)} seeds {spread:.4f}"
    )


def _replay_eval(record: Path, manifest: Manifest) -> Replay:
    from creditbench.evaluator import evaluate

    facts = manifest.eval
    if facts is None or manifest.seed is None:
        raise CheckFailed(f"{record}: the manifest says nothing of the evaluation")
    results = results_of(record)
    model = _run_behind(record, results, manifest) if "run" in manifest.parents else _base_folder(results, manifest)
    scratch = _scratch(results)
    try:
        out = scratch / record.relative_to(results)
        evaluate(
            model, facts.benchmark, facts.split, facts.protocol, manifest.seed, out,
            engine=facts.engine.name, options=facts.options, batch=facts.batch, work=scratch,
        )  # fmt: skip
        old, new = (read_parquet(p / "samples.parquet").to_pylist() for p in (record, out))
        for a, b in zip(old, new, strict=False):
            for field in a:
                if a[field] != b.get(field):
                    name = f"problem {a['problem_id']} sample {a['sample']}"
                    return Replay(False, f"first difference: {name}, {field}: {a[field]!r} there, {b[field]!r} here")
        if len(old) != len(new):
            return Replay(False, f"{len(old)} samples there, {len(new)} here")
        there, here = ({**m["values"], **m["outcomes"]} for m in (read_json(p / METRICS) for p in (record, out)))
        for name in sorted(here):
            if there.get(name) != here[name]:
                told = f"{METRICS}, {name}: {there.get(name)!r} there, {here[name]!r} here"
                return Replay(False, f"first difference: {told} (the samples agree)")
        return Replay(True, f"identical: {len(new)} samples")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _run_behind(record: Path, results: Path, manifest: Manifest) -> Path:
    """The model of the very run that was evaluated: in the suite's place, or beside the evaluation (tuning)."""
    wanted = manifest.parents["run"]
    places = [record.parent / "run"]
    if manifest.arm and manifest.seed is not None:
        places.append(run_dir(results, manifest.suite, manifest.arm, manifest.track, manifest.seed))
    for run in places:
        if (run / MANIFEST).is_file() and digest_file(run / MANIFEST) == wanted:
            return run / MODEL
    raise BadInput(f"{record}: the run that it evaluated is not there any more (manifest SHA-256 {wanted[:12]}...)")


def _base_folder(results: Path, manifest: Manifest) -> Path:
    from creditbench.records import model_digest

    for folder in sorted((results / "models").iterdir()):
        if (folder / "manifest.json").is_file() and model_digest(folder)[0] == manifest.model_digest:
            return folder
    raise BadInput(f"{results / 'models'}: the base model of this evaluation is not there")


def _replay_base(record: Path, manifest: Manifest) -> Replay:
    from creditbench.basemodel import build_model
    from creditbench.suite.resolve import ModelSpec

    spec = ModelSpec.model_validate(json.loads(json.dumps(manifest.config["spec"])))
    results = results_of(record)
    scratch = _scratch(results)
    try:
        again = read_manifest(build_model(spec, scratch))
        if again.model_digest == manifest.model_digest:
            return Replay(True, "identical: the same weights")
        return Replay(False, "\n".join(["the weights differ", *differences(manifest, again)]))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
