"""A disk that is full at any moment, or read-only: one clear line, exit code 2, nothing lost, nothing left half-made.

Every command that writes is run with little room (a tmpfs that only root may mount, or a limit on the size of files),
with more and more of it until it fits. Then its output must be that of a run that had room from the start.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from creditbench.cli import main
from creditbench.records import complete, read_json, read_manifest
from tests.suite.toy import make_mini

# Loaded before children are forked, so that nearly all of their time is work that may be hit.
LIBRARIES = (
    "creditbench.basemodel.build", "creditbench.trainer.run", "creditbench.trainer_trl", "creditbench.pipeline",
    "creditbench.evaluator.run", "creditbench.publish", "creditbench.tune", "creditbench.report.reference",
    "creditbench.report.markdown", "creditbench.report.figures", "creditbench.report.html.build", "scipy.stats",
    "creditbench.data.lmeval_export", "creditbench.grading.matrix", "transformers.models.qwen3.modeling_qwen3",
    "matplotlib.backends.backend_svg", "jinja2",
)  # fmt: skip
EVAL = "results/mini/evals/addone/alpha/math/seed0"
# Command, and what it makes; each finds what those above it have made.
STAGES = {
    "data": ("verify --data mini math --out results/mini/data/math.json", "results/mini/data"),
    "base": ("base mini", "results/models"),
    "run": ("train mini alpha math", "results/mini/runs"),
    "evaluation": ("evaluate mini alpha math addone", EVAL),
    "evaluation of the base": ("evaluate mini base math addone", "results/mini/evals/addone/base"),
    "tuning": ("tune mini math --arms alpha --lr 0.001", "results/mini/tuning"),
    "pages": ("report mini", "results/mini/tables results/mini/figures results/mini/leaderboard"),
    "reference": ("reference mini --out results/reference.json", "results/reference.json"),
    "export": (f"export {EVAL} --out results/exported", "results/exported"),
    "regraded": (f"grade {EVAL} --out results/regraded", "results/regraded"),
    "graders": (f"grade {EVAL} --matrix --out results/graders.csv", "results/graders.csv"),
}
QUICK = ("run", "evaluation", "pages")
ALL = [pytest.param(stage, marks=[] if stage in QUICK else [pytest.mark.slow]) for stage in STAGES]
SIZES = (0, 500, 9_000, 40_000)


def attempt(root: Path, command: str, limit: int | None = None) -> tuple[int, str]:
    """Exit code and stderr of a command in a child of this process, whose files may have `limit` bytes at most."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        code = 99
        try:
            os.close(read)
            os.dup2(write, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(n), "w") for n in (1, 2))
            os.chdir(root)
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            code = main(command.split())
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read, encoding="utf-8") as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


@pytest.fixture(scope="module")
def calm(tmp_path_factory) -> Path:
    """A project in which every command had room."""
    for name in LIBRARIES:
        importlib.import_module(name)
    settings = "steps: 3, store_rollouts: true, reward: random, checkpoint_every: 1"
    root = make_mini(tmp_path_factory.mktemp("calm") / "project", settings)
    for command, _ in STAGES.values():
        code, said = attempt(root, command)
        assert code == 0, said
    return root


@contextlib.contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """A small file system of its own at `folder`; the test is skipped where only others may mount."""
    folder.mkdir(parents=True, exist_ok=True)
    words = ["mount", "-t", "tmpfs", "-o", ",".join(["size=16m", *options]), "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def leave(folder: Path, room: int) -> None:
    """Fill the file system of `folder` up to `room` bytes."""
    filler = folder / "filler"
    filler.unlink(missing_ok=True)
    found = os.statvfs(folder)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, max(1, found.f_bavail * found.f_frsize - room))


def files(root: Path, scratch: bool = False) -> dict[str, bytes]:
    """Every file of the results with its content; scratch space is no result."""
    found = {p.relative_to(root).as_posix(): p for p in sorted((root / "results").rglob("*")) if p.is_file()}
    wanted = {name: p for name, p in found.items() if scratch or ("/.work/" not in name and p.name != "filler")}
    return {name: p.read_bytes() for name, p in wanted.items()}


def facts(root: Path) -> dict[str, object]:
    """What must not depend on how often a command was stopped: contents without clocks, digests of models."""
    said: dict[str, object] = {}
    for name, content in files(root).items():
        path = root / name
        if path.name == "manifest.json":
            manifest = read_manifest(path)
            said[name] = [manifest.key, manifest.model_digest, sorted(manifest.files)]
        elif path.name == "cost.json":
            said[name] = {k: v for k, v in read_json(path).items() if "seconds" not in k and k != "peak_bytes"}
        elif path.name in ("samples.parquet", "trace.parquet", "trials.math.csv", "scores.csv", "leaderboard.md"):
            said[name] = content
        else:
            said[name] = path.suffix
    return said


def start(calm: Path, root: Path, stage: str) -> None:
    """A copy of the calm project without what the stage and those after it make."""
    shutil.copytree(calm, root, dirs_exist_ok=True)
    shutil.rmtree(root / "results/.work")
    for _, made in list(STAGES.values())[list(STAGES).index(stage) :]:
        for name in made.split():
            for path in [root / name, *root.glob(f"{name}.*")]:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@pytest.mark.parametrize("how", ["file system", "file size"])
@pytest.mark.parametrize("stage", ALL)
def test_a_full_disk_at_any_moment(calm, tmp_path, stage, how):
    root, command = tmp_path / "project", STAGES[stage][0]
    with mounted(root) if how == "file system" else contextlib.nullcontext():
        start(calm, root, stage)
        before, refused = files(root), 0
        for size in SIZES:
            if how == "file system":
                leave(root, size)
            code, said = attempt(root, command, size if how == "file size" else None)
            if code == 0:
                break
            lines = [line for line in said.splitlines() if line.startswith("creditbench: ")]
            assert code == 2 and len(lines) == 1 and "Traceback" not in said, (size, said[-3000:])
            assert "cannot be written" in lines[0] and "nothing was lost, free some space" in lines[0], lines
            refused += 1
            half = [n for n in files(root, True) if ".tmp" in n or not (n.endswith("lock") or finished(root / n))]
            assert not half, (size, half)
            if stage != "pages":  # of several files some may be new; each of them is whole
                assert {n: c for n, c in files(root).items() if not kept(n, stage)} == before
        assert refused >= 2
        (root / "filler").unlink(missing_ok=True)
        code, said = attempt(root, command)
        assert code == 0, said
        shutil.rmtree(root / "results/.work", ignore_errors=True)
        whole = facts(calm)
        assert {n: whole[n] for n in facts(root)} == facts(root)
        assert all((root / name).exists() or list(root.glob(f"{name}.*")) for name in STAGES[stage][1].split())


def kept(name: str, stage: str) -> bool:
    """What a stage of several parts may have finished before the disk was full: a trial's run, one of two files."""
    return name.startswith({"tuning": "results/mini/tuning/", "export": "results/exported/"}.get(stage, "-"))


def finished(path: Path) -> bool:
    """Whether a file is whole; the lines that a run appends to are cut back when it goes on."""
    return path.name in ("filler", "curve.jsonl", "trace.jsonl") or complete(path)


@pytest.mark.parametrize("stage", ALL)
def test_a_read_only_disk(calm, tmp_path, stage):
    root = tmp_path / "project"
    with mounted(root):
        start(calm, root, stage)
        before = files(root)
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        code, said = attempt(root, STAGES[stage][0])
        lines = [line for line in said.splitlines() if line.startswith("creditbench: ")]
        assert code == 2 and len(lines) == 1 and "Traceback" not in said, said[-3000:]
        assert "cannot be written: Read-only file system; expected a folder that this user may write to" in lines[0]
        assert files(root) == before


def test_the_driver_on_a_read_only_disk(calm, tmp_path):
    """`make leaderboard` tells it before Snakemake starts."""
    root = tmp_path / "project"
    with mounted(root):
        start(calm, root, "run")
        subprocess.run(["mount", "-o", "remount,ro", str(root)], check=True)
        done = subprocess.run(
            [sys.executable, "-m", "creditbench.progress", "--cores", "1", "--config", "suite=mini"], cwd=root,
            env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True, text=True, timeout=250,
        )  # fmt: skip
        assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
        [line] = done.stderr.splitlines()
        assert line.startswith("creditbench: results/") and "Read-only file system" in line


def test_a_full_disk_is_no_failed_trial(calm, tmp_path):
    """A budget of trials must not count the trials that the disk, or another process, stopped."""
    root = tmp_path / "project"
    start(calm, root, "tuning")
    code, said = attempt(root, STAGES["tuning"][0], 3_000)
    assert code == 2, said
    log = root / "results/mini/tuning/trials.math.csv"
    assert not log.exists() or "cannot be written" not in log.read_text()
    assert json.loads((root / "results/mini/data/math.json").read_text())["track"] == "math"
