"""Token buckets, rule by rule, on a clock moved by hand."""

from __future__ import annotations

import threading

import pytest
from bucket_rig import HandClock, ask, take

from sluicegate.domain.errors import BucketDenied
from sluicegate.domain.outcomes import RateHeaders
from sluicegate.ports import BucketSpec, BucketState, Grant
from sluicegate.ratelimit.memory import MemoryBuckets

UID = BucketSpec("uid", limit=2)
IP = BucketSpec("ip", limit=3, window_s=5.0)


@pytest.fixture
def clock() -> HandClock:
    """Return a clock that stands still."""
    return HandClock()


@pytest.fixture
def buckets(clock: HandClock) -> MemoryBuckets:
    """Return full buckets."""
    return MemoryBuckets(clock, starts_full=True)


def _in_flight(buckets: MemoryBuckets) -> dict[str, int]:
    return {state.name: state.in_flight for state in buckets.states()}


def test_acquire_of_free_tokens_needs_no_wait(buckets):
    """As many requests as there are tokens pass at once."""
    assert [take(buckets, UID).wait_s for _ in range(2)] == [0.0, 0.0]


def test_acquire_of_an_empty_bucket_is_denied(buckets):
    """Without tokens the caller is turned away and told when to come back."""
    take(buckets, UID), take(buckets, UID)
    with pytest.raises(BucketDenied) as denied:
        take(buckets, UID)
    assert denied.value.retry_after_s > 0


def test_token_returns_one_window_after_settle(buckets, clock):
    """The safe rule: one window after the answer, not a microsecond sooner."""
    grants = [take(buckets, UID), take(buckets, UID)]
    clock.sleep(0.3)
    buckets.settle(grants[0], sent=True)
    clock.sleep(0.999_999)
    assert isinstance(ask(buckets, UID), float)
    clock.sleep(0.000_001)
    assert isinstance(ask(buckets, UID), Grant)


def test_token_never_sent_returns_at_once(buckets):
    """A request that did not leave costs nothing."""
    grants = [take(buckets, UID), take(buckets, UID)]
    buckets.settle(grants[0], sent=False)
    assert take(buckets, UID).wait_s == 0.0


def test_token_of_a_dead_holder_returns_by_lease(buckets, clock):
    """Nobody settled: the token comes back when the lease ends."""
    take(buckets, UID), take(buckets, UID)
    clock.sleep(9.999_999)
    assert isinstance(ask(buckets, UID), float)
    clock.sleep(0.000_001)
    assert isinstance(ask(buckets, UID), Grant)


def test_settle_after_the_lease_takes_the_token_again(buckets, clock):
    """A late answer still spent the exchange's quota, so its token goes away for one window more."""
    late = take(buckets, UID)
    clock.sleep(12)
    buckets.settle(late, sent=True)
    assert _in_flight(buckets) == {"uid": 1}
    clock.sleep(1)
    assert _in_flight(buckets) == {"uid": 0}


def test_settle_twice_counts_once(buckets):
    """Saying it again changes nothing but the instant of return."""
    grant = take(buckets, UID)
    buckets.settle(grant, sent=True)
    buckets.settle(grant, sent=True)
    assert _in_flight(buckets) == {"uid": 1}


def test_acquire_with_a_wait_reserves_returning_tokens(buckets, clock):
    """Two waiters get two different tokens, each the earliest that is left."""
    grants = [take(buckets, UID), take(buckets, UID)]
    buckets.settle(grants[0], sent=True)
    clock.sleep(0.25)
    buckets.settle(grants[1], sent=True)
    assert [take(buckets, UID, max_wait_s=1).wait_s for _ in range(2)] == [0.75, 1.0]
    assert isinstance(ask(buckets, UID, max_wait_s=1), float)


def test_waiter_that_gives_up_returns_the_token_when_it_would_have_come(buckets, clock):
    """A reserved token that is not used was still away: it is free from its own instant on, not before."""
    buckets.settle(take(buckets, UID), sent=True)
    buckets.settle(take(buckets, UID), sent=True)
    buckets.settle(take(buckets, UID, max_wait_s=1), sent=False)
    assert take(buckets, UID, max_wait_s=1).wait_s == 1.0


def test_acquire_of_several_buckets_waits_for_the_slowest(buckets, clock):
    """The wait is that of the bucket that has its tokens last."""
    for _ in range(2):
        buckets.settle(take(buckets, UID), sent=True)
    for _ in range(3):
        buckets.settle(take(buckets, IP), sent=True)
    assert take(buckets, UID, IP, max_wait_s=5).wait_s == 5.0


def test_acquire_denied_by_one_bucket_takes_from_none(buckets):
    """All or none: a denial costs no token anywhere."""
    take(buckets, UID), take(buckets, UID)
    before = _in_flight(buckets)
    assert isinstance(ask(buckets, IP, UID), float)
    assert {**before, "ip": 0} == _in_flight(buckets)


def test_acquire_denied_by_two_buckets_comes_back_for_the_slower(buckets):
    """Coming back for the faster one would be in vain."""
    buckets.block(UID, for_s=7)
    buckets.block(IP, for_s=40)
    assert (ask(buckets, UID, IP), ask(buckets, IP, UID)) == (40.0, 41.666667)


def test_acquire_of_a_cost_takes_so_many_tokens(buckets):
    """A batch of three costs three."""
    batch = BucketSpec("uid", limit=4, cost=3)
    assert take(buckets, batch).wait_s == 0.0
    assert _in_flight(buckets) == {"uid": 3}
    assert isinstance(ask(buckets, batch), float)


def test_acquire_of_more_than_the_limit_is_always_denied(buckets):
    """What the exchange would refuse is not sent, however long the caller waits."""
    assert 1.0 <= ask(buckets, BucketSpec("uid", limit=2, cost=3), max_wait_s=60) < 2.0


def test_block_lets_nothing_through_until_it_ends(buckets, clock):
    """The exchange said when it listens again."""
    buckets.block(UID, for_s=3)
    assert ask(buckets, UID, max_wait_s=2.9) >= 3.0
    clock.sleep(3)
    assert take(buckets, UID).wait_s == 0.0


def test_block_keeps_the_longer_end(buckets):
    """A shorter block does not cut a longer one."""
    buckets.block(UID, for_s=600)
    buckets.block(UID, for_s=1)
    assert [BucketState("uid", 2, 0, 0, 600.0, 1.0)] == buckets.states()


@pytest.mark.parametrize("limit", [1, 5])
def test_settle_with_another_limit_learns_it(buckets, clock, limit):
    """The exchange's word about the limit wins, for an hour."""
    buckets.settle(take(buckets, UID), sent=True, observed=RateHeaders(limit, limit - 1))
    clock.sleep(2)
    assert limit == sum(isinstance(ask(buckets, UID), Grant) for _ in range(9))
    clock.sleep(3600)
    assert sum(isinstance(ask(buckets, UID), Grant) for _ in range(9)) == 2


def test_settle_with_a_smaller_limit_waits_for_all_that_are_too_many(buckets, clock):
    """Five in flight, the limit now two: four must return before one more may go."""
    spec = BucketSpec("uid", limit=5)
    grants = [take(buckets, spec) for _ in range(5)]
    for grant in grants[:-1]:
        buckets.settle(grant, sent=True)
        clock.sleep(0.1)
    buckets.settle(grants[-1], sent=True, observed=RateHeaders(2, 0))
    assert [round(take(buckets, spec, max_wait_s=2).wait_s, 6) for _ in range(2)] == [0.9, 1.0]


@pytest.mark.parametrize(
    "headers", [RateHeaders(0, 0), RateHeaders(-3, 1), RateHeaders(None, 0), RateHeaders(2, 9)]
)
def test_settle_with_senseless_headers_takes_out_nothing(buckets, headers):
    """Headers that cannot be true are ignored."""
    buckets.settle(take(buckets, UID), sent=True, observed=headers)
    assert _in_flight(buckets) == {"uid": 1}


def test_settle_with_unexplained_use_takes_those_tokens_out(buckets, clock):
    """Someone else spent three of this UID's ten: they stay out, and come back one by one after a window."""
    spec = BucketSpec("uid", limit=10)
    grants = [take(buckets, spec) for _ in range(2)]
    buckets.settle(grants[0], sent=True, observed=RateHeaders(10, 5))
    assert _in_flight(buckets) == {"uid": 5}
    clock.sleep(1)
    assert [_in_flight(buckets)["uid"] for _ in range(4) if clock.sleep(0.34) is None] == [3, 2, 1, 1]


def test_settle_while_others_go_on_leaves_them_their_tokens(buckets, clock):
    """Who spends now will spend again: what they use stays out as long as it shows."""
    spec = BucketSpec("uid", limit=10)
    for _second in range(5):
        buckets.settle(take(buckets, spec), sent=True, observed=RateHeaders(10, 6))
        assert _in_flight(buckets) == {"uid": 4}
        clock.sleep(1.1)
        assert _in_flight(buckets) == {"uid": 3}


def test_settle_counts_no_request_that_still_waits(buckets, clock):
    """Two of ours were sent and one waits for a token, so the third that was counted is another's."""
    spec = BucketSpec("uid", limit=2)
    sent = [take(buckets, spec) for _ in range(2)]
    buckets.settle(sent[0], sent=True)
    clock.sleep(0.1)
    assert take(buckets, spec, max_wait_s=1).wait_s > 0
    buckets.settle(sent[1], sent=True, observed=RateHeaders(12, 9))
    assert _in_flight(buckets) == {"uid": 4}


@pytest.mark.parametrize("blocks", [1, 3, 12])
def test_refusal_leaves_one_token_more_to_others(buckets, clock, blocks):
    """Somebody had the token that we held; refused at once again, it is the same. One stays ours, to learn by."""
    spec = BucketSpec("uid", limit=10)
    for _block in range(blocks):
        for _refusal in range(3):
            buckets.block(spec, for_s=0.1, is_refusal=True)
        clock.sleep(0.1)
    assert _in_flight(buckets) == {"uid": min(blocks, 9)}
    clock.sleep(9.8)
    assert _in_flight(buckets) == {"uid": min(blocks, 9)}
    clock.sleep(0.2)
    assert _in_flight(buckets) == {"uid": 0}


def test_settle_with_use_that_ours_explains_takes_out_nothing(buckets, clock):
    """Requests of ours still under way, and those that returned while this one travelled, are no foreign use."""
    spec = BucketSpec("uid", limit=10)
    early = take(buckets, spec)
    buckets.settle(early, sent=True)
    clock.sleep(0.995)
    late = take(buckets, spec)
    clock.sleep(0.01)
    under_way = take(buckets, spec)
    buckets.settle(late, sent=True, observed=RateHeaders(10, 7))
    buckets.settle(under_way, sent=False)
    assert _in_flight(buckets) == {"uid": 1}


def test_settle_tells_foreign_use_once(buckets):
    """The second response about the same foreign requests does not take them out again."""
    spec = BucketSpec("uid", limit=10)
    for remaining in (6, 5):
        buckets.settle(take(buckets, spec), sent=True, observed=RateHeaders(10, remaining))
    assert _in_flight(buckets) == {"uid": 5}


def test_settle_keeps_foreign_use_seen_at_two_instants_apart(buckets, clock):
    """All that show at an instant are theirs from then on."""
    spec = BucketSpec("uid", limit=10)
    for remaining in (7, 5):
        buckets.settle(take(buckets, spec), sent=True, observed=RateHeaders(10, remaining))
        clock.sleep(0.5)
    assert _in_flight(buckets) == {"uid": 4}  # the second request and the three foreign that were seen with it
    buckets.settle(take(buckets, spec), sent=True, observed=RateHeaders(10, 5))
    assert _in_flight(buckets) == {"uid": 5}


def test_empty_space_starts_as_if_a_window_had_been_spent(clock):
    """Nobody knows what was sent before: each bucket opens one window of its own later."""
    buckets = MemoryBuckets(clock)
    assert isinstance(ask(buckets, UID, IP), float)
    clock.sleep(1)
    assert take(buckets, UID).wait_s == 0.0
    clock.sleep(3.9)
    assert isinstance(ask(buckets, IP), float)
    clock.sleep(0.1)
    assert take(buckets, IP).wait_s == 0.0


def test_bucket_first_met_in_a_known_space_starts_full(clock):
    """Only an emptied space is distrusted, not a bucket that nobody needed yet."""
    buckets = MemoryBuckets(clock)
    ask(buckets, UID)
    clock.sleep(5)
    assert [take(buckets, IP).wait_s for _ in range(3)] == [0.0] * 3


def test_forgotten_space_counts_what_is_settled_after(clock):
    """A request from before the loss keeps its token away when its answer comes after it."""
    buckets = MemoryBuckets(clock, starts_full=True)
    grants = [take(buckets, UID), take(buckets, UID)]
    buckets.forget()
    ask(buckets, UID)
    clock.sleep(0.6)
    for grant in grants:
        buckets.settle(grant, sent=True)
    clock.sleep(0.4)
    assert take(buckets, UID, max_wait_s=1).wait_s == 0.6


def test_forgotten_space_takes_no_token_for_a_waiter_that_gives_up(buckets):
    """A reservation that was lost need not be given back."""
    for _ in range(2):
        buckets.settle(take(buckets, UID), sent=True)
    waiter = take(buckets, UID, max_wait_s=1)
    buckets.forget()
    buckets.settle(waiter, sent=False)
    ask(buckets, UID)
    assert _in_flight(buckets) == {"uid": 0}


def test_states_lists_every_bucket_by_name(buckets):
    """What the CLI and the metrics show."""
    take(buckets, UID, IP)
    assert [BucketState("ip", 3, 2, 1, 0.0, 5.0), BucketState("uid", 2, 1, 1, 0.0, 1.0)] == buckets.states()


def test_acquire_by_a_hundred_threads_grants_exactly_the_limit(buckets):
    """100 threads, limit 5: exactly 5 pass."""
    spec, answers, start = BucketSpec("uid", limit=5), [], threading.Barrier(100)

    def run() -> None:
        start.wait()
        answers.append(ask(buckets, spec))

    threads = [threading.Thread(target=run) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(isinstance(answer, Grant) for answer in answers), len(answers)) == (5, 100)
