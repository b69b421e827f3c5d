"""The papers' own numbers: read `results/reported/*.csv` and find values that the stated protocol cannot give.

One CSV per paper, one number per row, the value written as printed (its decimals carry the rounding).
n problems with k samples each can only score multiples of 1/(n k); a printed percentage that is no such
multiple, rounded, is a slip of the paper or of the transcription. A slip of the paper is declared in the
row's `check` column, so that the listing stays complete and a slip of ours is refused.

`python -m creditbench.reported results/reported` prints the listing: exit 0 when every failing cell is
declared, 1 when one is not, 2 on a file that cannot be read.
"""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache, reduce
from itertools import islice
from operator import or_
from pathlib import Path

import pandas as pd

from creditbench.errors import BadInput, CreditBenchError, unknown

COLUMNS = (
    "paper", "table", "model", "benchmark", "metric", "method", "variant", "checkpoint", "value", "unit",
    "k", "n_problems", "seeds", "length_cap", "source", "evidence", "check", "note",
)  # fmt: skip
KEY = ["paper", "table", "model", "benchmark", "metric", "method", "variant", "checkpoint"]
UNITS = {"percent": 100.0, "fraction": 1.0, "tokens": math.inf, "seconds": math.inf, "nats": math.inf}
SOURCES = ("table", "figure", "text")
EVIDENCE = ("paper", "authors-page", "second-hand", "other-run")
CHECKPOINTS = ("last", "best", "fixed step", "not stated", "not applicable")
KINDS = ("cut-off", "more-samples", "impossible", "average", "order")
PLAIN_METRICS = (
    "accuracy", "success", "score", "coverage", "share", "mean_tokens", "seconds_per_step", "mean_token_kl",
    "accuracy_gain", "pass@3_gain",
)  # fmt: skip
_AT_K = re.compile(r"(avg|pass)@([1-9]\d*)")
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
ESTIMATOR_STEPS = 200_000  # beyond as many steps of pass@k's estimator every printed value is possible
FIGURE_ERROR = 0.1  # reading bar heights off the vector figures is good to about this many printed units


def load_reported(folder: Path | str) -> pd.DataFrame:
    """Read every `<paper>.csv` of `folder` into one table, one reported number per row.

    Returns the columns of `COLUMNS` with `value` as float, `k`, `n_problems`, `length_cap` as nullable integers
    (missing: not stated), `seeds` as text, plus `decimals` (places printed), `file` and `line`.
    Raises BadInput naming file, line and field for a missing folder, a wrong header or a bad or repeated row.
    """
    folder = Path(folder)
    files = sorted(folder.glob("*.csv"))
    if not files:
        raise BadInput(f"{folder}: expected CSV files of reported numbers, found none")
    rows = [row for path in files for row in _read(path)]
    if not rows:
        raise BadInput(f"{folder}: the CSV files hold no rows")
    table = pd.DataFrame(rows)
    for column in ("k", "n_problems", "length_cap"):
        table[column] = pd.array(table[column].tolist(), dtype="Int64")
    for row, again in zip(rows, table.duplicated(KEY), strict=True):
        if again:
            raise BadInput(f"{row['file']} line {row['line']}: the same cell again ({_cell(row)}); give it a variant")
    return table


def impossible_values(df: pd.DataFrame) -> pd.DataFrame:
    """List the cells that their stated protocol cannot give, with the reason.

    Kinds: `cut-off` (a possible value whose last digit was cut, not rounded), `more-samples` (pass@k off the
    1/n grid while the number of samples is not stated, so more than k were drawn), `impossible`, `average`
    (not the mean of the columns beside it), `order` (avg@k above pass@k). Rows with no stated n or k, and
    metrics that are not shares of problems, are not checked. Values read from a figure get `FIGURE_ERROR` more.

    Returns the offending rows with `kind` and `why` added, in file order; empty when there are none.
    """
    rows = df.to_dict("records")
    found = {index: hit for index, row in enumerate(rows) if (hit := _grid_problem(row))}
    for index, hit in [*_wrong_averages(rows), *_wrong_order(rows)]:
        found.setdefault(index, hit)
    hits = sorted(found)
    out = df.reset_index(drop=True).loc[hits]
    return out.assign(kind=[found[i][0] for i in hits], why=[found[i][1] for i in hits])


def undeclared(df: pd.DataFrame) -> pd.DataFrame:
    """Cells whose `check` column and the checker disagree: new failures, and declarations that no longer hold."""
    found = impossible_values(df)["kind"].to_dict()
    table = df.reset_index(drop=True)
    kinds = [found.get(index, "") for index in range(len(table))]
    loose = [index for index, kind in enumerate(kinds) if kind != table.at[index, "check"]]
    return table.loc[loose].assign(kind=[kinds[index] for index in loose])


def check_reported(folder: Path | str) -> list[str]:
    """One line per failing cell of `folder`: where it stands, what it is, why it cannot be. Raises BadInput."""
    bad = impossible_values(load_reported(folder))
    return [f"{row['kind']}: {_cell(row)} = {_printed(row)}: {row['why']}" for row in bad.to_dict("records")]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the check of one folder (default `results/reported`) and return the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    if len(args) > 1 or any(a.startswith("-") for a in args):
        print("usage: python -m creditbench.reported [FOLDER]   (default results/reported)")
        return 0 if args in (["-h"], ["--help"]) else 2
    folder = Path(args[0] if args else "results/reported")
    try:
        table = load_reported(folder)
        lines = check_reported(folder)
    except CreditBenchError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    for line in lines:
        print(line)
    checked = sum(_denominator(row) is not None for row in table.to_dict("records"))
    loose = undeclared(table)
    for row in loose.to_dict("records"):
        found = row["kind"] or "nothing wrong"
        print(f"refused: {row['file']} line {row['line']}: check column says {row['check'] or 'nothing'!r}, "
              f"the checker found {found!r}")  # fmt: skip
    print(f"{len(table)} reported cells, {checked} checked against their n x k grid, "
          f"{len(lines)} fail, {len(loose)} not declared")  # fmt: skip
    return 1 if len(loose) else 0


def _read(path: Path) -> list[dict[str, object]]:
    with path.open(newline="", encoding="utf-8") as handle:
        reader = csv.reader(handle)
        header = next(reader, [])
        for name in header:
            if name not in COLUMNS:
                raise unknown("column", name, COLUMNS, f"{path.name}: header")
        if tuple(header) != COLUMNS:
            raise BadInput(f"{path.name}: header: expected {','.join(COLUMNS)}")
        rows = []
        for cells in reader:
            where = f"{path.name} line {reader.line_num}"
            if len(cells) != len(COLUMNS):
                raise BadInput(f"{where}: expected {len(COLUMNS)} fields, found {len(cells)}")
            row = _row(dict(zip(COLUMNS, cells, strict=True)), path.stem, where)
            rows.append({**row, "file": path.name, "line": reader.line_num})
    return rows


def _row(raw: dict[str, str], paper: str, where: str) -> dict[str, object]:
    for field in ("paper", "table", "model", "benchmark", "metric", "method"):
        if not raw[field].strip():
            raise BadInput(f"{where}: {field}: expected a name, found nothing")
    if raw["paper"] != paper:
        raise BadInput(f"{where}: paper: expected {paper!r} as in the file's name, found {raw['paper']!r}")
    choices = (("unit", UNITS), ("source", SOURCES), ("evidence", EVIDENCE), ("checkpoint", CHECKPOINTS))
    for field, known in choices:
        if raw[field] not in known:
            raise unknown(field, raw[field], known, where)
    if raw["check"] and raw["check"] not in KINDS:
        raise unknown("check", raw["check"], KINDS, where)
    at_k = _AT_K.fullmatch(raw["metric"])
    if not at_k and raw["metric"] not in PLAIN_METRICS:
        raise unknown("metric", raw["metric"], (*PLAIN_METRICS, "avg@K", "pass@K"), where)
    if not _NUMBER.fullmatch(raw["value"]):
        raise BadInput(f"{where}: value: expected a plain number as printed, found {raw['value']!r}")
    value = float(raw["value"])
    low = -math.inf if raw["metric"].endswith("_gain") or raw["unit"] == "nats" else 0.0
    if not low <= value <= UNITS[raw["unit"]]:
        raise BadInput(f"{where}: value: {value} is no {raw['unit']} of {raw['metric']}")
    counts = {field: _count(raw[field], field, where) for field in ("k", "n_problems", "length_cap")}
    if at_k and at_k[1] == "avg" and counts["k"] != int(at_k[2]):
        raise BadInput(f"{where}: k: expected {at_k[2]} as in {raw['metric']}, found {raw['k'] or 'nothing'!r}")
    if at_k and at_k[1] == "pass" and counts["k"] is not None and counts["k"] < int(at_k[2]):
        raise BadInput(f"{where}: k: {raw['metric']} needs at least {at_k[2]} samples, found {raw['k']}")
    if raw["seeds"] != "not stated":
        _count(raw["seeds"] or "0", "seeds", where)
    decimals = len(raw["value"].partition(".")[2])
    return {**raw, **counts, "value": value, "decimals": decimals}


def _count(text: str, field: str, where: str) -> int | None:
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise BadInput(f"{where}: {field}: expected a whole number of at least 1 (or empty), found {text!r}")
    return int(text)


def _denominator(row: Mapping) -> int | None:
    """Equally likely steps between 0 and all: n x k trials, n problems for pass@k of exactly k samples, and
    n x C(samples, k) for the combinatorial estimator of pass@k from more. None: cannot be checked."""
    if pd.isna(row["n_problems"]) or row["unit"] not in ("percent", "fraction"):
        return None
    n, k = int(row["n_problems"]), None if pd.isna(row["k"]) else int(row["k"])
    if row["metric"] == "coverage":
        return n
    if row["metric"] in ("accuracy", "success"):
        return None if k is None else n * k
    at_k = _AT_K.fullmatch(row["metric"])
    if not at_k:
        return None
    if at_k[1] == "avg":
        return n * int(at_k[2])
    if k in (None, int(at_k[2])):
        return n
    steps = n * math.comb(k, int(at_k[2]))
    return steps if at_k[2] == "1" or steps <= ESTIMATOR_STEPS else None


@lru_cache(maxsize=256)
def _reachable(n: int, k: int, samples: int) -> int:
    """Sums over n problems of C(samples, k) - C(samples - c, k), c = 0..samples correct, as the bits of a number.

    Divided by n C(samples, k) these are all values of the estimator 1 - C(samples - c, k) / C(samples, k), averaged.
    """
    one = {math.comb(samples, k) - math.comb(samples - c, k) for c in range(samples + 1)}
    sums = 1
    for _ in range(n):
        sums = reduce(or_, (sums << step for step in one))
    return sums


def _counts(row: Mapping, trials: int, guess: int) -> list[int]:
    """Possible counts of `trials` around `guess`, two at or below it and two above."""
    at_k = _AT_K.fullmatch(row["metric"])
    sums = None
    if at_k and at_k[1] == "pass" and at_k[2] != "1" and not pd.isna(row["k"]) and int(row["k"]) > int(at_k[2]):
        sums = _reachable(int(row["n_problems"]), int(at_k[2]), int(row["k"]))
    found: list[int] = []
    for counts in (range(guess, -1, -1), range(guess + 1, trials + 1)):
        possible = (c for c in counts if c <= trials and (sums is None or sums >> c & 1))
        found += islice(possible, 2)
    return sorted(found)


def _grid_problem(row: Mapping) -> tuple[str, str] | None:
    trials = _denominator(row)
    if trials is None:
        return None
    scale, value, decimals = UNITS[row["unit"]], float(row["value"]), int(row["decimals"])
    # A tie may have gone either way: printed values pass through binary floats.
    half = 0.5 * 10.0**-decimals + (FIGURE_ERROR if row["source"] == "figure" else 0.0) + 1e-9
    near = _counts(row, trials, math.floor(value / scale * trials))
    best = min(near, key=lambda c: abs(c / trials * scale - value))
    if abs(best / trials * scale - value) <= half:
        return None
    for count in near:
        exact = count / trials * scale
        if 0 <= exact - value < 10.0**-decimals:
            return "cut-off", f"{count}/{trials} = {exact:.{decimals + 2}f} rounds to {exact:.{decimals}f}"
    below = [c for c in near if c / trials * scale <= value][-1:]
    around = below + [c for c in near if c / trials * scale > value][:1]
    sides = " and ".join(f"{c}/{trials} = {c / trials * scale:.{decimals + 2}f}" for c in around)
    if row["metric"].startswith("pass@") and pd.isna(row["k"]):
        return "more-samples", f"from exactly {row['metric'][5:]} samples the neighbours are {sides}"
    return "impossible", f"the nearest possible are {sides}"


def _wrong_averages(rows: Sequence[Mapping]) -> list[tuple[int, tuple[str, str]]]:
    """Means that are not the mean of the columns beside them; rows with fewer columns than their table are left."""
    beside: dict[tuple, list[float]] = {}
    line = [c for c in KEY if c != "benchmark"]
    for row in rows:
        if row["benchmark"] != "average":
            beside.setdefault(tuple(row[c] for c in line), []).append(float(row["value"]))
    width: dict[tuple, int] = {}
    for row in rows:
        table = (row["paper"], row["table"], row["metric"])
        width[table] = max(width.get(table, 0), len(beside.get(tuple(row[c] for c in line), [])))
    hits = []
    for index, row in enumerate(rows):
        parts = beside.get(tuple(row[c] for c in line), [])
        columns = width[row["paper"], row["table"], row["metric"]]
        if row["benchmark"] != "average" or columns < 2 or len(parts) < columns:
            continue
        mean, decimals = sum(parts) / len(parts), int(row["decimals"])
        # Half a printed unit for the mean, and as much again for the rounding of its parts.
        if abs(mean - float(row["value"])) > 10.0**-decimals + 1e-9:
            hits.append((index, ("average", f"the {columns} columns beside it average {mean:.{decimals + 1}f}")))
    return hits


def _wrong_order(rows: Sequence[Mapping]) -> list[tuple[int, tuple[str, str]]]:
    """avg@k cells above the pass@k of the same samples, which is at least as large problem by problem."""
    cell = [c for c in KEY if c != "metric"]
    passes = {(row["metric"], *(row[c] for c in cell)): row for row in rows}
    hits = []
    for index, row in enumerate(rows):
        best = passes.get((row["metric"].replace("avg@", "pass@"), *(row[c] for c in cell)))
        if best is None or not row["metric"].startswith("avg@"):
            continue
        rounding = 0.5 * (10.0 ** -int(row["decimals"]) + 10.0 ** -int(best["decimals"]))
        if row["value"] > best["value"] + rounding + 1e-9:
            hits.append((index, ("order", f"above its {best['metric']} of {_printed(best)}")))
    return hits


def _printed(row: Mapping) -> str:
    return f"{row['value']:.{int(row['decimals'])}f}"


def _cell(row: Mapping) -> str:
    parts = [row[c] for c in ("paper", "table", "model", "benchmark", "metric", "method", "variant")]
    if row["checkpoint"] in ("last", "best"):
        parts.append(row["checkpoint"])
    return " / ".join(str(p) for p in parts if p)


if __name__ == "__main__":
    raise SystemExit(main())
