"""The shipped profile on a real cluster: the whole path, and what a user wants when jobs, nodes or the driver die."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

from tests.slurm.conftest import PROFILE, REPO, SUITE, Project
from tests.slurm.lab import Lab, wait_for

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(900)]
TRAIN = "-m creditbench train"
UUID = r"creditbench_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


def trainings(lab: Lab, known: set[str], *states: str) -> list[dict[str, str]]:
    """Training jobs that are not among the `known` ones, in one of these states (any when none is given)."""
    jobs = [job for job in lab.jobs() if job["id"] not in known and job["comment"].startswith("rule_train")]
    return [job for job in jobs if not states or job["state"] in states]


def ids(lab: Lab) -> set[str]:
    """All jobs that there are now."""
    return {job["id"] for job in lab.jobs()}


def at_work(project: Project, known: set[str]) -> dict[str, str]:
    """Wait until a training job that is not among the `known` ones takes steps; that job, the only one that runs."""
    lab = project.lab

    def training() -> list[dict[str, str]]:
        return [job for job in trainings(lab, known, "RUNNING") if lab.processes_of(job["id"], TRAIN)]

    wait_for("a training job", training, 300)
    before = project.steps()
    wait_for(f"a step beyond {before}", lambda: project.steps() > before, 120, every=0.02)
    (job,) = trainings(lab, set(), "RUNNING")
    return job


def state(lab: Lab, job: dict[str, str]) -> str:
    return next(one["state"] for one in lab.jobs() if one["id"] == job["id"])


def test_jobs_get_what_the_suite_asks_for_and_not_what_this_machine_has(tmp_path):
    """profiles/default, which Snakemake reads too, limits cores and accelerators: to one machine, not to a cluster."""
    pytest.importorskip("snakemake_executor_plugin_slurm")
    cores = (os.cpu_count() or 1) + 6
    asked = SUITE.replace("train: {mem", f"train: {{threads: {cores}, gpus: 16, nodes: 2, mem")
    (tmp_path / "lab.yaml").write_text(asked)
    words = [sys.executable, "-m", "snakemake", "-n", "--snakefile", str(REPO / "Snakefile"), "--profile", str(PROFILE)]
    done = subprocess.run([*words, "--config", "suite=lab.yaml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (rule,) = re.findall(r"^rule train:\n((?: .*\n)+)", done.stdout + done.stderr, re.MULTILINE)
    assert f"threads: {cores}\n" in rule
    assert re.search(r"resources: .*gpus=16, nodes=2, tasks=2", rule)


def test_states_come_from_squeue_where_accounting_does_not_answer(lab, monkeypatch):
    """With sacct the driver would wait for ever: the profile asks squeue, and doctor says why."""
    from creditbench import doctor

    for key, value in lab.env.items():
        monkeypatch.setenv(key, value)
    assert doctor._accounting().state == "absent"
    assert "squeue" in doctor._accounting().found
    assert doctor._slurm().state == "ok"
    assert yaml.safe_load((PROFILE / "config.yaml").read_text())["slurm-status-command"] == "squeue"


def test_driver_killed_then_job_killed_then_job_cancelled(lab, project, calm):
    """The job of a driver killed with -9 lives on: the next driver ends it first. A job that dies is run again."""
    known = ids(lab)
    driver = project.start()
    old = at_work(project, known)
    for process in lab.processes_of(old["id"], TRAIN):  # it stands still, so that it is there when the next one comes
        process.suspend()
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    assert state(lab, old) == "RUNNING"

    driver = project.start()
    first = at_work(project, ids(lab))
    assert state(lab, old) == "CANCELLED"
    assert not lab.processes_of(old["id"])
    assert first["name"] != old["name"]
    lab.kill_job(first["id"])
    second = at_work(project, ids(lab))
    assert state(lab, first) == "FAILED"
    lab.run("scancel", second["id"])

    said = project.finish(driver)
    assert f"cancelled 1 Slurm jobs of a driver that died ({old['name']})" in said
    assert [job["state"] for job in trainings(lab, known)] == ["CANCELLED", "FAILED", "CANCELLED", "COMPLETED"]
    assert project.tables() == calm.tables()


def test_node_drained_then_node_crashed(lab, project, calm):
    """Nothing is sent to a drained node. The run of a dead node goes on elsewhere."""
    known = ids(lab)
    try:
        lab.run("scontrol", "update", "nodename=n1", "state=drain", "reason=test")
        driver = project.start()
        first = at_work(project, known)
        assert lab.node_states()["n1"] == "drained"
        assert {job["node"] for job in lab.jobs() if job["id"] not in known} == {"n2"}
        lab.run("scontrol", "update", "nodename=n1", "state=resume")

        lab.crash_node("n2")
        second = at_work(project, ids(lab))
        assert (state(lab, first), second["node"]) == ("NODE_FAIL", "n1")
        project.finish(driver)
        assert [job["state"] for job in trainings(lab, known)] == ["NODE_FAIL", "COMPLETED"]
        assert project.tables() == calm.tables()
    finally:
        lab.mend()


@pytest.mark.slow
def test_node_set_down_by_hand(lab, project, calm):
    """`scontrol update state=down`: the job ends as NODE_FAIL, is not requeued, and a second one goes on."""
    known = ids(lab)
    try:
        driver = project.start()
        first = at_work(project, known)
        lab.run("scontrol", "update", f"nodename={first['node']}", "state=down", "reason=test")
        at_work(project, {*known, first["id"]})  # on any node: this one is back once its daemon has registered
        assert state(lab, first) == "NODE_FAIL"
        project.finish(driver)
        assert [job["state"] for job in trainings(lab, known)] == ["NODE_FAIL", "COMPLETED"]
        assert project.tables() == calm.tables()
    finally:
        lab.mend()


def test_smoke_end_to_end(lab, empty):
    """Suite smoke as a user starts it: all jobs of one run of the driver share its UUID and end well."""
    known = ids(lab)
    said = empty.finish(empty.start(suite="smoke"))
    jobs = [job for job in lab.jobs() if job["id"] not in known]
    assert "leaderboard: results/smoke/leaderboard.md" in said
    # data, base, 3 methods x 2 seeds, as many evaluations and two of the base, tables
    assert len(jobs) == 1 + 1 + 6 + 8 + 1
    assert {job["state"] for job in jobs} == {"COMPLETED"}
    assert {job["node"] for job in jobs} == {"n1", "n2"}
    (name,) = {job["name"] for job in jobs}
    assert re.fullmatch(UUID, name)
    page = (empty.folder / "results" / "smoke" / "leaderboard.md").read_text()
    assert all(arm in page for arm in ("grpo", "dapo", "sc_grpo"))
