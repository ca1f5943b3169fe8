"""Parameters are judged as Bybit judges them, with its codes."""

from __future__ import annotations

from typing import Any

import pytest
from exchange_driver import Exchange, Json, Signer

SPOT: Json = {"category": "spot"}
OPTION: Json = {"category": "option", "symbol": "BTC-26MAR27-60000-C-USDT", "qty": "0.1", "price": "6600"}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"category": "futures"}, 10001),
        ({"category": None}, 10001),
        ({"symbol": "NOPEUSDT"}, 10001),
        ({"symbol": "btcusdt"}, 10001),
        ({"symbol": None}, 10001),
        ({"symbol": "BIOUSDT", "price": "0.3", "qty": "100"}, 110074),
        ({"side": "buy"}, 10001),
        ({"side": 1}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"timeInForce": "DAY"}, 10001),
        ({"qty": "0.0105"}, 10001),
        ({"qty": "0.0001"}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"qty": "1e-3"}, 10001),
        ({"qty": "NaN"}, 10001),
        ({"qty": "1191"}, 10001),
        ({"qty": 0.01}, 10001),
        ({"qty": 1}, 10001),
        ({"qty": None}, 10001),
        ({"qty": "501", "orderType": "Market"}, 10001),
        ({"price": "59000.05"}, 10001),
        ({"price": 59000}, 10001),
        ({"price": None}, 10001),
        ({"price": "0"}, 10001),
        ({"price": "2000000"}, 10001),
        ({"symbol": "XRPUSDT", "qty": "1", "price": "0.6"}, 110094),
        ({"symbol": "1000PEPEUSDT", "qty": "150", "price": "0.01"}, 10001),
        ({"symbol": "SUIUSDT", "qty": "15", "price": "1.5"}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"orderLinkId": "no spaces"}, 10001),
        ({"orderLinkId": "ümlaut"}, 10001),
        ({"orderLinkId": 7}, 10001),
        ({"positionIdx": 1}, 10001),
        ({"positionIdx": "0"}, 10001),
        ({"reduceOnly": "true"}, 10001),
        ({"reduceOnly": True}, 110017),
        ({"triggerPrice": "60500"}, 10001),
        ({"triggerPrice": "59000", "triggerDirection": 1}, 110092),
        ({"triggerPrice": "60500", "triggerDirection": 2}, 110093),
        ({"triggerPrice": "60500", "triggerDirection": 1, "triggerBy": "Moon"}, 10001),
        ({"orderType": "Market", "slippageToleranceType": "TickSize", "slippageTolerance": "10001"}, 110108),
        ({"orderType": "Market", "slippageToleranceType": "Percent", "slippageTolerance": "0.001"}, 110109),
        ({"takeProfit": 61000}, 10001),
        ({**SPOT, "symbol": "NOPEUSDT"}, 170121),
        ({**SPOT, "side": "buy"}, 170117),
        ({**SPOT, "orderType": "Stop"}, 170116),
        ({**SPOT, "timeInForce": "DAY"}, 170115),
        ({**SPOT, "qty": "0.0100001"}, 170137),
        ({**SPOT, "qty": "0"}, 170136),
        ({**SPOT, "qty": "84"}, 170382),
        ({**SPOT, "price": "59000.05"}, 170134),
        ({**SPOT, "price": "0"}, 170133),
        ({**SPOT, "qty": "0.00001"}, 170140),
        ({**SPOT, "price": "66000"}, 170193),
        ({**SPOT, "side": "Sell", "price": "54000"}, 170194),
        ({**SPOT, "orderType": "Market", "qty": "4"}, 170140),
        ({**SPOT, "orderType": "Market", "qty": "10.00000001"}, 170148),
        ({**SPOT, "orderFilter": "Moon"}, 170201),
        ({**SPOT, "orderFilter": "tpslOrder"}, 170202),
        ({**OPTION}, 10001),
        ({**OPTION, "orderLinkId": "o", "price": "6602"}, 10001),
        ({**OPTION, "orderLinkId": "o", "qty": "0.105"}, 10001),
        ({"category": "inverse", "symbol": "BTCUSD", "qty": "1.5"}, 10001),
        ({"category": "inverse", "symbol": "BTCUSDT", "qty": "100"}, 10001),
    ],
)  # fmt: skip
def test_create_with_a_bad_parameter_is_refused_in_the_ack(
    exchange: Exchange, client: Signer, changes: dict[str, Any], code: int
):
    """Each broken rule gives its code, and no order comes to be."""
    answer = client.create(**changes)
    assert (answer["retCode"], answer["result"]) == (code, {})
    assert exchange.orders() == []


def test_create_unknown_symbol_says_so(client: Signer):
    """The message of an unknown symbol names it."""
    assert client.create(symbol="NOPEUSDT")["retMsg"] == "params error: symbol invalid NOPEUSDT"


def test_spot_ignores_its_deprecated_minimum_quantity(client: Signer):
    """Spot checks the order value only; minOrderQty is no longer looked at."""
    assert client.create(**SPOT, symbol="DOGEUSDT", qty="34", price="0.15")["retCode"] == 0
    assert client.create(**SPOT, symbol="SOLUSDT", qty="0.034", price="150")["retCode"] == 0


@pytest.mark.parametrize("path", ["amend", "cancel"])
@pytest.mark.parametrize(
    ("category", "unknown", "filled", "cancelled"),
    [("linear", 110001, 110008, 110010), ("spot", 170213, 170139, 170142)],
)
def test_change_of_an_order_that_is_not_open_is_refused(
    client: Signer, path: str, category: str, unknown: int, filled: int, cancelled: int
):
    """Unknown, filled and cancelled orders have codes of their own."""
    qty = "600" if category == "spot" else "0.01"
    client.create(category=category, orderLinkId="filled", orderType="Market", qty=qty)
    client.create(category=category, orderLinkId="cancelled", timeInForce="IOC")

    def change(link_id: str, **more: str) -> int:
        names = {"category": category, "symbol": "BTCUSDT", "orderLinkId": link_id, "price": "58000"}
        return client.post(f"/v5/order/{path}", **{**names, **more}).json()["retCode"]

    assert [change(link_id) for link_id in ("none", "filled", "cancelled")] == [unknown, filled, cancelled]
    client.create(category=category, orderLinkId="open")
    assert change("open", symbol="ETHUSDT") == unknown
    assert change("open", orderId="wins-over-the-link-id") == unknown
    assert change("open") == 0


def test_amend_without_a_change_is_refused(client: Signer):
    """An amend must name what changes."""
    client.create(orderLinkId="same")
    answer = client.post("/v5/order/amend", category="linear", symbol="BTCUSDT", orderLinkId="same").json()
    assert answer["retCode"] == 10001


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v5/order/realtime", {}),
        ("/v5/order/realtime", {"category": "linear"}),
        ("/v5/order/realtime", {"category": "spot", "limit": "51"}),
        ("/v5/execution/list", {"category": "linear", "limit": "101"}),
        ("/v5/execution/list", {"category": "linear", "cursor": "nonsense"}),
        ("/v5/position/list", {"category": "spot"}),
        ("/v5/position/list", {"category": "linear"}),
        ("/v5/account/wallet-balance", {}),
        ("/v5/market/instruments-info", {"category": "moon"}),
        ("/v5/market/instruments-info", {"category": "linear", "limit": "1001"}),
        ("/v5/market/instruments-info", {"category": "linear", "status": "Moon"}),
        ("/v5/market/tickers", {"category": "option"}),
        ("/v5/market/orderbook", {"category": "linear", "symbol": "NOPE"}),
    ],
)
def test_query_with_a_bad_parameter_is_refused(client: Signer, path: str, params: dict[str, str]):
    """Queries answer 10001 to what they cannot use."""
    assert client.get(path, **params).json()["retCode"] == 10001


@pytest.mark.parametrize("size", [0, 21])
def test_batch_of_a_wrong_size_is_refused_as_a_whole(client: Signer, size: int):
    """Linear batches hold 1 to 20 orders."""
    exchange_item = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59000"}
    answer = client.post("/v5/order/create-batch", category="linear", request=[exchange_item] * size).json()
    assert (answer["retCode"], answer["result"]) == (10001, {})


def test_batch_admits_as_many_items_as_fit_the_limit(exchange: Exchange, client: Signer):
    """Of 14 orders ten pass and four get 10006; another batch in the same second is refused as a whole."""
    item = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59000"}
    items = [{**item, "orderLinkId": f"b-{n}"} for n in range(14)]
    batch = {"category": "linear", "request": items}
    first, second = client.burst("/v5/order/create-batch", [batch, batch])
    answer = first.json()
    assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0] * 10 + [10006] * 4
    assert [bool(row["orderId"]) for row in answer["result"]["list"]] == [True] * 10 + [False] * 4
    assert first.headers["x-bapi-limit-status"] == "0"
    assert second.json()["retCode"] == 10006
    assert client.create(orderLinkId="single")["retCode"] == 0
    stats = exchange.stats()["uids"]["1001"]["/v5/order/create-batch linear"]
    assert (stats["max_per_second"], stats["max_admitted_per_second"], stats["ret_codes"]["10006"]) == (28, 10, 5)


def test_batch_of_options_costs_one(client: Signer):
    """An option batch counts as one request whatever its size."""
    items = [
        {**OPTION, "side": "Buy", "orderType": "Limit", "price": "1000", "orderLinkId": f"o-{n}"}
        for n in range(20)
    ]
    answer = client.post("/v5/order/create-batch", category="option", request=items)
    assert [row["code"] for row in answer.json()["retExtInfo"]["list"]] == [0] * 20
    assert answer.headers["X-Bapi-Limit-Status"] == "9"


def test_batch_with_only_failures_is_still_acknowledged(client: Signer):
    """The top-level code is 0 even if every item failed; failed cancels echo the id that was sent."""
    gone = [{"symbol": "BTCUSDT", "orderLinkId": "none"}, "nonsense"]
    answer = client.post("/v5/order/cancel-batch", category="spot", request=gone).json()
    assert (answer["retCode"], [row["code"] for row in answer["retExtInfo"]["list"]]) == (0, [170213, 10001])
    assert answer["result"]["list"][0] == {
        "category": "spot",
        "symbol": "BTCUSDT",
        "orderId": "",
        "orderLinkId": "none",
    }
