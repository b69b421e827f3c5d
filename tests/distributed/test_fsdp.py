"""FSDP2 on two processes (gloo, CPU) makes the step of one process: loss, gradients, norm, weights, checkpoint."""

import os
import shutil
import subprocess
import sys

import pytest
import torch

from creditbench.errors import BadInput
from creditbench.trainer.comm import Comm
from creditbench.trainer.fsdp import shard
from tests.distributed.one_step import CASES, LR, results
from tests.trainer.ranks import two_ranks
from tests.vllm.conftest import random_policy


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return two_ranks("tests/distributed/one_step.py", tmp_path_factory.mktemp("ranks"), 280)


@pytest.fixture(scope="module")
def one():
    return results(Comm(), sharded=False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0] + ("-lora" if case[1] else ""))
def test_two_sharded_processes_step_as_one(ranks, one, case):
    expected = one[case]
    assert expected["norm"] > 1e-3
    for got in (rank[case] for rank in ranks):
        assert got["loss"] == pytest.approx(expected["loss"], rel=1e-9, abs=1e-14)
        assert got["norm"] == pytest.approx(expected["norm"], rel=1e-9)
        assert torch.allclose(got["credit"], expected["credit"], rtol=1e-9, atol=1e-12)
        assert set(got["grads"]) == set(expected["grads"])
        for name, g in expected["grads"].items():
            assert torch.allclose(got["grads"][name], g, rtol=1e-8, atol=1e-12), name
        for name, w in expected["after"].items():
            assert torch.allclose(got["after"][name], w, rtol=0, atol=1e-4 * LR), name
            assert torch.equal(got["restored"][name], got["after"][name]), name
        moved = [name for name, w in got["after"].items() if not torch.equal(w, got["before"][name])]
        assert moved


def test_ranks_agree_bit_for_bit(ranks):
    first, second = ranks
    for case in CASES:
        for name, w in first[case]["after"].items():
            assert torch.equal(w, second[case]["after"][name]), (case, name)


def test_tied_weights_stay_tied(ranks):
    for rank in ranks:
        after = rank[("grpo", False)]["after"]
        assert torch.equal(after["lm_head.weight"], after["model.embed_tokens.weight"])


def test_sharding_needs_a_process_group():
    with pytest.raises(BadInput, match="at least 2 processes"):
        shard(random_policy())


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    ("arm", "extra"),
    [
        ("grpo", {}),
        pytest.param("opsd", {}, marks=SLOW, id="opsd"),
        pytest.param("grpo", {"lora_r": 2}, marks=SLOW, id="adapters"),
    ],
)
def test_a_sharded_run_writes_the_record_of_a_run_alone(tmp_path, arm, extra):
    """Three steps by the rule's command, checkpoints included: same rollouts, same weights to rounding, one record."""
    from safetensors.torch import load_file

    from creditbench.records import read_json, read_manifest, read_parquet
    from tests.distributed import whole_run

    folders = {}
    for name in ("alone", "sharded"):
        results = tmp_path / name
        results.mkdir()
        text = whole_run.SUITE.replace("micro_rows: 8}", f"micro_rows: 8, lora_r: {extra.get('lora_r', 0)}}}")
        (results / "sharded.yaml").write_text(text)
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd(), "CUDA_VISIBLE_DEVICES": ""}
        words = [sys.executable, "tests/distributed/whole_run.py", str(results), arm]
        if name == "sharded":
            shutil.copytree(tmp_path / "alone" / "models", results / "models")
            words = [sys.executable, "-m", "creditbench", "train", str(results / "sharded.yaml"), arm, "math"]
            words += ["--results", str(results), "--processes", "2", "--shard", "--then-evaluate"]
        done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=250)
        assert done.returncode == 0, done.stderr[-3000:]
        folders[name] = results / "sharded" / "runs" / arm / "math" / "seed0"
    alone, sharded = folders["alone"], folders["sharded"]
    a, b = (read_parquet(f / "curve.parquet").to_pylist() for f in (alone, sharded))
    assert len(a) == len(b) == 3
    for left, right in zip(a, b, strict=True):
        for column in ("grad_norm", "reward", "lr", "loss", "entropy", "generated_tokens", "trained_tokens"):
            assert right[column] == pytest.approx(left[column], rel=1e-6), column
    for name, w in load_file(alone / "model" / "model.safetensors").items():
        assert torch.allclose(load_file(sharded / "model" / "model.safetensors")[name], w, rtol=0, atol=1e-6), name
    assert read_manifest(sharded).key == read_manifest(alone).key
    apart = ("seconds", "wall_seconds", "peak_bytes")
    costs = [{k: v for k, v in read_json(f / "cost.json").items() if k not in apart} for f in (alone, sharded)]
    assert costs[0]["generated_tokens"] > 0 and costs[0] == costs[1]
