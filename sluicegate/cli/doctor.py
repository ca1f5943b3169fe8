"""`sluicegate doctor`: what stops trading, why, and how to mend it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, examples, say, say_json, show_table

if TYPE_CHECKING:
    from sluicegate.doctor.findings import Report

EPILOG = examples("sluicegate doctor", "sluicegate doctor --account main", "sluicegate doctor --json")


def doctor(
    account: Annotated[str | None, typer.Option(help="Look at this account only.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check settings, broker, ledger, the way to the exchange, and every account; say how to mend what is wrong.

    It asks questions only: no order is placed, nothing is changed. A key that its environment does not know
    (10003) is shown to Bybit's other environments, mainnet, testnet and demo, to find out where it belongs.

    Exit status: 0 nothing stops trading (warnings aside), 1 something does, 2 the configuration does.
    """
    found = _examine(account)
    if as_json:
        say_json(found.to_json())
    else:
        _show(found)
    if found.exit_status:
        raise typer.Exit(found.exit_status)


def _examine(account: str | None) -> Report:
    from sluicegate.doctor.configuration import unreadable
    from sluicegate.doctor.examination import Examination
    from sluicegate.doctor.findings import report
    from sluicegate.domain.errors import ConfigurationError

    try:
        opened = session.container()
    except ConfigurationError as e:
        return report([unreadable(e)])
    session.require_account(opened.settings, account)
    try:
        return Examination(opened, account).run()
    finally:
        opened.close()


def _show(found: Report) -> None:
    from sluicegate.doctor.findings import Level

    rows = []
    for finding in found.findings:
        lines = [finding.title]
        lines += [f"why: {finding.cause}"] if finding.cause else []
        lines += [f"fix: {finding.fix}"] if finding.fix else []
        rows.append((finding.level.value, finding.check, finding.about, "\n".join(lines)))
    errors, warnings = found.count(Level.ERROR), found.count(Level.WARNING)
    show_table("", ("", "check", "about", "found"), rows, ids=("", "check", "about"))
    say()
    say(f"{errors} errors, {warnings} warnings" + ("" if errors else ": nothing stops trading"))
