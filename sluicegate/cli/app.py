"""The command `sluicegate`: its groups, and what becomes of an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from sluicegate.cli import (
    accounts,
    buckets,
    db,
    dead_letters,
    demo,
    doctor,
    explain,
    failures,
    holdings,
    incidents,
    orders,
    processes,
    submit,
    up,
)
from sluicegate.cli.console import complain, examples, note

BAD_USAGE = 2
INTERRUPTED = 130

app = typer.Typer(
    name="sluicegate",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: loading rich would make `--help` twice as slow
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "sluicegate demo                          # a mixed day of orders, offline, and its accounts",
        "sluicegate up --demo-accounts            # the same stack, kept running",
        "sluicegate submit orders.jsonl --wait",
        "sluicegate orders list --state live",
        "sluicegate explain 10006",
    ),
)


@app.callback()
def root(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SLUICEGATE_DEBUG", help="Show tracebacks of unexpected errors.")
    ] = False,
) -> None:
    """Put orders on Bybit V5 exactly once, as fast as its limits allow.

    Settings: SLUICEGATE_* variables, or a TOML file named by SLUICEGATE_CONFIG.
    Exit status: 0 done, 1 refused or failed, 2 bad usage or configuration.
    """
    failures.show_tracebacks(debug)


_COMMANDS: tuple[tuple[str, Callable[..., None], str], ...] = (
    ("Run a mixed day of orders, offline, and account for each.", demo.demo, demo.EPILOG),
    ("Start the whole stack; run until Ctrl-C.", up.up, up.EPILOG),
    ("Submit orders from a file or a pipe.", submit.submit, submit.EPILOG),
    ("Say what stops trading, why, and how to mend it.", doctor.doctor, doctor.EPILOG),
    ("Show every token bucket.", buckets.buckets, buckets.EPILOG),
    ("Show what accounts hold.", holdings.positions, holdings.POSITIONS_EPILOG),
    ("Show what is in the wallets.", holdings.balances, holdings.BALANCES_EPILOG),
    ("Say what a retCode means and how to mend it.", explain.explain, explain.EPILOG),
    ("Run one worker.", processes.worker, processes.WORKER_EPILOG),
    ("Run one scheduler.", processes.scheduler, processes.SCHEDULER_EPILOG),
    ("Follow the private streams.", processes.stream, processes.STREAM_EPILOG),
    ("Run Flower, the view of workers and tasks.", processes.flower, processes.FLOWER_EPILOG),
)
for _summary, _command, _epilog in _COMMANDS:
    _lenient = {"ignore_unknown_options": _command is explain.explain}  # `explain -2015`
    app.command(short_help=_summary, epilog=_epilog, context_settings=_lenient)(_command)

app.add_typer(orders.app, name="orders")
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(accounts.app, name="accounts")
app.add_typer(incidents.app, name="incidents")
app.add_typer(db.app, name="db")


def main() -> None:
    """Run the command and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command.

    Args:
        arguments: without the program's name.

    Returns:
        0 on success, 1 on a refused or failed request, 2 on bad usage or configuration, 130 on Ctrl-C.
    """
    try:
        status = app(arguments, prog_name="sluicegate", standalone_mode=False)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except typer.Abort:
        return INTERRUPTED
    except Exception as e:  # noqa: BLE001 - the boundary of the process
        usage = getattr(e, "format_message", None)  # typer's own errors, which live in a private module
        if usage is None:
            return failures.report(e)
        if usage().startswith("Usage:"):  # a group without a command shows its help
            note(usage())
        else:
            complain(f"{usage()} (see: {_help_command(e)})")
        return BAD_USAGE
    return status if isinstance(status, int) else 0


def _help_command(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path if context is not None else 'sluicegate'} --help"
