"""`sluicegate accounts`: the kill switch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, examples, instant, say, say_json, show_table

if TYPE_CHECKING:
    from sluicegate.bootstrap import Container

app = typer.Typer(no_args_is_help=True, help="The accounts and their kill switch.")

AccountArgument = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its name in the configuration.")]


@app.command("list", epilog=examples("sluicegate accounts list", "sluicegate accounts list --json"))
def list_(as_json: AsJson = False) -> None:
    """List the configured accounts: environment, UID, halt, orders that wait."""
    found = _describe(session.container())
    if as_json:
        say_json(found)
        return
    rows = [
        (
            item["name"],
            item["environment"],
            item["uid"],
            _halt_line(item["halt"]),
            str(item["orders"].get("accepted", 0)),
            str(item["orders"].get("parked", 0)),
            str(item["orders"].get("in_doubt", 0)),
        )
        for item in found
    ]
    columns = ("account", "environment", "uid", "halted", "waiting", "parked", "in doubt")
    show_table(f"{len(found)} accounts", columns, rows, ids=("account", "environment", "uid"))


@app.command(epilog=examples('sluicegate accounts halt main --reason "strategy runs wild"'))
def halt(
    account: AccountArgument,
    reason: Annotated[str, typer.Option(help="Why; shown to whoever looks.")] = "halted by hand",
    as_json: AsJson = False,
) -> None:
    """Send nothing more for an account until it is resumed. Orders are still accepted, and wait."""
    from sluicegate.domain.records import account_scope
    from sluicegate.services.halts import BY_HAND

    opened = session.container()
    session.require_account(opened.settings, account)
    opened.halts.halt_account(
        account,
        code=BY_HAND,
        message=reason,
        cause="A person halted it.",
        fix=f"sluicegate accounts resume {account}",
    )
    if as_json:
        from sluicegate.cli.views import halt_document

        say_json(halt_document(opened.ledger.halts([account_scope(account)])[0]))
    else:
        say(f"{account} is halted; live orders stay on the exchange. Resume: sluicegate accounts resume {account}")


@app.command(epilog=examples("sluicegate accounts resume main"))
def resume(account: AccountArgument, as_json: AsJson = False) -> None:
    """Lift the halt of an account and release its parked orders; those past their deadline expire."""
    opened = session.container()
    session.require_account(opened.settings, account)
    lifted, released = opened.halts.resume(account)
    if as_json:
        say_json({"account": account, "was_halted": lifted is not None, "released": released})
    else:
        was = "resumed" if lifted is not None else "was not halted"
        say(f"{account} {was}; {released} parked orders released")


@app.command(epilog=examples("sluicegate accounts events", "sluicegate accounts events main --json"))
def events(
    account: Annotated[str | None, typer.Argument(metavar="ACCOUNT", help="Only this one.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """Show where ledger and exchange differed in positions, and in orders that the ledger does not know."""
    opened = session.container()
    session.require_account(opened.settings, account)
    found = opened.ledger.account_events(account, limit=limit)
    if as_json:
        say_json([event.to_json() for event in found])
        return
    rows = [
        (instant(e.at), e.account, e.event, str(e.detail.get("kind", "")), str(e.detail.get("detail", "")))
        for e in found
    ]
    show_table(f"{len(found)} events", ("at", "account", "event", "kind", "detail"), rows, ids=("account",))


def _describe(opened: Container) -> list[dict[str, Any]]:
    from sluicegate.cli.views import halt_document

    uids = {record.name: record.uid for record in opened.ledger.accounts()}
    orders: dict[str, dict[str, int]] = {}
    for (name, state), count in opened.ledger.count_orders().items():
        orders.setdefault(name, {})[state.value] = count
    return [
        {
            "name": name,
            "environment": account.environment.value,
            "uid": uids.get(name, ""),
            "halt": halt_document(opened.halts.on(name)),
            "orders": orders.get(name, {}),
        }
        for name, account in sorted(opened.settings.accounts.items())
    ]


def _halt_line(halt: dict[str, Any] | None) -> str:
    if halt is None:
        return ""
    from datetime import datetime

    return f"{halt['code']}: {halt['message']} (since {instant(datetime.fromisoformat(halt['since']))})"
