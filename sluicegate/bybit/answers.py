"""Answers: what pybit returned or raised, read into outcomes. Hostile or truncated replies end here."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from urllib3.exceptions import NewConnectionError

from sluicegate.bybit.redaction import however_encoded
from sluicegate.bybit.retcodes import RetCode, RetCodeTable
from sluicegate.bybit.session import ClaimLapsed
from sluicegate.bybit.trade_line import FrameRefused, SignInRefused, Unanswered, Unreached
from sluicegate.domain.outcomes import NO_HEADERS, Action, InDoubt, NeverSent, RateHeaders, Refused

MESSAGE_LENGTH = 300
UNREACHED = "net_connect_fail"
MOST_PER_WINDOW = 100_000
"""A limit header beyond this says nothing: the highest documented limits are four digits."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A readable answer with retCode 0."""

    result: Mapping[str, Any]
    items: Mapping[str, Any]
    headers: RateHeaders
    time_ms: int | None


_NO_BUNDLE = "Could not find a suitable TLS CA certificate bundle"
"""How requests says, before it connects, that the file of CA certificates is gone; a bare `OSError`.

Source: requests 2.32, `HTTPAdapter.cert_verify`.
"""
_UNCONNECTED = (
    requests.exceptions.ConnectTimeout,
    requests.exceptions.InvalidSchema,
    requests.exceptions.InvalidURL,
)
"""Raised before there is a connection. The latter two, of an address or a proxy that requests cannot use, could
also come of a redirect, after the request; our sessions follow none."""
_ABOUT_ORDER = frozenset({Action.OK, Action.RESOLVE, Action.DEAD_LETTER})


class UnreadableAnswer(Exception):
    """HTTP 200 with a body that is not Bybit's envelope."""


def read_reply(returned: Any) -> Reply:
    """Check the envelope of what pybit returned.

    Raises:
        UnreadableAnswer: it is not an envelope with retCode 0 and an object as result. pybit itself takes a body
            without retCode for a success.
    """
    try:
        body, _elapsed, headers = returned
        code, result = body["retCode"], body.get("result")
    except (TypeError, ValueError, KeyError, AttributeError, IndexError) as e:
        raise UnreadableAnswer(f"no envelope: {type(e).__name__}") from e
    if type(code) is not int or code != 0:
        raise UnreadableAnswer("retCode is not the number 0")
    if result is None:  # some documented successes have none
        result = {}
    if not isinstance(result, Mapping):
        raise UnreadableAnswer("result is not an object")
    extra = body.get("retExtInfo")
    items = extra if isinstance(extra, Mapping) else {}
    return Reply(result, items, read_headers(headers), _instant_ms(body.get("time")))


def read_headers(headers: Any) -> RateHeaders:
    """Read the three rate-limit headers; each may be missing or nonsense."""
    if not isinstance(headers, Mapping):
        return NO_HEADERS
    return RateHeaders(
        limit=_whole(headers.get("X-Bapi-Limit"), 1, MOST_PER_WINDOW),
        remaining=_whole(headers.get("X-Bapi-Limit-Status"), 0, MOST_PER_WINDOW),
        reset_at_ms=_instant_ms(headers.get("X-Bapi-Limit-Reset-Timestamp")),
    )


def _whole(value: Any, least: int, most: int) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None
    return value if type(value) is int and least <= value <= most else None


def _instant_ms(value: Any) -> int | None:
    """Read milliseconds since 1970 of thirteen digits, 2001 to 2286; seconds or nanoseconds are a mistake."""
    return _whole(value, 10**12, 10**13 - 1)


class AnswerReader:
    """Turns exceptions into outcomes.

    Args:
        codes: what each code means.
        secrets: texts that never appear in a message: Bybit's 10004 quotes the API key.
    """

    def __init__(self, codes: RetCodeTable, secrets: tuple[str, ...] = ()) -> None:
        self._codes = codes
        self._secrets = [however_encoded(secret) for secret in secrets if secret]

    def redact(self, text: object) -> str:
        """Return a text of bounded length without our secrets, which any database and terminal can take."""
        shown = str(text)
        for secret in self._secrets:
            shown = secret.sub("***", shown)
        return "".join(letter if letter.isprintable() else " " for letter in shown[:MESSAGE_LENGTH])

    def read_error(self, error: Exception, *, is_write: bool) -> Refused | NeverSent | InDoubt:
        """Classify what a call raised.

        Args:
            error: whatever came out of pybit or requests.
            is_write: True for commands: without a clear refusal they are in doubt.

        Returns:
            `NeverSent` only on proof that nothing left this host.
        """
        match error:
            case ClaimLapsed():
                return NeverSent("claim_lapsed", "the claim lapsed before the request was signed")
            case InvalidRequestError():
                if type(error.status_code) is not int:  # "0", true, a list: not Bybit's envelope
                    return InDoubt("json_decode_error", "retCode is not a number")
                return self._refused(error.status_code, error, is_write=is_write)
            case FailedRequestError() if error.resp_headers is not None:
                return self._refused(_http_code(error.status_code), error, is_write=is_write)
            case requests.exceptions.RequestException():
                return self._network(error)
            case OSError() if str(error).startswith(_NO_BUNDLE):
                return self._never_sent("tls_verify_failed", error)
            case FrameRefused() | SignInRefused() | Unreached() | Unanswered():
                return self._trade(error)
            case _:  # not JSON, or JSON of a shape that pybit or we trip over: the request was sent
                return InDoubt("json_decode_error", f"unreadable answer: {self.redact(error)}")

    def refusal_of(
        self, code: int | str, message: object, headers: RateHeaders, *, is_write: bool
    ) -> Refused | InDoubt:
        """Read a code that stands inside an answer, such as a batch item's."""
        row = self._codes.lookup(code, is_write=is_write)
        return self._outcome(str(code), row, message, headers, is_write=is_write)

    def _refused(self, code: int | str, error: Any, *, is_write: bool) -> Refused | InDoubt:
        headers = read_headers(error.resp_headers)
        row = self._codes.lookup(code, is_write=is_write)
        return self._outcome(str(code)[:32], row, error.message, headers, is_write=is_write)

    def _outcome(
        self, code: str, row: RetCode, message: object, headers: RateHeaders, *, is_write: bool
    ) -> Refused | InDoubt:
        action = row.action if is_write else row.read_action
        if action is Action.RESOLVE:
            return InDoubt(code, self.redact(message), is_about_order=row.is_about_order, headers=headers)
        return Refused(
            code, self.redact(message), action, row.dead_letter_reason, row.cause, row.fix, headers=headers
        )

    def _network(self, error: requests.exceptions.RequestException) -> NeverSent | InDoubt:
        if certificate_fault(error) is not None:
            return self._never_sent("tls_verify_failed", error)
        causes = list(_causes(error))
        if isinstance(error, _UNCONNECTED) or any(isinstance(cause, NewConnectionError) for cause in causes):
            return self._never_sent(UNREACHED, error)
        if isinstance(error, requests.exceptions.Timeout):
            return InDoubt("net_read_timeout", "no answer in time")
        return InDoubt("net_reset_or_aborted", self.redact(type(error).__name__))

    def _trade(
        self, error: FrameRefused | SignInRefused | Unreached | Unanswered
    ) -> Refused | NeverSent | InDoubt:
        """Read what befell a command on the trade WebSocket, where some codes have a meaning of their own."""
        match error:
            case Unanswered():
                return InDoubt(error.code, self.redact(error))
            case Unreached():
                is_forged = certificate_fault(error) is not None
                return self._never_sent("tls_verify_failed" if is_forged else UNREACHED, error)
        row = self._codes.lookup(error.code, channel="ws")
        if isinstance(error, FrameRefused):
            return self._outcome(str(error.code), row, error, read_headers(error.headers), is_write=True)
        if row.action in _ABOUT_ORDER:  # the code cannot be about an order that was not sent
            return NeverSent(str(error.code), self.redact(error), Action.RETRY_SOON, row.cause, row.fix)
        return self._outcome(str(error.code), row, error, NO_HEADERS, is_write=True)

    def _never_sent(self, code: str, error: Exception) -> NeverSent:
        row = self._codes.lookup(code)
        is_unreached = code == UNREACHED
        return NeverSent(code, self.redact(error), row.action, row.cause, row.fix, is_unreached=is_unreached)


def certificate_fault(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """Return why the server's certificate was refused, if that is why a request failed."""
    faults = (cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError))
    return next(faults, None)


def must_be_obeyed(error: Refused | NeverSent | InDoubt) -> bool:
    """Tell whether a failed query carries a code to act on, rather than the lack of a usable answer."""
    if isinstance(error, Refused):
        return error.action is not Action.RETRY_SOON  # HTTP 5xx, 10016: the exchange is not itself
    return isinstance(error, NeverSent) and error.action is Action.HALT_ACCOUNT


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk what an exception was made from: arguments, `reason`, cause.

    Not its `__context__`: that may be an older failure, which the caller was handling when it made this request,
    and proves nothing about it.
    """
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__]


def _http_code(status: Any) -> str:
    return "http_5xx" if isinstance(status, int) and status >= 500 else f"http_{status}"
