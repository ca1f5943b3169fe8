"""What the command prints: data on stdout; errors, warnings and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

PIPED_WIDTH = 100
"""Columns of a table that goes to a file or a pipe."""

MOST_ERROR_CHARACTERS = 4000


def examples(*lines: str) -> str:
    """Return the examples of a command's help, one a line, not re-wrapped."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def console(*, stderr: bool = False) -> Console:
    """Return a rich console; through a pipe it is as wide as tables need."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else PIPED_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False, emoji=False, markup=False)


def say(text: str = "") -> None:
    """Print one line of data."""
    typer.echo(text)


def say_json(document: Any) -> None:
    """Print one JSON document on one line."""
    typer.echo(json.dumps(document, ensure_ascii=False, default=str))


def note(text: str) -> None:
    """Print one line for people on stderr."""
    typer.echo(printable(text), err=True)


def warn(text: str) -> None:
    """Print a warning on stderr."""
    note(f"warning: {text}")


def complain(text: str) -> None:
    """Print an error on stderr."""
    note(f"error: {text}")


def printable(text: str) -> str:
    """Return text without control characters: what a producer wrote must not steer a terminal."""
    clean = "".join(c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text[:MOST_ERROR_CHARACTERS])
    return clean if len(text) <= MOST_ERROR_CHARACTERS else clean + " ..."


def show_table(
    title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, ids: Sequence[str] = ()
) -> None:
    """Print a table.

    Args:
        title: above it.
        columns: the headings.
        rows: one text a column.
        ids: headings of columns that are never wrapped, because people copy them.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        table.add_column(heading, no_wrap=heading in ids, overflow="fold")
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    _print(table)


def show_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Print names and values, one a line; empty values are left out."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in fields:
        if value:
            table.add_row(Text(name), Text(printable(value)))
    _print(table)


def _print(table: Table) -> None:
    """Print a table without the blanks that rich pads each line with."""
    terminal = console()
    with terminal.capture() as captured:
        terminal.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def instant(at: datetime | None) -> str:
    """Return a time for people, UTC; empty for none."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}Z"
