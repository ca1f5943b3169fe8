"""What goes in comes out, digit for digit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ledger_cases import NOON, accept_one, dead_letter, fill, new_order, request
from sqlalchemy.exc import StatementError

from sluicegate.domain.lifecycle import Event
from sluicegate.ports import Ledger, OrderFilter

SAME_LEDGER = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])

decimals = st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**20), max_value=10**20)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
times = st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=zones)  # noqa: DTZ001 (hypothesis adds the zone)


@SAME_LEDGER
@given(quantity=decimals, price=st.none() | decimals, at=times)
def test_numbers_and_times_survive_exactly(
    ledger: Ledger, quantity: Decimal, price: Decimal | None, at: datetime
) -> None:
    """No digit of a number and no microsecond of a time is lost; times come back in UTC."""
    order = accept_one(ledger)

    ledger.transition(order, Event.SEEN_OPEN, {"cum_exec_qty": quantity, "avg_price": price, "wake_at": at}, {})

    stored = ledger.get(order.order_id)
    assert (stored.cum_exec_qty, stored.avg_price, stored.wake_at) == (quantity, price, at)
    assert stored.cum_exec_qty.as_tuple().exponent == quantity.as_tuple().exponent
    assert stored.wake_at is not None
    assert stored.wake_at.tzinfo is UTC


@pytest.mark.parametrize(
    "number",
    ["0.000000000000000001", "0.10", "123456789012345678901234567890.123456789", "1E-30", "5E+12", "-0.00"],
)
def test_fill_keeps_every_digit(ledger: Ledger, number: str) -> None:
    """A fill is stored as it was reported."""
    order = accept_one(ledger)
    execution = replace(fill(order.order_id, "e1"), qty=Decimal(number), fee=Decimal(number))

    ledger.add_executions([execution])

    assert ledger.executions(order.order_id) == [execution]


def test_request_survives_with_all_its_fields(ledger: Ledger) -> None:
    """The request is the producer's: numbers with their trailing zeros, times, enums."""
    asked = request(
        qty="0.100",
        price="60000.50",
        take_profit="70000.0",
        due_at="2030-01-01T08:00:00.5+08:00",
        on_step="round_down",
    )
    order = accept_one(ledger, **asked.model_dump(exclude_none=True))

    assert order.request == asked
    assert str(order.request.qty) == "0.100"
    assert order.request.fingerprint() == order.fingerprint


@pytest.mark.parametrize(
    "words", ["nul \x00 byte", "half \ud83d character", "emoji 🛑 中文", "x" * 100_000, "\\u0000"]
)
def test_words_of_the_exchange_are_stored_whatever_they_hold(ledger: Ledger, words: str) -> None:
    """An answer with characters that a database refuses must not lose the move that it belongs to."""
    order = accept_one(ledger)
    letter = dead_letter(order.order_id, message=words)

    moved = ledger.transition(
        order, Event.DEAD_LETTERED, {"last_message": words}, {"raw": words}, dead_letter=letter
    )

    assert moved is not None
    assert ledger.events(order.order_id)[-1].detail == {"raw": words}
    printable = words.replace("\x00", "\ufffd").replace("\ud83d", "?")
    assert ledger.get(order.order_id).last_message == printable
    assert ledger.dead_letter(order.order_id).message == printable


def test_detail_with_other_values_is_stored_as_text(ledger: Ledger) -> None:
    """A fact of another type does not cost the move: it is written as its text."""
    order = accept_one(ledger)

    ledger.note(order.order_id, "seen", {"qty": Decimal("0.10")})

    assert ledger.events(order.order_id)[-1].detail == {"qty": "0.10"}


def test_time_without_zone_is_refused(ledger: Ledger) -> None:
    """A time without its zone means another instant on every machine."""
    with pytest.raises(StatementError, match="zone"):
        ledger.take_due_changes(NOON.replace(tzinfo=None), limit=1, snooze=timedelta(seconds=1))


def test_number_that_is_none_is_refused(ledger: Ledger) -> None:
    """NaN is no quantity."""
    order = accept_one(ledger)

    with pytest.raises(StatementError, match="finite"):
        ledger.transition(order, Event.SEEN_OPEN, {"cum_exec_qty": Decimal("NaN")}, {})


def test_ids_sort_by_their_bytes(ledger: Ledger) -> None:
    """Newest first means the same on every database, whatever its locale."""
    names = ["01a", "01B", "01-", "01Z"]
    ledger.accept([new_order(name) for name in names], wake_at=NOON)

    assert [order.order_id for order in ledger.list_orders(OrderFilter())] == sorted(names, reverse=True)
