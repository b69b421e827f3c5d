"""A made-up rollout batch and a tiny random model: every method can be tried on them in milliseconds, with no data.

The model is a real Qwen3 (transformers) with random weights in float64; the batch has any groups, correctness
pattern, lengths, answer spans and truncations. Everything then runs through the trainer's own functions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from creditbench.items import Completion, Hint, Item
from creditbench.method import Method
from creditbench.placebos import seams
from creditbench.rollouts import RolloutBatch
from creditbench.seeds import derive
from creditbench.settings import TrainSettings
from creditbench.trainer.collect import Collected, assign, optimizer_batches
from creditbench.trainer.comm import Comm
from creditbench.trainer.loop import Setup, State, prepare
from creditbench.trainer.teachers import TeacherPool
from creditbench.trainer.update import Tally, Work, optimizer_step

VOCAB, PAD, EOS, HEADER, SOLUTION, SIBLING, ANSWER = 29, 0, 1, 2, 3, 4, 5
FIRST_TOKEN = 6
SETTINGS = TrainSettings.model_validate({"dtype": "float64", "max_new_tokens": 16, "steps": 20})


class _Norm(nn.Module):
    """RMS norm in the input's own precision; transformers' takes float32 whatever the model's type."""

    def __init__(self, like: Any):
        super().__init__()
        self.weight, self.eps = like.weight, like.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x * torch.rsqrt((x * x).mean(-1, keepdim=True) + self.eps)


def tiny_model(seed: int = 0, dtype: torch.dtype = torch.float64, hidden: int = 16) -> nn.Module:
    """A two-layer Qwen3 with random weights, wide enough apart that next-token distributions are far from uniform."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=VOCAB, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=128,
        tie_word_embeddings=True, initializer_range=0.4, pad_token_id=PAD, eos_token_id=EOS,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model: nn.Module = Qwen3ForCausalLM(config)
        model.to(dtype)  # pyright: ignore[reportArgumentType]
    for name, module in list(model.named_modules()):
        if hasattr(module, "variance_epsilon"):
            parent, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(parent), leaf, _Norm(module))
    return model


def nudged(model: nn.Module, size: float = 0.05, seed: int = 1) -> nn.Module:
    """The same model with every weight moved a little: a policy after some updates."""
    import copy

    other, generator = copy.deepcopy(model), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in other.parameters():
            step = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(size * step.to(parameter.dtype))
    return other


def words(ids: Sequence[int]) -> str:
    """Token ids as text."""
    return " ".join(str(i) for i in ids)


def ids_of(text: str) -> tuple[int, ...]:
    """Text back to token ids."""
    return tuple(int(w) for w in text.split())


def render(item: Item, hint: Hint | None = None, opening: str = "") -> tuple[int, ...]:
    """The student's prompt, or a teacher's: a marker and the privileged tokens stand before the problem."""
    prompt = ids_of(item.problem) + ids_of(opening)
    if hint is None or hint.kind == "problem":
        return prompt
    about = hint.item or item
    if hint.kind == "header":
        return (*prompt, HEADER)
    if hint.kind == "answer-header":
        return (*prompt, ANSWER, *ids_of(about.answer), HEADER)
    if hint.kind == "rollout":
        assert hint.completion is not None
        return (SIBLING, *hint.completion.token_ids, *prompt)
    if hint.kind == "solution":
        return (SOLUTION, *ids_of(about.solution), *prompt)
    return (ANSWER, *ids_of(about.answer), *prompt)


SOURCE: Any = SimpleNamespace(prompt_ids=render, tokenizer=SimpleNamespace(pad_id=PAD))


def synthetic_batch(
    correct: Sequence[Sequence[int]], *, lengths: Sequence[Sequence[int]] | None = None, seed: int = 0,
    truncated: Sequence[int] = (), no_answer: Sequence[int] = (), failed: Sequence[int] = (),
    env_tokens: bool = False, updates: int = 1, micro_rows: int = 64, dtype: torch.dtype = torch.float64,
) -> RolloutBatch:  # fmt: skip
    """A batch whose group g holds `len(correct[g])` responses, right or wrong as given.

    `lengths[g][i]` are response tokens (default random 5..12), `truncated`, `no_answer` and `failed` name rows. A
    response reads: reasoning, one concluding token, two answer tokens, an end token (absent when truncated). With
    `env_tokens` each response of 8 tokens or more has two environment tokens inside.
    """
    generator = torch.Generator().manual_seed(seed)

    def tokens(n: int) -> list[int]:
        return torch.randint(FIRST_TOKEN, VOCAB, (n,), generator=generator).tolist()

    rows, items, prompts = [], [], []
    for g, marks in enumerate(correct):
        prompt = tokens(3 + g % 3)
        item = Item(f"p{seed}-{g}", words(prompt), answer=words(tokens(2)), solution=words(tokens(4 + g % 2)))
        for i, right in enumerate(marks):
            n = lengths[g][i] if lengths else int(torch.randint(5, 13, (1,), generator=generator))
            rows.append((g, i, bool(right), n))
            items.append(item)
            prompts.append(tuple(prompt))
    b, t = len(rows), max(r[3] for r in rows)
    response_BT = torch.full((b, t), PAD, dtype=torch.long)
    mask_BT, answer_BT, reasoning_BT, wrong_BT = (torch.zeros((b, t), dtype=torch.bool) for _ in range(4))
    completions, seeds = [], []
    for row, (g, i, right, n) in enumerate(rows):
        body = tokens(n)
        if row not in truncated:
            body[-1] = EOS
        response_BT[row, :n] = torch.tensor(body)
        mask_BT[row, :n] = True
        if env_tokens and n >= 8:
            mask_BT[row, 2:4] = False
        if n >= 5 and row not in no_answer and row not in truncated:
            answer_BT[row, n - 3 : n - 1] = True
            reasoning_BT[row, : n - 4] = True
            reasoning_BT[row] &= mask_BT[row]
        if not right and n > 2:
            wrong_BT[row, n // 2] = mask_BT[row, n // 2]
        count = int(mask_BT[row].sum())
        reason = "length" if row in truncated else "stop"
        completions.append(Completion(words(body), count, reason, tuple(body)))
        seeds.append(derive("synthetic", seed, g, i))
    batch = RolloutBatch(
        prompts=tuple(prompts), response_BT=response_BT, mask_BT=mask_BT,
        length_B=torch.tensor([r[3] for r in rows]), group_B=torch.tensor([r[0] for r in rows]),
        items=tuple(items), completions=tuple(completions),
        reward_B=torch.tensor([float(r[2]) for r in rows], dtype=dtype),
        correct_B=torch.tensor([r[2] for r in rows]),
        truncated_B=torch.tensor([row in truncated for row in range(b)]),
        failed_B=torch.tensor([row in failed for row in range(b)]),
        answer_BT=answer_BT, reasoning_BT=reasoning_BT, wrong_BT=wrong_BT,
        optim_B=torch.zeros(b, dtype=torch.long), micro_B=torch.zeros(b, dtype=torch.long), seed_B=tuple(seeds),
        step=0, total_steps=SETTINGS.steps, max_response=SETTINGS.max_new_tokens,
    )  # fmt: skip
    return assign(batch, SETTINGS.model_copy(update={"updates_per_rollout": updates, "micro_rows": micro_rows}))


def repadded(batch: RolloutBatch, extra: int = 3, fill: int = VOCAB - 1) -> RolloutBatch:
    """The same responses, padded further and with other padding content."""
    t = batch.response_BT.shape[1]
    outside_BT = torch.arange(t)[None, :] >= batch.length_B[:, None]
    response_BT = torch.where(outside_BT, torch.full_like(batch.response_BT, fill), batch.response_BT)
    wide = {"response_BT": nn.functional.pad(response_BT, (0, extra), value=fill)}
    for name in ("mask_BT", "answer_BT", "reasoning_BT", "wrong_BT"):
        wide[name] = nn.functional.pad(getattr(batch, name), (0, extra), value=False)
    return replace(batch, **wide)


def reordered(batch: RolloutBatch, order: Sequence[int]) -> RolloutBatch:
    """The same rows in another order; group labels stay with their rows."""
    moved = batch.rows(list(order))
    return replace(moved, group_B=batch.group_B[list(order)])


@dataclass(frozen=True)
class Outcome:
    """Loss and gradients of one optimizer batch."""

    loss: float
    grads: dict[str, Tensor]

    def distance(self, other: Outcome) -> float:
        """Largest relative difference of any gradient tensor (norm of the difference over the norm)."""
        worst = abs(self.loss - other.loss) / max(abs(self.loss), 1e-12) if self.loss else abs(other.loss)
        for name, g in self.grads.items():
            scale = max(float(g.norm()), 1e-12)
            worst = max(worst, float((g - other.grads[name]).norm()) / scale)
        return worst

    def equals(self, other: Outcome) -> bool:
        """Bit for bit."""
        same = all(torch.equal(g, other.grads[n]) for n, g in self.grads.items())
        return same and self.loss == other.loss and self.grads.keys() == other.grads.keys()


def work_of(
    model: nn.Module, method: Method, batch: RolloutBatch, s: TrainSettings = SETTINGS, *, placebo: str = "",
    external: nn.Module | None = None, pool: TeacherPool | None = None, comm: Comm = Comm(),
) -> Work:  # fmt: skip
    """Slots 1-3 of a method on a batch, through the trainer's own `prepare`."""
    keep_B, reward_B = method.select(batch)
    collected = Collected(batch.with_reward(reward_B), keep_B, (), 0, 0, 1, 0.0)
    pool = pool or TeacherPool(model, method.teachers, external)
    unused: Any = None
    setup = Setup(source=SOURCE, method=method, settings=s, seams=seams(placebo), comm=comm)
    return prepare(setup, State(model, unused, pool, unused), collected)


def outcome_of(
    model: nn.Module, method: Method, work: Work, s: TrainSettings = SETTINGS, *,
    micros: list[list[int]] | None = None, comm: Comm = Comm(),
) -> Outcome:  # fmt: skip
    """Loss and gradients of the first optimizer batch (or of the given micro-batches), by the trainer's own step."""
    model.zero_grad(set_to_none=True)
    tally = Tally()
    optimizer_step(model, method, work, micros or next(optimizer_batches(work.batch)), s, comm, tally)
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return Outcome(comm.sum(tally.loss + tally.distill), grads)


def try_method(
    model: nn.Module, method: Method, batch: RolloutBatch, s: TrainSettings = SETTINGS, **options: Any
) -> tuple[Work, Outcome]:
    """Credit, loss and gradients of a method on a batch in one call."""
    work = work_of(model, method, batch, s, **options)
    return work, outcome_of(model, method, work, s, comm=options.get("comm", Comm()))
