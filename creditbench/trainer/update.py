"""One optimizer step on a rollout batch: loss of each micro-batch, accumulated over the whole optimizer batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from creditbench.method import Distill, Method
from creditbench.rollouts import RolloutBatch
from creditbench.settings import TrainSettings
from creditbench.signals import Signals
from creditbench.signals.compute import TeacherPass
from creditbench.signals.forward import (
    head,
    logp_and_entropy,
    response_hidden,
    scatter,
    tiled_divergence,
)
from creditbench.trainer.comm import Comm
from creditbench.trainer.fsdp import is_sharded
from creditbench.trainer.loss import Denominators, aggregate, policy_loss, reference_penalty


@dataclass(frozen=True)
class Work:
    """Everything the updates of one rollout batch need; all tensors detached.

    `live_BT` marks tokens that carry loss. `has_old` is False when the behaviour policy equals the current one on
    the only update, so that log pi_old is log pi itself and no extra pass was spent. `sampler_logp_BT` are the sampling
    engine's log-probs at temperature 1; `at_one_BT` the trainer's there, when the run's own temperature is another.
    """

    batch: RolloutBatch
    adv_B: Tensor
    credit_BT: Tensor
    live_BT: Tensor
    signals: Signals
    has_old: bool
    teachers: Mapping[str, TeacherPass] = field(default_factory=dict)
    sampler_logp_BT: Tensor | None = None
    at_one_BT: Tensor | None = None


@dataclass
class Tally:
    """Sums over tokens for the curve."""

    tokens: float = 0.0
    clipped: float = 0.0
    kl: float = 0.0
    entropy: float = 0.0
    loss: float = 0.0
    distill: float = 0.0
    trained_tokens: int = 0
    gap_abs: float = 0.0
    gap_max: float = 0.0
    gap_kl: float = 0.0

    def of_all(self, comm: Comm) -> Tally:
        """The sums of all processes (of a maximum, this process's own: rows of the curve take the extreme)."""
        own = {k: v for k, v in vars(self).items() if k != "gap_max"}
        return Tally(**comm.sum_counts(own), gap_max=self.gap_max)  # pyright: ignore[reportArgumentType]


def denominators(work: Work, rows: Sequence[int], s: TrainSettings, comm: Comm) -> Denominators:
    """Counts over the whole optimizer batch, all processes."""
    tokens = comm.sum(float(work.live_BT[list(rows)].sum()))
    return Denominators(tokens, comm.sum(float(len(rows))), work.batch.max_response)


def distill_mask(work: Work, distill: Distill) -> Tensor:
    """Tokens of slot 6: live ones of rows whose teacher has a context [B,T]."""
    return work.live_BT & work.signals.has_context_B[distill.teacher][:, None]


def micro_loss(
    model: nn.Module, method: Method, work: Work, rows: list[int], of: Denominators, of_distill: Denominators,
    s: TrainSettings, tally: Tally,
) -> Tensor:  # fmt: skip
    """This micro-batch's share of the optimizer batch's loss (scalar with gradient)."""
    batch = work.batch.rows(rows)
    live_RT = work.live_BT[rows]
    taught = None
    if method.distill is not None:
        # Before the student's own pass: with adapters a teacher's weights are swapped into the same module, and
        # a graph that is alive meanwhile would find its tensors changed.
        taught = teacher_states(method.distill, work, rows)
    hidden_RTH = response_hidden(model, batch.prompts, batch.response_BT, batch.length_B)
    token_N = batch.response_BT[live_RT]
    logp_N, entropy_N = logp_and_entropy(
        head(model), hidden_RTH[live_RT], token_N, temperature=s.temperature, tile=s.logits_tile
    )
    logp_RT = scatter(logp_N, live_RT)
    old_RT = work.signals.logp_old_BT[rows].to(logp_RT.dtype) if work.has_old else logp_RT.detach()
    credit_RT = work.credit_BT[rows].to(logp_RT.dtype)
    loss_RT, clipped_RT = policy_loss(logp_RT, old_RT, credit_RT, live_RT, method.surrogate)
    if method.surrogate.kl != "none":
        ref_RT = work.signals.logp_teacher_BT[method.surrogate.kl_teacher][rows].to(logp_RT.dtype)
        loss_RT = loss_RT + method.surrogate.kl_coef * reference_penalty(logp_RT, ref_RT, method.surrogate.kl)
    total = aggregate(loss_RT, live_RT, method.aggregate, of)
    tally.loss += float(total.detach())
    if method.distill is not None:
        extra = _distill_loss(model, method.distill, work, rows, taught, hidden_RTH, logp_RT, old_RT, of_distill, s)
        tally.distill += float(extra.detach())
        total = total + extra
    n = int(live_RT.sum())
    tally.tokens += n
    tally.trained_tokens += n
    tally.clipped += float(clipped_RT.sum())
    with torch.no_grad():
        d_RT = (old_RT - logp_RT) * live_RT
        tally.kl += float((d_RT.exp() - d_RT - 1).sum())
        tally.entropy += float(entropy_N.sum())
        if work.sampler_logp_BT is not None:
            own_RT = old_RT if work.at_one_BT is None else work.at_one_BT[rows]
            count_mismatch(tally, own_RT[live_RT], work.sampler_logp_BT[rows][live_RT])
    return total


def count_mismatch(tally: Tally, trainer_N: Tensor, sampler_N: Tensor) -> None:
    """Add |difference|, its maximum and the estimate of KL(sampler || trainer) on sampled tokens: r - 1 - log r."""
    if trainer_N.numel() == 0:
        return
    gap_N = trainer_N.double() - sampler_N.to(trainer_N.device)
    tally.gap_abs += float(gap_N.abs().sum())
    tally.gap_max = max(tally.gap_max, float(gap_N.abs().max()))
    tally.gap_kl += float((gap_N.exp() - 1 - gap_N).sum())


def teacher_states(distill: Distill, work: Work, rows: list[int]) -> tuple[Tensor, nn.Module] | None:
    """The teacher's states at the tokens of slot 6 [N,H] and its vocabulary head; None when nothing is distilled."""
    mask_RT = distill_mask(work, distill)[rows]
    if distill.coef(work.batch.step, work.batch.total_steps) == 0 or not bool(mask_RT.any()):
        return None
    run = work.teachers[distill.teacher]
    active = [i for i in range(len(rows)) if bool(mask_RT[i].any())]
    part = work.batch.rows([rows[i] for i in active])
    with torch.no_grad(), run.model() as teacher:
        prompts = [run.prompts[rows[i]] or () for i in active]
        states_ATH = response_hidden(teacher, prompts, part.response_BT, part.length_B)
        return states_ATH[mask_RT[active]], head(teacher)


def _distill_loss(
    model: nn.Module, distill: Distill, work: Work, rows: list[int], taught: tuple[Tensor, nn.Module] | None,
    hidden_RTH: Tensor, logp_RT: Tensor, old_RT: Tensor, of: Denominators, s: TrainSettings,
) -> Tensor:  # fmt: skip
    if taught is None:
        # Through the head: of a sharded model every process must have a gradient of every weight.
        return logp_RT.sum() * 0
    teacher_NH, teacher_head = taught
    mask_RT = distill_mask(work, distill)[rows]
    now = work.batch.step, work.batch.total_steps
    coef = distill.coef(*now)
    divergence = distill.divergence if distill.divergence_at is None else distill.divergence_at(*now)
    t_student = distill.temperature
    t_teacher = distill.teacher_temperature or t_student

    loss_N = tiled_divergence(
        head(model), hidden_RTH[mask_RT], teacher_head, teacher_NH, divergence, t_student, t_teacher, s.logits_tile
    )
    loss_RT = scatter(loss_N, mask_RT)
    if distill.weight is not None:
        loss_RT = loss_RT * distill.weight(work.adv_B, work.batch, work.signals)[rows].to(loss_RT.dtype)
    if distill.ratio_cap is not None:
        ratio_RT = (logp_RT.detach() - old_RT).clamp(-20, 20).exp().clamp(max=distill.ratio_cap)
        loss_RT = loss_RT * ratio_RT
    return coef * aggregate(loss_RT, mask_RT, distill.aggregate, of)


def optimizer_step(
    model: nn.Module, method: Method, work: Work, micros: list[list[int]], s: TrainSettings, comm: Comm, tally: Tally,
    cast: AbstractContextManager | None = None,
) -> None:  # fmt: skip
    """Accumulate the gradient of one optimizer batch into the model's `.grad` (summed over processes)."""
    rows = [r for micro in micros for r in micro]
    of = denominators(work, rows, s, comm)
    of_distill = of
    if method.distill is not None:
        mask_BT = distill_mask(work, method.distill)[rows]
        with_loss = float(mask_BT.any(-1).sum())
        of_distill = Denominators(comm.sum(float(mask_BT.sum())), comm.sum(with_loss), of.max_response)
    # Passes of a sharded model are made in step: who has fewer micro-batches makes up the number without effect.
    idle = comm.largest(len(micros)) - len(micros) if is_sharded(model) else 0
    for micro in micros:
        with cast or nullcontext():
            loss = micro_loss(model, method, work, micro, of, of_distill, s, tally)
        loss.backward()
    for _ in range(idle):
        with cast or nullcontext():
            loss = micro_loss(model, method, work, [0], of, of_distill, s, Tally())
        (0 * loss).backward()
    comm.sum_gradients(model)
