"""Frames of the private WebSocket, read into what they show. Nothing that a server sends may raise here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sluicegate.bybit.rows import read_balances, read_fill, read_position, read_sighting
from sluicegate.domain.holdings import Balance, Position
from sluicegate.domain.records import Fill, Sighting

ORDER, EXECUTION, POSITION, WALLET = TOPICS = ("order", "execution", "position", "wallet")
"""The all-in-one topics. Source: Bybit V5 private WebSocket pages, docs of 2026-07-24."""

MOST_BYTES: Final = 4 * 1024 * 1024
_Row = TypeVar("_Row")


@dataclass(frozen=True, slots=True)
class Parcel:
    """The rows of one data message.

    Attributes:
        created_ms: when the exchange made it, its clock; 0: not told.
        unreadable: how many rows could not be read.
        example: why the first of them could not.
    """

    topic: str
    created_ms: int
    sightings: list[Sighting] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    balances: list[Balance] = field(default_factory=list)
    unreadable: int = 0
    example: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one of our requests."""

    op: str
    request_id: str
    is_success: bool
    message: str


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A frame that is none of the above."""

    why: str


Frame = Parcel | Reply | Pong | Noise


def read_frame(text: str | bytes) -> Frame:
    """Read one frame; what cannot be read is noise, with the reason."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return Noise("not JSON")
    if not isinstance(content, dict):
        return Noise("not an object")
    if isinstance(content.get("topic"), str):
        return _parcel(content)
    op, message = content.get("op"), content.get("ret_msg")
    if op == "pong" or (op == "ping" and message == "pong"):
        return Pong()
    if isinstance(op, str):
        request_id = str(content.get("req_id") or "")
        return Reply(op, request_id, content.get("success") is True, str(message or "")[:200])
    return Noise("neither topic nor op")


def _parcel(content: Mapping[str, Any]) -> Parcel | Noise:
    topic, rows = str(content["topic"]), content.get("data")
    kind = topic.partition(".")[0]
    if not isinstance(rows, list) or kind not in TOPICS:
        return Noise(f"topic {topic[:40]} without rows that we know")
    created = content.get("creationTime")
    parcel = _Reading(kind, created if type(created) is int else 0)
    for row in rows:
        parcel.read(row)
    return parcel.done()


class _Reading:
    """Reads the rows of one message; one that is broken does not keep the others from being read."""

    def __init__(self, kind: str, created_ms: int) -> None:
        self._kind = kind
        self._created_ms = created_ms
        self._shown: list[Any] = []
        self._unreadable = 0
        self._example = ""

    def read(self, row: Any) -> None:
        """Read one row."""
        read = _READERS[self._kind]
        try:
            shown = read(row)
        except (KeyError, ValueError, TypeError, OverflowError, AttributeError) as e:
            self._unreadable += 1
            self._example = self._example or f"{type(e).__name__}: {str(e)[:200]}"
            return
        self._shown += shown

    def done(self) -> Parcel:
        """Return what was read."""
        rows = {_FIELD[self._kind]: self._shown}
        return Parcel(self._kind, self._created_ms, **rows, unreadable=self._unreadable, example=self._example)


def _one(read: Callable[[Mapping[str, Any]], _Row]) -> Callable[[Mapping[str, Any]], list[_Row]]:
    return lambda row: [read(row)]


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], list[Any]]]] = {
    ORDER: _one(read_sighting),
    EXECUTION: _one(read_fill),
    POSITION: _one(read_position),
    WALLET: read_balances,
}
_FIELD: Final = {ORDER: "sightings", EXECUTION: "fills", POSITION: "positions", WALLET: "balances"}
