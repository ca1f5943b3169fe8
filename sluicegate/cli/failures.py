"""What becomes of an error: one line on stderr and an exit status, never a traceback."""

from __future__ import annotations

import os
import traceback
from pathlib import Path

import typer

from sluicegate.cli.console import complain
from sluicegate.domain.errors import ConfigurationError, SluicegateError

FAILED, MISCONFIGURED = 1, 2

_options = {"tracebacks": False}


def show_tracebacks(wanted: bool) -> None:
    """Say whether unexpected errors show their traceback."""
    _options["tracebacks"] = wanted


def report(error: Exception) -> int:
    """Say what went wrong.

    Returns:
        The exit status.
    """
    if isinstance(error, SluicegateError):
        complain(str(error))
        _trace(error)
        return MISCONFIGURED if isinstance(error, ConfigurationError) else FAILED
    if isinstance(error, OSError) and error.filename is not None:
        complain(f"{error.filename}: {error.strerror}")
        _trace(error)
        return FAILED
    log = _write_log(error)
    where = f"the traceback is in {log}" if log else "run it again with --debug to see the traceback"
    complain(f"unexpected {type(error).__name__}: {_first_line(error)} ({where})")
    _trace(error)
    return FAILED


def _trace(error: Exception) -> None:
    if _options["tracebacks"]:
        typer.echo("".join(traceback.format_exception(error)).rstrip(), err=True)


def _first_line(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else "no details"


def _write_log(error: Exception) -> Path | None:
    """Append the traceback, which shows no values of variables, to the log under HOME."""
    try:
        from sluicegate.config import load_settings

        log = load_settings().home / "logs" / "cli.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as out:
            out.write(f"--- pid {os.getpid()}\n{''.join(traceback.format_exception(error))}")
    except (OSError, SluicegateError):
        return None
    return log
