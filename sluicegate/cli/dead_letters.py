"""`sluicegate dead-letters`: triage of orders that will never succeed as they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, examples, say, say_json, show_table

if TYPE_CHECKING:
    from sluicegate.bootstrap import Container
    from sluicegate.domain.records import DeadLetter

app = typer.Typer(no_args_is_help=True, help="Triage of orders that will never succeed as they stand.")

LetterArgument = Annotated[str, typer.Argument(metavar="ORDER_ID", help="The order that became a dead letter.")]


@app.command("list", epilog=examples(
    "sluicegate dead-letters list",
    "sluicegate dead-letters list --account main --reason quantity_off_step",
    "sluicegate dead-letters list --all --json",
))  # fmt: skip
def list_(
    account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only this reason.")] = None,
    show_all: Annotated[bool, typer.Option("--all", help="Replayed and discarded ones too.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List dead letters, newest first."""
    from sluicegate.cli.views import letter_document

    ledger = session.container().ledger
    found = ledger.dead_letters(account=account, reason=reason, only_open=not show_all, limit=limit)
    if as_json:
        say_json([letter_document(letter) for letter in found])
        return
    rows = [(item.order_id, item.account, item.reason, item.code, item.message) for item in found]
    columns = ("order id", "account", "reason", "code", "message")
    show_table(f"{len(found)} dead letters", columns, rows, ids=("order id", "reason"))


@app.command(epilog=examples("sluicegate dead-letters show 01JD3Z0000ABCDEFGHJKMNPQRS"))
def show(order_id: LetterArgument, account: session.ByClientOrderId = None, as_json: AsJson = False) -> None:
    """Show a dead letter: what happened, why, and how to mend it."""
    from sluicegate.cli.timeline import print_letter
    from sluicegate.cli.views import letter_document, order_document

    opened = session.container()
    letter = _find(opened, order_id, account)
    order = opened.ledger.get(letter.order_id)
    if as_json:
        say_json({**letter_document(letter), "order": order_document(order)})
        return
    print_letter(letter)
    say(f"\n{order.describe()}\nReplay it: sluicegate dead-letters replay {letter.order_id} --set FIELD=VALUE")


@app.command(epilog=examples(
    "sluicegate dead-letters replay 01JD3Z0000ABCDEFGHJKMNPQRS --set qty=0.010",
    "sluicegate dead-letters replay 01JD3Z0000ABCDEFGHJKMNPQRS --set price=60000 --set settle_coin=",
    "sluicegate dead-letters replay --account main my-1 --set qty=0.010    # by the producer's own id",
))  # fmt: skip
def replay(
    order_id: LetterArgument,
    fields: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Change a field; an empty value removes it. Repeatable."
        ),
    ] = None,
    account: session.ByClientOrderId = None,
    as_json: AsJson = False,
) -> None:
    """Submit a dead letter again as a new order that keeps the link to the original."""
    from sluicegate.domain.errors import InvalidOrder

    changed = _read_fields(fields or [])
    opened = session.container()
    session.require_account(opened.settings, changed.get("account"))
    letter = _find(opened, order_id, account)
    try:
        receipt = opened.dead_letters.replay(letter.order_id, changed)
    except InvalidOrder as e:
        if changed and letter.is_open:
            raise typer.BadParameter(str(e)) from e
        raise
    if as_json:
        say_json({**receipt.to_json(), "replay_of": letter.order_id})
    else:
        say(f"{letter.order_id} replayed as {receipt.order_id}")


@app.command(epilog=examples('sluicegate dead-letters discard 01JD3Z0000ABCDEFGHJKMNPQRS --note "client gave up"'))
def discard(
    order_id: LetterArgument,
    note: Annotated[str, typer.Option(help="Why; kept in the audit trail.")] = "",
    account: session.ByClientOrderId = None,
    as_json: AsJson = False,
) -> None:
    """Give a dead letter up; it stays in the ledger."""
    opened = session.container()
    letter_id = _find(opened, order_id, account).order_id
    opened.dead_letters.discard(letter_id, note)
    if as_json:
        say_json({"order_id": letter_id, "discarded": True})
    else:
        say(f"{letter_id} discarded")


def _read_fields(pairs: list[str]) -> dict[str, str | None]:
    changed: dict[str, str | None] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise typer.BadParameter(f"--set {pair}: write FIELD=VALUE, e.g. --set qty=0.010")
        if name in changed:
            raise typer.BadParameter(f"--set {name}: given twice")
        changed[name] = value or None
    return changed


def _find(opened: Container, order_id: str, account: str | None) -> DeadLetter:
    if account is None:
        return opened.ledger.dead_letter(session.bare_id(order_id))
    return opened.ledger.dead_letter(session.find_order(opened, order_id, account).order_id)
