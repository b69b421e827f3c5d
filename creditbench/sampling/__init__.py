"""One sampling interface, three engines: `raw`, `hf`, `vllm`.

`open_engine` gives an `Engine`; `rollout` runs single-turn or multi-turn episodes on one.
"""

from __future__ import annotations

from typing import Any

from creditbench.errors import unknown
from creditbench.sampling.rollout import EnvStart, Episode, rollout
from creditbench.sampling.types import Engine, Generation, SamplingParams, Session

ENGINES = ("raw", "hf", "vllm")

__all__ = [
    "ENGINES",
    "Engine",
    "EnvStart",
    "Episode",
    "Generation",
    "SamplingParams",
    "Session",
    "close_engine",
    "open_engine",
    "rollout",
]


def open_engine(kind: str, model: Any, **options: Any) -> Engine:
    """Open an engine on a live model or the path of a saved one.

    kind: `raw` (Qwen3 architecture), `hf` (any transformers model) or `vllm`. Options common to raw and hf:
    `eos_ids` (default: the model's own) and `batch_rows`. A live module's weights are read at opening and at every
    `update_weights`. Raises BadInput for an unknown kind and for a model the engine cannot run.
    """
    if kind == "raw":
        from creditbench.sampling.engines import RawEngine

        return RawEngine(model, **options)
    if kind == "hf":
        from creditbench.sampling.engines import HFEngine

        return HFEngine(model, **options)
    if kind == "vllm":
        from creditbench.sampling.vllm import open_vllm

        return open_vllm(model, **options)
    raise unknown("engine", kind, ENGINES)


def close_engine(engine: Engine) -> None:
    """End what an engine started or holds: a server's processes, an accelerator's memory. Most hold nothing."""
    end = getattr(engine, "close", None)
    if end is not None:
        end()
