"""Outcomes: what one request to the exchange came to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Action(StrEnum):
    """What a code calls for; every row of `bybit/retcodes.csv` names one."""

    OK = "ok"
    BACK_OFF = "back_off"
    RESYNC_CLOCK = "resync_clock"
    RETRY_SOON = "retry_soon"
    RESOLVE = "resolve"
    DEAD_LETTER = "dead_letter"
    HALT_ACCOUNT = "halt_account"
    HALT_IP = "halt_ip"


@dataclass(frozen=True, slots=True)
class RateHeaders:
    """What Bybit says about the quota in a response's headers.

    Attributes:
        limit: requests per window that this UID has on this endpoint.
        remaining: requests left in the window.
        reset_at_ms: when the quota resets, exchange clock, ms; may be missing, may lie in the past.
    """

    limit: int | None = None
    remaining: int | None = None
    reset_at_ms: int | None = None


NO_HEADERS = RateHeaders()


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The exchange accepted the request: an acknowledgement, not a fill.

    Attributes:
        exchange_order_id: Bybit's `orderId`.
        exchange_time_ms: the envelope's `time`, exchange clock; None when the response carries none.
    """

    exchange_order_id: str
    exchange_time_ms: int | None = None
    headers: RateHeaders = NO_HEADERS


@dataclass(frozen=True, slots=True)
class Refused:
    """The exchange refused the request and says why; nothing was executed.

    Attributes:
        code: Bybit's retCode as text, or a transport condition such as `http_403`.
        message: Bybit's retMsg.
        action: what the code calls for.
        reason: the dead-letter reason that the code maps to, empty when it is none.
        cause: why this happens, in our words.
        fix: what to do about it, in our words.
        is_shared: it was said of a request with several orders, so it may be about any one of them.
    """

    code: str
    message: str
    action: Action
    reason: str = ""
    cause: str = ""
    fix: str = ""
    headers: RateHeaders = NO_HEADERS
    exchange_time_ms: int | None = None
    is_shared: bool = False


@dataclass(frozen=True, slots=True)
class NeverSent:
    """The request did not leave this host: connection refused, DNS, TLS verification, claim lost.

    Attributes:
        code: the condition, e.g. `net_connect_fail`, `tls_verify_failed`, `claim_lost`.
        action: what the condition calls for.
        is_unreached: no connection came about: that says nothing about the order, and costs it no attempt.
    """

    code: str
    message: str
    action: Action = Action.RETRY_SOON
    cause: str = ""
    fix: str = ""
    is_unreached: bool = False


@dataclass(frozen=True, slots=True)
class InDoubt:
    """The request may or may not have reached the matching engine.

    Attributes:
        code: the condition, e.g. `net_read_timeout`, `10016`, `json_decode_error`.
        horizon_ms: exchange clock, ms; after it the request can no longer be accepted.
        is_about_order: the exchange did answer, and what it said is about the order itself: unknown to it, over,
            or there already. A look at the order settles it; sending again cannot.
    """

    code: str
    message: str
    horizon_ms: int | None = None
    is_about_order: bool = False
    headers: RateHeaders = NO_HEADERS


Outcome = Acknowledged | Refused | NeverSent | InDoubt

_UNANSWERED = frozenset({"net_read_timeout", "net_reset_or_aborted"})


def is_unanswered(outcome: Outcome | None) -> bool:
    """Tell whether a request went out and nothing came back: the network may still deliver it, late."""
    return isinstance(outcome, InDoubt) and outcome.code in _UNANSWERED


def outcome_code(outcome: Outcome) -> str:
    """Return the code of an outcome as the metric label `ret_code`."""
    return "0" if isinstance(outcome, Acknowledged) else outcome.code
