"""The gates a signed request passes, in the exchange's order: key, address, signature, time, permission."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Literal

from simulator.clock import Clock
from simulator.keys import Key, KeyRing
from simulator.wire import Refusal, Request

Permission = Literal["any", "order", "position", "settings"]

_FUTURE_MS = 1000
_DEFAULT_RECV_WINDOW_MS = 5000
_NEEDED: Mapping[str, tuple[str, str]] = {
    "spot": ("Spot", "SpotTrade"),
    "option": ("Options", "OptionsTrade"),
    "linear": ("ContractTrade", "Order"),
    "inverse": ("ContractTrade", "Order"),
}


class MissingCredentials(Exception):
    """A signed endpoint was called without the auth headers."""


def authenticate(keys: KeyRing, clock: Clock, request: Request) -> Key:
    """Check who sent a request and that it is fresh.

    Args:
        keys: All keys of this exchange.
        clock: The exchange's clock.
        request: With query and body exactly as they arrived.

    Returns:
        The key that signed it.

    Raises:
        MissingCredentials: An auth header is missing (HTTP 401).
        Refusal: 10003, 33004, 10010, 10004 or 10002, by the first gate that does not open.
    """
    api_key, stamp, signature = (
        request.header(name) for name in (b"x-bapi-api-key", b"x-bapi-timestamp", b"x-bapi-sign")
    )
    if not (api_key and stamp and signature):
        raise MissingCredentials
    key = keys.find(api_key)
    if key is None:
        raise Refusal(10003, "API key is invalid.")
    if key.expired:
        raise Refusal(33004, "Your api key has expired.")
    if not key.may_use_from(request.client_ip):
        raise Refusal(10010, "Unmatched IP, please check your API key's bound IP addresses.")
    window = request.header(b"x-bapi-recv-window")
    payload = request.query if request.method == "GET" else request.body
    origin = f"{stamp}{api_key}{window}".encode("latin-1") + payload
    if not hmac.compare_digest(keys.signature(key, origin).encode(), signature.encode("latin-1")):
        raise Refusal(10004, "Error sign, please check your signature generation algorithm.")
    check_time(clock.now_ms(), stamp, window)
    return key


def check_time(now_ms: int, stamp: str, window: str) -> None:
    """Hold a request against `now - recv_window <= timestamp < now + 1000`.

    Source: Bybit V5 docs, integration guidance (read 2026-07-24).

    Args:
        now_ms: The exchange's clock.
        stamp: The request's timestamp, as sent.
        window: Its recv_window, as sent; empty for the default of 5000 ms.

    Raises:
        Refusal: 10002.
    """
    try:
        stamp_ms = int(stamp)
        window_ms = int(window) if window else _DEFAULT_RECV_WINDOW_MS
    except ValueError as error:
        raise Refusal(10002, "timestamp or recv_window is not a whole number of ms.") from error
    if not now_ms - window_ms <= stamp_ms < now_ms + _FUTURE_MS:
        raise Refusal(
            10002,
            "invalid request, please check your server timestamp or recv_window param. "
            f"req_timestamp[{stamp_ms}],server_timestamp[{now_ms}],recv_window[{window_ms}]",
        )


def check_permission(key: Key, permission: Permission, category: object) -> None:
    """Refuse (10005) what the key may not do.

    Args:
        key: Who asks.
        permission: What the endpoint needs; `any` is open to every key.
        category: The request's category; it decides which trading permission is meant.
    """
    if permission == "any":
        return
    denied = Refusal(10005, "Permission denied, please check your API key permissions.")
    if key.read_only:
        raise denied
    if permission == "settings":
        return
    group, right = _NEEDED.get(str(category), _NEEDED["linear"])
    if permission == "position" and group == "ContractTrade":
        right = "Position"
    if right not in key.permissions.get(group, ()):
        raise denied
