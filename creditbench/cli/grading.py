"""Commands on stored completions: grade them again, compare graders, break scores down, export in lm-eval's format."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from creditbench.cli.options import Json, print_json, print_rows

Record = Annotated[Path, typer.Argument(help="Folder of an evaluation.")]


def grade(
    record: Record,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the new record; with --matrix, a CSV file.")
    ] = None,
    grader: Annotated[
        list[str] | None, typer.Option("--grader", help="Another grader than the protocol's; repeat it for --matrix.")
    ] = None,
    matrix: Annotated[
        bool, typer.Option("--matrix", help="How far graders disagree on these completions (all, or each --grader).")
    ] = False,
    json: Json = False,
) -> None:
    """Grade the stored completions of an evaluation again, without a model: into a new record, or as a matrix."""
    from creditbench.errors import BadInput
    from creditbench.evaluator import regrade

    asked = [name for part in grader or () for name in part.split(",") if name]
    if matrix:
        return _matrix(record, asked, out, json)
    if out is None:
        raise BadInput("grade: give --out FOLDER for the new record, or --matrix to compare graders")
    if len(asked) > 1:
        raise BadInput("grade: one --grader makes one record; give --matrix to compare several")
    metrics = regrade(record, out, {"grader": asked[0]} if asked else None)
    if json:
        print_json(metrics.model_dump(by_alias=True))
    else:
        print_rows([{"metric": name, "value": f"{value:.4f}"} for name, value in metrics.values.items()])


def _matrix(record: Path, graders: list[str], out: Path | None, json: bool) -> None:
    from creditbench.evaluator import grader_matrix
    from creditbench.grading.matrix import matrix_rows
    from creditbench.records import write_text

    found, keys = grader_matrix(record, graders)
    if out is not None:
        import csv
        import io

        text = io.StringIO()
        rows = matrix_rows(found)
        writer = csv.DictWriter(text, list(rows[0]) if rows else ["grader_a", "grader_b"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_text(out, text.getvalue())
    shown = [
        {
            "grader a": d.a,
            "grader b": d.b,
            "samples": str(d.n),
            "only a correct": str(d.only_a),
            "only b correct": str(d.only_b),
            "disagree": f"{100 * d.rate:.2f} %",
            "first": ", ".join(f"{keys[i][0]}/{keys[i][1]}" for i in d.examples[:3]) or "-",
        }
        for d in found
    ]
    if json:
        print_json([d.__dict__ | {"table": matrix_rows([d]), "rate": d.rate} for d in found])
    else:
        print_rows(shown)


def breakdown(
    record: Record,
    by: Annotated[
        str, typer.Option("--by", help="rating, month, errata, or any field of the problems: difficulty, platform, ...")
    ],
    width: Annotated[int, typer.Option("--width", help="Width of the rating buckets.")] = 400,
    ratings: Annotated[
        Path | None, typer.Option("--ratings", help="CSV of people's ratings (rating, count): adds a percentile.")
    ] = None,
    json: Json = False,
) -> None:
    """Scores of an evaluation by groups of problems; with a table of ratings also the fitted rating's percentile."""
    from creditbench.evaluator.breakdown import breakdown as rows_of

    rows = rows_of(record, by, width, ratings)
    if json:
        return print_json(rows)
    print_rows([{k: f"{v:.4f}" if isinstance(v, float) and "@" in k else v for k, v in row.items()} for row in rows],
               list(rows[-1]))  # fmt: skip


def export(
    record: Record,
    out: Annotated[Path, typer.Option("--out", help="Folder of the two files.")],
    text: Annotated[bool, typer.Option("--with-text", help="Also problems and prompts (needs the data here).")] = False,
) -> None:
    """Write an evaluation as lm-eval's results_*.json and samples_*.jsonl, for tools that read those."""
    from creditbench.data.lmeval_export import export as write

    for path in write(record, out, with_text=text):
        print(path)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (grade, breakdown, export):
        app.command()(command)
