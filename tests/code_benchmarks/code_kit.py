"""Made-up rows in every schema, responses, and where the real rows lie."""

from __future__ import annotations

import base64
import json
import os
import pickle
import zlib
from pathlib import Path

from creditbench.items import Completion

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CREDITBENCH_DATA") or ROOT.parent / "shared" / "data").resolve()


def said(program: str, finish: str = "stop") -> Completion:
    """A response with one program."""
    return Completion(f"Think.\n```python\n{program}\n```\n", 9, finish)  # type: ignore[arg-type]


def packed(tests: list[dict[str, str]]) -> str:
    """Tests as LiveCodeBench's hub rows hold private ones."""
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def lcb_row(id: str, date: str, tests: list[tuple[str, str]], func: str = "", title: str = "T") -> dict[str, str]:
    """A row in the hub's schema: the first test is public, the others are private."""
    kind = "functional" if func else "stdin"
    cases = [{"input": a, "output": b, "testtype": kind} for a, b in tests]
    return {
        "question_title": title, "question_content": f"Problem {id}", "platform": "atcoder", "question_id": id,
        "contest_id": "c", "contest_date": date, "difficulty": "easy", "public_test_cases": json.dumps(cases[:1]),
        "starter_code": f"class Solution:\n    def {func}(self, a):\n        " if func else "",
        "private_test_cases": packed(cases[1:]), "metadata": json.dumps({"func_name": func} if func else {}),
    }  # fmt: skip


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path
