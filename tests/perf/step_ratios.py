"""Step costs of the tiny math track as ratios, the sides taken in turn in one process on one thread.

    python -m tests.perf.step_ratios [--base FOLDER] [--rounds 20] [--out FILE]

- our GRPO step against the step of TRL's own GRPOTrainer (its sampling, its loss): same model, prompts per step,
  group size, token cap, threads; at most 1. Left out with a line where the extra `trl` is not installed;
- OAR-P's step against GRPO's: at most 2.6;
- a step with dynamic sampling (DAPO) against GRPO's: at most 1.5.

FOLDER is the track's saved base; without it the card's recipe is trained first (a minute or two of one core). Every
round takes one step of each side, from the same weights on; ratios are of medians, in CPU seconds of this process (one
thread, so that neighbours on the machine do not count). Exits 1 when a ratio is above its limit.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from creditbench.basemodel import build_model
from creditbench.benchmark import get_benchmark
from creditbench.items import Completion
from creditbench.method import get_method
from creditbench.sampling import open_engine
from creditbench.suite import load_suite, models_of, resolve
from creditbench.tokenizer import load_tokenizer
from creditbench.trainer.collect import Source, prompts_of_step
from creditbench.trainer.loop import Setup, State, make_optimizer, train_step
from creditbench.trainer.run import load_model
from creditbench.trainer.teachers import TeacherPool

LIMITS = {"grpo / trl": 1.0, "oar_p / grpo": 2.6, "dapo / grpo": 1.5}
WARM_UP = 2


@dataclass
class Clock:
    """Seconds of every step of one side: of this process's CPU, and of the wall."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    tokens: list[float] = field(default_factory=list)

    @contextmanager
    def step(self):
        """Time the block."""
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)

    def median(self, name: str = "cpu") -> float:
        """Median over the steps after the warm-up."""
        return statistics.median(getattr(self, name)[WARM_UP:])


def open_arm(arm: str, base: Path) -> tuple[Setup, State]:
    """An arm of suite tiny on its math track, as a run opens it, from the saved base."""
    spec = resolve(load_suite("tiny"), arm, "math", 0)
    benchmark = get_benchmark(spec.train.benchmark)
    method = get_method(spec.method).method(spec.settings.method)
    protocol = benchmark.card.protocol
    source = Source(
        benchmark, tuple(benchmark.load(spec.train.split, spec.train.options)), protocol,
        load_tokenizer(base, thinking=protocol.thinking), "math", 0,
    )  # fmt: skip
    model = load_model(base, spec.settings)
    setup = Setup(source=source, method=method, settings=spec.settings)
    pool = TeacherPool(model, method.teachers)
    return setup, State(model, make_optimizer(model, spec.settings), pool, open_engine("raw", model))


def stepper(arm: str, base: Path, clock: Clock) -> Callable[[], None]:
    """A function that takes the arm's next step and times it."""
    setup, state = open_arm(arm, base)

    def step() -> None:
        with clock.step():
            row, _ = train_step(setup, state)
        clock.tokens.append(row["generated_tokens"])

    return step


def beside_trl(base: Path, rounds: int, ours: Callable[[], None]) -> Clock:
    """TRL's own GRPOTrainer from the same base; after each of its steps `ours` takes one. Returns TRL's times."""
    from datasets import Dataset
    from transformers import AutoTokenizer, PrinterCallback, TrainerCallback
    from trl import GRPOTrainer

    from creditbench.trainer_trl import config

    setup, state = open_arm("grpo", base)
    source, s, clock = setup.source, setup.settings, Clock()
    items = [item for step in range(rounds) for item in prompts_of_step(source, step, s.prompts_per_step)]
    prompts = [str(source.benchmark.prompt(item, source.protocol)) for item in items]

    def reward(prompts: Any, completions: Sequence[str], number: Sequence[int], completion_ids: Any, **_: Any):
        clock.tokens.append(float(sum(len(ids) for ids in completion_ids)))
        pairs = zip(completions, completion_ids, strict=True)
        done = [Completion(text, len(ids), "stop", tuple(ids)) for text, ids in pairs]
        return [g.reward for g in source.benchmark.grade([items[n] for n in number], done, source.protocol)]

    class Turns(TrainerCallback):
        """Times TRL's steps and lets the other side step in between."""

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.block = clock.step()
            self.block.__enter__()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.block.__exit__(None, None, None)
            ours()

    with tempfile.TemporaryDirectory() as folder:
        args = config(setup, folder)
        args.max_steps = rounds
        trainer = GRPOTrainer(
            model=state.model, reward_funcs=reward, args=args,  # pyright: ignore[reportArgumentType]
            train_dataset=Dataset.from_dict({"prompt": prompts, "number": list(range(len(prompts)))}),
            processing_class=AutoTokenizer.from_pretrained(base), callbacks=[Turns()],
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return clock


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, print one line per ratio."""
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--base", default="")
    words.add_argument("--rounds", type=int, default=20)
    words.add_argument("--out", default="", help="write the numbers as JSON")
    given = words.parse_args(argv)
    torch.set_num_threads(1)
    rounds = given.rounds + WARM_UP
    with tempfile.TemporaryDirectory() as folder:
        if given.base:
            base = Path(given.base)
        else:
            [spec] = [m for m in models_of(load_suite("tiny"), "math") if m.role == "base"]
            base = build_model(spec, Path(folder))
        clocks = {name: Clock() for name in ("grpo", "oar_p", "dapo")}
        steps = [stepper(name, base, clock) for name, clock in clocks.items()]
        for _ in range(rounds):
            for step in steps:
                step()
        if find_spec("trl") is None:
            print("grpo / trl: left out, the extra `trl` is not installed")
        else:
            clocks["grpo beside trl"] = Clock()
            clocks["trl"] = beside_trl(base, rounds, stepper("grpo", base, clocks["grpo beside trl"]))
    pairs = {name: tuple(name.split(" / ")) for name in LIMITS} | {"grpo / trl": ("grpo beside trl", "trl")}
    found: dict[str, Any] = {"rounds": given.rounds, "ratios": {}}
    above = 0
    for name, (over, under) in pairs.items():
        if under not in clocks or over not in clocks:
            continue
        a, b = clocks[over], clocks[under]
        ratio, wall, limit = a.median() / b.median(), a.median("wall") / b.median("wall"), LIMITS[name]
        above += ratio > limit
        found["ratios"][name] = {"cpu": ratio, "wall": wall, "limit": limit}
        print(
            f"{name:13} {ratio:5.2f} (at most {limit:g}; wall {wall:.2f}): "
            f"{a.median():.3f} s against {b.median():.3f} s, "
            f"{a.median('tokens'):.0f} and {b.median('tokens'):.0f} tokens a step{'   ABOVE' if ratio > limit else ''}"
        )
    if given.out:
        Path(given.out).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return int(above > 0)


if __name__ == "__main__":
    sys.exit(main())
