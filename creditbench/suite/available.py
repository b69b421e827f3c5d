"""Whether a track's data is on this machine: a track without data is skipped with one clear line, not an error."""

from __future__ import annotations

from collections.abc import Sequence

from creditbench.benchmark import get_benchmark
from creditbench.data.source import unavailable as unavailable_rows
from creditbench.suite.schema import DataRef, Track


def unavailable(track: Track) -> str | None:
    """Why the track cannot run here, or None. Only looks at names of files; loading checks the rows."""
    refs = (track.train, *track.eval, *([track.dev] if track.dev is not None else []))
    wanted = {
        (ref.benchmark, str(ref.options.get("source", "auto")), tuple(ref.options.get("files", ()))): None
        for ref in refs
        if not get_benchmark(ref.benchmark).card.splits.get(ref.split, {}).get("file")  # shipped with the benchmark
    }
    reasons = [_reason(name, mode, files) for name, mode, files in wanted]
    reasons += [_told(ref) for ref in refs]
    return next((reason for reason in reasons if reason), None)


def _told(ref: DataRef) -> str | None:
    """What the benchmark itself says is missing."""
    check = getattr(get_benchmark(ref.benchmark).module, "missing", None)
    return check(ref.options) if callable(check) else None  # pyright: ignore[reportReturnType]


def _reason(name: str, mode: str, files: Sequence[str] = ()) -> str | None:
    """`files` are the option of that name: all of them are needed, from the local folder."""
    data = get_benchmark(name).card.data
    if files:
        reasons = [unavailable_rows(name, {"files": [file]}, "local") for file in files]
        return next((reason for reason in reasons if reason), None)
    if data.get("pool"):
        return next((reason for part in data["pool"] if (reason := _reason(part, mode))), None)
    return unavailable_rows(name, data, mode) if data.get("files") or data.get("hub") else None
