"""Types of the functions that a single-turn benchmark's `task.py` has; `creditbench.benchmark` calls them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from creditbench.benchmark import EvalProtocol, Messages
from creditbench.items import Completion, Graded, Hint, Item


class Load(Protocol):
    """The items of a split, under the suite's options for it."""

    def __call__(self, split: str, options: Mapping[str, Any]) -> list[Item]: ...


class Render(Protocol):
    """An item's prompt; with a hint for a teacher."""

    def __call__(self, item: Item, protocol: EvalProtocol, hint: Hint | None = None) -> str | Messages: ...


class Grade(Protocol):
    """One graded outcome per completion, in order."""

    def __call__(
        self, items: Sequence[Item], completions: Sequence[Completion], protocol: EvalProtocol
    ) -> list[Graded]: ...


class Span(Protocol):
    """Where the answer stands in a response: (conclusion, start, end) in characters, or None."""

    def __call__(self, text: str) -> tuple[int, int, int] | None: ...
