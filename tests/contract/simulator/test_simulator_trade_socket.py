"""`/v5/trade`: the same orders, limits and refusals as over HTTP, in the form of the socket."""

from __future__ import annotations

import time
from typing import Any

import pytest
from exchange_driver import RESTING, Exchange, Json, Signer, eventually
from socket_driver import Socket, socket_to
from websockets.exceptions import ConnectionClosed


def order(op: str = "order.create", offset_ms: int = 0, window: str = "", **params: Any) -> Json:
    """Return a trade message for a resting order, with whatever the test changes."""
    header = {"X-BAPI-TIMESTAMP": str(int(time.time() * 1000) + offset_ms)}
    if window:
        header["X-BAPI-RECV-WINDOW"] = window
    args = params if op != "order.create" else {**RESTING, **params}
    return {"header": header, "op": op, "args": [args]}


def logged_in(socket: Socket, name: object = 1001) -> Socket:
    """Authenticate, which must succeed."""
    answer = socket.log_in(name)
    assert (0, "OK", "auth") == (answer["retCode"], answer["retMsg"], answer["op"])
    return socket


def test_create_amend_cancel_are_acknowledged_like_http(exchange: Exchange):
    """Each answer carries the two ids, the limit headers and the request id."""
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket)
        made = socket.ask(reqId="r1", **order(orderLinkId="a"))
        ids = {"category": "linear", "symbol": "BTCUSDT", "orderLinkId": "a"}
        amended = socket.ask(**order("order.amend", qty="0.02", **ids))
        cancelled = socket.ask(**order("order.cancel", **ids))
    assert ("r1", 0, "order.create", "a") == (
        made["reqId"],
        made["retCode"],
        made["op"],
        made["data"]["orderLinkId"],
    )
    assert ("10", "9") == (made["header"]["X-Bapi-Limit"], made["header"]["X-Bapi-Limit-Status"])
    assert [0, 0] == [amended["retCode"], cancelled["retCode"]]
    truth = eventually(lambda: [item for item in exchange.orders() if item["orderStatus"] == "Cancelled"])
    assert "0.02" == truth[0]["qty"]


def test_batches_are_judged_item_by_item(exchange: Exchange):
    """A batch is acknowledged, its failures stand in retExtInfo."""
    good = {name: value for name, value in RESTING.items() if name != "category"}
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket)
        message = order("order.create-batch", category="linear", request=[good, {**good, "qty": "0.0001"}])
        answer = socket.ask(**message)
    assert 0 == answer["retCode"]
    assert [0, 10001] == [item["code"] for item in answer["retExtInfo"]["list"]]
    assert 1 == len(exchange.orders())


def test_socket_and_http_share_one_limit(exchange: Exchange, client: Signer):
    """Seven by HTTP and three by the socket use up the ten of a second; the next is 10006 on either."""
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket)
        exchange.control("limits", uid=1001, endpoint="/v5/order/create", limit=4)
        for _ in range(2):
            client.create()
            socket.say(**order())
        socket.say(**order())
        codes = [socket.hear()["retCode"] for _ in range(3)]
    counted = exchange.stats()["uids"]["1001"]["/v5/order/create linear"]
    assert 5 == counted["requests"]
    assert (4 if codes == [0, 0, 10006] else 5) == counted["accepted"]
    assert counted["max_admitted_per_second"] <= 4


@pytest.mark.parametrize(
    ("wanted", "changes", "code"),
    [
        ({"offset_ms": -10_000}, {}, 10002),
        ({"offset_ms": -7_000, "window": "20000"}, {}, 0),
        ({"offset_ms": 5_000}, {}, 10002),
        ({"op": "order.explode"}, {}, 10404),
        ({"category": "fx"}, {}, 10404),
        ({}, {"args": []}, 10001),
        ({}, {"reqId": "x" * 37}, 10001),
        ({"symbol": "NOPE"}, {}, 10001),
        ({"category": "spot", "symbol": "NOPE"}, {}, 170121),
    ],
)
def test_refusals_have_the_codes_of_http(exchange: Exchange, wanted: Json, changes: Json, code: int):
    """Stale requests, unknown operations and bad parameters are refused, each with its code."""
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket)
        answer = socket.ask(**{**order(**wanted), **changes})
    assert code == answer["retCode"], answer


def test_request_ids_are_used_once(exchange: Exchange):
    """The second use of a reqId is refused with 20006, and nothing is placed."""
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket)
        assert 0 == socket.ask(reqId="same", **order())["retCode"]
        assert 20006 == socket.ask(reqId="same", **order())["retCode"]
    assert 1 == len(exchange.orders())


def test_auth_failures_and_repeats_have_codes(exchange: Exchange):
    """Bad signature 10004, malformed 10001, a second auth 20001, no auth at all is refused."""
    with socket_to(exchange, "/v5/trade") as socket:
        assert 10001 == socket.ask(**order())["retCode"]
        bad = ["sim-key-1001", int((time.time() + 10) * 1000), "0" * 64]
        assert 10004 == socket.ask(op="auth", args=bad)["retCode"]
        assert 10001 == socket.ask(op="auth", args=[])["retCode"]
        logged_in(socket)
        assert 20001 == socket.log_in()["retCode"]
    assert [] == exchange.orders()


def test_read_only_key_is_refused(exchange: Exchange):
    """The permission gate stands here, too."""
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket, "readonly")
        assert 10005 == socket.ask(**order())["retCode"]


def test_ping_is_answered_with_the_trade_pong(exchange: Exchange):
    """The third form of a pong."""
    with socket_to(exchange, "/v5/trade") as socket:
        answer = socket.ask(op="ping")
    assert ("pong", 0) == (answer["op"], answer["retCode"])
    assert answer["data"][0].isdigit()


@pytest.mark.parametrize(("fault", "placed"), [("drop_before", 0), ("drop_after", 1), ("reset", 0)])
def test_faults_of_http_strike_the_socket(exchange: Exchange, fault: str, placed: int):
    """The connection breaks before or after the order was accepted, and the client cannot tell."""
    exchange.fault(fault, match={"path": "/v5/order/create"})
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket)
        socket.say(**order())
        with pytest.raises(ConnectionClosed):
            socket.hear()
    assert placed == len(exchange.orders())


def test_faulty_codes_and_late_answers_reach_the_socket(exchange: Exchange):
    """`ret_code` and `delay` do what they do over HTTP."""
    with socket_to(exchange, "/v5/trade") as socket:
        logged_in(socket)
        exchange.fault("ret_code", args={"ret_code": 10016, "when": "after"})
        assert 10016 == socket.ask(**order(orderLinkId="x"))["retCode"]
        exchange.fault("delay", args={"delay_ms": 100})
        socket.say(reqId="late", **order(orderLinkId="y"))
        socket.say(reqId="soon", **order(orderLinkId="z"))
        assert ["soon", "late"] == [socket.hear()["reqId"] for _ in range(2)]
    assert {"x", "y", "z"} == {item["orderLinkId"] for item in exchange.orders()}
