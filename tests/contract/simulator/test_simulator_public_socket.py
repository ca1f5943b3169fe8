"""`/v5/public/*`: tickers, order books and trades as Bybit sends them."""

from __future__ import annotations

import pytest
from exchange_driver import Exchange, Json, Signer
from socket_driver import Socket, socket_to

OPTION = "BTC-26MAR27-60000-C-USDT"


def subscribed(socket: Socket, topic: str) -> None:
    """Subscribe to a topic, which must succeed."""
    assert socket.ask(op="subscribe", args=[topic])["success"] is True


def applied(book: dict[str, str], changes: list[list[str]]) -> dict[str, str]:
    """Return a side of a book after a delta."""
    after = {**book, **dict(changes)}
    return {price: size for price, size in after.items() if size != "0"}


@pytest.mark.parametrize("depth", [50, 200, 1000])
def test_orderbook_deltas_lead_to_the_next_snapshot(exchange: Exchange, depth: int):
    """Snapshot plus deltas equals what a fresh subscriber gets."""
    topic = f"orderbook.{depth}.BTCUSDT"
    with socket_to(exchange, "/v5/public/linear") as socket, socket_to(exchange, "/v5/public/linear") as fresh:
        subscribed(socket, topic)
        snapshot = socket.hear()
        bids, asks = dict(snapshot["data"]["b"]), dict(snapshot["data"]["a"])
        exchange.control("market", symbol="BTCUSDT", category="linear", price="60000.3")
        exchange.control("market", symbol="BTCUSDT", category="linear", depth="7", price="59999")
        deltas = [socket.hear() for _ in range(3)]
        subscribed(fresh, topic)
        after = fresh.hear()["data"]
    assert ["snapshot", "delta", "delta", "delta"] == [item["type"] for item in [snapshot, *deltas]]
    updates = [item["data"]["u"] for item in [snapshot, *deltas]]
    assert updates == sorted(set(updates))
    assert depth == len(bids)
    for delta in deltas:
        bids, asks = applied(bids, delta["data"]["b"]), applied(asks, delta["data"]["a"])
    assert (dict(after["b"]), dict(after["a"])) == (bids, asks)


def test_orderbook_of_depth_one_repeats_its_snapshot(exchange: Exchange):
    """Level 1 knows snapshots only: one for each change, and one more after three quiet seconds."""
    with socket_to(exchange, "/v5/public/linear") as socket:
        subscribed(socket, "orderbook.1.BTCUSDT")
        exchange.control("market", symbol="BTCUSDT", category="linear", price="60001")
        messages = [socket.hear() for _ in range(3)]
    assert ["snapshot"] * 3 == [message["type"] for message in messages]
    assert ["60000", "60001", "60001"] == [message["data"]["b"][0][0] for message in messages]


def test_linear_ticker_sends_what_changed(exchange: Exchange):
    """A snapshot, then deltas with the symbol and the changed fields."""
    with socket_to(exchange, "/v5/public/linear") as socket:
        subscribed(socket, "tickers.BTCUSDT")
        snapshot = socket.hear()
        exchange.control("market", symbol="BTCUSDT", category="linear", price="60001")
        delta = socket.hear()
    assert ("snapshot", "60000") == (snapshot["type"], snapshot["data"]["lastPrice"])
    assert ("delta", "BTCUSDT", "60001") == (delta["type"], delta["data"]["symbol"], delta["data"]["lastPrice"])
    assert "volume24h" not in delta["data"]


@pytest.mark.parametrize(("category", "symbol"), [("spot", "BTCUSDT"), ("option", OPTION)])
def test_spot_and_option_tickers_send_snapshots_only(exchange: Exchange, category: str, symbol: str):
    """Every push of these tickers is complete, and carries the names of its category."""
    with socket_to(exchange, f"/v5/public/{category}") as socket:
        subscribed(socket, f"tickers.{symbol}")
        first = socket.hear()
        price = "60001" if category == "spot" else "2005"
        exchange.control("market", symbol=symbol, category=category, price=price)
        second = socket.hear()
    assert ["snapshot", "snapshot"] == [first["type"], second["type"]]
    assert set(first["data"]) == set(second["data"])
    assert price == second["data"]["lastPrice"]
    assert ("bidPrice" in first["data"]) == (category == "option")
    assert "bid1Price" not in first["data"]


def test_public_trades_show_the_side_of_the_taker(exchange: Exchange, client: Signer):
    """A buy that takes is a Buy; one that rested and was hit is a Sell."""
    with socket_to(exchange, "/v5/public/linear") as socket:
        subscribed(socket, "publicTrade.BTCUSDT")
        client.create(price="61000")
        taken = socket.hear()["data"][0]
        client.create(qty="0.02")
        exchange.control("market", symbol="BTCUSDT", category="linear", price="59000")
        hit = socket.hear()["data"][0]
    assert ("Buy", "60000.1", "0.01") == (taken["S"], taken["p"], taken["v"])
    assert ("Sell", "59000", "0.02") == (hit["S"], hit["p"], hit["v"])


@pytest.mark.parametrize(
    ("category", "message", "answer"),
    [
        ("linear", {"op": "ping"}, {"success": True, "ret_msg": "pong", "op": "ping"}),
        ("option", {"op": "ping"}, {"op": "pong"}),
        ("spot", {"op": "subscribe", "args": ["tickers.BTCUSDT"]}, {"success": True, "ret_msg": "subscribe"}),
        ("inverse", {"op": "subscribe", "args": ["tickers.BTCUSD"]}, {"success": True, "ret_msg": ""}),
        (
            "option",
            {"op": "subscribe", "args": [f"tickers.{OPTION}", "tickers.NOPE"]},
            {
                "type": "COMMAND_RESP",
                "data": {"failTopics": ["tickers.NOPE"], "successTopics": [f"tickers.{OPTION}"]},
            },
        ),
        (
            "linear",
            {"op": "subscribe", "args": ["orderbook.3.BTCUSDT"]},
            {"success": False, "ret_msg": "error:handler not found,topic:orderbook.3.BTCUSDT"},
        ),
        ("spot", {"op": "subscribe", "args": ["tickers.BTCUSDT"] * 11}, {"success": False}),
        ("linear", {"op": "explode"}, {"success": False, "ret_msg": "error:invalid op"}),
    ],
)
def test_replies_have_the_form_of_their_category(exchange: Exchange, category: str, message: Json, answer: Json):
    """Each kind of public socket answers pings and subscriptions in its own way."""
    with socket_to(exchange, f"/v5/public/{category}") as socket:
        heard = socket.ask(**message)
    assert answer == {name: heard.get(name) for name in answer}


def test_unsubscribed_topic_is_quiet(exchange: Exchange):
    """After unsubscribe a move of the market is not told."""
    with socket_to(exchange, "/v5/public/spot") as socket:
        subscribed(socket, "tickers.BTCUSDT")
        assert "snapshot" == socket.hear()["type"]
        assert socket.ask(op="unsubscribe", args=["tickers.BTCUSDT"])["success"] is True
        exchange.control("market", symbol="BTCUSDT", category="spot", price="60001")
        assert "pong" == socket.ask(op="ping")["ret_msg"]
