"""Comparison of outputs with expected values, in the judge's process. Pure functions; never raise on bad output.

Stdin rule (both graders; LiveCodeBench testing_util): strip, same number of lines, each line stripped and equal
as text or, token by token, exactly equal as decimals. Token rule (Codeforces without a checker): the same tokens in the
same order however they are spaced, numbers exactly equal as decimals, YES and NO in any case. Functional rule:
`strict` compares JSON values with types (true is not 1; a tuple counts as a list at any depth; 2 equals 2.0; no
tolerance); `lcb_compat` is Python's == after turning a top-level tuple into a list.
"""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any

DEPTH = 200


def same_text(out: str, expected: str) -> bool:
    """True when `out` equals `expected` under the stdin rule."""
    got, want = ([line.strip() for line in text.strip().split("\n")] for text in (out, expected))
    if len(got) != len(want):
        return False
    return all(a == b or _same_numbers(a, b) for a, b in zip(got, want, strict=True))


def _same_numbers(a: str, b: str) -> bool:
    x, y = a.split(), b.split()
    if len(x) != len(y):
        return False
    try:
        return all(Decimal(p) == Decimal(q) for p, q in zip(x, y, strict=True))
    except (InvalidOperation, ValueError, OverflowError, MemoryError):
        return False


def same_tokens(out: str, expected: str) -> bool:
    """True when `out` equals `expected` under the token rule."""
    got, want = out.split(), expected.split()
    return len(got) == len(want) and all(
        a == b or (a.upper() == b.upper() and b.upper() in ("YES", "NO")) or _same_numbers(a, b)
        for a, b in zip(got, want, strict=True))


class Opaque:
    """A returned object that is not plain data: equal to nothing."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        return False


def decode(tree: Any, depth: int = 0) -> Any:
    """Rebuild a Python value from the box's tagged JSON; raises ValueError on anything malformed or too deep."""
    if depth > DEPTH:
        raise ValueError("nested too deep")
    if not isinstance(tree, list):
        if isinstance(tree, dict):
            raise ValueError("untagged value")
        return tree
    tag: Any = tree[0] if tree else None
    rest: list[Any] = tree[1:]
    if tag in ("l", "t"):
        items = [decode(v, depth + 1) for v in rest]
        return items if tag == "l" else tuple(items)
    if tag == "d":
        pairs = [(decode(p[0], depth + 1), decode(p[1], depth + 1)) for p in rest]
        try:
            return dict(pairs)
        except TypeError as error:
            raise ValueError(str(error)) from error
    if tag == "i" and len(rest) == 1 and isinstance(rest[0], str):
        return int(rest[0], 16)
    if tag == "q" and len(rest) == 2 and all(isinstance(r, str) for r in rest):
        return Fraction(int(rest[0], 16), int(rest[1], 16))
    if tag == "o":
        return Opaque()
    raise ValueError("unknown tag")


def parse_frame(frame: bytes) -> dict[str, Any]:
    """Parse one report frame; a frame that is not the JSON we expect becomes {"err": ...}."""
    try:
        found = json.loads(frame)
    except (ValueError, RecursionError):
        return {"err": "malformed result"}
    return found if isinstance(found, dict) else {"err": "malformed result"}


def same_value(frame: dict[str, Any], expected: Any, grader: str) -> bool:
    """True when the returned value in `frame["v"]` equals `expected` under the grader's functional rule."""
    try:
        value = decode(frame["v"])
        if grader == "lcb_compat":
            return bool((list(value) if isinstance(value, tuple) else value) == expected)
        return _equal(value, expected, 0)
    except (KeyError, IndexError, TypeError, ValueError, RecursionError, OverflowError, ZeroDivisionError):
        return False


def _equal(a: Any, b: Any, depth: int) -> bool:
    if depth > DEPTH:
        return False
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(b, list):
        return isinstance(a, (list, tuple)) and len(a) == len(b) and all(
            _equal(x, y, depth + 1) for x, y in zip(a, b, strict=True))
    if isinstance(b, dict):
        if not isinstance(a, dict):
            return False
        keyed = {k if isinstance(k, str) else json.dumps(k): v for k, v in a.items()}  # JSON keys are text
        return keyed.keys() == b.keys() and all(_equal(keyed[k], b[k], depth + 1) for k in b)
    if isinstance(b, (int, float)):
        return isinstance(a, (int, float, Fraction)) and a == b
    return type(a) is type(b) and a == b
