"""The history rule: nothing is cut. An episode is one conversation, in plain text and in chat form, until full."""

from __future__ import annotations

import pytest

from creditbench.basemodel.random_model import byte_tokenizer
from creditbench.benchmark import Step
from creditbench.items import Item
from creditbench.sampling import EnvStart, SamplingParams, rollout
from creditbench.sampling.types import Generation
from creditbench.tokenizer import ChatTokenizer


class Plain:
    """Tokens are characters."""

    def encode_prompt(self, rendered, observation=""):
        return [ord(c) for c in rendered + observation]

    def encode_observation(self, text, ended=True):
        return [ord(c) for c in text]

    def decode(self, ids):
        return "".join(map(chr, ids))


class Speaker:
    """Says `act <turn>` and keeps what every row was given, as an engine that holds a cache would."""

    name, version, batch_rows = "speaker", "1", 8

    def __init__(self, encode, max_context=None):
        self.encode, self.given = encode, []
        if max_context is not None:
            self.max_context = max_context

    def session(self, rows, params, capacity=0):
        outer = self

        class Session:
            turn = -1

            def extend(self, blocks, seeds):
                self.turn += 1
                outer.given.append([None if b is None else list(b) for b in blocks])
                ids = outer.encode(f"act {self.turn}")
                return [None if b is None else Generation(tuple(ids), (0.0,) * len(ids), "stop") for b in blocks]

        return Session()


class Door:
    """Tells how often it was knocked at; opens at the last knock."""

    def __init__(self, knocks):
        self.knocks = knocks

    def reset(self, item, seed):
        self.n = 0
        return "a door"

    def step(self, action):
        self.n += 1
        return Step(f"knock {self.n}", done=self.n == self.knocks)


def play(tokenizer, prompt, engine, knocks=4, **options):
    start = EnvStart(Door(knocks), Item("i", "p"), 0)
    params = SamplingParams(options.pop("cap", 12))
    return rollout(engine, [prompt], [1], params, [start], tokenizer=tokenizer, max_turns=9, **options)[0]


def test_plain_text_is_one_text():
    engine = Speaker(lambda text: [ord(c) for c in text])
    episode = play(Plain(), "rules: ", engine)
    whole = "".join(map(chr, episode.prompt_ids + episode.token_ids))
    assert whole == "rules: a dooract 0knock 1act 1knock 2act 2knock 3act 3"
    given = "".join(map(chr, [i for step in engine.given for i in step[0]]))
    assert given == "rules: a doorknock 1knock 2knock 3", "each word is given once: the engine keeps what was before"


def test_chat_form_is_the_template_of_the_whole_conversation():
    hf = byte_tokenizer()
    tokenizer = ChatTokenizer(hf)
    engine = Speaker(lambda text: [*tokenizer.encode(text), tokenizer.eos_id])
    episode = play(tokenizer, [{"role": "user", "content": "rules: "}], engine, cap=40)
    talk = [{"role": "user", "content": "rules: a door"}]
    for n in range(3):
        talk += [{"role": "assistant", "content": f"act {n}"}, {"role": "user", "content": f"knock {n + 1}"}]
    wanted = hf.apply_chat_template(talk, tokenize=False, add_generation_prompt=True) + f"act 3{hf.eos_token}"
    assert hf.decode(list(episode.prompt_ids + episode.token_ids)) == wanted
    said = [t for t, mine in zip(episode.token_ids, episode.model_mask, strict=True) if mine]
    assert hf.decode(said) == "".join(f"act {n}{hf.eos_token}" for n in range(4))


@pytest.mark.parametrize("where", ["argument", "engine"])
def test_a_full_context_ends_the_episode_and_cuts_nothing(where):
    """Prompt 13, turns of 5, observations of 7: before turn t the context holds 13 + 12 t; 12 more must fit."""
    limit = 13 + 12 * 2 + 12
    engine = Speaker(lambda text: [ord(c) for c in text], limit if where == "engine" else None)
    options = {"max_context": limit} if where == "argument" else {}
    episode = play(Plain(), "rules: ", engine, knocks=9, **options)
    assert episode.completion.finish_reason == "length"
    assert [t.text for t in episode.completion.turns if t.role == "model"] == ["act 0", "act 1", "act 2"]
    assert "".join(map(chr, episode.prompt_ids + episode.token_ids)).startswith("rules: a dooract 0knock 1act 1knock 2")
    free = play(Plain(), "rules: ", Speaker(lambda text: [ord(c) for c in text]), knocks=9)
    assert free.completion.finish_reason == "stop" and free.token_ids[: len(episode.token_ids)] == episode.token_ids
