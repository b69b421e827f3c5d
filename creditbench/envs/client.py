"""An environment whose world runs in another process: the contract of `benchmark.Environment`, with one retry."""

from __future__ import annotations

import weakref
from typing import Any

from creditbench.benchmark import Step
from creditbench.envs.pool import Pool, Stale
from creditbench.envs.wire import Lost
from creditbench.items import Item, digest_text

RETRIES = 1
MOVES = 50  # how often an episode follows its host to a new process because of other episodes


class EnvironmentLost(RuntimeError):
    """The world failed, and failed again after a replay in a fresh process. The episode is an `error`, ours."""


class Served:
    """One episode in a served world. `admissible` are the actions it accepts now (empty when it does not say).

    A world that crashes, hangs, or answers too much or garbage is started again, and the episode replayed from
    (item, seed, actions); every replayed observation must be the one seen before. This is done once per episode;
    `restarts` and `restart_reason` stand in the info of every later step. `deadline_s` bounds one step in all.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        spec = pool.spec
        self.deadline_s = 4 * (spec.start_s + spec.step_s) + spec.step_cap * spec.step_s / 10
        self.restarts, self.restart_reason = 0, ""
        self.admissible: tuple[str, ...] = ()
        self._release: weakref.finalize | None = None

    def reset(self, item: Item, seed: int) -> str:
        """Open the item's episode. Raises EnvironmentLost."""
        self._leave()
        self._host = self._pool.seat()
        self._session = self._host.session()
        self._generation: int | None = None
        self._cell: list[int | None] = [None]
        self._release = weakref.finalize(self, _forget, self._host, self._session, self._cell)
        request = {"id": item.id, "problem": item.problem, "meta": dict(item.meta)}
        self._opening = {"op": "reset", "session": self._session, "request": request, "seed": seed}
        self._actions: list[str] = []
        self._seen: list[str] = []
        self._over, self.restarts, self.restart_reason = False, 0, ""
        self._first: dict[str, Any] = {}
        self._safely(None)
        return str(self._first["observation"])

    def step(self, action: str) -> Step:
        """Take one action. Raises EnvironmentLost."""
        if self._over:
            return Step("", 0.0, True, False)
        reply = self._safely(action)
        observation = str(reply["observation"])
        self._actions.append(action)
        self._seen.append(digest_text(observation))
        capped = len(self._actions) >= self._pool.spec.step_cap
        self._over = bool(reply.get("done")) or capped
        info = dict(reply.get("info") or {}) | {"steps": len(self._actions)}
        if self.restarts:
            info |= {"restarts": self.restarts, "restart_reason": self.restart_reason}
        if self._over:
            self._leave()
        return Step(observation, float(reply.get("reward", 0.0)), self._over, bool(reply.get("valid", True)), info)

    def _safely(self, action: str | None) -> dict[str, Any]:
        """Open the episode where it is not open, then take the action (None: nothing more)."""
        for _ in range(MOVES):
            try:
                if self._generation is None:
                    self._open()
                if action is None:
                    return self._first
                return self._ask({"op": "step", "session": self._session, "action": action})
            except Stale:
                self._generation = None
            except Lost as error:
                self._generation = None
                if self.restarts >= RETRIES:
                    why = f"{self._pool.spec.name}: {error} (again, after: {self.restart_reason})"
                    raise EnvironmentLost(why) from None
                self.restarts, self.restart_reason = self.restarts + 1, str(error)
        raise EnvironmentLost(f"{self._pool.spec.name}: its process was lost {MOVES} times")

    def _open(self) -> None:
        """Reset, and replay what was done before; the world must say the same again."""
        first, self._generation = self._host.ask(self._opening, self._pool.spec.start_s)
        self._cell[0] = self._generation
        if self._first and first["observation"] != self._first["observation"]:
            raise EnvironmentLost(f"{self._pool.spec.name}: the replay differs at the first observation")
        self._first = first
        self.admissible = tuple(first.get("admissible") or ())
        for number, (action, digest) in enumerate(zip(self._actions, self._seen, strict=True)):
            reply = self._ask({"op": "step", "session": self._session, "action": action})
            if digest_text(str(reply["observation"])) != digest:
                raise EnvironmentLost(f"{self._pool.spec.name}: the replay differs after action {number}")

    def _ask(self, message: dict[str, Any]) -> dict[str, Any]:
        reply, _ = self._host.ask(message, self._pool.spec.step_s, self._generation)
        if not isinstance(reply.get("observation"), str):
            raise Lost("an answer without an observation")
        self.admissible = tuple(reply.get("admissible") or ())
        return reply

    def _leave(self) -> None:
        if self._release is not None:
            self._release()


def _forget(host: Any, session: int, cell: list[int | None]) -> None:
    host.forget(session, cell[0])
