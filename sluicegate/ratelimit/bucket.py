"""Token buckets in Redis: one Lua file and one round trip per operation.

The bucket is exact for a rolling window. A token that is taken is in flight; it comes back one window after the
request that spent it *arrived*, which the answer tells (`arrival.py`, where its assumptions are), or else one
window after the *answer*, which is later. So no window at the exchange ever holds more than the limit, however the
network delays and reorders requests, as long as

- a request is answered or given up within its lease (its sender must not send once the lease is over),
- all who spend the quota ask here, or show in `X-Bapi-Limit-Status`,
- the server's clock does not jump forward, and the server does not evict keys (`maxmemory-policy noeviction`).

What stays unused is the part of a window by which a request is slower than the fastest one, and the margin: about
1 % with a jitter of 5 ms. Without the exchange's time it is a whole round trip. The egress IP's bucket never uses
that time: the IP is shared by exchanges with different clocks and ways, a breach costs ten minutes, and of its
window of 5 s a round trip is little.

Who is turned away gets an instant of its own, `retry_after_s`, from the bucket's ticket clock, which runs at the
bucket's pace (window / limit per token) ahead of the time at which a token can be back. So N waiting orders come
back one by one over N * window / limit, each to a token of its own. What the clock does not know is *who* comes:

- A newcomer may take the token of someone who comes back a moment later; that one gets a new ticket behind the
  rest. Nobody is overtaken for ever unless newcomers alone use the whole quota.
- Tokens come back a little slower than tickets fall due, by the unused part, so some of those who come back are
  too early. A `max_wait_s` above the round trip turns most of these into a short wait.
- Tickets of callers that never come back would make the rest wait for nothing. So while tickets are out the
  bucket counts the tokens asked for. If within two windows or more not half of the tickets due were redeemed, the
  clock's lead is cut in proportion; nobody at all means back to now. Above half, a caller waits at most about
  twice as long as the true queue is. A burst that is denied before two windows are over still queues behind the
  vanished. Tickets never hold tokens: a free token goes to whoever asks.

Redis emptied, restarted or failed over: `epoch` is the instant since when the key space holds the truth. It is
set anew when it is missing, and when the server does not know the acquire script (a restarted server has an empty
script cache, even if it loaded an old snapshot), unless that server is one that loses nothing (`durability.py`).
Nothing passes any bucket until one window after it. Requests granted before are counted as soon as they are
settled, so this holds as long as they are settled within that window.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import partial
from importlib import resources
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoScriptError, RedisError

from sluicegate.domain.errors import BucketDenied, BucketUnavailable
from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, BucketState, Grant, Lane, LaneGrant, Trip
from sluicegate.ratelimit.arrival import (
    CONFIRMATIONS,
    DOUBT,
    MARGIN_S,
    MEMORY,
    NARROWING_US,
    PERIOD_US,
    RESOLUTION_US,
    WIDEST_US,
)
from sluicegate.ratelimit.durability import loses_nothing
from sluicegate.ratelimit.flusher import Flusher, Settlement
from sluicegate.ratelimit.lease import (
    CEDED_WINDOWS,
    LEARNED_FOR_S,
    NO_LANE,
    Observed,
    bucket_state,
    check_lanes,
    check_specs,
    check_times,
    lane_grant,
    new_nonce,
    reading_us,
    ready_us,
    to_us,
)

PREFIX = "sg:{buckets}"
"""One hash tag for all keys: see docs/adr/0003-one-hash-tag-for-buckets.md."""

KEEP_S = 3600.0
"""How long an idle bucket's keys stay beyond what correctness needs, so that it still shows in `states`."""


MOST_WRITTEN = 1024
"""How many different commands are kept as they go over the wire."""


def script_text(operation: str) -> str:
    """Return the Lua text of an operation."""
    return resources.files("sluicegate.ratelimit").joinpath("lua", f"{operation}.lua").read_text(encoding="utf-8")


class _Asked(NamedTuple):
    """What an acquire asks for, but for the nonce."""

    specs: tuple[BucketSpec, ...]
    lanes: tuple[Lane, ...]
    orders: int
    max_wait_us: int
    lease_us: int


class RedisBuckets:
    """Token buckets shared by every process that uses the same Redis or Valkey (version 7 or later).

    Args:
        client: with `socket_timeout` and `socket_connect_timeout` set (parts of a second) and without retries:
            an `acquire` that is repeated after a timeout takes tokens twice; the first come back only by lease.
        prefix: of all keys; must contain a hash tag.
        margin_s: what is added to each return that is read off the exchange's clock, until a refusal adds more.
        flush_after_s: settlements are sent by a thread, so many seconds later; None: at once, by the caller.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        prefix: str = PREFIX,
        margin_s: float = MARGIN_S,
        flush_after_s: float | None = None,
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._margin_us = to_us(margin_s)
        self._flusher = None if flush_after_s is None else Flusher(self._settle_all, flush_after_s)
        self._written: dict[_Asked, tuple[bytes, bytes]] = {}
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
        asked = _Asked(tuple(specs), (), 1, to_us(max_wait_s), to_us(lease_s))
        lease_id, wait_s, _lane, _orders = self._acquire_one(asked)
        return Grant(lease_id, wait_s, asked.specs, lease_s)

    def acquire_lane(
        self,
        lanes: Sequence[Lane],
        beside: Sequence[BucketSpec],
        *,
        orders: int,
        max_wait_s: float,
        lease_s: float,
    ) -> LaneGrant:
        """Take the tokens of at least one order and at most `orders` from the lane that grants first.

        Args:
            lanes: one of each kind at most.
            beside: buckets that every request needs besides.
            orders: how many orders wait.
            max_wait_s: longest wait that the caller will sleep for; 0 or more.
            lease_s: as in `acquire`.

        Returns:
            The lane and a grant for each request; all wait equally long.

        Raises:
            BucketDenied: no lane has a token within `max_wait_s`; no ticket was given.
            BucketUnavailable: Redis did not answer; send nothing.
            ValueError: as `acquire`.
        """
        check_lanes(lanes, beside, orders)
        check_times(max_wait_s, lease_s)
        asked = _Asked(tuple(beside), tuple(lanes), orders, to_us(max_wait_s), to_us(lease_s))
        lease_id, wait_s, kind, granted = self._acquire_one(asked)
        return lane_grant(
            lanes, asked.specs, kind=kind, lease_id=lease_id, wait_s=wait_s, lease_s=lease_s, orders=granted
        )

    def _acquire_one(self, asked: _Asked) -> tuple[str, float, int, int]:
        nonce = new_nonce()
        answer = self._ask(lambda: self._run_acquire(asked, nonce))
        if isinstance(answer, int):
            wait_s = asked.max_wait_us / 1_000_000
            raise BucketDenied(f"no token within {wait_s:g} s", retry_after_s=answer / 1_000_000)
        ready, wait_us, lane, orders = _text(answer).split(" ")
        return f"{ready}-{nonce}", int(wait_us) / 1_000_000, int(lane), int(orders)

    def settle(
        self, grant: Grant, *, sent: bool, observed: RateHeaders | None = None, trip: Trip | None = None
    ) -> None:
        """Say what became of the tokens. May be repeated, and may come after the lease's end.

        Args:
            grant: from `acquire`.
            sent: False: no request left, the tokens return at once. True: they return one window from now, or,
                those of the first bucket, one window after the arrival that `trip` tells.
            observed: the response's headers, which concern the first bucket of the grant.
            trip: how the request travelled.

        Raises:
            BucketUnavailable: Redis did not answer; the tokens come back by lease. Never with `flush_after_s`,
                which logs it.
        """
        told = Observed.of(observed)
        keys = [f"{self._prefix}:venue:{trip.venue if trip else ''}", self._bucket(grant.specs[0].name)]
        numbers: list[float] = [ready_us(grant.lease_id), sent, told.limit, told.remaining, to_us(LEARNED_FOR_S)]
        numbers += [to_us(KEEP_S), *(reading_us(trip)), self._margin_us]
        numbers += [CONFIRMATIONS, DOUBT, MEMORY, PERIOD_US, RESOLUTION_US, NARROWING_US, to_us(grant.lease_s)]
        for spec in grant.specs:
            keys.append(self._flight(spec.name))
            numbers += [to_us(spec.window_s), spec.cost]
        settlement = Settlement(tuple(keys), (grant.lease_id, _packed(numbers)))
        if self._flusher is None:
            self._ask(lambda: self._settle(settlement.keys, settlement.arguments))
        else:
            self._flusher.put(settlement)

    def close(self) -> None:
        """Send the settlements that wait."""
        if self._flusher is not None:
            self._flusher.close()

    def block(self, spec: BucketSpec, *, for_s: float, is_refusal: bool = False) -> None:
        """Let nothing through a bucket for a while; the longer of this and an earlier block wins.

        Args:
            spec: the bucket.
            for_s: how long; 0 or less does nothing new.
            is_refusal: the exchange refused a request that had its tokens: the margin grows for a while, and one
                token more counts as someone else's.

        Raises:
            BucketUnavailable: Redis did not answer; the bucket is not blocked.
        """
        keys = [self._names, self._bucket(spec.name), self._flight(spec.name)]
        args: list[Any] = [spec.name, spec.limit, to_us(spec.window_s), max(0, to_us(for_s)), to_us(KEEP_S)]
        args += [int(is_refusal), NARROWING_US, RESOLUTION_US, WIDEST_US, CEDED_WINDOWS * to_us(spec.window_s)]
        self._ask(lambda: self._block(keys, args))

    def states(self) -> list[BucketState]:
        """Return every bucket used within the last hour, by name.

        Raises:
            BucketUnavailable: Redis did not answer.
        """
        rows = self._ask(lambda: self._peek([self._epoch, self._names], [self._bucket(""), self._flight("")]))
        return sorted((bucket_state(_text(name), *row) for name, *row in rows), key=lambda state: state.name)

    def _settle_all(self, settlements: Sequence[Settlement]) -> None:
        """Send settlements in one round trip; a server that was restarted gets the script again."""
        pipe = self._client.pipeline(transaction=False)
        for keys, arguments in settlements:
            pipe.evalsha(self._settle.sha, len(keys), *keys, *arguments)
        answers = self._ask(lambda: pipe.execute(raise_on_error=False))
        for settlement, answer in zip(settlements, answers, strict=True):
            if isinstance(answer, NoScriptError):
                self._ask(partial(self._settle, settlement.keys, settlement.arguments))
            elif isinstance(answer, Exception):
                raise BucketUnavailable(f"a lease cannot be settled ({type(answer).__name__})") from answer

    def _bucket(self, name: str) -> str:
        return f"{self._prefix}:bucket:{name}"

    def _flight(self, name: str) -> str:
        return f"{self._prefix}:flight:{name}"

    def _run_acquire(self, asked: _Asked, nonce: str) -> Any:
        try:
            return self._send(asked, nonce)
        except NoScriptError:
            # A server that forgot the script was restarted. Say so in the very call that teaches it the script:
            # between two calls another process could slip through.
            is_forgetful = not loses_nothing(self._client)
            arguments = self._arguments(asked, nonce, is_restarted=is_forgetful)
            return self._client.eval(script_text("acquire"), *arguments)

    def _send(self, asked: _Asked, nonce: str) -> Any:
        """Send the acquire script's command: all but the nonce was written before, for a third of the time."""
        pool = self._client.connection_pool
        connection: Any = pool.get_connection()
        try:
            written = self._written.get(asked)
            if written is None:
                written = self._write(asked, nonce, connection)
            connection.send_packed_command([written[0] + nonce.encode() + written[1]])
            return connection.read_response()
        finally:
            pool.release(connection)

    def _write(self, asked: _Asked, nonce: str, connection: Any) -> tuple[bytes, bytes]:
        arguments = self._arguments(asked, nonce, is_restarted=False)
        command = b"".join(connection.pack_command("EVALSHA", self._acquire.sha, *arguments))
        before, _, after = command.partition(nonce.encode())
        if len(self._written) >= MOST_WRITTEN:
            self._written.clear()
        self._written[asked] = before, after
        return before, after

    def _arguments(self, asked: _Asked, nonce: str, *, is_restarted: bool) -> list[Any]:
        keys = [self._epoch, self._names]
        numbers = [int(is_restarted), asked.max_wait_us, asked.lease_us, to_us(KEEP_S), asked.orders]
        common = [(spec, 0, NO_LANE) for spec in asked.specs]
        lanes = [(lane.spec, lane.step, lane.kind) for lane in asked.lanes]
        for spec, step, kind in [*common, *lanes]:
            keys += [self._bucket(spec.name), self._flight(spec.name)]
            numbers += [spec.limit, to_us(spec.window_s), spec.cost, step, kind]
        return [len(keys), *keys, self._prefix, nonce, _packed(numbers)]

    def _ask(self, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except RedisError as error:
            raise BucketUnavailable(f"the token buckets cannot be read ({type(error).__name__})") from error


def _packed(numbers: Sequence[float]) -> bytes:
    """Return numbers as one argument: quicker to send and to read than one each."""
    return struct.pack(f"<{len(numbers)}d", *numbers)


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw
