"""The committed tuning log: equal budgets on equal grids, and cards that hold what the dev split chose."""

from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from creditbench.benchmark import repo_root
from creditbench.publish import tuning_trials
from creditbench.suite import load_suite, resolve
from creditbench.tune import TUNING_SEED, chosen_rate

LOG = repo_root() / "results" / "reference" / "tuning-tiny.csv"
CORE = ("grpo", "dapo", "opd", "opsd", "cast", "sc_grpo", "oar_g")
NEIGHBOURS = (
    "dr_grpo", "gspo", "rloo", "reinforce_pp", "cispo", "top_entropy", "rlsd", "rlrt", "grail", "sdpg", "sdpo",
)  # fmt: skip


def trials() -> dict[str, list[dict[str, str]]]:
    """arm -> its rows of the log."""
    found = defaultdict(list)
    with LOG.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            assert int(row["seed"]) == TUNING_SEED
            found[row["arm"]].append(row)
    return found


def test_every_method_had_the_same_number_of_trials():
    log = trials()
    for arm, rows in log.items():
        tracks = ("agent", "code", "math") if arm in CORE else ("math",)
        tried = sorted((row["track"], float(row["lr"])) for row in rows)
        assert tried == [(track, rate) for track in tracks for rate in (1e-4, 3e-4, 1e-3)], arm
    counted = tuning_trials("tiny")
    assert {counted["math", arm] for arm in log} == {3}
    assert counted["code", "grpo"] == 3 and ("code", "oar_p") not in counted


@pytest.mark.parametrize("arm", [*CORE, "oar_p", *NEIGHBOURS])
def test_a_card_holds_what_the_trials_speak_for(arm: str):
    for suite in ("tiny", "tiny-full"):
        assert resolve(load_suite(suite), arm, "math", 0).settings.lr == chosen_rate(trials()[arm])


def test_no_log_means_no_trials(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("creditbench.publish.repo_root", lambda: tmp_path)
    assert tuning_trials("tiny") == {}
