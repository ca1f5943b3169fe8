"""Last prices, the clock, and accounts that share them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from market_desk import accounts_of, market_towards, settings_for
from venue_server import VenueServer, envelope, http

from sluicegate.bybit.market import LEASE_S
from sluicegate.config import Environment
from sluicegate.domain.errors import ConfigurationError, ExchangeUnavailable, OrderRejected
from sluicegate.domain.orders import Category
from sluicegate.telemetry.metrics import Metrics

PRICE = "sg:price:simulator:linear:BTCUSDT"


def ticker(**fields: Any) -> Any:
    """Return a script that answers with one ticker."""
    row = {"symbol": "BTCUSDT", **fields}
    return lambda _request, _connection: http(envelope(result={"list": [row]}))


def test_last_price_is_the_simulators(simulator_url: str, cache: redis.Redis) -> None:
    """Each category has a price; it is kept for a moment, for all processes."""
    market = market_towards(simulator_url, cache)
    market.refresh()
    for category in Category:
        symbol = cache.hkeys(f"sg:instruments:simulator:{category}")[0]
        price = market.last_price(category, symbol)
        assert price > 0
        assert Decimal(cache.get(f"sg:price:simulator:{category}:{symbol}")) == price


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"lastPrice": "60000.5", "markPrice": "1"}, "60000.5"),
        ({"lastPrice": "", "markPrice": "7"}, "7"),
        ({"lastPrice": "0", "markPrice": "7"}, "7"),
        ({"markPrice": "7"}, "7"),
        ({"lastPrice": None, "markPrice": 7}, "7"),
    ],
)
def test_last_price_falls_back_to_the_mark(
    server: VenueServer, cache: redis.Redis, fields: dict[str, Any], expected: str
) -> None:
    """An option that never traded has a mark price only."""
    server.script = ticker(**fields)
    assert market_towards(server.url, cache).last_price(Category.LINEAR, "BTCUSDT") == Decimal(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"lastPrice": "0"},
        {"lastPrice": "-5"},
        {"lastPrice": "NaN"},
        {"lastPrice": 1.5},
        {"lastPrice": []},
        {"lastPrice": "5", "symbol": "ETHUSDT"},
    ],
)
def test_last_price_that_makes_no_sense_is_unavailable(
    server: VenueServer, cache: redis.Redis, fields: dict[str, Any]
) -> None:
    """No price, no collar, no order."""
    server.script = ticker(**fields)
    with pytest.raises(ExchangeUnavailable, match="no last price of linear BTCUSDT"):
        market_towards(server.url, cache).last_price(Category.LINEAR, "BTCUSDT")
    assert cache.get(PRICE) is None


def test_last_price_cached_as_nonsense_is_fetched_anew(server: VenueServer, cache: redis.Redis) -> None:
    """What cannot be read in the cache is asked of the exchange."""
    cache.set(PRICE, "nonsense")
    server.script = ticker(lastPrice="5")
    assert market_towards(server.url, cache).last_price(Category.LINEAR, "BTCUSDT") == 5


def test_last_price_is_asked_once_in_a_while(server: VenueServer, cache: redis.Redis) -> None:
    """Two processes and many orders cost one request."""
    server.script = ticker(lastPrice="5")
    markets = [market_towards(server.url, cache) for _ in range(2)]
    assert {Decimal(5)} == {market.last_price(Category.LINEAR, "BTCUSDT") for market in markets * 5}
    assert len(server.requests) == 1
    assert 0 < cache.pttl(PRICE) <= 2000


def test_clock_of_the_simulator_is_measured(simulator_url: str, cache: redis.Redis) -> None:
    """On one host the offset is far below a receive window."""
    assert abs(market_towards(simulator_url, cache).measure_clock()) < 0.5


def test_clock_without_an_answer_keeps_the_last_offset(server: VenueServer, cache: redis.Redis) -> None:
    """An exchange that does not answer leaves the measured offset in force."""
    market = market_towards(server.url, cache)
    now_ms = int(market.clock.now().timestamp() * 1000)
    server.script = lambda _request, _connection: http(envelope(time=now_ms + 90_000))
    offset = market.measure_clock()
    server.script = lambda _request, _connection: None
    with pytest.raises(ExchangeUnavailable):
        market.measure_clock()
    assert offset == market.clock.offset_s
    assert 85 < offset <= 90


def test_accounts_of_one_environment_share_market_and_clock(
    simulator_url: str, cache: redis.Redis, tmp_path: Path
) -> None:
    """One market and one clock an environment, one gateway an account, each built once."""
    metrics = Metrics()
    accounts = accounts_of(settings_for(simulator_url, tmp_path), cache, metrics=metrics)
    one, two = accounts.get("one"), accounts.get("two")
    assert one is accounts.get("one")
    assert one.market is two.market
    assert one.clock is two.clock
    assert one.exchange is not two.exchange
    assert (["one", "two"], [Environment.SIMULATOR]) == (accounts.names(), accounts.environments())
    assert one.exchange.key_info().uid == "1001"
    shown = metrics.registry.get_sample_value("sluicegate_clock_offset_seconds", {"account": "one"})
    assert shown == one.clock.offset_s
    assert "sim-secret" not in repr(accounts) + repr(one)


def test_account_without_its_key_stops_only_itself(simulator_url: str, cache: redis.Redis, tmp_path: Path) -> None:
    """A key that cannot be read names its setting; the other accounts work."""
    settings = settings_for(simulator_url, tmp_path)
    missing = settings.accounts["two"].model_copy(update={"api_key_file": tmp_path / "nowhere"})
    settings = settings.model_copy(update={"accounts": {**settings.accounts, "two": missing}})
    accounts = accounts_of(settings, cache)
    with pytest.raises(ConfigurationError, match=r"accounts\.two\.api_key_file"):
        accounts.get("two")
    with pytest.raises(ConfigurationError, match="unknown account 'three'; configured: one, two"):
        accounts.get("three")
    assert accounts.get("one").name == "one"


def test_account_waits_until_the_clock_is_measured(
    server: VenueServer, cache: redis.Redis, tmp_path: Path
) -> None:
    """Nothing is signed with a clock that was never compared; the next try may succeed."""
    accounts = accounts_of(settings_for(server.url, tmp_path), cache)
    server.script = lambda _request, _connection: http(b"", status="502 Bad Gateway")
    with pytest.raises(ExchangeUnavailable):
        accounts.get("one")
    server.script = lambda _request, _connection: http(envelope())
    assert accounts.get("one").name == "one"


def test_resync_of_a_clock_raises_unavailable_alone(
    server: VenueServer, cache: redis.Redis, tmp_path: Path
) -> None:
    """Whatever the exchange says instead of the time, the caller has one error to handle."""
    server.script = lambda _request, _connection: http(envelope())
    accounts = accounts_of(settings_for(server.url, tmp_path), cache)
    accounts.resync_clock("one")
    for answer in (http(b"", status="403 Forbidden"), http(envelope(retCode=10006)), http(b"", status="500 No")):
        server.script = lambda _request, _connection, answer=answer: answer
        with pytest.raises(ExchangeUnavailable):
            accounts.resync_clock("one")


def test_market_of_a_banned_address_says_so(server: VenueServer, cache: redis.Redis, tmp_path: Path) -> None:
    """A ban met by the first public request carries its code to whoever halts."""
    server.script = lambda _request, _connection: http(b"", status="403 Forbidden")
    with pytest.raises(OrderRejected) as raised:
        accounts_of(settings_for(server.url, tmp_path), cache).get("one")
    assert raised.value.ret_code == "http_403"


@pytest.mark.parametrize("is_answered", [True, False])
def test_token_of_a_question_without_answer_comes_back_by_its_lease(
    server: VenueServer, cache: redis.Redis, is_answered: bool
) -> None:
    """The network may still deliver the question; one too many from an IP costs everybody ten minutes."""
    script = http(b"", status="502 Bad Gateway") if is_answered else None
    server.script = lambda _request, connection: connection.close() if script is None else script
    market = market_towards(server.url, cache)
    with pytest.raises(ExchangeUnavailable):
        market.last_price(Category.LINEAR, "BTCUSDT")
    flight = "sg:{buckets}:flight:egress:default"
    [(_token, back_us)] = cache.zrange(flight, 0, -1, withscores=True)
    seconds, microseconds = cache.time()
    assert is_answered == (back_us / 1e6 - seconds - microseconds / 1e6 < LEASE_S / 2)
