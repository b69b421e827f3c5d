"""The worker processes of a world and the episodes they hold; a lost process is started again when it is needed."""

from __future__ import annotations

import atexit
import contextlib
import threading
import weakref
from typing import Any

from creditbench.envs.wire import Lost, Wire, WorldSpec
from creditbench.errors import BadInput

PROTOCOL = 1


class Stale(Exception):
    """The process that held an episode has ended since: the episode has to be replayed in its successor."""


class Host:
    """One worker process at a time. `generation` counts them; an episode belongs to the one it was opened in."""

    def __init__(self, spec: WorldSpec) -> None:
        self.spec, self.lock = spec, threading.Lock()
        self.wire: Wire | None = None
        self.facts: dict[str, Any] = {}
        self.generation, self.seats, self._next = 0, 0, 0
        self._closing: list[tuple[int, int]] = []

    def session(self) -> int:
        """A number for a new episode."""
        with self.lock:
            self._next += 1
            return self._next

    def ask(self, message: dict[str, Any], seconds: float, generation: int | None = None) -> tuple[dict[str, Any], int]:
        """The reply and the generation it came from.

        Raises Stale when `generation` is over, Lost when this request ended the process (it is started again with the
        next request) or the world raised (the process goes on).
        """
        with self.lock:
            if generation is not None and (generation != self.generation or self.wire is None):
                raise Stale
            wire = self._running()
            for session, of in self._closing:
                if of == self.generation:
                    self._send(wire, {"op": "close", "session": session}, self.spec.step_s)
            self._closing.clear()
            return self._send(wire, message, seconds), self.generation

    def _running(self) -> Wire:
        if self.wire is None:
            self.generation += 1
            self.wire = Wire(self.spec)
            hello = self._send(self.wire, {"op": "hello"}, self.spec.start_s)
            if hello.get("protocol") != PROTOCOL:
                self.end()
                spoken = hello.get("protocol")
                raise BadInput(f"environment {self.spec.name}: speaks protocol {spoken!r}, not {PROTOCOL}")
            self.facts = dict(hello.get("facts") or {})
        return self.wire

    def _send(self, wire: Wire, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        try:
            return wire.request(message, seconds)
        except Lost:
            # After any failure the state of the process is unknown: a clean one is cheaper than a doubtful result.
            self.end()
            raise

    def end(self) -> None:
        """End the process, if there is one."""
        wire, self.wire = self.wire, None
        if wire is not None:
            wire.close()

    def forget(self, session: int, generation: int | None) -> None:
        """Close an episode with the next request."""
        self.seats -= 1
        if generation is not None:
            self._closing.append((session, generation))


class Pool:
    """Up to `spec.processes` workers that share the episodes; more when a process can hold only a few at a time."""

    def __init__(self, spec: WorldSpec) -> None:
        self.spec = spec
        self._hosts: list[Host] = []
        self._lock = threading.Lock()
        _POOLS.add(self)

    def facts(self) -> dict[str, Any]:
        """What the world says of itself. Raises BadInput, naming the reason, when it cannot be started."""
        host = self.seat()
        try:
            host.ask({"op": "hello"}, self.spec.start_s)
        except Lost as error:
            raise BadInput(f"environment {self.spec.name}: {error}") from None
        finally:
            host.seats -= 1
        return dict(host.facts)

    def call(self, name: str, seconds: float | None = None, **arguments: Any) -> Any:
        """Ask for one of the world's further functions. Raises BadInput with the world's own reason."""
        host = self.seat()
        try:
            reply, _ = host.ask({"op": "call", "name": name, "arguments": arguments}, seconds or self.spec.start_s)
        except Lost as error:
            raise BadInput(f"environment {self.spec.name}: {name}: {error}") from None
        finally:
            host.seats -= 1
        return reply["result"]

    def seat(self) -> Host:
        """The host for a new episode: the one with the fewest."""
        with self._lock:
            capacity = next((int(h.facts.get("sessions", 0)) for h in self._hosts if h.facts), 0)
            free = [h for h in self._hosts if not capacity or h.seats < capacity]
            best = min(free, key=lambda h: h.seats, default=None)
            if best is None or (best.seats and len(self._hosts) < self.spec.processes):
                best = Host(self.spec)
                self._hosts.append(best)
            best.seats += 1
            return best

    def close(self) -> None:
        """End all processes; the next request starts new ones."""
        for host in self._hosts:
            with contextlib.suppress(OSError):
                host.end()


_POOLS: weakref.WeakSet[Pool] = weakref.WeakSet()


@atexit.register
def _end_all() -> None:
    for pool in list(_POOLS):
        pool.close()
