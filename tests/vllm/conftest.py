"""A small random model with tied embeddings, and a vLLM engine of either form on it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FORMS = ("inside", "server")
LONGEST = 256


def random_policy(seed: int = 0, tied: bool = True, vocabulary: int = 64) -> Any:
    """A two-layer Qwen3; distributions are far from uniform, so that other weights give other tokens."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=vocabulary, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32, max_position_embeddings=LONGEST, tie_word_embeddings=tied,
        initializer_range=0.2, pad_token_id=0, eos_token_id=1,
    )  # fmt: skip
    torch.manual_seed(seed)
    return Qwen3ForCausalLM(config).eval()


def moved(model: Any, size: float = 0.05, seed: int = 1) -> Any:
    """A copy with every weight changed: a policy after some updates."""
    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return other


@torch.no_grad()
def logps_of(model: Any, prompt: list[int], ids: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities of a completion by one plain forward pass."""
    logits = model(input_ids=torch.tensor([[*prompt, *ids]])).logits[0, len(prompt) - 1 : -1]
    return logits.float().log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0]


@pytest.fixture(scope="session")
def policy() -> Any:
    return random_policy()


@pytest.fixture(scope="session")
def saved_policy(policy: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("policy")
    policy.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def needs_server() -> None:
    """Skips where no environment has vLLM."""
    from creditbench.errors import BadInput
    from creditbench.sampling.vllm import interpreter

    try:
        interpreter()
    except BadInput as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session", params=FORMS)
def engine(request: pytest.FixtureRequest, saved_policy: Path) -> Iterator[Any]:
    """vLLM in this process, then as a server; skipped where this environment has no vLLM."""
    from creditbench.sampling import close_engine, vllm

    options = {"max_model_len": LONGEST, "batch_rows": 64, "dtype": "float32"}
    if request.param == "inside":
        if not vllm.importable():
            pytest.skip("vllm is not installed in this environment; run `sh requirements/vllm.sh`")
        opened = vllm.VLLMEngine(saved_policy, **options)
    else:
        request.getfixturevalue("needs_server")
        from creditbench.sampling.vllm_server import VLLMServer

        opened = VLLMServer(saved_policy, **options)
    yield opened
    close_engine(opened)
