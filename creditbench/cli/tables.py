"""Commands that judge: aggregate, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from creditbench.cli.options import RESULTS, Json, Results, SuiteName, print_json, print_rows

Anyway = Annotated[bool, typer.Option("--anyway", help="Exit code 0 even when a table is blocked (for the workflow).")]


def aggregate(suite: SuiteName, anyway: Anyway = False, results: Results = RESULTS) -> int:
    """Compute the tidy tables (CSV) over every complete result of a suite."""
    from creditbench.publish import make_tables

    return _told(make_tables(suite, results), anyway)


def report(suite: SuiteName, anyway: Anyway = False, results: Results = RESULTS) -> int:
    """Tables, leaderboard, figures: everything that is made from a suite's results."""
    from creditbench.publish import make_pages

    return _told(make_pages(suite, results), anyway)


def _told(made: tuple[list[Path], dict[str, list[str]]], anyway: bool) -> int:
    paths, notes = made
    for path in paths:
        print(path)
    for kind, lines in notes.items():
        for line in lines:
            print(f"{kind.replace('_', ' ')}: {line}")
    return 1 if notes["blocked"] and not anyway else 0


def compare(
    a: Annotated[str, typer.Argument(help="A run, an evaluation, a suite's results (results/tiny), or an arm.")],
    b: Annotated[str, typer.Argument(help="Another one of the same kind.")],
    suite: Annotated[str, typer.Option("--suite", help="For arms: the suite whose results hold them.")] = "tiny",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the outcome as JSON (then the exit code is 0).")
    ] = None,
    json: Json = False,
    results: Results = RESULTS,
) -> int:
    """Compare two records bit by bit, two result folders arm by arm, or two arms of one suite, in the terminal.

    Records: `identical`, or the first place where they part and what may be the reason (exit code 1). Folders and arms:
    the tables of the leaderboard for these alone.
    """
    from creditbench.records import write_json

    if (kind := _kind(a, b, results / suite)) == "record":
        from creditbench.compare import compare_records

        outcome = compare_records(Path(a), Path(b))
        if out is not None:
            write_json(out, outcome._asdict())
        if json:
            print_json(outcome._asdict())
        else:
            print("\n".join([outcome.summary, *outcome.reasons]))
        return 0 if outcome.identical or out is not None else 1
    from creditbench.report.side_by_side import compare_arms, compare_folders

    found = compare_arms(results / suite, a, b) if kind == "arm" else compare_folders(a, b)
    facts = {"rows": found.rows, "said": found.said}
    if out is not None:
        write_json(out, facts)
    if json:
        print_json(facts)
    else:
        print_rows(found.shown)
        print("\n".join(["", *found.said]))
    return 0


def _kind(a: str, b: str, suite: Path) -> str:
    """`record`, `folder` or `arm`: what the two words name. A path that exists is no arm."""
    paths = [Path(a), Path(b)]
    if all((path / "evals").is_dir() for path in paths):
        return "folder"
    arms = any("/" not in word and not path.exists() for word, path in zip((a, b), paths, strict=True))
    return "arm" if arms and (suite / "evals").is_dir() else "record"


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (aggregate, report, compare):
        app.command()(command)
