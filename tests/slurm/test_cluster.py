"""`creditbench.cluster` against made-up Slurm commands: which jobs are ours, and what is done about them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from creditbench import cluster
from creditbench.errors import CheckFailed


def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """A PATH that holds these commands in front; they see FILES, the folder for what they keep."""
    folder, files = tmp_path / "bin", tmp_path / "files"
    folder.mkdir()
    files.mkdir()
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("FILES", str(files))
    project = tmp_path / "project"
    project.mkdir()
    return project


LIST = """\
test -e $FILES/cancelled && { echo "7|creditbench_a|CANCELLED|$PROJECT"; exit; }
echo "5|creditbench_a|COMPLETED|$PROJECT"
echo "6|other_a|RUNNING|$PROJECT"
echo "7|creditbench_a|RUNNING|$PROJECT"
echo "8|creditbench_a|PENDING|/elsewhere"
"""


def test_only_jobs_of_this_folder_and_profile_are_ended(tmp_path, monkeypatch):
    project = commands(tmp_path, monkeypatch, squeue=LIST, scancel='echo "$@" > $FILES/cancelled')
    monkeypatch.setenv("PROJECT", str(project))
    assert cluster.live_jobs(project) == [("7", "creditbench_a", "RUNNING")]
    assert [job.id for job in cluster.end_jobs(project, grace=5)] == ["7"]
    assert (tmp_path / "files" / "cancelled").read_text().split() == ["7"]
    assert cluster.live_jobs(project) == []


def test_a_job_that_does_not_end_stops_the_driver(tmp_path, monkeypatch):
    project = commands(tmp_path, monkeypatch, squeue=LIST, scancel="true")
    monkeypatch.setenv("PROJECT", str(project))
    with pytest.raises(CheckFailed, match=r"do not end: 7 \(RUNNING\)"):
        cluster.end_jobs(project, grace=0.6)


@pytest.mark.parametrize("state", ["DEADLINE", "REVOKED", "LAUNCH_FAILED", "PREEMPTED"])
def test_a_job_that_is_over_is_not_waited_for(tmp_path, monkeypatch, state):
    """Slurm shows it for MinJobAge seconds more; a driver that took it for alive could not start meanwhile."""
    squeue = f'echo "7|creditbench_a|{state}|$PROJECT"'
    project = commands(tmp_path, monkeypatch, squeue=squeue, scancel="echo $@ > $FILES/cancelled")
    monkeypatch.setenv("PROJECT", str(project))
    assert cluster.end_jobs(project, grace=0.1) == [] and not (tmp_path / "files" / "cancelled").exists()


def test_a_scancel_that_hangs_is_no_crash(tmp_path, monkeypatch):
    project = commands(tmp_path, monkeypatch, squeue=LIST, scancel="true")
    monkeypatch.setenv("PROJECT", str(project))
    real = subprocess.run

    def hangs(words, **options):
        if words[0] == "scancel":
            raise subprocess.TimeoutExpired(words, options["timeout"])
        return real(words, **options)

    monkeypatch.setattr(subprocess, "run", hangs)
    with pytest.raises(CheckFailed, match=r"do not end: 7 \(RUNNING\)"):
        cluster.end_jobs(project, grace=0.1)


def test_silence_is_no_answer_where_jobs_were_submitted(tmp_path, monkeypatch):
    project = commands(tmp_path, monkeypatch, squeue="exit 1", scancel="true")
    assert cluster.end_jobs(project) == []
    (project / cluster.LOGS).mkdir(parents=True)
    with pytest.raises(CheckFailed, match="Slurm does not answer"):
        cluster.end_jobs(project)


def test_nothing_is_asked_where_there_is_no_slurm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster.end_jobs(tmp_path) == []
