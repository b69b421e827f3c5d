"""A served toy world on this Python, with short time-outs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from creditbench.envs import Pool, WorldSpec
from creditbench.items import Item

WORLD = Path(__file__).with_name("toy_world.py")


@pytest.fixture
def spec():
    return WorldSpec("toy", WORLD, sys.executable, start_s=20, step_s=1.5, reply_bytes=4096, step_cap=40)


@pytest.fixture
def pool(spec):
    pool = Pool(spec)
    yield pool
    pool.close()


@pytest.fixture
def item(tmp_path):
    return Item("i", "count", meta={"folder": str(tmp_path), "goal": 1000})
