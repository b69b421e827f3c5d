"""Which stored results still answer what is asked, judged by their content and never by time stamps. Floor 5."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from creditbench.errors import CreditBenchError
from creditbench.records import digest_file, read_json, whole, write_json
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


PAGES = ".pages.json"


def seal_pages(folder: Path, paths: Iterable[Path]) -> None:
    """Note what the tables and pages of a suite's folder are, after all of them were written."""
    write_json(folder / PAGES, {path.relative_to(folder).as_posix(): digest_file(path) for path in paths})


def current_pages(folder: Path | str) -> bool:
    """Whether the tables and pages of a suite's folder are all there and as they were written, none cut or edited."""
    folder = Path(folder)
    try:
        sealed = dict(read_json(folder / PAGES))
        return bool(sealed) and all(digest_file(folder / name) == digest for name, digest in sealed.items())
    except (CreditBenchError, OSError, ValueError, TypeError):
        return False
