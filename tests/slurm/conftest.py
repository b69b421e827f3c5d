"""A cluster for all tests of this folder, and small projects whose workflow runs on it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slurm.lab import Lab, missing
from tests.workflow.test_end_to_end import FINAL

REPO = Path(__file__).resolve().parents[2]
PROFILE = REPO / "workflows" / "profiles" / "slurm"
SUITE = """\
name: lab
class: tiny
description: Two arms, one seed, a random model; short jobs for tests of the cluster.
seeds: [0]
arms: [base, grpo]
settings: {prompts_per_step: 4, group_size: 8, lr: 3.0e-4, checkpoint_every: 10}
tracks:
  math:
    base: {random: {hidden: 32, layers: 2, ffn: 64, heads: 2, kv_heads: 1, head_dim: 16}}
    train: {benchmark: tiny_math, split: train}
    eval:
      - {benchmark: tiny_math, split: test, options: {n: 8}, protocol: {k: 2}}
    settings: {steps: 100, max_new_tokens: 24}
resources:
  base: {mem_mb: 1500, runtime: 10}
  train: {mem_mb: 1500, runtime: 10}
  evaluate: {mem_mb: 1500, runtime: 10}
  tables: {mem_mb: 1500, runtime: 10}
"""


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A running cluster of two nodes; stopped at the end whatever happened."""
    if why := missing():
        pytest.skip(f"slurm: {why}")
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("slurm: Snakemake cannot submit to it: install snakemake-executor-plugin-slurm==2.8.0")
    folder = Path(tempfile.mkdtemp(prefix="creditbench-slurm-", dir="/tmp"))
    cluster = Lab(folder)
    try:
        yield cluster.start()
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Project:
    """A folder in which the workflow is driven; starts with what `done` has ready: models, checked data, the base."""

    def __init__(self, folder: Path, lab: Lab, done: Path | None = None):
        self.folder, self.lab = folder, lab
        self.drivers: list[subprocess.Popen[bytes]] = []
        (folder / "lab.yaml").write_text(SUITE)
        if done:
            for part in ("models", "lab/data", "lab/evals/tiny_math/base"):
                shutil.copytree(done / "results" / part, folder / "results" / part)

    def start(self, *words: str, profile: bool = True, suite: str = "") -> subprocess.Popen[bytes]:
        """Start the driver with the profile as it is shipped, but for shorter waits between looks at the queue."""
        where = ["--profile", str(PROFILE), "--slurm-init-seconds-before-status-checks", "1"]
        config = ["--config", f"suite={suite or self.folder / 'lab.yaml'}", *words]
        given = ["--snakefile", str(REPO / "Snakefile"), *(where if profile else ["--cores", "2"]), *config]
        path = f"{REPO}:{REPO / 'tests' / 'slurm' / 'quick'}"
        environment = {**self.lab.env, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        with self.output.open("ab") as output:
            driver = subprocess.Popen(
                [sys.executable, "-m", "creditbench.progress", *given], cwd=self.folder, env=environment,
                stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip
        self.drivers.append(driver)
        return driver

    @property
    def output(self) -> Path:
        """What all drivers of this project said."""
        return self.folder / "output.txt"

    def said(self) -> str:
        """The end of what drivers, Snakemake and jobs said."""
        logs = sorted(path for path in (self.folder / "results").rglob("*.log") if path.stat().st_size)
        return "\n".join(f"== {path}\n{path.read_text(errors='replace')[-3000:]}" for path in [*logs, self.output])

    def finish(self, driver: subprocess.Popen[bytes], seconds: float = 600) -> str:
        """Wait for a driver; what all drivers said. Fails the test when it does not end with code 0."""
        try:
            code: int | None = driver.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        assert code == 0, f"exit code {code} (None: not over after {seconds:g} s)\n{self.said()}"
        return self.output.read_text()

    def end(self) -> None:
        """End what is left of this project: drivers, and their jobs on the cluster."""
        for driver in self.drivers:
            if driver.poll() is None:
                driver.kill()
                driver.wait()
        for job in self.lab.jobs():
            if job["state"] in ("PENDING", "RUNNING"):
                self.lab.run("scancel", job["id"])

    def steps(self) -> int:
        """Steps that the run under way has noted, those of earlier attempts included; 0 when none is under way."""
        return sum(path.read_bytes().count(b"\n") for path in self.folder.glob("results/.work/*/curve.jsonl"))

    def tables(self) -> dict[str, bytes]:
        """The files that must not depend on what happened on the way."""
        return {name: (self.folder / "results" / "lab" / name).read_bytes() for name in FINAL}


@pytest.fixture(scope="session")
def calm(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Project:
    """The same suite, run on this machine alone and not disturbed."""
    quiet = Project(tmp_path_factory.mktemp("calm"), lab)
    quiet.finish(quiet.start(profile=False))
    return quiet


@pytest.fixture
def empty(tmp_path: Path, lab: Lab) -> Iterator[Project]:
    """A fresh project; nothing of it is left running."""
    project = Project(tmp_path, lab)
    yield project
    project.end()


@pytest.fixture
def project(tmp_path: Path, lab: Lab, calm: Project) -> Iterator[Project]:
    """A project that has all but the run, its evaluation and the tables; nothing of it is left running."""
    project = Project(tmp_path, lab, done=calm.folder)
    yield project
    project.end()
