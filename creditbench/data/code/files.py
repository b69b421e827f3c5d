"""Which files or hub rows a split reads, checked against the card's pins, as converted problems."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from creditbench.benchmark import BenchmarkCard
from creditbench.data import source
from creditbench.data.code.store import file_sha, index_of, index_of_file
from creditbench.errors import BadInput, CheckFailed, unknown
from creditbench.items import digest_text

Row = Mapping[str, Any]
_OTHER = "option files takes other rows"


def rows_of(
    card: BenchmarkCard, folder: Path, split: Mapping[str, Any], options: Mapping[str, Any]
) -> Iterator[Row]:
    """Converted problems (see store.index_of) of a split, file by file.

    Raises BadInput: one line that says what to put where; CheckFailed: a file is not the pinned one.
    """
    mode, training = str(options.get("source", "auto")), card.role == "training-set"
    if split.get("file"):
        path = folder / str(split["file"])
        _check_pin(card.id, path, split)
        yield from index_of_file(card.id, path)
        return
    if options.get("files"):
        for name in options["files"]:
            yield from index_of_file(card.id, _local(card.id, str(name)), training)
        return
    if "releases" in card.data:
        for name in release_files(card, str(options.get("release", card.data["releases"]["default"]))):
            path = _pinned(card, name, mode)
            yield from index_of_file(card.id, path, training)
        return
    reason = source.unavailable(card.id, card.data, mode)
    if reason:
        raise BadInput(reason)
    here = source.local_folder()
    if mode != "hub" and here is not None:
        path = next(here / name for name in card.data["files"] if (here / name).is_file())
        yield from index_of_file(card.id, path, training)
        return
    rows, where = source.hub_rows(card.id, card.data)
    yield from index_of(card.id, rows, where, digest_text(f"{where}:{card.data.get('split')}"), training)


def release_files(card: BenchmarkCard, release: str) -> list[str]:
    """Files of a release by its name: `release_v3` is files 1 to 3, `v3` file 3, `v2_v4` files 2 to 4."""
    names = list(card.data["files"])
    found = re.fullmatch(r"(release_)?v([0-9]+)(?:_v([0-9]+))?", release)
    last = int(found[3] or found[2]) if found else 0
    first = 1 if found and found[1] else int(found[2]) if found else 0
    if not found or (found[1] and found[3]) or not 1 <= first <= last <= len(names):
        known = [f"release_v{n}" for n in range(1, len(names) + 1)] + [f"v{n}" for n in range(1, len(names) + 1)]
        raise unknown("release", release, known, card.id)
    return names[first - 1 : last]


def _local(name: str, file: str) -> Path:
    here = source.local_folder()
    if here is None:
        raise BadInput(f"{name}: option files: {source.VARIABLE} is not set; expected a folder that holds {file}")
    if not (here / file).is_file():
        raise BadInput(f"{name}: option files: put {file} into {here}")
    return here / file


def _pinned(card: BenchmarkCard, name: str, mode: str) -> Path:
    """A release's file, from the local folder or the hub's pinned commit, with the card's size and digest."""
    if mode not in source.MODES:
        raise unknown("source", mode, source.MODES, f"{card.id}: options")
    here, hub = source.local_folder(), str(card.data["hub"])
    if mode == "local" or (mode == "auto" and here is not None):
        path = _local(card.id, name)
    else:
        revision = str(card.data["revision"])
        try:
            from huggingface_hub import hf_hub_download

            path = Path(hf_hub_download(hub, Path(name).name, repo_type="dataset", revision=revision))
        except Exception as error:
            reason = " ".join(str(error).split())[:160] or type(error).__name__
            raise BadInput(
                f"{card.id}: {Path(name).name} of {hub}@{revision[:8]} could not be downloaded ({reason}); set "
                f"{source.VARIABLE} to a folder that holds {name}"
            ) from None
    _check_pin(card.id, path, card.data["files"][name])
    return path


def _check_pin(name: str, path: Path, facts: Mapping[str, Any]) -> None:
    """Compare a file with its size and SHA-256; a digest of which only both ends are public is written `head…tail`."""
    if not path.is_file():
        raise BadInput(f"{name}: {path}: no such file")
    size, wanted = facts.get("bytes"), str(facts.get("sha256", ""))
    if size is not None and path.stat().st_size != size:
        raise CheckFailed(f"{name}: {path}: {path.stat().st_size} bytes, the card says {size} ({_OTHER})")
    head, _, tail = wanted.partition("…")
    found = file_sha(path) if wanted else ""
    if not (found.startswith(head) and found.endswith(tail)) or ("…" not in wanted and found != wanted):
        raise CheckFailed(f"{name}: {path}: SHA-256 is {found[:16]}, the card says {wanted[:16]} ({_OTHER})")
