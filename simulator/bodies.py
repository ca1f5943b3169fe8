"""Reading the bodies of calls under `/simulator/`."""

from __future__ import annotations

import json
from collections.abc import Collection
from decimal import Decimal, InvalidOperation
from typing import Any

from simulator.wire import Json, Request


class BadRequest(ValueError):
    """A call under `/simulator/` cannot be understood; the message says how to fix it."""


def body_of(request: Request, *known: str) -> Json:
    """Return a call's body; if fields are named, no others may be there.

    Raises:
        BadRequest: It is no JSON object, or has other fields.
    """
    try:
        body: Any = json.loads(request.body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body must be a JSON object")
    unknown = set(body) - set(known)
    if known and unknown:
        raise BadRequest(f"unknown fields {sorted(unknown)}; known are {', '.join(known)}")
    return body


def number_in(body: Json, name: str, default: float | None = None, *, least: float | None = 0) -> float:
    """Return a number of a body.

    Raises:
        BadRequest: It is none, or below `least`.
    """
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{name} must be a number")
    if least is not None and value < least:
        raise BadRequest(f"{name} must be at least {least}")
    return value


def amount_in(body: Json, name: str, *, may_be_zero: bool = False) -> Decimal | None:
    """Return a price or quantity of a body, best sent as a string; None if it is not given.

    Raises:
        BadRequest: It is no number above zero.
    """
    value = body.get(name)
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation as error:
        raise BadRequest(f'{name} must be a number, best as a string such as "59000.5"') from error
    if isinstance(value, bool) or not amount.is_finite() or amount < 0 or (not amount and not may_be_zero):
        raise BadRequest(f"{name} must be above zero")
    return amount


def uid_in(body: Json, known: Collection[int]) -> int | None:
    """Return the account a call speaks of; None if it speaks of all.

    Raises:
        BadRequest: There is no such account.
    """
    uid = body.get("uid")
    if uid is not None and (isinstance(uid, bool) or uid not in known):
        raise BadRequest(f"uid {uid} is no account; there are {sorted(known)}")
    return uid
