"""From prompts to a graded rollout batch: data order, sampling, grading, dynamic sampling, token masks."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from creditbench.benchmark import Benchmark, EvalProtocol
from creditbench.errors import BadInput, CheckFailed
from creditbench.items import Graded, Hint, Item
from creditbench.method import Method
from creditbench.rollouts import RolloutBatch
from creditbench.sampling import EnvStart, Episode, rollout
from creditbench.sampling.types import Engine, SamplingParams
from creditbench.seeds import derive, rollout_seed
from creditbench.settings import TrainSettings
from creditbench.trainer.comm import Comm


@dataclass(frozen=True)
class Source:
    """Where rollouts come from: the training items in a fixed order of digests, their benchmark and tokenizer."""

    benchmark: Benchmark
    items: tuple[Item, ...]
    protocol: EvalProtocol
    tokenizer: Any
    track: str
    seed: int

    def prompt_ids(self, item: Item, hint: Hint | None = None, opening: str = "") -> tuple[int, ...]:
        """Token ids of the student's prompt, or of a teacher's that sees `hint`; `opening` is the environment's first
        observation."""
        rendered = self.benchmark.prompt(item, self.protocol, hint)
        mode = {} if hint is None or hint.thinking is None else {"thinking": hint.thinking}
        return tuple(self.tokenizer.encode_prompt(rendered, opening, **mode))


def data_order(source: Source, epoch: int) -> list[int]:
    """Item indices in the order of one epoch; depends on (track, seed, epoch) only."""
    keys = [derive("order", source.track, source.seed, epoch, item.id) for item in source.items]
    return sorted(range(len(keys)), key=keys.__getitem__)


def prompts_of_step(source: Source, step: int, count: int) -> list[Item]:
    """The `count` problems of a step: the seeded order of each epoch, one epoch after the other."""
    n = len(source.items)
    if n == 0:
        raise BadInput(f"training set of track {source.track!r} is empty")
    picked, orders = [], {}
    for position in range(step * count, (step + 1) * count):
        epoch, at = divmod(position, n)
        if epoch not in orders:
            orders[epoch] = data_order(source, epoch)
        picked.append(source.items[orders[epoch][at]])
    return picked


def refill_prompts(source: Source, step: int, attempt: int, count: int) -> list[Item]:
    """Further problems for dynamic sampling, from a stream of their own so that the main order never shifts."""
    n = len(source.items)
    picks = [derive("refill", source.track, source.seed, step, attempt, i) % n for i in range(count)]
    return [source.items[i] for i in picks]


@dataclass(frozen=True)
class Sampled:
    """One group as sampled: the item, G episodes with their prompts, seeds and grades.

    `opening` is the environment's first observation (empty for single turns); a teacher's prompt ends with it too.
    """

    item: Item
    opening: str
    episodes: tuple[Episode, ...]
    seeds: tuple[int, ...]
    graded: tuple[Graded, ...]


def sample_groups(
    source: Source,
    engine: Engine,
    items: Sequence[Item],
    s: TrainSettings,
    step: int,
    purpose: str,
    first_slot: int = 0,
) -> list[Sampled]:
    """G graded responses to each item."""
    prompts, seeds, owners = [], [], []
    for slot, item in enumerate(items, first_slot):
        # Environments add their first observation to the rendered prompt, so that it joins the last chat message.
        if source.benchmark.environment is None:
            prompt = source.prompt_ids(item)
        else:
            prompt = source.benchmark.prompt(item, source.protocol)
        for sample in range(s.group_size):
            prompts.append(prompt)
            # `slot` keeps two draws of one problem in a step apart.
            seeds.append(rollout_seed(source.track, source.seed, f"{purpose}/{slot}", step, item.id, sample))
            owners.append(item)
    params = SamplingParams(s.max_new_tokens, s.temperature, s.top_p, s.top_k, s.presence_penalty)
    environments = None
    if source.benchmark.environment is not None:
        environments = []
        for item in owners:
            environment = source.benchmark.environment()
            seed = derive("environment", source.track, source.seed, step, item.id)
            environments.append(EnvStart(environment, item, seed))
    episodes = rollout(
        engine, prompts, seeds, params, environments=environments, tokenizer=source.tokenizer, max_turns=s.max_turns
    )
    graded = source.benchmark.grade(owners, [e.completion for e in episodes], source.protocol)
    if len(graded) != len(owners):
        raise BadInput(f"benchmark {source.benchmark.name!r}: grade() returned {len(graded)} of {len(owners)} results")
    size = s.group_size
    return [
        Sampled(
            item,
            _opening(episodes[g * size]),
            tuple(episodes[g * size : (g + 1) * size]),
            tuple(seeds[g * size : (g + 1) * size]),
            tuple(graded[g * size : (g + 1) * size]),
        )
        for g, item in enumerate(items)
    ]


def _opening(episode: Episode) -> str:
    """What the environment said before the first action."""
    turns = episode.completion.turns
    return turns[0].text if turns and turns[0].role == "env" else ""


def random_reward(seed: int) -> float:
    """A fair coin per sample: the contamination probe's reward, independent of the answer."""
    return float(hashlib.sha256(f"random-reward:{seed}".encode()).digest()[0] & 1)


def to_batch(
    groups: Sequence[Sampled],
    s: TrainSettings,
    step: int,
    *,
    source: Source,
    dtype: torch.dtype,
    answers: bool = False,
    errors: bool = False,
) -> RolloutBatch:
    """Pad sampled groups to one batch. `answers` and `errors` locate them in tokens, only when asked for."""
    rows = [(g, i) for g, group in enumerate(groups) for i in range(len(group.episodes))]
    episodes = [groups[g].episodes[i] for g, i in rows]
    graded = [groups[g].graded[i] for g, i in rows]
    total = max((len(e.token_ids) for e in episodes), default=0)
    response_BT = torch.zeros((len(rows), max(total, 1)), dtype=torch.long)
    mask_BT = torch.zeros(response_BT.shape, dtype=torch.bool)
    for b, episode in enumerate(episodes):
        n = len(episode.token_ids)
        response_BT[b, :n] = torch.tensor(episode.token_ids, dtype=torch.long)
        mask_BT[b, :n] = torch.tensor(episode.model_mask, dtype=torch.bool)
    seeds = [groups[g].seeds[i] for g, i in rows]
    rewards = [r.reward for r in graded]
    correct = [r.correct for r in graded]
    if s.reward == "random":
        rewards = [random_reward(seed) for seed in seeds]
        correct = [r > 0 for r in rewards]
    zeros_BT = torch.zeros_like(mask_BT)
    batch = RolloutBatch(
        prompts=tuple(e.prompt_ids for e in episodes),
        response_BT=response_BT,
        mask_BT=mask_BT,
        length_B=torch.tensor([len(e.token_ids) for e in episodes]),
        group_B=torch.tensor([g for g, _ in rows]),
        items=tuple(groups[g].item for g, _ in rows),
        completions=tuple(e.completion for e in episodes),
        reward_B=torch.tensor(rewards, dtype=dtype),
        correct_B=torch.tensor(correct),
        truncated_B=torch.tensor([e.completion.finish_reason == "length" for e in episodes]),
        failed_B=torch.tensor([r.outcome == "error" for r in graded]),
        opening=tuple(groups[g].opening for g, _ in rows),
        answer_BT=zeros_BT,
        reasoning_BT=zeros_BT,
        wrong_BT=zeros_BT,
        optim_B=torch.zeros(len(rows), dtype=torch.long),
        micro_B=torch.zeros(len(rows), dtype=torch.long),
        seed_B=tuple(seeds),
        step=step,
        total_steps=s.steps,
        max_response=s.max_new_tokens * max(s.max_turns, 1),
    )
    if answers or errors:
        answer_BT, reasoning_BT, wrong_BT = locate(batch, source, errors)
        batch = replace(batch, answer_BT=answer_BT, reasoning_BT=reasoning_BT, wrong_BT=wrong_BT)
    return assign(batch, s)


def assign(batch: RolloutBatch, s: TrainSettings) -> RolloutBatch:
    """Deal whole groups to the optimizer batches of the step, rows to micro-batches within each.

    No batch stays empty while there are groups enough: every process makes the same number of optimizer steps, also
    where dynamic sampling left one of them with fewer groups.
    """
    n_groups = batch.n_groups
    updates = min(s.updates_per_rollout, n_groups)
    optim_B = batch.group_B * updates // max(n_groups, 1)
    micro_B = torch.zeros_like(optim_B)
    for u in torch.unique(optim_B).tolist():
        rows = torch.nonzero(optim_B == u).flatten()
        micro_B[rows] = torch.arange(len(rows)) // s.micro_rows
    return replace(batch, optim_B=optim_B, micro_B=micro_B)


def locate(batch: RolloutBatch, source: Source, errors: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Token masks of the own final answer, the reasoning before its conclusion, and locally wrong tokens [B,T].

    Single-turn: the benchmark's `answer_span` in characters, mapped to tokens. Multi-turn: the answer is the last
    action, the reasoning all model tokens before it (our reading of OAR for agents).
    """
    answer_BT, reasoning_BT, wrong_BT = (torch.zeros_like(batch.mask_BT) for _ in range(3))
    span_of = source.benchmark.answer_span
    wrong_of = getattr(source.benchmark.module, "wrong_tokens", None) if errors else None
    for b, completion in enumerate(batch.completions):
        at = torch.nonzero(batch.mask_BT[b]).flatten()
        if len(at) == 0:
            continue
        if completion.turns:
            breaks = torch.nonzero(at[1:] != at[:-1] + 1).flatten()
            start = int(breaks[-1]) + 1 if len(breaks) else 0
            answer_BT[b, at[start:]] = True
            reasoning_BT[b, at[:start]] = True
            continue
        ends = char_ends(source.tokenizer, [int(t) for t in batch.response_BT[b, at]])
        span = span_of(completion.text) if span_of is not None else None
        if span is not None:
            conclude, start, end = span
            answer_BT[b, at[tokens_within(ends, start, end)]] = True
            reasoning_BT[b, at[tokens_within(ends, 0, conclude)]] = True
        if wrong_of is not None:
            for start, end in wrong_of(batch.items[b], completion.text):
                wrong_BT[b, at[tokens_within(ends, start, end)]] = True
    return answer_BT, reasoning_BT, wrong_BT


def char_ends(tokenizer: Any, ids: Sequence[int]) -> list[int]:
    """End offset, in the decoded text without special tokens, of each token; prefixes are decoded when pieces merge."""
    pieces = [tokenizer.decode([i]) for i in ids]
    whole = tokenizer.decode(list(ids))
    if "".join(pieces) == whole:
        ends, total = [], 0
        for piece in pieces:
            total += len(piece)
            ends.append(total)
        return ends
    return [len(tokenizer.decode(list(ids[: i + 1]))) for i in range(len(ids))]


def tokens_within(ends: Sequence[int], start: int, end: int) -> list[int]:
    """Indices of tokens that overlap characters [start, end); an empty span at the very end names the end token.

    `ends` are the tokens' end offsets, ascending; tokens without characters belong to no other span.
    """
    if not ends or start >= end:
        return [len(ends) - 1] if ends and start == end == ends[-1] else []
    first = bisect_right(ends, start)
    last = bisect_left(ends, end)
    return [i for i in range(first, min(last + 1, len(ends))) if ends[i] > (ends[i - 1] if i else 0)]


def sampler_logps(groups: Sequence[Sampled], width: int) -> Tensor | None:
    """The engine's own log-probs of the groups' tokens [B,T], 0 on others'; None unless every episode has them."""
    episodes = [e for group in groups for e in group.episodes]
    if any(len(e.logps) != len(e.token_ids) for e in episodes):
        return None
    return torch.tensor([[*e.logps, *[0.0] * (width - len(e.logps))] for e in episodes], dtype=torch.float64)


@dataclass(frozen=True)
class Collected:
    """A step's training batch and what sampling it took.

    `sampler_logp_BT` are the log-probs that the sampling engine itself gave the tokens (temperature 1, unfiltered);
    None when it gave none.
    """

    batch: RolloutBatch
    keep_B: Tensor
    all_graded: tuple[Graded, ...]
    generated_tokens: int
    prompt_tokens: int
    generated_batches: int
    uniform_share: float
    sampler_logp_BT: Tensor | None = None


def collect(
    source: Source,
    engine: Engine,
    method: Method,
    s: TrainSettings,
    step: int,
    dtype: torch.dtype,
    *,
    answers: bool = False,
    errors: bool = False,
    stored: Mapping[str, list[Sampled]] | None = None,
    keep: Callable[[str, list[Sampled]], None] | None = None,
    comm: Comm = Comm(),
) -> Collected:
    """Sample, grade and select until the step's prompts are full, or `method.refill` batches were generated.

    The step then trains on the groups it has (`groups` of the curve counts them); with fewer groups than optimizer
    steps, as in a set of uniform groups only, CheckFailed is raised.
    `stored` replays kept rollouts (determinism level D2) instead of sampling; `keep` stores new ones.
    """
    mine = comm.share(s.prompts_per_step)
    wanted = mine.stop - mine.start
    kept: list[Sampled] = []
    shown: list[Sampled] = []
    attempt = 0
    while True:
        purpose = "rollout" if attempt == 0 else f"refill-{attempt}"
        count = s.prompts_per_step
        items = prompts_of_step(source, step, count) if attempt == 0 else refill_prompts(source, step, attempt, count)
        items = items[mine]
        if stored is not None:
            groups = stored.get(purpose, [])
            if len(groups) != len(items):
                told = f"{len(groups)} stored groups, {len(items)} needed"
                raise CheckFailed(f"step {step}, {purpose}: {told}; replay with the run's own settings and processes")
        else:
            groups = sample_groups(source, engine, items, s, step, purpose, mine.start)
            if keep is not None:
                keep(purpose, groups)
        shown += groups
        attempt += 1
        if not method.refill:
            kept = groups
            break
        trial = to_batch(groups, s, step, source=source, dtype=dtype)
        keep_B, _ = method.select(trial)
        alive = {int(g) for g in trial.group_B[keep_B]}
        kept += [group for g, group in enumerate(groups) if g in alive]
        if len(kept) >= wanted:
            kept = kept[:wanted]
            break
        if attempt >= method.refill:
            # A model that has nearly solved its training set goes on with the groups that still teach it something.
            if len(kept) >= s.updates_per_rollout:
                break
            raise CheckFailed(
                f"dynamic sampling: step {step} got {len(kept)} of {wanted} groups that are neither all correct nor "
                f"all wrong after {attempt} generated batches; the training set is too easy or too hard for this model"
            )
    batch = to_batch(kept, s, step, source=source, dtype=dtype, answers=answers, errors=errors)
    keep_B, reward_B = method.select(batch)
    graded = tuple(r for group in shown for r in group.graded)
    uniform = [len({r.correct for r in group.graded}) == 1 for group in shown]
    return Collected(
        batch=batch.with_reward(reward_B),
        keep_B=keep_B,
        all_graded=graded,
        generated_tokens=sum(e.completion.n_tokens for group in shown for e in group.episodes),
        prompt_tokens=sum(len(e.prompt_ids) for group in shown for e in group.episodes),
        generated_batches=attempt,
        uniform_share=sum(uniform) / max(len(uniform), 1),
        sampler_logp_BT=sampler_logps(kept, batch.response_BT.shape[1]),
    )


def without_failed(collected: Collected) -> Collected:
    """Drop responses whose grading or environment broke: ours to mend, so they are no statistic of their group either.

    Raises CheckFailed when nothing is left.
    """
    failed_B = collected.batch.failed_B
    if not bool(failed_B.any()):
        return collected
    rows = torch.nonzero(~failed_B).flatten()
    if len(rows) == 0:
        raise CheckFailed(f"step {collected.batch.step}: every response ended in an error of the grader or environment")
    told_BT = collected.sampler_logp_BT
    told_BT = None if told_BT is None else told_BT[rows]
    return replace(collected, batch=collected.batch.rows(rows), keep_B=collected.keep_B[rows], sampler_logp_BT=told_BT)


def optimizer_batches(batch: RolloutBatch, comm: Comm = Comm()) -> Iterator[list[list[int]]]:
    """For each optimizer batch of the step, its micro-batches as row indices; [] where only other processes have rows.

    A process may have lost all its rows of one (`without_failed`), but all make the same number of optimizer steps.
    """
    for u in torch.unique(comm.gather(batch.optim_B)).tolist():
        inside = batch.optim_B == u
        micros = torch.unique(batch.micro_B[inside]).tolist()
        yield [torch.nonzero(inside & (batch.micro_B == m)).flatten().tolist() for m in micros]
