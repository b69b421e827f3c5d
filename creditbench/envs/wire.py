"""One worker process and the stream to it: bounded replies, hard time-outs, and the end of the whole process group."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from creditbench.errors import BadInput
from creditbench.sandbox.launch import in_spawner

WORKER = Path(__file__).with_name("worker.py")
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")


class Lost(Exception):
    """The world did not answer as it must (crashed, hung, too long, not UTF-8 JSON, or it raised): why, in one line."""


@dataclass(frozen=True)
class WorldSpec:
    """How to run a world: its file, the interpreter, and its bounds (seconds, and bytes per reply).

    `wrap` are words before the interpreter's (a box), `environ` further environment variables, `address` a served
    world's `host:port/token` instead of a process of our own.
    """

    name: str
    world: Path
    python: str
    start_s: float = 60.0
    step_s: float = 20.0
    reply_bytes: int = 1 << 18
    step_cap: int = 100
    processes: int = 1
    wrap: tuple[str, ...] = ()
    environ: dict[str, str] = field(default_factory=dict)
    address: str = ""

    @property
    def words(self) -> list[str]:
        """The worker's command line (not -I, which would ignore PYTHONHASHSEED)."""
        return [*self.wrap, self.python, "-s", "-P", str(WORKER), str(self.world)]


def start_worker(
    spec: WorldSpec, stream: socket.socket, stderr: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    """Start a worker that talks over `stream`, in a process group of its own, with few environment variables."""
    environ = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environ |= {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8", **spec.environ}
    handle = stream.fileno()

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            spec.words, stdin=handle, stdout=handle, stderr=stderr, env=environ, start_new_session=True
        )

    try:
        # A worker dies with the thread that started it, so one that lives as long as the process has to do it.
        return in_spawner(start)
    except OSError as error:
        raise BadInput(f"environment {spec.name}: cannot start {spec.words[0]}: {error}") from None


def end_worker(process: subprocess.Popen[bytes]) -> None:
    """Kill a worker's whole process group and reap it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)


class Wire:
    """An open worker. `request` raises Lost for anything but a whole, timely, well-formed, positive reply."""

    def __init__(self, spec: WorldSpec) -> None:
        self.spec, self._rest, self.process, self._words = spec, b"", None, -1
        if spec.address:
            self._socket = _connect(spec)
            return
        self._socket, theirs = socket.socketpair()
        # What a box or an interpreter says when it cannot start; the worker itself writes nothing there.
        self._words, told = os.pipe()
        os.set_blocking(self._words, False)
        try:
            with theirs:
                self.process = start_worker(spec, theirs, told)
        finally:
            os.close(told)

    def request(self, message: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Send one request and wait at most `seconds` for the reply."""
        until = time.monotonic() + seconds
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(json.dumps(message).encode() + b"\n")
            line = self._line(until, seconds)
        except TimeoutError:
            raise Lost(f"no answer within {seconds:g} s") from None
        except OSError as error:
            raise Lost(f"the process is gone ({self._ending(error)})") from None
        return _parsed(line)

    def _line(self, until: float, seconds: float) -> bytes:
        parts, size = [self._rest], len(self._rest)
        while b"\n" not in parts[-1]:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            block = self._socket.recv(1 << 16)
            if not block:
                raise ConnectionError("end of stream")
            parts.append(block)
            size += len(block)
            if size > self.spec.reply_bytes:
                raise Lost(f"an answer of more than {self.spec.reply_bytes} bytes")
        line, self._rest = b"".join(parts).split(b"\n", 1)
        return line

    def _ending(self, error: OSError) -> str:
        if self.process is None:
            return str(error)
        said: list[str] = []
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(2)
            with contextlib.suppress(BlockingIOError):
                said = os.read(self._words, 4096).decode("utf-8", "replace").strip().splitlines()[-1:]
            how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
            return f"{how}: {said[0]}"[:300] if said else how
        return str(error)

    def close(self) -> None:
        """End the worker; a served one is ended by its server, which sees the stream close."""
        self._socket.close()
        if self.process is not None:
            end_worker(self.process)
        if self._words >= 0:
            os.close(self._words)
            self._words = -1


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        reply = json.loads(line.decode("utf-8", "strict"))
    except UnicodeDecodeError:
        raise Lost("an answer that is not UTF-8") from None
    except (ValueError, RecursionError):
        raise Lost("an answer that is not JSON") from None
    if not isinstance(reply, dict):
        raise Lost(f"an answer that is no object but {type(reply).__name__}")
    if reply.get("ok") is not True:
        raise Lost(str(reply.get("error", "refused without a reason"))[:500])
    return reply


def _connect(spec: WorldSpec) -> socket.socket:
    place, _, token = spec.address.partition("/")
    host, _, port = place.rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit() or not token:
        raise BadInput(f"environment {spec.name}: address: expected 127.0.0.1:PORT/TOKEN, got {place!r}")
    try:
        stream = socket.create_connection((host, int(port)), timeout=spec.start_s)
        stream.sendall(token.encode() + b"\n")
    except OSError as error:
        raise Lost(f"no server at {place}: {error}") from None
    return stream
