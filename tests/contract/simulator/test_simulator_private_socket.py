"""`/v5/private`: authentication, subscriptions, pings, and the events of an account."""

from __future__ import annotations

import pytest
from exchange_driver import Exchange, Signer, eventually
from socket_driver import socket_to


def test_auth_good_signature_is_accepted_without_a_code(exchange: Exchange):
    """The private socket answers auth with success and an empty message."""
    with socket_to(exchange) as socket:
        answer = socket.log_in(req_id="7")
    assert {"success": True, "ret_msg": "", "op": "auth", "req_id": "7"} == {
        name: value for name, value in answer.items() if name != "conn_id"
    }


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("1001", {"expires_in_s": -1}, "Params Error"),
        ("1001", {"args": ["sim-key-1001"]}, "Params Error"),
        ("1001", {"args": ["sim-key-1001", 9999999999999, "0" * 64]}, "Error sign"),
        ("mainnet", {}, "API key is invalid"),
        ("expired", {}, "expired"),
        ("bound", {}, "Unmatched IP"),
    ],
)
def test_auth_bad_credentials_are_refused(exchange: Exchange, name: str, changes: dict, said: str):
    """What an HTTP request would be refused for, auth is refused for."""
    with socket_to(exchange) as socket:
        answer = socket.ask(op="auth", **changes) if "args" in changes else socket.log_in(name, **changes)
        assert answer["success"] is False
        assert said in answer["ret_msg"]
        assert socket.ask(op="subscribe", args=["order"])["ret_msg"] == "error:topic:order needs auth first."


def test_ping_is_answered_with_the_private_pong(exchange: Exchange):
    """The private pong has its own op and tells the time."""
    with socket_to(exchange) as socket:
        answer = socket.ask(op="ping", req_id="p1")
    assert ("pong", "p1") == (answer["op"], answer["req_id"])
    assert answer["args"][0].isdigit()


@pytest.mark.parametrize(
    ("topics", "said"),
    [
        (["order", "nonsense"], "error:handler not found,topic:nonsense"),
        (["position.spot"], "error:handler not found,topic:position.spot"),
        (["order", "order.linear"], "cannot be subscribed in one request"),
        ([], "Params Error"),
    ],
)
def test_subscribe_impossible_topics_are_refused_as_a_whole(exchange: Exchange, topics: list[str], said: str):
    """One bad topic refuses its whole request, and nothing is subscribed."""
    with socket_to(exchange) as socket:
        assert socket.log_in()["success"] is True
        answer = socket.ask(op="subscribe", args=topics, req_id="9")
        assert (False, "9") == (answer["success"], answer["req_id"])
        assert said in answer["ret_msg"]
        assert exchange.stats()["streams"]["uids"]["1001"]["topics"] == {}


def test_filled_order_is_told_on_all_topics(exchange: Exchange, client: Signer):
    """A fill shows as execution, order, position and wallet, with the figures of the truth."""
    with socket_to(exchange) as socket:
        socket.follow("order", "execution", "position", "wallet")
        client.create(orderLinkId="a", price="61000")
        heard = socket.until(lambda message: message["topic"] == "wallet")
    told = {message["topic"]: message["data"][0] for message in heard}
    truth = exchange.orders(orderLinkId="a")[0]
    assert {"order", "execution", "position", "wallet"} == set(told)
    assert all(told["order"][name] == truth[name] for name in ("orderId", "orderStatus", "cumExecQty", "avgPrice"))
    fill = truth["executions"][0]
    assert all(told["execution"][name] == fill[name] for name in ("execId", "execPrice", "execFee", "isMaker"))
    assert ("0.01", "60000.1") == (told["position"]["size"], told["position"]["entryPrice"])
    assert "avgPrice" not in told["position"]
    assert ["USDT"] == [coin["coin"] for coin in told["wallet"]["coin"]]


def test_subscribe_sends_no_snapshot(exchange: Exchange, client: Signer):
    """What happened before a subscription is not told."""
    client.create(orderLinkId="before")
    eventually(lambda: exchange.orders(orderLinkId="before")[0]["orderStatus"] == "New")
    with socket_to(exchange) as socket:
        socket.follow("order")
        client.create(orderLinkId="after")
        assert "after" == socket.rows("order", 1)[0]["orderLinkId"]


def test_categorised_topics_carry_their_category_only(exchange: Exchange, client: Signer):
    """`order.spot` tells of spot orders, whatever else happens."""
    with socket_to(exchange) as socket:
        socket.follow("order.spot", "execution.fast.linear")
        client.create(orderLinkId="linear", price="61000")
        client.create(orderLinkId="spot", category="spot")
        heard = socket.until(lambda message: message["topic"] == "order.spot")
    fast, spot = heard
    assert ["linear"] == [row["orderLinkId"] for row in fast["data"]]
    assert "id" not in fast
    assert "execFee" not in fast["data"][0]
    assert ["spot"] == [row["orderLinkId"] for row in spot["data"]]


def test_market_move_fills_several_orders_in_one_message(exchange: Exchange, client: Signer):
    """Executions of one moment share a message."""
    with socket_to(exchange) as socket:
        socket.follow("execution")
        for number in range(3):
            client.create(orderLinkId=f"m{number}")
        eventually(lambda: [order["orderStatus"] for order in exchange.orders()] == ["New"] * 3)
        exchange.control("market", symbol="BTCUSDT", category="linear", price="58000")
        message = socket.hear()
    assert ["m0", "m1", "m2"] == [row["orderLinkId"] for row in message["data"]]


def test_partly_filled_cancel_is_told_as_bybit_does(exchange: Exchange, client: Signer):
    """A cancelled spot order with fills ends PartiallyFilledCanceled, a futures order Cancelled with its fills."""
    with socket_to(exchange) as socket:
        socket.follow("order")
        exchange.control("market", symbol="BTCUSDT", depth="0.004")
        client.create(orderLinkId="s", category="spot", price="60010", timeInForce="IOC")
        client.create(orderLinkId="f", price="60010", timeInForce="IOC")
        rows = socket.rows("order", 4)
    last = {row["orderLinkId"]: row for row in rows}
    assert ("PartiallyFilledCanceled", "0.004") == (last["s"]["orderStatus"], last["s"]["cumExecQty"])
    assert ("Cancelled", "0.004") == (last["f"]["orderStatus"], last["f"]["cumExecQty"])


def test_conditional_order_is_told_through_its_trigger(exchange: Exchange, client: Signer):
    """Untriggered, Triggered, then the fate of the plain order."""
    with socket_to(exchange) as socket:
        socket.follow("order")
        client.create(orderLinkId="c", orderType="Market", triggerPrice="61000", triggerDirection=1)
        waiting = socket.rows("order", 1)
        exchange.control("market", symbol="BTCUSDT", category="linear", price="61000")
        rows = waiting + socket.rows("order", 2)
    assert ["Untriggered", "Triggered", "Filled"] == [row["orderStatus"] for row in rows]


def test_attached_take_profit_names_its_parent(exchange: Exchange, client: Signer):
    """The child has no link id of its own and says whose child it is."""
    with socket_to(exchange) as socket:
        socket.follow("order")
        client.create(orderLinkId="parent", price="61000", takeProfit="62000", stopLoss="58000")
        rows = socket.rows("order", 3)
    children = [row for row in rows if row["orderLinkId"] == ""]
    assert ["parent", "parent"] == [row["parentOrderLinkId"] for row in children]
    assert ["TakeProfit", "StopLoss"] == [row["stopOrderType"] for row in children]


def test_funding_is_told_as_an_execution_of_no_order(exchange: Exchange, client: Signer):
    """A funding fee has execType Funding, an order id nobody knows, and stands in the list of executions."""
    client.create(orderLinkId="long", price="61000")
    eventually(lambda: exchange.orders(orderLinkId="long")[0]["orderStatus"] == "Filled")
    with socket_to(exchange) as socket:
        socket.follow("execution")
        exchange.control("funding", symbol="BTCUSDT", rate=0.0001)
        row = socket.rows("execution", 1)[0]
    listed = client.get("/v5/execution/list", category="linear", execType="Funding").json()["result"]["list"]
    assert ("Funding", "0.06") == (row["execType"], row["execFee"])
    assert [row["execId"]] == [item["execId"] for item in listed]
    assert row["orderId"] not in {order["orderId"] for order in exchange.orders()}


def test_other_accounts_hear_nothing(exchange: Exchange, client: Signer):
    """Events reach the sockets of their own UID only."""
    with socket_to(exchange) as mine, socket_to(exchange) as other:
        mine.follow("order")
        assert other.log_in(1002)["success"] is True
        assert other.ask(op="subscribe", args=["order"])["success"] is True
        client.create(orderLinkId="mine")
        exchange.signer(1002).create(orderLinkId="theirs")
        assert "mine" == mine.rows("order", 1)[0]["orderLinkId"]
        assert "theirs" == other.rows("order", 1)[0]["orderLinkId"]


def test_unsubscribe_ends_a_topic(exchange: Exchange, client: Signer):
    """After unsubscribe nothing of the topic comes any more."""
    with socket_to(exchange) as socket:
        socket.follow("order", "execution")
        assert socket.ask(op="unsubscribe", args=["order"])["success"] is True
        client.create(orderLinkId="u", price="61000")
        assert "execution" == socket.hear()["topic"]
        assert "pong" == socket.ask(op="ping")["op"]
