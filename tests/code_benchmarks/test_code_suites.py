"""Code tracks of suites: what counts as data that is here, and one track run to its scores on local rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_kit import lcb_row, write_rows

from creditbench.suite.available import unavailable
from creditbench.suite.schema import Track


def track(train: dict[str, object], test: dict[str, object]) -> Track:
    return Track.model_validate({"base": {"random": {}}, "train": train, "eval": [test]})


def test_a_track_is_here_when_the_files_it_asks_for_are(root: Path, monkeypatch: pytest.MonkeyPatch):
    train = {"benchmark": "code_training", "split": "train", "options": {"files": ["code/a.jsonl", "code/b.jsonl"]}}
    own = {"benchmark": "codeforces", "split": "own"}
    write_rows(root / "data/code/a.jsonl", [lcb_row("a", "2025-01-01", [("1", "2")] * 2)])
    assert "put code/b.jsonl into" in str(unavailable(track(train, own)))
    write_rows(root / "data/code/b.jsonl", [lcb_row("b", "2025-01-01", [("1", "2")] * 2)])
    assert unavailable(track(train, own)) is None  # the own problems are shipped
    official = {"benchmark": "codeforces", "split": "test"}
    assert "codeforces: put code/codeforces/test.parquet or" in str(unavailable(track(train, official)))
    monkeypatch.delenv("CREDITBENCH_DATA")
    assert "CREDITBENCH_DATA is not set" in str(unavailable(track(train, own)))
