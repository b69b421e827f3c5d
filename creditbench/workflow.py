"""What the Snakemake rules ask of one request: paths, digests, priorities, resources. Rules have no logic. Floor 6."""

from __future__ import annotations

import csv
import os
import shlex
import sys
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from creditbench import cluster, driver
from creditbench.current import current_eval, current_model, current_pages, current_run
from creditbench.errors import CheckFailed, CreditBenchError
from creditbench.items import digest_of
from creditbench.launch import options
from creditbench.plan import relative_cost
from creditbench.records import complete, read_json
from creditbench.records.paths import TABLES
from creditbench.suite import BASE, Evaluation, Request, Run, Suite, data_key, make_request, models_of

Stage = Literal["base", "train", "evaluate", "tables"]
_held: list[Any] = []


class Rules:
    """A request as the rule files see it."""

    def __init__(self, request: Request):
        self.request = request
        self.suite: Suite = request.suite
        self.results, self.folder = request.results, request.folder
        self.quoted = shlex.quote(request.source)

    # paths

    @cached_property
    def eval_manifests(self) -> list[str]:
        """Every evaluation asked for."""
        return [self.request.eval_manifest(evaluation) for evaluation in self.request.evaluations]

    @cached_property
    def table_inputs(self) -> list[str]:
        """Every evaluation asked for; with something newer than tables that are there and must be made again.

        That is so where they are not what was written, and where an evaluation is missing: for the sake of outputs
        that are there Snakemake makes no input that is not, so a new arm or seed would never be run.
        """
        there = [path for path in self.table_files if Path(path).exists()]
        if not there or (current_pages(self.folder) and all(Path(path).exists() for path in self.eval_manifests)):
            return self.eval_manifests
        return [*self.eval_manifests, *self._outdated(there[0])]

    @cached_property
    def table_files(self) -> list[str]:
        """Outputs of the tables: the tidy tables and the leaderboard."""
        tables = [f"{self.folder}/tables/{name}.csv" for name in TABLES]
        page = [f"{self.folder}/leaderboard.html"] if self.suite.tables.html else []
        return [*tables, f"{self.folder}/tables/notes.json", f"{self.folder}/leaderboard.md", *page]

    @cached_property
    def comparisons(self) -> list[str]:
        """With `rerun=true`: one comparison per run asked for, in the first rerun folder that is not complete."""
        if not self.request.rerun:
            return []
        return [self._comparison(arm, track, seed) for arm, track, seed in self.request.runs]

    def _comparison(self, arm: str, track: str, seed: int) -> str:
        number = 1
        while complete(Path(self._rerun(number, arm, track, seed))):
            number += 1
        return self._rerun(number, arm, track, seed)

    def _rerun(self, number: int, arm: str, track: str, seed: int) -> str:
        return f"{self.folder}/reruns/{number}/{arm}/{track}/seed{seed}.json"

    # inputs: a result that is there and answers what is asked needs nothing, so that nothing makes it again

    def model_inputs(self, key: str) -> list[str]:
        """Checked data of the tracks that use a model, unless the model is there."""
        if current_model(self.results, key):
            return []
        tracks = [t for t in self.request.tracks if key in {spec.key for spec in models_of(self.suite, t)}]
        return [*(self._data(track) for track in tracks), *self._outdated(self.request.model_manifest(key))]

    def run_inputs(self, arm: str, track: str, seed: str) -> list[str]:
        """Models and data that a run starts from, unless a run with this config digest is there."""
        if current_run(self.results, self.suite.name, arm, track, int(seed), self.run_digest(arm, track, seed)):
            return []
        output = self.request.run_manifest(Run(arm, track, int(seed)))
        return [self._data(track), *self.request.model_inputs(arm, track), *self._outdated(output)]

    def eval_inputs(self, label: str, arm: str, track: str, seed: str) -> list[str]:
        """The record whose model is evaluated, unless its evaluation with this config digest is there."""
        digest = self.eval_digest(arm, track, seed, label)
        if current_eval(self.results, self.suite.name, label, arm, track, int(seed), digest):
            # A run that is made again must be evaluated again. One that stands is no input: its time says nothing.
            made_again = arm != BASE and self.run_inputs(arm, track, seed)
            return [self.request.run_manifest(Run(arm, track, int(seed)))] if made_again else []
        models = self.request.model_inputs(BASE, track)
        model = models if arm == BASE else [self.request.run_manifest(Run(arm, track, int(seed)))]
        output = self.request.eval_manifest(Evaluation(label, arm, track, int(seed)))
        return [self._data(track), *model, *self._outdated(output)]

    def _data(self, track: str) -> str:
        return f"{self.folder}/data/{track}.json"

    def _outdated(self, output: str) -> list[str]:
        """An input newer than a result that is there but answers another question, so that it is made again.

        Needed where Snakemake's own records are lost: then it knows neither digests nor half files, only times. Where
        they are not, a newer input with the content it had before does not count: each marker says something else.
        """
        if not Path(output).exists():
            return []
        marker = Path(self.results) / ".work" / "outdated" / digest_of(output)
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(f"{time.time_ns()}\n")
        newer = max(time.time(), Path(output).stat().st_mtime + 1)
        os.utime(marker, (newer, newer))
        return [str(marker)]

    # digests: all that Snakemake records about a job

    def data_digest(self, track: str) -> str:
        """Digest of the splits a track uses."""
        found = self.suite.tracks[track]
        refs = [found.train, *([found.dev] if found.dev else []), *found.eval]
        return digest_of([data_key(ref) for ref in refs])

    def run_digest(self, arm: str, track: str, seed: str) -> str:
        """Config digest of a run."""
        return self.request.run_digest(arm, track, seed)

    def eval_digest(self, arm: str, track: str, seed: str, label: str) -> str:
        """Config digest of an evaluation."""
        return self.request.eval_digest(arm, track, seed, label)

    def others(self) -> list[str]:
        """Complete evaluations beside the asked-for ones, which the tables hold too."""
        return self.request.others()

    # `snakemake --report`: how its entries are labelled

    def table_name(self, path: str) -> str:
        """A table's label in Snakemake's report: its path below the suite's folder."""
        return str(Path(path).relative_to(self.folder))

    def labels(self, label: str, arm: str, track: str, seed: str) -> dict[str, str]:
        """Labels of one evaluation in Snakemake's report; the verdict is that on the papers' numbers, where judged."""
        path = Path(self.folder) / "tables" / "verdicts.csv"
        said: list[str] = []
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.DictReader(file) if (row["benchmark"], row["method"]) == (label, arm)]
            said = [row["verdict"] for row in rows if row["track"] == track]
        verdict = "; ".join(dict.fromkeys(said)) or "no paper's number"
        return {"method": arm, "benchmark": label, "seed": str(seed), "verdict": verdict}

    # scheduling: the longest chain first

    def run_priority(self, arm: str) -> int:
        """Dearer methods start earlier, so that no long run is left alone at the end."""
        return round(10 * relative_cost(arm, self.suite.class_))

    def model_priority(self, key: str) -> int:
        """Base models before teachers: most runs wait for them."""
        return 900 if self.request.models.get(key) and self.request.models[key].role == "base" else 800

    def resources(self, stage: Stage) -> dict[str, int]:
        """Snakemake resources of one job."""
        asked = self.suite.resources_of(stage)
        # A cluster starts one task per machine; a single machine is what it takes anyway.
        machines = {"nodes": asked.nodes, "tasks": asked.nodes} if asked.nodes > 1 else {}
        return {"mem_mb": asked.mem_mb, "runtime": asked.runtime, "gpus": asked.gpus, **machines}

    @property
    def processes(self) -> str:
        """What `creditbench train` is told about its processes: one per accelerator, nothing for a single one."""
        asked = self.suite.resources_of("train")
        return options(asked.gpus, asked.shard)


def ask(config: Mapping[str, Any]) -> Rules:
    """Read the request of `--config`; a wrong one is one clear line and exit code 2, before anything is written."""
    try:
        request = make_request(config)
        for line in skipped_lines(request):
            print(f"creditbench: {line}", file=sys.stderr)
        if not request.tracks:
            raise CheckFailed(f"suite {request.suite.name!r}: no track can run here")
        return Rules(request)
    except CreditBenchError as error:
        print(f"creditbench: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def lift_limits(workflow: Any, rules: Rules) -> None:
    """On a cluster, take away the limits that profiles/default has for one machine.

    Snakemake reads that profile beside every `--profile` and cuts what jobs ask for down to its limits: no job of a
    cluster would get more than one accelerator, nor more cores than the machine that submits it. Which executor runs
    is not known yet; a cluster's profile is one that says how many jobs there may be, and `local-cores: 1`.
    """
    limits = workflow.global_resources
    if limits.get("_nodes").value is None or workflow.resource_settings.local_cores != 1:
        return
    if limits.get("gpus").value == 1:
        limits["gpus"] = None
    if (cores := limits.get("_cores").value) is not None:
        stages: tuple[Stage, ...] = get_args(Stage)
        limits["_cores"] = max(cores, *(rules.suite.resources_of(stage).threads for stage in stages))


def skipped_lines(request: Request) -> list[str]:
    """One clear line per track whose data is not on this machine."""
    return [f"track {t!r} of suite {request.suite.name!r} is skipped: {why}" for t, why in request.skipped.items()]


def shell_prefix(root: Path | str, deployed: bool) -> str:
    """What every rule's command starts with: `creditbench` is this Python's own, with one torch thread per process.

    deployed: jobs run in an environment that Snakemake made, so their own `python` is meant.
    """
    python = "python" if deployed else shlex.quote(sys.executable)
    settings = (
        f"OMP_NUM_THREADS=1 PYTHONPATH={shlex.quote(str(root))}:${{PYTHONPATH:-}} "
        f"{driver.DRIVER}={driver.name_of(os.getpid())}"
    )
    prefix = f'set -euo pipefail; export {settings}; creditbench() {{ {python} -m creditbench "$@"; }}; '
    return prefix.replace("{", "{{").replace("}", "}}")


def take_lock(rules: Rules) -> None:
    """Hold the driver's lock until this process ends, and cancel the Slurm jobs of a driver that died.

    The progress display may hold the lock for us; it has cancelled them then.
    """
    try:
        lock = driver.hold(rules.results)
        _held.append(lock)
        if lock is not None:
            cluster.end_jobs()
    except CreditBenchError as error:
        raise SystemExit(f"creditbench: {error}") from None


def finished(rules: Rules) -> None:
    """Say where the tables are, and what reruns found."""
    for path in rules.comparisons:
        if complete(Path(path)):
            print(f"rerun {path.removesuffix('.json')}: {read_json(path)['summary']}")
    for line in table_warnings(rules.folder):
        print(f"creditbench: {line}", file=sys.stderr)
    print(f"leaderboard: {rules.folder}/leaderboard.md")


def table_warnings(folder: str) -> list[str]:
    """What the tables themselves say is wrong with them: blocked groups, results left out or out of date."""
    path = Path(folder) / "tables" / "notes.json"
    notes = read_json(path) if complete(path) else {}
    return [f"{kind.replace('_', ' ')}: {line}" for kind, lines in notes.items() for line in lines]
