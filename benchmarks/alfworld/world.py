"""ALFWorld's text engine in its own interpreter (alfworld, textworld): official games, or PDDL problems of our own."""

import hashlib
import importlib.metadata
import json
import os
import re

import textworld
from alfworld.agents.environment.alfred_tw_env import AlfredDemangler
from alfworld.info import ALFRED_PDDL_PATH, ALFRED_TWL2_PATH
from textworld.envs.pddl import PddlEnv

PACKAGES = ("alfworld", "textworld", "fast-downward-textworld")
OFFICIAL = "CREDITBENCH_ALFWORLD"  # folder with the official games


def facts():
    """Versions, and how many games one process can play."""
    return {"packages": {name: importlib.metadata.version(name) for name in PACKAGES}, "sessions": 0}


def read(path):
    """A text file."""
    with open(path, encoding="utf-8") as handle:
        return handle.read()


def game_of(meta):
    """What the engine loads: an official file's content, or our problem with the package's own domain and grammar."""
    if meta["games"] == "official":
        text = read(os.path.join(os.environ[OFFICIAL], meta["path"]))
        if hashlib.sha256(text.encode()).hexdigest() != meta["sha256"]:
            raise ValueError(f"{meta['path']}: not the file that the item was made from")
        return json.loads(text)
    grammar = read(ALFRED_TWL2_PATH).replace("UNKNOWN GOAL", meta["goal"])
    return {"pddl_domain": read(ALFRED_PDDL_PATH), "grammar": grammar, "pddl_problem": meta["pddl"]}


def engine(meta, **infos):
    """A loaded game."""
    wanted = textworld.EnvInfos(admissible_commands=True, won=True, **infos)
    env = AlfredDemangler(PddlEnv(wanted))
    env.load(game_of(meta))
    return env


class Episode:
    """One play of one game."""

    def __init__(self, meta):
        self.commands = meta["commands"]
        self.env = engine(meta)
        self.state = self.env.reset()
        self.first = {"observation": self.show(), "admissible": self.admissible}

    @property
    def admissible(self):
        """The commands that do something now, sorted."""
        return sorted(self.state.admissible_commands or ())

    def show(self):
        """The feedback without the engine's greeting, with the commands when asked for."""
        text = re.sub(r"^-= Welcome.*?=-\s*", "", self.state.feedback.strip()).strip()
        return f"{text}\nCommands: {'; '.join(self.admissible)}\n" if self.commands else f"{text}\n"

    def step(self, action):
        """Take one command. The engine says done when the goal holds; only `won` counts."""
        valid = action in self.admissible
        self.state, _, done = self.env.step(action)
        won = bool(self.state.won)
        return {
            "observation": self.show(), "reward": float(won), "done": bool(done or won), "valid": valid,
            "admissible": self.admissible, "info": {"won": won, "normalised_score": float(won)},
        }  # fmt: skip


def open_episode(request, seed):
    """A play of the item's game. Nothing is drawn: `seed` acts nowhere."""
    return Episode(request["meta"])


def solve(meta):
    """Commands of the planner's plan from the start."""
    return list(engine(meta, policy_commands=True).reset().policy_commands)


CALLS = {"solve": solve}
