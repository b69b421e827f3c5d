"""The command that spends the tuning budget: the same number of dev trials for every method."""

from __future__ import annotations

from typing import Annotated

import typer

from creditbench.cli.options import RESULTS, Results, SuiteName, TrackName


def tune(
    suite: SuiteName,
    track: TrackName,
    arms: Annotated[str, typer.Option("--arms", help="Comma-separated arms; default: the suite's.")] = "",
    rates: Annotated[str, typer.Option("--lr", help="Comma-separated learning rates.")] = "1.5e-4,3e-4,6e-4",
    results: Results = RESULTS,
) -> None:
    """Train every arm with every learning rate on a tuning seed and score it on the dev split; all trials are kept."""
    from creditbench import accelerators
    from creditbench import tune as tuning
    from creditbench.errors import BadInput
    from creditbench.suite import BASE, load_suite, track_of

    loaded = load_suite(suite)
    skipped = track_of(loaded, track).skip_arms
    chosen = [a for a in arms.split(",") if a] or [a for a in loaded.arms if a != BASE and a not in skipped]
    try:
        grid = [float(r) for r in rates.split(",") if r]
    except ValueError:
        raise BadInput(f"--lr {rates!r}: expected numbers separated by commas, e.g. 1e-4,3e-4") from None
    accelerators.take(loaded.resources_of("train").gpus)
    print(tuning.tune(loaded, track, chosen, grid, results))


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(tune)
