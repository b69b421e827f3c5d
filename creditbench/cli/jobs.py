"""Commands that make things: base, train, evaluate, replay."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from creditbench.cli.options import (
    RESULTS,
    ArmName,
    Json,
    Results,
    SeedOption,
    SuiteName,
    TrackName,
    json_object,
    print_json,
)


def base(
    suite: SuiteName,
    track: Annotated[str | None, typer.Option("--track", help="Only this track's models.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only the model with this key.")] = None,
    results: Results = RESULTS,
) -> None:
    """Make a suite's base and teacher models (pretrained, fetched or random), each once."""
    from creditbench import accelerators, pipeline
    from creditbench.cli.progress import counter
    from creditbench.errors import unknown
    from creditbench.suite import load_suite, models_of, track_of

    loaded = load_suite(suite)
    names = [track] if track else list(loaded.tracks)
    specs = {spec.key: spec for name in names if track_of(loaded, name) for spec in models_of(loaded, name)}
    if key is not None and key not in specs:
        raise unknown("model key", key, specs, f"suite {loaded.name}")
    accelerators.take(loaded.resources_of("base").gpus)
    for spec in specs.values() if key is None else [specs[key]]:
        print(pipeline.make_model(spec, results, counter(f"{spec.role} model")))


def train(
    suite: SuiteName,
    arm: ArmName,
    track: TrackName,
    seed: SeedOption = 0,
    then_evaluate: Annotated[bool, typer.Option(help="Evaluate in the same process; `evaluate` picks it up.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="Another folder: a rerun beside the old run.")] = None,
    processes: Annotated[int, typer.Option("--processes", min=1, help="Started by torchrun, one per accelerator.")] = 1,
    shard: Annotated[bool, typer.Option("--shard", help="Deal the policy over the processes (FSDP2).")] = False,
    results: Results = RESULTS,
) -> None:
    """Train one run: an arm on a track with a seed. Resumes from its last checkpoint."""
    from creditbench import accelerators, launch, pipeline
    from creditbench.cli.progress import counter
    from creditbench.errors import BadInput
    from creditbench.suite import load_suite, resolve

    loaded = load_suite(suite)
    spec = resolve(loaded, arm, track, seed)
    if shard and processes == 1:
        raise BadInput("--shard: expected --processes of at least 2")
    accelerators.take(loaded.resources_of("train").gpus)
    if processes > 1 and launch.inside():
        launch.expect(processes, shard)
    elif processes > 1:
        words = ["train", suite, arm, track, "--seed", str(seed), "--results", str(results)]
        words += [] if out is None else ["--out", str(out)]
        launch.become(processes, shard, [*words, "--processes", str(processes)])
    shown = counter(f"{arm} {track} seed {seed}") if launch.is_main() else None
    # Of several processes none evaluates: the evaluation's own job does.
    made = pipeline.train_run(loaded, spec, results, then_evaluate and launch.world() == 1, shown, out)
    if launch.is_main():
        print(made)


def evaluate(
    suite: SuiteName,
    arm: ArmName,
    track: TrackName,
    benchmark: Annotated[str, typer.Argument(help="Benchmark of the track, as the suite names it.")],
    seed: SeedOption = 0,
    digest: Annotated[str, typer.Option("--digest", help="Config digest asked for (given by the workflow).")] = "",
    server: Annotated[str, typer.Option("--server", help="Sample from this OpenAI-compatible server: .../v1.")] = "",
    served: Annotated[str, typer.Option("--served", help="The model's name on that server.")] = "",
    extra: Annotated[str, typer.Option("--extra", help="JSON object added to every request to the server.")] = "{}",
    out: Annotated[Path | None, typer.Option("--out", help="Folder of the record, with --server.")] = None,
    results: Results = RESULTS,
) -> None:
    """Evaluate a run's model, or the base's, on one benchmark: samples, typed outcomes, metrics."""
    from creditbench import pipeline
    from creditbench.cli.progress import counter

    shown = counter(f"{arm} on {benchmark}")
    name = Path(suite).stem if suite.endswith((".yaml", ".yml")) else suite
    if digest and pipeline.publish(name, arm, track, seed, benchmark, digest, results):
        return
    from creditbench import accelerators
    from creditbench.errors import BadInput
    from creditbench.suite import load_suite, resolve_eval

    if server and (not served or out is None):
        raise BadInput("--server: expected --served (the model's name there) and --out (where the record goes)")
    loaded = load_suite(suite)
    spec = resolve_eval(loaded, arm, track, seed, benchmark)
    accelerators.take(loaded.resources_of("evaluate").gpus)
    if server and out is not None:
        more = json_object(extra, "--extra")
        print(pipeline.evaluate_served(spec, results, out, server, served, more, shown))
    else:
        print(pipeline.evaluate_run(spec, results, shown))


def replay(
    record: Annotated[
        Path,
        typer.Argument(
            help="Folder of a run, an evaluation, a base model, a tuning trial or a suite; or data/<track>.json."
        ),
    ],
    config: Annotated[Path | None, typer.Option("--config", help="Another config.json to replay with.")] = None,
    stored: Annotated[bool, typer.Option("--stored", help="Use the run's kept rollouts (level D2).")] = False,
    json: Json = False,
) -> int:
    """Make a record again in a scratch folder: `identical`, or the first step and tensor where the two part.

    A suite's folder stands for its tables and pages: they are computed again from the records.
    """
    from creditbench.cli.progress import counter
    from creditbench.remake import remake as again

    shown = counter("replay")
    outcome = again(record, config=config, stored=stored, report=lambda step, steps, row: shown("step", step, steps))
    if json:
        print_json({"identical": outcome.identical, "report": outcome.report})
    else:
        print(outcome.report)
    return 0 if outcome.identical else 1


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (base, train, evaluate, replay):
        app.command()(command)
