"""Put the summary of the reference run into README.md: `python docs/reference_summary.py`.

Reads `results/reference/tiny.json`, which `creditbench reference` writes from a finished suite; without it, says so.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "results" / "reference" / "tiny.json"
BLOCK = re.compile(r"(<!-- reference:begin[^\n]*-->\n).*?(<!-- reference:end -->)", re.S)
NOTHING = """No run of `tiny-full` with all its seeds is committed yet. It is made by

```
make leaderboard SUITE=tiny-full ARGS="tracks=math"
creditbench reference tiny-full --out results/reference/tiny.json
```"""
Row = dict[str, Any]


def main() -> int:
    """Replace the block between the two markers by the summary."""
    told = NOTHING
    if REFERENCE.is_file():
        told = summary(json.loads(REFERENCE.read_text(encoding="utf-8")))
    readme = ROOT / "README.md"
    text, found = BLOCK.subn(
        lambda m: f"{m.group(1)}\n{told}\n\n{m.group(2)}", readme.read_text(encoding="utf-8")
    )
    if not found:
        print("README.md: the reference markers are missing", file=sys.stderr)
        return 1
    readme.write_text(text, encoding="utf-8")
    return 0


def summary(reference: Row) -> str:
    """One table per track: score, rank, difference to GRPO, and each weighted method against its placebos."""
    parts = [f"Made by `{reference['command']}` at {commits(reference)}."]
    for group in reference["groups"]:
        pairs = [row for row in reference["pairwise"] if row["track"] == group["track"]]
        board = [row for row in reference["leaderboard"] if row["track"] == group["track"]]
        seeds = max(row["n_seeds"] for row in board)
        parts += [f"Track {group['track']}, {seeds} seeds, {len(group['problems'])} problems x {group['k']} samples:"]
        against = {row["method_a"]: row for row in pairs if row["family"] == "grpo"}
        placebo = [row for row in pairs if row["family"] == "placebo"]
        parts += [*said(list(against.values()), placebo), f"<details><summary>All {len(board)} arms</summary>"]
        parts.append(
            _table(
                ["arm", "score", "95 %", "rank", "minus GRPO", "Holm p"],
                [
                    [f"`{row['method']}`", _points(row["score"]), _interval(row), _rank(row), *_minus(against, row)]
                    for row in sorted(board, key=lambda row: (-row["score"], row["method"]))
                ],
            )
        )
        if placebo:
            parts += ["Weighted methods against their placebos (method minus placebo):"]
            parts.append(
                _table(
                    ["placebo", "difference", "95 %", "Holm p"],
                    [
                        [f"`{row['method_b']}`", _signed(row["difference"]), _interval(row), _p(row["p_holm"])]
                        for row in placebo
                    ],
                )
            )
        parts.append("</details>")
    return "\n\n".join(parts)


def said(against_grpo: list[Row], placebo: list[Row]) -> list[str]:
    """What the tests allow to say: methods apart from GRPO, and methods apart from their own placebos."""
    methods = [row for row in against_grpo if "+" not in row["method_a"] and "@" not in row["method_a"]]
    up, down = ([row["method_a"] for row in methods if _apart(row, sign)] for sign in (1, -1))
    level = [row["method_a"] for row in methods if row["method_a"] not in (*up, *down)]
    lines = [f"Above GRPO (Holm p < 0.05): {_names(up)}. Below it: {_names(down)}. Not told apart: {_names(level)}."]
    if placebo:
        shown = [f"{row['method_a']}` against `{row['method_b']}" for row in placebo if _apart(row, 1)]
        lines.append(
            f"In {len(shown)} of {len(placebo)} comparisons of a method with its placebo the method is shown to be "
            f"better: {_names(shown)}. In the others the gain, where there is one, is not shown to come from where the "
            "credit is put."
        )
    return lines


def _apart(row: Row, sign: int) -> bool:
    return row["p_holm"] is not None and row["p_holm"] < 0.05 and sign * row["difference"] > 0


def _names(arms: list[str]) -> str:
    return ", ".join(f"`{arm}`" for arm in arms) or "none"


def _minus(against: dict[str, Row], arm: Row) -> list[str]:
    row = against.get(arm["method"])
    return ["", ""] if row is None else [_signed(row["difference"]), _p(row["p_holm"])]


def _points(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{100 * value:+.1f}"


def _interval(row: Row) -> str:
    low, high = row["ci_low"], row["ci_high"]
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"


def _rank(row: Row) -> str:
    low, high = row["rank_low"], row["rank_high"]
    return f"{low}" if low == high else f"{low}-{high}"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def commits(reference: Row) -> str:
    """The states of the code that made the runs; each run in the file names its own."""
    arms = [runs for group in reference["groups"] for runs in group["arms"].values()]
    found = sorted({run["commit"][:12] for runs in arms for run in runs})
    return f"commit{'s' if len(found) > 1 else ''} {', '.join(f'`{commit}`' for commit in found)}"


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
