"""Every suite that ships has a price, and Snakemake plans its whole job graph. Nothing is downloaded."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from creditbench.benchmark import get_benchmark
from creditbench.data import source
from creditbench.suite import Suite, make_request, suite_names

REPO = Path(__file__).resolve().parents[2]
NAMES = suite_names(REPO)


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The project without its results, and no data folder: hub data count as available, and are not asked for."""
    for name in ("Snakefile", "workflows", "methods", "benchmarks", "profiles", "pyproject.toml", "creditbench"):
        (tmp_path / name).symlink_to(REPO / name)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "reported").symlink_to(REPO / "results" / "reported")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(source.VARIABLE, raising=False)
    return tmp_path


AGENTS = (
    "webshop/items_shuffle.json", "webshop/items_ins_v2.json", "webshop/items_human_ins.json",
    "alfworld/json_2.1.1/train", "appworld/data/tasks/one",
)  # fmt: skip


def stubs(suite: Suite, folder: Path) -> Path:
    """A data folder with empty files of the right names: planning looks at names alone."""
    for file in AGENTS:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    for track in suite.tracks.values():
        for ref in (track.train, *track.eval, *([track.dev] if track.dev else [])):
            data = get_benchmark(ref.benchmark).card.data
            parts = [data, *(get_benchmark(part).card.data for part in data.get("pool", ()))]
            for file in (*(f for part in parts for f in part.get("files", ())), *ref.options.get("files", ())):
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                (folder / file).touch()
    return folder


def run(tree: Path, *args: str, **extra: str) -> str:
    env = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **extra}
    done = subprocess.run([sys.executable, "-m", *args], cwd=tree, env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    return done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)  # `standard` has some 5,000 jobs
@pytest.mark.parametrize("name", NAMES)
def test_dry_run_plans_every_job_and_the_price_is_printed(name: str, tree: Path, monkeypatch: pytest.MonkeyPatch):
    request, local = make_request({"suite": name}), {}
    if request.skipped:  # rows and worlds that are not on the hub: real-smoke, and suites with agents
        local = {source.VARIABLE: str(stubs(request.suite, tree / "rows"))}
        monkeypatch.setenv(source.VARIABLE, local[source.VARIABLE])
        request = make_request({"suite": name})
    assert not request.skipped
    said = run(tree, "snakemake", "-n", "--quiet", "all", "--cores", "1", "--config", f"suite={name}", **local)
    counts = {m[1]: int(m[2]) for m in re.finditer(r"^(\w+)\s+(\d+)$", said, re.MULTILINE)}
    assert counts.get("train", 0) == len(request.runs)
    assert counts.get("evaluate", 0) == len(request.evaluations)
    assert counts.get("base", 0) == len(request.models)
    suite = request.suite
    trained = [(arm, t) for t, track in suite.tracks.items() for arm in suite.arms if arm not in track.skip_arms]
    assert len(request.runs) == len(suite.seeds) * sum(arm != "base" for arm, _ in trained)
    price = json.loads(run(tree, "creditbench", "plan", name, "--json"))
    assert min(price["train_tokens"], price["eval_tokens"], price["hours"], price["disk_gib"]) > 0
    assert not [path for path in (tree / "results").iterdir() if path.name not in ("reported", "data")]
