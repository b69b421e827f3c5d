"""Qwen3 forward with a KV cache, straight from weights, without importing transformers.

Reads a live module's state dict, or `config.json` + `model.safetensors` from a folder. Same arithmetic as the
Hugging Face model (RMSNorm, per-head q/k norm, rotary positions, grouped queries, SwiGLU), fewer operations per token.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from creditbench.errors import BadInput


@dataclass(frozen=True)
class Qwen3Shape:
    """The numbers of a Qwen3 `config.json` that the forward needs."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    eps: float
    rope_theta: float
    tied: bool


def read_shape(config: Mapping[str, Any], where: str = "config.json") -> Qwen3Shape:
    """Read the shape from a config; `BadInput` names what this forward does not do (use `engine: hf` for it)."""

    def refuse(field: str, expected: str, got: Any) -> BadInput:
        return BadInput(f"{where}: field {field}: engine raw needs {expected}, got {got!r}; engine hf runs any model")

    if config.get("model_type") != "qwen3":
        raise refuse("model_type", "'qwen3'", config.get("model_type"))
    rope = dict(config.get("rope_parameters") or config.get("rope_scaling") or {})
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise refuse("rope_parameters", "rope_type 'default'", kind)
    if config.get("use_sliding_window"):
        raise refuse("use_sliding_window", "false", True)
    if config.get("attention_bias"):
        raise refuse("attention_bias", "false", True)
    if config.get("hidden_act", "silu") != "silu":
        raise refuse("hidden_act", "'silu'", config.get("hidden_act"))
    heads = config["num_attention_heads"]
    return Qwen3Shape(
        hidden=config["hidden_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_dim=config.get("head_dim") or config["hidden_size"] // heads,
        vocab=config["vocab_size"],
        eps=config["rms_norm_eps"],
        rope_theta=float(rope.get("rope_theta") or config.get("rope_theta") or 1e4),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def read_folder(folder: Path, device: torch.device) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read `config.json` and every safetensors shard of a saved model, the weights onto `device`."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    shards = sorted(folder.glob("*.safetensors"))
    if not shards:
        raise BadInput(f"{folder}: expected model.safetensors, found none")
    weights: dict[str, Tensor] = {}
    for shard in shards:
        weights.update(load_file(str(shard), device=str(device)))
    return config, weights


@dataclass(frozen=True)
class _Layer:
    norm_H: Tensor
    qkv: Tensor
    q_norm_D: Tensor
    k_norm_D: Tensor
    o: Tensor
    mlp_norm_H: Tensor
    gate_up: Tensor
    down: Tensor


class Qwen3Weights:
    """Weights packed for decoding: q, k, v in one matrix, gate and up in one matrix."""

    def __init__(self, shape: Qwen3Shape, weights: Mapping[str, Tensor]):
        self.shape = shape
        w = {name.removeprefix("model."): tensor.detach() for name, tensor in weights.items()}
        try:
            self.embed_VH = w["embed_tokens.weight"]
            self.head_VH = self.embed_VH if shape.tied else w["lm_head.weight"]
            self.norm_H = w["norm.weight"]
            self.layers = [self._layer(w, f"layers.{i}.") for i in range(shape.layers)]
        except KeyError as error:
            raise BadInput(f"weights: {error.args[0]!r} is missing; engine raw needs a plain Qwen3 model") from None
        if len(w) - ("lm_head.weight" in w) != 2 + 11 * shape.layers:
            extra = sorted(n for n in w if "lora" in n or "bias" in n)[:1] or sorted(w)[-1:]
            raise BadInput(f"weights: unexpected tensor {extra[0]!r}; engine raw needs a plain Qwen3 model")
        self.dtype, self.device = self.embed_VH.dtype, self.embed_VH.device
        exponent = torch.arange(0, shape.head_dim, 2, dtype=torch.float32, device=self.device) / shape.head_dim
        self._inv_freq = 1.0 / shape.rope_theta**exponent
        self._cos_PD, self._sin_PD = self._rotary(256)

    def _layer(self, w: Mapping[str, Tensor], p: str) -> _Layer:
        a, m = p + "self_attn.", p + "mlp."
        return _Layer(
            w[p + "input_layernorm.weight"],
            torch.cat([w[a + "q_proj.weight"], w[a + "k_proj.weight"], w[a + "v_proj.weight"]]),
            w[a + "q_norm.weight"],
            w[a + "k_norm.weight"],
            w[a + "o_proj.weight"],
            w[p + "post_attention_layernorm.weight"],
            torch.cat([w[m + "gate_proj.weight"], w[m + "up_proj.weight"]]),
            w[m + "down_proj.weight"],
        )

    def _rotary(self, positions: int) -> tuple[Tensor, Tensor]:
        angle_PD = torch.outer(torch.arange(positions, dtype=torch.float32, device=self.device), self._inv_freq)
        angle_PD = torch.cat([angle_PD, angle_PD], dim=-1)
        # The sign of the rotated half lives in the sine, so that rotating is a roll by half a head.
        half = self.shape.head_dim // 2
        sign_D = torch.cat([-torch.ones(half), torch.ones(half)]).to(self.device)
        return angle_PD.cos().to(self.dtype), (angle_PD.sin() * sign_D).to(self.dtype)

    def rotary(self, highest: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines (P, D) for at least positions 0..highest."""
        if highest >= len(self._cos_PD):
            self._cos_PD, self._sin_PD = self._rotary(2 * highest + 1)
        return self._cos_PD, self._sin_PD


def _rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    if x.dtype in (torch.float32, torch.float64):
        return F.rms_norm(x, (x.shape[-1],), weight, eps)
    return weight * F.rms_norm(x.float(), (x.shape[-1],), None, eps).to(x.dtype)


class Qwen3Cache:
    """KV cache of B rows over the packed weights (implements `decode.Cache`)."""

    def __init__(self, weights: Qwen3Weights, rows: int, capacity: int):
        self._w, self._length, self._highest = weights, 0, -1
        self._capacity = max(16, capacity)
        shape = weights.shape
        size = (rows, shape.kv_heads, self._capacity, shape.head_dim)
        new = {"dtype": weights.dtype, "device": weights.device}
        self._keys = [torch.zeros(size, **new) for _ in range(shape.layers)]
        self._values = [torch.zeros(size, **new) for _ in range(shape.layers)]
        self._bias_BS = torch.zeros(rows, self._capacity, **new)  # 0 where seen, -inf at holes
        self._next_B = torch.zeros(rows, dtype=torch.long, device=weights.device)  # next position of each row
        self._any_hole = False

    def select(self, rows: Sequence[int]) -> None:
        """See `decode.Cache.select`."""
        index = torch.tensor(list(rows), dtype=torch.long, device=self._w.device)
        self._keys = [k[index] for k in self._keys]
        self._values = [v[index] for v in self._values]
        self._bias_BS, self._next_B = self._bias_BS[index], self._next_B[index]

    def _grow(self, needed: int) -> None:
        if needed <= self._capacity:
            return
        more = max(needed, 2 * self._capacity) - self._capacity
        self._keys = [F.pad(k, (0, 0, 0, more)) for k in self._keys]
        self._values = [F.pad(v, (0, 0, 0, more)) for v in self._values]
        self._bias_BS = F.pad(self._bias_BS, (0, more))
        self._capacity += more

    def append(self, ids_BW: Tensor, valid_BW: Tensor, holes: bool) -> Tensor:
        """See `decode.Cache.append`."""
        w, s = self._w, self._w.shape
        B, W = ids_BW.shape
        start, end = self._length, self._length + W
        self._grow(end)
        if holes:
            self._any_hole = True
            self._bias_BS[:, start:end].masked_fill_(~valid_BW, float("-inf"))
            position_BW = self._next_B[:, None] + (valid_BW.cumsum(-1) - 1).clamp_(min=0)
            self._next_B = self._next_B + valid_BW.sum(-1)
        else:
            position_BW = self._next_B[:, None] + torch.arange(W, device=w.device)
            self._next_B = self._next_B + W
        self._highest = self._highest + W
        cos, sin = w.rotary(self._highest)
        cos_BWD, sin_BWD = cos[position_BW][:, :, None], sin[position_BW][:, :, None]
        bias = self._bias(B, W, start, end, valid_BW, holes)
        self._length = end
        x_BWH = F.embedding(ids_BW, w.embed_VH)
        n_qk, width, half = s.heads + s.kv_heads, s.heads * s.head_dim, s.head_dim // 2
        for layer, keys, values in zip(w.layers, self._keys, self._values, strict=True):
            qkv = F.linear(_rms(x_BWH, layer.norm_H, s.eps), layer.qkv).view(B, W, -1, s.head_dim)
            q = _rms(qkv[:, :, : s.heads], layer.q_norm_D, s.eps)
            k = _rms(qkv[:, :, s.heads : n_qk], layer.k_norm_D, s.eps)
            qk = torch.cat([q, k], dim=2)
            qk = qk * cos_BWD + qk.roll(half, -1) * sin_BWD
            keys[:, :, start:end] = qk[:, :, s.heads :].transpose(1, 2)
            values[:, :, start:end] = qkv[:, :, n_qk:].transpose(1, 2)
            q = qk[:, :, : s.heads].transpose(1, 2).reshape(B, s.kv_heads, -1, s.head_dim)
            attended = _attend(q, keys[:, :, :end], values[:, :, :end], bias, s.head_dim**-0.5)
            attended = attended.view(B, s.heads, W, s.head_dim).transpose(1, 2).reshape(B, W, width)
            x_BWH = x_BWH + F.linear(attended, layer.o)
            gate, up = F.linear(_rms(x_BWH, layer.mlp_norm_H, s.eps), layer.gate_up).chunk(2, dim=-1)
            x_BWH = x_BWH + F.linear(F.silu(gate) * up, layer.down)
        logits_BV = F.linear(_rms(x_BWH[:, -1], w.norm_H, s.eps), w.head_VH)
        return logits_BV if logits_BV.dtype == torch.float64 else logits_BV.float()

    def _bias(self, B: int, W: int, start: int, end: int, valid_BW: Tensor, holes: bool) -> Tensor | None:
        """Additive mask (B, 1, G*W or 1, end) or None; a hole sees itself, so that no row of scores is all -inf."""
        if W == 1 and not self._any_hole:
            return None
        bias = self._bias_BS[:, None, :end]
        if W > 1:
            ahead = torch.ones(W, W, dtype=torch.bool, device=bias.device).triu(1)
            bias = bias.repeat(1, W, 1)
            bias[:, :, start:].masked_fill_(ahead, float("-inf"))
        if holes:
            own = F.pad(torch.diag_embed(~valid_BW), (start, 0))
            bias = bias.masked_fill(own, 0.0)
        groups = self._w.shape.heads // self._w.shape.kv_heads
        return bias[:, None] if W == 1 else bias[:, None].repeat(1, 1, groups, 1)


def _attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    """Attention of (B, Hkv, G*W, D) queries; plain products beat the fused kernel when there are few queries."""
    if q.shape[2] > 8:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=scale)
    score = torch.matmul(q * scale, k.transpose(-1, -2))
    if bias is not None:
        score = score + bias
    return torch.matmul(score.softmax(-1), v)
