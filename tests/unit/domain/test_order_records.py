"""Orders and the records beside them, as the ledger holds them."""

from __future__ import annotations

import re
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from sluicegate.domain.errors import InvalidOrder
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import (
    AmendRequest,
    ChangeKind,
    NewOrder,
    Order,
    OrderId,
    OrderLinkId,
    Receipt,
    parse_amend,
)
from sluicegate.domain.records import (
    EVENT_OF_STATUS,
    Change,
    ChangeState,
    DeadLetter,
    Status,
    account_scope,
    egress_scope,
)

from .examples import NOW, market, order

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")


def new_order(order_id: str = "01J0000000000000000000000A", **changes: Any) -> NewOrder:
    """Return an order about to be accepted."""
    return NewOrder(OrderId(order_id), order(**changes), NOW)


@given(st.binary(min_size=16, max_size=16))
def test_link_id_is_what_bybit_takes(raw: bytes):
    """At most 36 characters, letters, digits, dashes and underscores, whatever the order id."""
    order_id = str(ULID.from_bytes(raw))
    link_id = new_order(order_id).link_id
    assert LINK_ID.fullmatch(link_id)
    assert link_id.endswith(order_id)


@given(st.lists(st.binary(min_size=16, max_size=16), min_size=2, max_size=10, unique=True))
def test_link_id_of_other_orders_differs(raws: list[bytes]):
    """One link id per order, for ever."""
    assert len(raws) == len({new_order(str(ULID.from_bytes(raw))).link_id for raw in raws})


def test_link_id_of_one_order_never_changes():
    """Every attempt carries the same one."""
    assert new_order().link_id == new_order(qty="5", client_order_id="x").link_id


@pytest.mark.parametrize(("client_order_id", "expected"), [("my-1", "my-1"), (None, "01J0000000000000000000000A")])
def test_client_order_id_defaults_to_the_order_id(client_order_id: str | None, expected: str):
    """Every order has an idempotency key."""
    assert expected == new_order(client_order_id=client_order_id).client_order_id


@pytest.mark.parametrize(
    ("due_at", "expected"),
    [
        (None, NOW),
        ("2026-07-24T11:00:00Z", NOW),
        ("2026-07-24T15:00:00+02:00", NOW + timedelta(hours=1)),
    ],
)
def test_due_at_is_never_before_acceptance(due_at: str | None, expected: datetime):
    """An instant in the past means now."""
    assert expected == new_order(due_at=due_at).due_at


@pytest.mark.parametrize(("deadline_s", "expected"), [(None, None), (30, NOW + timedelta(seconds=30))])
def test_deadline_counts_from_acceptance(deadline_s: int | None, expected: datetime | None):
    """Seconds from when the ledger took the order; none means never."""
    assert expected == new_order(deadline_s=deadline_s).deadline_at


def _order(**changes: Any) -> Order:
    request = changes.pop("request", order())
    return Order(
        order_id=OrderId("1"),
        link_id=OrderLinkId("sg-1"),
        account="main",
        request=request,
        state=State.ACCEPTED,
        version=1,
        created_at=NOW,
        updated_at=NOW,
        client_order_id="my-1",
        fingerprint=request.fingerprint(),
        **changes,
    )


def test_order_shows_category_and_symbol_of_its_request():
    """The ledger's snapshot has no second copy of them."""
    assert (_order().category, _order().symbol) == ("linear", "BTCUSDT")


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (order(qty="0.00000001"), "Buy 0.00000001 BTCUSDT @60000 (linear, main)"),
        (market(side="Sell"), "Sell 0.01 BTCUSDT market (linear, main)"),
    ],
    ids=["limit", "market"],
)
def test_describe_is_one_plain_line(request_: Any, expected: str):
    """People read it in logs and pages."""
    assert expected == _order(request=request_).describe()


def test_order_is_frozen():
    """A snapshot changes only in the ledger."""
    with pytest.raises(FrozenInstanceError):
        _order().state = State.LIVE  # type: ignore[misc]


def test_receipt_to_json_is_plain():
    """A producer without our library reads it too."""
    receipt = Receipt(OrderId("1"), OrderLinkId("sg-1"), "main", "my-1", State.ACCEPTED, is_new=False)
    expected = {
        "order_id": "1",
        "order_link_id": "sg-1",
        "account": "main",
        "client_order_id": "my-1",
        "state": "accepted",
        "is_new": False,
    }
    assert expected == receipt.to_json()


@pytest.mark.parametrize(
    "content",
    [{"qty": "1"}, {"price": 60000}, {"trigger_price": "1.5"}, {"take_profit": "0"}, {"stop_loss": 0, "qty": 1}],
    ids=repr,
)
def test_parse_amend_of_valid_content_goes_through_json(content: dict[str, Any]):
    """What is read can be stored and read again."""
    amend = parse_amend(content)
    assert {name: str(value) for name, value in content.items()} == amend.to_json()
    assert amend == parse_amend(amend.to_json())
    assert {name: Decimal(value) for name, value in content.items()} == amend.changes()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ({}, "give at least one of"),
        ({"qty": None}, "give at least one of"),
        ({"qty": "0"}, "^qty: must be greater than 0"),
        ({"qty": 1.5}, "^qty: must be a string"),
        ({"qty": "-1"}, "^qty: "),
        ({"price": "x"}, "^price: "),
        ({"price": True}, "^price: "),
        ({"take_profit": "-1"}, "^take_profit: must not be negative"),
        ({"side": "Sell"}, "^side: unknown field"),
        ([], "dictionary"),
        ("qty=1", "dictionary"),
        (None, "dictionary"),
    ],
    ids=repr,
)
def test_parse_amend_of_wrong_content_says_what_is_wrong(content: Any, text: str):
    """Each mistake is named; an amendment of nothing is one."""
    with pytest.raises(InvalidOrder, match=text):
        parse_amend(content)


def test_parse_amend_names_every_field_that_may_change():
    """The text about an empty amendment lists the fields that exist."""
    with pytest.raises(InvalidOrder) as caught:
        parse_amend({})
    listed = str(caught.value).removeprefix("give at least one of ").split(", ")
    assert list(AmendRequest.model_fields) == listed


def test_event_of_status_covers_every_status():
    """Each of Bybit's statuses is evidence of something."""
    expected = {
        "New": "seen_open",
        "PartiallyFilled": "seen_partially_filled",
        "Untriggered": "seen_open",
        "Triggered": "seen_open",
        "Rejected": "seen_rejected",
        "Filled": "seen_filled",
        "Cancelled": "seen_cancelled",
        "PartiallyFilledCanceled": "seen_cancelled",
        "Deactivated": "seen_cancelled",
    }
    assert expected == EVENT_OF_STATUS
    assert set(Status) == set(EVENT_OF_STATUS)


def test_scopes_of_account_and_egress_are_apart():
    """An account and an address of one name are two scopes."""
    assert (account_scope("main"), egress_scope("main")) == ("account:main", "egress:main")


@pytest.mark.parametrize(
    ("settled", "expected"),
    [
        ({}, True),
        ({"replayed_as": OrderId("2")}, False),
        ({"discarded_at": datetime(2026, 1, 1, tzinfo=UTC)}, False),
    ],
    ids=["open", "replayed", "discarded"],
)
def test_dead_letter_is_open_until_a_person_settles_it(settled: dict[str, Any], expected: bool):
    """Replayed or discarded, it waits no more."""
    letter = DeadLetter(OrderId("1"), "main", "balance", "110007", "text", "cause", "fix", NOW, **settled)
    assert expected is letter.is_open


def test_change_to_json_is_plain():
    """The timeline of an order shows its changes."""
    change = Change(
        "c", OrderId("1"), 1, ChangeKind.AMEND, {"qty": "2"}, ChangeState.REFUSED, 3, NOW, last_code="110001"
    )
    expected = {
        "change_id": "c",
        "order_id": "1",
        "kind": "amend",
        "fields": {"qty": "2"},
        "state": "refused",
        "attempts": 0,
        "created_at": "2026-07-24T12:00:00+00:00",
        "code": "110001",
        "message": "",
    }
    assert expected == change.to_json()
