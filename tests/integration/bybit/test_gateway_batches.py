"""Batches: retCode 0 says nothing; each order has a code of its own, and what cannot be read is in doubt."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orders_desk import request
from venue_server import Desk, Request, VenueServer, envelope, http

from sluicegate.domain.orders import OrderLinkId
from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent, Refused
from sluicegate.ports import Answer

LINKS = [OrderLinkId(f"sg-{number}") for number in range(1, 4)]
ROWS = [{"orderId": f"e{number}", "orderLinkId": link} for number, link in enumerate(LINKS, 1)]
FINE = [{"code": 0, "msg": "OK"}] * 3


def place(desk: Desk, **changes: Any) -> list[Answer]:
    """Place three orders in one request."""
    deadline = datetime.now(UTC) + timedelta(hours=1)
    return desk.gateway.place_many([(request(**changes), link) for link in LINKS], sign_before=deadline)


def answer_with(rows: Any, verdicts: Any, **changes: Any) -> Any:
    """Return a script that answers with these lists."""
    body = envelope(result={"list": rows}, retExtInfo={"list": verdicts}, **changes)
    return lambda _request, _connection: http(body, X_Bapi_Limit="10", X_Bapi_Limit_Status="7")


def test_batch_goes_out_as_one_request_of_plain_orders(server: VenueServer, desk: Desk) -> None:
    """One request to the batch endpoint: the category once, the orders as the single call spells them."""
    server.script = answer_with(ROWS, FINE)
    place(desk)
    [sent] = server.requests
    assert sent.path == "/v5/order/create-batch"
    assert sent.json["category"] == "linear"
    expected = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "60000"}
    assert [{**expected, "orderLinkId": link} for link in LINKS] == sent.json["request"]


def test_batch_each_order_meets_its_own_code(server: VenueServer, desk: Desk) -> None:
    """Acknowledged, over the limit, short of money: side by side in one answer with retCode 0."""
    rows = [ROWS[0], {"orderId": "", "orderLinkId": LINKS[1]}, {"orderId": "", "orderLinkId": LINKS[2]}]
    verdicts = [FINE[0], {"code": 10006, "msg": "Too many visits"}, {"code": 110007, "msg": "ab not enough"}]
    server.script = answer_with(rows, verdicts)
    first, second, third = (answer.outcome for answer in place(desk))
    assert isinstance(first, Acknowledged)
    assert first.exchange_order_id == "e1"
    assert isinstance(second, Refused)
    assert (second.action, second.headers.remaining) == (Action.BACK_OFF, 7)
    assert second.exchange_time_ms == first.exchange_time_ms == 1_785_000_000_000
    assert isinstance(third, Refused)
    assert third.action is Action.DEAD_LETTER
    assert desk.counted() == {"0": 1, "10006": 1, "110007": 1}


@pytest.mark.parametrize("code", [110072, 10016])
def test_batch_order_whose_code_tells_nothing_is_in_doubt(server: VenueServer, desk: Desk, code: int) -> None:
    """A duplicate link id, or the exchange's own trouble, in one order: that order is in doubt, with a horizon."""
    server.script = answer_with(ROWS, [FINE[0], {"code": code, "msg": "?"}, FINE[2]])
    answers = place(desk)
    assert isinstance(answers[1].outcome, InDoubt)
    assert answers[1].signed_at_ms is not None
    assert answers[1].outcome.horizon_ms == answers[1].signed_at_ms + 6000
    assert [Acknowledged, Acknowledged] == [type(answers[i].outcome) for i in (0, 2)]


WHOLLY_UNREADABLE: dict[str, tuple[Any, Any]] = {
    "rows_missing": (None, FINE),
    "codes_missing": (ROWS, None),
    "one_row_too_few": (ROWS[:2], FINE),
    "one_code_too_few": (ROWS, FINE[:2]),
    "other_order": (ROWS[::-1], FINE),
    "row_of_another_shape": ([ROWS[0], "e2", ROWS[2]], FINE),
    "refused_and_there": (ROWS, [FINE[0], {"code": 110007, "msg": "ab not enough"}, FINE[2]]),
    "codes_shifted": (
        [ROWS[0], {"orderId": "", "orderLinkId": ""}, ROWS[2]],
        [{"code": 110007, "msg": "ab not enough"}, FINE[1], FINE[2]],
    ),
    "code_of_another_shape": (ROWS, [FINE[0], 0, FINE[2]]),
}


@pytest.mark.parametrize(("rows", "verdicts"), WHOLLY_UNREADABLE.values(), ids=WHOLLY_UNREADABLE)
def test_batch_whose_lists_do_not_match_is_wholly_in_doubt(
    server: VenueServer, desk: Desk, rows: Any, verdicts: Any
) -> None:
    """If one row may belong to another order, no row can be trusted."""
    server.script = answer_with(rows, verdicts)
    assert [InDoubt] * 3 == [type(answer.outcome) for answer in place(desk)]


PARTLY_UNREADABLE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "code_string": (ROWS[1], {"code": "0", "msg": "OK"}),
    "code_true": (ROWS[1], {"code": True}),
    "code_missing": (ROWS[1], {"msg": "OK"}),
    "no_order_id": ({"orderLinkId": LINKS[1]}, FINE[1]),
    "empty_order_id": ({"orderId": "", "orderLinkId": LINKS[1]}, FINE[1]),
    "no_link_id": ({"orderId": "e2"}, FINE[1]),
}


@pytest.mark.parametrize(("row", "verdict"), PARTLY_UNREADABLE.values(), ids=PARTLY_UNREADABLE)
def test_batch_order_whose_row_is_unclear_is_in_doubt_alone(
    server: VenueServer, desk: Desk, row: dict[str, Any], verdict: dict[str, Any]
) -> None:
    """Neither a clear acknowledgement nor a clear refusal: this order is in doubt, the others are not."""
    server.script = answer_with([ROWS[0], row, ROWS[2]], [FINE[0], verdict, FINE[2]])
    kinds = [type(answer.outcome) for answer in place(desk)]
    assert [Acknowledged, InDoubt, Acknowledged] == kinds


@pytest.mark.parametrize(("code", "action"), [(10006, Action.BACK_OFF), (10003, Action.HALT_ACCOUNT)])
def test_batch_refused_as_a_whole_concerns_every_order(
    server: VenueServer, desk: Desk, code: int, action: Action
) -> None:
    """A top-level code is the answer to each order."""
    server.script = lambda _request, _connection: http(envelope(retCode=code, retMsg="no"))
    outcomes = [answer.outcome for answer in place(desk)]
    refused = [outcome for outcome in outcomes if isinstance(outcome, Refused)]
    assert [(action, True)] * 3 == [(outcome.action, outcome.is_shared) for outcome in refused]


def test_batch_without_an_answer_leaves_every_order_in_doubt(server: VenueServer, desk: Desk) -> None:
    """The connection ends after the request: each order may be there, until its horizon."""

    def hang_up(_request: Request, _connection: socket.socket) -> None:
        return None

    server.script = hang_up
    for answer in place(desk):
        assert isinstance(answer.outcome, InDoubt)
        assert answer.outcome.horizon_ms is not None
    assert len(server.requests) == 1


def test_batch_after_its_claim_lapsed_is_never_signed(server: VenueServer, desk: Desk) -> None:
    """Past the lease nothing leaves, for none of the orders."""
    answers = desk.gateway.place_many(
        [(request(), LINKS[0])], sign_before=datetime.now(UTC) - timedelta(seconds=1)
    )
    assert [NeverSent] == [type(answer.outcome) for answer in answers]
    assert server.requests == []


values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 10**6) | st.sampled_from([*LINKS, "", "e1", "list", "code"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["list", "code", "msg", "orderId", "orderLinkId"]), inner, max_size=4)
    ),
    max_leaves=14,
)


@given(result=values, extra=values)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_batch_answered_by_anything_yields_an_outcome_an_order(
    server: VenueServer, desk: Desk, result: Any, extra: Any
) -> None:
    """Whatever JSON comes back: three outcomes, no exception, and none acknowledged without id and link id."""
    body = json.dumps(envelope(result=result, retExtInfo=extra)).encode()
    server.script = lambda _request, _connection: http(body)
    answers = place(desk)
    assert len(answers) == 3
    for link, answer in zip(LINKS, answers, strict=True):
        if isinstance(answer.outcome, Acknowledged):
            row = result["list"][LINKS.index(link)]
            assert (answer.outcome.exchange_order_id, link) == (row["orderId"], row["orderLinkId"])
