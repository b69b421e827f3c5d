"""What every engine is given when weights are pushed, and the seeds it is given them with. No vLLM needed."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torch

from creditbench.errors import BadInput
from creditbench.sampling import SamplingParams, open_engine
from creditbench.sampling.resend import ResendSession
from creditbench.sampling.vllm import check_seeds, interpreter
from creditbench.sampling.vllm_server import VLLMServer
from creditbench.sampling.weights import plain_state
from creditbench.seeds import rollout_seed
from tests.vllm.conftest import logps_of, moved, random_policy

GREEDY = SamplingParams(8, temperature=0.0)
PROMPT = [10, 11, 12]


def adapted(model):
    """The model under LoRA adapters that do something."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    wrapped = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, target_modules="all-linear")).eval()
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.3)
    return wrapped


@pytest.mark.parametrize("tied", [True, False])
def test_the_head_is_always_named(tied):
    model = random_policy(tied=tied)
    state = plain_state(model)
    assert torch.equal(state["lm_head.weight"], model.get_output_embeddings().weight)
    assert torch.equal(state["lm_head.weight"], state["model.embed_tokens.weight"]) == tied
    assert not any(value.requires_grad for value in state.values())


def test_adapters_are_merged_into_copies():
    """The merged state loaded into a bare model gives the adapted model's log-probs; the adapted one is untouched."""
    wrapped = adapted(random_policy())
    kept = {name: value.clone() for name, value in wrapped.state_dict().items()}
    ids = (20, 30, 40, 50)
    bare = random_policy(seed=9)
    bare.load_state_dict(plain_state(wrapped))
    assert torch.allclose(logps_of(bare, PROMPT, ids), logps_of(wrapped, PROMPT, ids), atol=1e-5)
    with wrapped.disable_adapter():
        assert float((logps_of(bare, PROMPT, ids) - logps_of(wrapped, PROMPT, ids)).abs().max()) > 0.1
    assert set(plain_state(wrapped)) == set(random_policy().state_dict())
    for name, value in wrapped.state_dict().items():
        assert torch.equal(value, kept[name]), name


@pytest.mark.parametrize("kind", ["raw", "hf"])
def test_engines_sample_from_the_adapted_model(kind):
    wrapped = adapted(random_policy())
    engine = open_engine(kind, random_policy())
    engine.update_weights(wrapped)
    (got,) = engine.generate([PROMPT], [0], GREEDY)
    own = logps_of(wrapped, PROMPT, got.token_ids)
    assert torch.allclose(own, torch.tensor(got.logps), atol=1e-5)
    logits = wrapped(input_ids=torch.tensor([[*PROMPT, *got.token_ids]])).logits[0, len(PROMPT) - 1 : -1]
    assert tuple(logits.argmax(-1).tolist()) == got.token_ids
    assert open_engine(kind, moved(random_policy())).generate([PROMPT], [0], GREEDY)[0] != got


def test_sampling_seeds_are_far_apart():
    """Derived by hashing: no two of a step's 8 x 16 samples are near each other, also where samples share a prompt."""
    seeds = [rollout_seed("math", 0, f"rollout/{slot}", 3, "p7", k) for slot in range(8) for k in range(16)]
    ordered = sorted(seeds)
    assert min(b - a for a, b in itertools.pairwise(ordered)) > 2**40
    # vLLM on a CPU keeps the low 32 bits of a seed
    assert len({seed % 2**32 for seed in seeds}) == len(seeds)


def test_two_samples_of_a_prompt_must_not_share_a_seed():
    check_seeds([[1], [2], [1]], [5, 5, 6])
    with pytest.raises(BadInput, match="share a seed"):
        check_seeds([[1], [2], [1]], [5, 5, 5])


def test_conversations_are_sent_again_whole():
    model = random_policy()
    engine = open_engine("hf", model)
    ours, theirs = ResendSession(engine, 3, GREEDY), engine.session(3, GREEDY, 64)
    for blocks in ([[7], [8, 9], [10]], [[11, 12], None, [13]], [[14], None, [15]]):
        got, want = ours.extend(blocks, [0] * 3), theirs.extend(blocks, [0] * 3)
        assert [g and g.token_ids for g in got] == [g and g.token_ids for g in want]
    with pytest.raises(BadInput, match="closed row"):
        ours.extend([[1], [2], [3]], [0] * 3)


def test_without_vllm_the_message_says_what_to_run(monkeypatch):
    monkeypatch.setenv("CREDITBENCH_VLLM_PYTHON", "/nowhere/python")
    with pytest.raises(BadInput, match=r"sh requirements/vllm\.sh"):
        interpreter()


def test_without_vllm_nothing_is_left_behind(monkeypatch, tmp_path):
    """Every try would leave the folder of a socket, and a copy of the model, on the system's scratch disk."""
    monkeypatch.setenv("CREDITBENCH_VLLM_PYTHON", "/nowhere/python")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(BadInput, match="/nowhere/python not found"):
        VLLMServer(random_policy(), eos_ids=[1])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("program", "says", "message"),
    [("df", "x\nx 9 9 8000000 9 /", "less than 8 GB of free disk"), ("python", "", "is not Python 3.11 or 3.12")],
)
def test_where_it_cannot_be_installed_the_script_says_why_and_makes_nothing(tmp_path, program, says, message):
    """Programs of ours in front of the system's: a full disk, a Python that is too old."""
    fake = tmp_path / program
    fake.write_text(f"#!/bin/sh\nprintf '%s\\n' '{says}'\nexit {int(program == 'python')}\n")
    fake.chmod(0o755)
    told = {"CREDITBENCH_VLLM_VENV": str(tmp_path / "venv"), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    told["PYTHON"] = str(fake) if program == "python" else sys.executable
    script = Path(__file__).resolve().parents[2] / "requirements" / "vllm.sh"
    done = subprocess.run(
        ["sh", str(script)], env={**os.environ, **told}, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1 and message in done.stderr.strip().splitlines()[-1]
    assert not list((tmp_path / "venv").glob("*"))
