"""Queries: what they read from the real simulator, and that no answer whatever gets past the two agreed errors."""

from __future__ import annotations

import threading
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from orders_desk import LINK_ID, request
from venue_server import Desk, VenueServer, envelope, http, open_desk

from sluicegate.bybit.rows import read_sighting
from sluicegate.config import ExchangeSettings
from sluicegate.domain.errors import ExchangeUnavailable, OrderRejected
from sluicegate.domain.orders import Category, OrderLinkId
from sluicegate.domain.outcomes import Acknowledged
from sluicegate.domain.records import Fill, Sighting

SIGHTED = {
    "orderId": "e1",
    "orderLinkId": LINK_ID,
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderStatus": "PartiallyFilled",
    "qty": "0.010",
    "price": "60000",
    "cumExecQty": "0.004",
    "avgPrice": "59999.5",
    "rejectReason": "EC_NoError",
    "cancelType": "UNKNOWN",
}
FILLED = {
    "execId": "x1",
    "orderLinkId": LINK_ID,
    "execType": "Trade",
    "execQty": "0.004",
    "execPrice": "59999.5",
    "execFee": "-0.01",
    "feeCurrency": "USDT",
    "isMaker": True,
    "execTime": "1785000000123",
}


def answer(server: VenueServer, rows: Any, **result: Any) -> None:
    """Let the server answer every query with these rows."""
    server.script = lambda _request, _connection: http(envelope(result={"list": rows, **result}))


def find(desk: Desk) -> Any:
    """Look for the usual order among the open ones."""
    return desk.gateway.find_open(Category.LINEAR, "BTCUSDT", LINK_ID)


def test_order_placed_on_the_simulator_is_found_with_its_fills(simulator_url: str) -> None:
    """Place, find and fills against a whole exchange: the same link id, quantities exact."""
    desk = open_desk(simulator_url, ExchangeSettings(), key="sim-key-1003", secret="sim-secret-1003")
    link_id = OrderLinkId(f"sg-{uuid.uuid4().hex}")
    wanted = request(order_type="Market", price=None, qty=Decimal("0.010"))
    placed = desk.gateway.place(wanted, link_id, sign_before=datetime.now(UTC) + timedelta(minutes=1))
    assert isinstance(placed.outcome, Acknowledged)
    end = datetime.now(UTC) + timedelta(seconds=20)
    fills: list[Fill] = []
    while sum((fill.qty for fill in fills), Decimal(0)) < wanted.qty:
        assert datetime.now(UTC) < end, fills
        fills, _cursor, headers = desk.gateway.fills(Category.LINEAR, "BTCUSDT", link_id)
    assert headers.limit is not None
    seen = desk.gateway.find_open(Category.LINEAR, "BTCUSDT", link_id).sighting
    assert seen is not None
    assert (link_id, placed.outcome.exchange_order_id) == (seen.link_id, seen.exchange_order_id)
    assert ("Filled", wanted.qty, wanted.qty) == (seen.status, seen.qty, seen.cum_exec_qty)
    nobody = desk.gateway.find_closed(Category.LINEAR, "BTCUSDT", f"sg-{uuid.uuid4().hex}")
    assert nobody.sighting is None
    assert nobody.answered_at_ms > 0


def test_key_of_another_environment_is_rejected_with_its_code(simulator_url: str) -> None:
    """A query with a key that does not belong here carries the code that halts the account."""
    desk = open_desk(simulator_url, ExchangeSettings(), key="sim-key-mainnet", secret="sim-secret-mainnet")
    with pytest.raises(OrderRejected) as raised:
        desk.gateway.key_info()
    assert raised.value.ret_code == "10003"


def test_sighting_and_fill_are_read_exactly(server: VenueServer, desk: Desk) -> None:
    """Numbers are the digits of the answer; empty strings are absence."""
    answer(server, [{**SIGHTED, "orderLinkId": "sg-another"}, SIGHTED])
    raw = {"orderStatus": "PartiallyFilled", "cancelType": "UNKNOWN", "rejectReason": "EC_NoError"}
    amounts = {"cumExecQty": "0.004", "avgPrice": "59999.5"}
    expected = Sighting(
        link_id=LINK_ID,
        exchange_order_id="e1",
        symbol="BTCUSDT",
        side="Buy",
        status="PartiallyFilled",
        qty=Decimal("0.010"),
        price=Decimal(60000),
        cum_exec_qty=Decimal("0.004"),
        avg_price=Decimal("59999.5"),
        reject_reason="EC_NoError",
        raw={**raw, **amounts},
    )
    assert expected == find(desk).sighting
    answer(server, [{**SIGHTED, "price": "", "avgPrice": "", "cumExecQty": ""}])
    empty = find(desk).sighting
    assert (None, None, Decimal(0)) == (empty.price, empty.avg_price, empty.cum_exec_qty)
    answer(server, [{**SIGHTED, "takeProfit": "64000.5", "stopLoss": ""}])
    stops = find(desk).sighting
    assert (Decimal("64000.5"), Decimal(0)) == (stops.take_profit, stops.stop_loss)
    answer(server, [{**SIGHTED, "takeProfit": "-", "stopLoss": None}])
    unsaid = find(desk).sighting
    assert (None, None) == (unsaid.take_profit, unsaid.stop_loss)
    answer(server, [{**FILLED, "execType": "Funding"}, FILLED])
    fills, _cursor, _headers = desk.gateway.fills(Category.LINEAR, "BTCUSDT", LINK_ID)
    at = datetime(2026, 7, 25, 17, 20, 0, 123000, tzinfo=UTC)
    expected_fill = Fill("x1", LINK_ID, Decimal("0.004"), Decimal("59999.5"), Decimal("-0.01"), "USDT", True, at)
    assert [expected_fill] == fills


@pytest.mark.parametrize("time_", [None, 0, 1_785_000_000, 1_785_000_000_000_000, -1, "soon", True, 1.5])
def test_absence_without_a_believable_clock_proves_nothing(server: VenueServer, desk: Desk, time_: Any) -> None:
    """A query that does not say when it was answered, in milliseconds, cannot prove that an order is absent."""
    server.script = lambda _request, _connection: http(envelope(result={"list": []}, time=time_))
    before = desk.clock.offset_s
    with pytest.raises(ExchangeUnavailable, match="absence cannot be proved"):
        find(desk)
    assert before == desk.clock.offset_s


@pytest.mark.parametrize("result", [{}, {"list": None}, {"list": "x"}, {"list": [5]}, {"list": {"a": 1}}])
def test_answer_without_a_list_proves_nothing(server: VenueServer, desk: Desk, result: Any) -> None:
    """No list is not an empty list."""
    server.script = lambda _request, _connection: http(envelope(result=result))
    with pytest.raises(ExchangeUnavailable, match="without a list"):
        find(desk)


def test_fills_are_asked_for_one_page_at_a_time(server: VenueServer, desk: Desk) -> None:
    """Each page is a request, and each request pays its tokens."""
    answer(server, [FILLED], nextPageCursor="again")
    fills, cursor, _headers = desk.gateway.fills(Category.LINEAR, "BTCUSDT", LINK_ID)
    assert (1, "again", 1) == (len(fills), cursor, len(server.requests))


KEY_INFOS: dict[str, Any] = {
    "empty": {},
    "no_number": {"userID": "me"},
    "other_digits": {"userID": "²"},
    "null": {"userID": None},
    "list": {"userID": [1]},
}


@pytest.mark.parametrize("result", KEY_INFOS.values(), ids=KEY_INFOS)
def test_key_info_without_a_user_is_unavailable(server: VenueServer, desk: Desk, result: Any) -> None:
    """Whose quota it is must be known before anything is sent."""
    server.script = lambda _request, _connection: http(envelope(result=result))
    with pytest.raises(ExchangeUnavailable, match="no userID"):
        desk.gateway.key_info()


def test_key_info_is_read(server: VenueServer, desk: Desk) -> None:
    """User, permissions and days left are what Bybit says."""
    told = {"userID": 24617703, "readOnly": 0, "permissions": {"ContractTrade": ["Order"]}, "deadlineDay": 83}
    server.script = lambda _request, _connection: http(envelope(result=told))
    info = desk.gateway.key_info()
    assert ("24617703", False, {"ContractTrade": ["Order"]}, 83) == (
        info.uid,
        info.is_read_only,
        info.permissions,
        info.days_left,
    )


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=2), max_leaves=4)
odd_rows = st.one_of(
    *(st.fixed_dictionaries({**{name: st.just(value) for name, value in row.items()}, field: values})
      for row in (SIGHTED, FILLED) for field in row if field != "orderLinkId")
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(odd_rows | values, max_size=2) | values)
@example(rows=[{**FILLED, "execTime": str(10**18)}])
@example(rows=[{**SIGHTED, "orderId": "\x00", "orderStatus": "\ud800", "rejectReason": "\x1b[2J"}])
def test_queries_any_rows_raise_nothing_but_the_agreed_errors(server: VenueServer, desk: Desk, rows: Any) -> None:
    """For every JSON value as rows: a result that any database can take, or one of the two errors of the port."""
    answer(server, rows)
    try:
        seen = find(desk).sighting
        assert seen is None or all(
            text.isprintable() for text in (seen.exchange_order_id, seen.status, seen.reject_reason)
        )
    except (ExchangeUnavailable, OrderRejected):
        pass
    try:
        fills, _cursor, _headers = desk.gateway.fills(Category.LINEAR, "BTCUSDT", LINK_ID)
        assert all(fill.exec_id.isprintable() and fill.fee_coin.isprintable() for fill in fills)
    except (ExchangeUnavailable, OrderRejected):
        pass


def test_order_made_by_hand_is_read_without_a_link_id() -> None:
    """Orders that a person placed on the web page have no link id; they do not spoil a list."""
    assert read_sighting({**SIGHTED, "orderLinkId": ""}).link_id == ""


@pytest.mark.parametrize("is_answered", [True, False])
def test_query_without_answer_says_so(server: VenueServer, desk: Desk, is_answered: bool) -> None:
    """The network may still deliver it: its token of the IP must not come back before."""
    quiet = threading.Event()

    def script(_request: Any, _connection: Any) -> bytes | None:
        return http(b"", status="502 Bad Gateway") if is_answered else (quiet.wait(10) and None)

    server.script = script
    with pytest.raises(ExchangeUnavailable) as unavailable:
        find(desk)
    quiet.set()
    assert is_answered is not unavailable.value.is_unanswered
