"""Order entry: the trade WebSocket against HTTP, through the same gateway, on the same exchange, in turns.

One order at a time shows what a way costs. Many at a time over a network of 5 ms each way show what one connection
carries: HTTP has one request in flight on each, the socket as many as there are threads.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr

from benchmarks.figures import Figure, compare, percentile
from benchmarks.servers import Simulator, simulator
from sluicegate.bybit.answers import AnswerReader
from sluicegate.bybit.clock import OffsetClock, SystemClock
from sluicegate.bybit.gateway import Gateway
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.bybit.session import SessionPool, build_session
from sluicegate.bybit.trade_socket import TradeSocket, trade_url
from sluicegate.config import Credentials, Environment, ExchangeSettings
from sluicegate.domain.orders import OrderLinkId, OrderRequest
from sluicegate.domain.outcomes import Acknowledged
from sluicegate.telemetry.metrics import Metrics

THREADS = 16
NETWORK_MS = 5
PEER = "HTTP"
_KEY, _SECRET = "sim-key-1001", "sim-secret-1001"
ORDER = OrderRequest(
    account="a1",
    category="linear",
    symbol="BTCUSDT",
    side="Buy",
    order_type="Limit",
    qty=Decimal("0.001"),
    price=Decimal(50000),
    time_in_force="IOC",
)
"""It fills nothing and rests nowhere."""


def measure(full: bool) -> list[Figure]:  # noqa: FBT001 - one signature for all benchmarks
    """Measure the time from a call of the gateway to its answer, then orders a second."""
    rounds, orders = (10 if full else 5), 300
    waits: dict[str, list[list[float]]] = {"http": [], "socket": []}
    rates: dict[str, list[float]] = {"http": [], "socket": [], "http, many": []}
    with simulator() as exchange:
        exchange.control("limits", uid=1001, endpoint="/v5/order/create", limit=100_000)
        socket = _socket(exchange)
        ways = {"http": _gateway(exchange, None), "socket": _gateway(exchange, socket)}
        for gateway in ways.values():
            _time_s(gateway)  # connected
        for _round in range(rounds):
            for name, gateway in ways.items():
                waits[name].append([_time_s(gateway) * 1000 for _order in range(orders)])
        exchange.control("network", delay_ms=NETWORK_MS)
        for _round in range(rounds):
            rates["http"].append(_per_second(ways["http"], 1, orders // 3))
            rates["http, many"].append(_per_second(ways["http"], THREADS, orders * 3))
            rates["socket"].append(_per_second(ways["socket"], THREADS, orders * 3))
        socket.close()
    figures = [
        compare(
            f"order by WebSocket, from call to answer, p{round(share * 100)}",
            "ms",
            [percentile(run, share) for run in waits["socket"]],
            PEER,
            [percentile(run, share) for run in waits["http"]],
        )
        for share in (0.5, 0.99)
    ]
    for peer, name in ((f"{PEER}, one connection", "http"), (f"{PEER}, {THREADS} connections", "http, many")):
        what = f"orders over one WebSocket, {THREADS} threads, network of {NETWORK_MS} ms each way"
        figures.append(compare(what, "orders/s", rates["socket"], peer, rates[name], digits=0))
    return figures


_clock = OffsetClock(SystemClock())
_settings = ExchangeSettings()


def _socket(exchange: Simulator) -> TradeSocket:
    url = trade_url(Environment.SIMULATOR, exchange.url) or ""
    credentials = Credentials(api_key=SecretStr(_KEY), api_secret=SecretStr(_SECRET))
    return TradeSocket("a1", url, credentials, _clock, _settings)


def _gateway(exchange: Simulator, socket: TradeSocket | None) -> Gateway:
    sessions = SessionPool(
        lambda: build_session(
            Environment.SIMULATOR, _settings, _clock, api_key=_KEY, api_secret=_SECRET, address=exchange.url
        )
    )
    return Gateway("a1", sessions, AnswerReader(RetCodeTable.load()), _clock, _settings, Metrics(), socket)


def _time_s(gateway: Gateway) -> float:
    started = time.perf_counter()
    link_id = OrderLinkId(f"sg-{time.monotonic_ns()}")
    answer = gateway.place(ORDER, link_id, sign_before=datetime.now(UTC) + timedelta(seconds=10))
    if not isinstance(answer.outcome, Acknowledged):
        raise RuntimeError(f"the order was not acknowledged: {answer.outcome}")
    return time.perf_counter() - started


def _per_second(gateway: Gateway, threads: int, orders: int) -> float:
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _number: _time_s(gateway), range(threads * 4)))  # each thread has its connection
        started = time.perf_counter()
        list(pool.map(lambda _number: _time_s(gateway), range(orders)))
        return orders / (time.perf_counter() - started)
