"""Agents' data, which must be placed by hand: without it the track is skipped with one line, before anything runs."""

from __future__ import annotations

import pytest

from creditbench.suite import EvalRef, ModelRef, Track
from creditbench.suite.available import unavailable

SHOP = ("items_shuffle.json", "items_ins_v2.json", "items_human_ins.json")


def track(benchmark: str, split: str, **options) -> Track:
    ref = EvalRef(benchmark=benchmark, split=split, options=options)
    return Track(base=ModelRef(random={}), train=ref, eval=[ref])


CASES = [
    (track("webshop", "test", catalogue="official-full"), [f"webshop/{name}" for name in SHOP], "items_shuffle.json"),
    (track("alfworld", "valid_unseen", games="official"), ["alfworld/json_2.1.1/"], "alfworld-download"),
    (track("appworld", "dev"), ["appworld/data/tasks/"], "appworld download data"),
]


@pytest.mark.parametrize(("found", "needs", "said"), CASES, ids=["webshop", "alfworld", "appworld"])
def test_official_data_of_agents(found, needs, said, monkeypatch, tmp_path):
    monkeypatch.delenv("CREDITBENCH_DATA", raising=False)
    assert said in (why := unavailable(found) or "") and "\n" not in why and "CREDITBENCH_DATA" in why
    monkeypatch.setenv("CREDITBENCH_DATA", str(tmp_path))
    for name in needs:
        assert str(tmp_path) in (unavailable(found) or "")
        place = tmp_path / name
        if name.endswith("/"):
            place.mkdir(parents=True)
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text("{}")
    assert unavailable(found) is None


def test_our_own_worlds_need_nothing(monkeypatch):
    monkeypatch.delenv("CREDITBENCH_DATA", raising=False)
    assert unavailable(track("webshop", "test")) is None and unavailable(track("alfworld", "test")) is None
