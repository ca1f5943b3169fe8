"""Commands against every shape of answer: only an acknowledgement passes for one, and nobody sends twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from orders_desk import LINK_ID, live_order, place
from venue_server import Desk, VenueServer, acknowledge, envelope, http

from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent, Refused
from sluicegate.ports import Answer

Send = Callable[[], Answer]
ACK = {"orderId": "e1", "orderLinkId": LINK_ID}

STRANGE_ENVELOPES: dict[str, Any] = {
    "wrong_link_id": envelope(result={"orderId": "e1", "orderLinkId": "sg-another"}),
    "missing_link_id": envelope(result={"orderId": "e1"}),
    "missing_order_id": envelope(result={"orderLinkId": LINK_ID}),
    "empty_order_id": envelope(result={**ACK, "orderId": ""}),
    "numeric_order_id": envelope(result={**ACK, "orderId": 17}),
    "order_id_with_nul": envelope(result={**ACK, "orderId": "e\x00"}),
    "order_id_with_half_a_character": envelope(result={**ACK, "orderId": "e\ud800"}),
    "result_null": envelope(result=None),
    "result_list": envelope(result=[ACK]),
    "result_string": envelope(result="ok"),
    "no_result": {"retCode": 0, "retMsg": "OK"},
    "code_missing": {"retMsg": "OK", "result": ACK},
    "code_string_0": envelope(retCode="0", result=ACK),
    "code_string_10001": envelope(retCode="10001", result=ACK),
    "code_true": envelope(retCode=True, result=ACK),
    "code_false": envelope(retCode=False, result=ACK),
    "code_null": envelope(retCode=None, result=ACK),
    "code_list": envelope(retCode=[10001], result=ACK),
    "code_object": envelope(retCode={"a": 1}, result=ACK),
    "code_float_0": envelope(retCode=0.0, result=ACK),
    "code_float": envelope(retCode=10001.0),
    "code_huge": envelope(retCode=10**400),
    "message_missing": {"retCode": 10006, "result": {}},
    "json_list": [envelope(result=ACK)],
    "json_string": "retCode",
    "json_number": 0,
    "json_null": None,
    "json_true": True,
}
STRANGE_BODIES = {
    "empty": b"",
    "truncated": json.dumps(envelope(result=ACK)).encode()[:-9],
    "html": b"<html><body>Just a moment...</body></html>",
    "nan": b'{"retCode": NaN, "retMsg": "", "result": {}}',
    "infinity": b'{"retCode": Infinity, "retMsg": "", "result": {}}',
    "digits_without_end": b'{"retCode": ' + b"9" * 6000 + b"}",
    "deep": b"[" * 200_000,
    "deep_objects": b'{"a":' * 100_000,
    "ten_megabytes": b'"' + b"x" * 10_000_000 + b'"',
    "ten_megabytes_of_no_json": b"\xe9" * 10_000_000,
    "invalid_utf8": b'{"retCode": 0, "retMsg": "\xff\xfe\xc3", "result": {}}',
    "two_documents": json.dumps(envelope(result=ACK)).encode() * 2,
}


@pytest.mark.parametrize("body", STRANGE_ENVELOPES.values(), ids=STRANGE_ENVELOPES)
def test_place_answered_by_another_shape_is_in_doubt(
    server: VenueServer, desk: Desk, send: Send, body: Any
) -> None:
    """HTTP 200 with anything but the exact envelope proves nothing: in doubt, asked once."""
    server.script = lambda _request, _connection: http(body)
    answer = send()
    assert isinstance(answer.outcome, InDoubt), answer.outcome
    assert len(server.requests) == 1
    assert desk.counted() == {answer.outcome.code: 1}


@pytest.mark.parametrize("body", STRANGE_BODIES.values(), ids=STRANGE_BODIES)
@pytest.mark.parametrize("content_type", ["application/json", "text/html", ""])
def test_place_answered_by_no_json_is_in_doubt(
    server: VenueServer, send: Send, body: bytes, content_type: str
) -> None:
    """A body that is no JSON document, however large, deep or broken, leaves the order in doubt."""
    server.script = lambda _request, _connection: http(body, Content_Type=content_type)
    answer = send()
    assert isinstance(answer.outcome, InDoubt)
    assert answer.outcome.code == "json_decode_error"
    assert answer.outcome.horizon_ms == (answer.signed_at_ms or 0) + 6000
    assert len(server.requests) == 1


BROKEN_TRANSFERS = {
    "cut_in_the_body": http(b'{"retCode": 0', Content_Length="400"),
    "cut_in_the_headers": b"HTTP/1.1 200 OK\r\nContent-Le",
    "no_http": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nothing": b"",
    "gzip_garbage": http(b"\x1f\x8b this is no gzip", Content_Encoding="gzip"),
    "gzip_cut": http(gzip.compress(json.dumps(envelope(result=ACK)).encode())[:-12], Content_Encoding="gzip"),
    "chunk_garbage": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nnonsense\r\n",
    "chunk_cut": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{"retCode": 0',
    "chunks_without_end": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
}


@pytest.mark.parametrize("data", BROKEN_TRANSFERS.values(), ids=BROKEN_TRANSFERS)
def test_place_answer_cut_off_is_in_doubt(server: VenueServer, send: Send, data: bytes) -> None:
    """An answer that breaks off on its way leaves the order in doubt, asked once."""
    server.script = lambda _request, connection: connection.sendall(data)
    answer = send()
    assert isinstance(answer.outcome, InDoubt), answer.outcome
    assert len(server.requests) == 1


def test_place_answered_gzipped_is_acknowledged(server: VenueServer, send: Send) -> None:
    """A compressed acknowledgement is one."""
    body = gzip.compress(json.dumps(envelope(result=ACK)).encode())
    server.script = lambda _request, _connection: http(body, Content_Encoding="gzip")
    assert send().outcome == Acknowledged("e1", 1_785_000_000_000)


def test_place_answered_in_chunks_is_acknowledged(server: VenueServer, send: Send) -> None:
    """An acknowledgement in chunks is one."""
    body = json.dumps(envelope(result=ACK)).encode()
    chunks = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (body[:7], body[7:]))
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n"
    server.script = lambda _request, _connection: data
    assert send().outcome == Acknowledged("e1", 1_785_000_000_000)


STATUSES = {
    "201 Created": (InDoubt, "http_201"),
    "204 No Content": (InDoubt, "http_204"),
    "400 Bad Request": (Refused, Action.DEAD_LETTER),
    "401 Unauthorized": (Refused, Action.HALT_ACCOUNT),
    "403 Forbidden": (Refused, Action.HALT_IP),
    "404 Not Found": (Refused, Action.DEAD_LETTER),
    "405 Method Not Allowed": (InDoubt, "http_405"),
    "418 Teapot": (InDoubt, "http_418"),
    "429 Too Many Requests": (InDoubt, "http_429"),
    "500 Internal Server Error": (InDoubt, "http_5xx"),
    "502 Bad Gateway": (InDoubt, "http_5xx"),
    "503 Service Unavailable": (InDoubt, "http_5xx"),
    "504 Gateway Timeout": (InDoubt, "http_5xx"),
    "599 Whatever": (InDoubt, "http_5xx"),
}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items(), ids=[status[:3] for status in STATUSES])
def test_place_http_status_leads_to_its_action(
    server: VenueServer, send: Send, status: str, expected: tuple[type, str]
) -> None:
    """Each HTTP status leads where the table says, even over a body that looks like a success."""
    body = b"" if status.startswith("204") else json.dumps(envelope(result=ACK)).encode()
    server.script = lambda _request, _connection: http(body, status=status)
    outcome = send().outcome
    found = outcome.action if isinstance(outcome, Refused) else getattr(outcome, "code", "")
    assert (type(outcome), found) == expected
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_place_redirected_is_never_followed(server: VenueServer, send: Send, status: str) -> None:
    """A redirect is not followed: a second POST may be a second order."""
    with VenueServer() as elsewhere:
        location = f"{elsewhere.url}/v5/order/create"
        server.script = lambda _request, _connection: http(b"", status=status, Location=location)
        answer = send()
        assert isinstance(answer.outcome, InDoubt)
        assert elsewhere.requests == []
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X_Bapi_Limit_Reset_Timestamp": "1785000000123"}, (None, None, 1_785_000_000_123)),
        ({"x_bapi_limit_reset_timestamp": "1"}, (None, None, None)),
        ({"X_Bapi_Limit_Reset_Timestamp": "-5"}, (None, None, None)),
        ({"X_Bapi_Limit_Reset_Timestamp": "9" * 19}, (None, None, None)),
        ({"X_Bapi_Limit_Reset_Timestamp": "9" * 5000}, (None, None, None)),
        ({"X_Bapi_Limit_Reset_Timestamp": "soon"}, (None, None, None)),
        ({"X_Bapi_Limit_Reset_Timestamp": ""}, (None, None, None)),
        ({"X_Bapi_Limit": "10", "X_Bapi_Limit_Status": "0"}, (10, 0, None)),
        ({"X_Bapi_Limit": "0", "X_Bapi_Limit_Status": "-1"}, (None, None, None)),
        ({"X_Bapi_Limit": "9" * 18, "X_Bapi_Limit_Status": "1e3"}, (None, None, None)),
        ({}, (None, None, None)),
    ],
    ids=lambda value: "" if isinstance(value, tuple) else (str(sorted(value.items()))[:60] or "none"),
)
@pytest.mark.parametrize("code", [10002, 10006, 30034])
def test_place_refused_for_now_is_sent_once(
    server: VenueServer,
    send: Send,
    code: int,
    headers: dict[str, str],
    expected: tuple[int | None, int | None, int | None],
) -> None:
    """Pybit neither sleeps nor repeats, whatever the limit headers say; nonsense in them counts as absent."""
    server.script = lambda _request, _connection: http(envelope(retCode=code, retMsg="no"), **headers)
    answer = send()
    outcome = answer.outcome
    assert not isinstance(outcome, Acknowledged | NeverSent)
    assert (code, len(server.requests)) == (int(outcome.code), 1)
    assert expected == (outcome.headers.limit, outcome.headers.remaining, outcome.headers.reset_at_ms)
    assert answer.elapsed_s < 1


@pytest.mark.parametrize(
    ("code", "action"),
    [
        (10001, Action.DEAD_LETTER),
        (10002, Action.RESYNC_CLOCK),
        (10003, Action.HALT_ACCOUNT),
        (10004, Action.HALT_ACCOUNT),
        (10006, Action.BACK_OFF),
        (110007, Action.DEAD_LETTER),
    ],
)
def test_place_refused_carries_cause_and_fix(server: VenueServer, send: Send, code: int, action: Action) -> None:
    """A refusal carries Bybit's words and ours."""
    server.script = lambda _request, _connection: http(envelope(retCode=code, retMsg="its own words"))
    outcome = send().outcome
    assert isinstance(outcome, Refused)
    assert (str(code), "its own words", action) == (outcome.code, outcome.message, outcome.action)
    assert outcome.cause
    assert outcome.fix


@pytest.mark.parametrize("message", [None, 5, ["a"], {"a": "b"}, "x" * 100_000, "a\x00b\ud800c\x1b[31m\n"])
def test_place_refused_with_a_strange_message_is_a_refusal(server: VenueServer, send: Send, message: Any) -> None:
    """The message is text of bounded length that any database and terminal can take."""
    server.script = lambda _request, _connection: http(envelope(retCode=10001, retMsg=message))
    outcome = send().outcome
    assert isinstance(outcome, Refused)
    assert len(outcome.message) <= 300
    assert outcome.message.isprintable()


def test_unknown_code_is_resolved(server: VenueServer, send: Send) -> None:
    """A code nobody documented may belong to an order that is live."""
    server.script = lambda _request, _connection: http(envelope(retCode=987654321, retMsg="new"))
    outcome = send().outcome
    assert isinstance(outcome, InDoubt)
    assert (outcome.code, outcome.is_about_order) == ("987654321", False)


def test_amend_and_cancel_are_judged_like_place(server: VenueServer, desk: Desk) -> None:
    """Amend and cancel go to their own endpoints, name the order by link id, and are acknowledged alike."""
    order = live_order()
    far = order.created_at.replace(year=order.created_at.year + 1)
    amended = desk.gateway.amend(order, {"qty": "0.02", "trigger_price": "1"}, sign_before=far).outcome
    cancelled = desk.gateway.cancel(order, sign_before=far).outcome
    assert isinstance(amended, Acknowledged)
    assert isinstance(cancelled, Acknowledged)
    names = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": LINK_ID}
    assert [("/v5/order/amend", {**names, "qty": "0.02", "triggerPrice": "1"}), ("/v5/order/cancel", names)] == [
        (request.path, request.json) for request in server.requests
    ]


def test_cancel_of_a_spot_stop_order_names_its_filter(server: VenueServer, desk: Desk) -> None:
    """A spot stop order is only found under its filter."""
    order = live_order(category="spot", order_filter="StopOrder")
    desk.gateway.cancel(order, sign_before=order.created_at.replace(year=order.created_at.year + 1))
    assert server.requests[0].json["orderFilter"] == "StopOrder"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
results = st.one_of(
    json_values,
    st.fixed_dictionaries({}, optional={"orderId": json_values, "orderLinkId": st.just(LINK_ID) | json_values}),
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "retCode": st.sampled_from([0, 10001, 10006, 110072]) | json_values,
        "retMsg": json_values,
        "result": results,
        "retExtInfo": json_values,
        "time": json_values,
        "ret_code": json_values,
        "ret_msg": json_values,
    },
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=envelopes | json_values)
@example(body=envelope(result=ACK))
@example(body=envelope(result=ACK, time=10**18))
def test_place_any_json_never_raises_nor_passes_for_an_acknowledgement(
    server: VenueServer, desk: Desk, body: Any
) -> None:
    """For every JSON value: an outcome, acknowledged only for the exact envelope, never "not sent", asked once."""
    server.requests.clear()
    server.script = lambda _request, _connection: http(body)
    outcome = place(desk).outcome
    assert not isinstance(outcome, NeverSent)
    assert len(server.requests) == 1
    if isinstance(outcome, Acknowledged):
        assert type(body["retCode"]) is int
        assert body["retCode"] == 0
        assert body["result"]["orderLinkId"] == LINK_ID
        assert body["result"]["orderId"][:64] == outcome.exchange_order_id
        assert outcome.exchange_order_id.isprintable()
        assert outcome.exchange_time_ms is None or 10**12 <= outcome.exchange_time_ms < 10**13


def test_place_acknowledged_says_what_bybit_said(server: VenueServer, desk: Desk, send: Send) -> None:
    """The exact envelope is an acknowledgement, with the exchange's time and the limit headers."""

    def script(request: Any, connection: Any) -> bytes:
        limits = b"X-Bapi-Limit: 10\r\nX-Bapi-Limit-Status: 9\r\nX-Bapi-Limit-Reset-Timestamp: 1785000001000\r\n"
        return acknowledge(request, connection).replace(b"Content-Type", limits + b"Content-Type", 1)

    server.script = script
    outcome = send().outcome
    assert isinstance(outcome, Acknowledged)
    assert (outcome.exchange_order_id, outcome.exchange_time_ms) == ("1321003749386327552", 1_785_000_000_000)
    limits = outcome.headers
    assert (limits.limit, limits.remaining, limits.reset_at_ms) == (10, 9, 1_785_000_001_000)
    assert desk.counted() == {"0": 1}
