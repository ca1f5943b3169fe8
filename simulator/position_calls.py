"""The signed calls about positions: list, leverage, mode, take profit and stop loss."""

from __future__ import annotations

from decimal import Decimal

from simulator.accounts import Account, Position
from simulator.codes import bad_parameter
from simulator.exchange import Call, Exchange
from simulator.instruments import Instrument
from simulator.orders import round_to_tick, text
from simulator.parameters import category_of, instrument_of, number_of, query_number, text_of, whole_number_of
from simulator.wire import Json, Refusal, Reply

_CONTRACTS = ("linear", "inverse", "option")
_GRAIN = Decimal("1E-8")


def position_list(call: Call) -> Reply:
    """List positions; naming a symbol shows its position even when it is empty."""
    params, account = call.params, call.account
    category = category_of(params, _CONTRACTS)
    symbol, base, settle = (str(params.get(name, "")) for name in ("symbol", "baseCoin", "settleCoin"))
    if category == "linear" and not (symbol or settle or base):
        raise bad_parameter("symbol or settleCoin is required for linear")
    limit = query_number(params, "limit", 20, 200)
    if symbol:
        instrument = instrument_of(call.exchange.instruments, category, params)
        indices = (1, 2) if account.is_hedged(instrument) else (0,)
        held = [account.position(instrument, idx) for idx in indices]
        if category == "option":
            held = [item for item in held if item.net]
    else:
        held = [
            item
            for item in account.open_positions()
            if item.instrument.category == category
            and (not settle or item.instrument.settle == settle)
            and (not base or item.instrument.base == base)
        ]
    start = query_number({"n": str(params.get("cursor", "")).partition("=")[2]}, "n", 1, 10**9) - 1
    page = held[start : start + limit]
    cursor = f"first={start + limit + 1}" if len(held) > start + limit else ""
    shown = [position_view(call.exchange, account, item) for item in page]
    return Reply({"nextPageCursor": cursor, "category": category, "list": shown})


def position_view(exchange: Exchange, account: Account, position: Position) -> Json:
    """Show a position as `position/list` does."""
    instrument = position.instrument
    mark = exchange.market.last(instrument)
    is_open = bool(position.net)
    margin = account.position_margin(position, exchange.market).quantize(_GRAIN)
    return {
        "positionIdx": position.idx,
        "riskId": 1,
        "riskLimitValue": "2000000",
        "symbol": instrument.symbol,
        "side": ("Buy" if position.net > 0 else "Sell") if is_open else "",
        "size": text(position.size),
        "avgPrice": text(round_to_tick(position.entry, instrument)) if is_open else "0",
        "positionValue": text(instrument.value(position.size, position.entry)) if is_open else "",
        "tradeMode": 0,
        "autoAddMargin": 0,
        "positionStatus": "Normal",
        "leverage": text(account.leverage_of(instrument)) if instrument.category != "option" else "",
        "markPrice": text(mark),
        "liqPrice": "",
        "bustPrice": "",
        "positionIM": text(margin) if is_open else "",
        "positionIMByMp": text(margin) if is_open else "",
        "positionMM": text(margin / 2) if is_open else "",
        "positionMMByMp": text(margin / 2) if is_open else "",
        "positionBalance": "0",
        "tpslMode": "Full",
        "takeProfit": position.take_profit,
        "stopLoss": position.stop_loss,
        "trailingStop": "0",
        "sessionAvgPrice": "",
        "unrealisedPnl": text(position.profit_at(mark)) if is_open else "",
        "curRealisedPnl": text(position.realised),
        "cumRealisedPnl": text(position.realised),
        "adlRankIndicator": 2 if is_open else 0,
        "isReduceOnly": False,
        "mmrSysUpdatedTime": "",
        "leverageSysUpdatedTime": "",
        "createdTime": str(position.created_ms or ""),
        "updatedTime": str(position.updated_ms or ""),
        "seq": position.seq,
    }


def set_leverage(call: Call) -> Reply:
    """Set the leverage of a contract; both sides the same, as in cross margin."""
    params = call.params
    category = category_of(params, ("linear", "inverse"))
    instrument = instrument_of(call.exchange.instruments, category, params)
    buy, sell = number_of(params, "buyLeverage"), number_of(params, "sellLeverage")
    if not buy or not sell:
        raise bad_parameter("buyLeverage and sellLeverage are required")
    if buy != sell:
        raise bad_parameter("buyLeverage and sellLeverage must be equal in cross margin")
    if not 1 <= buy <= instrument.max_leverage:
        raise Refusal(110013, "cannot set leverage: outside what the risk limit level allows")
    if buy == call.account.leverage_of(instrument):
        raise Refusal(110043, "leverage not modified")
    call.account.leverage[instrument] = buy
    return Reply({})


def switch_mode(call: Call) -> Reply:
    """Switch a USDT perpetual, or all of them, between one-way and hedge mode."""
    params, account = call.params, call.account
    category_of(params, ("linear",))
    mode = whole_number_of(params, "mode", -1)
    if mode not in (0, 3):
        raise bad_parameter("mode must be 0 (one-way) or 3 (both sides)")
    symbol, coin = text_of(params, "symbol"), text_of(params, "coin")
    if not symbol and not coin:
        raise bad_parameter("symbol or coin is required")
    instrument: Instrument | None = None
    if symbol:
        instrument = instrument_of(call.exchange.instruments, "linear", params)
        if not instrument.is_usdt_perpetual:
            raise Refusal(110029, "hedge mode is not supported for this symbol")
    elif coin != "USDT":
        raise Refusal(110029, "hedge mode is not supported for this coin")
    name = symbol or coin
    is_hedged = account.is_hedged(instrument) if instrument else coin in account.hedged
    if is_hedged == (mode == 3):
        raise Refusal(110025, "position mode is not modified")
    _check_switchable(account, instrument)
    if mode == 3:
        account.hedged.add(name)
    elif instrument and "USDT" in account.hedged:
        others = {item.symbol for item in call.exchange.instruments.of("linear") if item.is_usdt_perpetual}
        account.hedged = (account.hedged | others) - {"USDT", name}
    elif instrument:
        account.hedged.discard(name)
    else:
        account.hedged.clear()
    return Reply({})


def _check_switchable(account: Account, instrument: Instrument | None) -> None:
    def is_meant(item: Instrument) -> bool:
        return item is instrument if instrument else item.is_usdt_perpetual

    if any(is_meant(position.instrument) for position in account.open_positions()):
        raise Refusal(110024, "you have an open position, so the position mode cannot be switched")
    if any(is_meant(order.instrument) for order in account.open["linear"].values()):
        raise Refusal(110028, "you have open orders, so the position mode cannot be switched")


def trading_stop(call: Call) -> Reply:
    """Set or remove take profit and stop loss of an open position."""
    params, account = call.params, call.account
    category = category_of(params, _CONTRACTS)
    instrument = instrument_of(call.exchange.instruments, category, params)
    mode = text_of(params, "tpslMode")
    if mode not in ("Full", "Partial"):
        raise bad_parameter("tpslMode must be Full or Partial")
    position = account.position(instrument, whole_number_of(params, "positionIdx", -1))
    if not position.net:
        raise bad_parameter("can not set tp/sl/ts for zero position")
    if number_of(params, "trailingStop"):
        raise bad_parameter("trailingStop is not modelled by the simulator")
    profit, loss = number_of(params, "takeProfit"), number_of(params, "stopLoss")
    last = call.exchange.market.last(instrument)
    _check_sides(position, profit, loss, last)
    if mode == "Full":
        _set_full(call, position, profit, loss)
    else:
        _add_partial(call, position, profit, loss)
    return Reply({})


def _check_sides(position: Position, profit: Decimal | None, loss: Decimal | None, last: Decimal) -> None:
    is_long = position.net > 0
    if profit and (profit > last) != is_long:
        raise bad_parameter("takeProfit is on the wrong side of the market")
    if loss and ((loss < last) != is_long or loss == last):
        raise bad_parameter("stopLoss is on the wrong side of the market")


def _set_full(call: Call, position: Position, profit: Decimal | None, loss: Decimal | None) -> None:
    before = Decimal(position.take_profit or 0), Decimal(position.stop_loss or 0)
    after = before[0] if profit is None else profit, before[1] if loss is None else loss
    if after == before:
        raise Refusal(34040, "not modified")
    position.stops_parent = ""
    call.exchange.stops.set_full(call.account, position, profit=profit, loss=loss)


def _add_partial(call: Call, position: Position, profit: Decimal | None, loss: Decimal | None) -> None:
    added = [
        (price, number_of(call.params, size), stop_type)
        for price, size, stop_type in (
            (profit, "tpSize", "PartialTakeProfit"),
            (loss, "slSize", "PartialStopLoss"),
        )
        if price
    ]
    if not added:
        raise Refusal(34040, "not modified")
    for _price, qty, _stop_type in added:
        if not qty or qty > position.size or qty % position.instrument.step:
            raise bad_parameter("tpSize and slSize must be part of the position, on the step")
    for price, qty, stop_type in added:
        call.exchange.stops.add_partial(call.account, position, stop_type, price, qty or position.size)
