"""Compute declared signals for a rollout batch, in chunks of rows, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from creditbench.items import Hint
from creditbench.rollouts import RolloutBatch
from creditbench.signals.answer import input_gradient, perturbed_importance
from creditbench.signals.forward import (
    body,
    device_of,
    evaluation,
    head,
    kl_divergence,
    logp_and_entropy,
    pack,
    predictor_index,
    response_hidden,
    scatter,
    take,
    tile_logits,
    tile_size,
    tiles,
)
from creditbench.signals.requests import (
    Entropy,
    Hidden,
    InputGrad,
    Perturbed,
    Request,
    Signals,
    TeacherKL,
    TeacherLogp,
)


@dataclass(frozen=True)
class TeacherPass:
    """A named teacher, ready to run: its model (as a context manager), its prompts and the hints behind them."""

    model: Callable[[], AbstractContextManager[nn.Module]]
    prompts: tuple[tuple[int, ...] | None, ...]
    hints: tuple[Hint | None, ...]


@dataclass(frozen=True)
class PassOptions:
    """How passes are run: temperature of the policy, rows per forward, tokens per vocabulary tile, padding id."""

    temperature: float = 1.0
    micro_rows: int = 64
    tile: int = 4096
    pad_id: int = 0


def row_chunks(n_rows: int, size: int) -> list[list[int]]:
    """Row indices in chunks of `size`."""
    return [list(range(s.start, s.stop)) for s in tiles(n_rows, size)]


@torch.no_grad()
def policy_logp(model: nn.Module, batch: RolloutBatch, options: PassOptions) -> tuple[Tensor, Tensor]:
    """log pi(sampled token) and entropy under `model` at the student's prompts, both [B,T] and 0 off the mask."""
    logp, entropy = [], []
    for rows in row_chunks(batch.n_rows, options.micro_rows):
        part = batch.rows(rows)
        hidden_BTH = response_hidden(model, part.prompts, part.response_BT, part.length_B)
        logp_N, entropy_N = logp_and_entropy(
            head(model),
            hidden_BTH[part.mask_BT],
            part.response_BT[part.mask_BT],
            temperature=options.temperature,
            tile=options.tile,
        )
        logp.append(scatter(logp_N, part.mask_BT))
        entropy.append(scatter(entropy_N, part.mask_BT))
    return torch.cat(logp), torch.cat(entropy)


@torch.no_grad()
def teacher_signals(
    student: nn.Module, batch: RolloutBatch, run: TeacherPass, requests: Sequence[Request], options: PassOptions
) -> tuple[Tensor | None, dict[str, Tensor]]:
    """One teacher forward for all that is asked of that teacher: sampled log-probs [B,T] and KLs by direction [B,T]."""
    directions = sorted({r.direction for r in requests if isinstance(r, TeacherKL)})
    want_logp = any(isinstance(r, TeacherLogp) for r in requests)
    zeros_BT = torch.zeros(batch.response_BT.shape, device=batch.response_BT.device)
    logp_BT = zeros_BT if want_logp else None
    kl_BT = dict.fromkeys(directions, zeros_BT)
    active = [b for b, prompt in enumerate(run.prompts) if prompt is not None]
    for at in row_chunks(len(active), options.micro_rows):
        rows = [active[i] for i in at]
        part = batch.rows(rows)
        mask, prompts = part.mask_BT, [run.prompts[b] for b in rows]
        with run.model() as teacher:
            hidden_T = response_hidden(teacher, prompts, part.response_BT, part.length_B)[mask]  # pyright: ignore
            token_N = part.response_BT[mask]
            if want_logp:
                logp_N, _ = logp_and_entropy(
                    head(teacher), hidden_T, token_N, temperature=options.temperature, tile=options.tile
                )
                logp_BT = _put(logp_BT, rows, scatter(logp_N, mask))  # pyright: ignore[reportArgumentType]
            teacher_head = head(teacher)
        if directions:
            # Outside the context: with adapters a teacher may be the student's own module in another state; the
            # vocabulary head is never adapted, so the tiles may be projected here.
            hidden_S = response_hidden(student, part.prompts, part.response_BT, part.length_B)[mask]
            values = tiled_kl(teacher_head, hidden_T, head(student), hidden_S, directions, options)
            kl_BT = {d: _put(kl_BT[d], rows, scatter(values[d], mask)) for d in directions}
    return logp_BT, kl_BT


def _directed(teacher_NV: Tensor, student_NV: Tensor, direction: str) -> Tensor:
    if direction == "kl_teacher_student":
        return kl_divergence(teacher_NV, student_NV)
    return kl_divergence(student_NV, teacher_NV)


def tiled_kl(
    head_t: nn.Module, hidden_t: Tensor, head_s: nn.Module, hidden_s: Tensor, directions: Sequence[str],
    options: PassOptions,
) -> dict[str, Tensor]:  # fmt: skip
    """Full-vocabulary KLs of N tokens by direction [N], from hidden states [N,H], tile by tile."""
    values: dict[str, list[Tensor]] = {d: [] for d in directions}
    for s in tiles(hidden_t.shape[0], min(tile_size(head_t, options.tile), tile_size(head_s, options.tile))):
        teacher_NV = tile_logits(head_t, hidden_t[s], options.temperature)
        student_NV = tile_logits(head_s, hidden_s[s], options.temperature)
        for d in directions:
            values[d].append(_directed(teacher_NV, student_NV, d))
    return {d: torch.cat(v) if v else hidden_t.new_zeros(0) for d, v in values.items()}


def _put(target_BT: Tensor, rows: Sequence[int], values_RT: Tensor) -> Tensor:
    # A chunk without answers gives float32 zeros, which must not round what other chunks found.
    out_BT = target_BT.to(torch.promote_types(target_BT.dtype, values_RT.dtype)).clone()
    out_BT[list(rows)] = values_RT.to(out_BT)
    return out_BT


def compute_signals(
    student: nn.Module,
    batch: RolloutBatch,
    requests: Sequence[Request],
    teachers: Mapping[str, TeacherPass],
    options: PassOptions,
    adv_B: Tensor | None = None,
) -> Signals:
    """All declared signals of one rollout batch. `adv_B` lets outcome probes skip rows that carry no advantage."""
    logp_old_BT, entropy_BT = policy_logp(student, batch, options)
    logp_teacher, kl = {}, {}
    for name in teachers:
        asked = [r for r in requests if isinstance(r, TeacherLogp | TeacherKL) and r.teacher == name]
        if not asked:
            continue
        logp_BT, kl_BT = teacher_signals(student, batch, teachers[name], asked, options)
        if logp_BT is not None:
            logp_teacher[name] = logp_BT.to(logp_old_BT.dtype)
        kl.update({(direction, name): value.to(logp_old_BT.dtype) for direction, value in kl_BT.items()})
    found: dict[str, Tensor] = {}
    for request in requests:
        if isinstance(request, Perturbed):
            with evaluation(student):
                found["perturbed_BT"] = _probe(
                    batch, adv_B, request, lambda part, r: perturbed_importance(student, part, r, options.pad_id),
                    options,
                )  # fmt: skip
        elif isinstance(request, InputGrad):
            found["input_grad_BT"] = _probe(
                batch, adv_B, request, lambda part, r: input_gradient(student, part, r), options
            )
        elif isinstance(request, Hidden):
            found["hidden_BTH"] = response_states(student, batch, options)
    return Signals(
        logp_old_BT=logp_old_BT,
        entropy_BT=entropy_BT if any(isinstance(r, Entropy) for r in requests) else None,
        logp_teacher_BT=logp_teacher,
        kl_BT=kl,
        hints={name: run.hints for name, run in teachers.items()},
        has_context_B={
            name: torch.tensor([p is not None for p in run.prompts], device=batch.reward_B.device)
            for name, run in teachers.items()
        },
        context_tokens_B={
            name: torch.tensor(
                [len(p) - len(own) if p is not None else 0 for p, own in zip(run.prompts, batch.prompts, strict=True)],
                device=batch.reward_B.device,
            )
            for name, run in teachers.items()
        },
        **found,
    )


def _probe(batch: RolloutBatch, adv_B: Tensor | None, request, score, options: PassOptions) -> Tensor:
    """Run an outcome probe on the rows that need it, in chunks: caches and activations are kept per chunk."""
    rows = list(range(batch.n_rows))
    if request.skip_zero_advantage and adv_B is not None:
        rows = torch.nonzero(adv_B != 0).flatten().tolist()
    out_BT = torch.zeros(batch.response_BT.shape, device=batch.response_BT.device)
    for at in row_chunks(len(rows), options.micro_rows):
        chosen = [rows[i] for i in at]
        out_BT = _put(out_BT, chosen, score(batch.rows(chosen), request))
    return out_BT


@torch.no_grad()
def response_states(model: nn.Module, batch: RolloutBatch, options: PassOptions) -> Tensor:
    """Last-layer hidden state at each response token itself [B,T,H]."""
    parts = []
    for rows in row_chunks(batch.n_rows, options.micro_rows):
        part = batch.rows(rows)
        packed = pack(part.prompts, part.response_BT, part.length_B)
        hidden_BLH = body(model)(input_ids=packed.ids_BL.to(device_of(model)), use_cache=False).last_hidden_state
        parts.append(take(hidden_BLH, predictor_index(packed.start_B, part.response_BT.shape[1]) + 1).cpu())
    return torch.cat(parts)
