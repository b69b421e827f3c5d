"""For all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from creditbench.accelerators import VISIBLE


@pytest.fixture(autouse=True)
def _accelerators_stay_visible() -> Iterator[None]:
    """A command that runs inside a test's process may hide them; the tests after it see them again."""
    before = os.environ.get(VISIBLE)
    yield
    os.environ.pop(VISIBLE, None)
    if before is not None:
        os.environ[VISIBLE] = before
