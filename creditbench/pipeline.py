"""What one workflow job does: make a model, train a run, evaluate it. Floor 5; the rules and the CLI call these.

Starting a process costs seconds of imports, as much as a tiny evaluation, so a training job may evaluate its model
right away into a waiting place under `.work`; the evaluation's own job then only checks it and moves it in. Declared
outputs stay where the rules say, and a changed protocol evaluates again without training again.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from creditbench import driver, launch
from creditbench.current import current_eval
from creditbench.errors import BadInput, CheckFailed, CreditBenchError
from creditbench.items import digest_of
from creditbench.plan import relative_cost
from creditbench.records import check_files, digest_file, read_manifest, recovered, whole
from creditbench.records.paths import MANIFEST, MODEL, eval_dir, models_dir, run_dir
from creditbench.suite import BASE, EvalSpec, ModelSpec, RunSpec, Suite, resolve_eval, track_of

Progress = Callable[[str, int, int], None]


def make_model(spec: ModelSpec, results: Path, progress: Progress | None = None) -> Path:
    """Build a base or teacher model into its folder under results/models and return that folder."""
    with driver.job(results, f"{spec.role} model", kind="base") as note:
        from creditbench.basemodel import build_model

        return build_model(spec, results, progress=_both(note, progress))


def train_run(
    suite: Suite,
    spec: RunSpec,
    results: Path,
    then_evaluate: bool = False,
    progress: Progress | None = None,
    out: Path | None = None,
) -> Path:
    """Train one run and return its folder; with `then_evaluate` its evaluations are made ready in the same process.

    `out` is another place than the suite's own, for a rerun beside the old run.
    """
    what = f"train {spec.arm} {spec.track} seed {spec.seed}"
    weight = relative_cost(spec.arm, spec.suite_class)
    with driver.job(results, what, noted=launch.is_main(), kind="train", weight=weight) as note:
        from creditbench.trainer import train
        from creditbench.trainer_trl import engine_of

        report = _both(note, progress)
        scratch = f"-{digest_of(str(out))[:12]}" if out else ""
        recovered(out or run_dir(results, spec.suite, spec.arm, spec.track, spec.seed))
        told = {"report": lambda step, steps, row: report("step", step, steps)}
        folder = train(spec, results, out=out, scratch=scratch, engine=engine_of(spec.settings), **told)
    if then_evaluate:
        for ref in track_of(suite, spec.track).eval:
            _evaluate_ahead(resolve_eval(suite, spec.arm, spec.track, spec.seed, ref.label), results, progress)
    return folder


def _evaluate_ahead(spec: EvalSpec, results: Path, progress: Progress | None) -> None:
    """Evaluate into the waiting place. What fails here is left to the evaluation's own job: the run is made."""
    try:
        _evaluate(spec, results, waiting_place(spec, results), progress)
    except Exception as error:
        text = " ".join(str(error).split())
        why = text if isinstance(error, CreditBenchError) else f"{type(error).__name__}: {text}"
        print(f"creditbench: {spec.label} is left to its own job: {why}", file=sys.stderr)


def evaluate_run(spec: EvalSpec, results: Path, progress: Progress | None = None) -> Path:
    """Evaluate a run (or the base) and return the record's folder.

    A record that answers the same is left alone; a result that waits is checked and moved in.
    """
    out = eval_dir(results, spec.suite, spec.label, spec.arm, spec.track, spec.seed)
    if not publish(spec.suite, spec.arm, spec.track, spec.seed, spec.label, spec.config_digest, results):
        _evaluate(spec, results, out, progress)
    return out


def evaluate_served(
    spec: EvalSpec, results: Path, out: Path, url: str, served: str, extra: Mapping[str, Any],
    progress: Progress | None = None,
) -> Path:  # fmt: skip
    """Evaluate through an OpenAI-compatible server that serves this very model under the name `served`.

    url: ".../v1". extra: fields added to every request. The record goes to `out`, outside the suite's tables: that
    the server has these weights is its owner's word. Raises BadInput when it fails for good.
    """
    from creditbench.evaluator import evaluate
    from creditbench.sampling.openai_client import OpenAIClient, OpenAIEngine
    from creditbench.tokenizer import load_tokenizer

    model, parents = model_of(spec, results)
    tokenizer = load_tokenizer(model, thinking=spec.protocol.thinking)
    engine = OpenAIEngine(OpenAIClient(url, served, extra=extra), tokenizer)
    evaluate(
        model, spec.benchmark, spec.split, spec.protocol, spec.seed, out, tokenizer=tokenizer,
        engine=engine, options=spec.options, parents=parents, work=Path(results) / ".work", progress=progress,
    )  # fmt: skip
    return out


def waiting_place(spec: EvalSpec, results: Path) -> Path:
    """Where an evaluation waits that was made together with its run."""
    return eval_dir(ahead(results), spec.suite, spec.label, spec.arm, spec.track, spec.seed)


def ahead(results: Path | str) -> Path:
    """Where evaluations wait that were made together with their runs; below it the paths are those of the results."""
    return Path(results) / ".work" / "ahead"


def publish(suite: str, arm: str, track: str, seed: int, label: str, digest: str, results: Path) -> bool:
    """Move a waiting evaluation into its place if it answers `digest`, is whole, and belongs to the present run.

    Needs no heavy import. True also when the evaluation in its place is such a one, or lacks nothing but its manifest;
    False when there is none or it does not fit (it is then evaluated as usual).
    """
    out = eval_dir(results, suite, label, arm, track, seed)
    if recovered(out) and current_eval(results, suite, label, arm, track, seed, digest):
        return True
    place = eval_dir(ahead(results), suite, label, arm, track, seed)
    run = run_dir(results, suite, arm, track, seed) / MANIFEST
    manifest = whole(place)
    if manifest is None or manifest.config_digest != digest or not run.is_file():
        return False
    if manifest.parents.get("run") != digest_file(run) or check_files(place, manifest):
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(out, ignore_errors=True)
    os.rename(place, out)
    return True


def _evaluate(spec: EvalSpec, results: Path, out: Path, progress: Progress | None = None) -> None:
    model, parents = model_of(spec, results)
    what = f"evaluate {spec.arm} {spec.track} seed {spec.seed} on {spec.label}"
    with driver.job(results, what, kind="evaluate") as note:
        from creditbench.evaluator import evaluate

        evaluate(
            model, spec.benchmark, spec.split, spec.protocol, spec.seed, out, engine=spec.engine,
            options=spec.options, parents=parents, config_digest=spec.config_digest,
            work=Path(results) / ".work", progress=_both(note, progress),
        )  # fmt: skip


def _both(note: Progress, progress: Progress | None) -> Progress:
    def report(phase: str, done: int, total: int) -> None:
        note(phase, done, total)
        if progress is not None:
            progress(phase, done, total)

    return report


def model_of(spec: EvalSpec, results: Path) -> tuple[Path, dict[str, Path]]:
    """Folder of the model that is evaluated, and the record that made it. Raises BadInput when it is not there."""
    if spec.arm == BASE:
        folder = models_dir(results, spec.base.key)
        maker, how = {"base": folder}, f"creditbench base {spec.suite}"
        model = folder
    else:
        folder = run_dir(results, spec.suite, spec.arm, spec.track, spec.seed)
        maker, how = {"run": folder}, f"creditbench train {spec.suite} {spec.arm} {spec.track} --seed {spec.seed}"
        model = folder / MODEL
    if not (folder / MANIFEST).is_file():
        raise BadInput(f"{folder / MANIFEST}: no such file; make the model first: {how}")
    found = read_manifest(folder)
    said, asked = (found.arm, found.track, found.seed), (spec.arm, spec.track, spec.seed)
    if spec.arm != BASE and said != asked:
        told = f"{found.arm} on {found.track}, seed {found.seed}"
        raise CheckFailed(f"{folder}: is the record of {told}; a copied folder? Remove it and start again: {how}")
    return model, maker
