"""What every sampling engine takes and gives. No torch here, so that contracts import quickly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from creditbench.errors import BadInput

Ids = Sequence[int]


@dataclass(frozen=True)
class SamplingParams:
    """How to sample: `temperature` 0 is greedy, `top_k` 0 and `top_p` 1 keep the whole vocabulary.

    Filters act on the tempered distribution, top-k first, then top-p on what is left (renormalised), as in
    Hugging Face generate and vLLM. `max_new_tokens` caps one turn, its end token included. `presence_penalty` is taken
    off the logits, before temperature and filters, of every token that the turn already holds (vLLM's rule).
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    presence_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise BadInput(f"max_new_tokens: expected at least 1, got {self.max_new_tokens}")
        if self.temperature < 0:
            raise BadInput(f"temperature: expected 0 (greedy) or more, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise BadInput(f"top_p: expected a number in (0, 1], got {self.top_p}")
        if self.top_k < 0:
            raise BadInput(f"top_k: expected 0 (off) or more, got {self.top_k}")
        if not -2 <= self.presence_penalty <= 2:
            raise BadInput(f"presence_penalty: expected a number in [-2, 2], got {self.presence_penalty}")


@dataclass(frozen=True)
class Generation:
    """One sampled turn: its tokens (end token included when sampled) and why it ended.

    `logps` are log-probabilities of the sampled tokens under the model itself: temperature 1, nothing filtered.
    """

    token_ids: tuple[int, ...]
    logps: tuple[float, ...]
    finish_reason: Literal["stop", "length"]


class Session(Protocol):
    """A batch of open conversations. Row i of every call is conversation i."""

    def extend(self, blocks: Sequence[Ids | None], seeds: Sequence[int]) -> list[Generation | None]:
        """Append a block of given tokens to each row (the prompt first, later what the environment said) and sample
        one turn. None closes a row for good; a closed row must stay None and gives None."""
        ...


class Engine(Protocol):
    """A model that samples. Row i draws from a stream of its own keyed by `seeds[i]`, whatever else is in the batch."""

    name: str
    version: str
    batch_rows: int

    def generate(self, prompts: Sequence[Ids], seeds: Sequence[int], params: SamplingParams) -> list[Generation]:
        """Sample one completion per prompt, in order."""
        ...

    def session(self, rows: int, params: SamplingParams, capacity: int = 0) -> Session:
        """Open `rows` conversations for multi-turn sampling; `capacity` is a guess of their longest length."""
        ...

    def update_weights(self, weights: Any) -> None:
        """Take new weights (a live module, or a state dict with the module's names) before the next call."""
        ...

    def sleep(self) -> None:
        """Give back what memory can be given back until `wake`."""
        ...

    def wake(self) -> None:
        """Undo `sleep`."""
        ...


def check_batch(prompts: Sequence[Any], seeds: Sequence[int]) -> None:
    """Refuse batches whose seeds do not match, or that hold an empty prompt."""
    if len(prompts) != len(seeds):
        raise BadInput(f"seeds: expected one per prompt ({len(prompts)}), got {len(seeds)}")
    for i, prompt in enumerate(prompts):
        if prompt is not None and len(prompt) == 0:
            raise BadInput(f"prompts: prompt {i} is empty; expected at least one token")
