"""Check the data of a track before anything costs time: rows against the card, ids, and what train and test share."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from creditbench.benchmark import get_benchmark
from creditbench.errors import BadInput, CheckFailed
from creditbench.records import digest_rows, write_json
from creditbench.suite import load_suite, track_of


def check_data(suite_name: str, track_name: str, out: Path | None = None) -> dict[str, Any]:
    """Load every split that a track uses; check ids, sizes and the card's digest; optionally write the facts.

    Raises BadInput for an empty split or an id that appears twice, CheckFailed where rows are not the card's.
    """
    suite = load_suite(suite_name)
    track = track_of(suite, track_name)
    rows: list[dict[str, Any]] = []
    texts: dict[str, set[str]] = {"train": set(), "dev": set(), "test": set()}
    for role, ref in [("train", track.train), ("dev", track.dev), *[("test", ref) for ref in track.eval]]:
        if ref is None:
            continue
        benchmark = get_benchmark(ref.benchmark)
        items = benchmark.load(ref.split, dict(ref.options))
        where = f"benchmark {ref.benchmark}, split {ref.split!r}"
        if not items:
            raise BadInput(f"{where}: no problems (window, options or data folder?)")
        twice = [name for name, n in Counter(item.id for item in items).items() if n > 1]
        if twice:
            raise BadInput(f"{where}: problem id {twice[0]!r} appears twice")
        digest, stated = digest_rows(items), benchmark.card.splits.get(ref.split, {}).get("digest")
        if stated and not ref.options and stated != digest:
            raise CheckFailed(f"{where}: rows have SHA-256 {digest[:16]}..., the card says {str(stated)[:16]}...")
        mine = {" ".join(item.problem.split()) for item in items}
        texts[role] |= mine
        row = {"role": role, "benchmark": ref.benchmark, "split": ref.split, "n": len(items), "digest": digest}
        rows.append(row | {"label": getattr(ref, "label", ref.benchmark), "same_as_train": len(mine & texts["train"])})
    overlap = {"train_test": len(texts["train"] & texts["test"]), "dev_test": len(texts["dev"] & texts["test"])}
    found = {"suite": suite.name, "track": track_name, "splits": rows, "overlap": overlap}
    if out is not None:
        write_json(out, found)
    return found
