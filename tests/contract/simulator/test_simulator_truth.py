"""The paths under /simulator/ tell the truth and refuse what they cannot understand."""

from __future__ import annotations

import time

import pytest
import requests
from exchange_driver import Exchange, Signer


def test_truth_lists_every_order_with_its_executions(exchange: Exchange, client: Signer):
    """All accounts, oldest first, filtered on request."""
    client.create(orderLinkId="a")
    exchange.signer(1002).create(orderLinkId="b", symbol="ETHUSDT", price="3100")
    orders = exchange.orders()
    assert [(order["uid"], order["orderLinkId"], len(order["executions"])) for order in orders] == [
        (1001, "a", 0),
        (1002, "b", 1),
    ]
    assert [order["orderLinkId"] for order in exchange.orders(uid=1002)] == ["b"]
    assert [order["orderLinkId"] for order in exchange.orders(symbol="BTCUSDT")] == ["a"]
    assert [order["uid"] for order in exchange.orders(orderLinkId="b")] == [1002]
    assert [order["number"] for order in exchange.orders(limit=1)] == [1]
    assert [order["number"] for order in exchange.orders(after=1, limit=5)] == [2]


def test_truth_reset_starts_afresh(exchange: Exchange, client: Signer):
    """Orders, limits, faults, clock and prices are gone."""
    client.create()
    exchange.control("market", symbol="BTCUSDT", price="50000")
    exchange.control("clock", offset_ms=5000)
    exchange.fault("delay", args={"seconds": 1})
    exchange.control("reset")
    assert (exchange.orders(), exchange.stats()["uids"]) == ([], {})
    assert exchange.control("faults", "GET")["list"] == []
    health = exchange.control("health", "GET")
    assert (health["status"], health["orders"]) == ("ok", 0)
    assert abs(health["time_ms"] - time.time() * 1000) < 2000


def test_truth_network_delays_each_way(exchange: Exchange, client: Signer):
    """A one-way delay is paid twice, and the request arrives one way later."""
    exchange.control("network", delay_ms=60, jitter_ms=0, seed=7)
    started = time.monotonic()
    assert client.create()["retCode"] == 0
    assert time.monotonic() - started >= 0.12
    exchange.control("network", delay_ms=0, jitter_ms=2, seed=7)
    assert client.create()["retCode"] == 0


def test_truth_calls_are_not_counted_against_the_ip(exchange: Exchange):
    """The IP limit sees the exchange's own paths only."""
    exchange.control("limits", ip_limit=5)
    for _ in range(10):
        exchange.control("health", "GET")
    assert requests.get(exchange.url + "/v5/market/time", timeout=5).status_code == 200
    assert exchange.stats()["ips"]["127.0.0.1"]["requests"] == 1


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("clock", {"offset_ms": "later"}, "offset_ms must be a number"),
        ("clock", {}, "offset_ms must be a number"),
        ("clock", {"offset": 1}, "unknown fields"),
        ("network", {"delay_ms": -1}, "at least 0"),
        ("matching", {"delay_ms": True}, "delay_ms must be a number"),
        ("market", {"symbol": "NOPE", "price": "1"}, "instruments-info"),
        ("market", {"symbol": "BTCUSDT"}, "give a price"),
        ("market", {"symbol": "BTCUSDT", "price": "1.23"}, "tick size"),
        ("market", {"symbol": "BTCUSDT", "price": "-5"}, "above zero"),
        ("market", {"symbol": "BTCUSDT", "price": "dear"}, "must be a number"),
        ("market", {"symbol": "BTCUSDT", "category": "moon", "price": "1"}, "category must be"),
        ("limits", {}, "give some of"),
        ("limits", {"endpoint": "/v5/nope", "limit": 1}, "endpoint must be one of"),
        ("limits", {"endpoint": "/v5/order/create"}, "limit is required"),
        ("limits", {"endpoint": "/v5/order/create", "limit": 1, "uid": 7}, "no account"),
        ("limits", {"endpoint": "/v5/order/create", "limit": 1, "category": "moon"}, "category must be"),
        ("limits", {"window": "sliding"}, "rolling or fixed"),
        ("limits", {"ip_limit": 0}, "at least 1"),
        ("limits", {"ip_window_s": 0}, "above 0"),
    ],
)
def test_truth_bad_input_is_refused_with_the_remedy(exchange: Exchange, path: str, body: dict, says: str):
    """HTTP 400 and an error that says what to send."""
    answer = requests.post(f"{exchange.url}/simulator/{path}", json=body, timeout=5)
    assert answer.status_code == 400
    assert says in answer.json()["error"]


@pytest.mark.parametrize("body", ["{", "[]", "7", '"x"', "[" * 100_000])
def test_truth_body_that_is_no_object_is_refused(exchange: Exchange, body: str):
    """Broken JSON is told apart from a server error."""
    answer = requests.post(f"{exchange.url}/simulator/clock", data=body, timeout=5)
    assert answer.status_code == 400


@pytest.mark.parametrize("query", ["uid=7", "uid=abc", "colour=blue", "limit=-1", "after=x"])
def test_truth_bad_filter_is_refused(exchange: Exchange, query: str):
    """Unknown accounts and filters are errors, not empty lists."""
    assert requests.get(f"{exchange.url}/simulator/orders?{query}", timeout=5).status_code == 400


def test_truth_unknown_path_lists_what_there_is(exchange: Exchange):
    """404 names the paths."""
    answer = requests.post(f"{exchange.url}/simulator/streams", json={}, timeout=5)
    assert answer.status_code == 404
    assert "POST /simulator/faults" in answer.json()["error"]
