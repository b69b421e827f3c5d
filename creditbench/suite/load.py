"""Read and check a suite file: every name it uses must exist before anything is started."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from creditbench.benchmark import EvalProtocol, benchmark_names, get_benchmark, read_yaml, repo_root, validated
from creditbench.errors import BadInput, CreditBenchError, unknown
from creditbench.suite.arms import BASE, TRAINER_KEYS, check_keys, parse_arm, resolve_settings
from creditbench.suite.schema import DataRef, Suite, Track

if TYPE_CHECKING:
    from creditbench.method import Method
    from creditbench.settings import TrainSettings

REFERENCE = "grpo"
PROMPT_KEYS = frozenset({"prompt", "system", "thinking"})
"""What of a training set's protocol a suite may override."""


def suites_dir(root: Path | None = None) -> Path:
    """The folder of the suite files."""
    return (root or repo_root()) / "workflows" / "suites"


def suite_names(root: Path | None = None) -> list[str]:
    """Names of the suites that ship with the project."""
    return sorted(path.stem for path in suites_dir(root).glob("*.yaml"))


def load_suite(name_or_path: str | Path) -> Suite:
    """Read suite `name`, or the YAML file at a path. Raises BadInput with file, field and the nearest valid name."""
    text = str(name_or_path)
    if text.endswith((".yaml", ".yml")) or "/" in text:
        path = Path(text)
    else:
        path = suites_dir() / f"{text}.yaml"
        if not path.is_file():
            raise unknown("suite", text, suite_names())
    return _load(path.resolve(), _shown(path))


def _shown(path: Path) -> str:
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


@lru_cache(maxsize=16)
def _load(path: Path, shown: str) -> Suite:
    data = read_yaml(path)
    suite = validated(Suite, data, shown)
    if suite.name != path.stem:
        raise BadInput(f"{shown}: field name: expected {path.stem!r}, the name of the file, got {suite.name!r}")
    check_suite(suite, shown)
    return suite


def check_suite(suite: Suite, where: str) -> None:
    """Check every arm, setting, benchmark, split and protocol of a suite against the registries."""
    check_keys(suite.settings, TRAINER_KEYS, f"{where}: settings")
    arms = {name: parse_arm(name, f"{where}: arms") for name in suite.arms}
    for name in suite.overrides:
        if name not in arms and name not in {arm.method for arm in arms.values()}:
            raise unknown("arm", name, [*arms, *{arm.method for arm in arms.values()}], f"{where}: overrides")
    for row, name in suite.verdicts.rows.items():
        if name not in arms:
            raise unknown("arm", name, arms, f"{where}: verdicts.rows.{row}")
    for track_name, track in suite.tracks.items():
        _check_track(suite, track_name, track, where)


def _check_track(suite: Suite, name: str, track: Track, where: str) -> None:
    at = f"{where}: tracks.{name}"
    check_keys(track.settings, TRAINER_KEYS, f"{at}.settings")
    for skipped in track.skip_arms:
        if skipped not in suite.arms:
            raise unknown("arm", skipped, suite.arms, f"{at}.skip_arms")
    _check_data(track.train, f"{at}.train")
    check_keys(track.train.protocol, PROMPT_KEYS, f"{at}.train.protocol")
    resolve_protocol(track.train, f"{at}.train.protocol")
    if track.dev is not None:
        _check_data(track.dev, f"{at}.dev")
        resolve_protocol(track.dev, f"{at}.dev.protocol")
    for ref in track.eval:
        _check_data(ref, f"{at}.eval")
        resolve_protocol(ref, f"{at}.eval.{ref.label}.protocol")
    for ref in (track.base, track.teacher):
        if ref is not None and ref.recipe is not None:
            if ref.recipe not in benchmark_names():
                raise unknown("recipe", ref.recipe, benchmark_names(), f"{at}.base")
            if get_benchmark(ref.recipe).card.base is None:
                raise BadInput(f"{at}: recipe {ref.recipe!r}: this benchmark's card has no `base` to pretrain")
    _check_matched(suite, name, at)
    for arm_name in suite.arms:
        if arm_name != BASE and arm_name not in track.skip_arms:
            arm = parse_arm(arm_name)
            resolve_settings(arm, layers(suite, name, arm_name), suite.class_, where)
            if track.teacher is None and needs_teacher(arm_name):
                raise BadInput(f"{at}: arm {arm_name!r} learns from an external model and the track has no `teacher`")


def _check_matched(suite: Suite, track: str, where: str) -> None:
    """Matched arms have the trainer's settings and the loss of this suite's own `grpo`, where it has that arm."""
    from creditbench.method import MATCHED, get_method

    def resolved(name: str) -> tuple[TrainSettings, Method]:
        arm = parse_arm(name)
        s = resolve_settings(arm, layers(suite, track, name), suite.class_, where)
        return s, get_method(arm.method).method(s.method)

    skipped = suite.tracks[track].skip_arms
    arms = [name for name in suite.arms if name not in skipped and parse_arm(name).variant == MATCHED]
    if not arms or REFERENCE not in suite.arms or REFERENCE in skipped:
        return
    reference, grpo = resolved(REFERENCE)
    for name in arms:
        settings, method = resolved(name)
        a, b = (x.model_dump(exclude={"method"}) for x in (settings, reference))
        off = [key for key in {**a, **b} if a.get(key) != b.get(key)]
        off += [slot for slot in ("surrogate", "aggregate", "refill") if getattr(method, slot) != getattr(grpo, slot)]
        if off:
            raise BadInput(f"{where}: arm {name!r}: {off[0]} differs from that of {REFERENCE!r}: not a matched view")


def _check_data(ref: DataRef, where: str) -> None:
    if ref.benchmark not in benchmark_names():
        raise unknown("benchmark", ref.benchmark, benchmark_names(), where)
    try:
        splits = get_benchmark(ref.benchmark).card.splits
    except CreditBenchError as error:
        raise BadInput(f"{where}: {error}") from None
    if splits and ref.split not in splits:
        raise unknown(f"split of {ref.benchmark}", ref.split, splits, where)


def resolve_protocol(ref: DataRef, where: str = "") -> EvalProtocol:
    """The benchmark card's protocol with the suite's overrides. Raises BadInput for an unknown field."""
    card = get_benchmark(ref.benchmark).card
    return validated(EvalProtocol, {**card.protocol.model_dump(), **ref.protocol}, where or ref.benchmark)


def layers(suite: Suite, track: str, arm_name: str) -> dict[str, dict[str, Any]]:
    """The suite's own settings for one arm: `settings`, `track`, `override` (method, then exact arm)."""
    arm = parse_arm(arm_name)
    override: dict[str, Any] = {}
    for key in dict.fromkeys((arm.method, f"{arm.method}@{arm.variant}", arm_name)):
        override.update(suite.overrides.get(key, {}))
    return {"settings": suite.settings, "track": suite.tracks[track].settings, "override": override}


def needs_teacher(arm_name: str) -> bool:
    """Whether the arm's method learns from the track's external teacher."""
    from creditbench.method import get_method

    arm = parse_arm(arm_name)
    return arm.method != BASE and get_method(arm.method).card.privileged == "external model"
