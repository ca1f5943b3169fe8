"""pybit sessions without pybit's own retries, sleeps and hidden codes."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import certifi
from pybit.unified_trading import HTTP

from sluicegate.bybit.clock import OffsetClock
from sluicegate.bybit.transport import WholeAnswers
from sluicegate.config import Environment, ExchangeSettings

logging.getLogger("pybit").addHandler(logging.NullHandler())
logging.getLogger("pybit").setLevel(logging.WARNING)  # at DEBUG it shows bodies, in which Bybit quotes the key


class ClaimLapsed(Exception):
    """The request must not be signed any more: whoever asked for it has lost the order."""


class SignedSession(HTTP):  # type: ignore[misc]
    """A pybit session that signs with our clock and never shows its key.

    pybit takes the time from `time.time()` for each request. This one adds the measured offset to Bybit's clock,
    remembers the timestamp that was signed, and refuses to sign after `sign_before`: so no request of a claim that
    has lapsed can ever leave.

    Source: pybit 5.17.0, `_http_manager.py`.
    """

    def __init__(self, clock: OffsetClock, **settings: Any) -> None:
        self.signing_clock = clock
        self.sign_before: datetime | None = None
        self.signed_at_ms: int | None = None
        self.left_at_s: float | None = None
        super().__init__(**settings)

    def begin(self, sign_before: datetime | None) -> None:
        """Start a request: it may be signed until `sign_before`, local time; None: for ever."""
        self.sign_before = sign_before
        self.signed_at_ms = None
        self.left_at_s = None

    def __repr__(self) -> str:
        return "<SignedSession>"

    def _prepare_headers(
        self, payload: str | bytes, recv_window: int, content_type: str = "application/json"
    ) -> dict[str, str]:
        if self.sign_before is not None and self.signing_clock.now() >= self.sign_before:
            raise ClaimLapsed
        timestamp = self.signing_clock.exchange_ms()
        sign = self._auth_binary if isinstance(payload, bytes) else self._auth
        signature = sign(payload=payload, recv_window=recv_window, timestamp=timestamp)
        self.signed_at_ms = timestamp  # from here on the request may leave
        self.left_at_s = time.monotonic()
        return {
            "Content-Type": content_type,
            "X-BAPI-API-KEY": self.api_key,
            "X-BAPI-SIGN": signature,
            "X-BAPI-SIGN-TYPE": "2",
            "X-BAPI-TIMESTAMP": str(timestamp),
            "X-BAPI-RECV-WINDOW": str(recv_window),
        }


def build_session(
    environment: Environment,
    settings: ExchangeSettings,
    clock: OffsetClock,
    *,
    api_key: str | None = None,
    api_secret: str | None = None,
    address: str | None = None,
) -> SignedSession:
    """Build one session; for one thread of one process.

    Args:
        environment: picks the host. Source: Bybit V5 integration guide and demo page, 2026-07-24.
        settings: time-outs, receive window, CA bundle; an answer has `lease_s` to be complete.
        clock: signs with it.
        api_key: None for public data only.
        api_secret: as `api_key`.
        address: where the requests go instead of to pybit's host; required for the simulator.
    """
    session = SignedSession(
        clock,
        testnet=environment is Environment.TESTNET,
        demo=environment is Environment.DEMO,
        api_key=api_key,
        api_secret=api_secret,
        timeout=(settings.connect_timeout_s, settings.read_timeout_s),
        recv_window=settings.recv_window_ms,
        force_retry=False,
        retry_codes={0},  # an empty set would bring pybit's defaults back; 0 never reaches that test
        max_retries=1,
        return_response_headers=True,
    )
    if address is not None or environment is Environment.SIMULATOR:
        session.endpoint = (address or "").rstrip("/")
    if environment is Environment.SIMULATOR:
        session.client.trust_env = False  # a proxy in the environment is for the way to Bybit
    bundle: Path | str = settings.ca_bundle or certifi.where()
    session.client.verify = str(bundle)
    session.client.max_redirects = 0  # a redirected POST may become a second order, or a GET
    for scheme in ("https://", "http://"):
        session.client.mount(scheme, WholeAnswers(settings.lease_s))
    return session


class SessionPool:
    """One session a thread, built after fork.

    Args:
        build: makes a session.
    """

    def __init__(self, build: Callable[[], SignedSession]) -> None:
        self._build = build
        self._local = threading.local()

    def session(self) -> SignedSession:
        """Return this thread's session in this process."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.session = self._build()
            self._local.pid = os.getpid()
        session: SignedSession = self._local.session
        return session
