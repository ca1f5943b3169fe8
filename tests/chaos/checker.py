"""The checker: holds ledger, dead letters, audit trail and promises against the exchange's own record. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, TABLE, Event, State
from sluicegate.domain.orders import ChangeKind, Order, OrderEvent, OrderId
from sluicegate.domain.records import OPEN_CHANGES, Change, ChangeState
from tests.chaos.evidence import Evidence
from tests.chaos.reasons import unexplained

TRANSITIONS = frozenset(event.value for event in Event)
UNSETTLED = frozenset({"unsettled", "open_change", "state_differs", "fills_differ"})
"""Breaches that time may still mend; all others are final."""
LOST = frozenset({"lost_receipt", "lost_change", "missing", "orphan"})
DOUBLED = frozenset({"doubled", "called_absent", "unknown_on_exchange"})
"""`called_absent`: on the exchange, and free to be replayed by a person: as bad as two."""

STATE_OF_STATUS = {
    "Created": State.LIVE,
    "New": State.LIVE,
    "Untriggered": State.LIVE,
    "PartiallyFilled": State.PARTIALLY_FILLED,
    "Filled": State.FILLED,
    "Cancelled": State.CANCELLED,
    "PartiallyFilledCanceled": State.CANCELLED,
    "Deactivated": State.CANCELLED,
    "Rejected": State.REJECTED,
}
NEVER_THERE = frozenset({State.ACCEPTED, State.PARKED, State.EXPIRED, State.DEAD})
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken promise.

    Attributes:
        rule: which one.
        about: the order, change or link id.
    """

    rule: str
    about: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.about}: {self.text}"


def check(evidence: Evidence) -> list[Breach]:
    """Return every breach that the evidence shows."""
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in evidence.exchange:
        rows[str(row["orderLinkId"])].append(row)
    breaches = [*_check_exchange(evidence, rows), *_check_promises(evidence), *_check_orphans(evidence)]
    breaches += _check_halts(evidence)
    for order in evidence.orders.values():
        found = rows.get(order.link_id, [])
        breaches += _check_order(evidence, order, found[0] if found else None)
    return breaches


# --- the exchange, the producers ------------------------------------------------------------------------------


def _check_exchange(evidence: Evidence, rows: Mapping[str, list[Row]]) -> Iterator[Breach]:
    known = {order.link_id for order in evidence.orders.values()}
    for link_id, found in rows.items():
        if len(found) > 1:
            yield Breach("doubled", link_id, f"{len(found)} times on the exchange")
        if link_id not in known:
            yield Breach("unknown_on_exchange", link_id, "the ledger has no such order")


def _check_promises(evidence: Evidence) -> Iterator[Breach]:
    of_client: dict[tuple[str, str], OrderId] = {}
    for receipt in evidence.promises.receipts:
        order = evidence.orders.get(receipt.order_id)
        if order is None:
            yield Breach("lost_receipt", receipt.order_id, "the ledger has no such order")
        elif (order.link_id, order.client_order_id) != (receipt.order_link_id, receipt.client_order_id):
            yield Breach("lost_receipt", receipt.order_id, "the order goes by other ids than its receipt")
        key = (receipt.account, receipt.client_order_id)
        if of_client.setdefault(key, receipt.order_id) != receipt.order_id:
            yield Breach("doubled", receipt.order_id, f"{key} was given two orders")
    known = {change.change_id for changes in evidence.changes.values() for change in changes}
    for change_id in evidence.promises.changes:
        if change_id not in known:
            yield Breach("lost_change", change_id, "the ledger has no such change")
    for order_id in evidence.promises.cancelled:
        order = evidence.orders.get(order_id)
        if order is not None and order.state is not State.CANCELLED:
            yield Breach("not_cancelled", order_id, f"said to be cancelled unsent, and is {order.state}")


def _check_orphans(evidence: Evidence) -> Iterator[Breach]:
    """An order that was lost may leave something behind."""
    left: dict[str, Mapping[OrderId, Any]] = {
        "events": evidence.events,
        "changes": evidence.changes,
        "executions": evidence.executions,
        "a dead letter": evidence.dead_letters,
    }
    for what, by_order in left.items():
        for order_id in by_order.keys() - evidence.orders.keys():
            yield Breach("orphan", order_id, f"the ledger has {what} of it, and no such order")


def _check_halts(evidence: Evidence) -> Iterator[Breach]:
    for scope, code in evidence.halts:
        if evidence.causes is not None and not evidence.causes.explain_halt(scope, code):
            yield Breach("unexplained", scope, f"was halted for {code!r}, which the run did not cause")


# --- one order ------------------------------------------------------------------------------------------------


def _check_order(evidence: Evidence, order: Order, row: Row | None) -> Iterator[Breach]:
    trail = sorted(evidence.events.get(order.order_id, ()), key=lambda event: event.version)  # stable
    yield from _check_trail(order, trail)
    yield from _check_place(order, trail, row)
    letter = evidence.dead_letters.get(order.order_id)
    for text in unexplained(order, trail, letter, evidence.causes):
        yield Breach("unexplained", order.order_id, text)
    if row is not None:
        yield from _check_content(evidence, order, row)
    yield from _check_fills(evidence, order, row)
    changes = evidence.changes.get(order.order_id, ())
    yield from _check_amends(order, trail, {change.change_id: change for change in changes}, row)
    for change in changes:
        yield from _check_change(order, change, row)
        yield from _check_change_trail(change, trail)


def _check_trail(order: Order, trail: list[OrderEvent]) -> Iterator[Breach]:
    if not trail or (trail[0].event, trail[0].from_state, trail[0].version) != ("accepted", "", 1):
        yield Breach("trail", order.order_id, "does not begin with its acceptance")
        return
    state, version = trail[0].to_state, 1
    for event in trail[1:]:
        if event.version == version:
            if (event.from_state, event.to_state) != (state, state):
                yield Breach("trail", order.order_id, f"the note {event.event} changes {state}")
            continue
        is_known = event.event in TRANSITIONS and event.from_state == state
        target = TABLE.get((State(state), Event(event.event))) if is_known else None
        if event.version != version + 1 or target is None or target.value != event.to_state:
            text = f"{event.from_state} --{event.event}--> {event.to_state} (version {event.version})"
            yield Breach("trail", order.order_id, f"after {state} (version {version}) comes {text}")
        state, version = event.to_state, event.version
    if (state, version) != (order.state.value, order.version):
        yield Breach("trail", order.order_id, f"ends in {state}, version {version}; it is {order.state}")
    yield from _check_attempts(order, trail)


def _check_attempts(order: Order, trail: list[OrderEvent]) -> Iterator[Breach]:
    """Each claim counts as an attempt, unless no connection came about."""
    claims = sum(event.event == Event.CLAIMED.value for event in trail)
    backed_off = [event for event in trail if event.event == Event.BACKED_OFF.value]
    unreached = sum(event.detail.get("code") == "net_connect_fail" for event in backed_off)
    if claims - unreached != order.attempts:
        text = f"{order.attempts} attempts, {claims} claims, {unreached} of them without a connection"
        yield Breach("trail", order.order_id, text)


def _check_place(order: Order, trail: list[OrderEvent], row: Row | None) -> Iterator[Breach]:
    """Every order is on the exchange, or in a state that says why not; never both."""
    if order.state in {State.SUBMITTING, State.IN_DOUBT, State.ACCEPTED, State.PARKED}:  # nothing is halted now
        yield Breach("unsettled", order.order_id, f"is still {order.state} ({order.last_code})")
    last = [event.event for event in trail if event.event in TRANSITIONS][-1:]
    is_unsent = order.state in NEVER_THERE or last == [Event.CANCELLED_UNSENT.value]
    if is_unsent and row is not None:
        yield Breach(
            "called_absent", order.order_id, f"is {order.state}, and on the exchange {row['orderStatus']}"
        )
    if is_unsent or order.state in {State.SUBMITTING, State.IN_DOUBT}:
        return
    if row is None:
        yield Breach("missing", order.order_id, f"is {order.state}, and not on the exchange")
    elif STATE_OF_STATUS.get(row["orderStatus"]) is not order.state:
        yield Breach("state_differs", order.order_id, f"is {order.state}, there {row['orderStatus']}")
    elif order.exchange_order_id != row["orderId"]:
        yield Breach("differs", order.order_id, f"exchange id {order.exchange_order_id!r}, there {row['orderId']}")


def _check_content(evidence: Evidence, order: Order, row: Row) -> Iterator[Breach]:
    """The order there is the order here, amends that may have arrived included."""
    request = order.request
    ours = {
        "uid": evidence.uids.get(order.account),
        "category": request.category.value,
        "symbol": request.symbol,
        "side": request.side.value,
        "orderType": request.order_type.value,
        "timeInForce": request.time_in_force and request.time_in_force.value,
        "triggerDirection": request.trigger_direction,
        "qty": request.qty,
        "price": request.price,
        "triggerPrice": request.trigger_price,
    }
    for name, asked in ours.items():
        if asked is None:
            continue
        there = Decimal(row[name]) if isinstance(asked, Decimal) else row[name]
        if there != asked:
            yield Breach("differs", order.order_id, f"{name} {asked}, there {there}")


def _check_fills(evidence: Evidence, order: Order, row: Row | None) -> Iterator[Breach]:
    ours = {fill.exec_id: (fill.qty, fill.price, fill.fee) for fill in evidence.executions.get(order.order_id, ())}
    fills = row["executions"] if row is not None else ()
    there = {
        fill["execId"]: (Decimal(fill["execQty"]), Decimal(fill["execPrice"]), Decimal(fill["execFee"]))
        for fill in fills
    }
    if ours != there or len(fills) != len(there):
        yield Breach("fills_differ", order.order_id, f"here {sorted(ours)}, there {sorted(there)}")
    done = sum((qty for qty, _price, _fee in there.values()), Decimal(0))
    if order.cum_exec_qty != done:
        yield Breach("fills_differ", order.order_id, f"{order.cum_exec_qty} filled, there {done}")


def _check_amends(
    order: Order, trail: list[OrderEvent], changes: Mapping[str, Change], row: Row | None
) -> Iterator[Breach]:
    """The last amend that is done counts, here and there; so may one sent after it whose answer was lost."""
    allowed: dict[str, set[Decimal]] = {}
    for event in trail:
        change = changes.get(str(event.detail.get("change_id", "")))
        fields: Mapping[str, Any] = {}
        if event.event in {Event.AMENDED.value, Event.AMENDED_UNSENT.value}:
            fields = event.detail
        elif event.event in {"amend_done", "amend_submitting"} and change is not None:
            fields = change.fields
        for name in fields.keys() & {"qty", "price"}:
            if event.event != "amend_submitting":
                allowed[name] = set()
            if name in allowed:
                allowed[name].add(Decimal(fields[name]))
    for name, values in allowed.items():
        here = getattr(order.request, name)
        if here not in values:
            yield Breach("amend_lost", order.order_id, f"{name} {values} is done; here {here}")
        if row is not None and Decimal(row[name]) not in values:
            yield Breach("amend_lost", order.order_id, f"{name} {values} is done, there {row[name]}")


def _check_change_trail(change: Change, trail: list[OrderEvent]) -> Iterator[Breach]:
    """A change leaves notes, which have no version of their own: its request, and what it ended as."""
    of_mine = [event.event for event in trail if event.detail.get("change_id") == change.change_id]
    wanted = [f"{change.kind.value}_requested"]
    if change.state not in OPEN_CHANGES:
        wanted.append(f"{change.kind.value}_{change.state.value}")
    for name in wanted:
        if name not in of_mine:
            yield Breach("trail", change.change_id, f"{change.kind} is {change.state}, and has no event {name}")


def _check_change(order: Order, change: Change, row: Row | None) -> Iterator[Breach]:
    if change.state in OPEN_CHANGES:
        yield Breach("open_change", change.change_id, f"{change.kind} of {order.order_id} is {change.state}")
        return
    if not change.last_message and not change.last_code:
        yield Breach("unexplained", change.change_id, f"{change.kind} is {change.state} without a reason")
    if change.state is not ChangeState.DONE or change.kind is not ChangeKind.CANCEL:
        return
    is_open_there = row is not None and STATE_OF_STATUS.get(row["orderStatus"]) in ON_EXCHANGE_STATES
    if is_open_there or order.state not in END_STATES:
        yield Breach("not_cancelled", order.order_id, f"its cancel is done, and it is {order.state}")
