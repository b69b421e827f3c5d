"""Write own.jsonl, our problems in the schema of open-r1/codeforces: `python benchmarks/codeforces/own/build.py`.

Expected outputs come from `fast` where a problem has it and from brute force otherwise; on small inputs both must
agree. Five more rows are there to be left out: interactive, file input, incomplete tests, a test cut for display,
several answers without a checker.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import checked
import exact

TIME_LIMIT_S, MEMORY_LIMIT_MB = 0.5, 256.0
SHOWN = 2
FIRST_DAY = 1767225600  # 2026-01-01, seconds since 1970


def row(problem: Mapping[str, Any], small: int) -> dict[str, Any]:
    """One problem as a row. Raises ValueError where fast and brute answers differ on a small input."""
    texts = list(dict.fromkeys(problem["cases"](Random(problem["id"]))))
    answer = problem.get("fast", problem["brute"])
    tests = [{"input": text, "output": answer(text) + "\n"} for text in texts]
    for test in tests:
        numbers = [int(word) for word in test["input"].split() if word.lstrip("-").isdigit()]
        if max([0, *numbers]) <= small and problem["brute"](test["input"]) + "\n" != test["output"]:
            raise ValueError(f"{problem['id']}: fast and brute force differ on {test['input']!r}")
    contest, index = problem["id"].split("/")
    return {
        "id": problem["id"], "contest_id": contest, "contest_name": f"Own round {contest}", "contest_type": "OWN",
        "contest_start": FIRST_DAY + 86400 * (int(contest) - 900), "index": index, "title": problem["title"],
        "time_limit": TIME_LIMIT_S, "memory_limit": MEMORY_LIMIT_MB, "description": problem["description"],
        "input_format": problem["input"], "output_format": problem["output"], "interaction_format": None, "note": None,
        "examples": tests[:SHOWN], "rating": problem["rating"], "official_tests": tests,
        "official_tests_complete": True, "input_mode": "stdio", "generated_checker": problem.get("checker"),
        "executable": True, "solutions": problem["right"],
        "incorrect_solutions": [{"verdict": verdict, "code": code} for verdict, code in problem["wrong"]],
    }  # fmt: skip


def rows() -> list[dict[str, Any]]:
    """All rows, those that are not judged or not counted last."""
    found = [row(p, module.SMALL) for module in (exact, checked) for p in module.PROBLEMS]
    copy = {**found[0], "incorrect_solutions": []}
    cut = [*copy["official_tests"], {"input": "1" * 250 + "...", "output": "NO\n"}]
    return [
        *found,
        {**copy, "id": "903/A", "title": "Guess", "interaction_format": "Print a guess, read whether it is too low."},
        {**copy, "id": "903/B", "title": "Files", "input_mode": "file"},
        {**copy, "id": "903/C", "title": "Incomplete", "official_tests_complete": False},
        {**copy, "id": "903/D", "title": "Cut", "official_tests": cut},
        {**found[8], "id": "903/E", "title": "No checker", "generated_checker": None, "incorrect_solutions": []},
    ]


def text() -> str:
    """The file's content."""
    return "".join(json.dumps(found, sort_keys=True) + "\n" for found in rows())


if __name__ == "__main__":
    Path(__file__).with_name("own.jsonl").write_text(text(), encoding="utf-8")
