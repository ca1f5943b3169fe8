"""Errors, named by what the caller must do about them."""

from __future__ import annotations

from sluicegate.domain.outcomes import Refused


class SluicegateError(Exception):
    """Base of every error that Sluicegate raises on purpose."""


class ConfigurationError(SluicegateError):
    """Settings are missing or wrong; nothing was done. Fix the setting that the text names."""


class InvalidOrder(SluicegateError):
    """The order is malformed; it was not accepted. Fix the field that the text names and submit again."""


class SignatureInvalid(SluicegateError):
    """An order came as a message without a valid signature; it was not accepted. Sign it with the secret."""


class OrderNotFound(SluicegateError):
    """The ledger has no such order. Check the id."""


class LedgerConflict(SluicegateError):
    """The `client_order_id` is taken by an order with other content. Use a new id, or send the same content.

    Or the order replays a dead letter that is closed, or whose order is dead no more.

    Attributes:
        order_id: the order that stands against it, e.g. the one that holds the id.
    """

    def __init__(self, message: str, *, order_id: str = "") -> None:
        super().__init__(message)
        self.order_id = order_id


class LedgerUnavailable(SluicegateError):
    """The ledger did not answer. Nothing was accepted; try again when the database is back."""


class BrokerUnavailable(SluicegateError):
    """Redis did not answer. Accepted orders are safe in the ledger and go out when it is back."""


class TooLate(SluicegateError):
    """The order cannot be changed any more: it has come to its end.

    Attributes:
        state: the order's state.
    """

    def __init__(self, message: str, *, state: str = "") -> None:
        super().__init__(message)
        self.state = state


class NothingToSettle(SluicegateError):
    """The order does not wait for a person: what the exchange shows of it decides. Nothing was written."""


class OrderDenied(SluicegateError):
    """A gate said no; the order was never sent. Becomes a dead letter.

    Attributes:
        reason: one of the closed set of dead-letter reasons (a metric label).
        fix: what a person can change so that the order passes.
    """

    def __init__(self, message: str, *, reason: str, fix: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.fix = fix


class OrderRejected(SluicegateError):
    """The exchange refused the request. The code says why; `sluicegate explain CODE` says what to do.

    Attributes:
        ret_code: Bybit's code, or a transport condition such as `http_403`.
        refusal: the whole answer, with the rate headers; None when there was none.
    """

    def __init__(self, message: str, *, ret_code: str, refusal: Refused | None = None) -> None:
        super().__init__(message)
        self.ret_code = ret_code
        self.refusal = refusal


class OutcomeUnknown(SluicegateError):
    """The request may or may not have been executed. Resolve by link id; never resend under a new one.

    Attributes:
        order_link_id: the link id to resolve by.
    """

    def __init__(self, message: str, *, order_link_id: str = "") -> None:
        super().__init__(message)
        self.order_link_id = order_link_id


class ExchangeUnavailable(SluicegateError):
    """A query got no usable answer from the exchange. Nothing changed; ask again later.

    Attributes:
        is_unanswered: it went out and nothing came back: it may still arrive.
    """

    def __init__(self, message: str, *, is_unanswered: bool = False) -> None:
        super().__init__(message)
        self.is_unanswered = is_unanswered


class BucketDenied(SluicegateError):
    """No token is free within the allowed wait. Come back after `retry_after_s`.

    Attributes:
        retry_after_s: seconds until this caller's turn.
    """

    def __init__(self, message: str, *, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class BucketUnavailable(SluicegateError):
    """The buckets cannot be read. Fail closed: send nothing, come back later."""
