"""Contenders: rate limiters that drive the same client, each in the way that its own manual shows."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from benchmarks.servers import connect

ORDER = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.001",
    "price": "50000",
    "timeInForce": "IOC",
}
"""It fills nothing and rests nowhere, so that a run may be as long as it likes."""


@dataclass(frozen=True)
class Field:
    """Where contenders meet.

    Attributes:
        valkey_url: the servers that all processes of a contender share.
        exchange_url: the simulator.
        limit: requests that a UID may send in a rolling second.
    """

    valkey_url: str
    exchange_url: str
    limit: int


class Contender(Protocol):
    """Sends orders of one UID as fast as it dares; one object a thread."""

    def send(self) -> int | None:
        """Send one order, after whatever wait; the exchange's time when it was accepted, ms, or None."""


def session(field: Field, uid: int, **settings: Any) -> HTTP:
    """Return a pybit session that repeats nothing, unless the settings say so."""
    logging.getLogger("pybit").setLevel(logging.CRITICAL)
    plain = {"retry_codes": {0}, "max_retries": 1, "force_retry": False, "timeout": 10}
    client = HTTP(api_key=f"sim-key-{uid - 1000}", api_secret=f"sim-secret-{uid - 1000}", **{**plain, **settings})
    client.endpoint = field.exchange_url
    client.client.trust_env = False
    return client


def place(client: HTTP) -> int | None:
    """Send one order through pybit."""
    try:
        return int(client.place_order(**ORDER)["time"])
    except (InvalidRequestError, FailedRequestError, ValueError):
        return None  # ValueError: pybit 5.17 wants to sleep until a reset that has passed by then


class Sluicegate:
    """The buckets of this repository, as a worker uses them; like the peers it waits until there is a token."""

    MAX_WAIT_S = 1.0

    def __init__(self, field: Field, uid: int) -> None:
        from sluicegate.ports import BucketSpec
        from sluicegate.ratelimit.bucket import RedisBuckets

        self._buckets = RedisBuckets(connect(field.valkey_url))
        self._specs = [BucketSpec(f"simulator:{uid}:create", field.limit), BucketSpec("egress", 100_000, 5.0)]
        self._client = session(field, uid, return_response_headers=True)

    def send(self) -> int | None:
        """Send one order."""
        from sluicegate.bybit.answers import read_headers
        from sluicegate.domain.errors import BucketDenied
        from sluicegate.domain.outcomes import NO_HEADERS
        from sluicegate.ports import Trip

        try:
            grant = self._buckets.acquire(self._specs, max_wait_s=self.MAX_WAIT_S, lease_s=15)
        except BucketDenied as denied:
            # The scheduler would bring the order back at the pace of its quota; a thread comes back by itself.
            time.sleep(min(max(0.0, denied.retry_after_s - self.MAX_WAIT_S / 2), 0.1))
            return None
        ready_at_s = time.monotonic() + grant.wait_s
        time.sleep(grant.wait_s)
        left_after_s = max(0.0, time.monotonic() - ready_at_s)
        told, headers = None, NO_HEADERS
        with suppress(InvalidRequestError, FailedRequestError):
            answer, _elapsed, sent_back = self._client.place_order(**ORDER)
            told, headers = int(answer["time"]), read_headers(sent_back)
        trip = None if told is None else Trip("simulator", left_after_s, told)
        self._buckets.settle(grant, sent=True, observed=headers, trip=trip)
        if told is None:
            self._buckets.block(self._specs[0], for_s=1.0, is_refusal=True)
        return told


class Foreigner:
    """Someone else with a key of the same UID: sends three tenths of the quota at an even pace and asks nobody."""

    def __init__(self, field: Field, uid: int) -> None:
        self._client = session(field, uid)
        self._pause_s = 1 / (0.3 * field.limit)
        self._next_s = time.monotonic()

    def send(self) -> int | None:
        """Send one order when its time has come."""
        self._next_s = max(self._next_s + self._pause_s, time.monotonic())
        time.sleep(self._next_s - time.monotonic() if self._next_s > time.monotonic() else 0)
        return place(self._client)


class Limits:
    """`limits`, moving window: hit, or sleep until it says that there is room."""

    def __init__(self, field: Field, uid: int) -> None:
        from limits import RateLimitItemPerSecond
        from limits.storage import RedisStorage
        from limits.strategies import MovingWindowRateLimiter

        self._limiter = MovingWindowRateLimiter(RedisStorage(field.valkey_url))
        self._item, self._key = RateLimitItemPerSecond(field.limit), str(uid)
        self._client = session(field, uid)

    def send(self) -> int | None:
        """Send one order."""
        if not self._limiter.hit(self._item, self._key):
            reset_at = self._limiter.get_window_stats(self._item, self._key).reset_time
            time.sleep(max(0.001, reset_at - time.time()))
            return None
        return place(self._client)


class Throttled:
    """`throttled-py`, token bucket, which waits by itself."""

    def __init__(self, field: Field, uid: int) -> None:
        from throttled import RateLimiterType, Throttled, rate_limiter, store

        self._gate = Throttled(
            key=str(uid),
            using=RateLimiterType.TOKEN_BUCKET.value,
            quota=rate_limiter.per_sec(field.limit),
            store=store.RedisStore(server=field.valkey_url),
            timeout=10,
        )
        self._client = session(field, uid)

    def send(self) -> int | None:
        """Send one order."""
        return None if self._gate.limit().limited else place(self._client)


class Pyrate:
    """`pyrate-limiter`, its bucket in Redis, which waits by itself."""

    def __init__(self, field: Field, uid: int) -> None:
        import redis
        from pyrate_limiter import Duration, Limiter, Rate, RedisBucket

        rates = [Rate(field.limit, Duration.SECOND)]
        self._limiter = Limiter(RedisBucket.init(rates, redis.Redis.from_url(field.valkey_url), f"pyrate:{uid}"))
        self._client = session(field, uid)

    def send(self) -> int | None:
        """Send one order."""
        return place(self._client) if self._limiter.try_acquire("order") else None


class PybitRetry:
    """No limiter: pybit sends, and when it is refused sleeps until the reset that the exchange tells."""

    def __init__(self, field: Field, uid: int) -> None:
        self._client = session(field, uid, retry_codes={10006}, max_retries=3)

    def send(self) -> int | None:
        """Send one order."""
        return place(self._client)


CONTENDERS: dict[str, type[Any]] = {
    "Sluicegate": Sluicegate,
    "limits moving window": Limits,
    "throttled-py token bucket": Throttled,
    "pyrate-limiter": Pyrate,
    "pybit's own retry": PybitRetry,
}
