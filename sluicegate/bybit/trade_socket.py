"""Order entry over Bybit's trade WebSocket: one connection an account and process, shared by its threads.

It stands where the pool of signed HTTP sessions stands: it gives sessions with the same methods, whose answers
have the same form, so that one code reads both. What goes wrong: the exchange refused our sign-in
(`SignInRefused`) or a frame (`FrameRefused`), nothing was written (`Unreached`), or a frame was written and has no
usable answer (`Unanswered`).

pybit's WebSocketTrading is not used: it has no time limit, loses the callbacks of a connection that breaks, and
stamps a frame with a clock that was never compared with Bybit's.

Source: Bybit V5 pages "Websocket Trade Guideline" and "Connect", docs of 2026-07-24.
"""

from __future__ import annotations

import hashlib
import hmac
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import certifi
import structlog
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect

from sluicegate.bybit.clock import OffsetClock
from sluicegate.bybit.frames import MOST_BYTES
from sluicegate.bybit.session import ClaimLapsed
from sluicegate.bybit.trade_line import SignInRefused, TradeLine, Unreached
from sluicegate.config import Credentials, Environment, ExchangeSettings

log = structlog.get_logger(__name__)

HOSTS: Final = {
    Environment.MAINNET: "wss://stream.bybit.com",
    Environment.TESTNET: "wss://stream-testnet.bybit.com",
}
"""Demo has no trade socket. Source: Bybit V5 WebSocket connect and demo pages, docs of 2026-07-24."""
PATH: Final = "/v5/trade"
EXPIRES_MS: Final = 10_000
LEAST_PAUSE_S, MOST_PAUSE_S = 1.0, 30.0
"""Between two attempts to connect; each doubles it. Bybit admits 500 new connections in 5 minutes per IP."""
STEADY_S: Final = 60.0
"""A connection that lasted so long was a good one: the pause starts anew."""
RESTARTING: Final = 10019


def trade_url(environment: Environment, simulator_address: str | None) -> str | None:
    """Return where the trade WebSocket of an environment is; None: it has none."""
    if environment is Environment.SIMULATOR:
        return (simulator_address or "").rstrip("/").replace("http", "ws", 1) + PATH
    host = HOSTS.get(environment)
    return None if host is None else host + PATH


class TradeSession:
    """One request over the socket, in the form of a pybit session.

    Attributes:
        signed_at_ms: its timestamp, exchange clock; None: no frame was written.
        left_at_s: when it was written, monotonic.
    """

    def __init__(self, socket: TradeSocket) -> None:
        self._socket = socket
        self.begin(None)

    def begin(self, sign_before: datetime | None) -> None:
        """Start a request: its frame may be written until `sign_before`, local time; None: for ever."""
        self._sign_before = sign_before
        self.signed_at_ms: int | None = None
        self.left_at_s: float | None = None

    def place_order(self, **parameters: Any) -> tuple[Any, ...]:
        """Send an order."""
        return self._socket.ask("order.create", parameters, self._stamp)

    def amend_order(self, **parameters: Any) -> tuple[Any, ...]:
        """Send an amendment."""
        return self._socket.ask("order.amend", parameters, self._stamp)

    def cancel_order(self, **parameters: Any) -> tuple[Any, ...]:
        """Send a cancellation."""
        return self._socket.ask("order.cancel", parameters, self._stamp)

    def place_batch_order(self, **parameters: Any) -> tuple[Any, ...]:
        """Send several orders in one frame."""
        return self._socket.ask("order.create-batch", parameters, self._stamp)

    def _stamp(self) -> int:
        """Return the timestamp of a frame that is written next.

        Raises:
            ClaimLapsed: it must not be written any more.
        """
        clock = self._socket.clock
        if self._sign_before is not None and clock.now() >= self._sign_before:
            raise ClaimLapsed
        self.signed_at_ms = clock.exchange_ms()
        self.left_at_s = time.monotonic()
        return self.signed_at_ms


class TradeSocket:
    """The way of an account's commands over the trade WebSocket.

    The first command opens the connection, so after any fork; one after its end opens the next, at a pace.

    Args:
        account: its name, for the log.
        url: from `trade_url`.
        credentials: of the account.
        clock: Bybit's clock.
        settings: time-outs, receive window and CA bundle.
    """

    def __init__(
        self, account: str, url: str, credentials: Credentials, clock: OffsetClock, settings: ExchangeSettings
    ) -> None:
        self.clock = clock
        self._account = account
        self._url = url
        self._credentials = credentials
        self._settings = settings
        self._connecting = threading.Lock()
        self._line: TradeLine | None = None
        self._opened_at = self._not_before = float("-inf")
        self._pause_s = 0.0

    def session(self) -> TradeSession:
        """Return a session for one request."""
        return TradeSession(self)

    def close(self) -> None:
        """End the connection; what waits for an answer is in doubt."""
        line = self._line
        if line is not None:
            line.close()

    def ask(self, op: str, parameters: Mapping[str, Any], stamp: Callable[[], int]) -> tuple[Any, ...]:
        """Send a frame and wait for its answer.

        Args:
            op: what is asked for.
            parameters: as in the body of the HTTP request.
            stamp: gives the timestamp at the moment of writing, or raises.

        Returns:
            Envelope, time taken and headers, as pybit returns them.

        Raises:
            SignInRefused: no connection, for the exchange refuses us.
            Unreached: no connection; nothing was written.
            FrameRefused: the answer has a code.
            Unanswered: written, and no usable answer.
        """
        line = self._usable_line()
        given = {name: value for name, value in parameters.items() if value is not None}

        def frame() -> dict[str, Any]:
            header = {
                "X-BAPI-TIMESTAMP": str(stamp()),
                "X-BAPI-RECV-WINDOW": str(self._settings.recv_window_ms),
            }
            return {"header": header, "op": op, "args": [given]}

        answer = line.ask(frame, self._settings.read_timeout_s)
        if answer.get("retCode") == RESTARTING:
            line.retire()
        return line.read(answer)

    def _usable_line(self) -> TradeLine:
        line = self._line
        if line is not None and line.is_usable:
            return line
        with self._connecting:
            if self._line is None or not self._line.is_usable:
                self._keep_pace()
                self._line = self._open_line()
            return self._line

    def _keep_pace(self) -> None:
        now = time.monotonic()
        if now < self._not_before:
            raise Unreached(f"no connection; the next attempt is in {self._not_before - now:.1f} s")
        is_steady = now - self._opened_at >= STEADY_S
        self._pause_s = LEAST_PAUSE_S if is_steady else min(MOST_PAUSE_S, 2 * self._pause_s)
        self._opened_at, self._not_before = now, now + self._pause_s

    def _open_line(self) -> TradeLine:
        """Connect and sign in.

        Raises:
            Unreached: no connection, or no answer to our sign-in.
            SignInRefused: the exchange refuses us, with a code.
        """
        try:
            line = TradeLine(self._account, self._connect(), self._settings.connect_timeout_s)
        except InvalidStatus as e:
            status = e.response.status_code
            code = "http_5xx" if status >= 500 else f"http_{status}"
            raise SignInRefused(code, "the WebSocket handshake was refused") from e
        except (OSError, WebSocketException) as e:
            raise Unreached(f"no connection: {type(e).__name__}") from e
        try:
            line.sign_in(self._sign_in(), self._settings.connect_timeout_s)
        except BaseException:
            line.close()
            raise
        log.info("trade_socket_connected", account=self._account)
        return line

    def _connect(self) -> ClientConnection:
        is_plain = self._url.startswith("ws://")
        bundle = str(self._settings.ca_bundle or certifi.where())
        context = None if is_plain else ssl.create_default_context(cafile=bundle)
        return connect(
            self._url,
            ssl=context,
            proxy=None if is_plain else True,  # a proxy in the environment is for the way to Bybit
            compression=None,  # frames are small, and each would wait for it
            open_timeout=self._settings.connect_timeout_s,
            close_timeout=1.0,
            ping_interval=None,  # Bybit wants pings as JSON
            max_size=MOST_BYTES,
            max_queue=None,
            legacy=True,  # a connection that outlives the block it is opened in
        )

    def _sign_in(self) -> dict[str, Any]:
        expires = self.clock.exchange_ms() + EXPIRES_MS
        secret = self._credentials.api_secret.get_secret_value().encode()
        signature = hmac.new(secret, f"GET/realtime{expires}".encode(), hashlib.sha256).hexdigest()
        return {"op": "auth", "args": [self._credentials.api_key.get_secret_value(), expires, signature]}
