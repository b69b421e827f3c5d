"""A task small enough to learn in seconds: after a one-token problem, the first token must be even."""

from types import SimpleNamespace

import torch

from creditbench.conformance.synthetic import EOS, FIRST_TOKEN, PAD, VOCAB, ids_of, render, tiny_model, words
from creditbench.items import Graded, Item
from creditbench.method import get_method
from creditbench.sampling import open_engine
from creditbench.settings import TrainSettings
from creditbench.trainer.collect import Source
from creditbench.trainer.comm import Comm
from creditbench.trainer.loop import Setup, State, make_optimizer
from creditbench.trainer.teachers import TeacherPool

ITEMS = tuple(Item(f"q{i}", words([i]), answer="", solution=words([8])) for i in range(FIRST_TOKEN, VOCAB))


def even(completion) -> bool:
    return bool(completion.token_ids) and completion.token_ids[0] >= FIRST_TOKEN and completion.token_ids[0] % 2 == 0


def grade(items, completions, protocol):
    return [Graded("correct" if even(c) else "wrong", float(even(c))) for c in completions]


TOKENIZER = SimpleNamespace(
    pad_id=PAD, eos_id=EOS, vocab_size=VOCAB, decode=lambda ids: words([i for i in ids if i != EOS]),
    encode_prompt=lambda rendered, observation="", thinking=None: list(ids_of(rendered)),
)  # fmt: skip
BENCHMARK = SimpleNamespace(
    name="even", prompt=lambda item, protocol, hint=None: words(render(item, hint)), grade=grade, environment=None,
    answer_span=None, module=None,
)  # fmt: skip
S = TrainSettings(
    dtype="float32", prompts_per_step=8, group_size=4, max_new_tokens=3, micro_rows=32, lr=3e-3, steps=20, grad_clip=1.0
)


def open_run(method: str, seed: int, s: TrainSettings = S, comm: Comm = Comm(), **own):
    """Setup and state of a run on the task from one random model; the seed moves data order and sampling."""
    registered = get_method(method)
    built = registered.method({**registered.own_defaults("tiny"), **own})
    model = tiny_model(dtype=torch.float32)
    source = Source(BENCHMARK, ITEMS, None, TOKENIZER, track="even", seed=seed)
    setup = Setup(source=source, method=built, settings=s, comm=comm, dtype=torch.float32)
    pool = TeacherPool(model, built.teachers)
    return setup, State(model, make_optimizer(model, s), pool, open_engine("raw", model))


@torch.no_grad()
def accuracy(model) -> float:
    """Exact probability of an even first token, averaged over the problems: no sampling noise."""
    total = 0.0
    for item in ITEMS:
        p = torch.softmax(model(input_ids=torch.tensor([ids_of(item.problem)])).logits[0, -1].double(), -1)
        total += float(p[FIRST_TOKEN + FIRST_TOKEN % 2 :: 2].sum())
    return total / len(ITEMS)
