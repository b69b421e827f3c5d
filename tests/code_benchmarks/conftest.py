"""A results folder of its own per test, and the local data where they are."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from creditbench.data.code import store
from creditbench.sandbox import available

sys.path.insert(0, str(Path(__file__).parent))
from code_kit import DATA


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Nothing reaches the project's results."""
    monkeypatch.setattr("creditbench.data.source.repo_root", lambda: tmp_path)
    monkeypatch.setattr("creditbench.data.load.repo_root", lambda: tmp_path)
    monkeypatch.setenv("CREDITBENCH_DATA", str(tmp_path / "data"))
    store._tests.cache_clear()
    (tmp_path / "data" / "code").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def boxed() -> None:
    """Leaves out a test that runs programs on a machine that has no box at all."""
    status = available()
    if status.mode == "refused":
        pytest.skip(status.reason)


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real rows; leaves the test out where it is not."""
    if not (DATA / "code").is_dir():
        pytest.skip(f"no folder {DATA}/code: set CREDITBENCH_DATA to the local data folder")
    monkeypatch.setenv("CREDITBENCH_DATA", str(DATA))
    return DATA

