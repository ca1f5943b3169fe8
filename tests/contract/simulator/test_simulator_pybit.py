"""pybit's unmodified HTTP class accepts the simulator as Bybit."""

from __future__ import annotations

import time

import pytest
from exchange_driver import Exchange
from pybit.exceptions import InvalidRequestError

BUY = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.01",
    "price": "59000",
}


def test_pybit_market_calls_are_answered(exchange: Exchange):
    """Public methods need no key and read the documented fields."""
    session = exchange.pybit()
    assert abs(int(session.get_server_time()["result"]["timeSecond"]) - time.time()) < 5
    spot = session.get_instruments_info(category="spot")["result"]
    assert "nextPageCursor" not in spot
    record = session.get_instruments_info(category="linear", symbol="BTCUSDT")["result"]["list"][0]
    assert (record["priceFilter"]["tickSize"], record["lotSizeFilter"]["qtyStep"]) == ("0.10", "0.001")
    assert session.get_tickers(category="linear", symbol="BTCUSDT")["result"]["list"][0]["lastPrice"] == "60000"
    book = session.get_orderbook(category="linear", symbol="BTCUSDT", limit=5)["result"]
    assert (book["b"][0][0], book["a"][0][0], len(book["b"])) == ("60000", "60000.1", 5)
    limits = session.get_price_limit(category="linear", symbol="BTCUSDT")["result"]
    assert (limits["buyLmt"], limits["sellLmt"]) == ("61200", "58800.1")


def test_pybit_order_lives_through_create_amend_cancel(exchange: Exchange):
    """An order is created, found, amended, cancelled and kept in the history."""
    session = exchange.pybit()
    order_id = session.place_order(**BUY, orderLinkId="p-1")["result"]["orderId"]
    found = session.get_open_orders(category="linear", symbol="BTCUSDT", orderLinkId="p-1")["result"]["list"]
    assert [(order_id, "New", "0.01")] == [(o["orderId"], o["orderStatus"], o["leavesQty"]) for o in found]
    session.amend_order(category="linear", symbol="BTCUSDT", orderId=order_id, qty="0.02", price="58900")
    found = session.get_open_orders(category="linear", settleCoin="USDT")["result"]["list"][0]
    assert (found["qty"], found["price"]) == ("0.02", "58900")
    session.cancel_order(category="linear", symbol="BTCUSDT", orderLinkId="p-1")
    assert session.get_open_orders(category="linear", symbol="BTCUSDT")["result"]["list"] == []
    closed = session.get_order_history(category="linear", orderId=order_id)["result"]["list"][0]
    assert (closed["orderStatus"], closed["cancelType"], closed["leavesQty"]) == ("Cancelled", "CancelByUser", "0")


def test_pybit_market_order_fills_and_shows_everywhere(exchange: Exchange):
    """A market order becomes an execution, a position and a fee."""
    session = exchange.pybit()
    order_id = session.place_order(category="linear", symbol="BTCUSDT", side="Buy", orderType="Market", qty="0.1")
    order_id = order_id["result"]["orderId"]
    fill = session.get_executions(category="linear", orderId=order_id)["result"]["list"][0]
    assert (
        fill["execPrice"], fill["execQty"], fill["execFee"], fill["feeCurrency"], fill["isMaker"],
    ) == ("60000.1", "0.1", "3.3000055", "USDT", False)  # fmt: skip
    position = session.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"][0]
    assert (position["side"], position["size"], position["avgPrice"]) == ("Buy", "0.1", "60000.1")
    balance = session.get_wallet_balance(accountType="UNIFIED", coin="USDT")["result"]["list"][0]
    assert balance["coin"][0]["walletBalance"] == "9999996.6999945"


def test_pybit_account_calls_are_answered(exchange: Exchange):
    """Key, account and settings carry what a preflight reads."""
    session = exchange.pybit()
    key = session.get_api_key_information()["result"]
    assert (key["readOnly"], key["uta"], key["permissions"]["Wallet"], key["userID"]) == (0, 1, [], 1001)
    account = session.get_account_info()["result"]
    assert (account["unifiedMarginStatus"], account["marginMode"]) == (5, "REGULAR_MARGIN")
    rates = session.get_fee_rates(category="linear", symbol="BTCUSDT")["result"]["list"][0]
    assert (rates["takerFeeRate"], rates["makerFeeRate"]) == ("0.00055", "0.0002")
    assert len(session.get_coin_info()["result"]["rows"]) >= 10
    assert {
        name: value
        for name, value in session.get_user_setting_config()["result"].items()
        if name.startswith("lpa")
    } == {"lpaSpot": False, "lpaPerp": False}
    session.set_limit_price_action(category="linear", modifyEnable=False)
    with pytest.raises(InvalidRequestError) as refused:
        session.place_order(**{**BUY, "price": "70000"})
    assert refused.value.status_code == 110121
    assert session.get_account_instruments_info(category="inverse")["result"]["list"]


def test_pybit_position_settings_are_applied(exchange: Exchange):
    """Leverage, mode and stops can be set, and refuse what does not change."""
    session = exchange.pybit()
    leverage = {"category": "linear", "symbol": "ETHUSDT", "buyLeverage": "5", "sellLeverage": "5"}
    session.set_leverage(**leverage)
    with pytest.raises(InvalidRequestError) as refused:
        session.set_leverage(**leverage)
    assert refused.value.status_code == 110043
    session.switch_position_mode(category="linear", symbol="ETHUSDT", mode=3)
    with pytest.raises(InvalidRequestError) as refused:
        session.switch_position_mode(category="linear", symbol="ETHUSDT", mode=3)
    assert refused.value.status_code == 110025
    session.place_order(category="linear", symbol="BTCUSDT", side="Buy", orderType="Market", qty="0.1")
    stops = {"category": "linear", "symbol": "BTCUSDT", "tpslMode": "Full", "positionIdx": 0}
    session.set_trading_stop(**stops, takeProfit="63000", stopLoss="57000")
    kinds = session.get_open_orders(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert {"TakeProfit", "StopLoss"} == {order["stopOrderType"] for order in kinds}


def test_pybit_batches_answer_item_by_item(exchange: Exchange):
    """Batch methods return ids and codes in the order of the request."""
    session = exchange.pybit()
    items = [{**BUY, "orderLinkId": f"b-{n}"} for n in range(3)]
    for item in items:
        del item["category"]
    items[1]["qty"] = "0.0005"
    created = session.place_batch_order(category="linear", request=items)
    assert [row["code"] for row in created["retExtInfo"]["list"]] == [0, 10001, 0]
    assert [row["orderLinkId"] for row in created["result"]["list"]] == ["b-0", "b-1", "b-2"]
    change = {"symbol": "BTCUSDT", "orderLinkId": "b-0", "price": "58000"}
    amended = session.amend_batch_order(category="linear", request=[change])
    assert [row["code"] for row in amended["retExtInfo"]["list"]] == [0]
    gone = [{"symbol": "BTCUSDT", "orderLinkId": name} for name in ("b-0", "b-1", "b-2")]
    cancelled = session.cancel_batch_order(category="linear", request=gone)
    assert [row["code"] for row in cancelled["retExtInfo"]["list"]] == [0, 110001, 0]


def test_pybit_cancel_all_ends_what_is_open(exchange: Exchange):
    """Cancel-all names every order it ends."""
    session = exchange.pybit()
    ids = {session.place_order(**BUY)["result"]["orderId"] for _ in range(3)}
    answer = session.cancel_all_orders(category="linear", settleCoin="USDT")["result"]
    assert ids == {row["orderId"] for row in answer["list"]}
    assert answer["success"] == "1"
    assert session.get_open_orders(category="linear", settleCoin="USDT")["result"]["list"] == []


def test_pybit_pages_follow_the_cursor(exchange: Exchange):
    """A cursor travels unchanged, already percent-encoded, and its signature holds."""
    session = exchange.pybit()
    links = [f"page-{n}" for n in range(5)]
    for link in links:
        session.place_order(**BUY, orderLinkId=link)
    seen, cursor = [], ""
    while True:
        page = session.get_open_orders(category="linear", symbol="BTCUSDT", limit=2, cursor=cursor or None)[
            "result"
        ]
        seen += [order["orderLinkId"] for order in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert links[::-1] == seen


def test_pybit_default_retries_outlast_the_rate_limit(exchange: Exchange):
    """The client's own 10006 handling reads the reset header and succeeds on its second attempt."""
    session = exchange.pybit(retry_codes={10006}, max_retries=3)
    assert len({session.place_order(**BUY)["result"]["orderId"] for _ in range(12)}) == 12


def test_pybit_instruments_pages_cover_the_category(exchange: Exchange):
    """Paging linear instruments yields each of them once; status PreLaunch is asked for explicitly."""
    session = exchange.pybit()
    everything = session.get_instruments_info(category="linear", limit=1000)["result"]["list"]
    seen, cursor = [], None
    while True:
        page = session.get_instruments_info(category="linear", limit=7, cursor=cursor)["result"]
        seen += [item["symbol"] for item in page["list"]]
        cursor = page["nextPageCursor"]
        if not cursor:
            break
    assert [item["symbol"] for item in everything] == seen
    early = session.get_instruments_info(category="linear", status="PreLaunch")["result"]["list"]
    assert [item["symbol"] for item in early] == ["BIOUSDT"]


def test_pybit_instruments_cover_every_kind(exchange: Exchange):
    """At least 40 instruments, of every contract type, with steps that are no powers of ten."""
    session = exchange.pybit()
    spot = session.get_instruments_info(category="spot")["result"]["list"]
    linear = session.get_instruments_info(category="linear")["result"]["list"]
    inverse = session.get_instruments_info(category="inverse")["result"]["list"]
    options = [
        item for base in ("BTC", "ETH", "SOL")
        for item in session.get_instruments_info(category="option", baseCoin=base)["result"]["list"]
    ]  # fmt: skip
    assert len(spot) + len(linear) + len(inverse) + len(options) >= 40
    kinds = {item["contractType"] for item in [*linear, *inverse]}
    assert {"LinearPerpetual", "LinearFutures", "InversePerpetual", "InverseFutures"} == kinds
    assert {"USDT", "USDC"} == {item["settleCoin"] for item in linear}
    assert "settleCoin" not in spot[0]
    assert {"1", "10", "100"} <= {item["lotSizeFilter"]["qtyStep"] for item in linear}
    assert "5" in {item["priceFilter"]["tickSize"] for item in options}
    assert len({item["symbolId"] for item in [*spot, *linear, *inverse, *options]}) == len(
        spot + linear + inverse + options
    )
