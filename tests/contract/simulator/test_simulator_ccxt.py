"""ccxt's unmodified bybit class accepts the simulator as Bybit."""

from __future__ import annotations

import ccxt
import pytest
from exchange_driver import Exchange

PERP, SPOT, INVERSE, OPTION = "BTC/USDT:USDT", "BTC/USDT", "BTC/USD:BTC", "BTC/USDT:USDT-270326-60000-C"


@pytest.fixture
def trader(exchange: Exchange) -> ccxt.bybit:
    """Give a ccxt client with its markets loaded."""
    client = exchange.ccxt(1002)
    client.load_markets()
    return client


def test_ccxt_load_markets_knows_every_kind(trader: ccxt.bybit):
    """Symbols of all market types are parsed, with their steps."""
    markets = trader.markets
    assert {"spot", "swap", "future", "option"} == {market["type"] for market in markets.values()}
    assert {PERP, SPOT, INVERSE, OPTION, "BTC/USD:USDC", "BTC/USDT:USDT-270326"} <= set(markets)
    assert (markets[PERP]["precision"]["amount"], markets[PERP]["precision"]["price"]) == (0.001, 0.1)
    assert markets["1000PEPE/USDT:USDT"]["precision"]["amount"] == 100


@pytest.mark.parametrize(
    ("symbol", "amount", "price", "params"),
    [
        (PERP, 0.01, 59000, {}),
        (SPOT, 0.01, 59000, {}),
        (INVERSE, 100, 59000, {}),
        (OPTION, 0.1, 6000, {"orderLinkId": "o-1"}),
    ],
)
def test_ccxt_order_is_placed_edited_cancelled(
    trader: ccxt.bybit, symbol: str, amount: float, price: float, params: dict
):
    """An order of each category is placed, edited, found, cancelled and found again."""
    order_id = trader.create_order(symbol, "limit", "buy", amount, price, params)["id"]
    assert [order_id] == [order["id"] for order in trader.fetch_open_orders(symbol)]
    trader.edit_order(order_id, symbol, "limit", "buy", amount * 2, price - 50)
    order = trader.fetch_order(order_id, symbol, {"acknowledged": True})
    assert (amount * 2, price - 50, "open") == (order["amount"], order["price"], order["status"])
    trader.cancel_order(order_id, symbol)
    assert [order_id] == [order["id"] for order in trader.fetch_canceled_orders(symbol)]


def test_ccxt_fills_are_seen_as_trades_and_positions(trader: ccxt.bybit):
    """A market order shows in closed orders, my trades and positions."""
    order_id = trader.create_order(PERP, "market", "sell", 0.1)["id"]
    assert (
        trader.fetch_closed_order(order_id, PERP)["status"],
        trader.fetch_closed_orders(PERP)[0]["average"],
    ) == ("closed", 60000.0)
    trade = trader.fetch_my_trades(PERP)[0]
    assert (order_id, 0.1, {"currency": "USDT", "cost": 3.3, "rate": 0.00055}) == (
        trade["order"],
        trade["amount"],
        trade["fee"],
    )
    position = trader.fetch_positions([PERP])[0]
    assert (position["side"], position["contracts"], position["entryPrice"]) == ("short", 0.1, 60000.0)


def test_ccxt_spot_buy_by_cost_changes_the_balance(trader: ccxt.bybit):
    """A spot market buy spends quote coin and pays its fee in base coin."""
    trader.create_market_buy_order_with_cost("ETH/USDT", 300.001)  # 0.1 ETH at 3000.01
    balance = trader.fetch_balance()
    assert round(balance["USDT"]["total"]) == 9_999_700
    assert round(balance["ETH"]["total"], 5) == 1000.09989


def test_ccxt_errors_are_recognised(trader: ccxt.bybit, exchange: Exchange):
    """The simulator's codes map to ccxt's own exceptions."""
    with pytest.raises(ccxt.OrderNotFound):
        trader.cancel_order("no-such-order", PERP)
    poor = exchange.ccxt("poor")
    poor.load_markets()
    with pytest.raises(ccxt.InsufficientFunds):
        poor.create_order(PERP, "limit", "buy", 1, 59000)
    with pytest.raises(ccxt.AuthenticationError):
        exchange.ccxt("mainnet").fetch_balance()
    with pytest.raises(ccxt.PermissionDenied):
        exchange.ccxt("readonly").create_order(PERP, "limit", "buy", 1, 59000)


def test_ccxt_batches_and_triggers_work(trader: ccxt.bybit):
    """Several orders in one request, and conditional orders, come back as ccxt expects."""
    wanted = [
        {"symbol": PERP, "type": "limit", "side": "buy", "amount": 0.01, "price": 59000 + n} for n in range(3)
    ]
    created = trader.create_orders(wanted)
    assert len({order["id"] for order in created}) == 3
    trader.cancel_orders([order["id"] for order in created], PERP)
    assert trader.fetch_open_orders(PERP) == []
    stop = trader.create_order(
        PERP, "limit", "buy", 0.01, 61000, {"triggerPrice": 60500, "triggerDirection": "ascending"}
    )
    found = trader.fetch_open_orders(PERP, params={"trigger": True})
    assert [(stop["id"], 60500.0)] == [(order["id"], order["triggerPrice"]) for order in found]


def test_ccxt_public_calls_are_answered(trader: ccxt.bybit):
    """Tickers, book and fees parse."""
    assert trader.fetch_ticker(PERP)["last"] == 60000.0
    assert trader.fetch_order_book("ETH/USDT", 5)["bids"][1] == [2999.99, 550.0]
    assert trader.fetch_trading_fee(PERP)["taker"] == 0.00055
    trader.set_leverage(7, "SOL/USDT:USDT")
    assert trader.fetch_position("SOL/USDT:USDT")["leverage"] == 7
