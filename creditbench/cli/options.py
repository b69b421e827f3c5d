"""Arguments and options that several commands share, and how results are printed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from creditbench.errors import BadInput

SuiteName = Annotated[str, typer.Argument(help="Suite: a name from `creditbench list suites` or a YAML file.")]
ArmName = Annotated[str, typer.Argument(help="Arm: method[@variant][+placebo], e.g. oar_g@b; or base.")]
TrackName = Annotated[str, typer.Argument(help="Track of the suite, e.g. math.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of the run.")]
Results = Annotated[Path, typer.Option("--results", help="Folder that holds all results.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
RESULTS = Path("results")
LINE = 100


def json_object(text: str, option: str) -> dict[str, Any]:
    """What an option holds as JSON. Raises BadInput unless it is an object."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise BadInput(f"{option}: expected a JSON object, got {text!r:.80}")
    return value


def print_json(value: Any) -> None:
    """Print a value as JSON that is equal for equal content."""
    print(json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, default=str))


def print_rows(rows: list[dict[str, Any]], columns: list[str] | None = None, below: Sequence[str] = ()) -> None:
    """Print rows as plain aligned text; the last column is not padded. below: fields printed as wrapped lines."""
    if not rows:
        print("(none)")
        return
    names = [name for name in columns or list(rows[0]) if name not in below]
    table = [names, *[[str(row.get(name, "")) for name in names] for row in rows]]
    widths = [max(len(line[i]) for line in table) for i in range(len(names) - 1)]
    for row, line in zip([{}, *rows], table, strict=True):
        print("  ".join([*(text.ljust(width) for text, width in zip(line[:-1], widths, strict=True)), line[-1]]))
        for name in below:
            if row.get(name):
                print(textwrap.fill(f"{name}: {row[name]}", LINE, initial_indent="    ", subsequent_indent="      "))
