"""The training loop. It reads a method's six slots in order and never asks which method it runs.

rollout -> select -> advantage -> signals -> credit -> updates (surrogate, aggregate, distill) -> teachers
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from creditbench.errors import BadInput, CheckFailed
from creditbench.method import Distill, Method
from creditbench.placebos import Seams
from creditbench.rollouts import RolloutBatch
from creditbench.sampling.types import Engine
from creditbench.sampling.weights import full
from creditbench.settings import TrainSettings
from creditbench.signals import InputGrad, NoSignals, Perturbed, TeacherKL, TeacherLogp
from creditbench.signals.compute import PassOptions, TeacherPass, compute_signals, policy_logp
from creditbench.trainer.collect import Collected, Sampled, Source, collect, optimizer_batches, without_failed
from creditbench.trainer.comm import Comm
from creditbench.trainer.curve import batch_row
from creditbench.trainer.fsdp import gathered
from creditbench.trainer.teachers import TeacherPool, passes
from creditbench.trainer.trace import entry
from creditbench.trainer.update import Tally, Work, distill_mask, optimizer_step

WALL = "wall"
"""The phase that holds all others: the time of whole steps."""


@dataclass
class Ledger:
    """Counted costs of a run (deterministic) and seconds per phase (not)."""

    prompt_tokens: int = 0
    generated_tokens: int = 0
    env_tokens: int = 0
    trained_tokens: int = 0
    forward_tokens: int = 0
    extra_forwards: int = 0
    backward_tokens: int = 0
    rollout_batches: int = 0
    optimizer_steps: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def counts(self) -> dict[str, float]:
        """What every process counts of its own share."""
        return {k: v for k, v in vars(self).items() if k.endswith("_tokens") or k == "extra_forwards"}

    def add_others(self, before: dict[str, float], comm: Comm) -> None:
        """Make what was counted since `before` the count of all processes."""
        here = {k: v - before[k] for k, v in self.counts().items()}
        for k, total in comm.sum_counts(here).items():
            setattr(self, k, int(before[k] + total))

    @contextmanager
    def phase(self, name: str):
        """Add the block's wall time to phase `name`."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclass
class State:
    """All that changes while a run goes on."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    pool: TeacherPool
    engine: Engine
    step: int = 0
    optimizer_step: int = 0
    ledger: Ledger = field(default_factory=Ledger)


@dataclass(frozen=True)
class Setup:
    """All that stays: source of rollouts, method, settings, placebo, processes."""

    source: Source
    method: Method
    settings: TrainSettings
    seams: Seams = Seams()
    comm: Comm = Comm()
    dtype: torch.dtype = torch.float32
    stored: Callable[[int], dict[str, list[Sampled]] | None] = lambda step: None
    keep: Callable[[int, str, list[Sampled]], None] | None = None


def learning_rate(s: TrainSettings, optimizer_step: int, total: int) -> float:
    """Learning rate of optimizer step 0, 1, ...: linear warm-up, then constant, linear or cosine to the floor."""
    if optimizer_step < s.warmup_steps:
        return s.lr * (optimizer_step + 1) / s.warmup_steps
    if s.schedule == "constant":
        return s.lr
    progress = (optimizer_step - s.warmup_steps) / max(1, total - s.warmup_steps)
    progress = min(max(progress, 0.0), 1.0)
    shape = 1 - progress if s.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * progress))
    return s.lr * (s.min_lr_ratio + (1 - s.min_lr_ratio) * shape)


def make_optimizer(model: nn.Module, s: TrainSettings) -> torch.optim.Optimizer:
    """AdamW over the trainable parameters."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    betas = (s.adam_beta1, s.adam_beta2)
    return torch.optim.AdamW(trainable, lr=s.lr, betas=betas, eps=s.adam_eps, weight_decay=s.weight_decay)


def pass_options(setup: Setup) -> PassOptions:
    """How signal passes are run."""
    s = setup.settings
    pad = getattr(setup.source.tokenizer, "pad_id", 0) or 0
    return PassOptions(temperature=s.temperature, micro_rows=s.micro_rows, tile=s.logits_tile, pad_id=pad)


def needs_answers(method: Method) -> bool:
    """Whether any signal reads answer spans."""
    return any(isinstance(r, InputGrad | Perturbed) for r in method.signals)


def live_tokens(batch: RolloutBatch, keep_B: Tensor, s: TrainSettings) -> Tensor:
    """Tokens that carry loss [B,T]: the model's own, of kept rows; broken rows never, truncated ones by setting."""
    silent_B = ~keep_B | batch.failed_B
    if s.mask_truncated:
        silent_B = silent_B | batch.truncated_B
    return batch.mask_BT & ~silent_B[:, None]


def prepare(setup: Setup, state: State, collected: Collected) -> Work:
    """Slots 2 and 3: advantages, declared signals (once, detached), token credit, placebo at its seam."""
    method, s, batch = setup.method, setup.settings, collected.batch
    live_BT = live_tokens(batch, collected.keep_B, s)
    # Methods see live tokens only: a truncated response that carries no loss is no statistic of weights either.
    seen = replace(batch, mask_BT=live_BT, gather=setup.comm.gather)
    adv_B = method.advantage(seen).detach()
    ready = passes(batch, state.pool, setup.source.prompt_ids, setup.seams.hints)
    ready = {name: ready[name] for name in method.teachers}
    updates = s.updates_per_rollout * s.epochs_per_rollout
    capped = method.distill is not None and method.distill.ratio_cap is not None
    has_old = bool(method.signals) or updates > 1 or capped
    if has_old:
        options = pass_options(setup)
        with gathered(state.model):
            signals = compute_signals(state.model, seen, method.signals, ready, options, adv_B)
        count_passes(state.ledger, method, seen, ready, adv_B, s)
    else:
        signals = NoSignals(
            logp_old_BT=torch.zeros(batch.response_BT.shape),
            hints={n: r.hints for n, r in ready.items()},
            has_context_B={n: torch.tensor([p is not None for p in r.prompts]) for n, r in ready.items()},
        )
    if setup.seams.signals is not None:
        signals = setup.seams.signals(signals, seen)
    credit_BT = method.credit(adv_B, seen, signals)
    check_credit(credit_BT, seen)
    credit_BT = credit_BT.detach()
    if setup.seams.credit is not None:
        credit_BT = setup.seams.credit(credit_BT, seen)
    credit_BT = torch.where(live_BT, credit_BT, torch.zeros_like(credit_BT))
    sampler_BT, at_one_BT = collected.sampler_logp_BT, None
    if sampler_BT is not None and s.temperature != 1.0:
        # Engines report log-probs at temperature 1; the policy's own are tempered and cannot be compared with them.
        with gathered(state.model):
            at_one_BT, _ = policy_logp(state.model, seen, replace(pass_options(setup), temperature=1.0))
        count_plain_pass(state.ledger, seen)
    work = Work(seen, adv_B, credit_BT, live_BT, signals, has_old, ready, sampler_BT, at_one_BT)
    if method.distill is not None:
        count_distillation(state.ledger, method.distill, work, s.epochs_per_rollout)
    return work


def check_credit(credit_BT: Tensor, batch: RolloutBatch) -> None:
    """Refuse credit of a wrong shape, with gradient, or not finite on live tokens."""
    if credit_BT.shape != batch.mask_BT.shape:
        raise BadInput(f"credit(): expected shape {tuple(batch.mask_BT.shape)} [B,T], got {tuple(credit_BT.shape)}")
    if credit_BT.requires_grad:
        raise BadInput("credit(): the result carries gradient; token advantages must be detached")
    if not bool(torch.isfinite(credit_BT[batch.mask_BT]).all()):
        raise CheckFailed(f"credit(): not finite at step {batch.step}")


def count_plain_pass(ledger: Ledger, batch: RolloutBatch) -> Tensor:
    """Add one forward pass of every row to the ledger; returns the rows' lengths, prompts included [B]."""
    lengths_B = batch.length_B + torch.tensor([len(p) for p in batch.prompts])
    ledger.extra_forwards += batch.n_rows
    ledger.forward_tokens += int(lengths_B.sum())
    return lengths_B


def count_passes(ledger: Ledger, method: Method, batch: RolloutBatch, ready: dict[str, TeacherPass], adv_B, s) -> None:
    """Add the extra passes of this batch to the ledger (sequences and tokens)."""
    lengths_B = count_plain_pass(ledger, batch)
    for name, run in ready.items():
        asked = [r for r in method.signals if isinstance(r, TeacherLogp | TeacherKL) and r.teacher == name]
        rows = [b for b, p in enumerate(run.prompts) if p is not None]
        if asked and rows:
            tokens = sum(len(run.prompts[b] or ()) for b in rows) + int(batch.length_B[rows].sum())
            both = any(isinstance(r, TeacherKL) for r in asked)
            ledger.extra_forwards += len(rows) * (2 if both else 1)
            ledger.forward_tokens += tokens + (int(lengths_B[rows].sum()) if both else 0)
    for request in method.signals:
        if not isinstance(request, Perturbed | InputGrad):
            continue
        rows = (adv_B != 0) if request.skip_zero_advantage else torch.ones_like(adv_B, dtype=torch.bool)
        rows = rows & batch.answer_BT.any(-1)
        tokens = int(lengths_B[rows].sum())
        if isinstance(request, Perturbed):
            changed = (batch.reasoning_BT & batch.mask_BT)[rows].sum(-1)
            ledger.extra_forwards += int(changed.sum()) + int(rows.sum())
            # With a shared prefix a row perturbed at t costs its tokens from t on: half of them on average.
            per_row = (batch.length_B[rows] * changed) // (2 if request.share_prefix else 1)
            ledger.forward_tokens += tokens + int(per_row.sum())
        else:
            passes_ = 1 + request.draws if request.target == "answer_kl" else 1
            ledger.extra_forwards += passes_ * int(rows.sum())
            ledger.forward_tokens += passes_ * tokens
            ledger.backward_tokens += (request.draws if request.target == "answer_kl" else 1) * tokens


def count_distillation(ledger: Ledger, distill: Distill, work: Work, epochs: int) -> None:
    """Add the teacher's passes of slot 6: once per pass over the rollouts, for rows with a token to distil."""
    if distill.coef(work.batch.step, work.batch.total_steps) == 0:
        return
    rows = torch.nonzero(distill_mask(work, distill).any(-1)).flatten().tolist()
    prompts = work.teachers[distill.teacher].prompts
    ledger.extra_forwards += epochs * len(rows)
    ledger.forward_tokens += epochs * sum(len(prompts[b] or ()) + int(work.batch.length_B[b]) for b in rows)


def train_step(setup: Setup, state: State) -> tuple[dict[str, float], list[dict]]:
    """One step: rollouts, credit, updates. Returns the curve's row and the trace's entries."""
    s, method, ledger = setup.settings, setup.method, state.ledger
    before, counted = dict(ledger.seconds), ledger.counts()
    with ledger.phase("rollout"):
        state.engine.wake()
        state.engine.update_weights(state.model)
        keep = None
        if setup.keep is not None:
            kept_by = setup.keep
            keep = lambda purpose, groups: kept_by(state.step, purpose, groups)  # noqa: E731
        collected = collect(
            setup.source, state.engine, method, s, state.step, setup.dtype,
            answers=needs_answers(method),
            errors=method.errors, stored=setup.stored(state.step), keep=keep, comm=setup.comm,
        )  # fmt: skip
        collected = without_failed(collected)
        state.engine.sleep()
    state.model.train()
    cast = autocast(s)
    with ledger.phase("signals"), cast():
        work = prepare(setup, state, collected)
    tally, norms = Tally(), []
    total = s.steps * s.updates_per_rollout * s.epochs_per_rollout
    lr = 0.0
    with ledger.phase("update"):
        for _ in range(s.epochs_per_rollout):
            for micros in optimizer_batches(work.batch, setup.comm):
                lr = learning_rate(s, state.optimizer_step, total)
                for group in state.optimizer.param_groups:
                    group["lr"] = lr
                state.optimizer.zero_grad(set_to_none=True)
                optimizer_step(state.model, method, work, micros, s, setup.comm, tally, cast())
                norm = float(full(nn.utils.clip_grad_norm_(state.model.parameters(), s.grad_clip)))
                if not math.isfinite(norm):
                    raise CheckFailed(f"gradient norm is {norm} at step {state.step}; the run has diverged")
                norms.append(norm)
                state.optimizer.step()
                state.optimizer_step += 1
                state.pool.after_step(state.optimizer_step)
    state.optimizer.zero_grad(set_to_none=True)
    ledger.prompt_tokens += collected.prompt_tokens
    ledger.generated_tokens += collected.generated_tokens
    ledger.env_tokens += int(work.batch.length_B.sum() - collected.batch.tokens_B.sum())
    ledger.trained_tokens += tally.trained_tokens
    tally = tally.of_all(setup.comm)
    ledger.rollout_batches += collected.generated_batches
    ledger.optimizer_steps = state.optimizer_step
    ledger.add_others(counted, setup.comm)
    row = batch_row(collected, work.adv_B, work.credit_BT, work.live_BT, work.signals)
    n = max(tally.tokens, 1.0)
    row.update(
        {
            "loss": tally.loss,
            "loss.distill": tally.distill,
            "entropy": tally.entropy / n,
            "clip_fraction": tally.clipped / n,
            "approx_kl": tally.kl / n,
            "grad_norm": sum(norms) / max(len(norms), 1),
            "log_grad_norm": sum(math.log(max(x, 1e-30)) for x in norms) / max(len(norms), 1),
            "lr": lr,
            "generated_tokens": setup.comm.sum(float(collected.generated_tokens)),
            "trained_tokens": float(tally.trained_tokens),
        }
    )
    if work.sampler_logp_BT is not None:
        row.update(
            {"mismatch.mean_abs": tally.gap_abs / n, "mismatch.max": tally.gap_max, "mismatch.kl": tally.gap_kl / n}
        )
    row.update({f"seconds.{k}": v - before.get(k, 0.0) for k, v in ledger.seconds.items() if k != WALL})
    marks = [
        entry(state.step, 0, "rollouts", work.batch.response_BT),
        entry(state.step, 1, "rewards", work.batch.reward_B),
        entry(state.step, 2, "credit", work.credit_BT),
        entry(state.step, 3, "gradient norm", torch.tensor(norms, dtype=torch.float64)),
    ]
    state.step += 1
    return row, marks


def autocast(s: TrainSettings):
    """bf16 autocast for `dtype: bfloat16` (weights stay float32, log-probabilities are taken in float32)."""
    if s.dtype != "bfloat16":
        return nullcontext
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return lambda: torch.autocast(device, dtype=torch.bfloat16)
