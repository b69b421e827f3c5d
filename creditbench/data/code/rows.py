"""Programming problems as their rows come in the wild, read into one form.

Schemas: LiveCodeBench (hub), open-r1/codeforces, CodeContests (deepmind), TACO and APPS, and the wrapper of
SandboxFusion's copies (`content`, `test`, `labels`). Test payloads are decoded by the judge's restricted reader.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from creditbench.errors import BadInput
from creditbench.items import digest_text
from creditbench.judge import Test, decode_private_tests
from creditbench.judge.lcb_tests import normalise

_ANY = re.compile(
    r"(?is)\b(?:print|output|find|report|return|choose) any\b"
    r"|\bany (?:of them|one of them|such|valid|suitable|correct)\b"
    r"|\bif there (?:are|is|exist|exists) (?:multiple|several|many|more than one)\b.{0,80}?\b(?:any|either)\b"
)
_INTERACTIVE = re.compile(r"(?i)\bthis is an interactive problem\b|\binteraction protocol\b")
_WRAPPED = re.compile(r"(?s)### Question:\s*\n(.*?)\n\s*### Format:(.*?)(?:\n\s*### Answer:|\Z)")
_FENCED = re.compile(r"(?s)```(?:python)?\n(.*?)```")
_DOTS = re.compile(r"(?<!\.)\.\.\.\Z")
_SHOWN = 200  # the site shows some 250 characters of a test; a short text that ends in dots is a drawing
_JUDGES = {1: "codechef", 2: "codeforces", 3: "hackerearth", 4: "codejam", 5: "atcoder", 6: "aizu"}  # CodeContests
_CODEFORCES = 2
_PYTHON3 = 3  # CodeContests' number of the language


@dataclass(frozen=True)
class CodeProblem:
    """One problem. `why_not`: why its programs cannot be judged here ("" when they can).

    `date` is ISO and may carry a time; `time_s` and `memory_mb` are the judge's own; `checker` is Python source;
    `complete` is False where the published tests are known to be cut; `solutions` are Python programs, unverified.
    """

    id: str
    statement: str
    tests: tuple[Test, ...]
    n_public: int = 0
    title: str = ""
    date: str = ""
    func_name: str = ""
    starter: str = ""
    time_s: float | None = None
    memory_mb: int | None = None
    checker: str = ""
    rating: int | None = None
    complete: bool = True
    several_answers: bool = False
    why_not: str = ""
    solutions: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class NoTests(BadInput):
    """A row whose tests are missing or cannot be read: an error in a benchmark, left out of a training set."""


def read_problem(row: Mapping[str, Any], where: str) -> CodeProblem:
    """Read one row of any known schema. Raises BadInput naming the row and what was expected (NoTests for tests)."""
    for marks, reader in _SCHEMAS:
        if all(mark in row for mark in marks):
            try:
                return reader(row)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise BadInput(f"{where}: {type(error).__name__}: {error}"[:300]) from None
            except BadInput as error:
                kind = NoTests if "tests" in str(error) else BadInput
                raise kind(f"{where}: {error}"[:300]) from None
    known = "; ".join(", ".join(marks) for marks, _ in _SCHEMAS)
    raise BadInput(f"{where}: no known schema; expected the fields {known}")


def _livecodebench(row: Mapping[str, Any]) -> CodeProblem:
    public = tuple(decode_private_tests(row["public_test_cases"]))
    tests = public + tuple(decode_private_tests(row["private_test_cases"]))
    facts = json.loads(row.get("metadata") or "{}")
    return CodeProblem(
        str(row["question_id"]), _text(row["question_content"]), tests, len(public), _text(row["question_title"]),
        str(row["contest_date"]), str(facts.get("func_name") or ""), _text(row.get("starter_code")),
        facts=_facts(row, "platform", "difficulty", "contest_id"),
    )  # fmt: skip


def _wrapper(row: Mapping[str, Any]) -> CodeProblem:
    labels = json.loads(row["labels"]) if isinstance(row["labels"], str) else dict(row["labels"])
    payload, fn_name = row["test"], ""
    if isinstance(payload, str) and payload.lstrip().startswith("["):
        payload = json.loads(payload)
    if isinstance(payload, str):
        tests, fn_name = tuple(decode_private_tests(payload)), _fn_name(payload)
    else:
        tests = _pairs((t["input"]["stdin"], t["output"]["stdout"]) for t in payload)
    id = labels.get("task_id") or f"{labels.get('source', 'row').lower()}/{labels.get('name', row['id'])}"
    wrapped, content = _WRAPPED.search(_text(row["content"])), _text(row["content"])
    starter = _FENCED.search(wrapped[2]) if wrapped and fn_name else None
    statement = wrapped[1].strip() if wrapped else content.strip()
    platform = labels.get("category") or str(labels.get("source", "")).lower()
    facts = {"platform": platform, "difficulty": str(labels.get("difficulty", ""))}
    return CodeProblem(
        id, statement, tests, 0, str(labels.get("name", "")), func_name=fn_name, starter=starter[1] if starter else "",
        several_answers=_several(statement), why_not=_unjudgeable(statement), facts=facts,
    )  # fmt: skip


def _fn_name(payload: str) -> str:
    from creditbench.judge.lcb_tests import decode_payload

    value = decode_payload(payload)
    inner = json.loads(value["input_output"]) if isinstance(value, dict) and "input_output" in value else value
    return str(inner.get("fn_name") or "") if isinstance(inner, dict) else ""


def _open_r1(row: Mapping[str, Any]) -> CodeProblem:
    given = [(t["input"], t["output"]) for t in row["official_tests"] or ()]
    examples = [(t["input"], t["output"]) for t in row.get("examples") or ()]
    whole = [pair for pair in given if not _cut(pair)]
    complete = bool(row.get("official_tests_complete", True)) and len(whole) == len(given)
    parts = [_text(row.get("description"))]
    titles = {"input_format": "Input", "output_format": "Output", "interaction_format": "Interaction", "note": "Note"}
    parts += [f"{title}\n{_text(row[key])}" for key, title in titles.items() if row.get(key)]
    parts += [f"Example input\n{_text(a)}\nExample output\n{_text(b)}" for a, b in examples]
    statement = "\n\n".join(part.strip() for part in parts if part.strip())
    why = "interactive" if row.get("interaction_format") else _unjudgeable(statement)
    if not why and str(row.get("input_mode") or "stdio") != "stdio":
        why = "reads and writes files"
    if not why and row.get("executable") is False:
        why = "marked as not executable"
    start = row.get("contest_start")
    date = dt.datetime.fromtimestamp(int(start), dt.UTC).date().isoformat() if start else ""
    checker = _text(row.get("generated_checker"))
    return CodeProblem(
        str(row["id"]), statement, _pairs(whole), min(len(examples), len(whole)), _text(row.get("title")), date,
        time_s=_number(row.get("time_limit")), memory_mb=_whole(row.get("memory_limit")), checker=checker,
        rating=_whole(row.get("rating")), complete=complete, several_answers=_several(statement),
        why_not=why or ("" if whole else "no tests"), solutions=tuple(map(_text, row.get("solutions") or ())),
        facts={**_facts(row, "contest_id", "contest_type", "index"), "platform": "codeforces"},
    )  # fmt: skip


def _code_contests(row: Mapping[str, Any]) -> CodeProblem:
    groups = [row.get(name) or {} for name in ("public_tests", "private_tests", "generated_tests")]
    pairs = [pair for g in groups for pair in zip(g.get("input") or (), g.get("output") or (), strict=True)]
    whole = [pair for pair in pairs if not _cut(pair)]
    statement = _text(row.get("untranslated_description") or row["description"])
    if row.get("is_description_translated"):
        statement = _text(row["description"])
    why = "reads and writes files" if row.get("input_file") or row.get("output_file") else _unjudgeable(statement)
    limit = row.get("time_limit") or {}
    seconds = float(limit.get("seconds") or 0) + float(limit.get("nanos") or 0) / 1e9
    solved = row.get("solutions") or {}
    programs = zip(solved.get("language") or (), solved.get("solution") or (), strict=True)
    id = str(row["name"])
    if row.get("source") == _CODEFORCES and row.get("cf_contest_id"):
        id = f"{row['cf_contest_id']}/{row.get('cf_index') or id}"
    return CodeProblem(
        id, statement, _pairs(whole), len(groups[0].get("input") or ()), _text(row["name"]), time_s=seconds or None,
        memory_mb=int(row.get("memory_limit_bytes") or 0) // 2**20 or None, rating=_whole(row.get("cf_rating")) or None,
        complete=len(whole) == len(pairs), several_answers=_several(statement),
        why_not=why or ("" if whole else "no tests"),
        solutions=tuple(_text(code) for language, code in programs if language == _PYTHON3),
        facts={"platform": _JUDGES.get(row.get("source", 0), "unknown"), "difficulty": str(row.get("difficulty", ""))},
    )  # fmt: skip


def _taco(row: Mapping[str, Any]) -> CodeProblem:
    inner = row["input_output"]
    inner = json.loads(inner or "{}") if isinstance(inner, str) else dict(inner)
    statement, why = _text(row["question"]), ""
    if inner.get("fn_name"):
        why = "function tests without argument names or types"  # the data set wraps answers in lists, or does not
    pairs = [] if why else [(_lines(a), _lines(b)) for a, b in zip(inner["inputs"], inner["outputs"], strict=True)]
    solutions = row.get("solutions") or "[]"
    solutions = json.loads(solutions) if isinstance(solutions, str) else list(solutions)
    id = str(row.get("url") or row.get("problem_id") or row.get("id") or row.get("name") or "")
    return CodeProblem(
        id or f"taco-{digest_text(statement)[:16]}", statement, _pairs(pairs), 0, _text(row.get("name")),
        time_s=_number(row.get("time_limit")), memory_mb=_whole(row.get("memory_limit")),
        several_answers=_several(statement), why_not=why or _unjudgeable(statement) or ("" if pairs else "no tests"),
        solutions=tuple(_text(code) for code in solutions), facts=_facts(row, "source", "difficulty"),
    )  # fmt: skip


_SCHEMAS = (
    (("question_content", "private_test_cases"), _livecodebench),
    (("official_tests",), _open_r1),
    (("public_tests", "private_tests"), _code_contests),
    (("question", "input_output"), _taco),
    (("content", "test", "labels"), _wrapper),
)


def _pairs(pairs: Iterable[tuple[str, str]]) -> tuple[Test, ...]:
    return tuple(Test(normalise(_checked(a)), normalise(_checked(b))) for a, b in pairs)


def _checked(value: Any) -> str:
    if not isinstance(value, str):
        raise BadInput(f"tests: expected text, got {type(value).__name__}")
    return value


def _lines(value: Any) -> str:
    """TACO and APPS hold a test as text or as a list of lines."""
    return "\n".join(map(str, value)) if isinstance(value, list) else value


def _cut(pair: tuple[str, str]) -> bool:
    """Whether a published test was cut for display: the site ends such (long) text with three dots."""
    return any(isinstance(text, str) and len(text) > _SHOWN and _DOTS.search(text.rstrip()) for text in pair)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _facts(row: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: row[name] for name in names if row.get(name) not in (None, "")}


def _number(value: Any) -> float | None:
    """A number, also out of "2.0 seconds"; None where there is none."""
    found = re.search(r"[0-9]+(?:\.[0-9]+)?", str(value)) if value is not None else None
    return float(found[0]) if found and float(found[0]) > 0 else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _several(statement: str) -> bool:
    return _ANY.search(statement) is not None


def _unjudgeable(statement: str) -> str:
    return "interactive" if _INTERACTIVE.search(statement) else ""
