"""Every fault strikes where it says, as often as it says."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest
import requests
from exchange_driver import RESTING, Exchange, Signer, eventually


def test_fault_drop_before_loses_the_request(exchange: Exchange, client: Signer):
    """The connection ends without an answer, and there is no order."""
    exchange.fault("drop_before", match={"path": "/v5/order/create"})
    with pytest.raises(requests.ConnectionError):
        client.create(orderLinkId="lost")
    assert exchange.orders() == []
    assert client.create(orderLinkId="lost")["retCode"] == 0


def test_fault_drop_after_loses_only_the_answer(exchange: Exchange, client: Signer):
    """The connection ends without an answer, but the order lives; sending it again is a duplicate."""
    exchange.fault("drop_after")
    with pytest.raises(requests.ConnectionError):
        client.create(orderLinkId="kept")
    assert [order["orderLinkId"] for order in exchange.orders(uid=1001)] == ["kept"]
    assert client.create(orderLinkId="kept")["retCode"] == 110072


def test_fault_drop_after_can_hang_first(exchange: Exchange, client: Signer):
    """With hang_s a client meets its own read timeout, and the order lives."""
    exchange.fault("drop_after", args={"hang_s": 30})
    with pytest.raises(requests.ReadTimeout):
        client.post("/v5/order/create", timeout=0.2, **RESTING)
    assert len(exchange.orders()) == 1


def test_fault_delay_answers_late(exchange: Exchange, client: Signer):
    """The order is accepted at once, its answer waits."""
    exchange.fault("delay", args={"delay_ms": 200})
    started = time.monotonic()
    assert client.create()["retCode"] == 0
    assert time.monotonic() - started >= 0.2


def test_fault_delay_before_lets_the_request_arrive_late(exchange: Exchange, client: Signer):
    """A request still on its way when its client gave up becomes an order later."""
    exchange.fault("delay", args={"delay_ms": 400, "when": "before"})
    with pytest.raises(requests.ReadTimeout):
        client.post("/v5/order/create", timeout=0.1, **RESTING)
    assert exchange.orders() == []
    assert eventually(exchange.orders)[0]["orderStatus"] in {"Created", "New"}


def test_fault_delay_past_the_signing_window_refuses_the_request(exchange: Exchange, client: Signer):
    """A request that arrives later than its recv_window can no longer become an order (10002)."""
    client.recv_window = "200"
    exchange.fault("delay", args={"delay_ms": 300, "when": "before"})
    assert client.create()["retCode"] == 10002
    assert exchange.orders() == []


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
def test_fault_reset_sends_a_tcp_reset(exchange: Exchange, client: Signer, when: str, orders: int):
    """The peer sees ECONNRESET rather than an orderly end."""
    exchange.fault("reset", args={"when": when})
    body = '{"category":"linear","symbol":"BTCUSDT","side":"Buy","orderType":"Limit","qty":"0.01","price":"59000"}'
    lines = [f"{name}: {value}" for name, value in client.headers(body).items()]
    head = "\r\n".join(["POST /v5/order/create HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *lines])
    address = urlsplit(exchange.url)
    with socket.create_connection((address.hostname, address.port), timeout=5) as connection:
        connection.sendall(f"{head}\r\n\r\n{body}".encode())
        with pytest.raises(ConnectionResetError):
            connection.recv(100)
    assert len(exchange.orders()) == orders


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
def test_fault_status_answers_an_http_error(exchange: Exchange, client: Signer, when: str, orders: int):
    """HTTP 502 without JSON, before or after the order came to be."""
    exchange.fault("status", args={"status": 502, "when": when})
    answer = client.post("/v5/order/create", **RESTING)
    assert (answer.status_code, answer.text) == (502, "upstream error")
    assert len(exchange.orders()) == orders


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
def test_fault_ret_code_answers_that_code(exchange: Exchange, client: Signer, when: str, orders: int):
    """Any retCode can be given, with or without the order behind it."""
    exchange.fault("ret_code", args={"ret_code": 10016, "ret_msg": "Server error.", "when": when})
    answer = client.create()
    assert (answer["retCode"], answer["retMsg"]) == (10016, "Server error.")
    assert len(exchange.orders()) == orders


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
def test_fault_bad_json_garbles_the_body(exchange: Exchange, client: Signer, when: str, orders: int):
    """HTTP 200 with a body no parser takes."""
    exchange.fault("bad_json", args={"when": when})
    answer = client.post("/v5/order/create", **RESTING)
    assert answer.status_code == 200
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert len(exchange.orders()) == orders


def test_fault_slow_visibility_hides_the_order_from_queries(exchange: Exchange, client: Signer):
    """realtime, history and executions do not know the order until the time has passed; the truth does."""
    exchange.fault("slow_visibility", args={"seconds": 2})
    client.create(orderType="Market", orderLinkId="slow")

    def found(path: str) -> bool:
        answer = client.get(path, category="linear", symbol="BTCUSDT", orderLinkId="slow").json()
        return bool(answer["result"].get("list"))  # asked too often, it has none

    paths = ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list")
    assert [found(path) for path in paths] == [False] * 3
    assert exchange.orders(orderLinkId="slow")[0]["orderStatus"] == "Filled"
    for path in paths:
        eventually(lambda path=path: found(path))


def test_fault_no_limit_headers_leaves_them_out(exchange: Exchange, client: Signer):
    """The answer comes without the three headers."""
    exchange.fault("no_limit_headers")
    answer = client.post("/v5/order/create", **RESTING)
    assert answer.json()["retCode"] == 0
    assert not [name for name in answer.headers if name.lower().startswith("x-bapi")]


def test_fault_reset_in_past_breaks_naive_sleepers(exchange: Exchange):
    """The reset header lies in the past; pybit's own retry then asks for a negative sleep."""
    exchange.control("limits", endpoint="/v5/order/create", limit=0)
    exchange.fault("reset_in_past", count=None)
    session = exchange.pybit(retry_codes={10006}, max_retries=2)
    with pytest.raises(ValueError, match="non-negative"):
        session.place_order(**RESTING)


def test_fault_counts_down_and_is_gone(exchange: Exchange, client: Signer):
    """GET shows what remains; a fault that is used up disappears; DELETE lifts the rest."""
    exchange.fault("ret_code", count=2, args={"ret_code": 10000})
    client.create()
    listed = exchange.control("faults", "GET")["list"][0]
    assert (listed["count"], listed["hits"]) == (1, 1)
    client.create()
    assert exchange.control("faults", "GET")["list"] == []
    exchange.fault("ret_code", count=None, args={"ret_code": 10000})
    exchange.control("faults", "DELETE")
    assert client.create()["retCode"] == 0


def test_fault_match_narrows_by_path_uid_and_symbol(exchange: Exchange):
    """Only the requests that match are hit, batch items included."""
    exchange.fault(
        "ret_code",
        count=None,
        args={"ret_code": 10000},
        match={"path": "/v5/order/*", "uid": 1001, "symbol": "ETHUSDT"},
    )
    mine, other = exchange.signer(1001), exchange.signer(1002)
    eth = {"symbol": "ETHUSDT", "price": "2990"}
    assert [mine.create()["retCode"], mine.create(**eth)["retCode"], other.create(**eth)["retCode"]] == [
        0,
        10000,
        0,
    ]
    batch = [{**RESTING, "symbol": "SOLUSDT"}, {**RESTING, **eth}]
    assert mine.post("/v5/order/create-batch", category="linear", request=batch).json()["retCode"] == 10000


def test_fault_probability_hits_some(exchange: Exchange, client: Signer):
    """A probability of one half hits some of many requests and not others."""
    exchange.fault("ret_code", count=None, probability=0.5, args={"ret_code": 10000})
    codes = {client.get("/v5/account/info").json()["retCode"] for _ in range(40)}
    assert codes == {0, 10000}


def test_seeded_fault_hits_the_same_requests_whatever_other_faults_do(exchange: Exchange, client: Signer):
    """The sequence of hits belongs to the seed; a fault beside it draws for itself."""

    def codes(seed: int) -> list[int]:
        exchange.fault("ret_code", count=None, probability=0.5, seed=seed, args={"ret_code": 10000})
        answers = [client.get("/v5/account/info").json()["retCode"] for _ in range(40)]
        assert requests.delete(exchange.url + "/simulator/faults", timeout=5).ok
        return answers

    first = codes(7)
    exchange.fault("no_limit_headers", count=None, probability=0.5)
    assert first == codes(7)
    assert first != codes(8)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"fault": "explode"}, "fault must be one of"),
        ({"fault": "lose_event", "match": {"path": "/v5/order/*"}}, "topic (for lose_event)"),
        ({"fault": "duplicate_event", "match": {"topic": "fills"}}, "match.topic must be one of"),
        ({"fault": "reorder_events", "args": {"delay_ms": -1}}, "not negative"),
        ({"fault": "ret_code"}, "ret_code needs args"),
        ({"fault": "delay"}, "delay needs args"),
        ({"fault": "delay", "args": {"seconds": -1}}, "not negative"),
        ({"fault": "status", "args": {"status": 42}}, "HTTP status"),
        ({"fault": "drop_after", "args": {"when": "before"}}, "args of drop_after"),
        ({"fault": "reset", "count": 0}, "count must be"),
        ({"fault": "reset", "probability": 2}, "probability must be"),
        ({"fault": "reset", "count": 1, "probability": 0.5}, "not both"),
        ({"fault": "reset", "seed": 7}, "goes with a probability"),
        ({"fault": "reset", "probability": 0.5, "seed": "7"}, "seed must be"),
        ({"fault": "reset", "match": {"account": 1}}, "match must be"),
        ({"fault": "reset", "match": {"uid": "1001"}}, "match.uid"),
        ({"fault": "reset", "times": 1}, "unknown fields"),
    ],
)
def test_fault_that_makes_no_sense_is_refused_with_the_remedy(exchange: Exchange, body: dict, says: str):
    """HTTP 400 with an error that tells what to send."""
    answer = requests.post(exchange.url + "/simulator/faults", json=body, timeout=5)
    assert answer.status_code == 400
    assert says in answer.json()["error"]
