"""Authentication of a WebSocket."""

from __future__ import annotations

import hmac

from simulator.clock import Clock
from simulator.keys import HERE, Key, KeyRing
from simulator.wire import Json, Refusal


def log_in(keys: KeyRing, clock: Clock, client_ip: str, message: Json) -> Key:
    """Check the arguments of `auth`: key, expiry in ms, and the signature of `GET/realtime` and the expiry.

    Source: Bybit V5 docs, WebSocket connect page (read 2026-07-24).

    Raises:
        Refusal: 10001 (malformed or expired), 10003, 33004, 10010 or 10004; private sockets answer without codes.
    """
    args = message.get("args")
    if not isinstance(args, list) or len(args) != 3:
        raise Refusal(10001, "Params Error")
    api_key, expires, signature = (str(item) for item in args)
    if not (expires.isascii() and expires.isdigit()) or int(expires) <= clock.now_ms():
        raise Refusal(10001, "Params Error")
    key = keys.find(api_key)
    if key is None or key.environment != HERE:
        raise Refusal(10003, "API key is invalid.")
    if key.expired:
        raise Refusal(33004, "Your api key has expired.")
    if not key.may_use_from(client_ip):
        raise Refusal(10010, "Unmatched IP, please check your API key's bound IP addresses.")
    expected = keys.signature(key, b"GET/realtime" + expires.encode())
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Refusal(10004, "Error sign, please check your signature generation algorithm.")
    return key
