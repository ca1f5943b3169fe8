"""Whatever arrives, the exchange answers with an envelope and stays consistent."""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.config import Config
from simulator.exchange import Exchange
from simulator.gateway import Gateway
from simulator.keys import Signer
from simulator.routes import SIGNED
from simulator.wire import Request

SYMBOLS = ("BTCUSDT", "BTCUSD", "BTCPERP", "XRPUSDT", "BTC-26MAR27-60000-C-USDT", "BTCUSDT-26MAR27")
numbers = st.sampled_from(
    ["0", "0.001", "0.01", "5", "100", "59000", "60000.1", "61000", "9" * 15, "1e5", "-1", "", "0.0000001"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
orders = st.fixed_dictionaries(
    {},
    optional={
        "category": st.sampled_from(["linear", "inverse", "spot", "option"]) | anything,
        "symbol": st.sampled_from(SYMBOLS) | anything,
        "side": st.sampled_from(["Buy", "Sell"]) | anything,
        "orderType": st.sampled_from(["Market", "Limit"]) | anything,
        "qty": numbers | anything,
        "price": numbers | anything,
        "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "PostOnly"]) | anything,
        "orderLinkId": st.text("abc", max_size=3) | anything,
        "positionIdx": st.integers(0, 2) | anything,
        "reduceOnly": st.booleans() | anything,
        "closeOnTrigger": st.booleans() | anything,
        "triggerPrice": numbers | anything,
        "triggerDirection": st.integers(0, 3) | anything,
        "orderFilter": st.sampled_from(["Order", "StopOrder", "tpslOrder"]) | anything,
        "marketUnit": st.sampled_from(["baseCoin", "quoteCoin"]) | anything,
        "takeProfit": numbers | anything,
        "stopLoss": numbers | anything,
        "tpslMode": st.sampled_from(["Full", "Partial"]) | anything,
        "tpSize": numbers | anything,
        "buyLeverage": numbers | anything,
        "sellLeverage": numbers | anything,
        "mode": st.sampled_from([0, 3]) | anything,
        "coin": st.sampled_from(["USDT", "USDC"]) | anything,
        "limit": st.sampled_from(["1", "50", "x"]) | anything,
        "cursor": st.sampled_from(["page_token%3D3", "first%3D2", "x"]) | anything,
        "startTime": numbers | anything,
        "accountType": st.sampled_from(["UNIFIED"]) | anything,
    },
)
bodies = orders | st.fixed_dictionaries({
    "category": st.sampled_from(["linear", "spot", "option"]),
    "request": st.lists(orders | anything, max_size=4) | anything,
})  # fmt: skip
likely_orders = st.fixed_dictionaries({
    "category": st.sampled_from(["linear", "spot"]),
    "symbol": st.sampled_from(["BTCUSDT", "ETHUSDT"]),
    "side": st.sampled_from(["Buy", "Sell"]),
    "orderType": st.sampled_from(["Market", "Limit"]),
    "qty": st.sampled_from(["0.01", "0.5", "1", "20"]),
    "price": st.sampled_from(["2950", "3000.01", "3050", "59000", "60000.1", "61000"]),
    "timeInForce": st.sampled_from(["GTC", "IOC", "FOK", "PostOnly"]),
    "reduceOnly": st.booleans(),
})  # fmt: skip


class Bench:
    """An exchange without a network; matching happens when the test says so."""

    def __init__(self) -> None:
        self.steps: deque[Callable[[], None]] = deque()
        self.exchange = Exchange(Config(), self.steps.append)
        self.gateway = Gateway(self.exchange)
        for path in SIGNED:
            self.exchange.uid_limits.override(None, path, None, 10**9)

    def send(self, path: str, params: Any) -> dict[str, Any]:
        """Send a signed request and return the answer's envelope."""
        method = SIGNED[path].method
        stamp = str(int(time.time() * 1000))
        body = json.dumps(params).encode() if method == "POST" else b""
        query = b""
        if method == "GET" and isinstance(params, dict):
            query = "&".join(f"{name}={value}" for name, value in params.items()).encode()
        signature = Signer(b"sim-secret-1001").sign(f"{stamp}sim-key-10015000".encode() + (body or query))
        headers = {
            b"x-bapi-api-key": b"sim-key-1001",
            b"x-bapi-timestamp": stamp.encode(),
            b"x-bapi-recv-window": b"5000",
            b"x-bapi-sign": signature.encode(),
        }
        request = Request(method, path, query, headers, body, "127.0.0.1", time.monotonic_ns())
        answer = json.loads(self.gateway.answer(request, self.gateway.arrived(request), ()).body)
        while self.steps:
            self.steps.popleft()()
        return answer


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(sorted(SIGNED)), bodies | anything), max_size=5))
def test_exchange_answers_anything_with_an_envelope(calls):
    """No parameter of any type, in any endpoint, makes the exchange fail."""
    bench = Bench()
    for path, params in calls:
        answer = bench.send(path, params)
        assert set(answer) == {"retCode", "retMsg", "result", "retExtInfo", "time"}


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(likely_orders, max_size=25),
    st.lists(st.sampled_from(["58000", "59500", "60500", "62000"]), max_size=4),
)
def test_exchange_books_always_balance(placed, prices):
    """After any orders and moves: holdings equal what open orders hold, positions equal their fills."""
    bench = Bench()
    exchange = bench.exchange
    account = exchange.accounts[1001]
    for number, params in enumerate(placed):
        bench.send("/v5/order/create", params)
        if prices and number % 5 == 4:
            for instrument in exchange.instruments.named("BTCUSDT"):
                exchange.market.move(instrument, Decimal(prices[number // 5 % len(prices)]))
                exchange.matching.market_moved(instrument)
    still_open = [order for orders in account.open.values() for order in orders.values()]
    assert all(order.is_open for order in still_open)
    futures = [order for order in still_open if order.category != "spot"]
    assert account.order_margin == sum((order.held for order in futures), Decimal(0))
    locked = sum((wallet.locked for wallet in account.wallets.values()), Decimal(0))
    assert locked == sum((order.held for order in still_open if order.category == "spot"), Decimal(0))
    assert all(wallet.free >= 0 for wallet in account.wallets.values())
    for position in account.positions.values():
        fills = [fill for fill in account.executions["linear"] if fill.order.instrument is position.instrument]
        assert position.net == sum((fill.qty if fill.order.is_buy else -fill.qty for fill in fills), Decimal(0))
