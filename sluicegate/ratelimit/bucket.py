"""Token buckets in Redis: one Lua file and one round trip per operation.

The bucket is exact for a rolling window. A token that is taken is in flight; it comes back one window after the
*answer* to the request that spent it, which is at least one window after that request *arrived*. So no window at
the exchange ever holds more than the limit, however the network delays and reorders requests, as long as

- a request is answered or given up within its lease (its sender must not send once the lease is over),
- all who spend the quota ask here, or show in `X-Bapi-Limit-Status`,
- the server's clock does not jump forward, and the server does not evict keys (`maxmemory-policy noeviction`).

The price is one round trip per window: at 20 ms of round trip and a window of 1 s, 2 % of the quota stay unused.

Who is turned away gets an instant of its own, `retry_after_s`, from the bucket's ticket clock, which runs at the
bucket's pace (window / limit per token) ahead of the time at which a token can be back. So N waiting orders come
back one by one over N * window / limit, each to a token of its own. What the clock does not know is *who* comes:

- A newcomer may take the token of someone who comes back a moment later; that one gets a new ticket behind the
  rest. Nobody is overtaken for ever unless newcomers alone use the whole quota.
- Answers take time, so tokens come back a little slower than tickets fall due: about (round trip / window) of
  those who come back are too early. A `max_wait_s` above the round trip turns most of these into a short wait.
- Tickets of callers that never come back would make the rest wait for nothing. So while tickets are out the
  bucket counts the tokens asked for. If within two windows or more not half of the tickets due were redeemed, the
  clock's lead is cut in proportion; nobody at all means back to now. Above half, a caller waits at most about
  twice as long as the true queue is. A burst that is denied before two windows are over still queues behind the
  vanished. Tickets never hold tokens: a free token goes to whoever asks.

Redis emptied, restarted or failed over: `epoch` is the instant since when the key space holds the truth. It is
set anew when it is missing, and when the server does not know the acquire script (a restarted server has an empty
script cache, even if it loaded an old snapshot). Nothing passes any bucket until one window after it. Requests
granted before are counted as soon as they are settled, so this holds as long as they are settled within that
window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any

import redis
from redis.exceptions import NoScriptError, RedisError

from sluicegate.domain.errors import BucketDenied, BucketUnavailable
from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, BucketState, Grant
from sluicegate.ratelimit.lease import (
    LEARNED_FOR_S,
    Observed,
    bucket_state,
    check_specs,
    check_times,
    new_nonce,
    ready_us,
    to_us,
)

PREFIX = "sg:{buckets}"
"""One hash tag for all keys: see docs/adr/0003-one-hash-tag-for-buckets.md."""

KEEP_S = 3600.0
"""How long an idle bucket's keys stay beyond what correctness needs, so that it still shows in `states`."""


def script_text(operation: str) -> str:
    """Return the Lua text of an operation."""
    return resources.files("sluicegate.ratelimit").joinpath("lua", f"{operation}.lua").read_text(encoding="utf-8")


class RedisBuckets:
    """Token buckets shared by every process that uses the same Redis or Valkey (version 7 or later).

    Args:
        client: with `socket_timeout` and `socket_connect_timeout` set (parts of a second) and without retries:
            an `acquire` that is repeated after a timeout takes tokens twice; the first come back only by lease.
        prefix: of all keys; must contain a hash tag.
    """

    def __init__(self, client: redis.Redis, *, prefix: str = PREFIX) -> None:
        self._client = client
        self._prefix = prefix
        self._epoch = f"{prefix}:epoch"
        self._names = f"{prefix}:names"
        self._acquire = client.register_script(script_text("acquire"))
        self._settle = client.register_script(script_text("settle"))
        self._block = client.register_script(script_text("block"))
        self._peek = client.register_script(script_text("peek"))

    def acquire(self, specs: Sequence[BucketSpec], *, max_wait_s: float, lease_s: float) -> Grant:
        """Take tokens from every bucket named, or from none.

        Args:
            specs: the buckets and what each costs; the one that the response's headers concern comes first.
            max_wait_s: longest wait that the caller will sleep for; 0 or more.
            lease_s: after so long, counted from the end of the wait, unsettled tokens come back by themselves.

        Returns:
            The grant; sleep for `wait_s`, send, settle.

        Raises:
            BucketDenied: not within `max_wait_s`; come back after `retry_after_s`.
            BucketUnavailable: Redis did not answer; send nothing.
            ValueError: no bucket, one named twice, or a time or cost that makes no sense.
        """
        check_specs(specs)
        check_times(max_wait_s, lease_s)
        keys = [self._epoch, self._names]
        args: list[Any] = [0, new_nonce(), to_us(max_wait_s), to_us(lease_s), to_us(KEEP_S)]
        for spec in specs:
            keys += [self._bucket(spec.name), self._flight(spec.name)]
            args += [spec.name, spec.limit, to_us(spec.window_s), spec.cost]
        is_granted, delay_us, *lease_id = self._ask(lambda: self._run_acquire(keys, args))
        if not is_granted:
            raise BucketDenied(f"no token within {max_wait_s} s", retry_after_s=delay_us / 1_000_000)
        return Grant(_text(lease_id[0]), delay_us / 1_000_000, tuple(specs))

    def settle(self, grant: Grant, *, sent: bool, observed: RateHeaders | None = None) -> None:
        """Say what became of the tokens. May be repeated, and may come after the lease's end.

        Args:
            grant: from `acquire`.
            sent: False: no request left, the tokens return at once. True: they return one window from now.
            observed: the response's headers, which concern the first bucket of the grant.

        Raises:
            BucketUnavailable: Redis did not answer; the tokens come back by lease.
        """
        told = Observed.of(observed)
        keys = [self._bucket(grant.specs[0].name)]
        args: list[Any] = [grant.lease_id, ready_us(grant.lease_id), int(sent), told.limit, told.remaining]
        args += [to_us(LEARNED_FOR_S), to_us(KEEP_S)]
        for spec in grant.specs:
            keys.append(self._flight(spec.name))
            args += [to_us(spec.window_s), spec.cost]
        self._ask(lambda: self._settle(keys, args))

    def block(self, spec: BucketSpec, *, for_s: float) -> None:
        """Let nothing through a bucket for a while; the longer of this and an earlier block wins.

        Args:
            spec: the bucket.
            for_s: how long; 0 or less does nothing new.

        Raises:
            BucketUnavailable: Redis did not answer; the bucket is not blocked.
        """
        keys = [self._names, self._bucket(spec.name)]
        args: list[Any] = [spec.name, spec.limit, to_us(spec.window_s), max(0, to_us(for_s)), to_us(KEEP_S)]
        self._ask(lambda: self._block(keys, args))

    def states(self) -> list[BucketState]:
        """Return every bucket used within the last hour, by name.

        Raises:
            BucketUnavailable: Redis did not answer.
        """
        members: Any = self._ask(lambda: self._client.smembers(self._names))
        names = sorted(_text(member) for member in members)
        keys = [self._epoch, self._names]
        for name in names:
            keys += [self._bucket(name), self._flight(name)]
        rows = self._ask(lambda: self._peek(keys, names))
        return [bucket_state(name, *row) for name, row in zip(names, rows, strict=True) if row]

    def _bucket(self, name: str) -> str:
        return f"{self._prefix}:bucket:{name}"

    def _flight(self, name: str) -> str:
        return f"{self._prefix}:flight:{name}"

    def _run_acquire(self, keys: list[str], args: list[Any]) -> Any:
        try:
            return self._client.evalsha(self._acquire.sha, len(keys), *keys, *args)
        except NoScriptError:
            # A server that forgot the script was restarted. Say so in the very call that teaches it the script:
            # between two calls another process could slip through.
            return self._client.eval(script_text("acquire"), len(keys), *keys, 1, *args[1:])

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RedisError as error:
            raise BucketUnavailable(f"the token buckets cannot be read ({type(error).__name__})") from error


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
