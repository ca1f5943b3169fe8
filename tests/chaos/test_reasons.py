"""An end is explained by what its order asked for or by what its run did, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from sluicegate.domain.lifecycle import State
from tests.chaos.checker import check
from tests.chaos.evidence import Evidence
from tests.chaos.histories import ACCEPTED, CLAIMED, DEAD_ONE, ID, LIVE, LIVE_ONE, NOW, changed, event, order, row
from tests.chaos.producers import UNITS
from tests.chaos.reasons import Causes

CAUSES = Causes(UNITS, refused_keys={"a1"}, key_code="10003", retried_codes={"10006"})
TRIGGER = {"trigger_price": "60500", "trigger_direction": 1}


def dead(reason: str, code: str, *, attempts: int = 1, **fields: Any) -> Evidence:
    """Return an order that died in a run, and its letter."""
    letter = replace(DEAD_ONE.dead_letters[ID], reason=reason, code=code)
    claims = [event("claimed", 2 * n, "accepted", "submitting") for n in range(1, attempts + 1)]
    again = [event("backed_off", 2 * n + 1, "submitting", "accepted") for n in range(1, attempts)]
    trail = [ACCEPTED, *claims, *again, event("dead_lettered", 2 * attempts + 1, "submitting", "dead")]
    ended = order(State.DEAD, version=2 * attempts + 1, attempts=attempts, request=changed(**fields))
    return replace(DEAD_ONE, orders={ID: ended}, events={ID: trail}, dead_letters={ID: letter}, causes=CAUSES)


def expired(early_s: float, why: str = "its deadline passed before it was sent") -> Evidence:
    """Return an order that expired so long before its deadline."""
    ended = order(State.EXPIRED, version=2, attempts=0, deadline_at=NOW + timedelta(seconds=early_s))
    trail = [ACCEPTED, event("expired", 2, "accepted", "expired", why=why)]
    return replace(DEAD_ONE, orders={ID: ended}, events={ID: trail}, dead_letters={})


def parked(scope: str, code: str) -> Evidence:
    """Return an order that was parked for a halt in a run, and went out afterwards."""
    trail = [
        ACCEPTED,
        event("parked", 2, "accepted", "parked", why=f"halted: {code}", scope=scope),
        event("unparked", 3, "parked", "accepted"),
        replace(CLAIMED, version=4),
        replace(LIVE, version=5),
    ]
    return replace(LIVE_ONE, orders={ID: order(State.LIVE, version=5)}, events={ID: trail}, causes=CAUSES)


def rejected() -> Evidence:
    """Return an order that the exchange shows as rejected, in a run that rejects none."""
    trail = [ACCEPTED, CLAIMED, LIVE, event("seen_rejected", 4, "live", "rejected")]
    ended = order(State.REJECTED, version=4)
    return replace(LIVE_ONE, orders={ID: ended}, exchange=[row("Rejected")], events={ID: trail}, causes=CAUSES)


EXPLAINED = {
    "a quantity off the step": dead("quantity_off_step", "gate", qty="0.0000001"),
    "a conditional price over the band": dead("price_out_of_bounds", "110121", **TRIGGER),
    "one conditional order too many": dead("order_cap", "110009", **TRIGGER),
    "every attempt met a fault": dead("attempts_exhausted", "10006", attempts=12),
    "expired at its deadline": expired(0),
    "no attempt before the deadline": expired(5, "no attempt fits before the deadline after 10006"),
    "parked while its key was refused": parked("account:a1", "10003"),
    "a halt of the key that was refused": replace(LIVE_ONE, causes=CAUSES, halts=[("account:a1", "10003")]),
}
UNEXPLAINED = {
    "a letter without a cause": replace(DEAD_ONE, dead_letters={ID: replace(DEAD_ONE.dead_letters[ID], cause="")}),
    "a letter without a fix": replace(DEAD_ONE, dead_letters={ID: replace(DEAD_ONE.dead_letters[ID], fix="")}),
    "a reason that no run has": dead("insufficient_balance", "110007"),
    "a sound quantity called off its step": dead("quantity_off_step", "gate"),
    "a plain price called out of bounds": dead("price_out_of_bounds", "110121"),
    "a buy called too cheap": dead("price_out_of_bounds", "110120", **TRIGGER),
    "a plain order called one conditional too many": dead("order_cap", "110009"),
    "given up too soon": dead("attempts_exhausted", "10006", attempts=11),
    "given up for a code of no fault": dead("attempts_exhausted", "10001", attempts=12),
    "expired before its deadline": expired(0.001),
    "given up long before the deadline": expired(31, "no attempt fits before the deadline after 10006"),
    "parked for another code": parked("account:a1", "33004"),
    "parked for an account that was not refused": parked("account:a2", "10003"),
    "a halt that no fault caused": replace(LIVE_ONE, causes=CAUSES, halts=[("egress:default", "403")]),
    "rejected where nothing is": rejected(),
}


@pytest.mark.parametrize("what", EXPLAINED)
def test_end_that_order_or_run_explains_is_no_breach(what: str) -> None:
    """What the producers asked for and the faults did accuses nobody."""
    assert [] == [breach for breach in check(EXPLAINED[what]) if breach.rule == "unexplained"]


@pytest.mark.parametrize("what", UNEXPLAINED)
def test_end_that_nothing_explains_is_found(what: str) -> None:
    """A reason alone is no explanation: it must be one that this order, or this run, can have."""
    assert {breach.rule for breach in check(UNEXPLAINED[what])} == {"unexplained"}
