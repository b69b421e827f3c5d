"""What a run keeps while it goes on: a checkpoint, and the lines of its curve and trace."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import torch

from creditbench.records import atomic_path
from creditbench.records.atomic import sweep
from creditbench.trainer.fsdp import load_whole_state, whole_state
from creditbench.trainer.loop import Ledger, State

CURVE_LINES = "curve.jsonl"
TRACE_LINES = "trace.jsonl"
CHECKPOINT = "checkpoint.pt"


def save(path: Path, state: State, main: bool = True) -> None:
    """Write a checkpoint whole: weights, optimizer, teachers, counters. Everything random is derived, nothing kept.

    It says which run it is of and what the curve and the trace hold so far: after a loss of power, and on a disk that
    errs, a run that went on from parts that do not belong together would give a record with holes, or another result.
    All processes call it (a sharded model is gathered), the main one writes.
    """
    weights, moments = whole_state(state.model, state.optimizer)
    if not main:
        return
    sweep(path)
    with atomic_path(path) as private:
        torch.save(
            {
                "model": weights,
                "optimizer": moments,
                "teachers": state.pool.state_dict(),
                "step": state.step,
                "optimizer_step": state.optimizer_step,
                "ledger": vars(state.ledger),
                "run": path.parent.name,
                "lines": {name: _held(path.with_name(name)) for name in (CURVE_LINES, TRACE_LINES)},
            },
            private,
        )


def restore(path: Path, state: State) -> None:
    """Continue from a checkpoint when there is one; a damaged one, or one whose curve and trace are not there any
    more, is removed and the run starts again.

    One that cannot be read just now (no memory, a disk that does not answer) is not damaged: the error goes on.
    """
    if not path.exists():
        return
    try:
        kept = _read(path)
    except FileNotFoundError:
        return  # another process of this run has just removed it
    except Exception as error:
        if isinstance(error, MemoryError | OSError) or "allocate memory" in str(error):
            raise
        path.unlink(missing_ok=True)
        return
    load_whole_state(state.model, state.optimizer, kept["model"], kept["optimizer"])
    state.pool.load_state_dict(kept["teachers"])
    state.step, state.optimizer_step = kept["step"], kept["optimizer_step"]
    state.ledger = Ledger(**kept["ledger"])


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint's content. Raises ValueError (and what torch raises) when it is damaged or does not fit its folder.

    torch writes checksums but does not look at them again.
    """
    with zipfile.ZipFile(path) as file:
        if (broken := file.testzip()) is not None:
            raise ValueError(f"{broken}: damaged")
    kept = torch.load(path, map_location="cpu", weights_only=True)
    if kept["run"] != path.parent.name:
        raise ValueError("of another run")
    for name, (size, digest) in kept["lines"].items():
        if _held(path.with_name(name), size) != (size, digest):
            raise ValueError(f"{name}: not what it was")
    return kept


def _held(path: Path, size: int = -1) -> tuple[int, str]:
    """Length and SHA-256 of a file, or of its first `size` bytes; of nothing where there is no file."""
    if not path.exists():
        return 0, hashlib.sha256().hexdigest()
    with path.open("rb") as file:
        data = file.read(size)
    return len(data), hashlib.sha256(data).hexdigest()


def truncate(path: Path, step: int) -> None:
    """Keep only the lines of steps before `step`: a kill may leave lines that the checkpoint does not know."""
    if not path.exists():
        return
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            if json.loads(line)["step"] < step:
                kept.append(line)
        except (ValueError, KeyError, TypeError):
            continue
    with atomic_path(path) as private:
        private.write_text("".join(line + "\n" for line in kept), encoding="utf-8")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Parsed JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
