"""Commands over the trade WebSocket of a real simulator: HTTP's outcomes, and nothing sent that must not be."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from certificates import found_authority
from orders_desk import FAR, live_order, request
from pydantic import SecretStr
from venue_server import CODES, VenueServer, closed_port, http

from sluicegate.bybit import trade_line
from sluicegate.bybit.answers import AnswerReader
from sluicegate.bybit.clock import OffsetClock, SystemClock
from sluicegate.bybit.gateway import Gateway
from sluicegate.bybit.session import SessionPool, build_session
from sluicegate.bybit.trade_socket import TradeSocket, trade_url
from sluicegate.config import Credentials, Environment, ExchangeSettings
from sluicegate.domain.orders import Category, OrderId, OrderLinkId
from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent, Refused
from sluicegate.ports import Answer
from sluicegate.telemetry.metrics import Metrics
from tests.rig import wait_until

QUICK = ExchangeSettings(connect_timeout_s=10, read_timeout_s=3, lease_s=20)
REACH_MS = QUICK.recv_window_ms + QUICK.horizon_margin_ms
_numbers = itertools.count()


class Venue:
    """The simulator, and gateways that send to it by WebSocket.

    Args:
        url: of the simulator.
        held: closes what was opened.
    """

    def __init__(self, url: str, held: contextlib.ExitStack) -> None:
        self.url = url
        self._held = held

    def control(self, path: str, **content: Any) -> Any:
        """POST to `/simulator/PATH`."""
        answer = httpx.post(f"{self.url}/simulator/{path}", json=content, timeout=30)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def strike(self, fault: str, **args: Any) -> None:
        """Let a fault befall the next new order."""
        self.control("faults", match={"path": "/v5/order/create*"}, fault=fault, args=args, count=1)

    def orders(self) -> list[dict[str, Any]]:
        """Return the orders that are on the exchange."""
        return httpx.get(f"{self.url}/simulator/orders", timeout=30).json()["list"]

    def arrived(self, path: str) -> int:
        """Return how many requests of account 1001 arrived."""
        uids = httpx.get(f"{self.url}/simulator/stats", timeout=30).json()["uids"]
        return sum(counted["requests"] for name, counted in uids.get("1001", {}).items() if name.startswith(path))

    def gateway(self, *, key: str = "1001", forged: str = "", url: str | None = None) -> Gateway:
        """Return a gateway whose commands go by WebSocket."""
        clock, address = OffsetClock(SystemClock()), url or self.url
        names = {"api_key": f"sim-key-{key}", "api_secret": f"sim-secret-{key}{forged}"}
        sessions = SessionPool(
            lambda: build_session(Environment.SIMULATOR, QUICK, clock, address=address, **names)
        )
        credentials = Credentials(**{name: SecretStr(text) for name, text in names.items()})
        socket_url = trade_url(Environment.SIMULATOR, address)
        assert socket_url is not None
        socket = TradeSocket("main", socket_url, credentials, clock, QUICK)
        self._held.callback(socket.close)
        reader = AnswerReader(CODES, tuple(names.values()))
        return Gateway("main", sessions, reader, clock, QUICK, Metrics(), socket)


@pytest.fixture
def venue(simulator_url: str) -> Iterator[Venue]:
    """Give an empty exchange without a limit per IP."""
    with contextlib.ExitStack() as held:
        venue = Venue(simulator_url, held)
        venue.control("reset")
        venue.control("limits", ip_limit=None)
        yield venue
        venue.control("reset")


@pytest.fixture
def gateway(venue: Venue) -> Gateway:
    """Give a gateway of account 1001."""
    return venue.gateway()


def new_id() -> OrderLinkId:
    """Return a link id that no order has."""
    return OrderLinkId(f"sg-socket-{next(_numbers)}")


def place(gateway: Gateway, link_id: OrderLinkId | None = None, **fields: Any) -> Answer:
    """Place an order that rests."""
    wanted = request(**{"price": Decimal(59000), **fields})
    return gateway.place(wanted, link_id or new_id(), sign_before=datetime.now(UTC) + FAR)


def place_once_connected(gateway: Gateway, link_id: OrderLinkId | None = None) -> Answer:
    """Place an order, again while nothing could be sent because the pause before a reconnect runs."""

    def sent() -> Answer | None:
        answer = place(gateway, link_id)
        return None if isinstance(answer.outcome, NeverSent) else answer

    answer: Answer = wait_until(sent, "the socket is connected again")
    return answer


def test_order_amend_and_cancel_reach_the_exchange_by_socket(venue: Venue, gateway: Gateway) -> None:
    """All three are acknowledged with ids, time and limit, and the exchange shows what they did."""
    link_id, far = new_id(), datetime.now(UTC) + FAR
    made = place(gateway, link_id)
    order = replace(live_order(), order_id=OrderId(link_id.removeprefix("sg-")), link_id=link_id)
    amended = gateway.amend(order, {"qty": "0.02"}, sign_before=far)
    cancelled = gateway.cancel(order, sign_before=far)
    for answer in (made, amended, cancelled):
        assert isinstance(answer.outcome, Acknowledged), answer
        assert answer.outcome.headers.limit == 10
        assert answer.signed_at_ms is not None
        assert answer.left_at_s is not None
        assert abs((answer.outcome.exchange_time_ms or 0) - answer.signed_at_ms) < 60_000
    [there] = wait_until(
        lambda: [order for order in venue.orders() if order["orderStatus"] == "Cancelled"], "it is cancelled"
    )
    assert (there["orderLinkId"], there["qty"]) == (link_id, "0.02")
    sockets = httpx.get(f"{venue.url}/simulator/stats", timeout=30).json()["streams"]["connections"]
    assert sockets["trade"] == 1


def test_batch_is_read_item_by_item(venue: Venue, gateway: Gateway) -> None:
    """One good and one bad order: each has its own outcome."""
    good, bad = request(price=Decimal(59000)), request(price=Decimal(59000), qty=Decimal("0.0001"))
    first, second = gateway.place_many([(good, new_id()), (bad, new_id())], sign_before=datetime.now(UTC) + FAR)
    assert isinstance(first.outcome, Acknowledged)
    assert isinstance(second.outcome, Refused)
    assert second.outcome.code == "10001"
    assert len(venue.orders()) == 1


def test_rate_limit_is_refused_with_its_headers(venue: Venue, gateway: Gateway) -> None:
    """10006 asks to back off, and tells limit and reset."""
    place(gateway)  # connected
    venue.control("limits", uid=1001, endpoint="/v5/order/create", limit=1)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _number: place(gateway), range(8)))
    refused = [answer.outcome for answer in answers if isinstance(answer.outcome, Refused)]
    assert refused
    assert {("10006", Action.BACK_OFF, 1)} == {(item.code, item.action, item.headers.limit) for item in refused}
    assert all(item.headers.reset_at_ms for item in refused)


@pytest.mark.parametrize(("keys", "code"), [({"key": "mainnet"}, "10003"), ({"forged": "x"}, "10004")])
def test_refused_sign_in_halts_the_account(venue: Venue, keys: dict[str, str], code: str) -> None:
    """The code of the sign-in reaches whoever decides; no order left and no secret is told."""
    answer = place(venue.gateway(**keys))
    assert isinstance(answer.outcome, Refused)
    assert (code, Action.HALT_ACCOUNT) == (answer.outcome.code, answer.outcome.action)
    assert answer.signed_at_ms is None
    assert venue.orders() == []


@pytest.mark.parametrize("fault", ["drop_after", "bad_json"])
def test_no_usable_answer_is_in_doubt_until_it_is_found(venue: Venue, gateway: Gateway, fault: str) -> None:
    """The connection closes, or talks nonsense, once the order is made: in doubt with a horizon; HTTP finds it."""
    place(gateway)
    venue.strike(fault, **({"when": "after"} if fault == "bad_json" else {}))
    link_id = new_id()
    answer = place(gateway, link_id)
    assert isinstance(answer.outcome, InDoubt), answer
    code = "json_decode_error" if fault == "bad_json" else "net_reset_or_aborted"
    assert (code, (answer.signed_at_ms or 0) + REACH_MS) == (answer.outcome.code, answer.outcome.horizon_ms)
    assert gateway.find_open(Category.LINEAR, "BTCUSDT", link_id).sighting is not None
    assert isinstance(place_once_connected(gateway).outcome, Acknowledged)


def test_answer_that_comes_too_late_is_in_doubt(venue: Venue, gateway: Gateway) -> None:
    """After `read_timeout_s` nobody waits any longer."""
    place(gateway)
    venue.strike("delay", seconds=60)
    answer = place(gateway)
    assert isinstance(answer.outcome, InDoubt)
    assert answer.outcome.code == "net_read_timeout"
    assert len(venue.orders()) == 2


@pytest.mark.parametrize(
    ("code", "kind", "action"),
    [
        (10016, InDoubt, None),
        (10429, InDoubt, None),
        (20006, InDoubt, None),
        (110007, Refused, Action.DEAD_LETTER),
    ],
)
def test_code_has_the_meaning_of_the_socket(
    venue: Venue, gateway: Gateway, code: int, kind: type, action: Action | None
) -> None:
    """The table's rows for the trade socket decide, then those of HTTP."""
    venue.strike("ret_code", ret_code=code)
    outcome = place(gateway).outcome
    assert isinstance(outcome, kind), outcome
    assert (str(code), action) == (outcome.code, getattr(outcome, "action", None))


def test_restarting_exchange_gets_the_next_order_on_a_new_connection(venue: Venue, gateway: Gateway) -> None:
    """10019: this frame was not accepted; the connection takes no more."""
    venue.strike("ret_code", ret_code=10019)
    outcome = place(gateway).outcome
    assert isinstance(outcome, Refused)
    assert outcome.action is Action.RETRY_SOON
    assert isinstance(place_once_connected(gateway).outcome, Acknowledged)
    opened = httpx.get(f"{venue.url}/simulator/stats", timeout=30).json()["streams"]["ips"]["127.0.0.1"]["opened"]
    assert opened == 2


def test_order_on_a_connection_that_is_gone_was_never_sent(venue: Venue, gateway: Gateway) -> None:
    """Closed before, refused at the reconnect: nothing was written, and the exchange has no second order."""
    place(gateway)
    line = gateway._way._line  # type: ignore[union-attr]
    venue.control("stream", action="close", channel="trade", seconds=2)
    wait_until(lambda: not line.is_usable, "the end of the connection was noticed")
    answer = place(gateway)
    assert isinstance(answer.outcome, NeverSent), answer
    assert ("net_connect_fail", None) == (answer.outcome.code, answer.signed_at_ms)
    assert len(venue.orders()) == 1
    assert isinstance(place_once_connected(gateway).outcome, Acknowledged)


def test_order_towards_a_closed_port_was_never_sent(venue: Venue) -> None:
    """Nobody listens."""
    with closed_port() as port:
        answer = place(venue.gateway(url=f"http://127.0.0.1:{port}"))
    assert isinstance(answer.outcome, NeverSent)
    assert ("net_connect_fail", Action.RETRY_SOON) == (answer.outcome.code, answer.outcome.action)
    assert answer.outcome.is_unreached


def test_forbidden_handshake_halts_the_ip(venue: Venue, server: VenueServer) -> None:
    """HTTP 403 instead of a WebSocket is what HTTP 403 is to an order by HTTP."""
    server.script = lambda _request, _connection: http(b"access too frequent", status="403 Forbidden")
    answer = place(venue.gateway(url=server.url))
    assert isinstance(answer.outcome, Refused)
    assert ("http_403", Action.HALT_IP) == (answer.outcome.code, answer.outcome.action)


def test_unverified_server_gets_nothing_and_halts_the_account(venue: Venue, tmp_path: Path) -> None:
    """A certificate of an unknown authority: not even the sign-in is sent."""
    with VenueServer(tls=found_authority(tmp_path).server()) as server:
        answer = place(venue.gateway(url=server.url))
        assert server.requests == []
    assert isinstance(answer.outcome, NeverSent)
    assert ("tls_verify_failed", Action.HALT_ACCOUNT) == (answer.outcome.code, answer.outcome.action)


def test_silent_connection_is_noticed_by_pings(
    venue: Venue, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While pongs come the connection stays; when none comes it ends before an order is lost on it."""
    monkeypatch.setattr(trade_line, "PING_S", 1.5)
    place(gateway)
    line = gateway._way._line  # type: ignore[union-attr]
    before = line._heard_at
    wait_until(lambda: line._heard_at > before + 1, "two pongs came")
    assert line.is_usable
    venue.control("stream", action="silence", channel="trade")
    wait_until(lambda: not line.is_usable, "the silence was noticed")
    assert isinstance(place_once_connected(gateway).outcome, Acknowledged)


def test_lapsed_claim_writes_nothing(venue: Venue, gateway: Gateway) -> None:
    """Past `sign_before` no frame leaves, on a connection that is open too."""
    place(gateway)
    answer = gateway.place(request(), new_id(), sign_before=datetime.now(UTC) - timedelta(milliseconds=1))
    assert isinstance(answer.outcome, NeverSent)
    assert ("claim_lapsed", None) == (answer.outcome.code, answer.signed_at_ms)
    assert venue.arrived("/v5/order/create") == 1


def test_threads_share_a_connection_and_get_their_own_answers(venue: Venue, gateway: Gateway) -> None:
    """Sixteen threads at once and no connection yet: one is opened, each order is acknowledged as itself."""
    venue.control("limits", uid=1001, endpoint="/v5/order/create", limit=500)
    start, link_ids = threading.Barrier(16), [new_id() for _ in range(160)]

    def send(mine: list[OrderLinkId]) -> list[tuple[str, str]]:
        start.wait(60)
        told = []
        for link_id in mine:
            outcome = place(gateway, link_id).outcome
            assert isinstance(outcome, Acknowledged), outcome
            told.append((link_id, outcome.exchange_order_id))
        return told

    with ThreadPoolExecutor(16) as threads:
        told = dict(itertools.chain(*threads.map(send, [link_ids[i::16] for i in range(16)])))
    assert told == {order["orderLinkId"]: order["orderId"] for order in venue.orders()}
    assert Counter(told.keys()) == Counter(link_ids)
    opened = httpx.get(f"{venue.url}/simulator/stats", timeout=30).json()["streams"]["ips"]["127.0.0.1"]["opened"]
    assert opened == 1


def test_demo_has_no_trade_socket() -> None:
    """Its accounts use HTTP; the other environments have an address."""
    urls = {environment: trade_url(environment, "http://127.0.0.1:1") for environment in Environment}
    assert urls == {
        Environment.MAINNET: "wss://stream.bybit.com/v5/trade",
        Environment.TESTNET: "wss://stream-testnet.bybit.com/v5/trade",
        Environment.DEMO: None,
        Environment.SIMULATOR: "ws://127.0.0.1:1/v5/trade",
    }
