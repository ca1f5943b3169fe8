"""What travels: requests as received, replies before they become bytes, and the refusals of the exchange."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]

encode = json.JSONEncoder(separators=(",", ":")).encode


class Refusal(Exception):
    """The exchange says no, with one of its codes.

    Args:
        ret_code: Bybit's retCode.
        ret_msg: Text for people; clients must not match on it.
    """

    def __init__(self, ret_code: int, ret_msg: str) -> None:
        super().__init__(f"{ret_code}: {ret_msg}")
        self.ret_code = ret_code
        self.ret_msg = ret_msg


class Reply(NamedTuple):
    """An accepted request's answer; `ext` becomes `retExtInfo`."""

    result: Json
    ext: Json = {}  # noqa: RUF012 - a NamedTuple default, never mutated
    ret_msg: str = "OK"


@dataclass(slots=True)
class Request:
    """One HTTP request, with body and query exactly as they arrived.

    Args:
        headers: Names in lower case.
        arrived_ns: Monotonic reading when the request reached the exchange.
    """

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]
    body: bytes
    client_ip: str
    arrived_ns: int = 0
    params: Json | None = field(default=None)

    def header(self, name: bytes) -> str:
        """Return a header's value as text, empty if it is absent."""
        return self.headers.get(name, b"").decode("latin-1")


@dataclass(slots=True)
class Response:
    """What goes back on the connection."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]]
    content_type: bytes = b"application/json; charset=utf-8"


def envelope(ret_code: int, ret_msg: str, time_ms: int, result: Json, ext: Json) -> bytes:
    """Wrap a result the way every V5 answer is wrapped."""
    body = {"retCode": ret_code, "retMsg": ret_msg, "result": result, "retExtInfo": ext, "time": time_ms}
    return encode(body).encode()
