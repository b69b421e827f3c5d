"""Runs that are killed, replayed, or meet a full disk: nothing is lost, and where two runs part is said."""

from __future__ import annotations

import errno
import json
import os
import resource
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import pytest

from creditbench.errors import BadInput, CheckFailed
from creditbench.records import read_json, read_manifest, read_parquet
from creditbench.replay import replay
from creditbench.suite import load_suite, resolve
from creditbench.trainer import run
from creditbench.trainer.comm import Comm
from creditbench.trainer.run import train
from creditbench.trainer.trace import entry, first_difference
from tests.trainer.small import results_for

REPO = Path(__file__).resolve().parents[2]
STEPS = 5
SUITE = f"""\
name: suite
class: tiny
description: Five steps from a random model, a checkpoint after every second one.
seeds: [0]
arms: [base, grpo, cast, opsd, dapo]
settings:
  {{prompts_per_step: 2, group_size: 8, lr: 1.0e-2, checkpoint_every: 2, schedule: cosine, updates_per_rollout: 2,
   steps: {STEPS}}}
overrides:
  cast: {{refresh: 3, lr: 1.0e-3, mask_truncated: false}}
  opsd: {{teacher: ema, ema_rate: 0.2, lr: 1.0e-3, mask_truncated: false}}
  dapo: {{group_size: 2, mask_truncated: false, store_rollouts: true}}
"""


ARMS = ("grpo", "cast", "opsd", "dapo")


class Killed(BaseException):
    """Stands for SIGKILL: nothing that a run does when it fails may be counted on."""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with the base model and nothing else."""
    return results_for(tmp_path_factory.mktemp("results"), SUITE)


def spec_of(results, arm, **settings):
    spec = resolve(load_suite(str(results / "suite.yaml")), arm, "math", 0)
    return spec.model_copy(update={"settings": spec.settings.model_copy(update=settings)})


@pytest.fixture(scope="module")
def calm(results):
    """Arm -> the record of a run that nothing disturbed."""
    return {a: train(spec_of(results, a), results, out=results / "calm" / a) for a in ARMS}


def curve(folder):
    """The curve without what the clock says."""
    rows = read_parquet(folder / "curve.parquet").to_pylist()
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in rows]


def same(left, right):
    """Same final weights, same trace, same curve, same counted costs."""
    assert read_manifest(left).model_digest == read_manifest(right).model_digest
    traces = [read_parquet(f / "trace.parquet").to_pylist() for f in (left, right)]
    assert first_difference(*traces) is None and len(traces[0]) == len(traces[1])
    assert curve(left) == curve(right)
    rollouts = [{p.name: p.read_bytes() for p in (f / "rollouts").glob("*")} for f in (left, right)]
    assert rollouts[0] == rollouts[1]
    costs = [read_json(f / "cost.json") for f in (left, right)]
    counted = [{k: v for k, v in cost.items() if "seconds" not in k and k != "peak_bytes"} for cost in costs]
    assert counted[0] == counted[1]
    for cost in costs:  # phases lie inside the wall time, that of killed attempts too
        assert 0 < sum(cost["seconds"].values()) <= cost["wall_seconds"] * 1.001
        assert cost["peak_bytes"] > 2**26, "torch alone is more"


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_killed_after_any_step_ends_with_the_same_bits(results, calm, tmp_path, arm):
    """Killed after steps 1, 2, ... in turn, each time going on from the last checkpoint (every second step).

    Optimizer moments, learning rate schedule, data order, CAST's copy (refreshed every third update), the EMA of
    OPSD's teacher, DAPO's further batches and its kept rollouts must all be as if nothing had happened.
    """
    for last in range(1, STEPS):

        def kill(step, steps, row, last=last):
            if step == last:
                raise Killed

        with pytest.raises(Killed):
            train(spec_of(results, arm), results, out=tmp_path / arm, scratch="-cut", report=kill)
        assert not (tmp_path / arm).exists()
    assert all(row["grad_norm"] > 0 for row in curve(calm[arm])), "steps that change nothing would prove nothing"
    done = []
    train(spec_of(results, arm), results, out=tmp_path / arm, scratch="-cut", report=lambda k, n, row: done.append(k))
    assert done == [5], "went on after the checkpoint of step 4"
    same(tmp_path / arm, calm[arm])


def test_dynamic_sampling_was_interrupted_too(calm):
    """Groups of two fair coins are uniform half of the time: steps of several batches, all of them kept (level D2)."""
    batches = [int(row["generated_batches"]) for row in curve(calm["dapo"])]
    assert max(batches) > 1, batches
    assert len(list((calm["dapo"] / "rollouts").iterdir())) == sum(batches)


def test_a_checkpoint_cut_short_is_not_used(results, calm, tmp_path):
    """Half a checkpoint (a copied scratch disk, say) means starting again, not going wrong."""

    def kill(step, steps, row):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        train(spec_of(results, "grpo"), results, out=tmp_path / "run", scratch="-half", report=kill)
    [checkpoint] = (results / ".work").glob("*-half/checkpoint.pt")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    done = []
    told = {"report": lambda k, n, row: done.append(k)}
    train(spec_of(results, "grpo"), results, out=tmp_path / "run", scratch="-half", **told)
    assert done == [1, 2, 3, 4, 5]
    same(tmp_path / "run", calm["grpo"])


@pytest.mark.parametrize(
    "error", [MemoryError(), OSError(errno.EIO, "no answer"), RuntimeError("can't allocate memory")]
)
def test_a_checkpoint_that_cannot_be_read_just_now_is_kept(results, tmp_path, monkeypatch, error):
    """Hours of training must not go because a machine was short of memory for a moment."""
    import torch

    def kill(step, steps, row):
        if step == 3:
            raise Killed

    def refuse(*words, **options):
        raise error

    with pytest.raises(Killed):
        train(spec_of(results, "grpo"), results, out=tmp_path / "run", scratch="-short", report=kill)
    [checkpoint] = (results / ".work").glob("*-short/checkpoint.pt")
    monkeypatch.setattr(torch, "load", refuse)
    with pytest.raises(type(error)):
        train(spec_of(results, "grpo"), results, out=tmp_path / "run", scratch="-short")
    assert checkpoint.exists()


class Ahead(Comm):
    """One of several processes; another one found the checkpoint of step 4."""

    def largest(self, value):
        return 4


def test_processes_that_found_different_checkpoints_do_not_go_on(results, tmp_path, monkeypatch):
    """They would train different steps, each summing its gradients with the others'. No engine is left running."""
    closed = []
    monkeypatch.setattr(run, "open_engine", lambda *words: SimpleNamespace(close=lambda: closed.append(True)))
    with pytest.raises(CheckFailed, match="this process found step 0, another one step 4"):
        run.open_run(spec_of(results, "grpo"), results, Ahead(), tmp_path, None)
    assert closed == [True]


def test_no_checkpoint_outlives_the_lines_of_its_steps(results, tmp_path, monkeypatch):
    """After a loss of power the curve must hold every step that the checkpoint knows."""
    events, sync, write = [], os.fsync, run.save
    monkeypatch.setattr(os, "fsync", lambda f: (events.append(Path(os.readlink(f"/proc/self/fd/{f}")).name), sync(f)))
    monkeypatch.setattr(run, "save", lambda *words: (events.append("save"), write(*words)))
    train(spec_of(results, "grpo"), results, out=tmp_path / "run", scratch="-power")
    saves = [i for i, event in enumerate(events) if event == "save"]
    assert len(saves) == 2
    assert all(events[i - 2 : i] == ["curve.jsonl", "trace.jsonl"] for i in saves), events


def test_memory_is_given_back_before_an_evaluation_in_the_same_process(results, tmp_path, monkeypatch):
    """vLLM takes a share of what is free: the trained model must be gone when the accelerator's cache is emptied."""
    import torch

    models, alive, load = [], [], run.load_model

    def loaded(*words, **options):
        model = load(*words, **options)
        models.append(weakref.ref(model))
        return model

    monkeypatch.setattr(run, "load_model", loaded)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: alive.extend(m() is not None for m in models))
    train(spec_of(results, "opsd"), results, out=tmp_path / "run", scratch="-memory")
    assert alive == [False]


def test_a_replay_cut_short_leaves_nothing(kept, results):
    before = sorted((results / ".work").iterdir())

    def kill(step, steps, row):
        if step == 3:
            raise Killed

    with pytest.raises(Killed):
        replay(kept, report=kill)
    assert sorted((results / ".work").iterdir()) == before


def suite_run(results, arm, **settings):
    """A run in its own place of the results folder, as `replay` wants it."""
    return train(spec_of(results, arm, **settings), results)


@pytest.fixture(scope="module")
def kept(results):
    """A run that keeps its rollouts."""
    return suite_run(results, "cast", store_rollouts=True, updates_per_rollout=2)


def test_kept_rollouts_give_the_same_updates_without_sampling(kept, monkeypatch):
    """Level D2: everything behind sampling again, bit for bit; the sampler is not asked."""
    names = sorted(p.name for p in (kept / "rollouts").iterdir())
    assert names == [f"step{k:06d}.rollout.rank0.json" for k in range(STEPS)]
    monkeypatch.setattr(run, "open_engine", None)  # a run made with vLLM is replayed where there is none
    again = replay(kept, stored=True)
    assert again.identical, again.report
    assert again.report.startswith("identical: 5 steps")


def test_a_replay_names_the_first_step_and_tensor_that_part(kept, tmp_path):
    """With another learning rate, rollouts, rewards, credit and gradients of the first update are still the same; the
    second update of step 0 starts from other weights, so the gradient norms part first. Then the setting is named."""
    config = json.loads((kept / "config.json").read_text())
    config["settings"]["lr"] *= 2
    changed = tmp_path / "config.json"
    changed.write_text(json.dumps(config))
    outcome = replay(kept, config=changed)
    assert not outcome.identical
    first, *rest = outcome.report.splitlines()
    assert first.startswith("first difference at step 0 in gradient norm: norm ")
    assert "config settings.lr: 0.001 there, 0.002 here" in rest


def test_first_difference_is_the_earliest_in_step_and_order():
    """Magnitudes are told as they are; a row that only one side has is a difference too."""
    import torch

    left = [entry(k, o, n, torch.tensor([3.0, 4.0])) for k in (0, 1) for o, n in ((0, "rollouts"), (2, "credit"))]
    right = [dict(row) for row in left]
    assert first_difference(left, right) is None
    for at in (2, 3):
        right[at] = entry(1, right[at]["order"], right[at]["name"], torch.tensor([6.0, 8.0]))
    parting = first_difference(left, reversed(right))
    assert (parting.step, parting.name, parting.left, parting.right) == (1, "rollouts", 5.0, 10.0)
    assert "difference 5)" in str(parting)
    missing = first_difference(left, left[:-1])
    assert (missing.step, missing.name) == (1, "credit")


def test_costs_by_hand(calm, results):
    """2 prompts x 8 responses x 5 steps; FLOPs are 2 per weight and forward token, 6 where there is a backward pass."""
    from safetensors.torch import load_file

    cost, rows = read_json(calm["grpo"] / "cost.json"), curve(calm["grpo"])
    generated = sum(row["generated_tokens"] for row in rows)
    assert cost["generated_tokens"] == generated == sum(round(16 * row["response_tokens"]) for row in rows)
    assert cost["trained_tokens"] == sum(row["trained_tokens"] for row in rows) == generated
    assert (cost["rollout_batches"], cost["optimizer_steps"], cost["env_tokens"]) == (5, 10, 0)
    # Two updates per batch: one more pass of every row, prompt included, for the old log-probabilities.
    assert cost["extra_forwards"] == 80
    assert cost["forward_tokens"] == cost["prompt_tokens"] + generated
    state = load_file(calm["grpo"] / "model" / "model.safetensors")
    body = sum(w.numel() for n, w in state.items() if "embed_tokens" not in n and "lm_head" not in n)
    tokens = cost["prompt_tokens"] + generated
    assert cost["flops"] == pytest.approx(body * (2 * tokens + 2 * tokens + 6 * tokens), rel=1e-12)
    assert cost["gpu_hours"] == 0
    assert sum(cost["seconds"].values()) <= cost["wall_seconds"] * 1.001


def test_slot_6_pays_for_its_teacher(calm):
    """Beside the pass for the old log-probabilities, OPSD's teacher reads every response after a longer prompt."""
    cost, plain = read_json(calm["opsd"] / "cost.json"), read_json(calm["grpo"] / "cost.json")
    assert cost["extra_forwards"] == 2 * plain["extra_forwards"] == 160
    assert cost["forward_tokens"] > 2 * (cost["prompt_tokens"] + cost["generated_tokens"])


def command(results, out, bytes_=0):
    """`creditbench train` in a process whose files may have so many bytes at most (0: any number)."""

    def limit():
        if bytes_:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))

    words = ["train", str(results / "suite.yaml"), "grpo", "math", "--results", str(results), "--out", str(out)]
    env = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "creditbench", *words], env=env, cwd=REPO, preexec_fn=limit, capture_output=True,
        text=True, timeout=250,
    )  # fmt: skip


def test_no_space_is_one_clear_line_and_nothing_is_lost(results, calm, tmp_path):
    """A full disk stood for by a limit on file sizes: the checkpoint does not fit. With room the run goes on."""
    done = command(results, tmp_path / "run", 60_000)
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("creditbench: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert "checkpoint.pt: cannot be written" in said[0] and said[0].endswith("free some space and start again")
    assert not (tmp_path / "run").exists()
    assert list((results / ".work").glob("*/.checkpoint*")) == [], "no half file is left"
    assert command(results, tmp_path / "run").returncode == 0
    same(tmp_path / "run", calm["grpo"])


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES])
def test_output_that_may_not_be_written_is_told_before_any_training(results, tmp_path, monkeypatch, number):
    """A disk mounted read-only, a folder of somebody else (no bits of the folder stop a test that is run as root)."""
    real, steps = Path.mkdir, []

    def mkdir(self, *rest, **more):
        if self == tmp_path / "theirs":
            raise OSError(number, os.strerror(number), str(self))
        return real(self, *rest, **more)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(BadInput, match=r"theirs: cannot be written: .*; expected a folder that this user") as caught:
        out = tmp_path / "theirs" / "run"
        train(spec_of(results, "grpo"), results, out=out, report=lambda *told: steps.append(told))
    assert "\n" not in str(caught.value) and steps == []


def test_the_command_line_says_it_in_one_line(results, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = command(results, tmp_path / "file" / "runs" / "run")
    assert done.returncode == 2, done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("creditbench: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr[-2000:]
    assert "file/runs: cannot be written: Not a directory" in said[0]
