"""Compare two stored records of one kind: the same bits, or the first place where they part and what may be why."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from creditbench.errors import BadInput
from creditbench.records import read_manifest, read_parquet
from creditbench.records.manifest import Manifest
from creditbench.replay import differences


class Comparison(NamedTuple):
    """`summary` is one line; `reasons` what differs between the two records besides their results."""

    identical: bool
    summary: str
    reasons: list[str]


def compare_records(old: Path, new: Path) -> Comparison:
    """Compare two runs by their traces and weights, or two evaluations sample by sample.

    Raises BadInput when a record is missing or the two are of different kinds.
    """
    a, b = read_manifest(old), read_manifest(new)
    old, new = (path.parent if path.is_file() else path for path in (old, new))
    if a.kind != b.kind or a.kind not in ("run", "eval"):
        raise BadInput(f"{new}: expected a run or an evaluation to set beside {old}, got {b.kind!r} beside {a.kind!r}")
    parts = _runs(old, new, a, b) if a.kind == "run" else _evals(old, new)
    if parts is None:
        return Comparison(True, "identical", [])
    return Comparison(False, parts, differences(a, b))


def _runs(old: Path, new: Path, a: Manifest, b: Manifest) -> str | None:
    from creditbench.trainer.trace import first_difference

    left, right = (read_parquet(folder / "trace.parquet").to_pylist() for folder in (old, new))
    parting = first_difference(left, right)
    if parting is not None:
        return str(parting)
    return None if a.model_digest == b.model_digest else "the traces agree but the saved weights differ"


def _evals(old: Path, new: Path) -> str | None:
    left, right = (read_parquet(folder / "samples.parquet").to_pylist() for folder in (old, new))
    for a, b in zip(left, right, strict=False):
        for field in a:
            if a[field] != b.get(field):
                where = f"problem {a['problem_id']} sample {a['sample']}"
                return f"first difference: {where}, {field}: {a[field]!r} there, {b.get(field)!r} here"
    return None if len(left) == len(right) else f"{len(left)} samples there, {len(right)} here"
