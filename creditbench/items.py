"""What flows between data, sampling and grading: items, hints, completions, graded samples. Floor 1, no torch.

Every sample ends in exactly one `Outcome`; `error` is ours and never the model's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Outcome = Literal["correct", "wrong", "truncated", "unparsed", "error"]
OUTCOMES: tuple[Outcome, ...] = ("correct", "wrong", "truncated", "unparsed", "error")
FinishReason = Literal["stop", "length", "steps", "error"]
HintKind = Literal["problem", "rollout", "solution", "answer", "header", "answer-header"]


def canonical_json(value: Any) -> str:
    """Serialise `value` so that equal content gives equal text: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_text(text: str) -> str:
    """SHA-256 of UTF-8 text as 64 hex digits; lone surrogates are kept by escaping them."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON of `value`."""
    return digest_text(canonical_json(value))


@dataclass(frozen=True)
class Item:
    """One frozen problem.

    `answer` is the gold answer as text ("" where tests or an environment decide), `solution` a reference
    solution with its answer ("" when there is none), `meta` JSON-serialisable extras (tests, date, goal ...).
    """

    id: str
    problem: str
    answer: str = ""
    solution: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over id, problem, answer, solution and meta."""
        return digest_of([self.id, self.problem, self.answer, self.solution, dict(self.meta)])


@dataclass(frozen=True)
class Turn:
    """One turn of an episode; `role` is `model` or `env`, `reward` and `valid` belong to the model's action."""

    role: Literal["model", "env"]
    text: str
    n_tokens: int = 0
    reward: float = 0.0
    valid: bool = True


@dataclass(frozen=True)
class Completion:
    """What a model produced for one prompt.

    `text` is decoded without special tokens; `n_tokens` counts model tokens, end token included. For agents
    `turns` holds the episode, `text` the model's actions joined by newlines, and `reward`/`info` what the
    environment said at the end (`info["success"]`, `info["error"]`). Single-turn completions have no turns.
    """

    text: str
    n_tokens: int
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    turns: tuple[Turn, ...] = ()
    reward: float = 0.0
    info: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Graded:
    """The verdict on one completion. `reward` is what training sees; `extracted` the answer that was read."""

    outcome: Outcome
    reward: float
    extracted: str | None = None
    verdict: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        """Whether the sample counts as solved."""
        return self.outcome == "correct"


@dataclass(frozen=True)
class Hint:
    """Privileged context a teacher's prompt carries; `problem` means the student's own prompt, nothing added.

    kinds: `rollout` (a sampled response, in `completion`), `solution` (the item's reference solution),
    `answer` (the item's gold answer), `header` (a literal header after the problem, nothing else), `answer-header`
    (the gold answer between problem and header).
    `item` is set when the context speaks of another problem (the `wrong-context` placebo). `solved`: whether
    `completion` is verified; a prompt must not call one that is not a solution (SC-GRPO's unsolved groups).
    `guide`: show it in the system turn, as guidance, the user turn being the student's own (SC-GRPO); a plain-text
    prompt, which has no system turn, shows it where it shows every hint. `thinking`: the mode a chat template opens
    the teacher's response in; None is the student's.
    """

    kind: HintKind
    completion: Completion | None = None
    item: Item | None = None
    solved: bool = True
    guide: bool = False
    thinking: bool | None = None


PROBLEM = Hint("problem")
