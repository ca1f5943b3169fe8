"""Markdown: the few forms that the generated documents use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

NOTICE = "<!-- Made by `make docs` from the code. Change {source}, not this file. -->"


def page(title: str, source: str, *blocks: str) -> str:
    """Return a document: title, where it comes from, its blocks.

    Args:
        title: of the page.
        source: the file to change instead of this one.
        blocks: paragraphs, tables, headings; a blank line goes between them.
    """
    return "\n\n".join((f"# {title}", NOTICE.format(source=source), *blocks)) + "\n"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a `|` inside a cell is escaped, a line break becomes a space."""
    lines = [_row(columns), "|" + "---|" * len(columns)]
    return "\n".join([*lines, *(_row([_cell(cell) for cell in row]) for row in rows)])


def code(text: object) -> str:
    """Return a text as code; empty for an empty text."""
    return f"`{text}`" if str(text) else ""


def fence(text: str, language: str = "") -> str:
    """Return a block of code."""
    return f"```{language}\n{text.strip(chr(10))}\n```"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
