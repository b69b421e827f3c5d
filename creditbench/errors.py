"""Errors that reach the user as one clear line, each with its exit code.

0 done, 1 a check failed, 2 bad input, 3 refused for safety.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class CreditBenchError(Exception):
    """Base of the errors whose text is written for the user; `exit_code` is what the CLI returns."""

    exit_code = 1


class CheckFailed(CreditBenchError):
    """A check ran and said no: a replay differs, a table is blocked, a track was skipped."""

    exit_code = 1


class BadInput(CreditBenchError):
    """The user gave something unusable; the message names file, field, what was expected, nearest valid name."""

    exit_code = 2


class Busy(CheckFailed):
    """Another process is at this very work; nothing is wrong with it."""


class Refused(CreditBenchError):
    """Going on would be unsafe (no sandbox, say); the message says what to install or change."""

    exit_code = 3


def nearest(name: str, choices: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest of `choices`, or a short list of them when none is close."""
    known = sorted({str(c) for c in choices})
    close = get_close_matches(str(name), known, n=1, cutoff=0.5)
    if close:
        return f" (did you mean {close[0]!r}?)"
    return f" (known: {', '.join(known[:12])}{', ...' if len(known) > 12 else ''})" if known else ""


def unknown(kind: str, name: str, choices: Iterable[str], where: str = "") -> BadInput:
    """Build the error for a name that is not one of `choices`; `where` is the file and field it came from."""
    prefix = f"{where}: " if where else ""
    return BadInput(f"{prefix}unknown {kind} {name!r}{nearest(name, choices)}")
