"""The command line. Exit codes: 0 done, 1 a check failed, 2 bad input, 3 refused for safety.

Commands only parse words and call library functions; heavy libraries are imported inside them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer

from creditbench.errors import CreditBenchError

INTERRUPTED = 130

app = typer.Typer(
    name="creditbench", no_args_is_help=True, add_completion=False, rich_markup_mode=None,
    pretty_exceptions_enable=False, help="Train RLVR credit-assignment methods under one protocol and compare them.",
)  # fmt: skip


def _register() -> None:
    from creditbench.cli import develop, environments, grading, inspect, jobs, reference, tables, tuning

    for module in (inspect, jobs, grading, tables, develop, tuning, reference, environments):
        module.register(app)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; errors meant for the user are one line on stderr."""
    from typer.exceptions import Abort, TyperException

    _register_once()
    try:
        code = app(list(sys.argv[1:] if argv is None else argv), standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:
            return _say("interrupted; the same command goes on where it stopped", INTERRUPTED)
        return code if isinstance(code, int) else 0
    except CreditBenchError as error:
        return _say(str(error), error.exit_code)
    except (Abort, KeyboardInterrupt):
        return _say("interrupted; the same command goes on where it stopped", INTERRUPTED)
    except TyperException as error:
        text = error.format_message() if hasattr(error, "format_message") else str(error)
        if text.startswith("Usage:"):
            print(text)
            return 0
        return _say(text, getattr(error, "exit_code", 2))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        from creditbench.records.atomic import refusal

        told = refusal(error, error.filename or "results")
        if told is None:
            raise
        return _say(str(told), told.exit_code)


def _say(text: str, code: int) -> int:
    print(f"creditbench: {' '.join(text.split())}", file=sys.stderr)
    return code


_registered = False


def _register_once() -> None:
    global _registered
    if not _registered:
        _register()
        _registered = True
