"""Jobs of one machine share its accelerators out among themselves; small suites see none."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from creditbench import accelerators
from creditbench.suite import load_suite

REPO = Path(__file__).resolve().parents[2]
JOB = """
import os, sys
from creditbench import accelerators
accelerators.installed = lambda: ["0", "1", "2"]
taken = accelerators.take(int(sys.argv[1]))
print(",".join(taken), "|", os.environ.get("CUDA_VISIBLE_DEVICES", "unset"), flush=True)
if sys.argv[2:] == ["exec"]:
    os.execv(sys.executable, [sys.executable, "-c", "import sys; print('replaced', flush=True); sys.stdin.read()"])
sys.stdin.read()
"""


@pytest.fixture
def job(tmp_path):
    """Start a process that takes so many and stays; all of them are ended after the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*words: str, **environ: str) -> subprocess.Popen[str]:
        kept = {k: v for k, v in os.environ.items() if k not in ("CUDA_VISIBLE_DEVICES", "SLURM_JOB_ID", "WORLD_SIZE")}
        env = {**kept, "PYTHONPATH": str(REPO), "TMPDIR": str(tmp_path), **environ}
        command = [sys.executable, "-c", JOB, *words]
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_each_job_has_accelerators_of_its_own(job):
    assert [said(job("1")) for _ in range(2)] == ["0 | 0", "1 | 1"]
    pair = job("2")  # one is free: it takes none of them until there are two
    last = job("1")
    assert said(last) == "2 | 2"
    time.sleep(1)
    assert pair.poll() is None
    os.kill(last.pid, signal.SIGKILL)
    time.sleep(1.5)
    assert pair.poll() is None, "one is not enough"


def test_a_killed_job_gives_back_and_a_replaced_process_keeps(job):
    first = job("2", "exec")
    assert said(first) == "0,1 | 0,1" and said(first) == "replaced"
    second = job("2")
    time.sleep(1)
    os.kill(first.pid, signal.SIGKILL)
    assert said(second) == "0,1 | 0,1"


@pytest.mark.parametrize(
    ("words", "environ", "wanted"),
    [
        (["0"], {}, "| "),  # nothing asked for: nothing seen
        (["0"], {"CUDA_VISIBLE_DEVICES": "1"}, "| "),
        (["1"], {"CUDA_VISIBLE_DEVICES": "2,1"}, "2 | 2"),  # only what the user offers
        (["1"], {"CUDA_VISIBLE_DEVICES": "GPU-a/b"}, "GPU-a/b | GPU-a/b"),
        (["4"], {}, "| unset"),  # more than there are: torchrun says so
        (["1"], {"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "3"}, "| 3"),  # the cluster has chosen
        (["0"], {"WORLD_SIZE": "2", "CUDA_VISIBLE_DEVICES": "0,1"}, "| 0,1"),  # torchrun's parent has
    ],
)
def test_who_chooses(job, words, environ, wanted):
    assert said(job(*words, **environ)) == wanted.strip()


def test_no_place_for_locks_is_said_and_nothing_is_changed(job, tmp_path):
    (tmp_path / f"creditbench-accelerators-{os.getuid()}").write_text("in the way")
    process = job("1")
    assert said(process) == "| unset"
    process.kill()
    assert "accelerators cannot be locked" in process.communicate()[1]


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": "4,5"}, None),
        ({"LOCAL_RANK": "2"}, "2"),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "4,5"}, "5"),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": ""}, ""),  # two processes on a machine without any
    ],
)
def test_a_server_of_a_rank_computes_where_the_rank_does(environ, wanted):
    assert accelerators.of_rank(environ) == wanted


def test_hidden_is_put_back(monkeypatch):
    monkeypatch.setenv(accelerators.VISIBLE, "0")
    with accelerators.hidden():
        assert os.environ[accelerators.VISIBLE] == ""
    with accelerators.hidden(False):
        assert os.environ[accelerators.VISIBLE] == "0"
    monkeypatch.delenv(accelerators.VISIBLE)
    with accelerators.hidden():
        assert os.environ[accelerators.VISIBLE] == ""
    assert accelerators.VISIBLE not in os.environ


def test_commands_ask_for_what_the_suite_says(tmp_path, monkeypatch):
    """`gpus` of the stage."""
    code = """
import json, sys, torch
from creditbench import accelerators, pipeline
from creditbench.cli import main
asked = []
accelerators.take = lambda count: asked.append((count, torch.cuda.is_initialized()))
pipeline.train_run = pipeline.evaluate_run = pipeline.make_model = lambda *a, **k: "made"
pipeline.publish = lambda *a, **k: False
for words in ("base SUITE", "train SUITE grpo math", "evaluate SUITE base math tiny_math"):
    try:
        main([w.replace("SUITE", sys.argv[1]) for w in words.split()])
    except SystemExit as done:
        assert not done.code, words
print(json.dumps(asked))
"""
    suite = (REPO / "workflows" / "suites" / "smoke.yaml").read_text().split("\nresources:")[0]
    suite = suite.replace("name: smoke", "name: mine")
    suite += "\nresources: {train: {gpus: 1}, evaluate: {gpus: 2}}\n"
    (tmp_path / "mine.yaml").write_text(suite)
    assert load_suite(str(tmp_path / "mine.yaml")).resources_of("train").gpus == 1
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "mine.yaml")], cwd=REPO, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    asked = json.loads(done.stdout.splitlines()[-1])
    assert asked == [[0, False], [1, False], [2, False]]
