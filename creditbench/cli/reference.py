"""The command that turns a suite's results into one file worth committing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from creditbench.cli.options import RESULTS, Results, SuiteName


def reference(
    suite: SuiteName,
    out: Annotated[Path, typer.Option("--out", help="File to write, e.g. results/reference/tiny.json.")],
    command: Annotated[
        str, typer.Option("--command", help="The command that made the results; default: `make leaderboard`.")
    ] = "",
    results: Results = RESULTS,
) -> int:
    """Write every sample's outcome of a suite, with digests and the main comparisons, as one JSON file."""
    from creditbench.publish import make_reference

    path, notes = make_reference(suite, results, out, command or f"make leaderboard SUITE={Path(suite).stem}")
    print(path)
    for kind, lines in notes.items():
        for line in lines:
            print(f"{kind.replace('_', ' ')}: {line}")
    return 1 if notes["blocked"] else 0


def register(app: typer.Typer) -> None:
    """Add this module's command."""
    app.command()(reference)
