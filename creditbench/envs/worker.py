"""Runs one world in its own interpreter and answers requests, one JSON object per line. Standard library only.

Started as `PYTHON -s -P worker.py WORLD.py` with a stream socket (or pipes) as standard input and output. Whatever the
world prints is dropped, so that it cannot break the protocol or fill a pipe. A world is a Python file with

    facts() -> dict                     what it is (versions); `sessions`: episodes one process can hold, 0 for any
    open_episode(request, seed)         an object: `first` (dict: observation ...), `step(action) -> dict`, `close()`
    CALLS = {name: function}            anything else a benchmark asks of it (making games, listing tasks)

Requests: hello; reset (session, request, seed); step (session, action); close (session); call (name, arguments).
"""

import ctypes
import importlib.util
import json
import os
import signal
import sys

PROTOCOL = 1


def load_world(path):
    """Import the world's file; its folder is importable beside it."""
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec = importlib.util.spec_from_file_location("creditbench_world", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["creditbench_world"] = module
    spec.loader.exec_module(module)
    return module


class Worker:
    """The open episodes of one world, imported at the first request so that a broken import is told, not a crash."""

    def __init__(self, path):
        self.path, self.module, self.episodes = path, None, {}

    def answer(self, message):
        """The reply to one request."""
        if self.module is None:
            self.module = load_world(self.path)
        op, session = message.get("op"), message.get("session")
        if op == "hello":
            return {"protocol": PROTOCOL, "facts": self.module.facts()}
        if op == "reset":
            self.close(session)
            self.episodes[session] = episode = self.module.open_episode(message["request"], message["seed"])
            return episode.first
        if op == "step":
            return self.episodes[session].step(message["action"])
        if op == "close":
            return self.close(session)
        if op == "call":
            return {"result": self.module.CALLS[message["name"]](**message["arguments"])}
        raise ValueError(f"unknown request {op!r}")

    def close(self, session):
        """Forget an episode."""
        episode = self.episodes.pop(session, None)
        if episode is not None and hasattr(episode, "close"):
            episode.close()
        return {}


def main(path):
    """Answer until the other side closes."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no orphan, even when hung
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    worker = Worker(path)
    for line in source:
        try:
            reply = {"ok": True, **worker.answer(json.loads(line))}
        except Exception as error:
            reply = {"ok": False, "error": f"{type(error).__name__}: {' '.join(str(error).split())}"[:500]}
        sink.write(json.dumps(reply).encode() + b"\n")
        sink.flush()


if __name__ == "__main__":
    main(sys.argv[1])
