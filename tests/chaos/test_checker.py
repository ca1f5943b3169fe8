"""The checker finds each kind of breach in a history that was broken on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import (
    ChangeKind,
    Execution,
    NewOrder,
    Order,
    OrderEvent,
    OrderId,
    OrderLinkId,
    OrderRequest,
    Receipt,
    parse_order,
)
from sluicegate.domain.records import Change, ChangeState, DeadLetter
from tests.chaos import checker
from tests.chaos.checker import check
from tests.chaos.evidence import Evidence, Promises

NOW = datetime(2026, 7, 24, 12, 0, tzinfo=UTC)
ID = OrderId("01ORDER")
_REQUEST = parse_order(
    {
        "account": "a1",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "order_type": "Limit",
        "qty": "0.02",
        "price": "59000",
        "client_order_id": "c-1",
    }
)
_NEW = NewOrder(ID, _REQUEST, NOW)


def order(state: State, *, version: int, **columns: Any) -> Order:
    """Return the order in some state."""
    base = Order(
        order_id=ID,
        link_id=_NEW.link_id,
        account="a1",
        request=_REQUEST,
        state=state,
        version=version,
        created_at=NOW,
        updated_at=NOW,
        client_order_id="c-1",
        fingerprint=_REQUEST.fingerprint(),
        attempts=1,
        exchange_order_id="x-1",
        last_code="0",
    )
    return replace(base, **columns)


def event(name: str, version: int, before: str, after: str, **detail: Any) -> OrderEvent:
    """Return a line of its trail."""
    return OrderEvent(ID, version, NOW, name, before, after, "test", detail)


ACCEPTED = event("accepted", 1, "", "accepted")
CLAIMED = event("claimed", 2, "accepted", "submitting")
LIVE = event("acknowledged", 3, "submitting", "live")
FILLED = event("seen_filled", 4, "live", "filled")


def row(status: str, *, fills: tuple[tuple[str, str], ...] = (), **fields: Any) -> dict[str, Any]:
    """Return the order as the exchange records it."""
    executions = [{"execId": name, "execQty": qty, "execPrice": "59000", "execFee": "0.1"} for name, qty in fills]
    return {
        "orderLinkId": _NEW.link_id,
        "orderId": "x-1",
        "uid": 1001,
        "timeInForce": "GTC",
        "triggerDirection": 0,
        "triggerPrice": "",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "orderType": "Limit",
        "qty": "0.02",
        "price": "59000",
        "orderStatus": status,
        "executions": executions,
        **fields,
    }


def fill(exec_id: str, qty: str) -> Execution:
    """Return a fill as the ledger holds it."""
    return Execution(exec_id, ID, Decimal(qty), Decimal(59000), Decimal("0.1"), "USDT", False, NOW)


def change(kind: ChangeKind, state: ChangeState, **fields: Any) -> Change:
    """Return a change that ended in a state."""
    return Change("ch-1", ID, 1, kind, fields, state, 2, NOW, last_message="acknowledged")


def _changed(**fields: Any) -> OrderRequest:
    """Return the request with other fields."""
    return parse_order(_REQUEST.to_json() | fields)


RECEIPT = Receipt(ID, _NEW.link_id, "a1", "c-1", State.ACCEPTED)
LIVE_ONE = Evidence(
    orders={ID: order(State.LIVE, version=3)},
    exchange=[row("New")],
    events={ID: [ACCEPTED, CLAIMED, LIVE]},
    promises=Promises([RECEIPT]),
    uids={"a1": 1001},
)
FILLED_ONE = Evidence(
    orders={ID: order(State.FILLED, version=4, cum_exec_qty=Decimal("0.02"))},
    exchange=[row("Filled", fills=(("e1", "0.005"), ("e2", "0.015")))],
    events={ID: [ACCEPTED, CLAIMED, LIVE, FILLED]},
    executions={ID: [fill("e1", "0.005"), fill("e2", "0.015")]},
    promises=Promises([RECEIPT]),
)
DEAD_ONE = Evidence(
    orders={ID: order(State.DEAD, version=2, attempts=0)},
    exchange=[],
    events={ID: [ACCEPTED, event("dead_lettered", 2, "accepted", "dead")]},
    dead_letters={ID: DeadLetter(ID, "a1", "risk_limit", "gate", "m", "c", "f", NOW)},
)
CANCELLED_ONE = Evidence(
    orders={ID: order(State.CANCELLED, version=2, attempts=0)},
    exchange=[],
    events={ID: [ACCEPTED, event("cancelled_unsent", 2, "accepted", "cancelled")]},
    promises=Promises([RECEIPT], cancelled=[ID]),
)


def rules_of(evidence: Evidence) -> set[str]:
    """Return which rules are broken."""
    return {breach.rule for breach in check(evidence)}


@pytest.mark.parametrize("sound", [LIVE_ONE, FILLED_ONE, DEAD_ONE, CANCELLED_ONE])
def test_sound_history_has_no_breach(sound: Evidence) -> None:
    """The checker accuses nobody who kept the promises."""
    assert [] == check(sound)


BROKEN: dict[str, tuple[str, Callable[[], Evidence]]] = {
    "two orders under one link id": ("doubled", lambda: replace(LIVE_ONE, exchange=[row("New"), row("New")])),
    "two orders for one client id": (
        "doubled",
        lambda: replace(LIVE_ONE, promises=Promises([RECEIPT, replace(RECEIPT, order_id=OrderId("other"))])),
    ),
    "an order that nobody accepted": ("unknown_on_exchange", lambda: replace(LIVE_ONE, orders={}, events={})),
    "a receipt without an order": (
        "lost_receipt",
        lambda: replace(DEAD_ONE, promises=Promises([replace(RECEIPT, order_id=OrderId("gone"))])),
    ),
    "a receipt with another link id": (
        "lost_receipt",
        lambda: replace(LIVE_ONE, promises=Promises([replace(RECEIPT, order_link_id=OrderLinkId("sg-x"))])),
    ),
    "a change that is gone": ("lost_change", lambda: replace(LIVE_ONE, promises=Promises(changes=["ch-9"]))),
    "a live order that is not there": ("missing", lambda: replace(LIVE_ONE, exchange=[])),
    "a dead order that is there": ("called_absent", lambda: replace(DEAD_ONE, exchange=[row("New")])),
    "an order cancelled unsent that is there": (
        "called_absent",
        lambda: replace(CANCELLED_ONE, exchange=[row("New")]),
    ),
    "an order still in doubt": (
        "unsettled",
        lambda: replace(
            LIVE_ONE,
            orders={ID: order(State.IN_DOUBT, version=3)},
            events={ID: [ACCEPTED, CLAIMED, event("doubted", 3, "submitting", "in_doubt")]},
        ),
    ),
    "a dead order without a letter": ("unexplained", lambda: replace(DEAD_ONE, dead_letters={})),
    "an open letter of a live order": (
        "unexplained",
        lambda: replace(LIVE_ONE, dead_letters=DEAD_ONE.dead_letters),
    ),
    "an end that differs": ("state_differs", lambda: replace(LIVE_ONE, exchange=[row("Filled")])),
    "another exchange id": ("differs", lambda: replace(LIVE_ONE, exchange=[row("New", orderId="x-2")])),
    "another quantity": ("differs", lambda: replace(LIVE_ONE, exchange=[row("New", qty="0.03")])),
    "another side": ("differs", lambda: replace(LIVE_ONE, exchange=[row("New", side="Sell")])),
    "another price": ("differs", lambda: replace(LIVE_ONE, exchange=[row("New", price="59000.1")])),
    "another symbol": ("differs", lambda: replace(LIVE_ONE, exchange=[row("New", symbol="ETHUSDT")])),
    "another category": ("differs", lambda: replace(LIVE_ONE, exchange=[row("New", category="spot")])),
    "another account": ("differs", lambda: replace(LIVE_ONE, exchange=[row("New", uid=1002)])),
    "another time in force": (
        "differs",
        lambda: replace(
            LIVE_ONE,
            orders={ID: order(State.LIVE, version=3, request=_changed(time_in_force="IOC"))},
        ),
    ),
    "another trigger": (
        "differs",
        lambda: replace(
            LIVE_ONE,
            orders={
                ID: order(State.LIVE, version=3, request=_changed(trigger_price="60500", trigger_direction=1))
            },
            exchange=[row("Untriggered", triggerPrice="60501", triggerDirection=1)],
        ),
    ),
    "a trail of an order that is gone": (
        "orphan",
        lambda: replace(LIVE_ONE, orders={}, exchange=[], promises=Promises()),
    ),
    "a fill of an order that is gone": (
        "orphan",
        lambda: Evidence(orders={}, exchange=[], executions={ID: [fill("e1", "0.005")]}),
    ),
    "a dead letter of an order that is gone": (
        "orphan",
        lambda: Evidence(orders={}, exchange=[], dead_letters=DEAD_ONE.dead_letters),
    ),
    "an order parked though nothing is halted": (
        "unsettled",
        lambda: replace(
            DEAD_ONE,
            orders={ID: order(State.PARKED, version=2, attempts=0)},
            events={ID: [ACCEPTED, event("parked", 2, "accepted", "parked")]},
            dead_letters={},
        ),
    ),
    "an order still waiting": (
        "unsettled",
        lambda: replace(DEAD_ONE, orders={ID: order(State.ACCEPTED, version=1)}, events={ID: [ACCEPTED]}),
    ),
    "an order still being sent": (
        "unsettled",
        lambda: replace(
            LIVE_ONE, orders={ID: order(State.SUBMITTING, version=2)}, events={ID: [ACCEPTED, CLAIMED]}
        ),
    ),
    "an order expired that is there": (
        "called_absent",
        lambda: replace(
            LIVE_ONE,
            orders={ID: order(State.EXPIRED, version=2, attempts=0)},
            events={ID: [ACCEPTED, event("expired", 2, "accepted", "expired")]},
        ),
    ),
    "an order expired without a deadline": (
        "unexplained",
        lambda: replace(
            DEAD_ONE,
            orders={ID: order(State.EXPIRED, version=2, attempts=0)},
            events={ID: [ACCEPTED, event("expired", 2, "accepted", "expired")]},
            dead_letters={},
        ),
    ),
    "a change refused without a reason": (
        "unexplained",
        lambda: replace(
            LIVE_ONE,
            changes={ID: [replace(change(ChangeKind.AMEND, ChangeState.REFUSED), last_message="")]},
        ),
    ),
    "a fill that is missing": (
        "fills_differ",
        lambda: replace(FILLED_ONE, executions={ID: [fill("e1", "0.005")]}),
    ),
    "a fill of another size": (
        "fills_differ",
        lambda: replace(FILLED_ONE, executions={ID: [fill("e1", "0.005"), fill("e2", "0.0150001")]}),
    ),
    "a fill at another price": (
        "fills_differ",
        lambda: replace(
            FILLED_ONE,
            executions={ID: [fill("e1", "0.005"), replace(fill("e2", "0.015"), price=Decimal("59000.1"))]},
        ),
    ),
    "a fill with another fee": (
        "fills_differ",
        lambda: replace(
            FILLED_ONE,
            executions={ID: [fill("e1", "0.005"), replace(fill("e2", "0.015"), fee=Decimal("0.10000001"))]},
        ),
    ),
    "a fill too many": (
        "fills_differ",
        lambda: replace(
            FILLED_ONE,
            executions={ID: [fill("e1", "0.005"), fill("e2", "0.015"), fill("e3", "0.001")]},
        ),
    ),
    "a sum that is off by the last digit": (
        "fills_differ",
        lambda: replace(
            FILLED_ONE, orders={ID: order(State.FILLED, version=4, cum_exec_qty=Decimal("0.0200001"))}
        ),
    ),
    "a trail with a step that cannot be": (
        "trail",
        lambda: replace(LIVE_ONE, events={ID: [ACCEPTED, CLAIMED, replace(LIVE, event="unparked")]}),
    ),
    "a trail with a hole": ("trail", lambda: replace(LIVE_ONE, events={ID: [ACCEPTED, LIVE]})),
    "a trail without its beginning": ("trail", lambda: replace(LIVE_ONE, events={ID: [CLAIMED, LIVE]})),
    "a trail that ends elsewhere": ("trail", lambda: replace(LIVE_ONE, events={ID: [ACCEPTED, CLAIMED]})),
    "an attempt that nobody claimed": (
        "trail",
        lambda: replace(LIVE_ONE, orders={ID: order(State.LIVE, version=3, attempts=2)}),
    ),
    "a change still open": (
        "open_change",
        lambda: replace(LIVE_ONE, changes={ID: [change(ChangeKind.CANCEL, ChangeState.SUBMITTING)]}),
    ),
    "a cancel that did nothing": (
        "not_cancelled",
        lambda: replace(LIVE_ONE, changes={ID: [change(ChangeKind.CANCEL, ChangeState.DONE)]}),
    ),
    "a promise to have cancelled": (
        "not_cancelled",
        lambda: replace(LIVE_ONE, promises=Promises(cancelled=[ID])),
    ),
    "an amend that shows nowhere": (
        "amend_lost",
        lambda: replace(
            LIVE_ONE,
            changes={ID: [change(ChangeKind.AMEND, ChangeState.DONE, price="59100")]},
            events={ID: [ACCEPTED, CLAIMED, LIVE, event("amend_done", 3, "live", "live", change_id="ch-1")]},
        ),
    ),
    "a cancel that nobody asked for": (
        "unexplained",
        lambda: replace(
            LIVE_ONE,
            orders={ID: order(State.CANCELLED, version=4)},
            exchange=[row("Cancelled")],
            events={ID: [ACCEPTED, CLAIMED, LIVE, event("seen_cancelled", 4, "live", "cancelled")]},
        ),
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_history_is_found(what: str) -> None:
    """Each kind of breach is named by its rule."""
    rule, break_it = BROKEN[what]
    assert rule in rules_of(break_it())


def test_every_rule_has_a_history_that_breaks_it() -> None:
    """A rule that no history breaks might never find anything."""
    rules = set(re.findall(r'Breach\(\s*"(\w+)"', Path(checker.__file__).read_text()))
    assert rules == {rule for rule, _break_it in BROKEN.values()}
