"""Episodes: one turn, or many turns against environments, on any engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from creditbench.errors import BadInput
from creditbench.items import Completion, Item, Turn
from creditbench.sampling.stepper import Failed, Stepper
from creditbench.sampling.types import Engine, Generation, Ids, SamplingParams
from creditbench.seeds import derive

if TYPE_CHECKING:
    from creditbench.benchmark import Environment, Step


class TextCoder(Protocol):
    """What a rollout needs of a tokenizer (both classes of `creditbench.tokenizer` have it)."""

    def encode_prompt(self, rendered: Any, observation: str = "") -> list[int]:
        """Ids of a rendered prompt (text or messages) with the first observation at its end."""
        ...

    def encode_observation(self, text: str, ended: bool = True) -> list[int]:
        """Ids of what the environment says between two turns of the model."""
        ...

    def decode(self, ids: Ids) -> str:
        """Text without special tokens."""
        ...


@dataclass(frozen=True)
class EnvStart:
    """An environment and what to reset it with. Every episode needs an environment object of its own."""

    environment: Environment
    item: Item
    seed: int = 0


@dataclass(frozen=True)
class Episode:
    """What happened after one prompt.

    `token_ids` holds every token after the prompt, the environment's included; `model_mask` is True at the model's
    own tokens; `logps` are theirs (temperature 1, unfiltered), 0.0 elsewhere. All three have equal length.
    """

    prompt_ids: tuple[int, ...]
    token_ids: tuple[int, ...]
    model_mask: tuple[bool, ...]
    logps: tuple[float, ...]
    completion: Completion


@dataclass
class _Row:
    """An episode under way."""

    start: EnvStart | None
    prompt: list[int]
    tokens: list[int] = field(default_factory=list)
    mask: list[bool] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    block: list[int] | None = None
    reward: float = 0.0
    info: dict[str, Any] = field(default_factory=dict)
    reason: Any = "length"

    def fail(self, what: str) -> None:
        self.block, self.reason, self.info = None, "error", {**self.info, "error": what}

    def model_turn(self, generation: Generation, text: str) -> None:
        self.tokens += generation.token_ids
        self.mask += [True] * len(generation.token_ids)
        self.logps += generation.logps
        self.texts.append(text)
        self.reason = generation.finish_reason

    def env_turn(self, ids: list[int], step: Step) -> None:
        self.turns.append(Turn("env", step.observation, len(ids)))
        self.tokens += ids
        self.mask += [False] * len(ids)
        self.logps += [0.0] * len(ids)
        self.block = ids

    def episode(self) -> Episode:
        completion = Completion(
            text="\n".join(self.texts),
            n_tokens=sum(self.mask),
            finish_reason=self.reason,
            token_ids=tuple(t for t, mine in zip(self.tokens, self.mask, strict=True) if mine),
            turns=tuple(self.turns),
            reward=self.reward,
            info=self.info,
        )
        return Episode(tuple(self.prompt), tuple(self.tokens), tuple(self.mask), tuple(self.logps), completion)


def turn_seed(seed: int, turn: int) -> int:
    """Seed of one turn of an episode; the first turn's is the episode's own."""
    return seed if turn == 0 else derive("turn", seed, turn)


def rollout(
    engine: Engine,
    prompts: Sequence[Any],
    seeds: Sequence[int],
    params: SamplingParams,
    environments: Sequence[EnvStart] | None = None,
    *,
    tokenizer: TextCoder,
    max_turns: int = 1,
    step_timeout: float = 60.0,
    workers: int = 1,
    max_context: int | None = None,
) -> list[Episode]:
    """Sample one episode per prompt, in order.

    prompts: token ids, or rendered prompts (text, or chat messages). With `environments` (one per prompt) each turn's
    text goes to the environment and its observation is appended to the context, until it says done or `max_turns`
    turns are over. All open episodes take a turn together; environments step in `workers` threads.
    An environment with `deadline_s` bounds its own steps (it may have to restart and replay); it gets that long.

    History rule: none is cut. The whole conversation stays in the context, so that an episode is one sequence and each
    token is trained in the context it was sampled in; an episode ends (`length`) before prompt + tokens + one more turn
    would exceed `max_context` (default: the engine's `max_context`, where it has one).

    finish_reason: single-turn `stop` or `length`; with environments `stop` (done), `steps` (turns used up), `length`
    (context used up) or `error` (the environment raised, or one step took over `step_timeout` seconds;
    `info["error"]` says which). Raises BadInput when the lists differ in length.
    """
    if environments is not None and len(environments) != len(prompts):
        raise BadInput(f"environments: expected one per prompt ({len(prompts)}), got {len(environments)}")
    if len(seeds) != len(prompts):
        raise BadInput(f"seeds: expected one per prompt ({len(prompts)}), got {len(seeds)}")
    if environments is None:
        ids = [_prompt_ids(tokenizer, prompt) for prompt in prompts]
        rows = [_Row(None, prompt) for prompt in ids]
        for row, generation in zip(rows, engine.generate(ids, seeds, params), strict=True):
            row.model_turn(generation, tokenizer.decode(generation.token_ids))
        return [row.episode() for row in rows]
    done: list[Episode] = []
    if max_context is None:
        max_context = getattr(engine, "max_context", None)
    patience = max([step_timeout, *(getattr(start.environment, "deadline_s", 0.0) for start in environments)])
    with Stepper(workers, patience) as stepper:
        for start in range(0, len(prompts), engine.batch_rows):
            part = slice(start, start + engine.batch_rows)
            rows = _reset(stepper, prompts[part], environments[part], tokenizer)
            _play(engine, rows, seeds[part], params, stepper, tokenizer, max_turns, max_context)
            done.extend(row.episode() for row in rows)
    return done


def _prompt_ids(tokenizer: TextCoder, prompt: Any, observation: str = "") -> list[int]:
    if isinstance(prompt, str) or (len(prompt) > 0 and isinstance(prompt[0], dict)):
        return list(tokenizer.encode_prompt(prompt, observation))
    first = tokenizer.encode_observation(observation) if observation else []
    return [int(i) for i in prompt] + first


def _reset(stepper: Stepper, prompts: Sequence[Any], starts: Sequence[EnvStart], tokenizer: TextCoder) -> list[_Row]:
    observations = stepper.run([lambda s=start: s.environment.reset(s.item, s.seed) for start in starts])
    rows: list[_Row] = []
    for prompt, start, observation in zip(prompts, starts, observations, strict=True):
        first = "" if isinstance(observation, Failed) else observation
        row = _Row(start, _prompt_ids(tokenizer, prompt, first))
        row.block = row.prompt
        if isinstance(observation, Failed):
            row.fail(f"reset: {observation.why}")
        elif first:
            row.turns.append(Turn("env", first))
        rows.append(row)
    return rows


def _play(
    engine: Engine,
    rows: list[_Row],
    seeds: Sequence[int],
    params: SamplingParams,
    stepper: Stepper,
    tokenizer: TextCoder,
    max_turns: int,
    max_context: int | None,
) -> None:
    longest = max(len(row.prompt) for row in rows)
    session = engine.session(len(rows), params, longest + min(2 * params.max_new_tokens * max_turns, 1024))
    for turn in range(max_turns):
        for row in rows:
            used = len(row.prompt) + len(row.tokens) + params.max_new_tokens
            if row.block is not None and max_context is not None and used > max_context:
                row.block, row.reason = None, "length"
        if all(row.block is None for row in rows):
            return
        answers = session.extend([row.block for row in rows], [turn_seed(seed, turn) for seed in seeds])
        acting = [(row, g) for row, g in zip(rows, answers, strict=True) if g is not None]
        for row, generation in acting:
            row.model_turn(generation, tokenizer.decode(generation.token_ids))
        calls = [lambda r=row: r.start.environment.step(r.texts[-1]) for row, _ in acting]  # type: ignore[union-attr]
        for (row, generation), step in zip(acting, stepper.run(calls), strict=True):
            _take(row, generation, step, tokenizer, last=turn + 1 == max_turns)


def _take(row: _Row, generation: Generation, step: Step | Failed, tokenizer: TextCoder, last: bool) -> None:
    """Book one environment step: its reward, and its observation unless the episode is over."""
    action = Turn("model", row.texts[-1], len(generation.token_ids))
    if isinstance(step, Failed):
        row.turns.append(action)
        row.fail(step.why)
        return
    row.turns.append(Turn("model", action.text, action.n_tokens, step.reward, step.valid))
    row.reward = step.reward
    row.info.update(step.info or {})
    if step.done or last:
        row.block, row.reason = None, "stop" if step.done else "steps"
        return
    ids = tokenizer.encode_observation(step.observation, generation.finish_reason == "stop")
    if not ids:
        row.fail("the environment gave an empty observation but is not done")
        return
    row.env_turn(ids, step)
