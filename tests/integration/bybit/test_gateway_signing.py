"""What leaves the host: signed bytes, our clock, plain numbers; and nothing once the claim has lapsed."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from orders_desk import LINK_ID, live_order, place, request
from venue_server import FAST, KEY, SECRET, Desk, VenueServer, acknowledge, envelope, http, open_desk

from sluicegate.domain.orders import Category, OrderRequest
from sluicegate.domain.outcomes import Acknowledged, NeverSent

NOON = datetime(2026, 7, 24, 12, tzinfo=UTC)


@dataclass
class SetClock:
    """A local clock that stands where a test puts it."""

    time: datetime = NOON
    slept: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the time that was set."""
        return self.time

    def monotonic(self) -> float:
        """Return seconds since noon."""
        return (self.time - NOON).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Move on without waiting."""
        self.slept.append(seconds)
        self.time += timedelta(seconds=seconds)


def test_place_with_a_lapsed_claim_sends_nothing(server: VenueServer, desk: Desk) -> None:
    """Past `sign_before` nothing is signed and nothing is sent."""
    answer = place(desk, sign_before=datetime.now(UTC) - timedelta(milliseconds=1))
    assert isinstance(answer.outcome, NeverSent)
    assert ("claim_lapsed", None) == (answer.outcome.code, answer.signed_at_ms)
    assert (server.requests, server.connections) == ([], 0)


def test_place_at_the_last_moment_of_its_claim(server: VenueServer) -> None:
    """The claim's end itself is too late; a microsecond before it is not."""
    local = SetClock()
    desk = open_desk(server.url, local=local)
    assert isinstance(place(desk, sign_before=NOON).outcome, NeverSent)
    assert isinstance(place(desk, sign_before=NOON + timedelta(microseconds=1)).outcome, Acknowledged)
    assert len(server.requests) == 1


def test_query_after_a_lapsed_command_is_signed(server: VenueServer, desk: Desk) -> None:
    """A claim that lapsed stops its own command, not the queries that come after it on the same session."""
    place(desk, sign_before=datetime.now(UTC) - timedelta(seconds=1))
    server.script = lambda _request, _connection: http(envelope(result={"list": []}))
    assert desk.gateway.find_open(Category.LINEAR, "BTCUSDT", LINK_ID).sighting is None
    assert len(server.requests) == 1


def test_place_without_a_key_was_never_sent(server: VenueServer) -> None:
    """What cannot be signed does not leave, and is not in doubt."""
    answer = place(open_desk(server.url, key=None, secret=None))
    assert isinstance(answer.outcome, NeverSent)
    assert ("never_signed", None) == (answer.outcome.code, answer.signed_at_ms)
    assert server.requests == []


def test_place_timestamp_is_the_exchanges_clock(server: VenueServer) -> None:
    """The timestamp is local time plus the measured offset, and the answer tells which one was signed."""
    desk = open_desk(server.url, local=SetClock())
    desk.clock.observe(NOON, NOON, NOON.timestamp() * 1000 - 1234)
    answer = place(desk, sign_before=NOON + timedelta(seconds=1))
    expected = int(NOON.timestamp() * 1000) - 1234
    assert (expected, str(expected)) == (answer.signed_at_ms, server.requests[0].headers["x-bapi-timestamp"])


def test_place_receive_window_is_the_setting(server: VenueServer) -> None:
    """The receive window in the header is the configured one."""
    settings_ = FAST.model_copy(update={"recv_window_ms": 7654})
    place(open_desk(server.url, settings_))
    assert server.requests[0].headers["x-bapi-recv-window"] == "7654"


def test_commands_are_signed_over_the_bytes_that_arrive(server: VenueServer, desk: Desk) -> None:
    """The signature holds over the very bytes of each POST, and names the key."""
    far = datetime.now(UTC) + timedelta(hours=1)
    place(desk)
    desk.gateway.amend(live_order(), {"price": "1"}, sign_before=far)
    desk.gateway.cancel(live_order(), sign_before=far)
    assert [True] * 3 == [arrived.is_signed_with(KEY, SECRET) for arrived in server.requests]
    assert ["POST"] * 3 == [arrived.method for arrived in server.requests]


def test_queries_are_signed_over_the_query_that_arrives(server: VenueServer, desk: Desk) -> None:
    """The signature holds over the query string of each GET, an encoded cursor included."""
    pages = iter(["1321%3A0%2C1322%3A0", ""])
    row = {"orderLinkId": LINK_ID, "execId": "x", "execQty": "1", "execPrice": "2", "execTime": "1785000000000"}
    server.script = lambda _request, _connection: http(
        envelope(result={"list": [row], "nextPageCursor": next(pages)})
    )
    _page, cursor, _headers = desk.gateway.fills(Category.LINEAR, "BTCUSDT", LINK_ID)
    desk.gateway.fills(Category.LINEAR, "BTCUSDT", LINK_ID, cursor=cursor)
    assert "cursor=1321%3A0%2C1322%3A0" in server.requests[1].target
    assert [True] * 2 == [arrived.is_signed_with(KEY, SECRET) for arrived in server.requests]


numbers = st.one_of(
    st.integers(min_value=1, max_value=10**29).map(Decimal),
    st.builds(lambda digits, places: Decimal(digits).scaleb(-places), st.integers(1, 10**12), st.integers(0, 29)),
)
requests = st.builds(
    lambda category, fields: request(category=category, order_type="Limit", **fields),
    st.sampled_from(list(Category)),
    st.fixed_dictionaries(
        {"qty": numbers, "price": numbers},
        optional={
            "trigger_price": numbers,
            "take_profit": numbers,
            "stop_loss": numbers,
            "tp_limit_price": numbers,
            "sl_limit_price": numbers,
            "order_iv": numbers,
            "slippage_tolerance": numbers,
            "position_idx": st.integers(0, 2),
            "is_leverage": st.integers(0, 1),
            "mmp": st.booleans(),
            "time_in_force": st.sampled_from(["GTC", "IOC", "PostOnly"]),
            "client_order_id": st.just("mine-1"),
            "deadline_s": st.just(5),
            "priority": st.just(9),
            "settle_coin": st.just("USDT"),
            "on_step": st.just("round_down"),
        },
    ),
)
NUMERIC = {
    "qty",
    "price",
    "triggerPrice",
    "takeProfit",
    "stopLoss",
    "tpLimitPrice",
    "slLimitPrice",
    "orderIv",
    "slippageTolerance",
}
OURS = {"account", "clientOrderId", "deadlineS", "priority", "settleCoin", "onStep", "dueAt"}


def _refuse_float(text: str) -> Any:
    raise AssertionError(f"a float on the wire: {text}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=requests)
@example(wanted=request(qty=Decimal("1E-8"), price=Decimal("1E+5")))
def test_place_numbers_on_the_wire_are_plain_and_exact(
    server: VenueServer, desk: Desk, wanted: OrderRequest
) -> None:
    """For every order: amounts are strings of digits equal to what was asked, and no field of ours is sent."""
    server.requests.clear()
    server.script = acknowledge
    assert isinstance(place(desk, wanted).outcome, Acknowledged)
    sent = json.loads(server.requests[0].body, parse_float=_refuse_float)
    for name in NUMERIC & set(sent):
        assert re.fullmatch(r"[0-9]+(\.[0-9]+)?", sent[name]), (name, sent[name])
    assert (wanted.qty, wanted.price) == (Decimal(sent["qty"]), Decimal(sent["price"]))
    assert set() == OURS & set(sent)
    assert sent["orderLinkId"] == LINK_ID
    assert None not in sent.values()
    assert server.requests[0].is_signed_with(KEY, SECRET)


@pytest.mark.parametrize("value", ["0.00000001", "123456789012345678901234567890", "5", "0.10"])
def test_amend_numbers_on_the_wire_are_as_given(server: VenueServer, desk: Desk, value: str) -> None:
    """An amendment carries its values as they were written."""
    order = live_order()
    desk.gateway.amend(
        order, {"qty": value, "take_profit": value}, sign_before=order.created_at.replace(year=2100)
    )
    assert (value, value) == (server.requests[0].json["qty"], server.requests[0].json["takeProfit"])
