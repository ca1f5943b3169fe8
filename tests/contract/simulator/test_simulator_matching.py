"""What becomes of an order: fills, rests, ends, positions, balances."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from exchange_driver import Exchange, Json, Signer, eventually

MARKET = {"orderType": "Market", "price": ""}


def accept(client: Signer, **changes: Any) -> str:
    """Create an order that must be acknowledged and return its id."""
    answer = client.create(**changes)
    assert answer["retCode"] == 0, answer
    assert set(answer["result"]) == {"orderId", "orderLinkId"}
    return answer["result"]["orderId"]


def truth(exchange: Exchange, order_id: str) -> Json:
    """Return what the exchange knows about an order."""
    return next(order for order in exchange.orders() if order["orderId"] == order_id)


def move(exchange: Exchange, price: str, symbol: str = "BTCUSDT", **rest: Any) -> None:
    """Move a market."""
    exchange.control("market", symbol=symbol, price=price, **rest)


def wallet(client: Signer, coin: str) -> Json:
    """Return a coin of the account."""
    answer = client.get("/v5/account/wallet-balance", accountType="UNIFIED", coin=coin).json()
    return answer["result"]["list"][0]["coin"][0]


def position(client: Signer, category: str = "linear", symbol: str = "BTCUSDT") -> list[tuple[str, str, str]]:
    """Return side, size and entry of each position row."""
    rows = client.get("/v5/position/list", category=category, symbol=symbol).json()["result"]["list"]
    return [(row["side"], row["size"], row["avgPrice"]) for row in rows]


def test_limit_order_that_crosses_fills_as_taker_at_the_market_price(exchange: Exchange, client: Signer):
    """A buy above the ask trades at the ask, with the taker fee."""
    order = truth(exchange, accept(client, price="60500"))
    assert (order["orderStatus"], order["avgPrice"]) == ("Filled", "60000.1")
    assert [(fill["isMaker"], fill["feeRate"]) for fill in order["executions"]] == [(False, "0.00055")]


def test_limit_order_that_rests_fills_as_maker_when_the_market_comes(exchange: Exchange, client: Signer):
    """A resting buy trades at its own price, with the maker fee, once the last price reaches it."""
    order_id = accept(client, price="59000")
    assert truth(exchange, order_id)["orderStatus"] == "New"
    move(exchange, "58900")
    order = truth(exchange, order_id)
    assert (order["orderStatus"], order["avgPrice"]) == ("Filled", "59000")
    assert [(fill["isMaker"], fill["feeRate"], fill["execFee"]) for fill in order["executions"]] == [
        (True, "0.0002", "0.118")
    ]


def test_limit_orders_fill_in_price_then_time_order_within_a_volume(exchange: Exchange, client: Signer):
    """With a traded volume the best price goes first, then the oldest; the last one is filled in part."""
    low, first, second = (
        accept(client, price="59000"),
        accept(client, price="59500"),
        accept(client, price="59500"),
    )
    move(exchange, "58000", qty="0.015")
    assert [truth(exchange, order)["cumExecQty"] for order in (first, second, low)] == ["0.01", "0.005", "0"]
    assert truth(exchange, second)["orderStatus"] == "PartiallyFilled"


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"price": "60500", "timeInForce": "PostOnly"}, "Cancelled", "EC_PostOnlyWillTakeLiquidity"),
        ({"price": "59000", "timeInForce": "PostOnly"}, "New", "EC_NoError"),
        ({"price": "59000", "timeInForce": "IOC"}, "Cancelled", "EC_NoImmediateQtyToFill"),
        ({"price": "59000", "timeInForce": "FOK"}, "Cancelled", "EC_CancelForNoFullFill"),
        ({"price": "60500", "timeInForce": "IOC"}, "Filled", "EC_NoError"),
        ({"price": "60500", "timeInForce": "FOK"}, "Filled", "EC_NoError"),
        ({"price": "60500", "timeInForce": "FOK", "qty": "0.02"}, "Cancelled", "EC_CancelForNoFullFill"),
        ({"price": "60500", "timeInForce": "IOC", "qty": "0.02"}, "Cancelled", "EC_NoImmediateQtyToFill"),
        ({**MARKET, "qty": "0.02"}, "Cancelled", "EC_NoImmediateQtyToFill"),
        ({"price": "60500", "qty": "0.02"}, "PartiallyFilled", "EC_NoError"),
        (
            {"category": "spot", "price": "60500", "timeInForce": "IOC", "qty": "0.02"},
            "PartiallyFilledCanceled",
            "EC_NoImmediateQtyToFill",
        ),
    ],
)  # fmt: skip
def test_time_in_force_decides_what_is_left(
    exchange: Exchange, client: Signer, changes: Json, status: str, reason: str
):
    """With 0.01 at the touch, each kind of order ends as documented, always after a positive ack."""
    exchange.control("market", symbol="BTCUSDT", depth="0.01")
    order = truth(exchange, accept(client, **changes))
    assert (order["orderStatus"], order["rejectReason"]) == (status, reason)


def test_market_order_without_a_price_is_rejected_after_its_ack(exchange: Exchange, client: Signer):
    """With nothing on the book the acknowledgement is positive, and the order ends Rejected."""
    exchange.control("market", symbol="BTCUSDT", depth="0")
    order = truth(exchange, accept(client, **MARKET))
    assert (order["orderStatus"], order["rejectReason"]) == ("Rejected", "EC_NoImmediateQtyToFill")
    exchange.control("market", symbol="BTCUSDT", depth=None)
    assert truth(exchange, accept(client, **MARKET))["orderStatus"] == "Filled"


def test_ack_comes_before_the_match(exchange: Exchange, client: Signer):
    """With a matching delay the acknowledged order is first unknown to queries, then filled."""
    exchange.control("matching", delay_ms=2000)
    order_id = accept(client, **MARKET)
    query = {"category": "linear", "symbol": "BTCUSDT", "orderId": order_id}
    assert client.get("/v5/order/realtime", **query).json()["result"]["list"] == []
    assert truth(exchange, order_id)["orderStatus"] == "Created"
    eventually(
        lambda: truth(exchange, order_id)["orderStatus"] == "Filled"
    )  # a query each time would meet its limit
    [found] = client.get("/v5/order/realtime", **query).json()["result"]["list"]
    assert found["orderStatus"] == "Filled"


def test_positions_average_reduce_and_realise(exchange: Exchange, client: Signer):
    """Two buys average, a sell realises profit, and fees and profit reach the wallet."""
    accept(client, **MARKET)
    move(exchange, "60200")
    accept(client, **MARKET)
    assert position(client) == [("Buy", "0.02", "60100.1")]
    accept(client, **MARKET, side="Sell", qty="0.02")
    assert position(client) == [("", "0", "0")]
    fees = (Decimal("600.001") + Decimal("602.001") + Decimal(1204)) * Decimal("0.00055")
    assert Decimal(wallet(client, "USDT")["walletBalance"]) == round(10_000_000 + Decimal("1.998") - fees, 8)


def test_position_flips_through_zero(exchange: Exchange, client: Signer):
    """Selling more than is held closes the long and opens a short at the new price."""
    accept(client, **MARKET)
    accept(client, **MARKET, side="Sell", qty="0.03")
    assert position(client) == [("Sell", "0.02", "60000")]


def test_inverse_contracts_are_dollars_settled_in_coin(exchange: Exchange, client: Signer):
    """600 contracts at 60000.1 are worth about 0.01 BTC; fee and profit are BTC."""
    inverse = {"category": "inverse", "symbol": "BTCUSD", "qty": "600", **MARKET}
    order = truth(exchange, accept(client, **inverse))
    assert (order["executions"][0]["feeCurrency"], order["cumExecValue"]) == ("BTC", "0.00999998")
    move(exchange, "66000", symbol="BTCUSD")
    accept(client, **inverse, side="Sell")
    gained = Decimal(wallet(client, "BTC")["walletBalance"]) - 100
    assert Decimal("0.00089") < gained < Decimal("0.00091")


def test_usdc_perpetual_settles_in_usdc(exchange: Exchange, client: Signer):
    """BTCPERP lives in category linear and pays its fee in USDC."""
    order = truth(exchange, accept(client, symbol="BTCPERP", **MARKET))
    assert order["executions"][0]["feeCurrency"] == "USDC"
    held = client.get("/v5/position/list", category="linear", settleCoin="USDC").json()["result"]["list"]
    assert [row["symbol"] for row in held] == ["BTCPERP"]


def test_option_order_trades_and_shows_as_a_position(exchange: Exchange, client: Signer):
    """An option is bought at the ask and held."""
    option = {"category": "option", "symbol": "BTC-26MAR27-60000-C-USDT", "qty": "0.1"}
    accept(client, **option, price="6700", orderLinkId="opt")
    assert position(client, "option", option["symbol"]) == [("Buy", "0.1", "6605")]


def test_spot_market_buy_spends_quote_coin_by_default(exchange: Exchange, client: Signer):
    """Qty 600 buys what 600 USDT buy, on the base step, fee in base coin."""
    order = truth(exchange, accept(client, category="spot", **MARKET, qty="600"))
    assert (order["orderStatus"], order["cumExecQty"], order["leavesQty"]) == ("Filled", "0.009999", "0")
    fill = order["executions"][0]
    assert (fill["feeCurrency"], fill["execFee"], order["cumFeeDetail"]) == (
        "BTC",
        "0.000009999",
        {"BTC": "0.000009999"},
    )
    assert Decimal(wallet(client, "BTC")["walletBalance"]) == Decimal("100.00998900").quantize(Decimal("1E-8"))
    assert wallet(client, "USDT")["locked"] == "0"


def test_spot_market_buy_in_base_coin_takes_market_unit(exchange: Exchange, client: Signer):
    """MarketUnit baseCoin buys that much of the base coin."""
    order = truth(exchange, accept(client, category="spot", **MARKET, qty="0.01", marketUnit="baseCoin"))
    assert order["cumExecQty"] == "0.01"


def test_spot_limit_order_locks_and_releases_its_coins(exchange: Exchange, client: Signer):
    """An open spot buy locks quote coin; its cancel releases it."""
    order_id = accept(client, category="spot", price="59000", qty="0.1")
    assert wallet(client, "USDT")["locked"] == "5900"
    client.post("/v5/order/cancel", category="spot", symbol="BTCUSDT", orderId=order_id)
    assert wallet(client, "USDT")["locked"] == "0"


def test_poor_account_is_refused_in_the_ack(exchange: Exchange):
    """Too little margin is 110007, too little coin 170131, for every category its own."""
    poor = exchange.signer("poor")
    option = {
        "category": "option",
        "symbol": "BTC-26MAR27-60000-C-USDT",
        "qty": "0.1",
        "price": "6600",
        "orderLinkId": "x",
    }
    orders = [{}, {"category": "inverse", "symbol": "BTCUSD", "qty": "600"}, option, {"category": "spot"}]
    assert [poor.create(**order)["retCode"] for order in orders] == [110007, 110007, 110007, 170131]
    assert poor.create(category="spot", side="Sell", price="61000")["retCode"] == 170131
    assert poor.create(symbol="XRPUSDT", price="0.6", qty="10")["retCode"] == 0
    assert exchange.orders(uid=1011)[0]["orderStatus"] == "New"


def test_open_orders_hold_margin(exchange: Exchange):
    """Margin of resting orders adds up until no more fits, and a cancel frees it."""
    poor = exchange.signer("poor")
    order = {"symbol": "XRPUSDT", "price": "0.6", "qty": "100"}
    first = poor.create(**order)
    assert (first["retCode"], poor.create(**order)["retCode"]) == (0, 110007)
    poor.post("/v5/order/cancel", category="linear", symbol="XRPUSDT", orderId=first["result"]["orderId"])
    assert poor.create(**order)["retCode"] == 0


def test_reduce_only_needs_a_position_and_is_cut_to_it(exchange: Exchange, client: Signer):
    """Without a position it is refused (110017); larger than the position it shrinks."""
    sell = {"side": "Sell", "reduceOnly": True, **MARKET}
    assert client.create(**sell)["retCode"] == 110017
    accept(client, **MARKET)
    order = truth(exchange, accept(client, **sell, qty="1"))
    assert (order["qty"], order["cumExecQty"], position(client)) == ("0.01", "0.01", [("", "0", "0")])


def test_reduce_only_orders_end_with_their_position(exchange: Exchange, client: Signer):
    """A resting reduce-only order is cancelled when its position is closed otherwise."""
    accept(client, **MARKET)
    resting = accept(client, side="Sell", price="61000", reduceOnly=True)
    accept(client, **MARKET, side="Sell")
    order = truth(exchange, resting)
    assert (order["orderStatus"], order["cancelType"]) == ("Cancelled", "CancelByReduceOnly")


def test_hedge_mode_keeps_both_sides(exchange: Exchange, client: Signer):
    """In hedge mode a long and a short stand side by side, and positionIdx says which is meant."""
    switch = {"category": "linear", "symbol": "BTCUSDT", "mode": 3}
    assert client.post("/v5/position/switch-mode", **switch).json()["retCode"] == 0
    assert client.create(**MARKET)["retMsg"] == "position idx not match position mode"
    accept(client, **MARKET, positionIdx=1)
    accept(client, **MARKET, positionIdx=2, side="Sell", qty="0.02")
    assert position(client) == [("Buy", "0.01", "60000.1"), ("Sell", "0.02", "60000")]
    accept(client, **MARKET, positionIdx=1, side="Sell")
    assert position(client) == [("", "0", "0"), ("Sell", "0.02", "60000")]
    assert client.post("/v5/position/switch-mode", **{**switch, "mode": 0}).json()["retCode"] == 110024


def test_hedge_mode_exists_for_usdt_perpetuals_only(client: Signer):
    """USDC perpetuals and dated futures stay one-way (110029)."""
    for symbol in ("BTCPERP", "BTCUSDT-26MAR27"):
        answer = client.post("/v5/position/switch-mode", category="linear", symbol=symbol, mode=3).json()
        assert answer["retCode"] == 110029


@pytest.mark.parametrize(
    ("trigger", "direction", "through", "status"),
    [("60500", 1, "60500", "Filled"), ("59500", 2, "59400", "Filled"), ("60500", 1, "60499", "Untriggered")],
)
def test_conditional_order_waits_for_its_trigger(
    exchange: Exchange, client: Signer, trigger: str, direction: int, through: str, status: str
):
    """A conditional market order sleeps until the last price reaches the trigger."""
    order_id = accept(client, **MARKET, triggerPrice=trigger, triggerDirection=direction)
    assert truth(exchange, order_id)["orderStatus"] == "Untriggered"
    move(exchange, through)
    assert truth(exchange, order_id)["orderStatus"] == status


def test_conditional_order_cancelled_before_its_trigger_is_deactivated(exchange: Exchange, client: Signer):
    """The status of a conditional order that never woke is Deactivated."""
    order_id = accept(client, price="60900", triggerPrice="60500", triggerDirection=1)
    client.post("/v5/order/cancel", category="linear", symbol="BTCUSDT", orderId=order_id)
    assert truth(exchange, order_id)["orderStatus"] == "Deactivated"


def test_conditional_order_that_cannot_be_paid_ends_at_its_trigger(exchange: Exchange):
    """It holds no margin while it waits; what is missing shows when it wakes."""
    poor = exchange.signer("poor")
    order_id = accept(poor, **MARKET, triggerPrice="60500", triggerDirection=1)
    move(exchange, "60500")
    assert truth(exchange, order_id)["orderStatus"] == "Cancelled"


def test_spot_stop_order_is_found_only_under_its_filter(exchange: Exchange, client: Signer):
    """Cancelling a waiting spot stop needs orderFilter; a TP/SL order holds its coins at once."""
    stop = {"category": "spot", "price": "60900", "triggerPrice": "60500", "orderFilter": "StopOrder"}
    order_id = accept(client, **stop)
    assert wallet(client, "USDT")["locked"] == "0"
    cancel = {"category": "spot", "symbol": "BTCUSDT", "orderId": order_id}
    assert client.post("/v5/order/cancel", **cancel).json()["retCode"] == 170213
    assert client.post("/v5/order/cancel", **cancel, orderFilter="StopOrder").json()["retCode"] == 0
    accept(client, **{**stop, "orderFilter": "tpslOrder"})
    assert wallet(client, "USDT")["locked"] == "609"


def test_trading_stop_closes_the_position(exchange: Exchange, client: Signer):
    """A stop loss is an order of the exchange's own; when hit it closes the position and clears the rest."""
    accept(client, **MARKET)
    stops = {"category": "linear", "symbol": "BTCUSDT", "tpslMode": "Full", "positionIdx": 0}
    answer = client.post("/v5/position/trading-stop", **stops, takeProfit="62000", stopLoss="59000").json()
    assert answer["retCode"] == 0
    again = client.post("/v5/position/trading-stop", **stops, takeProfit="62000", stopLoss="59000").json()
    assert again["retCode"] == 34040
    move(exchange, "58990")
    assert position(client) == [("", "0", "0")]
    ends = {order["stopOrderType"]: order["orderStatus"] for order in exchange.orders() if order["stopOrderType"]}
    assert ends == {"StopLoss": "Filled", "TakeProfit": "Deactivated"}


def test_order_with_stops_protects_the_position_it_opens(exchange: Exchange, client: Signer):
    """TakeProfit on the order becomes a stop order of the position when it fills."""
    accept(client, **MARKET, takeProfit="61000")
    row = client.get("/v5/position/list", category="linear", symbol="BTCUSDT").json()["result"]["list"][0]
    assert row["takeProfit"] == "61000"
    move(exchange, "61000")
    assert position(client) == [("", "0", "0")]


def test_amend_changes_price_and_qty_and_may_cross(exchange: Exchange, client: Signer):
    """An amend keeps the order's id; a price through the market trades at once."""
    order_id = accept(client, price="59000")
    amend = {"category": "linear", "symbol": "BTCUSDT", "orderId": order_id}
    assert client.post("/v5/order/amend", **amend, qty="0.02", price="60100").json()["retCode"] == 0
    order = truth(exchange, order_id)
    assert (order["orderStatus"], order["cumExecQty"], order["price"]) == ("Filled", "0.02", "60100")


def test_amend_below_what_is_filled_is_refused(exchange: Exchange, client: Signer):
    """The new quantity must exceed the filled one: 110064, spot 170313."""
    for category, code in (("linear", 110064), ("spot", 170313)):
        order_id = accept(client, category=category, price="59000")
        move(exchange, "59000", category=category, qty="0.006")
        amend = {"category": category, "symbol": "BTCUSDT", "orderId": order_id, "qty": "0.005"}
        assert client.post("/v5/order/amend", **amend).json()["retCode"] == code


def test_amend_that_cannot_be_paid_is_refused(exchange: Exchange):
    """A larger quantity needs its margin, and the order stays as it was."""
    poor = exchange.signer("poor")
    order_id = accept(poor, symbol="XRPUSDT", price="0.6", qty="100")
    amend = {"category": "linear", "symbol": "XRPUSDT", "orderId": order_id, "qty": "1000"}
    assert poor.post("/v5/order/amend", **amend).json()["retCode"] == 110007
    assert truth(exchange, order_id)["qty"] == "100"


def test_futures_price_outside_the_band_is_moved_to_its_edge(exchange: Exchange, client: Signer):
    """A buy 10 % above the market is taken at the edge of the band, which still fills at the ask."""
    order = truth(exchange, accept(client, price="66000"))
    assert (order["price"], order["avgPrice"]) == ("61200", "60000.1")


def test_cancel_all_picks_by_coin_symbol_and_filter(exchange: Exchange, client: Signer):
    """Symbol wins over base coin, base coin over settle coin; StopOrder means the conditional ones."""
    btc, perp = accept(client), accept(client, symbol="BTCPERP")
    eth = accept(client, symbol="ETHUSDT", price="2990")
    stop = accept(client, **MARKET, triggerPrice="60500", triggerDirection=1)

    def cancel_all(**which: str) -> set[str]:
        answer = client.post("/v5/order/cancel-all", category="linear", **which).json()
        return {row["orderId"] for row in answer["result"]["list"]}

    assert client.post("/v5/order/cancel-all", category="linear").json()["retCode"] == 10001
    assert cancel_all(settleCoin="USDC") == {perp}
    assert cancel_all(settleCoin="USDT", orderFilter="StopOrder") == {stop}
    assert cancel_all(symbol="ETHUSDT", baseCoin="BTC") == {eth}
    assert cancel_all(baseCoin="BTC") == {btc}


def test_too_many_open_orders_are_refused(exchange: Exchange, client: Signer):
    """500 open orders per futures symbol (110020), 10 conditional ones (110009), 50 per option coin."""
    exchange.control("limits", endpoint="/v5/order/create-batch", limit=10_000)
    exchange.control("limits", endpoint="/v5/order/create", limit=10_000)
    item = {"symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.001", "price": "59000"}
    for _ in range(25):
        client.post("/v5/order/create-batch", category="linear", request=[item] * 20)
    assert client.create()["retCode"] == 110020
    assert client.create(symbol="ETHUSDT", price="2990")["retCode"] == 0
    stops = [client.create(**MARKET, triggerPrice="60500", triggerDirection=1)["retCode"] for _ in range(11)]
    assert stops == [0] * 10 + [110009]
    option = {"category": "option", "symbol": "BTC-26MAR27-60000-C-USDT", "qty": "0.01", "price": "100"}
    options = [client.create(**option, orderLinkId=f"o-{n}")["retCode"] for n in range(51)]
    assert options == [0] * 50 + [110020]
    spot = [client.post("/v5/order/create-batch", category="spot", request=[item] * 10).json() for _ in range(51)]
    codes = [verdict["code"] for answer in spot for verdict in answer["retExtInfo"]["list"]]
    assert codes == [0] * 500 + [170810] * 10
