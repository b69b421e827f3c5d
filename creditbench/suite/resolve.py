"""From a suite to single jobs: the frozen specs of models, training runs and evaluations, and their digests.

A config digest says which inputs a result was asked for: settings, data, models, source of the method. It is known
before anything runs and decides whether a stored result still answers the suite (the run key, made by the trainer
from the digests of what it really read, stands beside it in the manifest).
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any, Literal

from pydantic import Field

from creditbench.benchmark import Benchmark, EvalProtocol, get_benchmark, validated
from creditbench.errors import BadInput, unknown
from creditbench.items import digest_of
from creditbench.records.digests import source_digest
from creditbench.settings import TrainSettings
from creditbench.suite.arms import BASE, parse_arm, resolve_settings
from creditbench.suite.load import PROMPT_KEYS, layers, needs_teacher, resolve_protocol
from creditbench.suite.schema import DataRef, EvalRef, Frozen, ModelRef, Suite, Track
from creditbench.tokenizer import vocabulary_digest
from creditbench.versions import BASE_VERSION, EVALUATOR_VERSION, TRAINER_VERSION

Role = Literal["base", "teacher"]
NOT_KEYED = {"checkpoint_every"}


class ModelSpec(Frozen):
    """A model that must be there before training: `key` names its folder under results/models."""

    role: Role
    ref: ModelRef
    key: str


class RunSpec(Frozen):
    """One training run: an arm on a track with a seed, everything resolved."""

    suite: str
    suite_class: Literal["tiny", "real"]
    arm: str
    method: str
    variant: str = ""
    placebo: str = ""
    track: str
    seed: int = Field(ge=0)
    settings: TrainSettings
    base: ModelSpec
    teacher: ModelSpec | None = Field(None, description="only where the method learns from an external model")
    train: DataRef
    dev: DataRef | None = None
    config_digest: str = ""


class EvalSpec(Frozen):
    """One evaluation: a model (a run's, or the base itself) on one benchmark with a seed."""

    suite: str
    arm: str
    track: str
    seed: int = Field(ge=0)
    benchmark: str
    label: str
    split: str
    options: dict[str, Any] = Field(default_factory=dict)
    protocol: EvalProtocol
    engine: Literal["raw", "hf", "vllm"] = "raw"
    base: ModelSpec
    run_digest: str = Field("", description="config digest of the run whose model is evaluated; empty for the base")
    config_digest: str = ""


def folder_source(folder: Path) -> str:
    """Digest of all Python files of a plug-in folder, comments and docstrings apart."""
    return source_digest(*sorted(folder.glob("*.py")))


def data_key(ref: DataRef) -> str:
    """What identifies a split before it is loaded: benchmark version, the card's facts of the split, options, code."""
    benchmark = get_benchmark(ref.benchmark)
    card = benchmark.card
    facts = [card.version, card.splits.get(ref.split, {}), card.data, dict(ref.options)]
    return digest_of([ref.benchmark, ref.split, facts, folder_source(benchmark.folder)])


def prompt_shape(ref: DataRef) -> dict[str, Any]:
    """How a training set's prompts differ from plain text: the prompt format, a system prompt, thinking."""
    protocol = resolve_protocol(ref)
    shape = {key: getattr(protocol, key) for key in sorted(PROMPT_KEYS)}
    return {k: v for k, v in shape.items() if v != EvalProtocol.model_fields[k].default}


def corpus_sample(benchmark: Benchmark, recipe: Any) -> list[str]:
    """Digests of a sample of each corpus phase: code outside the benchmark's folder may write the corpus too."""
    if benchmark.corpus is None or not isinstance(recipe, dict):
        return []
    phases = sorted({str(phase.get("corpus")) for phase in recipe.get("phases", [])})
    return [digest_of([name, benchmark.corpus(name, 32, Random(0))]) for name in phases]


def model_spec(ref: ModelRef, role: Role) -> ModelSpec:
    """Name a model by what makes it: recipe and corpus code, hub commit, folder, or random sizes."""
    facts: list[Any] = [ref.model_dump(), BASE_VERSION]
    if ref.recipe is not None:
        benchmark = get_benchmark(ref.recipe)
        recipe = (benchmark.card.base or {}).get(role)
        facts += [role, recipe, folder_source(benchmark.folder), vocabulary_digest(), corpus_sample(benchmark, recipe)]
    return ModelSpec(role=role, ref=ref, key=digest_of(facts))


def track_of(suite: Suite, track: str) -> Track:
    """The track by name. Raises BadInput with the nearest one."""
    if track not in suite.tracks:
        raise unknown("track", track, suite.tracks, f"suite {suite.name}")
    return suite.tracks[track]


def models_of(suite: Suite, track: str) -> list[ModelSpec]:
    """Base and, where the track has one, teacher."""
    found = track_of(suite, track)
    teacher = [] if found.teacher is None else [model_spec(found.teacher, "teacher")]
    return [model_spec(found.base, "base"), *teacher]


def resolve(suite: Suite, arm: str, track: str, seed: int) -> RunSpec:
    """Resolve one training run. Raises BadInput for unknown names, a skipped arm, or settings that do not fit."""
    found, parts = track_of(suite, track), parse_arm(arm)
    if parts.method == BASE:
        raise BadInput(f"arm {arm!r}: the base model is evaluated, not trained")
    if arm in found.skip_arms:
        raise BadInput(f"suite {suite.name}: arm {arm!r} is not run on track {track!r}: {found.skip_arms[arm]}")
    settings = resolve_settings(parts, layers(suite, track, arm), suite.class_, f"suite {suite.name}")
    teacher = None
    if needs_teacher(arm):
        if found.teacher is None:
            raise BadInput(f"suite {suite.name}: tracks.{track}: arm {arm!r} needs a `teacher`")
        teacher = model_spec(found.teacher, "teacher")
    spec = RunSpec(
        suite=suite.name, suite_class=suite.class_, arm=arm, method=parts.method, variant=parts.variant,
        placebo=parts.placebo, track=track, seed=seed, settings=settings, base=model_spec(found.base, "base"),
        teacher=teacher, train=found.train, dev=found.dev,
    )  # fmt: skip
    return spec.model_copy(update={"config_digest": run_digest(spec)})


def run_digest(spec: RunSpec) -> str:
    """Digest of what decides a run's result; the suite's and the arm's names do not, the settings behind them do."""
    from creditbench.method import get_method

    return digest_of(
        {
            "settings": spec.settings.model_dump(mode="json", exclude=NOT_KEYED),
            "method": [spec.method, folder_source(get_method(spec.method).folder)],
            "placebo": spec.placebo,
            "track": spec.track,
            "seed": spec.seed,
            "base": spec.base.key,
            "teacher": spec.teacher.key if spec.teacher else "",
            "train": data_key(spec.train),
            **prompt_shape(spec.train),
            "trainer_version": TRAINER_VERSION,
        }
    )


def resolve_eval(suite: Suite, arm: str, track: str, seed: int, label: str) -> EvalSpec:
    """Resolve one evaluation by its label in the track. Raises BadInput for unknown names."""
    found = track_of(suite, track)
    refs: dict[str, EvalRef] = {ref.label: ref for ref in found.eval}
    if label not in refs:
        raise unknown("benchmark", label, refs, f"suite {suite.name}: tracks.{track}.eval")
    ref = refs[label]
    engine = {**suite.settings, **found.settings}.get("engine", TrainSettings.model_fields["engine"].default)
    base = model_spec(found.base, "base")
    run = "" if parse_arm(arm).method == BASE else resolve(suite, arm, track, seed).config_digest
    protocol = resolve_protocol(ref)
    digest = digest_of(
        {
            "model": run or base.key,
            "data": data_key(DataRef(benchmark=ref.benchmark, split=ref.split, options=ref.options)),
            "label": ref.label,
            "protocol": protocol.model_dump(mode="json"),
            "grader": get_benchmark(ref.benchmark).card.grader.model_dump(),
            "engine": engine,
            "seed": seed,
            "evaluator_version": EVALUATOR_VERSION,
        }
    )
    return EvalSpec(
        suite=suite.name, arm=arm, track=track, seed=seed, benchmark=ref.benchmark, label=ref.label, split=ref.split,
        options=ref.options, protocol=protocol, engine=engine, base=base, run_digest=run, config_digest=digest,
    )  # fmt: skip


def read_spec(path: Path) -> RunSpec:
    """Read a run spec from a JSON file; a missing or malformed one is a BadInput that names file and field."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON: {error}") from None
    return validated(RunSpec, data, str(path))
