"""One driver at a time, and no job left behind by a driver that died."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from creditbench import driver
from creditbench.errors import CheckFailed

REPO = Path(__file__).resolve().parents[2]
JOB = "import sys, time; from creditbench import driver\nwith driver.job(sys.argv[1], 'a job', kind='train'):\n    print('up', flush=True); time.sleep(600)"  # noqa: E501
SLEEP = "import time; time.sleep(600)"


def start(code: str, *words: str, **extra: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(REPO), **extra}
    return subprocess.Popen([sys.executable, "-c", code, *words], stdout=subprocess.PIPE, text=True, env=environment)


def start_job(results: Path, **extra: str) -> subprocess.Popen[str]:
    process = start(JOB, str(results), **extra)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


def ended(process: subprocess.Popen[str], within: float = 20.0) -> bool:
    try:
        process.wait(within)
    except subprocess.TimeoutExpired:
        process.kill()
        return False
    return True


def test_a_job_is_noted_while_it_runs(tmp_path: Path):
    with driver.job(tmp_path, "train x", kind="train", weight=2.0) as report:
        report("step", 3, 10)
        [job] = driver.live_jobs(tmp_path)
        assert (job.pid, job.what, job.facts, job.at) == (
            os.getpid(), "train x", {"kind": "train", "weight": 2.0}, ("step", 3, 10),
        )  # fmt: skip
    assert driver.live_jobs(tmp_path) == []


def test_records_of_dead_processes_are_forgotten(tmp_path: Path):
    process = start_job(tmp_path)
    assert [job.pid for job in driver.live_jobs(tmp_path)] == [process.pid]
    process.kill()
    process.wait()
    assert driver.live_jobs(tmp_path) == []
    assert list((tmp_path / ".work/jobs").iterdir()) == []


def test_a_reused_process_id_is_not_taken_for_the_job(tmp_path: Path):
    with driver.job(tmp_path, "mine"):
        file = next((tmp_path / ".work/jobs").glob("*.json"))
        file.write_text(file.read_text().replace('"born": ', '"born": 1'))
        assert driver.live_jobs(tmp_path) == []


def test_setting_the_clock_changes_no_process(monkeypatch: pytest.MonkeyPatch):
    """psutil counts from the time of day at which the machine was started; that moves when the clock is set."""
    import psutil

    mine = driver.name_of(os.getpid())
    pid, _, born = mine.partition(":")
    assert int(pid) == os.getpid() and 0 < float(born) <= driver.clock()
    monkeypatch.setattr(time, "time", lambda: 1e9)
    monkeypatch.setattr(psutil.Process, "create_time", lambda self: 1e9)
    assert driver.name_of(os.getpid()) == mine
    monkeypatch.setenv(driver.DRIVER, mine)
    assert not driver._driver_gone()
    assert driver._born(2**22 + 1) is None


def test_orphans_are_ended_with_their_children(tmp_path: Path):
    code = JOB.replace(
        "time.sleep(600)", "import subprocess; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    )
    process = start(code, str(tmp_path))
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    import psutil

    deadline = time.monotonic() + 20
    while not (children := psutil.Process(process.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [job.pid for job in driver.end_orphans(tmp_path)] == [process.pid]
    assert ended(process)
    assert not psutil.pid_exists(children[0].pid) or children[0].status() == psutil.STATUS_ZOMBIE


def test_a_job_ends_when_its_driver_is_killed(tmp_path: Path):
    boss = start(SLEEP)
    process = start_job(tmp_path, **{driver.DRIVER: driver.name_of(boss.pid)})
    boss.send_signal(signal.SIGKILL)
    boss.wait()
    assert ended(process)


def test_a_job_does_not_start_without_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(driver.DRIVER, f"{os.getpid()}:1.0")
    with pytest.raises(CheckFailed, match="driver that started this job is gone"), driver.job(tmp_path, "late"):
        pass


def test_a_second_driver_is_refused_and_a_dead_one_does_not_hold(tmp_path: Path):
    code = (
        "import sys; from creditbench import driver\nkept = driver.hold(sys.argv[1]); print('up', flush=True); " + SLEEP
    )
    process = start(code, str(tmp_path))
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    with pytest.raises(CheckFailed, match=f"held by process {process.pid} "):
        driver.hold(tmp_path)
    process.kill()
    process.wait()
    lock = driver.hold(tmp_path)
    assert lock is not None
    lock.close()


def test_the_display_holds_the_lock_for_its_snakemake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    lock = driver.hold(tmp_path)
    assert lock is not None
    monkeypatch.setenv(driver.HELD, str(os.getppid()))
    assert driver.hold(tmp_path) is None
    lock.close()
