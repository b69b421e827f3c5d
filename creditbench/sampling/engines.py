"""Engines that decode token by token here: `raw` (own forward, no transformers) and `hf` (any transformers model)."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from creditbench.errors import BadInput
from creditbench.sampling.decode import Cache, CachedSession
from creditbench.sampling.qwen3 import Qwen3Cache, Qwen3Weights, read_folder, read_shape
from creditbench.sampling.types import Generation, Ids, SamplingParams, check_batch
from creditbench.sampling.weights import accelerator, plain_state

Model = Any  # a live module (with .config and .state_dict) or the path of a saved model


def stop_ids(model: Model, eos_ids: Collection[int] | None) -> frozenset[int]:
    """End-of-turn tokens: as given, else the generation config's, else the config's; `BadInput` when nothing says."""
    if eos_ids is not None:
        return frozenset(int(i) for i in eos_ids)
    found: Any = None
    if isinstance(model, (str, Path)):
        if not (Path(model) / "config.json").is_file():
            raise BadInput(f"{model}: expected a saved model, found no config.json")
        for name in ("generation_config.json", "config.json"):
            path = Path(model) / name
            if found is None and path.is_file():
                found = json.loads(path.read_text(encoding="utf-8")).get("eos_token_id")
    else:
        for config in (getattr(model, "generation_config", None), getattr(model, "config", None)):
            found = getattr(config, "eos_token_id", None) if found is None else found
    if found is None:
        raise BadInput("eos_ids: the model names no end token; pass eos_ids")
    return frozenset(found if isinstance(found, (list, tuple)) else [int(found)])


PROMPT_TOKENS = 32768
"""Most prompt tokens, padding counted, that one batch reads at once: long prompts would need memory without bound."""


def cuts(lengths: Sequence[int], batch_rows: int) -> list[range]:
    """Batches of at most `batch_rows` prompts in order, of at most PROMPT_TOKENS with padding (one row at least)."""
    found, start = [], 0
    while start < len(lengths):
        longest = max(lengths[start : start + batch_rows])
        rows = max(1, min(batch_rows, PROMPT_TOKENS // max(longest, 1), len(lengths) - start))
        found.append(range(start, start + rows))
        start += rows
    return found


class _CachedEngine:
    """What both engines share: batches of fixed size, one session each."""

    version = "1"

    def __init__(self, name: str, stops: frozenset[int], batch_rows: int):
        if batch_rows < 1:
            raise BadInput(f"batch_rows: expected at least 1, got {batch_rows}")
        self.name, self.batch_rows, self._stops = name, batch_rows, stops

    def _cache(self, rows: int, capacity: int) -> tuple[Cache, torch.device]:
        raise BadInput(f"engine {self.name} has no weights")  # pragma: no cover - both engines override this

    def session(self, rows: int, params: SamplingParams, capacity: int = 0) -> CachedSession:
        """See `Engine.session`."""
        cache, device = self._cache(rows, capacity)
        return CachedSession(cache, rows, params, self._stops, device)

    def generate(self, prompts: Sequence[Ids], seeds: Sequence[int], params: SamplingParams) -> list[Generation]:
        """See `Engine.generate`. Batches are cut by the list alone (`cuts`), so that a resumed list cuts alike."""
        check_batch(prompts, seeds)
        done: list[Generation] = []
        for rows in cuts([len(prompt) for prompt in prompts], self.batch_rows):
            part, keys = prompts[rows.start : rows.stop], seeds[rows.start : rows.stop]
            longest = max(map(len, part))
            session = self.session(len(part), params, longest + min(params.max_new_tokens, 1024))
            done.extend(g for g in session.finish(part, keys) if g is not None)
        return done


class RawEngine(_CachedEngine):
    """Own KV-cache sampler for Qwen3 weights: starts fast and has little overhead per token."""

    def __init__(self, model: Model, eos_ids: Collection[int] | None = None, batch_rows: int = 128):
        super().__init__("raw", stop_ids(model, eos_ids), batch_rows)
        if isinstance(model, (str, Path)):
            config, weights = read_folder(Path(model), accelerator())
            self._shape = read_shape(config, f"{model}/config.json")
        else:
            self._shape = read_shape(model.config.to_dict(), "model.config")
            weights = plain_state(model)
        self._weights = Qwen3Weights(self._shape, weights)

    def update_weights(self, weights: Any) -> None:
        """Pack the weights of a live module (adapters merged in) or a state dict; later changes need another call."""
        self._weights = Qwen3Weights(self._shape, plain_state(weights))

    def sleep(self) -> None:
        """Nothing to give back: what is packed is small, and caches live no longer than a call."""

    def wake(self) -> None:
        """Nothing to undo."""

    def _cache(self, rows: int, capacity: int) -> tuple[Cache, torch.device]:
        return Qwen3Cache(self._weights, rows, capacity), self._weights.device


class HFCache:
    """`decode.Cache` over a transformers model and its `past_key_values`."""

    def __init__(self, model: Any, rows: int):
        from transformers import DynamicCache

        self._model, self._past = model, DynamicCache(config=model.config)
        device = next(model.parameters()).device
        self._seen_BS = torch.zeros(rows, 0, dtype=torch.long, device=device)

    def append(self, ids_BW: Tensor, valid_BW: Tensor, holes: bool) -> Tensor:
        """See `decode.Cache.append`."""
        before_B = self._seen_BS.sum(-1)
        self._seen_BS = torch.cat([self._seen_BS, valid_BW.long().expand(ids_BW.shape)], dim=1)
        position_BW = before_B[:, None] + (valid_BW.long().cumsum(-1) - 1).clamp(min=0)
        out = self._model(
            input_ids=ids_BW,
            attention_mask=self._seen_BS,
            position_ids=position_BW,
            past_key_values=self._past,
            use_cache=True,
            logits_to_keep=1,
        )
        logits_BV = out.logits[:, -1]
        return logits_BV if logits_BV.dtype == torch.float64 else logits_BV.float()

    def select(self, rows: Sequence[int]) -> None:
        """See `decode.Cache.select`."""
        index = torch.tensor(list(rows), dtype=torch.long, device=self._seen_BS.device)
        self._past.batch_select_indices(index)
        self._seen_BS = self._seen_BS[index]


def one_dtype(saved: torch.dtype) -> list[torch.dtype]:
    """The dtype a saved model samples in, where it is not its own: bfloat16 on an accelerator, no less than float32 on
    a CPU. A base from the hub is saved in bfloat16 and what was trained from it in float32: they sample alike."""
    if accelerator().type != "cpu":
        return [torch.bfloat16]
    return [] if saved in (torch.float32, torch.float64) else [torch.float32]


class HFEngine(_CachedEngine):
    """Any causal model of transformers; same streams and filters as `raw`, so equal logits give equal tokens."""

    def __init__(self, model: Model, eos_ids: Collection[int] | None = None, batch_rows: int = 64):
        super().__init__("hf", stop_ids(model, eos_ids), batch_rows)
        if isinstance(model, (str, Path)):
            from transformers import AutoModelForCausalLM

            loaded: Any = AutoModelForCausalLM.from_pretrained(model, trust_remote_code=False)
            model = loaded.to(accelerator(), *one_dtype(loaded.dtype))
        self._model = model
        self._home = next(model.parameters()).device
        self.max_context: int | None = getattr(getattr(model, "config", None), "max_position_embeddings", None)

    def update_weights(self, weights: Any) -> None:
        """Sample from this module from now on (no copy), or load a state dict into the present one.

        A module that FSDP2 shards is loaded too: its processes would have to sample in step to be used itself.
        """
        if isinstance(weights, Mapping) or hasattr(getattr(weights, "module", weights), "sharded_body"):
            self._model.load_state_dict(plain_state(weights))
        else:
            self._model = weights

    def sleep(self) -> None:
        """Nothing to give back: the module belongs to its owner."""

    def wake(self) -> None:
        """Nothing to undo."""

    def _cache(self, rows: int, capacity: int) -> tuple[Cache, torch.device]:
        self._model.eval()
        return HFCache(self._model, rows), self._home
