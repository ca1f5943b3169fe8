"""pybit's and ccxt.pro's own WebSocket classes work against the simulator, pointed at it and else unchanged."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ccxt.pro
import pybit._websocket_trading
import pybit.unified_trading
import pytest
from exchange_driver import RESTING, Exchange, Json, Signer, eventually
from pybit.unified_trading import WebSocket, WebSocketTrading

Heard = queue.Queue[Json]
QUICK = {"ping_interval": 2, "ping_timeout": 1}


@pytest.fixture
def pointed(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> str:
    """Point pybit's addresses at the simulator, and give the simulator's."""
    url = exchange.url.replace("http", "ws")
    monkeypatch.setattr(pybit.unified_trading, "PRIVATE_WSS", f"{url}/v5/private")
    monkeypatch.setattr(pybit.unified_trading, "PUBLIC_WSS", f"{url}/v5/public/{{CHANNEL_TYPE}}")
    monkeypatch.setattr(pybit._websocket_trading, "TRADE_WSS", f"{url}/v5/trade")
    return url


@contextmanager
def private(name: object = 1001) -> Iterator[WebSocket]:
    """Open pybit's private WebSocket."""
    keys = {"api_key": f"sim-key-{name}", "api_secret": f"sim-secret-{name}"}
    socket = WebSocket("private", testnet=False, private_auth_expire=10, **keys, **QUICK)
    try:
        yield socket
    finally:
        socket.exit()


def topics_of(exchange: Exchange) -> set[str]:
    """Return what UID 1001 is subscribed to."""
    return set(exchange.stats()["streams"]["uids"].get("1001", {}).get("topics", {}))


def test_pybit_private_socket_hears_orders_executions_positions_and_wallet(
    exchange: Exchange, client: Signer, pointed: str
):
    """The four streams call back with the rows of a fill; pybit's pings find their pongs."""
    heard: dict[str, Heard] = {name: queue.Queue() for name in ("order", "execution", "position", "wallet")}
    with private() as socket:
        for name, received in heard.items():
            getattr(socket, f"{name}_stream")(received.put)
        eventually(lambda: topics_of(exchange) == set(heard), 60)
        client.create(orderLinkId="p", price="61000")
        rows = {name: received.get(timeout=60)["data"][0] for name, received in heard.items()}
        assert socket.is_connected()
    assert ("Filled", "p") == (rows["order"]["orderStatus"], rows["execution"]["orderLinkId"])
    assert "0.01" == rows["position"]["size"]
    assert "USDT" == rows["wallet"]["coin"][0]["coin"]


def test_pybit_private_socket_subscribes_anew_after_a_close(exchange: Exchange, client: Signer, pointed: str):
    """A dropped connection comes back by itself and hears what follows."""
    heard: Heard = queue.Queue()
    with private() as socket:
        socket.order_stream(heard.put)
        eventually(lambda: topics_of(exchange) == {"order"}, 60)
        exchange.control("stream", action="close", uid=1001)
        eventually(lambda: exchange.stats()["streams"]["ips"]["127.0.0.1"]["opened"] == 2, 60)
        eventually(lambda: topics_of(exchange) == {"order"}, 60)
        client.create(orderLinkId="again")
        assert "again" == heard.get(timeout=60)["data"][0]["orderLinkId"]


@pytest.mark.parametrize(
    ("category", "symbol"), [("linear", "BTCUSDT"), ("spot", "BTCUSDT"), ("inverse", "BTCUSD")]
)
def test_pybit_public_socket_hears_books_tickers_and_trades(
    exchange: Exchange, pointed: str, category: str, symbol: str
):
    """pybit keeps its book and ticker from snapshot and deltas."""
    books: Heard = queue.Queue()
    tickers: Heard = queue.Queue()
    socket = WebSocket(category, testnet=False, **QUICK)
    try:
        socket.orderbook_stream(50, symbol, books.put)
        socket.ticker_stream(symbol, tickers.put)
        assert "60000" == tickers.get(timeout=60)["data"]["lastPrice"]
        assert 50 == len(books.get(timeout=60)["data"]["b"])
        exchange.control("market", symbol=symbol, category=category, price="60010")
        assert "60010" == tickers.get(timeout=60)["data"]["lastPrice"]
        book = books.get(timeout=60)["data"]
        assert 60010 == max(float(price) for price, _size in book["b"])
        assert (50, 50) == (len(book["b"]), len(book["a"]))
    finally:
        socket.exit()


def test_pybit_trading_socket_places_amends_and_cancels(exchange: Exchange, pointed: str):
    """Acknowledgements reach the callback, refusals the error callback."""
    accepted: Heard = queue.Queue()
    refused: Heard = queue.Queue()
    keys = {"api_key": "sim-key-1001", "api_secret": "sim-secret-1001"}
    socket = WebSocketTrading(testnet=False, recv_window=5000, private_auth_expire=10, **keys, **QUICK)
    try:
        socket.place_order(accepted.put, refused.put, **RESTING, orderLinkId="t")
        assert "t" == accepted.get(timeout=60)["data"]["orderLinkId"]
        named = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "t"}
        socket.amend_order(accepted.put, refused.put, qty="0.03", **named)
        assert 0 == accepted.get(timeout=60)["retCode"]
        socket.cancel_order(accepted.put, refused.put, **named)
        assert 0 == accepted.get(timeout=60)["retCode"]
        socket.place_order(accepted.put, refused.put, **RESTING, orderLinkId="t")
        assert 110072 == refused.get(timeout=60)["retCode"]
    finally:
        socket.exit()
    assert [("t", "Cancelled", "0.03")] == [
        (item["orderLinkId"], item["orderStatus"], item["qty"]) for item in exchange.orders()
    ]


def in_ccxt(exchange: Exchange, scene: Callable[[ccxt.pro.bybit], Awaitable[Any]]) -> Any:
    """Run a scene with ccxt.pro's own class, its addresses set to the simulator's."""

    async def run() -> Any:
        client = ccxt.pro.bybit({"apiKey": "sim-key-1001", "secret": "sim-secret-1001", "enableRateLimit": False})
        api = client.urls["api"]
        sockets = _pointed(api["ws"], exchange.url.replace("http", "ws"))
        client.urls["api"] = {**dict.fromkeys(api, exchange.url), "ws": sockets}
        try:
            return await asyncio.wait_for(scene(client), 120)
        finally:
            await client.close()

    return asyncio.run(run())


def _pointed(urls: Any, base: str) -> Any:
    """Return ccxt's table of addresses with another host."""
    if isinstance(urls, dict):
        return {name: _pointed(item, base) for name, item in urls.items()}
    return base + urls[urls.index("/", len("wss://")) :]


def test_ccxt_watches_orders(exchange: Exchange, client: Signer):
    """`watchOrders` yields the order that was placed elsewhere."""

    async def scene(ccxt_client: ccxt.pro.bybit) -> Any:
        await ccxt_client.load_markets()
        watching = asyncio.ensure_future(ccxt_client.watch_orders("BTC/USDT:USDT"))
        await asyncio.to_thread(eventually, lambda: topics_of(exchange), 60)
        await asyncio.to_thread(client.create, orderLinkId="w")
        return await watching

    orders = in_ccxt(exchange, scene)
    assert [("w", "open", 0.01)] == [(item["clientOrderId"], item["status"], item["amount"]) for item in orders]


def test_ccxt_watches_its_trades(exchange: Exchange, client: Signer):
    """`watchMyTrades` yields the fill, with its fee."""

    async def scene(ccxt_client: ccxt.pro.bybit) -> Any:
        await ccxt_client.load_markets()
        watching = asyncio.ensure_future(ccxt_client.watch_my_trades("BTC/USDT:USDT"))
        await asyncio.to_thread(eventually, lambda: topics_of(exchange), 60)
        await asyncio.to_thread(client.create, orderLinkId="w", price="61000")
        return await watching

    trades = in_ccxt(exchange, scene)
    fill = exchange.orders(orderLinkId="w")[0]["executions"][0]
    assert [(fill["execId"], float(fill["execPrice"]), float(fill["execFee"]))] == [
        (item["id"], item["price"], item["fee"]["cost"]) for item in trades
    ]


def test_ccxt_creates_an_order_by_socket(exchange: Exchange):
    """`createOrderWs` places an order over `/v5/trade`."""

    async def scene(ccxt_client: ccxt.pro.bybit) -> Any:
        await ccxt_client.load_markets()
        return await ccxt_client.create_order_ws("BTC/USDT:USDT", "limit", "buy", 0.01, 59000)

    placed = in_ccxt(exchange, scene)
    assert [placed["id"]] == [item["orderId"] for item in exchange.orders()]
