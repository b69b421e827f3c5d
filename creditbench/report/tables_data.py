"""`contamination.csv`: what a track's model could have seen: shared n-grams with its training set, and dates.

One row per track and benchmark. Overlap: counts of the decontamination step (option `against` of the training set),
which dropped what it found. Window: days of publication of the benchmark's problems against the base model's release;
a problem from before may have been in its pretraining data, one from after cannot. Dates are no proof of either.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from creditbench.benchmark import get_benchmark
from creditbench.data.load import overlap_path
from creditbench.data.window import windows
from creditbench.errors import CreditBenchError
from creditbench.evaluator import load_items, resolve_protocol
from creditbench.records import read_json

Row = dict[str, Any]
COLUMNS = (
    "track", "training_set", "benchmark", "n_train", "with_8gram", "with_13gram", "dropped", "same_text", "model",
    "model_released", "first", "last", "n_before", "n_after", "window", "note",
)  # fmt: skip


def contamination_rows(suite: Any, folder: Path) -> list[Row]:
    """Rows of `contamination.csv` for a suite whose results lie in `folder`; what cannot be known is empty, and why."""
    return [
        _row(name, track, ref, folder) for name, track in sorted(suite.tracks.items()) for ref in track.eval
    ]


def _row(name: str, track: Any, ref: Any, folder: Path) -> Row:
    counts, missing = _overlap(track.train, ref.benchmark)
    dates, undated = _window(track, ref)
    row: Row = {"track": name, "training_set": track.train.benchmark, "benchmark": ref.label, **counts, **dates}
    row["same_text"] = _same_text(folder, name, ref.label)
    row["note"] = "; ".join(text for text in (*_claims(ref), missing, undated) if text)
    return row


def _claims(ref: Any) -> list[str]:
    """What scores on these items can claim, where the benchmark says that it is less than usual (`meta.claim`)."""
    try:
        benchmark = get_benchmark(ref.benchmark)
        items = load_items(benchmark, ref.split, resolve_protocol(benchmark, dict(ref.protocol)), dict(ref.options))
    except CreditBenchError:
        return []
    return sorted({str(item.meta["claim"]) for item in items if "claim" in item.meta})


def _overlap(train: Any, benchmark: str) -> tuple[Row, str]:
    against = list(train.options.get("against") or ())
    if pool := next((name for name in against if benchmark in _pool(name)), ""):
        return {}, f"its problems were checked as part of {pool}"
    if benchmark not in against:
        return {}, f"no n-gram check of {train.benchmark} against {benchmark} was asked for (option against)"
    path = overlap_path(train.benchmark, against)
    try:
        found = read_json(path)
        counts = found["counts"][benchmark]
    except (CreditBenchError, KeyError, TypeError):
        return {}, f"{path.name}: no n-gram counts here"
    names = {"train_with_8gram": "with_8gram", "train_with_13gram": "with_13gram", "dropped": "dropped"}
    return {"n_train": found.get("n_train"), **{ours: counts.get(theirs) for theirs, ours in names.items()}}, ""


def _pool(name: str) -> list[str]:
    """Benchmarks that a pooled one consists of; none for one with rows of its own."""
    try:
        return list(get_benchmark(name).card.data.get("pool") or ())
    except (CreditBenchError, AttributeError):
        return []


def _window(track: Any, ref: Any) -> tuple[Row, str]:
    model = track.base.hub
    if not model:
        return {}, "the base model is made by this suite: it has seen its own corpus only"
    try:
        benchmark = get_benchmark(ref.benchmark)
        protocol = resolve_protocol(benchmark, dict(ref.protocol))
        row = windows({ref.label: load_items(benchmark, ref.split, protocol, dict(ref.options))}, [model])[0]
    except CreditBenchError as error:
        return {"model": model}, str(error)
    return {key: value for key, value in row.items() if key in COLUMNS and key != "benchmark"}, ""


def _same_text(folder: Path, track: str, label: str) -> int | None:
    """Problems that the training set and this benchmark have in common word for word, from the data check."""
    try:
        rows = read_json(folder / "data" / f"{track}.json")["splits"]
        return next(int(row["same_as_train"]) for row in rows if row["role"] == "test" and row["label"] == label)
    except (CreditBenchError, KeyError, TypeError, ValueError, StopIteration):
        return None
