"""The policy: what to do about an outcome. Pure: values in, a decision out; someone else performs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent, Outcome, Refused

Rng = Callable[[], float]
"""A source of uniform numbers in [0, 1)."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before another attempt.

    Attributes:
        base_s: upper end of the first wait.
        cap_s: upper end of every wait.
        max_attempts: after so many requests the order becomes a dead letter.
        max_reset_s: a reset instant further away than this is not believed.
        ip_halt_s: how long an IP stays silent after HTTP 403. Source: Bybit V5 rate-limit page, 10 minutes.
    """

    base_s: float = 0.25
    cap_s: float = 20.0
    max_attempts: int = 12
    max_reset_s: float = 30.0
    ip_halt_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Breaker:
    """When an account has so many dead letters that something other than its orders must be wrong.

    Attributes:
        share: of its orders that came out within the window; more dead ones than that halt it. 1: never.
        least: fewer dead letters than that say nothing.
        window_s: how far back the orders count.
    """

    share: float = 0.5
    least: int = 20
    window_s: float = 60.0

    def trips(self, buried: int, placed: int) -> bool:
        """Tell whether the account must halt before the last of `buried` orders becomes a dead letter."""
        return buried >= self.least and buried > self.share * (buried + placed)


@dataclass(frozen=True, slots=True)
class Situation:
    """What the policy needs to know besides the outcome.

    Attributes:
        now: local time, UTC.
        attempts: requests sent for this order, this one included.
        deadline_at: after when the order must not be sent; None for never.
        clock_offset_s: exchange clock minus local clock, seconds.
        unreached_s: for how long, at most, no connection has come about for it; 0 at the first failure.
    """

    now: datetime
    attempts: int
    deadline_at: datetime | None = None
    clock_offset_s: float = 0.0
    unreached_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GoLive:
    """The order is on the exchange."""

    exchange_order_id: str


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Send again, not before `due_at`, under the same link id; perhaps in no batch."""

    due_at: datetime
    reason: str
    resync_clock: bool = False
    goes_alone: bool = False
    costs_attempt: bool = True


@dataclass(frozen=True, slots=True)
class Resolve:
    """Find out from the exchange; never guess."""

    reason: str
    horizon_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Bury:
    """The order will never succeed as it stands: dead letter."""

    reason: str
    code: str
    message: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True)
class HaltAccount:
    """Nothing passes for this account: halt it, park the order, page a person."""

    code: str
    message: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True)
class HaltIp:
    """Nothing passes from this IP until `until`: defer the order, page a person."""

    until: datetime
    code: str
    message: str
    cause: str
    fix: str


@dataclass(frozen=True, slots=True)
class Expire:
    """No attempt fits before the deadline."""

    reason: str


Decision = GoLive | RetryAt | Resolve | Bury | HaltAccount | HaltIp | Expire

_RETRYING = frozenset({Action.BACK_OFF, Action.RETRY_SOON, Action.RESYNC_CLOCK})


def decide(outcome: Outcome, situation: Situation, backoff: Backoff, rng: Rng) -> Decision:
    """Decide what becomes of an order whose placing request came to `outcome`.

    Args:
        outcome: the answer, or the reason there is none.
        situation: time, attempts, deadline.
        backoff: bounds of the waits.
        rng: the jitter.

    Returns:
        One decision; performing it is the executor's work.
    """
    match outcome:
        case Acknowledged(exchange_order_id=exchange_order_id):
            return GoLive(exchange_order_id)
        case InDoubt(code=code, horizon_ms=horizon_ms):
            return Resolve(code, horizon_ms)
        case Refused() | NeverSent():
            return _decide_refused(outcome, situation, backoff, rng)


def _decide_refused(outcome: Refused | NeverSent, situation: Situation, backoff: Backoff, rng: Rng) -> Decision:
    code, message, cause, fix = outcome.code, outcome.message, outcome.cause, outcome.fix
    match outcome.action:
        case Action.HALT_ACCOUNT:
            return HaltAccount(code, message, cause, fix)
        case Action.HALT_IP:
            until = situation.now + timedelta(seconds=backoff.ip_halt_s)
            return HaltIp(until, code, message, cause, fix)
        case Action.DEAD_LETTER if isinstance(outcome, Refused) and outcome.is_shared:
            return _retry_alone(outcome, situation, backoff)
        case Action.DEAD_LETTER:
            reason = outcome.reason if isinstance(outcome, Refused) else "never_sent"
            return Bury(reason or "unknown_code", code, message, cause, fix)
        case action if action in _RETRYING:
            return _retry(outcome, situation, backoff, rng)
        case _:  # RESOLVE, and OK with a code that is no acknowledgement: only the exchange knows
            return Resolve(code)


def _retry_alone(outcome: Refused, situation: Situation, backoff: Backoff) -> Decision:
    """Find out which order of a batch was meant: each is sent alone, at once."""
    if situation.attempts >= backoff.max_attempts:
        return Bury("attempts_exhausted", outcome.code, outcome.message, outcome.cause, outcome.fix)
    if situation.deadline_at is not None and situation.deadline_at <= situation.now:
        return Expire(f"no attempt fits before the deadline after {outcome.code}")
    return RetryAt(situation.now, outcome.code, goes_alone=True)


def _retry(outcome: Refused | NeverSent, situation: Situation, backoff: Backoff, rng: Rng) -> Decision:
    if isinstance(outcome, NeverSent) and outcome.is_unreached:
        due_at = unreached_instant(situation, backoff, rng)
        if due_at is None:
            return Expire("no connection to the exchange came about before the deadline")
        return RetryAt(due_at, outcome.code, costs_attempt=False)
    if situation.attempts >= backoff.max_attempts:
        cause = outcome.cause or f"The exchange answered {outcome.code} again and again."
        return Bury("attempts_exhausted", outcome.code, outcome.message, cause, outcome.fix or "Replay it later.")
    headers = outcome.headers if isinstance(outcome, Refused) else None
    reset_at = _reset_instant(headers.reset_at_ms if headers else None, situation, backoff)
    due_at = retry_instant(situation, backoff, rng, not_before=reset_at)
    if due_at is None:
        return Expire(f"no attempt fits before the deadline after {outcome.code}")
    is_clock = outcome.action is Action.RESYNC_CLOCK
    return RetryAt(due_at, outcome.code, resync_clock=is_clock)


def retry_instant(
    situation: Situation, backoff: Backoff, rng: Rng, *, not_before: datetime | None = None
) -> datetime | None:
    """Draw the instant of the next attempt: exponential with full jitter.

    Args:
        situation: `attempts` sets the width of the draw: `min(cap_s, base_s * 2**(attempts - 1))` seconds.
        backoff: the bounds.
        rng: the jitter.
        not_before: the exchange's reset instant, local time; None when it named none.

    Returns:
        An instant in `[floor, floor + width]`, before the deadline; None when none is left before it.
    """
    floor = situation.now if not_before is None else max(situation.now, not_before)
    exponent = min(max(situation.attempts - 1, 0), 30)
    return _drawn(floor, min(backoff.cap_s, backoff.base_s * 2.0**exponent), situation.deadline_at, rng)


def unreached_instant(situation: Situation, backoff: Backoff, rng: Rng) -> datetime | None:
    """Draw the instant of the next attempt to reach the exchange: within as long as it was out of reach.

    Returns:
        An instant at most `cap_s` away; None when none is left before the deadline, which alone ends the waiting.
    """
    width_s = min(backoff.cap_s, max(backoff.base_s, situation.unreached_s))
    return _drawn(situation.now, width_s, situation.deadline_at, rng)


def _drawn(floor: datetime, width_s: float, deadline_at: datetime | None, rng: Rng) -> datetime | None:
    if deadline_at is not None:
        left_s = (deadline_at - floor).total_seconds()
        if left_s <= 0:
            return None
        width_s = min(width_s, left_s)
    return floor + timedelta(seconds=rng() * width_s)


def _reset_instant(reset_at_ms: int | None, situation: Situation, backoff: Backoff) -> datetime | None:
    """Translate a reset header into local time; one in the past or absurdly far away says nothing."""
    if reset_at_ms is None or not 0 < reset_at_ms < 32_503_680_000_000:  # beyond the year 3000
        return None
    local = datetime.fromtimestamp(reset_at_ms / 1000, tz=UTC) - timedelta(seconds=situation.clock_offset_s)
    ahead_s = (local - situation.now).total_seconds()
    return local if 0 < ahead_s <= backoff.max_reset_s else None
