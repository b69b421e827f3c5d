"""From a suite's records to its tables and pages; what `aggregate` and `report` do. Floor 5."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from creditbench.benchmark import repo_root
from creditbench.current import seal_pages
from creditbench.errors import BadInput, CreditBenchError
from creditbench.records import json_text, read_json, write_json
from creditbench.records.paths import find_runs, suite_dir
from creditbench.suite import Suite, load_suite, parse_arm, resolve

if TYPE_CHECKING:
    from creditbench.report.tables import Tables

NOTES = "notes.json"
Notes = dict[str, list[str]]


def make_tables(suite_name: str, results: Path) -> tuple[list[Path], Notes]:
    """Write `tables/*.csv` and `tables/notes.json`; returns the paths and what a reader must be told."""
    folder, tables, notes = _computed(suite_name, results)
    return _write(tables, notes, folder), notes


def make_pages(suite_name: str, results: Path) -> tuple[list[Path], Notes]:
    """Write the tables, and the leaderboard in every form the suite asks for."""
    from creditbench.report.markdown import write_leaderboard
    from creditbench.report.tables_latex import write_latex

    folder, tables, notes = _computed(suite_name, results)
    asked = load_suite(suite_name).tables
    paths = [*_write(tables, notes, folder), *write_latex(tables, folder), write_leaderboard(tables, folder)]
    if asked.figures:
        from creditbench.report.figures import build_figures

        paths += build_figures(folder, tables=tables)
    if asked.html:
        from creditbench.report.html.build import build_html

        paths.append(build_html(folder, folder / "leaderboard.html", tables=tables))
    seal_pages(folder, paths)
    return paths, notes


def rebuilt(suite_name: str, results: Path) -> dict[str, str]:
    """Name below the suite's folder -> text of every table and page that its records give now; nothing is written."""
    from creditbench.report.markdown import leaderboard_markdown
    from creditbench.report.tables import COLUMNS
    from creditbench.report.tables_latex import latex

    folder, tables, notes = _computed(suite_name, results)
    made = {f"tables/{name}.csv": tables.csv(name) for name in COLUMNS}
    made |= {f"tables/{name}.tex": text for name, text in latex(tables).items()}
    made |= {f"tables/{NOTES}": json_text(notes), "leaderboard.md": leaderboard_markdown(tables)}
    if (folder / "leaderboard.html").is_file():
        from creditbench.report.html.build import page

        made["leaderboard.html"] = page(tables, folder, repo_root())
    return made


def make_reference(suite_name: str, results: Path, out: Path, command: str) -> tuple[Path, Notes]:
    """Write the suite's raw outcomes and its main comparisons as one file to commit (`report.reference`).

    Raises BadInput when there is nothing to publish.
    """
    from creditbench.report.reference import write_reference

    _, tables, notes = _computed(suite_name, results)
    return write_reference(tables, command, out), notes


def _computed(suite_name: str, results: Path) -> tuple[Path, Tables, Notes]:
    from creditbench.report.tables import build_tables
    from creditbench.report.tables_data import contamination_rows
    from creditbench.report.tables_verdicts import reported_plan

    suite = load_suite(suite_name)
    folder = suite_dir(results, suite.name)
    if not (folder / "evals").is_dir():
        raise BadInput(f"{folder}: no evaluations here yet; run the suite first")
    asked = suite.tables
    tables = build_tables(
        folder, metrics=asked.metrics, headline=asked.headline, allow=asked.allow,
        reported=reported_plan(suite, repo_root() / "results" / "reported"),
        not_run={name: dict(track.skip_arms) for name, track in suite.tracks.items()},
        data=contamination_rows(suite, folder),
    )  # fmt: skip
    tables = replace(tables, left_out=[*tables.left_out, *without_results(suite, tables)])
    trials = tuning_trials(suite.class_)
    for row in tables.rows["cost"]:
        row["dev_trials"] = trials.get((row["track"], parse_arm(row["method"]).method), 0)
    notes: Notes = {
        "blocked": list(tables.blocked),
        "left_out": list(tables.left_out),
        "out_of_date": out_of_date(suite, folder),
    }
    return folder, tables, notes


def tuning_trials(suite_class: str) -> dict[tuple[str, str], int]:
    """(track, method) -> how many runs were spent on choosing its settings, from the log beside the reference results.

    Every arm of a method uses what was chosen for the method itself.
    """
    log = repo_root() / "results" / "reference" / f"tuning-{suite_class}.csv"
    if not log.is_file():
        return {}
    with log.open(encoding="utf-8", newline="") as file:
        return dict(Counter((row["track"], parse_arm(row["arm"]).method) for row in csv.DictReader(file)))


def _write(tables: Tables, notes: Notes, folder: Path) -> list[Path]:
    from creditbench.report.tables import write_tables

    return [*write_tables(tables, folder), write_json(folder / "tables" / NOTES, notes)]


def without_results(suite: Suite, tables: Tables) -> list[str]:
    """One line per track of the suite that has no result at all, with the reason where its data is not here."""
    from creditbench.suite.available import unavailable

    known = set(tables.loaded.tracks) if tables.loaded else set()
    missing = {name: unavailable(track) for name, track in suite.tracks.items() if name not in known}
    return [f"track {name}: {f'skipped: {why}' if why else 'no evaluation yet'}" for name, why in missing.items()]


def out_of_date(suite: Suite, folder: Path) -> list[str]:
    """Runs on disk that were asked for with other settings, data or method code than the suite has now."""
    lines = []
    for place in find_runs(folder):
        name = f"{place.arm}/{place.track}/seed{place.seed}"
        try:
            wanted = resolve(suite, place.arm, place.track, place.seed).config_digest
            found: Any = read_json(place.folder / "config.json")
        except CreditBenchError as error:
            lines.append(f"{name}: {error}")
            continue
        if not isinstance(found, dict) or found.get("config_digest") != wanted:
            lines.append(f"{name}: trained with other settings, data or method code than the suite has now")
    return lines
