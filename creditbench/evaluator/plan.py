"""Which samples an evaluation draws, in which order, with which seeds: fixed before anything is sampled."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from creditbench import records
from creditbench.benchmark import Benchmark, EvalProtocol, GraderId, Window, validated
from creditbench.errors import BadInput, CheckFailed, unknown
from creditbench.evaluator.rows import generated_row
from creditbench.items import Item, digest_of
from creditbench.seeds import eval_seed


def resolve_protocol(benchmark: Benchmark, protocol: EvalProtocol | Mapping[str, Any] | None) -> EvalProtocol:
    """The card's protocol with the given changes. Raises BadInput naming an unknown or unfit field."""
    if isinstance(protocol, EvalProtocol):
        return protocol
    changes = dict(protocol or {})
    return validated(EvalProtocol, benchmark.card.protocol.model_dump() | changes, f"protocol of {benchmark.name}")


def grader_of(benchmark: Benchmark, protocol: EvalProtocol) -> GraderId:
    """Which rule grades under this protocol: the card's (`default`), another of the task's `graders`, or one of the
    grading room."""
    if protocol.grader in ("default", benchmark.card.grader.id):
        return benchmark.card.grader
    if benchmark.card.graders is not None and protocol.grader not in benchmark.card.graders:
        raise unknown("grader", protocol.grader, benchmark.card.graders, benchmark.name)
    own = getattr(benchmark.module, "graders", {})
    if own:
        if protocol.grader not in own:
            raise unknown("grader", protocol.grader, own, benchmark.name)
        return GraderId(id=protocol.grader, version=own[protocol.grader])
    from creditbench.grading.registry import get_grader, grader_names

    grader = get_grader(protocol.grader)
    if benchmark.card.grader.id not in grader_names():
        rule = benchmark.card.grader.id
        raise BadInput(f"{benchmark.name}: graded by its own rule {rule!r}; {grader.id!r} cannot read its responses")
    return GraderId(id=grader.id, version=grader.version)


def load_items(
    benchmark: Benchmark, split: str, protocol: EvalProtocol, options: Mapping[str, Any] | None
) -> list[Item]:
    """Load a split, keep the protocol's date window, check that there are problems and that their ids differ.

    Raises BadInput. With a window every item needs `meta["date"]` (ISO).
    """
    where = f"benchmark {benchmark.name}, split {split!r}"
    items = in_window(benchmark.load(split, dict(options or {})), protocol.window, where)
    if not items:
        raise BadInput(f"{where}: no problems are left (window, options or data folder?)")
    twice = [name for name, n in Counter(item.id for item in items).items() if n > 1]
    if twice:
        raise BadInput(f"{where}: problem id {twice[0]!r} appears twice")
    return items


def in_window(items: Sequence[Item], window: Window, where: str = "items") -> list[Item]:
    """Items dated inside the window, both ends included; all of them when the window is open on both sides."""
    if window.start is None and window.end is None:
        return list(items)
    kept = []
    for item in items:
        date = str(item.meta.get("date", ""))[:10]
        if not date:
            raise BadInput(f"{where}: problem {item.id!r} has no meta.date, but the protocol has a window")
        if (window.start or "") <= date <= (window.end or "9999-12-31"):
            kept.append(item)
    return kept


class Plan:
    """The samples of an evaluation in their fixed order: problem by problem, k of each, cut into equal batches."""

    def __init__(self, benchmark: Benchmark, protocol: EvalProtocol, items: Sequence[Item], seed: int, batch: int):
        if batch < 1:
            raise BadInput(f"batch: expected at least 1 sample, got {batch}")
        self.benchmark, self.protocol, self.items, self.batch = benchmark, protocol, items, batch
        self.prompts = [benchmark.prompt(item, protocol) for item in items]
        self.prompt_digests = [digest_of(prompt) for prompt in self.prompts]
        self.cells = [(i, s) for i in range(len(items)) for s in range(protocol.k)]
        self.seeds = [eval_seed(benchmark.name, seed, items[i].id, s) for i, s in self.cells]
        if len(set(self.seeds)) != len(self.seeds):
            raise CheckFailed("two samples would share a sampling seed; nothing was sampled")
        self.data_digest = records.digest_rows(items)
        self.prompts_digest = digest_of(self.prompt_digests)

    def data_ref(self) -> records.DataRef:
        """The benchmark's entry of the manifest's `data`."""
        card = self.benchmark.card
        revision = str(card.data.get("revision", card.version))
        return records.DataRef(revision=revision, digest=self.data_digest, n=len(self.items))

    def batches(self) -> list[range]:
        """Index ranges of `cells`, cut every `batch` samples."""
        n = len(self.cells)
        return [range(start, min(start + self.batch, n)) for start in range(0, n, self.batch)]

    def expects(self, table: pa.Table, part: range) -> bool:
        """Whether a stored partial batch holds exactly the samples of `part`."""
        cells = [self.cells[n] for n in part]
        seeds = [self.seeds[n] for n in part]
        wanted = [
            (self.items[i].id, s, seed, self.prompt_digests[i]) for (i, s), seed in zip(cells, seeds, strict=True)
        ]
        names = ("problem_id", "sample", "seed", "prompt_digest")
        return list(zip(*(table[name].to_pylist() for name in names), strict=True)) == wanted

    def sample(self, part: range, engine: Any, tokenizer: Any, workers: int) -> list[dict[str, Any]]:
        """Sample one batch; rows of `GENERATED_SCHEMA`."""
        from creditbench.sampling import EnvStart, SamplingParams, rollout

        rules, cells = self.protocol, [self.cells[n] for n in part]
        params = SamplingParams(rules.max_new_tokens, rules.temperature, rules.top_p, rules.top_k)
        seeds = [self.seeds[n] for n in part]
        make = self.benchmark.environment
        environments = None
        if self.benchmark.card.kind == "agent" and make is not None:
            environments = [EnvStart(make(), self.items[i], seed) for (i, _), seed in zip(cells, seeds, strict=True)]
        start = time.perf_counter()
        episodes = rollout(
            engine, [self.prompts[i] for i, _ in cells], seeds, params, environments, tokenizer=tokenizer,
            max_turns=rules.max_turns, workers=workers,
        )  # fmt: skip
        each = (time.perf_counter() - start) / max(len(cells), 1)
        return [
            generated_row(self.items[i], s, seed, self.prompt_digests[i], episode.completion, each)
            for (i, s), seed, episode in zip(cells, seeds, episodes, strict=True)
        ]
