"""The appworld benchmark without its package: refusals, programs, scores on recorded states, private transcripts."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from creditbench import records
from creditbench.benchmark import get_benchmark, private_transcripts
from creditbench.data.lmeval_export import export
from creditbench.envs.box import box_words
from creditbench.errors import BadInput, Refused
from creditbench.evaluator.episodes import episode_values, scenario_completion
from creditbench.items import Completion, Item, Turn

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def appworld():
    return get_benchmark("appworld", ROOT)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A folder laid out like AppWorld's, with made-up tasks: three of each of two scenarios."""
    root = tmp_path / "appworld" / "data"
    names = [f"{scenario}_{n}" for scenario in ("aa11", "bb22") for n in (1, 2, 3)]
    for name in names:
        (root / "tasks" / name).mkdir(parents=True)
        (root / "tasks" / name / "specs.json").write_text(json.dumps({"instruction": f"made up for {name}"}))
    (root / "datasets").mkdir()
    (root / "datasets" / "dev.txt").write_text("\n".join(names) + "\n")
    monkeypatch.setenv("CREDITBENCH_DATA", str(tmp_path))
    return root


def test_without_data_one_line_says_what_to_download(appworld, monkeypatch, tmp_path):
    monkeypatch.delenv("CREDITBENCH_DATA", raising=False)
    with pytest.raises(BadInput) as told:
        appworld.load("test_normal", {})
    assert "\n" not in str(told.value) and "appworld download data" in str(told.value)
    monkeypatch.setenv("CREDITBENCH_DATA", str(tmp_path))
    with pytest.raises(BadInput, match=str(tmp_path)):
        appworld.module.world_changes()
    with pytest.raises(BadInput, match="unknown split 'test'"):
        appworld.load("test", {})


@pytest.mark.parametrize(("split", "n"), [("train", 90), ("train", 105), ("dev", 57), ("dev", 60)])
def test_both_sizes_of_the_official_splits_are_taken(appworld, data, split, n):
    """2606.18810 trains on 90 official tasks and its pass@8 are multiples of 1/57; the package's own are 105, 60."""
    names = [f"s{i // 3}_{i % 3 + 1}" for i in range(n)]
    for name in names:
        (data / "tasks" / name).mkdir()
    (data / "datasets" / f"{split}.txt").write_text("\n".join(names))
    assert [i.id for i in appworld.load(split, {})] == names


def test_items_hold_no_text_of_the_tasks(appworld, data, monkeypatch):
    with pytest.raises(BadInput, match="6 tasks, the official split has 60 or 57"):
        appworld.load("dev", {})
    monkeypatch.setitem(appworld.module.SPLITS, "dev", (6,))
    items = appworld.load("dev", {})
    assert [i.id for i in items][:2] == ["aa11_1", "aa11_2"] and items[5].meta["scenario"] == "bb22"
    assert "made up" not in json.dumps([[i.problem, i.solution, dict(i.meta)] for i in items])
    assert len({i.meta["sha256"] for i in items}) == 6
    (data / "tasks" / "aa11_1" / "specs.json").write_text("{}")
    assert appworld.load("dev", {"n": 1})[0].digest != items[0].digest


@pytest.mark.parametrize(
    ("turn", "program"),
    [
        ("<code>print(1)</code>", "print(1)"),
        ("I try <code>a()</code>, rather <code>\nb()\n</code> done", "b()"),
        ("<code>\nfor x in y:\n    f(x)", "for x in y:\n    f(x)"),
        ("So:\n```python\nc()\n```\nand that is it", "c()"),
        ("apis.supervisor.complete_task()", "apis.supervisor.complete_task()"),
    ],
)
def test_programs(appworld, turn, program):
    assert appworld.module.read_program(turn) == program


def recorded(won, completed=True, finish="stop", valid=True):
    info = {"completed": completed, "won": won, "passes": 4, "failures": 0 if won else 1}
    turns = (Turn("model", "<code>x()</code>", 5, 0.0, valid),)
    return Completion("<code>x()</code>", 5, finish, turns=turns, reward=float(won), info=info)


def test_one_outcome_for_each_ending(appworld):
    items = [Item(f"s_{n}", "", meta={"task": f"s_{n}", "scenario": "s"}) for n in range(6)]
    done = [
        recorded(True), recorded(False), recorded(False, completed=False, finish="steps"),
        recorded(False, False, "length"), recorded(False, False, "steps", valid=False), recorded(True, finish="error"),
    ]  # fmt: skip
    graded = appworld.grade(items, done, appworld.card.protocol)
    assert [g.outcome for g in graded] == ["correct", "wrong", "wrong", "truncated", "unparsed", "error"]
    assert [g.reward for g in graded] == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    assert graded[0].extracted == "x()" and all(g.detail["scenario"] == "s" for g in graded)
    assert graded[1].detail["failures"] == 1 and graded[0].verdict == "all tests pass"


# Two scenarios of three tasks, two samples each: rows are tasks, columns samples.
STATES = {"a_1": (1, 1), "a_2": (1, 0), "a_3": (1, 1), "b_1": (0, 1), "b_2": (1, 1), "b_3": (1, 1)}


def test_scores_on_recorded_states():
    """Sample 0 solves scenario a only, sample 1 scenario b only: SGC 1/2. Best of two first would claim 1."""
    rows = [(task[0], s, bool(right)) for task, marks in STATES.items() for s, right in enumerate(marks)]
    assert scenario_completion(*map(list, zip(*rows, strict=True))) == 0.5
    table = pa.table({
        "detail": [json.dumps({"scenario": c, "turns": [{"role": "model", "valid": True}]}) for c, _, _ in rows],
        "sample": [s for _, s, _ in rows],
        "outcome": ["correct" if right else "wrong" for _, _, right in rows],
    })  # fmt: skip
    assert episode_values(table)["sgc"] == 0.5
    assert scenario_completion(["a", "a", "b"], [0, 0, 0], [True, True, True]) == 1.0
    assert scenario_completion(["a", "a", "b"], [0, 0, 0], [True, False, False]) == 0.0


def test_transcripts_are_not_published(tmp_path):
    assert "encrypted" in private_transcripts("appworld", ROOT)
    assert private_transcripts("webshop", ROOT) == private_transcripts("unknown_here", ROOT) == ""
    facts = {
        "benchmark": "appworld", "label": "appworld", "benchmark_version": "1", "split": "dev", "options": {},
        "protocol": {"k": 1}, "grader": {"id": "appworld-tests", "version": "1"},
        "engine": {"name": "raw", "version": "1"}, "batch": 1, "prompts_digest": "0" * 64, "chance": 0.0,
        "n_problems": 1, "n_requested": 1, "n_graded": 1,
    }  # fmt: skip
    record = tmp_path / "record"
    record.mkdir()
    records.write_manifest(record, records.new_manifest("eval", config={}, eval=facts))
    with pytest.raises(Refused, match=r"completions of appworld stay private: .*encrypted"):
        export(record, tmp_path / "out", root=ROOT)
    assert not (tmp_path / "out").exists()


def test_no_box_no_run(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused, match="appworld: it executes the model's programs and needs bubblewrap"):
        box_words("appworld", root=ROOT)


def test_pages_show_no_text_of_private_transcripts():
    """The evidence room never opens the samples of such a benchmark: this group has no folder to open."""
    from creditbench.report.html.evidence import packed_json, texts

    group: Any = SimpleNamespace(manifest=SimpleNamespace(eval=SimpleNamespace(benchmark="appworld")))
    shown = texts(group, 10**6, ROOT)
    assert "stay private" in shown.rule and shown.stride == -1
    why = private_transcripts("appworld", ROOT)
    assert shown.blob == packed_json({"prompts": [], "samples": {}, "why": f"These texts stay private: {why}"})
