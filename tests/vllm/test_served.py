"""Whole commands: training with vLLM as the sampler, and evaluation through a plain OpenAI-compatible server."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path

import pytest

from creditbench.cli import main
from creditbench.launch import die_with_parent
from creditbench.records import read_manifest, read_parquet
from creditbench.sampling import SamplingParams, open_engine
from creditbench.sampling.openai_client import OpenAIClient
from creditbench.sampling.vllm import interpreter
from creditbench.sampling.vllm_server import _environment
from creditbench.tokenizer import save_tiny, vocabulary
from tests.vllm.conftest import LONGEST, logps_of, random_policy
from tests.vllm.processes import gone, listening, loopback, marked

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900), pytest.mark.usefixtures("needs_server")]
SUITE = """\
name: {engine}
class: tiny
description: A random model; its numbers mean nothing.
seeds: [0]
arms: [base, grpo]
settings: {{engine: {engine}, prompts_per_step: 2, group_size: 8, lr: 1.0e-3, steps: 3, max_new_tokens: 12}}
tracks:
  math:
    base: {{path: {model}}}
    train: {{benchmark: tiny_math, split: train}}
    eval:
      - {{benchmark: tiny_math, split: test, name: cold, options: {{n: 8}}, protocol: {{k: 1, temperature: 0, max_new_tokens: 16}}}}
      - {{benchmark: tiny_math, split: test, name: warm, options: {{n: 4}}, protocol: {{k: 4, max_new_tokens: 16}}}}
    settings: {{reward: random}}
"""  # noqa: E501


@pytest.fixture(scope="module")
def model():
    return random_policy(vocabulary=len(vocabulary()))


@pytest.fixture(scope="module")
def home(model, tmp_path_factory):
    """A saved model with the tiny tracks' tokenizer, and a suite for each engine."""
    folder = tmp_path_factory.mktemp("home")
    model.save_pretrained(folder / "model")
    save_tiny(folder / "model")
    for engine in ("hf", "vllm"):
        (folder / f"{engine}.yaml").write_text(SUITE.format(engine=engine, model=folder / "model"))
    return folder


@pytest.fixture(scope="module")
def url(home):
    """Any server would do; this one is vLLM's own, without its development mode."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [interpreter(), "-m", "vllm.entrypoints.openai.api_server", "--model", str(home / "model"), "--seed", "0"]
    words += ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", "tiny", "--dtype", "float32"]
    words += ["--max-model-len", str(LONGEST), "--max-num-seqs", "32", "--enforce-eager", "--max-logprobs", "5"]
    mark = f"CREDITBENCH_MARK_{port}"
    environment = {**_environment(), "VLLM_SERVER_DEV_MODE": "0", mark: "1"}
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(
            words, env=environment, stdout=log, stderr=log, start_new_session=True,
            preexec_fn=partial(die_with_parent, os.getpid()),
        )
    try:
        end = time.monotonic() + 600
        while True:
            assert server.poll() is None and time.monotonic() < end, (home / "server.log").read_text()[-2000:]
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                break
            time.sleep(0.5)
        assert all(map(loopback, listening(marked(mark))))
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        assert gone(mark, 10)


def samples(folder):
    return read_parquet(folder / "samples.parquet").to_pylist()


def evaluate_at(url, home, label, out):
    words = ["evaluate", str(home / "hf.yaml"), "base", "math", label, "--results", str(home / "results")]
    words += ["--server", url, "--served", "tiny", "--extra", '{"return_token_ids": true}', "--out", str(out)]
    assert main(words) == 0
    return samples(out)


@pytest.fixture(scope="module")
def base(home):
    assert main(["base", str(home / "hf.yaml"), "--results", str(home / "results")]) == 0
    return home


def test_greedy_evaluation_through_the_server_gives_the_tokens_of_hf(base, url, tmp_path):
    ours = evaluate_at(url, base, "cold", tmp_path / "out")
    assert main(["evaluate", str(base / "hf.yaml"), "base", "math", "cold", "--results", str(base / "results")]) == 0
    theirs = samples(base / "results" / "hf" / "evals" / "cold" / "base" / "math" / "seed0")
    wanted = ("problem_id", "sample", "token_ids", "completion", "finish_reason", "outcome")
    assert [[row[k] for k in wanted] for row in ours] == [[row[k] for k in wanted] for row in theirs]
    facts = read_manifest(tmp_path / "out").eval
    assert facts is not None and facts.engine.name == "openai" and facts.n_graded == 8


def test_samples_of_a_problem_differ_and_come_again(base, url, tmp_path):
    first, again = (evaluate_at(url, base, "warm", tmp_path / name) for name in ("first", "again"))
    assert len({tuple(row["token_ids"]) for row in first}) == 16
    assert [row["token_ids"] for row in first] == [row["token_ids"] for row in again]


def test_likelihoods_equal_a_plain_forward_pass(model, url):
    client = OpenAIClient(url, "tiny")
    prompts = [[10, 11, 12], [20 + i for i in range(17)], [7], [9, 9, 30]]
    greedy = open_engine("hf", model).generate(prompts, [0] * 4, SamplingParams(6, temperature=0.0))
    likely = [list(g.token_ids) for g in greedy]
    other = [[40, 41], [50], [60, 61, 62], [33]]
    done = client.loglikelihoods(prompts * 2, likely + other)
    wanted = [logps_of(model, p, tuple(c)) for p, c in zip(prompts * 2, likely + other, strict=True)]
    for got, logp_T in zip(done, wanted, strict=True):
        assert abs(got.logp - float(logp_T.double().sum())) < 1e-4 * len(logp_T)
    assert [d.greedy for d in done] == [True] * 4 + [False] * 4


def test_a_run_trained_with_vllm_records_its_engine_and_the_mismatch(home, tmp_path):
    """One process: three steps on an engine of its own, which is closed before the two evaluations open theirs."""
    suite, results = str(home / "vllm.yaml"), str(tmp_path)
    words = ["train", suite, "grpo", "math", "--results", results, "--then-evaluate"]
    done = subprocess.run(
        [sys.executable, "-c", f"from creditbench.cli import main; main(['base', {suite!r}, '--results', {results!r}]);"
         f" raise SystemExit(main({words!r}))"],
        capture_output=True, text=True, check=False, cwd=Path(__file__).resolve().parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    run = tmp_path / "vllm" / "runs" / "grpo" / "math" / "seed0"
    manifest = read_manifest(run)
    assert manifest.versions["vllm"].startswith("0.") and manifest.notes == () and manifest.determinism == "D1"
    rows = read_parquet(run / "curve.parquet").to_pylist()
    assert len(rows) == 3 and all(row["grad_norm"] > 0 for row in rows)
    assert all(0 <= row["mismatch.mean_abs"] <= row["mismatch.max"] < 1e-4 for row in rows)
    for label in ("cold", "warm"):
        words = ["evaluate", suite, "grpo", "math", label, "--results", results, "--digest", digest(suite, label)]
        assert main(words) == 0
        facts = read_manifest(tmp_path / "vllm" / "evals" / label / "grpo" / "math" / "seed0").eval
        assert facts is not None and facts.engine.name == "vllm"


def digest(suite, label):
    from creditbench.suite import load_suite, resolve_eval

    return resolve_eval(load_suite(suite), "grpo", "math", 0, label).config_digest
