"""Put the generated leaderboard of suite `tiny` into README.md: `python docs/readme_table.py`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"(<!-- leaderboard:begin[^\n]*-->\n).*?(<!-- leaderboard:end -->)", re.S)


def main(argv: list[str]) -> int:
    """Replace the block between the two markers by the rankings of results/<suite>/leaderboard.md."""
    suite = argv[0] if argv else "tiny"
    page = ROOT / "results" / suite / "leaderboard.md"
    if not page.is_file():
        print(f"{page}: no such file; make it with: make leaderboard SUITE={suite}", file=sys.stderr)
        return 2
    table = rankings(page.read_text(encoding="utf-8"))
    readme = ROOT / "README.md"
    text, found = BLOCK.subn(lambda m: f"{m.group(1)}\n{table}\n\n{m.group(2)}", readme.read_text(encoding="utf-8"))
    if not found:
        print("README.md: the leaderboard markers are missing", file=sys.stderr)
        return 1
    readme.write_text(text, encoding="utf-8")
    return 0


def rankings(page: str) -> str:
    """Each track's ranking and how to read it, as sections of a page; benchmarks and placebos stay in the page."""
    parts = re.split(r"^(?=#{2,3} )", page, flags=re.M)
    tracks = [part.strip() for part in parts if part.startswith("## Track ")]
    return "\n\n".join(re.sub(r"^## ", "#### ", part) for part in tracks)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
