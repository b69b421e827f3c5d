"""The job graphs of `standard` and `scgrpo-table1` really run: every job that Snakemake plans, with a random model.

What is cut, and nothing else: one seed; two steps of two problems with two responses of a few tokens; two problems
with one sample per evaluation; no dynamic sampling (a random model solves nothing, and DAPO rightly stops); the base
and the teacher are random byte-level models of about 1 M parameters on the `raw` engine in float32; rows are a handful
made up here, in the files and formats of DAPO-Math-17k and LiveCodeBench, and the shop's own catalogue, evaluated under
the names of the real benchmarks.
Arms, tracks, benchmarks by name, skipped arms, overrides, adapters and updates per rollout are the suites' own.
The commands are those of the dry run, word by word, in one process: a process per job would only add its start.
"""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from creditbench.cli import main
from creditbench.data import source
from creditbench.records import read_manifest
from creditbench.suite import load_suite, make_request
from tests.code_benchmarks.code_kit import lcb_row, write_rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
REPO = Path(__file__).resolve().parents[2]
SHOP = ("webshop", {"train": "train", "dev": "dev", "eval": "test"}, {"catalogue": "own", "seed": 0})
OWN: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "math": ("dapo_math_17k", dict.fromkeys(("train", "dev", "eval"), "train"), {"source": "local"}),
    "code": (
        "livecodebench", {"train": "train_half", "dev": "test", "eval": "eval_half"}, {"files": ["code/rows.jsonl"]}
    ),
    "agent": SHOP,
    "webshop": SHOP,
    "appworld": SHOP,
    "alfworld": SHOP,
}  # fmt: skip
CUT: dict[str, Any] = {
    "engine": "raw", "dtype": "float32", "gradient_checkpointing": False, "steps": 2, "prompts_per_step": 2,
    "group_size": 2, "max_new_tokens": 8, "micro_rows": 8,
}  # fmt: skip


def made_up_rows(folder: Path) -> None:
    """Eight sums and four programs to write, as the hubs' rows are."""
    sums = {f"What is {i} plus {i}?": str(2 * i) for i in range(1, 9)}
    found = [{"prompt": q, "solution": a, "reward_model": {"ground_truth": a}} for q, a in sums.items()]
    write_rows(folder / "math" / "dapo_math_17k.jsonl", found)
    cases = [(f"{i}\n", f"{2 * i}\n") for i in range(6)]
    write_rows(folder / "code" / "rows.jsonl", [lcb_row(f"abc{i}", "2025-03-01T00:00:00", cases) for i in range(4)])


def cut(name: str, folder: Path) -> Path:
    """The suite with the sizes above, as a file of the same name."""
    suite = yaml.safe_load((REPO / "workflows" / "suites" / f"{name}.yaml").read_text())
    suite["seeds"] = [0]
    suite["settings"].update(CUT)
    suite["resources"] = {}
    for method in {"dapo", "sdpg"} & set(suite["arms"]):
        suite.setdefault("overrides", {}).setdefault(method, {})["dynamic_sampling"] = False
    for override in suite.get("overrides", {}).values():
        override.update({key: value for key, value in CUT.items() if key in override and key != "group_size"})
    for track_name, track in suite["tracks"].items():
        benchmark, splits, options = OWN[track_name]
        track["base"] = {"random": {}}
        if "teacher" in track:
            track["teacher"] = {"random": {"seed": 1}}
        track["settings"] = {key: value for key, value in track["settings"].items() if key not in CUT}
        protocol: dict[str, Any] = {"k": 1, "max_new_tokens": 8}
        if "max_turns" in track["settings"]:
            track["settings"]["max_turns"] = protocol["max_turns"] = 2

        def ref(part: str, n: int, seed: int, b: str = benchmark, s: Any = splits, o: Any = options) -> dict[str, Any]:
            return {"benchmark": b, "split": s[part], "options": {"seed": seed, **o, "n": n}}

        labels = [found.get("name") or found["benchmark"] for found in track["eval"]]
        track["train"] = ref("train", 4, 0)
        if "dev" in track:
            track["dev"] = ref("dev", 2, 1)
        track["eval"] = [{**ref("eval", 2, 2), "name": label, "protocol": protocol} for label in labels]
    suite["verdicts"] = {}
    suite["tables"] = {"metrics": ["avg@k"], "headline": "avg@k"}
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(suite))
    return path


def planned(root: Path, suite: Path) -> list[list[str]]:
    """Every command of the dry run, models and data before training before evaluation before tables."""
    words = ["snakemake", "-n", "-p", "--cores", "1", "--config", f"suite={suite}"]
    env = {**os.environ, "PYTHONPATH": str(REPO), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *words]
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    said = done.stdout + done.stderr
    found = re.findall(r"^\s*(?:Shell command: )?creditbench (.+?) > \S+ 2>&1", said, re.MULTILINE)
    order = ("verify", "base", "train", "evaluate", "report")
    return sorted((shlex.split(line) for line in found), key=lambda line: order.index(line[0]))


@pytest.mark.parametrize("name", ["scgrpo-table1", "standard"])
def test_every_job_of_the_graph_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for part in ("Snakefile", "workflows", "methods", "benchmarks", "profiles", "pyproject.toml", "creditbench"):
        (tmp_path / part).symlink_to(REPO / part)
    (tmp_path / "results").mkdir()
    made_up_rows(tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(source.VARIABLE, str(tmp_path / "data"))
    path = cut(name, tmp_path)
    request, shipped = make_request({"suite": str(path)}), load_suite(REPO / "workflows" / "suites" / f"{name}.yaml")
    assert not request.skipped and request.suite.arms == shipped.arms
    assert {t: [ref.label for ref in track.eval] for t, track in request.suite.tracks.items()} == {
        t: [ref.label for ref in track.eval] for t, track in shipped.tracks.items()
    }
    jobs = planned(tmp_path, path)
    kinds = [job[0] for job in jobs]
    assert (kinds.count("train"), kinds.count("evaluate")) == (len(request.runs), len(request.evaluations))
    assert kinds.count("base") == len(request.models) and kinds[-1] == "report"
    for job in jobs:
        assert main(job) == 0, shlex.join(job)
    for run in request.runs:
        manifest = read_manifest(tmp_path / request.run_manifest(run))
        assert manifest.config["settings"]["steps"] == 2 and manifest.model_digest, run
    assert all((tmp_path / request.eval_manifest(e)).is_file() for e in request.evaluations)
    with (tmp_path / request.folder / "tables" / "scores.csv").open() as file:
        rows = {(row["method"], row["track"], row["benchmark"]) for row in csv.DictReader(file)}
    assert rows == {(e.arm, e.track, e.label) for e in request.evaluations}
    assert (tmp_path / request.folder / "leaderboard.md").is_file()
