"""`sluicegate submit`: orders from a file or a pipe, one receipt a line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, complain, examples

if TYPE_CHECKING:
    from sluicegate.cli.order_file import FileFormat

EPILOG = examples(
    "sluicegate submit orders.jsonl",
    "sluicegate submit orders.csv --account main --wait --timeout 60",
    "my-strategy | sluicegate submit - --json > receipts.jsonl",
    "\b",
    "A line of JSON, numbers as text:",
    '  {"account": "main", "category": "linear", "symbol": "BTCUSDT", "side": "Buy",',
    '   "order_type": "Limit", "qty": "0.01", "price": "60000", "client_order_id": "my-1"}',
)

UNTIL = ("end", "live")


def submit(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="JSON lines or CSV; - reads stdin.")],
    form: Annotated[
        str | None, typer.Option("--format", help="jsonl or csv; by default by extension or content.")
    ] = None,
    account: Annotated[str | None, typer.Option(help="Account of the orders that name none.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow each order; its line comes when it is there.")
    ] = False,
    until: Annotated[str, typer.Option(help="With --wait: `end`, or `live` (on the exchange).")] = "end",
    timeout: Annotated[
        float, typer.Option(min=0, help="With --wait: longest wait after the last line, s.")
    ] = 300.0,
    as_json: AsJson = False,
) -> None:
    """Accept orders into the ledger, one receipt a line; workers put them on the exchange.

    A bad line is reported on stderr with its number and does not stop the others. Lines with a
    client_order_id may be submitted again: the same content gives the same receipt.
    Exit status 1 when a line was refused or, with --wait, an order failed.
    """
    from sluicegate.cli.follow import Follower
    from sluicegate.cli.intake import Intake, print_receipt
    from sluicegate.cli.order_file import OrderReader

    if until not in UNTIL:
        raise typer.BadParameter(f"--until {until}: must be one of {', '.join(UNTIL)}")
    chosen = _format(file, form)
    opened = session.container()
    session.require_account(opened.settings, account)
    if not opened.settings.accounts:
        from sluicegate.domain.errors import ConfigurationError

        raise ConfigurationError(
            "no account is configured; add [accounts.NAME] to the file SLUICEGATE_CONFIG names"
        )
    reader = OrderReader(chosen, account=account, known_accounts=frozenset(opened.settings.accounts))
    follower = Follower(opened.ledger, until=until, as_json=as_json) if wait else None
    intake = Intake(opened, reader, follower.add if follower else print_receipt(as_json=as_json))
    try:
        is_whole = intake.read(file)
        has_failed = bool(intake.refused) or not is_whole
        if follower is not None:
            has_failed |= not follower.follow(timeout_s=timeout)
    finally:
        if follower is not None:
            follower.print_rest()
    if has_failed:
        raise typer.Exit(1)


def _format(file: str, form: str | None) -> FileFormat | None:
    from sluicegate.cli.order_file import FileFormat

    if file != "-" and not Path(file).exists():
        complain(f"{file}: there is no such file")
        raise typer.Exit(2)
    if form is None:
        return {".csv": FileFormat.CSV, ".jsonl": FileFormat.JSONL, ".ndjson": FileFormat.JSONL}.get(
            Path(file).suffix.lower()
        )
    try:
        return FileFormat(form)
    except ValueError:
        raise typer.BadParameter(f"--format {form}: must be jsonl or csv") from None
