"""A training job starts as many processes as its suite gives it accelerators, and none of them works among fewer."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from creditbench import driver, launch
from creditbench.cli import main
from creditbench.errors import BadInput
from creditbench.suite import make_request
from creditbench.suite.schema import Resources
from creditbench.trainer.comm import Comm, connect
from creditbench.trainer.loop import Ledger
from creditbench.trainer.update import Tally
from creditbench.workflow import Rules
from tests.suite.toy import SUITE, make_root

REPO = Path(__file__).resolve().parents[2]
SLURM = {"SLURM_JOB_ID": "20017", "SLURM_JOB_NUM_NODES": "4", "SLURM_JOB_NODELIST": "n[07-10]"}


def test_one_machine():
    command = launch.torchrun(8, ["train", "standard", "grpo", "math"], {})
    assert command == [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "8", "--standalone",
        "-m", "creditbench", "train", "standard", "grpo", "math",
    ]  # fmt: skip


def test_all_nodes_of_a_slurm_job():
    """32 processes on 4 nodes are 8 on each; all meet on the first node, at a port that this job has for itself."""
    asked = []
    command = launch.torchrun(32, ["train"], SLURM, head=lambda nodes: asked.append(nodes) or "n07")
    assert asked == ["n[07-10]"]
    assert command[0] == "srun" and {"--nodes=4", "--ntasks=4", "--ntasks-per-node=1"} <= set(command)
    told = dict(itertools.pairwise(command))
    assert told["--nproc-per-node"] == "8" and told["--nnodes"] == "4"
    assert told["--rdzv-endpoint"] == "n07:20017"
    assert "--standalone" not in command
    assert command[-3:] == ["-m", "creditbench", "train"]


@pytest.mark.parametrize("script", ["exit 1", "true", None])
def test_a_node_list_that_slurm_does_not_read_is_one_line(tmp_path, monkeypatch, script):
    if script:
        (tmp_path / "scontrol").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin" if script else str(tmp_path))
    with pytest.raises(BadInput, match=r"SLURM_JOB_NODELIST=n\[07-10\]: scontrol names no host"):
        launch.torchrun(8, [], SLURM)


@pytest.mark.parametrize("late", [False, True])
def test_a_child_dies_with_its_parent(late):
    """SIGKILL to the parent, also when it comes before the child could ask to be told (`late`)."""
    asked = "10**9" if late else "os.getpid()"
    code = (
        "import os, subprocess, sys, time; from functools import partial; from creditbench.launch import *\n"
        f"will = partial(die_with_parent, {asked})\n"
        "child = subprocess.Popen(['sleep', '60'], preexec_fn=will); print(child.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=REPO) as parent:
        child = int(parent.stdout.readline())
        if not late:
            assert not driver.name_of(child).endswith(":None")
            parent.kill()
        end = time.monotonic() + 20
        while not (ended := driver.name_of(child).endswith(":None")) and time.monotonic() < end:
            time.sleep(0.05)
        parent.kill()
    assert ended


def test_uneven_shares_are_refused():
    with pytest.raises(BadInput, match="10 cannot be dealt to 4 nodes evenly"):
        launch.torchrun(10, [], SLURM, head=lambda nodes: "n07")
    with pytest.raises(ValidationError, match="gpus: 10 cannot be dealt to 4 nodes evenly"):
        Resources.model_validate({"gpus": 10, "nodes": 4})


def rules(root: Path, resources: str) -> Rules:
    make_root(root)
    (root / "workflows/suites/toy.yaml").write_text(f"{SUITE}resources: {{train: {{{resources}}}}}\n")
    return Rules(make_request({"suite": "toy"}))


@pytest.mark.parametrize(
    ("resources", "said"),
    [
        ("gpus: 0", ""), ("gpus: 1", ""), ("gpus: 2", " --processes 2"),
        ("gpus: 4, shard: true", " --processes 4 --shard"),
    ],
)  # fmt: skip
def test_the_rule_says_how_many(tmp_path, monkeypatch, resources, said):
    monkeypatch.chdir(tmp_path)
    assert rules(tmp_path, resources).processes == said


@pytest.mark.parametrize(("resources", "machines"), [("gpus: 16, nodes: 2", {"nodes": 2, "tasks": 2}), ("gpus: 8", {})])
def test_nodes_reach_the_cluster_when_there_are_several(tmp_path, monkeypatch, resources, machines):
    monkeypatch.chdir(tmp_path)
    asked = rules(tmp_path, resources).resources("train")
    assert {k: v for k, v in asked.items() if k in ("nodes", "tasks")} == machines


def test_the_command_that_snakemake_would_run(tmp_path, monkeypatch):
    """Both rules that train, as printed by a dry run."""
    monkeypatch.chdir(tmp_path)
    rules(tmp_path, "gpus: 2")
    words = ["-s", str(REPO / "Snakefile"), "--cores", "1", "-n", "-p", "--resources", "gpus=2"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *words, "--config", "suite=toy", "methods=alpha", "seeds=0", "rerun=true"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(REPO)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    trained = re.findall(r"creditbench train toy alpha math .*", done.stdout + done.stderr)
    assert len(trained) == 2
    assert all(" --seed 0 --processes 2 --" in line for line in trained), trained


def test_the_command_line_becomes_torchrun(tmp_path, monkeypatch):
    """Words are handed on; each process learns how many there must be. A wrong word never gets that far."""
    monkeypatch.chdir(make_root(tmp_path))
    for name in ("WORLD_SIZE", "SLURM_JOB_NUM_NODES"):
        monkeypatch.delenv(name, raising=False)
    became = []

    class Became(Exception):
        pass

    def execvpe(file, words, environ):
        became.append((words, environ))
        raise Became

    monkeypatch.setattr(os, "execvpe", execvpe)
    asked = ["train", "toy", "alpha", "math", "--seed", "1", "--processes", "3", "--shard"]
    with pytest.raises(Became):
        main(asked)
    [(words, environ)] = became
    assert words[1:6] == ["-m", "torch.distributed.run", "--nproc-per-node", "3", "--standalone"]
    assert words[words.index("creditbench") :][:4] == ["creditbench", "train", "toy", "alpha"]
    assert (environ["CREDITBENCH_PROCESSES"], environ["CREDITBENCH_SHARD"]) == ("3", "1")
    assert main(["train", "toy", "alfa", "math", "--processes", "3"]) == 2
    assert main(["train", "toy", "alpha", "math", "--shard"]) == 2
    assert len(became) == 1


def test_another_number_of_processes_than_asked_for_is_refused(monkeypatch):
    """accelerate launch --num_processes 2 starts one on a CPU, without a word."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(BadInput, match="expected 2, got 1; start the run with torchrun"):
        connect(2)


@pytest.mark.parametrize("more", [[], ["--cpu"]])
def test_accelerate_that_starts_one_process_of_two_is_refused(tmp_path, more):
    """The real launcher and the real command; one clear line, exit code 2, no run."""
    make_root(tmp_path)
    (tmp_path / "workflows/suites/toy.yaml").write_text(SUITE)
    launcher = "import sys; from accelerate.commands.accelerate_cli import main; sys.argv[0] = 'accelerate'; main()"
    words = ["launch", *more, "--num_processes", "2", "-m", "creditbench", "train", "toy", "alpha", "math"]
    env = {k: v for k, v in os.environ.items() if k not in ("WORLD_SIZE", "RANK", "MASTER_ADDR")}
    done = subprocess.run(
        [sys.executable, "-c", launcher, *words], cwd=tmp_path, timeout=250, capture_output=True, text=True,
        env={**env, "PYTHONPATH": str(REPO), "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if line.startswith("creditbench: ")]
    assert done.returncode != 0 and len(said) == 1, done.stderr[-3000:]
    assert "accelerate launch was asked for several and started one; use torchrun" in said[0]
    assert not list((tmp_path / "results").glob("*/runs"))


def test_launchers_that_are_right_are_let_through():
    """torchrun, accelerate with one process (no meeting point), accelerate that started both, a plain shell."""
    told = {"ACCELERATE_MIXED_PRECISION": "no"}
    point = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    assert launch.alone_by_mistake({**told, **point})
    for environ in ({}, told, point, {**told, **point, "WORLD_SIZE": "2"}, {**point, "WORLD_SIZE": "1"}):
        assert not launch.alone_by_mistake(environ)


def test_torchrun_with_another_number_than_asked_for_is_refused(tmp_path, monkeypatch, capsys):
    """torchrun --nproc-per-node 1 ... train ... --processes 2."""
    monkeypatch.chdir(make_root(tmp_path))
    for name, value in {"WORLD_SIZE": "1", "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    for name in (launch.PROCESSES, launch.SHARD):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert main(["train", "toy", "alpha", "math", "--processes", "2"]) == 2
    assert "processes: expected 2, got 1" in capsys.readouterr().err


@pytest.mark.parametrize(("processes", "ahead"), [("1", True), ("2", False)])
def test_of_several_processes_none_evaluates(tmp_path, monkeypatch, processes, ahead):
    """Under torchrun each would, at the same time and into the same place."""
    from creditbench import pipeline

    monkeypatch.chdir(make_root(tmp_path))
    monkeypatch.setenv("WORLD_SIZE", processes)
    asked = []
    monkeypatch.setattr(pipeline, "train_run", lambda *words: asked.append(words[3]))
    assert main(["train", "toy", "alpha", "math", "--then-evaluate"]) == 0
    assert asked == [ahead]


def test_more_processes_than_accelerators_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "8", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match="8 on this machine, which has 1 accelerators"):
        connect(8)


class Three(Comm):
    """This process and two others that counted the same."""

    def sum(self, value):
        return 3 * value

    def sum_counts(self, counts):
        return {k: 3 * v for k, v in counts.items()}


def test_costs_are_of_all_processes():
    """A step of 10 generated tokens on each of three processes costs 30; what is no count is left alone."""
    ledger = Ledger(generated_tokens=100, extra_forwards=7, optimizer_steps=5, seconds={"rollout": 2.0})
    before = ledger.counts()
    ledger.generated_tokens += 10
    ledger.extra_forwards += 4
    ledger.add_others(before, Three(0, 3))
    assert (ledger.generated_tokens, ledger.extra_forwards, ledger.optimizer_steps) == (130, 19, 5)
    assert ledger.seconds == {"rollout": 2.0}
    whole = Tally(loss=0.25, tokens=8, trained_tokens=8, gap_max=0.5).of_all(Three(0, 3))
    assert (whole.loss, whole.tokens, whole.trained_tokens, whole.gap_max) == (0.75, 24, 24, 0.5)
