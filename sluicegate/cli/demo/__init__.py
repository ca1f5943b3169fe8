"""`sluicegate demo`: a mixed day of orders, offline, and an account of each."""

from __future__ import annotations

from typing import Annotated

import typer

from sluicegate.cli.console import AsJson, examples

EPILOG = examples(
    "sluicegate demo",
    "sluicegate demo --json > summary.json",
    "SLUICEGATE_HOME=/tmp/sg sluicegate demo",
)


def demo(
    workers: Annotated[int, typer.Option(min=1, max=16, help="Processes that send orders.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Start the whole stack, run some hundreds of orders with every common error, and account for each.

    Works offline, against the simulator, in HOME/demo, which is emptied first. Leaves nothing running.
    Exit status 0 only if ledger and exchange agree about every order and everything came out as it must.
    """
    from sluicegate.cli.demo.day import run
    from sluicegate.cli.demo.report import print_report

    found = run(workers=workers)
    if as_json:
        from sluicegate.cli.console import say_json

        say_json(found.document())
    else:
        print_report(found)
    if found.problems:
        raise typer.Exit(1)
