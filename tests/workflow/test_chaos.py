"""SIGKILL at random moments over training, evaluation and aggregation: the final tables are those of a calm run.

A child process does all jobs of a small suite one after the other; it is killed, and another one goes on from what is
on disk, until one comes to the end. Children are forked from a process that has the libraries loaded, so that nearly
all of their time is work that may be hit. Where jobs are Snakemake's, see test_end_to_end.py and tests/slurm.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.suite.toy import make_mini
from tests.workflow.test_end_to_end import FINAL

SEED = 20_261_121
PLAN = ("training", "training", "aggregation")
# Training long enough to be hit, pages left out (they are no table).
SETTINGS, TABLES = "steps: 40, checkpoint_every: 7", "tables: {figures: false, html: false}\n"


def work(root: Path) -> None:
    """Everything the workflow's jobs do, in its order: models, runs with their evaluations, the base's, tables."""
    from creditbench import pipeline
    from creditbench.publish import make_pages
    from creditbench.suite import load_suite, models_of, resolve, resolve_eval

    os.chdir(root)
    results, suite = Path("results"), load_suite("mini")
    for model in models_of(suite, "math"):
        pipeline.make_model(model, results)
    for seed in suite.seeds:
        pipeline.evaluate_run(resolve_eval(suite, "base", "math", seed, "addone"), results)
        # Only this job's own output says that it is done; a run that is there is left alone.
        pipeline.train_run(suite, resolve(suite, "alpha", "math", seed), results, then_evaluate=seed == 0)
        pipeline.evaluate_run(resolve_eval(suite, "alpha", "math", seed, "addone"), results)
    make_pages("mini", results)


def start(root: Path) -> int:
    """Fork a child that does the work; its process id."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        with (root / "said.txt").open("ab") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
        work(root)
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(pid: int, seconds: float) -> int | None:
    """The child's exit code, or None when it still runs after so many seconds."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.002)


def counts(root: Path) -> tuple[int, int, int]:
    """How many runs have taken a step and are not over, are over, and are evaluated (the base's evaluations too)."""
    results = root / "results"
    patterns = (".work/*/curve.jsonl", "mini/runs/*/*/*/manifest.json", "mini/evals/*/*/*/*/manifest.json")
    going, runs, evals = (len(list(results.glob(pattern))) for pattern in patterns)
    return going, runs, evals


def reached(root: Path, wanted: str) -> bool:
    """Whether a stage has begun, or is over."""
    going, runs, evals = counts(root)
    return going + runs > 0 if wanted == "training" else evals == 4


def stage(root: Path) -> str:
    """What was being done when a child was killed, by what it left on disk."""
    going, _, evals = counts(root)
    if evals == 4:
        return "aggregation"
    return "training" if going else "start or evaluation"


def project(folder: Path) -> Path:
    """A fresh project folder."""
    return make_mini(folder, SETTINGS, "[0, 1]", TABLES)


def final(root: Path) -> dict[str, bytes]:
    """The files that must not depend on what happened on the way."""
    return {name: (root / "results/mini" / name).read_bytes() for name in FINAL}


def chaos(folder: Path, kills: int, check: Callable[[Path], None]) -> list[str]:
    """Kill `kills` children, three in one project: at a random moment after each stage has begun, in order.

    `check` sees every project after it has come to its end. Returns the stages that were hit.
    """
    rng, hit = random.Random(SEED), []
    while len(hit) < kills:
        root = project(folder / f"project{len(hit)}")
        plan = PLAN[: kills - len(hit)]
        for wanted in [*plan, None]:
            pid = start(root)
            while wanted is not None and not reached(root, wanted):
                code = wait(pid, 0.01)
                assert code is None, (root / "said.txt").read_text()[-3000:]
            code = wait(pid, 250 if wanted is None else rng.uniform(0, 0.2))
            if code is None:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                hit.append(stage(root))
                continue
            assert code == 0, (root / "said.txt").read_text()[-3000:]
        check(root)
    return hit


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Tables of a run that nothing disturbed; loads the libraries that all children need."""
    import transformers

    import creditbench.basemodel
    import creditbench.evaluator
    import creditbench.report.tables
    import creditbench.trainer.run

    assert transformers.Qwen3ForCausalLM and transformers.AutoModelForCausalLM and creditbench
    root = project(tmp_path_factory.mktemp("calm") / "project")
    assert wait(start(root), 250) == 0, (root / "said.txt").read_text()[-3000:]
    return final(root)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(1500)])])
def test_tables_of_killed_runs_are_those_of_the_calm_run(calm, tmp_path, kills):
    def check(root: Path) -> None:
        assert final(root) == calm

    hit = chaos(tmp_path, kills, check)
    print(f"{len(hit)} kills during: {', '.join(hit)}")
    assert len(hit) >= kills
    # Aggregation is over in a moment: three kills may all fall into training, twenty do not.
    assert "training" in hit and (kills < 20 or "aggregation" in hit)
