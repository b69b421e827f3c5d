"""What the display counts and says."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from creditbench import driver, progress
from creditbench.cli.progress import counter, duration
from creditbench.driver import Job
from creditbench.suite import make_request


def a_job(born: float, kind: str = "train", weight: float = 1.0) -> Job:
    return Job(1, born, "here", "train alpha", {"kind": kind, "weight": weight}, ("step", 3, 10), Path("job.json"))


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3600, "1 h 0 min"),
                                                (7500, "2 h 5 min"), (-3, "0 s")])  # fmt: skip
def test_durations(seconds: float, said: str):
    assert duration(seconds) == said


def test_config_words_are_read_and_all_words_are_passed_on():
    words = ["--cores", "2", "--config", "suite=toy", "methods=alpha", "--keep-going", "seeds=4"]
    config, passed = progress.split_words(words)
    assert config == {"suite": "toy", "methods": "alpha"}
    assert passed == words


def test_targets_are_what_is_asked_for(root: Path):
    wanted = progress.targets(make_request({"suite": "toy"}))
    kinds = [target.kind for target in wanted]
    assert (kinds.count("base"), kinds.count("train"), kinds.count("evaluate")) == (1, 8, 18)


def test_time_to_go_follows_the_pace_seen(tmp_path: Path):
    wanted = [progress.Target("train", tmp_path / str(i), 2.0) for i in range(4)]
    pace = progress.Pace(wanted, workers=2)
    first = pace.view([])
    assert first.seconds_left == 4 * 2.0 * progress.FIRST_GUESS["train"] / 2
    born = driver.clock() - 60
    pace.view([a_job(born, weight=2.0)])
    wanted[0].path.touch()
    view = pace.view([])
    # one run of weight 2 took 60 s, three are left, two at a time
    assert view.seconds_left == pytest.approx(3 * 60 / 2, rel=0.05)
    assert (view.done["train"], view.total["train"]) == (1, 4)


def running(file: str, what: str, born: float, kind: str, at: tuple[str, int, int] | None, weight: float = 1.0) -> Job:
    return Job(1, born, "here", what, {"kind": kind, "weight": weight}, at, Path(file))


def test_time_to_go_heeds_how_far_running_jobs_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing has finished yet, and two base models crawl: they, and all that was never seen, take as long as that."""
    now = 1000.0
    monkeypatch.setattr(driver, "clock", lambda: now)
    wanted = [progress.Target("base", tmp_path / f"b{i}", 1.0) for i in range(2)]
    wanted += [progress.Target("train", tmp_path / f"t{i}", 2.0) for i in range(4)]
    pace = progress.Pace(wanted, workers=2)
    pace.view([running("a", "base", now, "base", None), running("b", "base", now, "base", None)])
    now = 1010.0
    pace.view([running(name, "base", 1000.0, "base", ("pretrain", 0, 500)) for name in "ab"])
    first = pace.view([running(name, "base", 1000.0, "base", ("pretrain", 10, 500)) for name in "ab"])
    # ten steps of 500 tell nothing: the first guess stands, less the ten seconds spent
    guess = progress.FIRST_GUESS
    assert first.seconds_left == pytest.approx((2 * (guess["base"] - 10) + 4 * 2.0 * guess["train"]) / 2)
    now = 1070.0  # a minute for 100 of 500 steps: 300 s each, five times the first guess; 240 s of each are left
    view = pace.view([running(name, "base", 1000.0, "base", ("pretrain", 100, 500)) for name in "ab"])
    assert view.seconds_left == pytest.approx((2 * 240 + 4 * 2.0 * 5 * progress.FIRST_GUESS["train"]) / 2)


def test_a_resumed_job_is_not_taken_for_a_fast_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr(driver, "clock", lambda: now)
    pace = progress.Pace([progress.Target("train", tmp_path / str(i), 1.0) for i in range(2)], workers=1)
    pace.view([running("a", "train alpha", 1000.0, "train", ("step", 90, 100))])
    now = 1010.0  # 2 s a step: 10 s until this run's end, then a whole one of 200 s
    view = pace.view([running("a", "train alpha", 1000.0, "train", ("step", 95, 100))])
    assert view.seconds_left == pytest.approx(10 + 200)


def test_a_process_that_trains_and_then_evaluates_counts_as_two_jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 1000.0
    monkeypatch.setattr(driver, "clock", lambda: now)
    waiting = tmp_path / "waiting"
    wanted = [progress.Target("train", tmp_path / f"t{i}", 1.0) for i in range(2)]
    wanted += [progress.Target("evaluate", tmp_path / f"e{i}", 1.0, waiting if i == 0 else None) for i in range(2)]
    pace = progress.Pace(wanted, workers=1)
    pace.view([running("a", "train alpha", 1000.0, "train", None)])
    now = 1040.0
    pace.view([running("a", "train alpha", 1000.0, "train", None)])
    pace.view([running("a", "evaluate alpha", 1000.0, "evaluate", None)])
    now = 1050.0
    pace.view([running("a", "evaluate alpha", 1000.0, "evaluate", None)])
    wanted[0].path.touch()
    waiting.touch()
    view = pace.view([])
    # 40 s of training and 10 s of evaluation are left of the other run, and the waiting evaluation has to be moved
    assert pace.spent == {"train": (40.0, 1.0), "evaluate": (10.0, 1.0)}
    assert view.seconds_left == pytest.approx(40 + 10 + progress.PUBLISHING * 10)


@pytest.mark.parametrize(
    ("words", "most"),
    [("--cores 1", 1), ("-c1", 1), ("--cores=1 --config suite=toy", 1), ("--cores all", 9), ("", 9), ("--cores 99", 9)],
)
def test_fewer_cores_mean_fewer_jobs_at_a_time(monkeypatch: pytest.MonkeyPatch, words: str, most: int):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(9)), raising=False)
    assert progress.at_once(words.split()) == most


def test_results_that_answer_another_question_are_still_to_do(root: Path, monkeypatch: pytest.MonkeyPatch):
    """All results are there, one run's method was edited since: that run and its evaluations are left, until remade."""
    request = make_request({"suite": "toy"})
    wanted = progress.targets(request)
    for target in wanted:
        target.path.parent.mkdir(parents=True, exist_ok=True)
        target.path.write_text("{}")
    edited = request.runs[3]
    monkeypatch.setattr(progress, "current_run", lambda r, s, arm, track, seed, d: (arm, track, seed) != edited)
    monkeypatch.setattr(progress, "current_eval", lambda *_: True)
    stale = progress.outdated(request)
    evals = [e for e in request.evaluations if (e.arm, e.track, e.seed) == edited]
    paths = [Path(request.run_manifest(edited)), *(Path(request.eval_manifest(e)) for e in evals)]
    assert evals and set(stale) == set(paths)
    pace = progress.Pace(wanted, 2, stale)
    view = pace.view([])
    assert (view.done["train"], view.done["evaluate"]) == (7, 18 - len(evals)) and view.seconds_left > 0
    for path in paths:
        os.utime(path, ns=(1, 1))  # made again
    view = pace.view([])
    assert (view.done["train"], view.done["evaluate"], view.seconds_left) == (8, 18, 0)


def test_plain_line_names_counts_jobs_and_time(tmp_path: Path):
    view = progress.View({"base": 1, "train": 2, "evaluate": 0}, {"base": 1, "train": 6, "evaluate": 0}, [a_job(0)], 75)
    line = progress.plain(view, time.monotonic() - 5)
    assert line == "[5 s] models 1/1, runs 2/6 | train alpha (step 3/10) | about 1 min 15 s to go"


def test_table_renders(tmp_path: Path):
    from rich.console import Console

    view = progress.View({"base": 1, "train": 2, "evaluate": 0}, {"base": 1, "train": 6, "evaluate": 0}, [a_job(0)], 75)
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(progress.table(view, time.monotonic()))
    shown = console.export_text()
    assert "2/6" in shown and "train alpha (step 3/10)" in shown and "1 min 15 s to go" in shown


def test_a_command_without_a_terminal_says_plain_lines(capsys, monkeypatch: pytest.MonkeyPatch):
    clock = iter([0.0, 11.0, 12.0, 30.0])
    monkeypatch.setattr("creditbench.cli.progress.time.monotonic", lambda: next(clock))
    report = counter("base model")
    for done in (0, 10, 11, 40):
        report("pretrain", done, 40)
    assert capsys.readouterr().err.splitlines() == [
        "base model: pretrain 10/40, 33 s to go", "base model: pretrain 40/40",
    ]  # fmt: skip


def test_a_wrong_request_stops_before_snakemake(root: Path, capsys):
    assert progress.main(["--config", "suite=toy", "methods=alfa"]) == 2
    assert capsys.readouterr().err.startswith("creditbench: --config methods: unknown method 'alfa'")
    assert not (root / "results").exists()


def test_only_lines_that_say_something_are_told(tmp_path: Path, capsys):
    log = tmp_path / "snakemake.log"
    log.write_text("ValueError: of the run before\n")
    start = log.stat().st_size
    log.write_text(log.read_text() + "creditbench: no space left\nError in rule train:\nWorkflowError:\nAt least one\n")
    progress._tell_errors(log, start)
    assert capsys.readouterr().err.splitlines() == ["creditbench: no space left", "Error in rule train:"]


def test_a_home_that_may_not_be_written_is_not_needed(tmp_path, monkeypatch):
    """Snakemake ends with a traceback where it cannot make its cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    progress.cache_somewhere(str(tmp_path / "results"))
    assert "XDG_CACHE_HOME" not in os.environ
    monkeypatch.setenv("HOME", "/proc/nowhere")
    progress.cache_somewhere(str(tmp_path / "results"))
    assert os.environ["XDG_CACHE_HOME"] == str(tmp_path / "results" / ".work" / "cache")


def test_a_reader_that_has_gone_stops_no_work():
    """`make leaderboard | head -1`: neither an error at the next line nor one when Python ends."""
    script = "from creditbench.cli.progress import say\nfor n in range(3): say('line')\nimport sys; sys.exit(7)"
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-c", script], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (7, "")
