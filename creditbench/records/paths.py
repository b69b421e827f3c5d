"""Where every record lives. Arms keep their `@` and `+` literally in folder names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from creditbench.errors import BadInput

ARM = re.compile(r"[a-z][a-z0-9_]*(@[a-z0-9][a-z0-9_.-]*)?(\+[a-z0-9][a-z0-9_-]*)?")
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]*")

MANIFEST = "manifest.json"
KEPT = ".manifest.json"
"""Copy of the manifest that is no declared output of the workflow: Snakemake removes the outputs of failed jobs."""
SAMPLES = "samples.parquet"
TIMING = "timing.parquet"
METRICS = "metrics.json"
CURVE = "curve.parquet"
COST = "cost.json"
MODEL = "model"
ROLLOUTS = "rollouts"
TABLES = (
    "scores", "pairwise", "leaderboard", "verdicts", "cost", "cost_sums", "budget", "length", "views", "equal",
    "variance", "contamination",
)  # fmt: skip


@dataclass(frozen=True)
class EvalPlace:
    """One evaluation folder and the coordinates its path spells."""

    folder: Path
    benchmark: str
    arm: str
    track: str
    seed: int


@dataclass(frozen=True)
class RunPlace:
    """One training-run folder and the coordinates its path spells."""

    folder: Path
    arm: str
    track: str
    seed: int


def check_arm(arm: str) -> str:
    """Return `arm` when it has the form `method[@variant][+placebo]`; BadInput otherwise."""
    if not ARM.fullmatch(arm):
        raise BadInput(
            f"arm {arm!r}: expected method[@variant][+placebo] in lower case, e.g. 'oar_g@b' or 'cast+permuted'"
        )
    return arm


def split_arm(arm: str) -> tuple[str, str, str]:
    """Split `method[@variant][+placebo]` into its three parts; absent ones are ""."""
    rest, _, placebo = check_arm(arm).partition("+")
    method, _, variant = rest.partition("@")
    return method, variant, placebo


def _name(kind: str, value: str) -> str:
    if not NAME.fullmatch(value):
        raise BadInput(f"{kind} {value!r}: expected lower-case letters, digits, '_', '-' or '.'")
    return value


def _seed(seed: int) -> str:
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise BadInput(f"seed {seed!r}: expected a whole number, 0 or larger")
    return f"seed{seed}"


def models_dir(results: Path | str, digest: str) -> Path:
    """Folder of a base or teacher model, shared by all suites."""
    return Path(results) / "models" / _name("model digest", digest)


def work_dir(results: Path | str, key: str) -> Path:
    """Private work folder of the job with this run key: checkpoints, running curve, partial batches."""
    return Path(results) / ".work" / _name("run key", key)


def suite_dir(results: Path | str, suite: str) -> Path:
    """Folder that holds everything of one suite."""
    return Path(results) / _name("suite", suite)


def run_dir(results: Path | str, suite: str, arm: str, track: str, seed: int) -> Path:
    """Folder of one training run; its `manifest.json` is the declared output."""
    return suite_dir(results, suite) / "runs" / check_arm(arm) / _name("track", track) / _seed(seed)


def eval_dir(results: Path | str, suite: str, benchmark: str, arm: str, track: str, seed: int) -> Path:
    """Folder of one evaluation; its `manifest.json` is the declared output."""
    place = suite_dir(results, suite) / "evals" / _name("benchmark", benchmark) / check_arm(arm)
    return place / _name("track", track) / _seed(seed)


def _seed_of(name: str) -> int | None:
    match = re.fullmatch(r"seed(0|[1-9][0-9]*)", name)
    return int(match.group(1)) if match else None


def find_evals(suite_folder: Path | str) -> Iterator[EvalPlace]:
    """All evaluation folders of a suite that have a manifest, in sorted order."""
    for manifest in sorted(Path(suite_folder).glob(f"evals/*/*/*/seed*/{MANIFEST}")):
        folder = manifest.parent
        seed = _seed_of(folder.name)
        if seed is not None:
            track = folder.parent
            yield EvalPlace(folder, track.parent.parent.name, track.parent.name, track.name, seed)


def find_runs(suite_folder: Path | str) -> Iterator[RunPlace]:
    """All training-run folders of a suite that have a manifest, in sorted order."""
    for manifest in sorted(Path(suite_folder).glob(f"runs/*/*/seed*/{MANIFEST}")):
        folder = manifest.parent
        seed = _seed_of(folder.name)
        if seed is not None:
            yield RunPlace(folder, folder.parent.parent.name, folder.parent.name, seed)
