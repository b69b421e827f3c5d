"""What the shipped lm-eval tasks (`benchmarks/*/creditbench_*.yaml`) call: our items, our prompts, our graders.

lm-eval hands over text only, without finish reasons, so every completion counts as ended: a sample that our own
evaluation calls truncated is wrong or unparsed here. `avg@k` and `pass@k` are over the k repeats of a document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from creditbench.benchmark import Benchmark, get_benchmark
from creditbench.items import Completion, Item, canonical_json

METRICS = ("avg@k", "pass@k", "unparsed", "error", "k")


def dataset(
    benchmark: str, prompt: str = "boxed", split: str = "test", options: Mapping[str, Any] | None = None, **_: Any
) -> dict[str, Any]:
    """`custom_dataset` of a task: the frozen items as documents, with the rendered prompt.

    options: of the benchmark's `load` (a window or a release, say), as `dataset_kwargs` of a task or of a copy of it.
    For `prompt: chat` the document holds the user's message, which lm-eval puts into the model's template.
    """
    from datasets import Dataset

    found = get_benchmark(benchmark)
    protocol = found.card.protocol.model_copy(update={"prompt": prompt})
    docs = []
    asked = canonical_json(dict(options or {}))
    for item in found.load(split, json.loads(asked)):
        rendered = found.prompt(item, protocol)
        text = rendered if isinstance(rendered, str) else rendered[-1]["content"]
        where = {"benchmark": benchmark, "split": split, "options": asked}
        docs.append({**where, "id": item.id, "prompt": text, "answer": item.answer})
    return {split: Dataset.from_list(docs)}


def keep_all(resps: Iterable[Sequence[str]], docs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Filter that keeps every repeat; lm-eval's default takes the first and drops the rest."""
    return [list(samples) for samples in resps]


def process_results(doc: dict[str, Any], results: Sequence[Any]) -> dict[str, float]:
    """Grade all repeats of a document by the benchmark's own grader."""
    samples = list(results[0]) if results and not isinstance(results[0], str) else [str(r) for r in results]
    found = get_benchmark(doc["benchmark"])
    item = _items(found, doc["split"], doc["options"])[doc["id"]]
    done = [Completion(text, 0, "stop") for text in samples]
    graded = found.grade([item] * len(done), done, found.card.protocol.model_copy(update={"thinking": False}))
    k = len(graded)
    correct = sum(g.correct for g in graded)
    return {
        "avg@k": correct / k,
        "pass@k": float(correct > 0),
        "unparsed": sum(g.outcome == "unparsed" for g in graded) / k,
        "error": sum(g.outcome == "error" for g in graded) / k,
        "k": float(k),
    }


_LOADED: dict[tuple[str, str, str], dict[str, Item]] = {}


def _items(benchmark: Benchmark, split: str, options: str) -> dict[str, Item]:
    """Items by id, loaded once per process."""
    key = (benchmark.name, split, options)
    if key not in _LOADED:
        _LOADED[key] = {item.id: item for item in benchmark.load(split, json.loads(options))}
    return _LOADED[key]
