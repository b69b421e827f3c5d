"""`creditbench env serve`: worlds for other processes of this machine, over loopback; one worker per connection."""

from __future__ import annotations

import hmac
import secrets
import select
import socket
import threading
from collections.abc import Callable

from creditbench.envs.wire import WorldSpec, end_worker, start_worker

GREETING_BYTES, GREETING_S, WATCH_MS = 128, 10.0, 500


def serve(
    spec: WorldSpec, port: int = 0, say: Callable[[str], None] = print, stop: threading.Event | None = None
) -> None:
    """Serve a world on 127.0.0.1 until `stop` is set; `say` is told `127.0.0.1:PORT/TOKEN` once it listens.

    A client sends the token as its first line; everything after it is between the client and a worker of its own,
    which is killed when the client hangs up.
    """
    stop = stop or threading.Event()
    token = secrets.token_hex(16)
    with socket.create_server(("127.0.0.1", port)) as listener:
        listener.settimeout(WATCH_MS / 1000)
        say(f"127.0.0.1:{listener.getsockname()[1]}/{token}")
        while not stop.is_set():
            try:
                stream, _ = listener.accept()
            except TimeoutError:
                continue
            threading.Thread(target=_attend, args=(spec, stream, token, stop), daemon=True).start()


def _attend(spec: WorldSpec, stream: socket.socket, token: str, stop: threading.Event) -> None:
    with stream:
        if not _greeted(stream, token):
            return
        stream.settimeout(None)
        process = start_worker(spec, stream)
        try:
            watch = select.poll()
            watch.register(stream.fileno(), select.POLLRDHUP | select.POLLHUP | select.POLLERR)
            while process.poll() is None and not stop.is_set() and not watch.poll(WATCH_MS):
                pass
        finally:
            end_worker(process)


def _greeted(stream: socket.socket, token: str) -> bool:
    """Whether the first line is the token; read byte by byte, so that nothing of what follows is taken."""
    stream.settimeout(GREETING_S)
    line = b""
    try:
        while not line.endswith(b"\n") and len(line) < GREETING_BYTES:
            byte = stream.recv(1)
            if not byte:
                return False
            line += byte
    except OSError:
        return False
    return hmac.compare_digest(line.strip(), token.encode())
