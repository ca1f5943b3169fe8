"""What the exchange remembers, and for how long."""

from __future__ import annotations

import time

import pytest
from exchange_driver import Exchange, Signer

DAY_MS = 86_400_000


def shift(exchange: Exchange, client: Signer, offset_ms: int) -> None:
    """Move the exchange's clock and the client's with it."""
    exchange.control("clock", offset_ms=offset_ms)
    client.offset_ms = offset_ms


def history(client: Signer, **filters: object) -> list[str]:
    """Return the link ids that the history shows."""
    answer = client.get("/v5/order/history", category="linear", **filters).json()
    assert answer["retCode"] == 0, answer
    return [order["orderLinkId"] for order in answer["result"]["list"]]


def cancel(client: Signer, link_id: str) -> None:
    """Cancel an order that must be open."""
    answer = client.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderLinkId=link_id).json()
    assert answer["retCode"] == 0, answer


def test_history_forgets_unfilled_cancels_after_a_day(exchange: Exchange, client: Signer):
    """A cancelled order without fills is gone after 24 hours, a filled one stays; the truth keeps both."""
    client.create(orderLinkId="cancelled")
    cancel(client, "cancelled")
    client.create(orderLinkId="filled", orderType="Market")
    shift(exchange, client, DAY_MS - 60_000)
    assert history(client) == ["filled", "cancelled"]
    shift(exchange, client, DAY_MS + 60_000)
    assert history(client) == ["filled"]
    assert history(client, orderLinkId="cancelled") == []
    assert len(exchange.orders(uid=1001)) == 2


def test_history_shows_seven_days_by_default(exchange: Exchange, client: Signer):
    """Older fills need a time span, and a span may not exceed seven days."""
    now_ms = int(time.time() * 1000)
    client.create(orderLinkId="old", orderType="Market")
    shift(exchange, client, 8 * DAY_MS)
    assert history(client) == []
    assert history(client, startTime=now_ms - DAY_MS, endTime=now_ms + DAY_MS) == ["old"]
    assert history(client, orderLinkId="old") == ["old"]
    answer = client.get(
        "/v5/order/history", category="linear", startTime=now_ms, endTime=now_ms + 8 * DAY_MS
    ).json()
    assert answer["retCode"] == 10001


def test_history_refuses_open_statuses(client: Signer):
    """Only final statuses can be asked for (181017)."""
    answer = client.get("/v5/order/history", category="linear", orderStatus="New").json()
    assert answer["retCode"] == 181017


def test_history_never_shows_open_or_refused_orders(exchange: Exchange, client: Signer):
    """Open orders are in realtime, orders refused in the ack are nowhere."""
    client.create(orderLinkId="open")
    assert client.create(orderLinkId="refused", qty="0.0001")["retCode"] == 10001
    assert history(client) == []
    assert [order["orderLinkId"] for order in exchange.orders()] == ["open"]


def test_link_id_is_taken_for_ever_but_not_by_a_refused_create(exchange: Exchange, client: Signer):
    """Cancelled orders keep their link id, over categories and days; a refused create never had it."""
    assert client.create(orderLinkId="once", qty="0.0001")["retCode"] == 10001
    assert client.create(orderLinkId="once")["retCode"] == 0
    cancel(client, "once")
    shift(exchange, client, 400 * DAY_MS)
    assert client.create(orderLinkId="once")["retCode"] == 110072
    assert client.create(orderLinkId="once", category="spot")["retCode"] == 170141
    assert client.create(orderLinkId="once", category="inverse", symbol="BTCUSD", qty="100")["retCode"] == 110072
    other = exchange.signer(1002)
    other.offset_ms = client.offset_ms
    assert other.create(orderLinkId="once")["retCode"] == 0


def test_realtime_finds_recent_closed_orders_by_id_until_a_restart(exchange: Exchange, client: Signer):
    """An id finds a closed order among the latest 500; a restart of the exchange empties that cache."""
    client.create(orderLinkId="done")
    cancel(client, "done")

    def seen() -> int:
        found = client.get("/v5/order/realtime", category="linear", symbol="BTCUSDT", orderLinkId="done").json()
        return len(found["result"]["list"])

    listed = client.get("/v5/order/realtime", category="linear", symbol="BTCUSDT", openOnly=1).json()["result"][
        "list"
    ]
    assert [order["orderLinkId"] for order in listed] == ["done"]
    assert seen() == 1
    exchange.control("restart")
    assert seen() == 0
    assert history(client) == ["done"]


def test_realtime_remembers_five_hundred_closed_orders(exchange: Exchange, client: Signer):
    """The 501st closed order pushes the first one out of the cache, not out of the history."""
    exchange.control("limits", endpoint="/v5/order/create-batch", limit=10_000)
    for batch in range(26):
        items = [
            {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "price": "59000", "qty": "0.01",
             "timeInForce": "IOC", "orderLinkId": f"c-{batch * 20 + n}"}
            for n in range(20)
        ]  # fmt: skip
        assert client.post("/v5/order/create-batch", category="linear", request=items).json()["retCode"] == 0

    def in_cache(link_id: str) -> bool:
        found = client.get("/v5/order/realtime", category="linear", symbol="BTCUSDT", orderLinkId=link_id).json()
        return bool(found["result"]["list"])

    assert [in_cache(link) for link in ("c-0", "c-19", "c-20", "c-519")] == [False, False, True, True]
    assert history(client, orderLinkId="c-0") == ["c-0"]


@pytest.mark.parametrize("limit", ["0", "51", "abc", "-1"])
def test_history_page_limits_are_checked(client: Signer, limit: str):
    """Order pages hold 1 to 50."""
    assert client.get("/v5/order/history", category="linear", limit=limit).json()["retCode"] == 10001
