"""Policies without a model: one reads the commands shown and draws, behind the engine interface; one is a script."""

from __future__ import annotations

import random

from creditbench.sampling.types import Generation


class Characters:
    """A tokenizer whose tokens are characters; 0 ends a turn."""

    pad_id, eos_id, vocab_size = 0, 0, 0x110000

    def encode_prompt(self, rendered, observation=""):
        text = rendered if isinstance(rendered, str) else rendered[-1]["content"]
        return [ord(c) for c in text + observation]

    def encode_observation(self, text, ended=True):
        return [ord(c) for c in text]

    def decode(self, ids):
        return "".join(chr(i) for i in ids if i)


class RandomPolicy:
    """Answers with one of the commands that the last observation lists, drawn from the turn's own seed."""

    name, version, batch_rows = "random-policy", "1", 64

    def session(self, rows, params, capacity=0):
        return _Session(params)

    def generate(self, prompts, seeds, params):
        return [g for g in _Session(params).extend(prompts, seeds) if g is not None]


class _Session:
    def __init__(self, params):
        self.params = params

    def extend(self, blocks, seeds):
        return [None if block is None else self._one(block, seed) for block, seed in zip(blocks, seeds, strict=True)]

    def _one(self, block, seed):
        shown = "".join(map(chr, block)).rpartition("Commands: ")[2].splitlines()[0].split("; ")
        ids = (*map(ord, random.Random(seed).choice(shown)), 0)[: self.params.max_new_tokens]
        return Generation(ids, (0.0,) * len(ids), "stop" if ids[-1] == 0 else "length")


def play(environment, item, actions, seed=0):
    """First observation and the steps of a scripted episode; stops where the environment is done."""
    steps, first = [], environment.reset(item, seed)
    for action in actions:
        steps.append(environment.step(action))
        if steps[-1].done:
            break
    return first, steps
