"""An order with everything that ever happened to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sluicegate.cli.console import instant, say, show_fields, show_table
from sluicegate.cli.views import event_document, execution_document, letter_document, order_document
from sluicegate.domain.errors import OrderNotFound
from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Execution, Order, OrderEvent
from sluicegate.domain.records import Change, DeadLetter
from sluicegate.ports import Ledger


@dataclass(frozen=True, slots=True)
class Timeline:
    """An order, its events, fills, changes and dead letter."""

    order: Order
    events: list[OrderEvent]
    fills: list[Execution]
    changes: list[Change]
    letter: DeadLetter | None

    def document(self) -> dict[str, Any]:
        """Return it as one JSON document."""
        return {
            **order_document(self.order),
            "timeline": [event_document(event) for event in self.events],
            "executions": [execution_document(fill) for fill in self.fills],
            "changes": [change.to_json() for change in self.changes],
            "dead_letter": None if self.letter is None else letter_document(self.letter),
        }

    def print(self) -> None:
        """Print it for people."""
        self._print_order()
        say()
        columns = ("at (UTC)", "event", "state", "by", "detail")
        rows = [
            (f"{e.at:%m-%d %H:%M:%S.%f}"[:-3], e.event, e.to_state, _brief_actor(e.actor), _brief(e.detail))
            for e in self.events
        ]
        show_table("Timeline", columns, rows, ids=("at (UTC)", "event", "state"))
        if self.fills:
            say()
            filled = [
                (f.exec_id, plain(f.qty), plain(f.price), f"{plain(f.fee)} {f.fee_coin}", instant(f.executed_at))
                for f in self.fills
            ]
            show_table("Fills", ("execution", "qty", "price", "fee", "at (UTC)"), filled, ids=("execution",))
        if self.letter is not None:
            say()
            print_letter(self.letter)

    def _print_order(self) -> None:
        order = self.order
        average = f" at {plain(order.avg_price)}" if order.avg_price is not None else ""
        show_fields(
            (
                ("order", order.describe()),
                ("order id", order.order_id),
                ("link id", order.link_id),
                ("client order id", order.client_order_id),
                ("exchange order id", order.exchange_order_id),
                ("state", order.state.value),
                ("on the exchange", order.exchange_status),
                ("filled", f"{plain(order.cum_exec_qty)} of {plain(order.request.qty)}{average}"),
                ("attempts", str(order.attempts)),
                ("last answer", f"{order.last_code} {order.last_message}".strip()),
                ("due", instant(order.due_at) if order.state.value == "accepted" else ""),
                ("deadline", instant(order.deadline_at)),
                ("replay of", order.replay_of or ""),
            )
        )


def read(ledger: Ledger, order: Order) -> Timeline:
    """Read everything about an order.

    Raises:
        LedgerUnavailable: the database does not answer.
    """
    try:
        letter = ledger.dead_letter(order.order_id)
    except OrderNotFound:
        letter = None
    order_id = order.order_id
    return Timeline(order, ledger.events(order_id), ledger.executions(order_id), ledger.changes(order_id), letter)


def print_letter(letter: DeadLetter) -> None:
    """Print a dead letter for people."""
    closed = ""
    if letter.replayed_as:
        closed = f"replayed as {letter.replayed_as}"
    elif letter.discarded_at:
        closed = f"discarded {instant(letter.discarded_at)}"
    show_fields(
        (
            ("dead letter", letter.order_id),
            ("since", instant(letter.created_at)),
            ("account", letter.account),
            ("reason", f"{letter.reason} ({letter.code})"),
            ("message", letter.message),
            ("cause", letter.cause),
            ("fix", letter.fix),
            ("closed", closed),
        )
    )


def _brief_actor(actor: str) -> str:
    """Return `worker:4711` for `worker@host:4711`."""
    role, _, rest = actor.partition("@")
    return f"{role}:{rest.rpartition(':')[2]}" if rest else role


def _brief(detail: Any) -> str:
    shown = {name: value for name, value in detail.items() if name != "request" and value not in ("", None)}
    text = " ".join(f"{name}={value}" for name, value in shown.items())
    return text if len(text) <= 240 else text[:237] + "..."
