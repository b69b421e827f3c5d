"""Conversion, once: rows become an index of problems without tests, and content-addressed JSON files of tests.

Everything lies under `results/data/`. An index is named by the SHA-256 of the file (or hub commit) it came from; a
tests file by the SHA-256 of its own JSON. What is read later is JSON with a checked digest; no payload is decoded
again.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from creditbench.data import source
from creditbench.data.code.rows import CodeProblem, NoTests, read_problem
from creditbench.errors import BadInput, CheckFailed
from creditbench.items import digest_of
from creditbench.judge import Test
from creditbench.records import digest_file, read_json, write_json
from creditbench.records.atomic import atomic_path, write_text

VERSION = 1  # of the conversion: a new one converts again
KEPT_SOLUTIONS = 3
LARGE = 64 << 20


def data_folder() -> Path:
    """`results/data` of the project that is in use."""
    return source.record_path("x").parent


def put_tests(tests: Sequence[Test]) -> str:
    """Store tests and return the SHA-256 that names them."""
    text = json.dumps([[t.input, t.output, t.kind] for t in tests], separators=(",", ":")).encode("ascii")
    sha = hashlib.sha256(text).hexdigest()
    path = tests_path(sha)
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as private:
            private.write_bytes(gzip.compress(text, 4, mtime=0))
    return sha


def tests_path(sha: str) -> Path:
    """Where the tests of that digest lie."""
    return data_folder() / "tests" / sha[:2] / f"{sha}.json.gz"


@lru_cache(maxsize=32)  # samples come problem by problem; some problems have hundreds of megabytes
def _tests(path: Path, sha: str) -> tuple[Test, ...]:
    try:
        text = gzip.decompress(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{path}: no such tests; load the benchmark again, which converts its rows") from None
    except (OSError, EOFError) as error:
        raise CheckFailed(f"{path}: damaged ({error}); delete it and load the benchmark again") from None
    if hashlib.sha256(text).hexdigest() != sha:
        raise CheckFailed(f"{path}: content differs from its digest; delete it and load the benchmark again")
    return tuple(Test(*row) for row in json.loads(text))


def get_tests(sha: str) -> tuple[Test, ...]:
    """The tests of that digest, checked. Raises BadInput when they are not here, CheckFailed when damaged."""
    return _tests(tests_path(sha), sha)


def index_of_file(name: str, path: Path, training: bool = False) -> list[dict[str, Any]]:
    """Problems of a file, converted on the first use. See `index_of`."""
    return index_of(name, stream(path), str(path), file_sha(path), training)


def index_of(
    name: str, rows: Iterable[Mapping[str, Any]], where: str, key: str, training: bool = False
) -> list[dict[str, Any]]:
    """Problems as dicts (CodeProblem without tests; `sha`, `n_tests`, `distinct`), converted on the first use.

    key: what identifies the rows. A row without readable tests raises BadInput, or is counted in a training set.
    """
    path = data_folder() / "code" / f"{name}-{key[:16]}-v{VERSION}{'-train' if training else ''}.jsonl"
    if path.is_file():
        known = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
        if all(tests_path(row["sha"]).is_file() for row in known):
            return known
    found, bad = [], Counter()
    for number, row in enumerate(rows, start=1):
        try:
            problem = read_problem(row, f"{name}: {where}: row {number}")
        except NoTests:
            if not training:
                raise
            bad["rows without readable tests"] += 1
            continue
        found.append(_light(problem))
    if not found:
        raise BadInput(f"{name}: {where}: no rows")
    write_text(path, "".join(f"{json.dumps(row)}\n" for row in found))
    if bad:
        source.record(name, {"left_out": {where: dict(bad)}})
    return found


def _light(problem: CodeProblem) -> dict[str, Any]:
    """A problem without its tests, which are stored apart."""
    if not problem.tests and not problem.why_not:
        raise NoTests(f"problem {problem.id!r}: no tests")
    row = {**asdict(problem), "sha": put_tests(problem.tests), "n_tests": len(problem.tests)}
    row["distinct"] = distinct_tests(problem.tests)
    row["solutions"] = sorted(problem.solutions, key=len)[:KEPT_SOLUTIONS]
    del row["tests"]
    return row


def distinct_tests(tests: Sequence[Test]) -> list[int] | None:
    """Numbers of the first copy of every test; None when all tests differ."""
    first: dict[tuple[str, str], int] = {}
    for number, test in enumerate(tests):
        first.setdefault((test.input, test.output), number)
    return list(first.values()) if len(first) < len(tests) else None


def file_sha(path: Path) -> str:
    """SHA-256 of a file; of a large one (see LARGE) it is stored and holds while path, size and time stay the same."""
    stat = path.stat()
    if stat.st_size < LARGE:
        return digest_file(path)
    key = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    known = data_folder() / "digests" / f"{digest_of(key)[:16]}.json"
    if not known.is_file():
        write_json(known, {"file": key, "sha256": digest_file(path)})
    return str(read_json(known)["sha256"])


def stream(path: Path) -> Iterator[dict[str, Any]]:
    """Rows of a file; JSON lines are read one at a time, as LiveCodeBench's files hold more than a gigabyte."""
    if path.suffix != ".jsonl":
        yield from source.read_file(path)
        return
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:
                raise BadInput(f"{path}:{number}: not valid JSON: {error}") from None
            if not isinstance(row, dict):
                raise BadInput(f"{path}:{number}: expected an object with the row's fields, got {type(row).__name__}")
            yield row
