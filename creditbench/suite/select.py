"""What one invocation asks for: `suite=`, `methods=`, `seeds=`, `tracks=`, `rerun=` become runs, evaluations, paths.

`methods`, `seeds` and `tracks` restrict what is trained. The base is always evaluated on the suite's own seeds, and
tables hold every complete result of the suite, asked for now or earlier.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from creditbench.errors import BadInput, unknown
from creditbench.records.paths import find_evals
from creditbench.suite.arms import BASE, parse_arm
from creditbench.suite.load import load_suite, needs_teacher
from creditbench.suite.resolve import ModelSpec, models_of, resolve, resolve_eval
from creditbench.suite.schema import Suite

KEYS = ("suite", "methods", "seeds", "tracks", "rerun")
DEFAULT_SUITE = "tiny"
_TRUE, _FALSE = {"true", "yes", "1"}, {"false", "no", "0", ""}


class Run(NamedTuple):
    """One training run that is asked for."""

    arm: str
    track: str
    seed: int


class Evaluation(NamedTuple):
    """One evaluation that is asked for; `label` is the benchmark's name in folders."""

    label: str
    arm: str
    track: str
    seed: int


@dataclass(frozen=True)
class Request:
    """A checked request. `source` is what the user gave for the suite (a name or a path)."""

    suite: Suite
    source: str
    arms: tuple[str, ...]
    seeds: tuple[int, ...]
    rerun: bool = False
    results: str = "results"
    wanted_tracks: tuple[str, ...] = ()  # empty: all of the suite's

    @cached_property
    def skipped(self) -> dict[str, str]:
        """Asked-for tracks whose data is not on this machine -> one clear line."""
        from creditbench.suite.available import unavailable

        asked = self.wanted_tracks or tuple(self.suite.tracks)
        reasons = {name: unavailable(track) for name, track in self.suite.tracks.items() if name in asked}
        return {name: reason for name, reason in reasons.items() if reason}

    @cached_property
    def tracks(self) -> tuple[str, ...]:
        """Asked-for tracks that can run here."""
        asked = self.wanted_tracks or tuple(self.suite.tracks)
        return tuple(name for name in self.suite.tracks if name in asked and name not in self.skipped)

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """Training runs asked for, arms in the suite's order."""
        arms = [arm for arm in self.arms if arm != BASE]
        return tuple(
            Run(arm, track, seed)
            for track in self.tracks
            for arm in arms
            if arm not in self.suite.tracks[track].skip_arms
            for seed in self.seeds
        )

    @cached_property
    def evaluations(self) -> tuple[Evaluation, ...]:
        """Evaluations asked for: of every run, and of the base on the suite's seeds."""
        base = [Run(BASE, t, s) for t in self.tracks for s in self.suite.seeds if BASE in self.suite.arms]
        return tuple(
            Evaluation(ref.label, *run) for run in [*base, *self.runs] for ref in self.suite.tracks[run.track].eval
        )

    @cached_property
    def models(self) -> dict[str, ModelSpec]:
        """Key -> model, for the models that the asked-for runs and evaluations need."""
        wanted: dict[str, ModelSpec] = {}
        for track in self.tracks:
            arms = {run.arm for run in self.runs if run.track == track}
            teach = any(needs_teacher(arm) for arm in arms)
            for spec in models_of(self.suite, track):
                if spec.role == "base" or teach:
                    wanted[spec.key] = spec
        return wanted

    @cached_property
    def folder(self) -> str:
        """The suite's folder of results."""
        return f"{self.results}/{self.suite.name}"

    def run_manifest(self, run: Run) -> str:
        """Declared output of a training run."""
        return f"{self.folder}/runs/{run.arm}/{run.track}/seed{run.seed}/manifest.json"

    def eval_manifest(self, evaluation: Evaluation) -> str:
        """Declared output of an evaluation."""
        label, arm, track, seed = evaluation
        return f"{self.folder}/evals/{label}/{arm}/{track}/seed{seed}/manifest.json"

    def model_manifest(self, key: str) -> str:
        """Declared output of a base or teacher model."""
        return f"{self.results}/models/{key}/manifest.json"

    def run_digest(self, arm: str, track: str, seed: int | str) -> str:
        """Config digest of a run: what Snakemake records to know when a run is out of date."""
        asked = (arm, track, int(seed))
        if asked not in self._digests:
            self._digests[asked] = resolve(self.suite, arm, track, int(seed)).config_digest
        return self._digests[asked]

    def eval_digest(self, arm: str, track: str, seed: int | str, label: str) -> str:
        """Config digest of an evaluation."""
        asked = (arm, track, int(seed), label)
        if asked not in self._digests:
            self._digests[asked] = resolve_eval(self.suite, arm, track, int(seed), label).config_digest
        return self._digests[asked]

    @cached_property
    def _digests(self) -> dict[tuple[Any, ...], str]:
        """Digests found so far: Snakemake asks for each several times."""
        return {}

    def model_inputs(self, arm: str, track: str) -> list[str]:
        """Manifests of the models that a run of this arm starts from."""
        roles = {"base", "teacher"} if arm != BASE and needs_teacher(arm) else {"base"}
        return [self.model_manifest(spec.key) for spec in models_of(self.suite, track) if spec.role in roles]

    def others(self) -> list[str]:
        """Evaluations already on disk beside the asked-for ones: they stand in the tables too."""
        asked = {self.eval_manifest(evaluation) for evaluation in self.evaluations}
        found = (str(place.folder / "manifest.json") for place in find_evals(Path(self.folder)))
        return sorted(path for path in found if path not in asked)


def make_request(config: Mapping[str, Any], results: str = "results") -> Request:
    """Check the values of `--config` (int, str or list each) and name what they ask for.

    Raises BadInput for an unknown key, suite, method, track or seed.
    """
    for key in config:
        if key not in KEYS:
            raise unknown("key", str(key), KEYS, "--config")
    source = str(config.get("suite") or DEFAULT_SUITE)
    suite = load_suite(source)
    methods = _listed(config.get("methods"))
    for name in methods:
        parse_arm(name, "--config methods")
    seeds = tuple(dict.fromkeys(_seed(value) for value in _listed(config.get("seeds")))) or tuple(suite.seeds)
    arms = tuple(dict.fromkeys(methods)) or tuple(suite.arms)
    tracks = tuple(dict.fromkeys(_listed(config.get("tracks"))))
    for track in tracks:
        if track not in suite.tracks:
            raise unknown("track", track, list(suite.tracks), "--config tracks")
    request = Request(suite, source, arms, seeds, _flag(config.get("rerun", False)), results, tracks)
    for arm in arms:
        for track in tracks or suite.tracks:
            if arm != BASE and arm not in suite.tracks[track].skip_arms:
                resolve(suite, arm, track, seeds[0])
    return request


def _listed(value: Any) -> list[str]:
    """A value of --config as a list of texts: 3, "3,4", [3, 4] and nothing at all."""
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [part.strip() for part in value.strip("[]() ").split(",") if part.strip()]
    if isinstance(value, Sequence):
        return [str(part) for part in value]
    return [str(value)]


def _seed(text: str) -> int:
    if not re.fullmatch(r"0|[1-9][0-9]*", text):
        raise BadInput(f"--config seeds: {text!r} is not a seed; expected whole numbers, e.g. seeds=3,4")
    return int(text)


def _flag(value: Any) -> bool:
    text = str(value).strip().lower()
    if text not in _TRUE | _FALSE:
        raise BadInput(f"--config rerun: {value!r}: expected true or false")
    return text in _TRUE
