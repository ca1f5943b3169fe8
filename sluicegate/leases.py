"""Leases in Redis: which process follows an account, and how often this IP may open connections."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import redis
import structlog

from sluicegate.domain.errors import BrokerUnavailable

log = structlog.get_logger(__name__)

PREFIX: Final = "sg:stream"
CONNECT_WINDOW_S: Final = 300
"""Bybit allows 500 new connections in 5 minutes. Source: Bybit V5 WebSocket connect page, docs of 2026-07-24."""

# KEYS: holder, fence. ARGV: who, ttl ms. Returns the fencing token, 0 when someone else holds the lease. The token
# grows with each change of hands; it starts at the time of day, so that it grows even when Redis was emptied.
_TAKE = """
local holder, token = redis.call('GET', KEYS[1]), tonumber(redis.call('GET', KEYS[2]) or 0)
if holder and holder ~= ARGV[1] then return 0 end
if not holder or token == 0 then
  local clock = redis.call('TIME')
  token = math.max(token + 1, clock[1] * 1000 + math.floor(clock[2] / 1000))
  redis.call('SET', KEYS[2], string.format('%d', token))
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return token
"""

# KEYS: holder. ARGV: who. Gives the lease back if it is still ours.
_GIVE_BACK = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""

# KEYS: log of connections. ARGV: limit, window in microseconds, a unique member.
# Returns 0 when a connection may be opened (it is counted), else in how many microseconds one may be.
_CONNECT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
  return 0
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return math.max(1, tonumber(oldest[2]) + ARGV[2] - now)
"""


@dataclass(frozen=True)
class StreamLeases:
    """One holder an account. A holder that dies is replaced when its lease has run out.

    Two holders for a moment do no harm: evidence is written idempotently, positions and balances by the exchange's
    own time, and what else a holder writes carries its fencing token: an older holder's late word is dropped.

    Args:
        client: fails fast.
        holder: this process.
        ttl_s: how long a lease lasts without renewal.
    """

    client: redis.Redis
    holder: str
    ttl_s: float

    def take(self, account: str) -> int:
        """Take or renew the lease of an account.

        Returns:
            The fencing token; 0 when someone else holds it.

        Raises:
            BrokerUnavailable: Redis does not answer.
        """
        keys = (self._key(account), f"{PREFIX}:{{{account}}}:fence")
        try:
            return int(self.client.eval(_TAKE, 2, *keys, self.holder, str(int(self.ttl_s * 1000))))
        except (redis.RedisError, OSError) as e:
            raise BrokerUnavailable(f"no lease: {type(e).__name__}") from e

    def give_back(self, account: str) -> None:
        """Give a lease back, so that another process need not wait until it runs out."""
        try:
            self.client.eval(_GIVE_BACK, 1, self._key(account), self.holder)
        except (redis.RedisError, OSError) as e:
            raise BrokerUnavailable(f"the lease was not given back: {type(e).__name__}") from e

    def _key(self, account: str) -> str:
        return f"{PREFIX}:{{{account}}}:holder"


@dataclass(frozen=True)
class ConnectionBudget:
    """How many connections all processes of one public IP may open in five minutes.

    After Redis was emptied the count starts anew, so twice the limit is possible in the worst window: keep it
    below half of what Bybit allows.

    Args:
        client: fails fast.
        egress: name of the public IP.
        limit: connections in `CONNECT_WINDOW_S`.
    """

    client: redis.Redis
    egress: str
    limit: int

    def wait_s(self) -> float:
        """Count one connection and return 0, or return how long to wait before asking again.

        Raises:
            BrokerUnavailable: Redis does not answer; open none.
        """
        member = f"{time.time_ns()}-{id(object())}"
        window_us = str(CONNECT_WINDOW_S * 1_000_000)
        try:
            key = f"{PREFIX}:connects:{self.egress}"
            return int(self.client.eval(_CONNECT, 1, key, str(self.limit), window_us, member)) / 1e6
        except (redis.RedisError, OSError) as e:
            raise BrokerUnavailable(f"the budget of connections is unknown: {type(e).__name__}") from e


CHANNEL: Final = "sg:events"


@dataclass(frozen=True)
class Nudges:
    """Tells followers of orders that there is something new: a hint to read the ledger, and nothing else."""

    client: redis.Redis

    def send(self, account: str) -> None:
        """Say that something happened on an account. A hint that is lost costs a follower a moment."""
        try:
            self.client.publish(CHANNEL, account)
        except (redis.RedisError, OSError) as e:
            log.debug("nudge_lost", account=account, error=type(e).__name__)

    def listen(self) -> NudgeListener:
        """Return what waits for hints; close it when done."""
        return NudgeListener(self.client)


class NudgeListener:
    """Waits for hints. Without Redis it just waits.

    Args:
        client: its connections are used.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._pubsub = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
        self._is_subscribed = False

    def wait(self, timeout_s: float) -> None:
        """Return at the next hint, or after a while."""
        started = time.monotonic()
        try:
            if not self._is_subscribed:
                self._pubsub.subscribe(CHANNEL)
                self._is_subscribed = True
            if self._pubsub.get_message(timeout=timeout_s) is not None:
                while self._pubsub.get_message(timeout=0) is not None:
                    pass  # many hints say the same as one
                return
        except (redis.RedisError, OSError):
            self._is_subscribed = False
        time.sleep(max(0.0, timeout_s - (time.monotonic() - started)))

    def close(self) -> None:
        """Give the connection back."""
        self._pubsub.close()
