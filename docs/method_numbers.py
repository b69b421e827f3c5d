"""Put each method's numbers of the reference run into its page: `python docs/method_numbers.py`.

Reads `results/reference/tiny.json`, which `creditbench reference` writes from a finished suite, and fills the block
between the two markers of every page in docs/methods. Without that file the blocks say so.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- numbers:begin[^\n]*-->\n).*?(<!-- numbers:end -->)", re.S)
HEAD = ("track", "arm", "score", "95 %", "rank", "minus base", "minus GRPO", "Holm p")
NOTHING = "No reference run is committed yet (`results/reference/tiny.json`)."
Row = dict[str, Any]


def main(root: Path = ROOT) -> int:
    """Fill every page; exit code 1 when a page has no markers."""
    path = root / "results" / "reference" / "tiny.json"
    reference = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
    missing = 0
    for page in sorted((root / "docs" / "methods").glob("*.md")):
        if page.name == "README.md":
            continue
        block = numbers(page.stem, reference)
        text, found = BLOCK.subn(lambda m: f"{m[1]}\n{block}\n\n{m[2]}", page.read_text(encoding="utf-8"))  # noqa: B023
        if not found:
            print(f"{page.name}: the numbers markers are missing", file=sys.stderr)
            missing += 1
        page.write_text(text, encoding="utf-8")
    return 1 if missing else 0


def numbers(method: str, reference: Row | None) -> str:
    """The block of one page: every arm of the method on every track, and each arm against its placebos."""
    if reference is None:
        return NOTHING
    board = [row for row in reference["leaderboard"] if _method(row["method"]) == method]
    if not board:
        return f"No arm of this method is in the reference run (`{reference['command']}`)."
    pairs = reference["pairwise"]
    against = {(row["family"], row["track"], row["method_a"]): row for row in pairs}
    runs = [run for group in reference["groups"] for row in board for run in group["arms"].get(row["method"], [])]
    commits = ", ".join(f"`{commit}`" for commit in sorted({run["commit"][:12] for run in runs}))
    lines = [f"Made by `{reference['command']}` at {commits}; scores in points of 100.", "", *_head(HEAD)]
    for row in sorted(board, key=lambda row: (row["track"], row["method"])):
        base, grpo = (against.get((name, row["track"], row["method"]), {}) for name in ("base", "grpo"))
        cells = [
            row["track"], f"`{row['method']}`", _points(row["score"]), _interval(row), _rank(row),
            _points(base.get("difference"), "+"), _points(grpo.get("difference"), "+"), _p(grpo.get("p_holm")),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    placebo = [row for row in pairs if row["family"] == "placebo" and _method(row["method_a"]) == method]
    if placebo:
        lines += ["", "An arm minus its placebo; what is left is placement of credit:", ""]
        lines += _head(("track", "arm", "placebo", "difference", "95 %", "Holm p"))
    for row in sorted(placebo, key=lambda row: (row["track"], row["method_a"], row["method_b"])):
        cells = [
            row["track"], f"`{row['method_a']}`", f"`{row['method_b']}`", _points(row["difference"], "+"),
            _interval(row, "+"), _p(row["p_holm"]),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _method(arm: str) -> str:
    return re.split(r"[@+]", arm, maxsplit=1)[0]


def _head(names: tuple[str, ...]) -> list[str]:
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def _points(value: float | None, sign: str = "") -> str:
    return "" if value is None else f"{100 * value:{sign}.1f}"


def _interval(row: Row, sign: str = "") -> str:
    low, high = row["ci_low"], row["ci_high"]
    return "" if low is None or high is None else f"{_points(low, sign)} to {_points(high, sign)}"


def _rank(row: Row) -> str:
    low, high = row["rank_low"], row["rank_high"]
    return "" if low is None else f"{low}" if low == high else f"{low}-{high}"


def _p(value: float | None) -> str:
    return "" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


if __name__ == "__main__":
    sys.exit(main())
