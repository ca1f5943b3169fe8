"""Command lines, parsed as the program parses them."""

from __future__ import annotations

from typing import Any

import typer

from sluicegate.cli.app import app


def parse(arguments: list[str]) -> str:
    """Parse a command line as the program does, running nothing; return the command's name."""
    command: Any = typer.main.get_command(app)
    context = None
    path = ["sluicegate"]
    while hasattr(command, "commands"):
        name, *arguments = arguments
        context = command.make_context(path[-1], [], parent=context, resilient_parsing=True)
        command = command.commands[name]
        path.append(name)
    command.make_context(path[-1], arguments, parent=context)
    return " ".join(path[1:])


def complaint(arguments: list[str]) -> str:
    """Return what the program says against a command line; empty when it would run it."""
    try:
        parse(arguments)
    except KeyError as e:
        return f"No such command {e}"
    except ValueError:
        return "Missing command"
    except Exception as e:  # noqa: BLE001 - typer's own errors live in a private module
        return str(e.format_message()) if hasattr(e, "format_message") else repr(e)
    return ""
