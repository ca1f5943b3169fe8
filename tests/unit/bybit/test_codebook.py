"""What the services are told about codes."""

from __future__ import annotations

import pytest

from sluicegate.bybit.codebook import BybitCodeBook
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.domain.outcomes import Action

BOOK = BybitCodeBook(RetCodeTable.load())


@pytest.mark.parametrize("code", ["", "lease_lost", "10016", "net_read_timeout", "http_5xx", "json_decode_error"])
def test_burial_of_a_code_that_may_pass_next_time_is_none(code: str) -> None:
    """An order that is proved absent after a failure we know is sent again."""
    assert BOOK.burial(code) is None


@pytest.mark.parametrize("code", ["987654321", "http_418", "nonsense"])
def test_burial_of_a_code_nobody_knows_names_reason_cause_and_fix(code: str) -> None:
    """The same request would meet the same unknown code for ever: it becomes a dead letter that says so."""
    burial = BOOK.burial(code)
    assert burial is not None
    assert burial[0] == "unknown_code"
    assert all(burial)


@pytest.mark.parametrize(
    ("code", "action"),
    [
        ("10003", Action.HALT_ACCOUNT),
        ("33004", Action.HALT_ACCOUNT),
        ("tls_verify_failed", Action.HALT_ACCOUNT),
        ("http_403", Action.HALT_IP),
        ("10006", Action.BACK_OFF),
        ("10016", Action.RETRY_SOON),
        ("987654321", Action.DEAD_LETTER),
    ],
)
def test_refusal_of_a_query_says_what_a_read_calls_for(code: str, action: Action) -> None:
    """A query that is refused halts what must halt, and never resolves an order."""
    refused = BOOK.refusal(code, "said")
    assert (code, "said", action) == (refused.code, refused.message, refused.action)
    assert refused.cause
    assert refused.fix
