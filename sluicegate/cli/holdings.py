"""`sluicegate positions`, `balances`: what accounts hold, as the exchange showed it last."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, examples, say_json, show_table

if TYPE_CHECKING:
    from sluicegate.bootstrap import Container

POSITIONS_EPILOG = examples("sluicegate positions", "sluicegate positions --account main --json")
BALANCES_EPILOG = examples("sluicegate balances", "sluicegate balances --account main --json")

AccountOption = Annotated[str | None, typer.Option(help="Only this account.")]


def positions(account: AccountOption = None, as_json: AsJson = False) -> None:
    """Show the open positions of every account, and how old that knowledge is.

    Positions come from the private stream (`sluicegate stream`) and from comparisons with the exchange.
    """
    from sluicegate.domain.numbers import plain

    opened = session.container()
    session.require_account(opened.settings, account)
    found = opened.ledger.positions(account)
    ages = _ages(opened, account, "positions_at")
    if as_json:
        say_json([{"account": name, **held.to_json(), "seen_at": ages.get(name)} for name, held in found])
        return
    rows = [
        (
            name,
            held.category,
            held.symbol,
            held.side,
            plain(held.size),
            "" if held.entry_price is None else plain(held.entry_price),
            plain(held.unrealised_pnl),
            str(held.position_idx or ""),
            _age(opened, ages.get(name)),
        )
        for name, held in found
    ]
    columns = ("account", "category", "symbol", "side", "size", "entry", "unrealised", "idx", "as of")
    show_table(f"{len(found)} positions", columns, rows, ids=("account", "symbol", "size"))


def balances(account: AccountOption = None, as_json: AsJson = False) -> None:
    """Show the coins in the unified wallet of every account, and how old that knowledge is."""
    from sluicegate.domain.numbers import plain

    opened = session.container()
    session.require_account(opened.settings, account)
    found = opened.ledger.balances(account)
    ages = _ages(opened, account, "balances_at")
    if as_json:
        say_json([{"account": name, **held.to_json(), "seen_at": ages.get(name)} for name, held in found])
        return
    rows = [
        (
            name,
            held.coin,
            plain(held.wallet),
            plain(held.equity),
            plain(held.locked),
            plain(held.unrealised_pnl),
            _age(opened, ages.get(name)),
        )
        for name, held in found
    ]
    columns = ("account", "coin", "wallet", "equity", "locked", "unrealised", "as of")
    show_table(f"{len(found)} balances", columns, rows, ids=("account", "coin", "wallet"))


def _ages(opened: Container, account: str | None, what: str) -> dict[str, str | None]:
    """Return by account when its holdings were current, ISO 8601; None for never."""
    names = [account] if account is not None else sorted(opened.settings.accounts)
    times = {name: getattr(opened.ledger.view(name), what) for name in names}
    return {name: None if at is None else at.isoformat() for name, at in times.items()}


def _age(opened: Container, seen_at: str | None) -> str:
    if seen_at is None:
        return "unknown"
    age_s = (opened.clock.now() - datetime.fromisoformat(seen_at)).total_seconds()
    return f"{max(0.0, age_s):.0f} s ago"
