"""One loader for every math benchmark and training set: read, normalise, drop copies, check, choose, freeze.

Options of `load(split, options)`:
    source   auto (default: the folder when CREDITBENCH_DATA is set, else the hub) | local | hub
    file     exactly this one of the card's local files, instead of the first that is there
    n, seed  a subset: the n items with the smallest hash of (seed, item); independent of file order, nested in n
    ids      exactly these items
    against  benchmarks whose n-grams a training set must not share; overlapping items are dropped before choosing
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from creditbench.benchmark import BenchmarkCard, get_benchmark, read_yaml, repo_root, validated
from creditbench.data.frozen import check_record, identify, read_frozen
from creditbench.data.schema import NoAnswer, Problem, read_row
from creditbench.data.source import read_rows, record
from creditbench.errors import BadInput, CheckFailed, unknown
from creditbench.grading.registry import Gold
from creditbench.items import Item, digest_of
from creditbench.records import read_json, write_json
from creditbench.seeds import derive

OPTIONS = ("source", "file", "n", "seed", "ids", "against")


def read_card(folder: Path) -> BenchmarkCard:
    """The card of a benchmark folder."""
    path = folder / "card.yaml"
    return validated(BenchmarkCard, read_yaml(path), str(path))


def load_items(folder: Path, split: str, options: Mapping[str, Any]) -> list[Item]:
    """Items of a split of the benchmark in `folder`; see the module's docstring for the options.

    Raises BadInput (unknown split or option, missing or malformed data), CheckFailed (not the frozen items).
    """
    card = read_card(folder)
    if split not in card.splits:
        raise unknown("split", split, card.splits, card.id)
    for key in options:
        if key not in OPTIONS:
            raise unknown("option", key, OPTIONS, card.id)
    mode = str(options.get("source", "auto"))
    pool = card.data.get("pool")
    if pool:
        items = _pooled(pool, mode)
    elif file := options.get("file"):
        items = _own(_only_file(card, str(file)), folder, "local")
    else:
        items = _own(card, folder, mode)
    _check_count(card, split, items)
    if options.get("against"):
        items = without_overlap(card.id, items, list(options["against"]), mode)
    return choose(card.id, split, items, options)


def _only_file(card: BenchmarkCard, file: str) -> BenchmarkCard:
    """The card with one of its local files left."""
    known = list(card.data.get("files", ()))
    if file not in known:
        raise unknown("file", file, known, f"{card.id}: options")
    return card.model_copy(update={"data": {**card.data, "files": [file]}})


def _own(card: BenchmarkCard, folder: Path, mode: str) -> list[Item]:
    """Items of a set with rows of its own."""
    rows, where, pinned = read_rows(card.id, card.data, mode)
    training = card.role == "training-set"
    unique, facts = drop_copies(_problems(card, rows, where), training, f"{card.id}: {where}")
    if training:
        record(card.id, {"from": where, **facts})
        return [_item(f"{card.id}-{problem.text_key[:16]}", problem, {}) for problem in unique]
    frozen = read_frozen(folder / "items.csv")
    if frozen is None:
        named = [(f"{card.id}-{problem.text_key[:12]}", problem) for problem in unique]
        check_record(card.id, {id: problem.key for id, problem in named}, where)
    else:
        named = identify(card.id, unique, frozen, where, pinned)
    dates = {} if frozen is None else frozen.dates
    whole = card.grader.id.startswith("integer")
    released = str(card.data.get("released", ""))
    return [_item(id, problem, {"date": dates.get(id) or released, "integer": whole}) for id, problem in named]


def _problems(card: BenchmarkCard, rows: Iterable[Mapping[str, Any]], where: str) -> Iterator[Problem | None]:
    """Rows as problems; None for a row without an answer, which only a training set may have."""
    extra = tuple(card.data.get("columns", ()))
    for number, row in enumerate(rows, start=1):
        try:
            yield read_row(row, f"{card.id}: {where}: row {number}", extra)
        except NoAnswer:
            if card.role != "training-set":
                raise
            yield None


def _pooled(names: Sequence[str], mode: str) -> list[Item]:
    """Items of several benchmarks as one; ids carry the benchmark's name."""
    return [
        Item(f"{name}/{item.id}", item.problem, item.answer, item.solution, {**item.meta, "pool": name})
        for name in names
        for item in get_benchmark(name).load("test", {"source": mode})
    ]


def _item(id: str, problem: Problem, meta: Mapping[str, Any]) -> Item:
    """The frozen item of a problem; answers beyond the first and the tolerance live in `meta`."""
    more: dict[str, Any] = {**problem.extra, **{k: v for k, v in meta.items() if v not in ("", None)}}
    if len(problem.answers) > 1:
        more["answers"] = list(problem.answers)
    if problem.tolerance is not None:
        more["tolerance"] = problem.tolerance
    return Item(id, problem.problem, ", ".join(problem.answers), problem.solution, more)


def gold_of(item: Item) -> Gold:
    """What the graders compare with."""
    answers = tuple(item.meta.get("answers") or (item.answer,))
    return Gold(answers, item.meta.get("tolerance"), bool(item.meta.get("integer", False)))


def drop_copies(
    problems: Iterable[Problem | None], training: bool = False, where: str = "rows"
) -> tuple[list[Problem], dict[str, int]]:
    """First copy of every problem text, in order, and counts of rows, copies, conflicts and rows without answer.

    A problem that comes with two answers is left out of a training set (nobody can say which is right); in a
    benchmark it raises CheckFailed.
    """
    first: dict[str, Problem] = {}
    conflicts: dict[str, str] = {}
    rows = unanswered = 0
    for problem in problems:
        rows += 1
        if problem is None:
            unanswered += 1
            continue
        known = first.setdefault(problem.text_key, problem)
        if known.key != problem.key:
            conflicts[problem.text_key] = problem.problem[:60]
    if conflicts and not training:
        shown = next(iter(conflicts.values()))
        raise CheckFailed(f"{where}: {len(conflicts)} problems come with two answers, first {shown!r}")
    kept = [problem for key, problem in first.items() if key not in conflicts]
    facts = {"rows": rows, "items": len(kept), "conflicts": len(conflicts), "unanswered": unanswered}
    return kept, facts


def _check_count(card: BenchmarkCard, split: str, items: Sequence[Item]) -> None:
    """The card's `n` of a split, where it states one exactly."""
    expected = card.splits[split].get("n")
    if expected is not None and len(items) != expected:
        raise CheckFailed(f"{card.id}, split {split!r}: {len(items)} items, the card says {expected}")


def choose(name: str, split: str, items: list[Item], options: Mapping[str, Any]) -> list[Item]:
    """Apply `ids` or `n` and `seed`. A subset's ids are stored in `results/data/` and checked when it is made again."""
    ids = options.get("ids")
    if ids is not None:
        by_id = {item.id: item for item in items}
        for id in ids:
            if id not in by_id:
                raise unknown("item", str(id), by_id, f"{name}: option ids")
        return [by_id[id] for id in ids]
    n = options.get("n")
    if n is None:
        return items
    if not isinstance(n, int) or not 1 <= n <= len(items):
        raise BadInput(f"{name}: option n: expected 1 to {len(items)}, got {n!r}")
    seed = int(options.get("seed", 0))
    chosen = subset(items, n, seed)
    _store_subset(name, split, chosen, n, seed, sorted(options.get("against") or ()))
    return chosen


def subset(items: Sequence[Item], n: int, seed: int) -> list[Item]:
    """The n items with the smallest hash of (seed, id), in that order."""
    return sorted(items, key=lambda item: (derive("subset", seed, item.id), item.id))[:n]


def _store_subset(name: str, split: str, chosen: Sequence[Item], n: int, seed: int, against: Sequence[str]) -> None:
    suffix = f".against-{digest_of(list(against))[:8]}" if against else ""
    path = repo_root() / "results" / "data" / "subsets" / f"{name}.{split}.n{n}.seed{seed}{suffix}.json"
    facts = {"set": name, "split": split, "n": n, "seed": seed, "against": list(against)}
    ids = [item.id for item in chosen]
    if path.is_file():
        if read_json(path).get("ids") != ids:
            raise CheckFailed(f"{path}: the subset made now has other ids: the source or the rule has changed")
        return
    write_json(path, {**facts, "digest": digest_of([item.digest for item in chosen]), "ids": ids})


def without_overlap(name: str, items: list[Item], against: list[str], mode: str) -> list[Item]:
    """Drop training items that share n-grams with the named benchmarks; the list goes to `results/data/`.

    A benchmark whose `test` leaves problems out names the split that holds them all in `data.decontaminate_split`.
    """
    from creditbench.data.decontaminate import decontaminate

    benchmarks = {}
    for other in against:
        found = get_benchmark(other)
        whole = str(found.card.data.get("decontaminate_split", "test"))
        benchmarks[other] = found.load(whole, _source_option(other, mode))
    report = decontaminate(items, benchmarks)
    write_json(overlap_path(name, against), {"set": name, **report.as_json()})
    dropped = report.dropped_ids
    return [item for item in items if item.id not in dropped]


def overlap_path(name: str, against: Sequence[str]) -> Path:
    """Where the counts and the dropped items of a training set's check against these benchmarks are kept."""
    return repo_root() / "results" / "data" / "decontamination" / f"{name}.{digest_of(sorted(against))[:8]}.json"


def _source_option(name: str, mode: str) -> dict[str, Any]:
    """Only benchmarks of this room know the option `source`."""
    card = get_benchmark(name).card
    return {"source": mode} if "files" in card.data or "pool" in card.data else {}
