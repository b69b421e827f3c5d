"""Teachers = weights x context. This file keeps the weights; contexts become prompts here too."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from creditbench.errors import BadInput
from creditbench.items import Hint
from creditbench.method import Teacher
from creditbench.rollouts import RolloutBatch
from creditbench.sampling.weights import full
from creditbench.signals.compute import TeacherPass

PromptOf = Callable[[Any, Hint | None, str], tuple[int, ...]]


class TeacherPool:
    """Weights of a method's teachers: live, frozen initial, hard copy, EMA, external.

    With adapters (LoRA) only the trainable tensors are kept and swapped in; without, a whole copy of the model.
    """

    def __init__(self, student: nn.Module, teachers: Mapping[str, Teacher], external: nn.Module | None = None):
        self.student, self.teachers, self.external = student, teachers, external
        self._adapted = hasattr(student, "peft_config")
        self._copies: dict[str, Any] = {}
        for name, teacher in teachers.items():
            if teacher.weights == "external" and external is None:
                raise BadInput(f"teacher {name!r}: this method needs an external teacher, the track names none")
            if teacher.weights in ("initial", "copy", "ema"):
                self._copies[name] = self._snapshot()

    def _snapshot(self) -> Any:
        if self._adapted:
            return {n: p.detach().clone() for n, p in self.student.named_parameters() if p.requires_grad}
        return copy.deepcopy(self.student).requires_grad_(False).eval()

    @contextmanager
    def model(self, name: str) -> Iterator[nn.Module]:
        """The teacher's model, ready for a forward pass."""
        weights = self.teachers[name].weights
        if weights == "live":
            yield self.student
        elif weights == "external":
            assert self.external is not None
            yield self.external
        elif not self._adapted:
            yield self._copies[name]
        else:
            trainable = {n: p for n, p in self.student.named_parameters() if p.requires_grad}
            saved = {n: p.detach().clone() for n, p in trainable.items()}
            self._write(trainable, self._copies[name])
            try:
                yield self.student
            finally:
                self._write(trainable, saved)

    @staticmethod
    @torch.no_grad()
    def _write(parameters: Mapping[str, nn.Parameter], values: Mapping[str, Tensor]) -> None:
        for name, parameter in parameters.items():
            parameter.copy_(values[name])

    def _pairs(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """(kept tensor, student's tensor) of every parameter a teacher follows."""
        kept = self._copies[name]
        mine = kept if self._adapted else dict(kept.named_parameters())
        for key, parameter in self.student.named_parameters():
            if key in mine:
                yield mine[key], full(parameter)

    @torch.no_grad()
    def after_step(self, optimizer_step: int) -> None:
        """Refresh copies and averages after optimizer step number `optimizer_step` (1, 2, ...)."""
        for name, teacher in self.teachers.items():
            if teacher.weights == "copy" and optimizer_step % teacher.every == 0:
                for kept, now in self._pairs(name):
                    kept.copy_(now)
            elif teacher.weights == "ema":
                for kept, now in self._pairs(name):
                    kept.lerp_(now.to(kept.dtype), teacher.rate)

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """What a checkpoint must keep: the tensors of copies and averages (the initial weights included)."""
        return {n: dict(c) if self._adapted else c.state_dict() for n, c in self._copies.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Restore what `state_dict` gave."""
        for name, tensors in state.items():
            if self._adapted:
                self._write(self._copies[name], tensors)
            else:
                self._copies[name].load_state_dict(tensors)


def contexts(batch: RolloutBatch, teacher: Teacher) -> tuple[Hint | None, ...]:
    """The hint a teacher gets for each response, None where it is off. Raises BadInput on a wrong count."""
    hints: list[Hint | None] = [None] * batch.n_rows
    for group in batch.groups():
        given = list(teacher.context(group))
        if len(given) != group.size:
            raise BadInput(f"teacher context: expected {group.size} hints (or None), got {len(given)}")
        for row, hint in zip(group.rows, given, strict=True):
            hints[row] = hint
    return tuple(hints)


def passes(
    batch: RolloutBatch, pool: TeacherPool, prompt_of: PromptOf, transform: Callable[..., Any] | None = None
) -> dict[str, TeacherPass]:
    """Ready-to-run teachers of a batch. `transform(batch, hints)` lets a placebo exchange the contexts."""
    ready = {}
    for name, teacher in pool.teachers.items():
        hints = contexts(batch, teacher)
        if transform is not None:
            hints = transform(batch, hints)
        openings = batch.opening or ("",) * batch.n_rows
        prompts = tuple(None if h is None else prompt_of(batch.items[b], h, openings[b]) for b, h in enumerate(hints))
        ready[name] = TeacherPass(model=lambda n=name: pool.model(n), prompts=prompts, hints=hints)
    return ready
