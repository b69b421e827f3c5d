"""lm-eval over the shipped code tasks: the same items, prompts and judge as our own evaluation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from code_kit import ROOT, lcb_row, said, write_rows

from creditbench.benchmark import get_benchmark

OWN = [json.loads(line) for line in (ROOT / "benchmarks/codeforces/own/own.jsonl").read_text().splitlines()]
DOUBLE = "print(2 * int(input()))"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("creditbench.data.lmeval_task._LOADED", {})
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(ROOT)


def run(task: str, folder: Path, kwargs: str, say: Any) -> dict[str, Any]:
    """Run a copy of a shipped task whose `dataset_kwargs` are these; `say(doc, n)` is the n-th response."""
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    text = (ROOT / "benchmarks" / task.split("_")[1] / f"{task}.yaml").read_text()
    text, changed = re.subn(r"(?m)^dataset_kwargs: .*$", f"dataset_kwargs: {kwargs}", text)
    assert changed == 1
    split = re.search(r"split: (\w+)", kwargs)
    text = text.replace("test_split: test", f"test_split: {split[1] if split else 'test'}")
    text = text.replace("repeats: 8", "repeats: 2")
    folder.mkdir()
    (folder / f"{task}.yaml").write_text(text)

    class Scripted(LM):
        def __init__(self) -> None:
            super().__init__()
            self.count: dict[str, int] = {}

        def loglikelihood(self, requests):
            raise AssertionError("not asked for")

        loglikelihood_rolling = loglikelihood

        def generate_until(self, requests):
            out = []
            for request in requests:
                n = self.count[request.args[0]] = self.count.get(request.args[0], -1) + 1
                out.append(say(request.doc, n))
            return out

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return simple_evaluate(Scripted(), tasks=[task], task_manager=manager, log_samples=True, bootstrap_iters=0)


def test_livecodebench_with_a_window(root: Path, boxed: None):
    tests = [("1\n", "2\n"), ("3\n", "6\n")]
    dates = {"a": "2024-01-01", "b": "2025-01-01", "c": "2025-02-01"}
    write_rows(root / "data/code/rows.jsonl", [lcb_row(id, date, tests) for id, date in dates.items()])
    options = 'options: {files: [code/rows.jsonl], start: "2024-12-31"}'
    kwargs = f"{{benchmark: livecodebench, prompt: plain, {options}}}"
    found = run("creditbench_livecodebench", root / "tasks", kwargs,
                lambda doc, n: said(DOUBLE).text if (doc["id"], n) != ("c", 1) else "I do not know")  # fmt: skip
    rows = found["samples"]["creditbench_livecodebench"]
    assert [row["doc"]["id"] for row in rows] == ["b", "c"]
    assert [(row["avg@k"], row["pass@k"], row["unparsed"]) for row in rows] == [(1.0, 1.0, 0.0), (0.5, 1.0, 0.5)]
    benchmark = get_benchmark("livecodebench", ROOT)
    item = benchmark.load("test", {"files": ["code/rows.jsonl"]})[1]
    assert rows[0]["arguments"][0][0] == benchmark.prompt(item, benchmark.card.protocol)
    assert found["results"]["creditbench_livecodebench"]["avg@k,all"] == 0.75


def test_codeforces_own_problems_with_their_checkers(root: Path, boxed: None):
    known = {row["id"]: row for row in OWN}
    ids = ["900/A", "902/A", "902/B"]

    def say(doc: dict[str, Any], n: int) -> str:
        row = known[doc["id"]]
        return said(row["solutions"][-1] if n == 0 else row["incorrect_solutions"][0]["code"]).text

    kwargs = f"{{benchmark: codeforces, prompt: chat, split: own, options: {{ids: {json.dumps(ids)}}}}}"
    rows = run("creditbench_codeforces_chat", root / "tasks", kwargs, say)["samples"]["creditbench_codeforces_chat"]
    assert [row["doc"]["id"] for row in rows] == ids
    assert [(row["avg@k"], row["error"]) for row in rows] == [(0.5, 0.0)] * 3
    assert all("standard input" in row["arguments"][0][0] for row in rows)
