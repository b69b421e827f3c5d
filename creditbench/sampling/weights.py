"""The weights of a live model as any engine can take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def accelerator() -> torch.device:
    """Where models read from files go: this process's accelerator where it sees one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def full(x: Tensor) -> Tensor:
    """The whole of a tensor that FSDP2 shards over processes (all of them must ask); others as they are, detached."""
    whole: Any = getattr(x, "full_tensor", None)
    return (whole() if whole is not None else x).detach()


def plain_state(weights: Any) -> dict[str, Tensor]:
    """State dict in the causal LM's own names: unwrapped, unsharded, LoRA adapters merged in, the head included.

    weights: a module (DDP, FSDP2 and PEFT wrappers allowed) or a state dict, which is taken as it is. The head is
    listed even when it is tied to the embeddings: an engine that keeps a copy of its own would stay on the old one.
    The module is not changed: adapters are added to copies, since merging and unmerging in place would round.
    """
    if isinstance(weights, Mapping):
        return {name: full(value) for name, value in weights.items()}
    inner = getattr(weights, "module", weights)
    if not hasattr(inner, "peft_config"):
        return {name: full(value) for name, value in inner.state_dict().items()}
    base = inner.get_base_model()
    state = {
        name.replace(".base_layer.", "."): full(value)
        for name, value in base.state_dict().items()
        if ".lora_" not in name
    }
    with torch.no_grad():
        for name, module in base.named_modules():
            delta_of: Any = getattr(module, "get_delta_weight", None)
            if delta_of is not None:
                for adapter in module.active_adapters:
                    delta = full(delta_of(adapter))
                    state[f"{name}.weight"] = state[f"{name}.weight"] + delta.to(state[f"{name}.weight"].dtype)
    return state
