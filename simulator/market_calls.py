"""The public calls: time, instruments, tickers, order book, price limits."""

from __future__ import annotations

from decimal import Decimal

from simulator.codes import bad_parameter
from simulator.exchange import Exchange
from simulator.instruments import CATEGORIES, Instrument
from simulator.orders import text
from simulator.parameters import category_of, instrument_of, query_number
from simulator.wire import Json, Reply

_STATUSES = ("PreLaunch", "Trading", "Delivering", "Closed")
_OPTION_DEFAULT = ("PreLaunch", "Trading", "Delivering")
_BOOK_DEPTH = {"spot": 200, "linear": 500, "inverse": 500, "option": 25}


def server_time(exchange: Exchange, _params: Json) -> Reply:
    """Tell the exchange's clock."""
    now_ns = exchange.clock.now_ns()
    return Reply({"timeSecond": str(now_ns // 1_000_000_000), "timeNano": str(now_ns)})


def instruments_info(exchange: Exchange, params: Json) -> Reply:
    """List instruments; spot comes in one page, the others by cursor."""
    category = category_of(params)
    wanted = str(params.get("status", ""))
    if wanted and wanted not in _STATUSES:
        raise bad_parameter(f"status must be one of {', '.join(_STATUSES)}")
    statuses = (wanted,) if wanted else (_OPTION_DEFAULT if category == "option" else ("Trading",))
    symbol, base = str(params.get("symbol", "")), str(params.get("baseCoin", ""))
    if category == "option" and not base and not symbol:
        base = "BTC"
    if symbol:
        instrument = instrument_of(exchange.instruments, category, {"symbol": symbol})
        listed = [instrument] if not wanted or instrument.status == wanted else []
    else:
        listed = [item for item in _pool(exchange, category, base) if item.status in statuses]
    if category == "spot":
        return Reply({"category": category, "list": [item.record for item in listed]})
    limit = query_number(params, "limit", 500, 1000)
    start = _offset_of(params)
    page, rest = listed[start : start + limit], listed[start + limit :]
    cursor = f"first%3D{start + limit}" if rest else ""
    return Reply({"category": category, "list": [item.record for item in page], "nextPageCursor": cursor})


def _pool(exchange: Exchange, category: str, base: str) -> list[Instrument]:
    """Return a category's instruments; a base coin widens linear and inverse to both."""
    if not base:
        return exchange.instruments.of(category)
    categories = ("linear", "inverse") if category in ("linear", "inverse") else (category,)
    return [item for name in categories for item in exchange.instruments.of(name) if item.base == base]


def _offset_of(params: Json) -> int:
    cursor = str(params.get("cursor", "")).replace("%253D", "%3D").replace("%3D", "=")
    if not cursor:
        return 0
    digits = cursor.removeprefix("first=")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        raise bad_parameter("cursor invalid")
    return int(digits)


def tickers(exchange: Exchange, params: Json) -> Reply:
    """Give the latest prices of one symbol or of a category."""
    category = category_of(params)
    if params.get("symbol"):
        listed = [instrument_of(exchange.instruments, category, params)]
    else:
        base = str(params.get("baseCoin", "")) if category == "option" else ""
        if category == "option" and not base:
            raise bad_parameter("symbol or baseCoin is required for options")
        listed = [item for item in exchange.instruments.of(category) if not base or item.base == base]
    shown = [ticker_view(exchange, item) for item in listed if item.status == "Trading"]
    return Reply({"category": category, "list": shown})


def ticker_view(exchange: Exchange, instrument: Instrument) -> Json:
    """Show the prices of an instrument as `tickers` does."""
    last = exchange.market.last(instrument)
    touch = exchange.market.touch(instrument)
    price = text(last)
    ticker: Json = {
        "symbol": instrument.symbol,
        "bid1Price": text(touch.bid),
        "bid1Size": text(instrument.max_market_qty),
        "ask1Price": text(touch.ask),
        "ask1Size": text(instrument.max_market_qty),
        "lastPrice": price,
        "highPrice24h": price,
        "lowPrice24h": price,
        "turnover24h": "0",
        "volume24h": "0",
    }
    if instrument.category == "spot":
        return {**ticker, "prevPrice24h": price, "price24hPcnt": "0", "usdIndexPrice": price}
    ticker |= {"indexPrice": price, "markPrice": price, "openInterest": "0"}
    if instrument.category == "option":
        underlying = text(exchange.market.dollars(instrument.base))
        greeks = dict.fromkeys(("delta", "gamma", "vega", "theta", "bid1Iv", "ask1Iv", "markIv", "change24h"), "0")
        totals = {"totalVolume": "0", "totalTurnover": "0", "predictedDeliveryPrice": "0"}
        return {**ticker, **greeks, **totals, "underlyingPrice": underlying, "indexPrice": underlying}
    return {
        **ticker,
        "prevPrice24h": price,
        "prevPrice1h": price,
        "price24hPcnt": "0",
        "openInterestValue": "0",
        "fundingRate": "0.0001" if instrument.is_perpetual else "",
        "nextFundingTime": _next_funding(exchange) if instrument.is_perpetual else "0",
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": instrument.record["deliveryFeeRate"],
        "deliveryTime": instrument.record["deliveryTime"],
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }


def _next_funding(exchange: Exchange) -> str:
    interval_ms = 8 * 3600 * 1000
    return str((exchange.clock.now_ms() // interval_ms + 1) * interval_ms)


def orderbook(exchange: Exchange, params: Json) -> Reply:
    """Draw the synthetic book: the same generous size at every tick."""
    category = category_of(params)
    instrument = instrument_of(exchange.instruments, category, params)
    default = 25 if category in {"linear", "inverse"} else 1
    depth = query_number(params, "limit", default, _BOOK_DEPTH[category])
    return Reply(book_view(exchange, instrument, depth))


def book_view(exchange: Exchange, instrument: Instrument, depth: int) -> Json:
    """Show the synthetic book of an instrument, so many levels on either side."""
    touch = exchange.market.touch(instrument)
    depth_shown = exchange.market.depth(instrument)
    size = text(instrument.max_market_qty if depth_shown is None else depth_shown)
    bids = [touch.bid - instrument.tick * level for level in range(depth)]
    asks = [touch.ask + instrument.tick * level for level in range(depth)]
    now_ms = exchange.clock.now_ms()
    return {
        "s": instrument.symbol,
        "b": [[text(price), size] for price in bids if price > Decimal(0)],
        "a": [[text(price), size] for price in asks],
        "ts": now_ms,
        "u": now_ms // 20,
        "seq": now_ms,
        "cts": now_ms,
    }


def price_limit(exchange: Exchange, params: Json) -> Reply:
    """Tell the highest buy and the lowest sell price."""
    category = category_of({"category": "linear", **params}, [name for name in CATEGORIES if name != "option"])
    instrument = instrument_of(exchange.instruments, category, params)
    return Reply(
        {
            "symbol": instrument.symbol,
            "buyLmt": text(exchange.market.highest_buy(instrument)),
            "sellLmt": text(exchange.market.lowest_sell(instrument)),
            "ts": str(exchange.clock.now_ms()),
        }
    )
