"""Public data of one environment: instrument rules, last prices, the clock. Cached in Redis and in the process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from typing import Any

import redis
import structlog

from sluicegate.bybit.answers import AnswerReader, Reply, must_be_obeyed, read_reply
from sluicegate.bybit.clock import OffsetClock
from sluicegate.bybit.instruments import from_cache, read_instrument, to_cache
from sluicegate.bybit.session import SessionPool
from sluicegate.domain.errors import BucketDenied, BucketUnavailable, ExchangeUnavailable, OrderRejected
from sluicegate.domain.instruments import OPTION_COINS, InstrumentRules
from sluicegate.domain.numbers import parse_decimal
from sluicegate.domain.orders import Category
from sluicegate.domain.outcomes import is_unanswered
from sluicegate.ports import Buckets, BucketSpec, Clock, Grant, Observer

log = structlog.get_logger(__name__)

RULES_TTL_S = 60.0
"""How long a process trusts its own copy."""
PRICE_TTL_S = 2.0
CACHE_TTL_S = 86_400
LEASE_S = 60.0
"""Longer than any public request lasts."""
NO_SUCH_SYMBOL = frozenset({"10001", "170121"})
"""How the exchange says that it does not list a symbol; 170121 for spot."""


class BybitMarket:
    """Public data, without a key.

    Args:
        environment: name of the environment, part of the cache keys.
        sessions: sessions without a key.
        reader: reads answers.
        clock: Bybit's clock, which every answer adjusts.
        local: local clock.
        cache: Redis.
        buckets: public requests spend the IP's quota too.
        ip_spec: the IP's bucket.
        observer: counts each answer.
    """

    def __init__(
        self,
        environment: str,
        sessions: SessionPool,
        reader: AnswerReader,
        clock: OffsetClock,
        local: Clock,
        cache: redis.Redis,
        buckets: Buckets,
        ip_spec: BucketSpec,
        observer: Observer,
    ) -> None:
        self._environment = environment
        self._sessions = sessions
        self._reader = reader
        self.clock = clock
        self._local = local
        self._cache = cache
        self._buckets = buckets
        self._ip_spec = ip_spec
        self._observer = observer
        self._rules: dict[tuple[Category, str], tuple[float, InstrumentRules | None]] = {}
        self._prices: dict[tuple[Category, str], tuple[float, Decimal]] = {}
        self._loading = threading.Lock()

    # --- rules ------------------------------------------------------------------------------------------------

    def rules(self, category: Category, symbol: str) -> InstrumentRules | None:
        """Return the rules of an instrument; see `sluicegate.ports.Market.rules`."""
        key = (category, symbol)
        known = self._rules.get(key)
        if known is not None and self._local.monotonic() - known[0] < RULES_TTL_S:
            return known[1]
        with self._loading:
            found = self._from_cache(category, symbol) or self._from_exchange(category, symbol)
            self._rules[key] = (self._local.monotonic(), found)
        return found

    def refresh(self) -> int:
        """Fetch the rules of every instrument into the cache.

        Returns:
            How many instruments there are.

        Raises:
            ExchangeUnavailable: a category could not be read; what was cached before stays.
        """
        count = 0
        for category in Category:
            found = list(self._fetch_all(category))
            if found:
                self._store(category, found)
            count += len(found)
        return count

    def _key(self, category: Category) -> str:
        return f"sg:instruments:{self._environment}:{category}"

    def _from_cache(self, category: Category, symbol: str) -> InstrumentRules | None:
        try:
            text = self._cache.hget(self._key(category), symbol)
            return None if text is None else from_cache(json.loads(str(text)))
        except redis.RedisError as e:
            raise ExchangeUnavailable("the cache of instrument rules does not answer") from e
        except (KeyError, ValueError, TypeError):
            return None  # another version wrote it: ask the exchange

    def _from_exchange(self, category: Category, symbol: str) -> InstrumentRules | None:
        try:
            found = list(self._fetch(category, {"symbol": symbol}))
        except OrderRejected as e:
            if e.ret_code in NO_SUCH_SYMBOL:
                return None
            raise
        self._store(category, found)
        return next((rules for rules in found if rules.symbol == symbol), None)

    def _fetch_all(self, category: Category) -> Iterator[InstrumentRules]:
        if category is Category.OPTION:
            for coin in OPTION_COINS:
                yield from self._fetch(category, {"baseCoin": coin})
        else:
            yield from self._fetch(category, {})

    def _fetch(self, category: Category, wanted: Mapping[str, str]) -> Iterator[InstrumentRules]:
        cursor: str | None = None
        for _page in range(100):
            parameters = {"category": category.value, "limit": 1000, "cursor": cursor, **wanted}
            result = self._query("/v5/market/instruments-info", "get_instruments_info", parameters).result
            rows = result.get("list")
            for row in rows if isinstance(rows, list) else []:
                try:
                    yield read_instrument(category, row)
                except (KeyError, ValueError, TypeError, AttributeError) as e:
                    symbol = self._reader.redact(row.get("symbol")) if isinstance(row, Mapping) else ""
                    log.warning("instrument_unreadable", category=category.value, symbol=symbol, error=repr(e))
            cursor = result.get("nextPageCursor") or None
            if not rows or cursor is None:
                return
        raise ExchangeUnavailable(f"instruments-info of {category} has no last page")

    def _store(self, category: Category, found: list[InstrumentRules]) -> None:
        if not found:
            return
        key = self._key(category)
        try:
            self._cache.hset(key, mapping={rules.symbol: json.dumps(to_cache(rules)) for rules in found})
            self._cache.expire(key, CACHE_TTL_S)
        except redis.RedisError as e:
            raise ExchangeUnavailable("the cache of instrument rules does not answer") from e

    # --- prices and time --------------------------------------------------------------------------------------

    def last_price(self, category: Category, symbol: str) -> Decimal:
        """Return the last price; see `sluicegate.ports.Market.last_price`."""
        key = (category, symbol)
        known = self._prices.get(key)
        now = self._local.monotonic()
        if known is not None and now - known[0] < PRICE_TTL_S:
            return known[1]
        price = self._shared_price(category, symbol)
        self._prices[key] = (now, price)
        return price

    def _shared_price(self, category: Category, symbol: str) -> Decimal:
        key = f"sg:price:{self._environment}:{category}:{symbol}"
        try:
            text = self._cache.get(key)
            with suppress(ValueError):  # nothing, or nonsense: ask the exchange
                return parse_decimal(text)
            price = self._fetch_price(category, symbol)
            self._cache.set(key, format(price, "f"), px=int(PRICE_TTL_S * 1000))
        except redis.RedisError as e:
            raise ExchangeUnavailable("the cache of prices does not answer") from e
        return price

    def _fetch_price(self, category: Category, symbol: str) -> Decimal:
        parameters = {"category": category.value, "symbol": symbol}
        rows = self._query("/v5/market/tickers", "get_tickers", parameters).result.get("list")
        for row in rows if isinstance(rows, list) else []:
            for field in ("lastPrice", "markPrice"):  # an option that never traded has a mark price only
                try:
                    price = parse_decimal(row[field])
                except (KeyError, ValueError, TypeError):
                    continue
                if price > 0 and row.get("symbol") == symbol:
                    return price
        raise ExchangeUnavailable(f"there is no last price of {category} {symbol}")

    def measure_clock(self) -> float:
        """Measure Bybit's clock against ours.

        Returns:
            The exchange's clock minus ours, seconds.

        Raises:
            ExchangeUnavailable: no answer.
        """
        self.clock.forget()
        for _sample in range(3):
            self._query("/v5/market/time", "get_server_time", {})
        return self.clock.offset_s

    # --- one request ------------------------------------------------------------------------------------------

    def _query(self, path: str, method: str, parameters: Mapping[str, Any]) -> Reply:
        session = self._sessions.session()
        grant = self._take_token()
        sent_at, started = self._local.now(), self._local.monotonic()
        code, error = "0", None
        try:
            reply = read_reply(getattr(session, method)(**parameters))
        except Exception as e:  # noqa: BLE001 - the boundary to the exchange: every failure is an outcome
            error = self._reader.read_error(e, is_write=False)
            code = error.code
        if not is_unanswered(error):  # it may still arrive: its token comes back by its lease
            self._settle(grant)
        self._observer.response(
            account="",
            endpoint=path,
            category=str(parameters.get("category", "")),
            ret_code=code,
            elapsed_s=self._local.monotonic() - started,
        )
        if error is not None:
            what = {name: str(parameters[name]) for name in ("category", "symbol") if name in parameters}
            log.warning("exchange_call_failed", endpoint=path, ret_code=code, ret_msg=error.message, **what)
            if must_be_obeyed(error):
                raise OrderRejected(f"{path}: {error.message}", ret_code=code)
            raise ExchangeUnavailable(f"{path}: {code}: {error.message}")
        if reply.time_ms is not None:
            self.clock.observe(sent_at, self._local.now(), reply.time_ms)
        return reply

    def _take_token(self) -> Grant:
        try:
            grant = self._buckets.acquire([self._ip_spec], max_wait_s=1.0, lease_s=LEASE_S)
        except BucketDenied as e:
            raise ExchangeUnavailable(f"this IP's quota is spent for {e.retry_after_s:.1f} s") from e
        except BucketUnavailable as e:
            raise ExchangeUnavailable("the buckets do not answer, so nothing may be asked") from e
        self._local.sleep(grant.wait_s)
        return grant

    def _settle(self, grant: Grant) -> None:
        with suppress(BucketUnavailable):  # the token comes back by its lease
            self._buckets.settle(grant, sent=True)
