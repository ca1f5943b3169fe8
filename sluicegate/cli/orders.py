"""`sluicegate orders`: the blotter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, examples, instant, say, say_json, show_table

if TYPE_CHECKING:
    from sluicegate.domain.lifecycle import State
    from sluicegate.domain.orders import Order
    from sluicegate.domain.records import Change

app = typer.Typer(no_args_is_help=True, help="The blotter: list, show, cancel and amend orders.")

_find = session.find_order

OrderArgument = Annotated[str, typer.Argument(metavar="ORDER_ID", help="From the receipt; the link id works too.")]


@app.command("list", epilog=examples(
    "sluicegate orders list",
    "sluicegate orders list --account main --state live --state partially_filled",
    "sluicegate orders list --symbol BTCUSDT --limit 20 --json",
    "sluicegate orders list --unsettled                # those that wait for `orders settle`",
    "sluicegate orders list --follow --json           # one JSON line an event, until Ctrl-C",
    "sluicegate orders list --follow --after 4711     # all that happened behind that position, and goes on",
))  # fmt: skip
def list_(
    account: Annotated[str | None, typer.Option(help="Only this account.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="Only this state; may be repeated.")] = None,
    symbol: Annotated[str | None, typer.Option(help="Only this symbol.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    before: Annotated[
        str | None, typer.Option(metavar="ORDER_ID", help="Only orders older than this one.")
    ] = None,
    unsettled: Annotated[
        bool, typer.Option("--unsettled", help="Only those of which the exchange cannot tell what became.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Print what happens to orders from now on, one line an event.")
    ] = False,
    after: Annotated[
        int | None, typer.Option(min=0, metavar="POSITION", help="With --follow: begin behind this event.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List orders, newest first; or follow what happens to them."""
    if follow:
        if state or before:
            raise typer.BadParameter("--follow takes --account, --symbol and --after")
        _follow(account, symbol, after, as_json=as_json)
        return
    if after is not None:
        raise typer.BadParameter("--after goes with --follow")
    from sluicegate.cli.views import order_document
    from sluicegate.ports import OrderFilter

    states = [_state(name) for name in state] if state else None
    cursor = session.bare_id(before) if before else None
    opened = session.container()
    if unsettled:
        waiting = opened.ledger.questions(limit=limit)
        found = [order for order in reversed(waiting) if account in (None, order.account)]
    else:
        found = opened.ledger.list_orders(OrderFilter(account, states, symbol, limit, cursor))
    if as_json:
        say_json([order_document(order) for order in found])
        return
    columns = ("order id", "created", "state", "account", "order", "filled", "code")
    rows = [
        (
            order.order_id,
            instant(order.created_at)[5:-1],
            order.state.value,
            order.account,
            _brief(order),
            _filled(order),
            order.last_code,
        )
        for order in found
    ]
    show_table(f"{len(found)} orders (times in UTC)", columns, rows, ids=("order id", "created", "state"))


def _follow(account: str | None, symbol: str | None, after: int | None, *, as_json: bool) -> None:
    from sluicegate.client import Sluicegate

    opened = session.container()
    session.require_account(opened.settings, account)
    accounts = None if account is None else [account]
    for update in Sluicegate(opened).stream(after=after, accounts=accounts):
        if symbol is not None and update.symbol != symbol:
            continue
        if as_json:
            say_json(update.to_json())
        else:
            event = update.event
            say(
                f"{update.position:>8} {event.at:%H:%M:%S.%f} {update.account} {update.symbol} {event.order_id} "
                f"{event.event} -> {event.to_state}"
            )
        sys.stdout.flush()


@app.command(epilog=examples(
    "sluicegate orders show 01JD3Z0000ABCDEFGHJKMNPQRS",
    "sluicegate orders show --account main my-1        # by the producer's own id",
))  # fmt: skip
def show(
    order_id: OrderArgument,
    account: session.ByClientOrderId = None,
    as_json: AsJson = False,
) -> None:
    """Show an order with everything that ever happened to it."""
    from sluicegate.cli import timeline

    opened = session.container()
    order = _find(opened, order_id, account)
    found = timeline.read(opened.ledger, order)
    if as_json:
        say_json(found.document())
    else:
        found.print()


@app.command(epilog=examples(
    "sluicegate orders cancel 01JD3Z0000ABCDEFGHJKMNPQRS",
    "sluicegate orders cancel --account main my-1",
))  # fmt: skip
def cancel(order_id: OrderArgument, account: session.ByClientOrderId = None, as_json: AsJson = False) -> None:
    """Ask for an order to be cancelled; a worker carries it out."""
    opened = session.container()
    order = _find(opened, order_id, account)
    _report(order, opened.changes.cancel(order.order_id), "cancelled before it was sent", as_json=as_json)


@app.command(epilog=examples(
    "sluicegate orders amend 01JD3Z0000ABCDEFGHJKMNPQRS --price 60100",
    "sluicegate orders amend 01JD3Z0000ABCDEFGHJKMNPQRS --qty 0.02 --stop-loss 58000",
))  # fmt: skip
def amend(
    order_id: OrderArgument,
    qty: Annotated[str | None, typer.Option(help="The new total quantity.")] = None,
    price: Annotated[str | None, typer.Option(help="The new limit price.")] = None,
    trigger_price: Annotated[str | None, typer.Option(help="The new trigger price.")] = None,
    take_profit: Annotated[str | None, typer.Option(help="The new take-profit price; 0 removes it.")] = None,
    stop_loss: Annotated[str | None, typer.Option(help="The new stop-loss price; 0 removes it.")] = None,
    account: session.ByClientOrderId = None,
    as_json: AsJson = False,
) -> None:
    """Ask for an order to be amended; what is left out stays."""
    from sluicegate.domain.errors import InvalidOrder
    from sluicegate.domain.orders import parse_amend

    fields: dict[str, Any] = {
        "qty": qty,
        "price": price,
        "trigger_price": trigger_price,
        "take_profit": take_profit,
        "stop_loss": stop_loss,
    }
    try:
        request = parse_amend({name: value for name, value in fields.items() if value is not None})
    except InvalidOrder as e:
        raise typer.BadParameter(str(e)) from e
    opened = session.container()
    order = _find(opened, order_id, account)
    change = opened.changes.amend(order.order_id, request)
    _report(order, change, "amended before it was sent", as_json=as_json)


@app.command(epilog=examples(
    'sluicegate orders settle 01JD3Z0000ABCDEFGHJKMNPQRS --as absent --note "support says so"',
    "sluicegate orders settle 01JD3Z0000ABCDEFGHJKMNPQRS --as cancelled --filled 0.004 --note statement",
))  # fmt: skip
def settle(
    order_id: OrderArgument,
    fate: Annotated[
        str,
        typer.Option(
            "--as",
            metavar="FATE",
            help="absent (never came into being: a dead letter), live, cancelled, filled or rejected.",
        ),
    ],
    note: Annotated[str, typer.Option(help="How you know; kept in the audit trail.")],
    filled: Annotated[str | None, typer.Option(help="The quantity that was executed in all.")] = None,
    exchange_order_id: Annotated[str, typer.Option(help="Bybit's orderId, where you found one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Decide what became of an order of which the exchange cannot tell any more.

    Only for orders that `orders list --unsettled` shows. Look into Bybit's order history and statements first: an
    order that is called absent and replayed exists twice if it was there.
    """
    from sluicegate.cli.views import order_document
    from sluicegate.domain.numbers import parse_decimal
    from sluicegate.services.settle import Decision, Fate

    if fate not in list(Fate):
        raise typer.BadParameter(f"--as {fate}: must be one of {', '.join(Fate)}")
    try:
        quantity = None if filled is None else parse_decimal(filled)
    except ValueError as e:
        raise typer.BadParameter(f"--filled: {e}") from e
    if quantity is not None and quantity < 0:
        raise typer.BadParameter("--filled: must not be negative")
    opened = session.container()
    order = _find(opened, order_id, None)
    settled = opened.settler.settle(order.order_id, Decision(Fate(fate), note, quantity, exchange_order_id))
    if as_json:
        say_json(order_document(settled))
    else:
        say(f"{settled.order_id} is {settled.state} now; its trail: sluicegate orders show {settled.order_id}")


def _report(order: Order, change: Change | None, at_once: str, *, as_json: bool) -> None:
    if as_json:
        done = {"order_id": order.order_id, "state": "done", "message": at_once}
        say_json(done if change is None else change.to_json())
    elif change is None:
        say(f"{order.order_id} {at_once}")
    else:
        say(f"{order.order_id} {change.kind} requested; follow it with: sluicegate orders show {order.order_id}")


def _state(name: str) -> State:
    from sluicegate.domain.lifecycle import State

    try:
        return State(name)
    except ValueError:
        raise typer.BadParameter(f"--state {name}: must be one of {', '.join(State)}") from None


def _brief(order: Order) -> str:
    from sluicegate.domain.numbers import plain

    request = order.request
    at = f" @{plain(request.price)}" if request.price is not None else " market"
    return f"{request.side} {plain(request.qty)} {request.symbol}{at} {request.category}"


def _filled(order: Order) -> str:
    from sluicegate.domain.numbers import plain

    return plain(order.cum_exec_qty) if order.cum_exec_qty else ""
