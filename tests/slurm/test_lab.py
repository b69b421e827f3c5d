"""The lab itself, without Slurm: it leaves foreign clusters alone, and ends with the process that started it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from creditbench.doctor import remembered

psutil = pytest.importorskip("psutil")
lab = pytest.importorskip("tests.slurm.lab")


@pytest.mark.parametrize("name", ["SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JOB_ID"])
def test_a_cluster_named_by_the_environment_is_left_alone(name, tmp_path):
    assert lab.foreign({name: "x"}, tmp_path / "slurm.conf") == f"{name} is set"


def test_a_configured_machine_is_left_alone_and_a_dead_lab_is_not_one(tmp_path, monkeypatch):
    monkeypatch.setattr(lab.psutil, "process_iter", list)
    conf, folder = tmp_path / "slurm.conf", tmp_path / "lab"
    assert lab.foreign({}, conf) == ""
    conf.write_text("ClusterName=lab\n")
    assert lab.foreign({}, conf) == f"{conf} is there", "a file, and not our link"
    conf.unlink()
    folder.mkdir()
    (folder / "slurm.conf").write_text("ClusterName=labrador\n")
    conf.symlink_to(folder / "slurm.conf")
    assert lab.foreign({}, conf) == f"{conf} is there"
    (folder / "slurm.conf").write_text("ClusterName=lab\nSlurmUser=slurm\n")
    assert lab.foreign({}, conf) == ""
    (folder / "slurm.conf").unlink()
    assert lab.foreign({}, conf) == "", "a link to nowhere"


def test_a_running_slurm_is_left_alone(tmp_path, monkeypatch):
    class Process:
        def name(self) -> str:
            return "slurmd"

    monkeypatch.setattr(lab.psutil, "process_iter", lambda: [Process()])
    assert lab.foreign({}, tmp_path / "slurm.conf") == "slurmd is running"


def test_the_guard_ends_the_daemons_of_an_owner_that_was_killed(tmp_path):
    """The owner dies without a word (a time limit, -9): daemons, and all that has the cluster's address, are ended."""
    folder = tmp_path / "lab"
    other = Path(lab.__file__)
    (folder / "spool.n1").mkdir(parents=True)
    conf = folder / "slurm.conf"
    conf.write_text("ClusterName=lab\n")
    sleep = [sys.executable, "-c", "import time; time.sleep(120)"]
    with (
        subprocess.Popen(sleep) as owner,
        subprocess.Popen(sleep, env={"SLURM_CONF": str(conf)}) as driver,
        subprocess.Popen(sleep, env={"SLURM_CONF": f"{conf}.other"}) as foreign,
        subprocess.Popen(sleep) as daemon,
    ):
        (folder / "spool.n1" / "slurmd.pid").write_text(f"{daemon.pid}\n")
        with subprocess.Popen([sys.executable, str(other), "guard", str(folder), str(owner.pid)]) as guard:
            with pytest.raises(subprocess.TimeoutExpired):
                guard.wait(1.5)
            assert daemon.poll() is None
            owner.kill()
            owner.wait()
            assert guard.wait(60) == 0
        assert daemon.wait(10) != 0 and driver.wait(10) != 0
        assert foreign.poll() is None
        foreign.kill()
    assert not folder.exists()


def test_how_long_jobs_are_remembered():
    text = "MessageTimeout          = 10 sec\nMinJobAge               = 300 sec\nMpiDefault = none\n"
    assert remembered(text) == 300
    assert remembered("") is None
