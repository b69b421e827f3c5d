"""A world that counts, and misbehaves when told to: always, or only the first time (a file remembers)."""

import json
import os
import signal
import sys
import time


class Garbage:
    def encode(self):
        return b'{"ok": true, "observation": "\xff\xfe"}'


def facts():
    return {"packages": {"toy": "1.0"}, "sessions": 0, "pid": os.getpid()}


def misbehave(how):
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "exit":
        os._exit(7)
    if how == "hang":
        time.sleep(60)
    if how == "raise":
        raise RuntimeError("the cellar\nis flooded")
    if how == "megabyte":
        return "x" * (1 << 20)
    if how == "bytes":
        json.dumps = lambda value: Garbage()
    if how == "number":
        return 17
    return "?"


class Episode:
    def __init__(self, request, seed):
        self.meta, self.count = request["meta"], seed % 100
        print("noise on standard output")
        sys.stdout.flush()
        self.first = {"observation": f"at {self.count}", "admissible": ["add 1", "add 2"]}

    def step(self, action):
        word, _, rest = action.partition(" ")
        if word == "add":
            self.count += int(rest)
        if word == "drift":  # breaks the rule of replay
            return {"observation": f"{os.getpid()}"}
        if word in ("once", "always"):
            mark = os.path.join(self.meta["folder"], "mark")
            if word == "always" or not os.path.exists(mark):
                open(mark, "w").close()
                return {"observation": misbehave(rest)}
        done = self.count >= self.meta.get("goal", 1000)
        return {
            "observation": f"at {self.count}", "reward": float(done), "done": done, "valid": word == "add",
            "admissible": [f"add {self.count}"], "info": {"won": done},
        }  # fmt: skip


def open_episode(request, seed):
    return Episode(request, seed)


CALLS = {"double": lambda x: 2 * x}
