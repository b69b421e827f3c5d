"""Drivers, jobs and nodes of a cluster struck at random moments: the final tables are those of a calm local run."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.slurm.conftest import Project
from tests.slurm.lab import Lab, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(1800)]
SEED = 20_261_121
STRIKES = 20
BLOWS = ("driver", "job", "cancel", "node")


def running(lab: Lab) -> list[dict[str, str]]:
    return [job for job in lab.jobs() if job["state"] == "RUNNING"]


def strike(blow: str, lab: Lab, driver: subprocess.Popen[bytes], rng: random.Random) -> str:
    """Do one harm to what runs now; says what was hit."""
    jobs = running(lab)
    if blow == "driver" or not jobs:
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        return "driver"
    job = rng.choice(jobs)
    if blow == "job":
        lab.kill_job(job["id"])
    elif blow == "cancel":
        lab.run("scancel", job["id"])
    else:
        lab.crash_node(job["node"])
        lab.start_node(job["node"])
    return f"{blow}: {job['comment'].removeprefix('rule_').partition('_')[0]}"


def test_tables_of_a_struck_cluster_are_those_of_a_calm_machine(lab, calm, tmp_path):
    rng, hit, number = random.Random(SEED), [], 0
    blows = list(BLOWS)
    rng.shuffle(blows)
    while len(hit) < STRIKES:
        folder = tmp_path / f"project{number}"
        folder.mkdir()
        # Every other project makes its model and its base's evaluation on the cluster too.
        project = Project(folder, lab, done=calm.folder if number % 2 else None)
        number += 1
        try:
            hit += struck(project, blows, STRIKES - len(hit), rng)
            project.finish(project.start())
        finally:
            project.end()
            lab.mend()
        assert project.tables() == calm.tables(), f"after {hit}"
    print(f"{len(hit)} strikes in {number} projects: {', '.join(hit)}")
    assert {blow.partition(":")[0] for blow in hit} == set(BLOWS)


def struck(project: Project, blows: list[str], strikes: int, rng: random.Random) -> list[str]:
    """Strike one project until it is over or `strikes` are done, and start its driver again whenever it has stopped."""
    lab, hit = project.lab, []
    driver = project.start()
    while len(hit) < min(strikes, 5):
        with contextlib.suppress(TimeoutError):
            wait_for("a job", lambda driver=driver: running(lab) or driver.poll() is not None, 60)
        time.sleep(rng.uniform(0, 12))
        if driver.poll() is not None:
            if over(project.folder):
                break
            driver = project.start()
            continue
        blow = blows.pop(0)
        blows.append(blow)
        hit.append(strike(blow, lab, driver, rng))
    if driver.poll() is None:
        driver.kill()
        driver.wait()
    return hit


def over(folder: Path) -> bool:
    """Whether the last file has been written."""
    return (folder / "results" / "lab" / "leaderboard.md").exists()
