"""Forward passes over prompt + response rows, and vocabulary projections in tiles.

Rows are packed without holes and padded on the right: with causal attention no mask is needed and no real token
ever sees padding, so values do not depend on what a row is batched with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


@dataclass(frozen=True)
class Packed:
    """Rows of prompt + response: `ids_BL` padded on the right, `start_B` the prompt lengths."""

    ids_BL: Tensor
    start_B: Tensor


def pack(prompts: Sequence[Sequence[int]], response_BT: Tensor, length_B: Tensor, pad: int = 0) -> Packed:
    """Join each prompt with the real tokens of its response. Shapes: response [B,T], lengths [B]."""
    device = response_BT.device
    lengths = length_B.tolist()
    total = max((len(p) + n for p, n in zip(prompts, lengths, strict=True)), default=0)
    ids_BL = torch.full((len(prompts), total), pad, dtype=torch.long, device=device)
    for b, (prompt, n) in enumerate(zip(prompts, lengths, strict=True)):
        ids_BL[b, : len(prompt)] = torch.tensor(prompt, dtype=torch.long, device=device)
        ids_BL[b, len(prompt) : len(prompt) + n] = response_BT[b, :n]
    return Packed(ids_BL, torch.tensor([len(p) for p in prompts], dtype=torch.long, device=device))


def unwrap(model: nn.Module) -> nn.Module:
    """The causal LM inside DDP or PEFT wrappers (adapters stay in place)."""
    inner = getattr(model, "module", model)
    get_base = getattr(inner, "get_base_model", None)
    return get_base() if callable(get_base) else inner  # pyright: ignore[reportReturnType]


def body(model: nn.Module) -> nn.Module:
    """The decoder without its vocabulary head (of a sharded model: what gathers the weights before it is called)."""
    inner = unwrap(model)
    return getattr(inner, "sharded_body", None) or inner.model  # pyright: ignore[reportReturnType]


def head(model: nn.Module) -> nn.Module:
    """The vocabulary projection."""
    return unwrap(model).lm_head  # pyright: ignore[reportReturnType]


def predictor_index(start_B: Tensor, n_tokens: int) -> Tensor:
    """Column of the position that predicts response token t of row b [B,T]; past the end it is clamped by callers."""
    return start_B[:, None] - 1 + torch.arange(n_tokens, device=start_B.device)[None, :]


def take(hidden_BLH: Tensor, index_BT: Tensor) -> Tensor:
    """hidden at the given columns [B,T,H]; columns past the end read the last one (their tokens are masked)."""
    index_BT = index_BT.clamp(max=hidden_BLH.shape[1] - 1).to(hidden_BLH.device)
    return hidden_BLH.gather(1, index_BT[:, :, None].expand(-1, -1, hidden_BLH.shape[2]))


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """The model in evaluation mode while the block runs: gradient checkpointing allows no cache while it trains."""
    before = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(before)


def device_of(model: nn.Module) -> torch.device:
    """Where the model computes. Batches and statistics stay on the CPU; only passes run there."""
    return next(model.parameters()).device


def response_hidden(
    model: nn.Module, prompts: Sequence[Sequence[int]], response_BT: Tensor, length_B: Tensor
) -> Tensor:
    """Last hidden state at the position that predicts each response token [B,T,H]."""
    packed = pack(prompts, response_BT, length_B)
    hidden_BLH = body(model)(input_ids=packed.ids_BL.to(device_of(model)), use_cache=False).last_hidden_state
    return take(hidden_BLH, predictor_index(packed.start_B, response_BT.shape[1]))


def upcast(logits: Tensor) -> Tensor:
    """Log-probabilities are taken in float32 at least."""
    return logits if logits.dtype in (torch.float32, torch.float64) else logits.float()


def tile_logits(lm_head: nn.Module, hidden_NH: Tensor, temperature: float) -> Tensor:
    """Logits of a tile of tokens [N,V], divided by the sampling temperature."""
    logits_NV = upcast(lm_head(hidden_NH))
    return logits_NV if temperature == 1.0 else logits_NV / temperature


def _logp_entropy(lm_head: nn.Module, hidden_NH: Tensor, token_N: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logp_NV = torch.log_softmax(tile_logits(lm_head, hidden_NH, temperature), dim=-1)
    logp_N = logp_NV.gather(-1, token_N[:, None])[:, 0]
    with torch.no_grad():
        entropy_N = -(logp_NV.exp() * logp_NV).sum(-1)
    return logp_N, entropy_N


def tiles(n: int, tile: int) -> Iterator[slice]:
    """Slices that cover 0..n in steps of `tile`."""
    for start in range(0, n, tile):
        yield slice(start, min(start + tile, n))


TILE_ELEMENTS = 2**24
"""Logits in one tile at most: 64 MiB in float32. A tile of 4096 tokens would be the whole batch of a real model."""


def tile_size(lm_head: nn.Module, tile: int) -> int:
    """Tokens per tile: `tile`, or fewer where the vocabulary is large."""
    return max(1, min(tile, TILE_ELEMENTS // lm_head.weight.shape[0]))  # pyright: ignore


def logp_and_entropy(
    lm_head: nn.Module, hidden_NH: Tensor, token_N: Tensor, *, temperature: float = 1.0, tile: int = 4096
) -> tuple[Tensor, Tensor]:
    """Log-probability of `token_N` and the (detached) entropy at each of N tokens, tile by tile.

    At most one [tile, V] block of logits is alive; when gradients flow each tile is recomputed in backward.
    """
    n, token_N = hidden_NH.shape[0], token_N.to(hidden_NH.device)
    tile = tile_size(lm_head, tile)
    if n <= tile:
        return _logp_entropy(lm_head, hidden_NH, token_N, temperature)
    parts = []
    for s in tiles(n, tile):
        if torch.is_grad_enabled():
            part = checkpoint(_logp_entropy, lm_head, hidden_NH[s], token_N[s], temperature, use_reentrant=False)
        else:
            part = _logp_entropy(lm_head, hidden_NH[s], token_N[s], temperature)
        parts.append(part)
    return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])


def tiled_divergence(
    student_head: nn.Module, student_NH: Tensor, teacher_head: nn.Module, teacher_NH: Tensor,
    divergence: Callable[[Tensor, Tensor], Tensor], t_student: float = 1.0, t_teacher: float = 1.0, tile: int = 4096,
) -> Tensor:  # fmt: skip
    """`divergence(student logits, teacher logits)` of N tokens [N], with gradient through the student's alone.

    At most one tile of logits per side is alive; each tile is recomputed in backward.
    """

    def tile_loss(student_MH: Tensor, teacher_MH: Tensor) -> Tensor:
        with torch.no_grad():
            teacher_MV = tile_logits(teacher_head, teacher_MH, t_teacher)
        return divergence(tile_logits(student_head, student_MH, t_student), teacher_MV)

    n, tile = student_NH.shape[0], tile_size(student_head, tile)
    if n <= tile:
        return tile_loss(student_NH, teacher_NH)
    parts = [checkpoint(tile_loss, student_NH[t], teacher_NH[t], use_reentrant=False) for t in tiles(n, tile)]
    return torch.cat(parts)  # pyright: ignore[reportArgumentType]


def scatter(values_N: Tensor, mask_BT: Tensor) -> Tensor:
    """Put values of the masked tokens back into [B,T] on the mask's device; 0 elsewhere."""
    out_BT = torch.zeros(mask_BT.shape, dtype=values_N.dtype, device=mask_BT.device)
    out_BT[mask_BT] = values_N.to(mask_BT.device)
    return out_BT


def kl_divergence(p_logits_NV: Tensor, q_logits_NV: Tensor) -> Tensor:
    """KL(p || q) over the full vocabulary [N], tiny negative rounding clamped to 0."""
    log_p, log_q = torch.log_softmax(p_logits_NV, -1), torch.log_softmax(q_logits_NV, -1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp(min=0)
