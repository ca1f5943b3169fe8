"""The checker finds each kind of breach in a history that was broken on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import ChangeKind, OrderId, OrderLinkId
from sluicegate.domain.records import ChangeState
from tests.chaos import checker
from tests.chaos.checker import check
from tests.chaos.evidence import Evidence, Promises
from tests.chaos.histories import (
    ACCEPTED,
    CANCELLED_ONE,
    CLAIMED,
    DEAD_ONE,
    FILLED_ONE,
    ID,
    LIVE,
    LIVE_ONE,
    RECEIPT,
    change,
    changed,
    event,
    fill,
    order,
    row,
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
            orders={ID: order(State.LIVE, version=3, request=changed(time_in_force="IOC"))},
        ),
    ),
    "another trigger": (
        "differs",
        lambda: replace(
            LIVE_ONE,
            orders={ID: order(State.LIVE, version=3, request=changed(trigger_price="60500", trigger_direction=1))},
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
    "a change that nobody asked for": (
        "trail",
        lambda: replace(
            LIVE_ONE,
            changes={ID: [change(ChangeKind.CANCEL, ChangeState.REFUSED)]},
            events={ID: [ACCEPTED, CLAIMED, LIVE, event("cancel_refused", 3, "live", "live", change_id="ch-1")]},
        ),
    ),
    "a change whose end is not told": (
        "trail",
        lambda: replace(
            LIVE_ONE,
            changes={ID: [change(ChangeKind.CANCEL, ChangeState.REFUSED)]},
            events={ID: [ACCEPTED, CLAIMED, LIVE, event("cancel_requested", 3, "live", "live", change_id="ch-1")]},
        ),
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
