"""What is decided about every outcome, and when an order is tried again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent, RateHeaders, Refused, outcome_code
from sluicegate.domain.policy import (
    Backoff,
    Breaker,
    Bury,
    Decision,
    Expire,
    GoLive,
    HaltAccount,
    HaltIp,
    Resolve,
    RetryAt,
    Situation,
    decide,
    retry_instant,
)

from .examples import NOW

BACKOFF = Backoff(base_s=0.25, cap_s=20.0, max_attempts=12, max_reset_s=30.0, ip_halt_s=600.0)
FIRST = Situation(now=NOW, attempts=1)
EXPLAINED = {"cause": "because", "fix": "do this"}
RETRYING = [Action.BACK_OFF, Action.RETRY_SOON, Action.RESYNC_CLOCK]
UNREACHED = NeverSent("net_connect_fail", "refused", is_unreached=True)
DUE = NOW + timedelta(seconds=0.125)  # half of the first wait

EXPECTED: dict[str, dict[str, Decision]] = {
    "refused": {
        "ok": Resolve("170001"),
        "back_off": RetryAt(DUE, "170001"),
        "resync_clock": RetryAt(DUE, "170001", resync_clock=True),
        "retry_soon": RetryAt(DUE, "170001"),
        "resolve": Resolve("170001"),
        "dead_letter": Bury("balance", "170001", "text", "because", "do this"),
        "halt_account": HaltAccount("170001", "text", "because", "do this"),
        "halt_ip": HaltIp(NOW + timedelta(minutes=10), "170001", "text", "because", "do this"),
    },
    "never_sent": {
        "ok": Resolve("net"),
        "back_off": RetryAt(DUE, "net"),
        "resync_clock": RetryAt(DUE, "net", resync_clock=True),
        "retry_soon": RetryAt(DUE, "net"),
        "resolve": Resolve("net"),
        "dead_letter": Bury("never_sent", "net", "text", "because", "do this"),
        "halt_account": HaltAccount("net", "text", "because", "do this"),
        "halt_ip": HaltIp(NOW + timedelta(minutes=10), "net", "text", "because", "do this"),
    },
}


def half() -> float:
    """Stand in for the jitter."""
    return 0.5


def refused(action: Action = Action.BACK_OFF, reset_at_ms: int | None = None, **changes: Any) -> Refused:
    """Return a refusal with a reset header."""
    given_ = {"code": "10006", "message": "Too many visits!", **changes}
    return Refused(action=action, headers=RateHeaders(reset_at_ms=reset_at_ms), **given_)


def outcome_of(kind: str, action: Action) -> Refused | NeverSent:
    """Return an outcome that calls for an action."""
    if kind == "refused":
        return Refused("170001", "text", action, reason="balance", **EXPLAINED)
    return NeverSent("net", "text", action, **EXPLAINED)


def to_ms(instant: datetime, offset: timedelta = timedelta(0)) -> int:
    """Return an instant of the local clock on the exchange's, in ms."""
    return (instant + offset - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def retry(decision: Decision) -> RetryAt:
    """Return a decision that must be a retry."""
    assert isinstance(decision, RetryAt)
    return decision


def width_s(attempts: int, backoff: Backoff) -> float:
    """Return the longest wait, doubled one attempt at a time."""
    width = backoff.base_s
    for _ in range(attempts - 1):
        width = min(2 * width, backoff.cap_s)
    return min(width, backoff.cap_s)


rngs: st.SearchStrategy[Callable[[], float]] = st.one_of(
    st.floats(0, 1, exclude_max=True).map(lambda drawn: lambda: drawn),
    st.integers(0, 2**32).map(lambda seed: Random(seed).random),
)
backoffs = st.builds(
    Backoff,
    base_s=st.floats(0.001, 5),
    cap_s=st.floats(0.001, 60),
    max_attempts=st.just(1000),
    max_reset_s=st.just(30.0),
)
instants = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
whole_ms = instants.map(lambda instant: instant.replace(microsecond=instant.microsecond // 1000 * 1000))


def test_expected_table_names_every_action():
    """A new action needs a row."""
    for row in EXPECTED.values():
        assert set(Action) == set(row)


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("action", Action)
def test_decide_of_every_action_is_as_expected(kind: str, action: Action):
    """Each action has one decision, whether the exchange refused or the request never left."""
    assert EXPECTED[kind][action] == decide(outcome_of(kind, action), FIRST, BACKOFF, half)


def test_decide_acknowledged_goes_live():
    """An acknowledgement makes the order live."""
    assert GoLive("abc") == decide(Acknowledged("abc", 1), FIRST, BACKOFF, half)


@pytest.mark.parametrize("horizon_ms", [None, 1_784_000_000_000])
def test_decide_in_doubt_resolves_and_keeps_the_horizon(horizon_ms: int | None):
    """What is in doubt is looked up, never sent again on a guess, and the horizon is not lost."""
    outcome = InDoubt("net_read_timeout", "timed out", horizon_ms)
    assert Resolve("net_read_timeout", horizon_ms) == decide(outcome, FIRST, BACKOFF, half)


@pytest.mark.parametrize("attempts", [1, 12, 500])
@pytest.mark.parametrize("deadline_s", [None, -60])
@pytest.mark.parametrize(
    "outcome", [Acknowledged("abc"), InDoubt("10016", "server error", 7)], ids=["ack", "doubt"]
)
def test_decide_of_what_was_sent_ignores_attempts_and_deadline(
    outcome: Acknowledged | InDoubt, attempts: int, deadline_s: int | None
):
    """An order that is, or may be, on the exchange does not expire and is not buried."""
    deadline_at = None if deadline_s is None else NOW + timedelta(seconds=deadline_s)
    expected = decide(outcome, FIRST, BACKOFF, half)
    assert isinstance(expected, GoLive | Resolve)
    assert expected == decide(outcome, Situation(NOW, attempts, deadline_at), BACKOFF, half)


def test_decide_dead_letter_without_a_reason_says_unknown_code():
    """A code nobody classified is buried under a reason of its own."""
    decision = decide(refused(Action.DEAD_LETTER, code="999999"), FIRST, BACKOFF, half)
    assert Bury("unknown_code", "999999", "Too many visits!", "", "") == decision


def test_decide_never_sent_retries_by_default():
    """What never left this host can be sent again."""
    assert RetryAt(DUE, "net_connect_fail") == decide(
        NeverSent("net_connect_fail", "refused"), FIRST, BACKOFF, half
    )


@pytest.mark.parametrize("attempts", [1, 12, 500])
@pytest.mark.parametrize(("unreached_s", "wait_s"), [(0, 0.125), (0.1, 0.125), (8, 4), (3600, 10)])
def test_decide_unreached_waits_longer_and_longer_and_costs_no_attempt(
    attempts: int, unreached_s: float, wait_s: float
):
    """Nothing was sent, and it says nothing about the order: however often, it is no dead letter."""
    situation = Situation(NOW, attempts, unreached_s=unreached_s)
    due_at = NOW + timedelta(seconds=wait_s)
    expected = RetryAt(due_at, "net_connect_fail", costs_attempt=False)
    assert expected == decide(UNREACHED, situation, BACKOFF, half)


def test_decide_unreached_until_the_deadline_expires():
    """The deadline alone ends the waiting."""
    late = Situation(NOW, 3, NOW + timedelta(seconds=4), unreached_s=3600)
    assert RetryAt(NOW + timedelta(seconds=2), "net_connect_fail", costs_attempt=False) == decide(
        UNREACHED, late, BACKOFF, half
    )
    assert isinstance(decide(UNREACHED, replace(late, deadline_at=NOW), BACKOFF, half), Expire)


def test_decide_halt_ip_lasts_as_long_as_configured():
    """The halt ends by a timer."""
    decision = decide(refused(Action.HALT_IP), FIRST, replace(BACKOFF, ip_halt_s=900), half)
    assert isinstance(decision, HaltIp)
    assert NOW + timedelta(minutes=15) == decision.until


def test_backoff_defaults_keep_the_ip_silent_for_ten_minutes():
    """Bybit asks for at least ten minutes after HTTP 403."""
    assert Backoff().ip_halt_s >= 600


@pytest.mark.parametrize("action", RETRYING)
@pytest.mark.parametrize("kind", ["refused", "never_sent"])
@pytest.mark.parametrize(("attempts", "is_buried"), [(1, False), (11, False), (12, True), (13, True)])
def test_decide_after_the_last_attempt_buries(action: Action, kind: str, attempts: int, is_buried: bool):
    """So many requests and no more; then a person looks."""
    decision = decide(outcome_of(kind, action), replace(FIRST, attempts=attempts), BACKOFF, half)
    assert is_buried is isinstance(decision, Bury)
    if isinstance(decision, Bury):
        expected = Bury("attempts_exhausted", decision.code, "text", "because", "do this")
        assert expected == decision


def test_decide_after_the_last_attempt_always_names_cause_and_fix():
    """Even where the code has no words of its own."""
    decision = decide(refused(), replace(FIRST, attempts=12), BACKOFF, half)
    assert isinstance(decision, Bury)
    assert "10006" in decision.cause
    assert decision.fix


@given(attempts=st.integers(1, 200), backoff=backoffs, rng=rngs)
def test_retry_instant_lies_within_its_bounds(attempts: int, backoff: Backoff, rng: Callable[[], float]):
    """The wait is between zero and base x 2^(attempts - 1), and never above the cap."""
    due_at = retry_instant(Situation(NOW, attempts), backoff, rng)
    assert due_at is not None
    assert 0 <= (due_at - NOW).total_seconds() <= width_s(attempts, backoff) + 1e-6


@pytest.mark.parametrize(
    ("attempts", "expected_s"), [(0, 0.25), (1, 0.25), (2, 0.5), (3, 1), (7, 16), (8, 20), (9, 20), (10_000, 20)]
)
def test_retry_instant_widens_twofold_up_to_the_cap(attempts: int, expected_s: float):
    """The upper end of the draw doubles with each attempt."""
    due_at = retry_instant(Situation(NOW, attempts), BACKOFF, lambda: 1 - 2**-53)
    assert NOW + timedelta(seconds=expected_s) == due_at


@given(seed=st.integers(0, 2**32), attempts=st.integers(1, 12))
def test_retry_instant_is_jittered(seed: int, attempts: int):
    """Two hundred orders refused together come back spread over the whole width."""
    rng = Random(seed).random
    dues = [retry_instant(Situation(NOW, attempts), BACKOFF, rng) for _ in range(200)]
    waits = [(due - NOW).total_seconds() / width_s(attempts, BACKOFF) for due in dues if due]
    assert len(set(waits)) > 150
    assert min(waits) < 0.25
    assert max(waits) > 0.75


@given(
    now=whole_ms,
    ahead_ms=st.integers(1, 30_000),
    offset_ms=st.integers(-60_000, 60_000),
    attempts=st.integers(1, 11),
    action=st.sampled_from(RETRYING),
    rng=rngs,
)
def test_decide_never_retries_before_the_reset_instant(now, ahead_ms, offset_ms, attempts, action, rng):
    """The exchange's reset instant, read on its own clock, is the floor, and the jitter comes on top."""
    reset_at = now + timedelta(milliseconds=ahead_ms)
    header = to_ms(reset_at, timedelta(milliseconds=offset_ms))
    situation = Situation(now, attempts, clock_offset_s=offset_ms / 1000)
    due_at = retry(decide(refused(action, header), situation, BACKOFF, rng)).due_at
    rounding = timedelta(microseconds=1)
    assert reset_at - rounding <= due_at
    assert due_at <= reset_at + timedelta(seconds=width_s(attempts, BACKOFF)) + rounding


@pytest.mark.parametrize("offset_s", [-5.0, -0.25, 0.0, 0.25, 5.0])
def test_decide_translates_the_reset_instant_by_the_clock_offset(offset_s: float):
    """Exchange time minus the offset is local time."""
    situation = replace(FIRST, clock_offset_s=offset_s)
    header = to_ms(NOW + timedelta(seconds=10))
    due_at = retry(decide(refused(reset_at_ms=header), situation, BACKOFF, lambda: 0.0)).due_at
    assert NOW + timedelta(seconds=10 - offset_s) == due_at


def test_decide_with_a_reset_that_passed_on_the_exchanges_clock_ignores_it():
    """A reset that looks ahead only because our clock is behind says nothing."""
    situation = replace(FIRST, clock_offset_s=5.0)
    header = to_ms(NOW + timedelta(seconds=4))
    assert retry(decide(refused(reset_at_ms=header), situation, BACKOFF, half)).due_at == DUE


@given(
    reset_at_ms=st.one_of(
        st.none(),
        st.integers(max_value=to_ms(NOW)),
        st.integers(min_value=to_ms(NOW) + 30_001),
        st.sampled_from([0, -1, 2**63, 10**18, 10**30, to_ms(NOW) // 1000, to_ms(NOW) * 1000]),
    ),
    attempts=st.integers(1, 11),
    rng=st.floats(0, 1, exclude_max=True),
)
def test_decide_with_a_missing_past_or_absurd_reset_backs_off_as_usual(
    reset_at_ms: int | None, attempts: int, rng: float
):
    """A header that cannot be meant neither delays nor hastens the retry, nor breaks it."""
    situation = replace(FIRST, attempts=attempts)
    expected = NOW + timedelta(seconds=rng * width_s(attempts, BACKOFF))
    assert expected == retry(decide(refused(reset_at_ms=reset_at_ms), situation, BACKOFF, lambda: rng)).due_at


@pytest.mark.parametrize(("ahead_s", "is_believed"), [(30, True), (30.001, False), (0.001, True), (0, False)])
def test_decide_believes_a_reset_up_to_the_bound(ahead_s: float, is_believed: bool):
    """The farthest believable reset counts; a millisecond more does not."""
    header = to_ms(NOW + timedelta(seconds=ahead_s))
    due_at = retry(decide(refused(reset_at_ms=header), FIRST, BACKOFF, lambda: 0.0)).due_at
    assert (NOW + timedelta(seconds=ahead_s) if is_believed else NOW) == due_at


@given(
    now=whole_ms,
    left_ms=st.integers(-60_000, 60_000),
    ahead_ms=st.none() | st.integers(-1000, 40_000),
    attempts=st.integers(1, 11),
    outcome_kind=st.sampled_from(["refused", "never_sent"]),
    action=st.sampled_from(RETRYING),
    rng=rngs,
)
def test_decide_never_retries_past_the_deadline(now, left_ms, ahead_ms, attempts, outcome_kind, action, rng):
    """A retry lies before the deadline; where the floor leaves no room the order expires, and only there."""
    deadline_at = now + timedelta(milliseconds=left_ms)
    outcome = outcome_of(outcome_kind, action)
    believed_ms = 0
    if isinstance(outcome, Refused) and ahead_ms is not None:
        reset_at = now + timedelta(milliseconds=ahead_ms)
        outcome = replace(outcome, headers=RateHeaders(reset_at_ms=to_ms(reset_at)))
        believed_ms = ahead_ms if 0 < ahead_ms <= 30_000 else 0
    decision = decide(outcome, Situation(now, attempts, deadline_at), BACKOFF, rng)
    if left_ms <= believed_ms:
        assert isinstance(decision, Expire)
        assert outcome.code in decision.reason
    else:
        assert now + timedelta(milliseconds=believed_ms) <= retry(decision).due_at <= deadline_at


@given(left_s=st.floats(0.001, 1), seed=st.integers(0, 2**32))
def test_retry_instant_before_a_near_deadline_is_still_jittered(left_s: float, seed: int):
    """The draw shrinks to what is left; it is not cut off at the deadline, where all would meet."""
    situation = Situation(NOW, 10, NOW + timedelta(seconds=left_s))
    rng = Random(seed).random
    dues = {retry_instant(situation, BACKOFF, rng) for _ in range(50)}
    assume(left_s > 0.01)
    assert len(dues) > 40


def test_decide_at_the_deadline_expires():
    """At the deadline itself there is no time left."""
    decision = decide(refused(), replace(FIRST, deadline_at=NOW), BACKOFF, half)
    assert isinstance(decision, Expire)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Acknowledged("abc"), "0"),
        (refused(), "10006"),
        (NeverSent("net_connect_fail", ""), "net_connect_fail"),
        (InDoubt("net_read_timeout", ""), "net_read_timeout"),
    ],
    ids=["acknowledged", "refused", "never sent", "in doubt"],
)
def test_outcome_code_is_the_metric_label(outcome: Any, expected: str):
    """Every outcome is counted under one code; success is 0."""
    assert expected == outcome_code(outcome)


@pytest.mark.parametrize(
    ("buried", "placed", "trips"),
    [(19, 0, False), (20, 0, True), (20, 19, True), (20, 20, False), (21, 20, True), (20, 1000, False)],
)
def test_breaker_trips_by_share_and_least_number(buried: int, placed: int, trips: bool) -> None:
    """More than half of at least twenty; a few bad orders, or many among very many, are single orders' faults."""
    assert trips is Breaker().trips(buried, placed)


def test_breaker_with_the_share_one_never_trips() -> None:
    """Whoever wants every bad order as a dead letter switches it off."""
    assert not Breaker(share=1).trips(10**6, 0)


def test_refusal_of_a_whole_batch_sends_each_order_alone() -> None:
    """It may be about any one of them; alone, the same refusal ends the order."""
    shared = Refused("10001", "the 7th is wrong", Action.DEAD_LETTER, "bad_parameter", is_shared=True)
    assert RetryAt(NOW, "10001", goes_alone=True) == decide(shared, FIRST, BACKOFF, lambda: 0.5)
    alone = replace(shared, is_shared=False)
    assert isinstance(decide(alone, FIRST, BACKOFF, lambda: 0.5), Bury)
    last = Situation(now=NOW, attempts=BACKOFF.max_attempts)
    assert isinstance(decide(shared, last, BACKOFF, lambda: 0.5), Bury)
    late = replace(FIRST, deadline_at=NOW)
    assert isinstance(decide(shared, late, BACKOFF, lambda: 0.5), Expire)
