"""The whole path on a toy project, run as a user runs it: calm, killed, repeated, extended, rerun."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.suite.toy import METHOD, make_mini

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
REPO = Path(__file__).resolve().parents[2]
FINAL = ["leaderboard.md"] + [f"tables/{n}.csv" for n in ("scores", "pairwise", "leaderboard", "verdicts", "budget")]


def project(folder: Path) -> Path:
    return make_mini(folder, "steps: 4, checkpoint_every: 1", "[0, 1]")


def start(root: Path, *config: str) -> subprocess.Popen[bytes]:
    words = ["-s", str(REPO / "Snakefile"), "--cores", "2", "--config", "suite=mini", *config]
    environment = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "creditbench.progress", *words]
    with (root / "output.txt").open("ab") as output:
        return subprocess.Popen(
            command, cwd=root, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def run(root: Path, *config: str) -> int:
    return start(root, *config).wait(600)


def said(root: Path) -> str:
    logs = "".join(path.read_text()[-3000:] for path in sorted((root / "results").rglob("*.log")))
    return (root / "output.txt").read_text() + logs


def final(root: Path) -> dict[str, bytes]:
    return {name: (root / "results/mini" / name).read_bytes() for name in FINAL}


def scores(root: Path) -> set[tuple[str, str]]:
    with (root / "results/mini/tables/scores.csv").open() as file:
        return {(row["method"], row["seed"]) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = project(tmp_path_factory.mktemp("calm") / "project")
    assert run(root) == 0, said(root)
    return root


def kill_tree(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the driver, its Snakemake and every job at one moment."""
    family = [process, *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            os.kill(member.pid, signal.SIGKILL)
    process.wait()


def test_all_is_there(calm: Path):
    assert scores(calm) == {(arm, seed) for arm in ("base", "alpha") for seed in "01"}
    assert (calm / "results/mini/leaderboard.html").is_file()
    assert json.loads((calm / "results/mini/tables/notes.json").read_text())["out_of_date"] == []


def test_again_does_nothing(calm: Path):
    before = {path: path.stat().st_mtime_ns for path in (calm / "results").rglob("manifest.json")}
    assert run(calm) == 0, said(calm)
    assert {path: path.stat().st_mtime_ns for path in (calm / "results").rglob("manifest.json")} == before


def test_killed_three_times_gives_the_same_tables(calm: Path, tmp_path: Path):
    root = project(tmp_path / "project")
    killed = 0
    for what, present in (("job", 1), ("manifest", 2), ("manifest", 4)):
        process = start(root)
        deadline = time.monotonic() + 200
        while time.monotonic() < deadline and process.poll() is None:
            jobs = list((root / "results/.work/jobs").glob("*.json"))
            manifests = list((root / "results").rglob("manifest.json"))
            if len(jobs if what == "job" else manifests) >= present:
                break
            time.sleep(0.02)
        if process.poll() is None:
            killed += 1
            kill_tree(process)
    assert killed >= 2
    assert run(root) == 0, said(root)
    assert final(root) == final(calm)


def test_killed_driver_alone_leaves_nothing_running(calm: Path, tmp_path: Path):
    root = project(tmp_path / "project")
    process = start(root)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not list((root / "results/.work/jobs").glob("*.json")):
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert run(root) == 0, said(root)
    assert final(root) == final(calm)


def test_ctrl_c_stops_and_the_next_start_goes_on(calm: Path, tmp_path: Path):
    root = project(tmp_path / "project")
    process = start(root)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not list((root / "results/.work/jobs").glob("*.json")):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(120) == 130, said(root)
    assert "the same command goes on" in said(root)
    assert list((root / "results/.work/jobs").glob("*.json")) == []
    assert run(root) == 0, said(root)
    assert final(root) == final(calm)


def test_lost_snakemake_records_cost_nothing(calm: Path, tmp_path: Path):
    root = project(tmp_path / "project")
    subprocess.run(["cp", "-a", str(calm / "results"), str(root)], check=True)
    (root / "results/mini/runs/alpha/math/seed1/manifest.json").write_text('{"half": ')
    before = (root / "results/mini/runs/alpha/math/seed0/manifest.json").stat().st_mtime_ns
    assert run(root) == 0, said(root)
    assert (root / "results/mini/runs/alpha/math/seed0/manifest.json").stat().st_mtime_ns == before
    assert final(root) == final(calm), "the half file was found by its content and made again"


def test_other_settings_are_trained_again_and_only_they(calm: Path, tmp_path: Path):
    root = project(tmp_path / "project")
    subprocess.run(["cp", "-a", str(calm / "results"), str(calm / ".snakemake"), str(root)], check=True)
    suite = root / "workflows/suites/mini.yaml"
    suite.write_text(suite.read_text().replace("arms:", "overrides: {alpha: {lr: 0.5}}\narms:"))
    models = {path: path.stat().st_mtime_ns for path in (root / "results/models").rglob("manifest.json")}
    base = root / "results/mini/evals/addone/base/math/seed0/manifest.json"
    before = base.stat().st_mtime_ns
    assert run(root) == 0, said(root)
    trained = json.loads((root / "results/mini/runs/alpha/math/seed0/config.json").read_text())
    assert trained["settings"]["lr"] == 0.5
    assert {path: path.stat().st_mtime_ns for path in (root / "results/models").rglob("manifest.json")} == models
    assert base.stat().st_mtime_ns == before


def test_new_arms_of_a_finished_suite_are_run(calm: Path, tmp_path: Path):
    """Nothing else changes: no setting, no restriction on the command line. Twice: the second time Snakemake knows the
    file that told it the first time."""
    root = project(tmp_path / "project")
    subprocess.run(["cp", "-a", str(calm / "results"), str(calm / ".snakemake"), str(root)], check=True)
    suite = root / "workflows/suites/mini.yaml"
    wanted = scores(calm)
    for arm in ("alpha+permuted", "alpha@wide"):
        suite.write_text(suite.read_text().replace("arms: [base, alpha", f"arms: [base, {arm}, alpha"))
        assert run(root) == 0, said(root)
        wanted |= {(arm, "0"), (arm, "1")}
        assert scores(root) == wanted


def test_more_seeds_a_new_method_and_a_rerun(calm: Path, tmp_path: Path):
    root = project(tmp_path / "project")
    subprocess.run(["cp", "-a", str(calm / "results"), str(calm / ".snakemake"), str(root)], check=True)
    (root / "methods/gamma").mkdir()
    (root / "methods/gamma/method.py").write_text(METHOD)
    card = (root / "methods/alpha/card.yaml").read_text()
    (root / "methods/gamma/card.yaml").write_text(card.replace("alpha", "gamma"))
    assert run(root, "methods=alpha,gamma", "seeds=1,4", "rerun=true") == 0, said(root)
    assert scores(root) == scores(calm) | {("alpha", "4"), ("gamma", "1"), ("gamma", "4")}
    for name in ("alpha/math/seed1", "alpha/math/seed4", "gamma/math/seed1"):
        outcome = json.loads((root / f"results/mini/reruns/1/{name}.json").read_text())
        assert outcome["identical"], outcome
