"""What is asked by REST: the gap of a stream, however long, and whether ledger and exchange agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.orders import LINK_ID_PREFIX, OrderLinkId, OrderRequest
from sluicegate.services.backfill import KEPT
from sluicegate.services.submit import new_order_id
from tests.rig import Rig, wait_until

DAY_MS = 86_400_000
MARKET = {
    "account": "a1",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Market",
    "qty": "0.01",
}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run an exchange and a Valkey, and nothing of ours."""
    stack = Rig(tmp_path_factory.mktemp("gap"), accounts={"a1": "1001"})
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KEY_A1", "sim-key-1001")
        environment.setenv("SECRET_A1", "sim-secret-1001")
        try:
            stack.start(workers=0, schedulers=0, cancels=0)
            wait_until(lambda: measures_clock(stack), "new buckets give tokens")
            yield stack
        finally:
            stack.stop()


def measures_clock(rig: Rig) -> bool:
    """Try to measure the exchange's clock."""
    try:
        rig.container.accounts.resync_clock("a1")
    except ExchangeUnavailable:
        return False
    return True


def now_ms(rig: Rig) -> int:
    """Return the exchange's time."""
    return rig.container.accounts.get("a1").clock.to_exchange_ms(rig.container.clock.now())


OPTION = {
    "category": "option",
    "symbol": "ETH-26MAR27-2800-C",
    "order_type": "Limit",
    "qty": "0.1",
    "price": "450",
}


def trade(rig: Rig, link_id: str, *, after_days: int, **fields: str) -> None:
    """Let so many days pass on the exchange, then buy."""
    rig.control("clock", offset_ms=after_days * DAY_MS)
    rig.container.accounts.resync_clock("a1")
    deadline = rig.container.clock.now() + timedelta(hours=1)
    exchange = rig.container.accounts.get("a1").exchange
    request = OrderRequest.model_validate({**MARKET, **fields})
    exchange.place(request, OrderLinkId(link_id), sign_before=deadline)


def test_gap_of_weeks_is_filled_whole(rig: Rig) -> None:
    """Fills of three weeks ago are listed as well as those of today, each once, and options of any base coin."""
    since_ms = now_ms(rig)
    for number, days in enumerate((0, 11, 22)):
        trade(rig, f"theirs-{number}", after_days=days)
    trade(rig, "theirs-option", after_days=22, **OPTION)

    done = rig.container.backfill.fill("a1", since_ms)

    assert 4 == done["fills"]
    assert [] == rig.container.ledger.incidents()


def test_gap_longer_than_the_exchange_remembers_is_told(rig: Rig) -> None:
    """What nobody can ask for any more is an incident, not silence."""
    since_ms = now_ms(rig)
    trade(rig, "theirs-3", after_days=22 + KEPT.days + 30)

    done = rig.container.backfill.fill("a1", since_ms)

    assert 1 == done["fills"]
    assert ["stream_gap:a1"] == [incident.key for incident in rig.container.ledger.incidents()]


def test_position_that_differs_is_an_event_of_its_account(rig: Rig) -> None:
    """A position that the ledger was never shown leaves an event, for it belongs to no one order."""
    ledger = rig.container.ledger
    days = 22 + KEPT.days + 40
    trade(rig, "theirs-4", after_days=days)
    rig.control("clock", offset_ms=days * DAY_MS + 60_000)  # what changed just now may be in flight
    rig.container.accounts.resync_clock("a1")
    ledger.update_view(replace(ledger.view("a1"), stream_at=rig.container.clock.now()))
    assert [] == ledger.account_events("a1")

    rig.container.reconciler.compare(rig.container.accounts.get("a1"))

    (event,) = ledger.account_events("a1")
    assert ("difference", "position") == (event.event, event.detail["kind"])
    assert event.detail["detail"] in rig.cli("accounts", "events", "a1", COLUMNS="300").stdout


def test_order_that_the_ledger_does_not_know_is_told_once(rig: Rig) -> None:
    """An order under a link id of ours from another ledger: one event, however often it is compared."""
    ledger, link_id = rig.container.ledger, f"{LINK_ID_PREFIX}{new_order_id()}"
    days = 22 + KEPT.days + 50
    trade(rig, link_id, after_days=days, order_type="Limit", price="50000")
    rig.control("clock", offset_ms=days * DAY_MS + 60_000)  # what changed just now may be in flight
    rig.container.accounts.resync_clock("a1")

    for _comparison in range(3):
        ledger.update_view(replace(ledger.view("a1"), stream_at=rig.container.clock.now()))
        rig.container.reconciler.compare(rig.container.accounts.get("a1"))

    assert 1 == sum(link_id in event.detail["detail"] for event in ledger.account_events("a1"))
