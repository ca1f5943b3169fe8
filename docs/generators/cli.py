"""`docs/cli.md`: the help of every command."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from docs.generators.markdown import fence, page
from sluicegate.cli.app import app

_WIDTH = 100

_INTRO = """Exit status: 0 done, 1 refused or failed, 2 bad usage or configuration, 130 ended by Ctrl-C.
Errors go to stderr and say what is wrong, where, and what to do. `--json` prints one document, or one line a
fact."""


def write() -> str:
    """Return the document."""
    return page(
        "The command line", "sluicegate/cli/", _INTRO, *_sections("sluicegate", typer.main.get_command(app))
    )


def _sections(name: str, command: Any, parent: Any = None) -> Iterator[str]:
    context = command.make_context(
        name.rsplit(maxsplit=1)[-1],
        [],
        parent=parent,
        resilient_parsing=True,
        terminal_width=_WIDTH,
        max_content_width=_WIDTH,
    )
    yield f"## `{name}`"
    yield fence("\n".join(line.rstrip() for line in command.get_help(context).splitlines()), "text")
    for child in getattr(command, "commands", {}).values():
        yield from _sections(f"{name} {child.name}", child, context)
