"""Which stored results still answer what is asked, judged by their content and never by time stamps. Floor 5."""

from __future__ import annotations

from pathlib import Path

from creditbench.records import digest_file, whole
from creditbench.records.paths import MANIFEST, eval_dir, models_dir, run_dir


def current_model(results: Path | str, key: str) -> bool:
    """Whether a base or teacher model is there."""
    return whole(models_dir(results, key)) is not None


def current_run(results: Path | str, suite: str, arm: str, track: str, seed: int, digest: str) -> bool:
    """Whether a run is there and was asked for with this config digest."""
    manifest = whole(run_dir(results, suite, arm, track, seed))
    return manifest is not None and manifest.config.get("config_digest") == digest


def current_eval(results: Path | str, suite: str, label: str, arm: str, track: str, seed: int, digest: str) -> bool:
    """Whether an evaluation is there, answers this config digest, and belongs to the present record of its model."""
    manifest = whole(eval_dir(results, suite, label, arm, track, seed))
    if manifest is None or manifest.config_digest != digest:
        return False
    if "run" not in manifest.parents:
        return True
    run = run_dir(results, suite, arm, track, seed) / MANIFEST
    return run.is_file() and manifest.parents["run"] == digest_file(run)
