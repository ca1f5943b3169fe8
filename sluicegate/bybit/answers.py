"""Answers: what pybit returned or raised, read into outcomes. Hostile or truncated replies end here."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from urllib3.exceptions import NewConnectionError

from sluicegate.bybit.retcodes import RetCode, RetCodeTable
from sluicegate.bybit.session import ClaimLapsed
from sluicegate.domain.outcomes import NO_HEADERS, Action, InDoubt, NeverSent, RateHeaders, Refused

MESSAGE_LENGTH = 300


@dataclass(frozen=True, slots=True)
class Reply:
    """A readable answer with retCode 0."""

    result: Mapping[str, Any]
    items: Mapping[str, Any]
    headers: RateHeaders
    time_ms: int | None


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
    return Reply(result, items, read_headers(headers), _whole(body.get("time")))


def read_headers(headers: Any) -> RateHeaders:
    """Read the three rate-limit headers; each may be missing or nonsense."""
    if not isinstance(headers, Mapping):
        return NO_HEADERS
    return RateHeaders(
        limit=_positive(headers.get("X-Bapi-Limit")),
        remaining=_whole(headers.get("X-Bapi-Limit-Status")),
        reset_at_ms=_positive(headers.get("X-Bapi-Limit-Reset-Timestamp")),
    )


def _whole(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    text = str(value).strip()
    return int(text) if len(text) <= 19 and text.isascii() and text.isdigit() else None


def _positive(value: Any) -> int | None:
    number = _whole(value)
    return number or None


class AnswerReader:
    """Turns exceptions into outcomes.

    Args:
        codes: what each code means.
        secrets: texts that never appear in a message: Bybit's 10004 quotes the API key.
    """

    def __init__(self, codes: RetCodeTable, secrets: tuple[str, ...] = ()) -> None:
        self._codes = codes
        self._secrets = tuple(secret for secret in secrets if secret)

    def redact(self, text: object) -> str:
        """Return a text of bounded length without our secrets."""
        plain_text = str(text)
        for secret in self._secrets:
            plain_text = plain_text.replace(secret, "***")
        return plain_text[:MESSAGE_LENGTH]

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
                return self._refused(error.status_code, error, is_write=is_write)
            case FailedRequestError() if error.resp_headers is not None:
                return self._refused(_http_code(error.status_code), error, is_write=is_write)
            case requests.exceptions.RequestException():
                return self._network(error)
            case _:  # not JSON, or JSON of a shape that pybit or we trip over: the request was sent
                return InDoubt("json_decode_error", f"unreadable answer: {self.redact(error)}")

    def refusal_of(
        self, code: int | str, message: object, headers: RateHeaders, *, is_write: bool
    ) -> Refused | InDoubt:
        """Read a code that stands inside an answer, such as a batch item's."""
        row = self._codes.lookup(code, is_write=is_write)
        return self._outcome(str(code), row, message, headers, is_write=is_write)

    def _refused(self, code: Any, error: Any, *, is_write: bool) -> Refused | InDoubt:
        if isinstance(code, bool) or not isinstance(code, int | str):
            return InDoubt("json_decode_error", "retCode is not a number")
        headers = read_headers(error.resp_headers)
        row = self._codes.lookup(code, is_write=is_write)
        return self._outcome(str(code)[:32], row, error.message, headers, is_write=is_write)

    def _outcome(
        self, code: str, row: RetCode, message: object, headers: RateHeaders, *, is_write: bool
    ) -> Refused | InDoubt:
        action = row.action if is_write else row.read_action
        if action is Action.RESOLVE:
            is_about_order = row.read_action in {Action.OK, Action.RESOLVE}
            return InDoubt(code, self.redact(message), is_about_order=is_about_order, headers=headers)
        return Refused(
            code, self.redact(message), action, row.dead_letter_reason, row.cause, row.fix, headers=headers
        )

    def _network(self, error: requests.exceptions.RequestException) -> NeverSent | InDoubt:
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return self._never_sent("tls_verify_failed", error)
        if isinstance(error, requests.exceptions.ConnectTimeout) or any(
            isinstance(cause, NewConnectionError) for cause in causes
        ):
            return self._never_sent("net_connect_fail", error)
        if isinstance(error, requests.exceptions.Timeout):
            return InDoubt("net_read_timeout", "no answer in time")
        return InDoubt("net_reset_or_aborted", self.redact(type(error).__name__))

    def _never_sent(self, code: str, error: Exception) -> NeverSent:
        row = self._codes.lookup(code)
        return NeverSent(code, self.redact(error), row.action, row.cause, row.fix)


def must_be_obeyed(error: Refused | NeverSent | InDoubt) -> bool:
    """Tell whether a failed query carries a code to act on, rather than the lack of an answer."""
    return isinstance(error, Refused) or (isinstance(error, NeverSent) and error.action is Action.HALT_ACCOUNT)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk the chain of an exception: arguments, `reason`, causes."""
    seen: set[int] = set()
    waiting: list[Any] = [error]
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__]


def _http_code(status: Any) -> str:
    return "http_5xx" if isinstance(status, int) and status >= 500 else f"http_{status}"
