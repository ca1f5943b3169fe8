"""A schedule of faults, drawn from a seed: the same seed gives the same schedule."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

EVERYTHING = "/v5/*"
"""Orders, the queries that resolve, executions, instrument rules, the clock: a fault meets them all."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to break the stack.

    Attributes:
        name: a method of one of the victims of `tests.chaos.breaker.Breaker`.
        weight: how often it is drawn.
        shortest_s: a fault lasts at least so long.
        longest_s: and at most so long.
        needs_server: only for a ledger that is reached through the network.
    """

    name: str
    weight: int
    shortest_s: float
    longest_s: float
    needs_server: bool = False


KINDS = (
    Kind("kill_worker", 4, 0.2, 3),
    Kind("kill_cancels", 2, 0.2, 3),
    Kind("kill_scheduler", 3, 0.2, 3),
    Kind("stop_worker", 4, 0.5, 9),  # beyond the lease, too
    Kind("stop_scheduler", 2, 0.5, 8),
    Kind("kill_stream", 2, 0.2, 3),
    Kind("stop_stream", 2, 0.5, 8),
    Kind("end_process", 2, 1, 6),
    Kind("flush_broker", 3, 0, 0),
    Kind("restart_broker", 2, 0.2, 4),
    Kind("replace_broker", 2, 0.2, 4),
    Kind("broker_away", 2, 1, 12),
    Kind("broker_silent", 2, 0.5, 8),
    Kind("broker_reset", 3, 0, 0),
    Kind("broker_delay", 2, 1, 4),
    Kind("slow_ledger", 2, 0.5, 3),
    Kind("ledger_reset", 3, 0, 0, needs_server=True),
    Kind("ledger_delay", 2, 1, 4, needs_server=True),
    Kind("ledger_silent", 2, 0.5, 4, needs_server=True),
    Kind("ledger_away", 2, 0.5, 4, needs_server=True),
    Kind("restart_ledger", 3, 0.2, 4, needs_server=True),
    Kind("exchange_reset", 4, 0, 0),
    Kind("exchange_delay", 3, 1, 5),
    Kind("exchange_hold_up", 3, 0.5, 6),
    Kind("exchange_hold_down", 3, 0.5, 6),
    Kind("exchange_away", 2, 0.5, 4),
    Kind("exchange_forgets", 2, 0, 0),
    Kind("streams_cut", 2, 0, 0),
    Kind("streams_silent", 2, 0, 0),
    Kind("streams_refused", 1, 0, 0),
    Kind("shift_clock", 3, 2, 8),
    Kind("refuse_key", 2, 2, 6),
    Kind("fault_burst", 4, 1, 4),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a schedule.

    Attributes:
        at_s: when it begins, since the start.
        lasts_s: how long until it is healed.
        draw: a number in [0, 1) that picks the victim or the strength.
    """

    at_s: float
    kind: str
    lasts_s: float
    draw: float

    def __str__(self) -> str:
        return f"{self.at_s:6.1f} s {self.kind} for {self.lasts_s:.1f} s ({self.draw:.2f})"


def draw_schedule(seed: int, *, every_s: float, has_server: bool) -> Iterator[Fault]:
    """Draw a schedule without end: a longer run of the same seed begins like a shorter one.

    Args:
        seed: replays it.
        every_s: mean time between two faults; they may overlap.
        has_server: the ledger is reached through the network.
    """
    rng = random.Random(seed)
    kinds = [kind for kind in KINDS if has_server or not kind.needs_server]
    weights = [kind.weight for kind in kinds]
    at_s = rng.uniform(0.5, 1.5) * every_s
    while True:
        [kind] = rng.choices(kinds, weights)
        yield Fault(at_s, kind.name, rng.uniform(kind.shortest_s, kind.longest_s), rng.random())
        at_s += rng.uniform(0.3, 1.7) * every_s


@dataclass(frozen=True, slots=True)
class ExchangeFault:
    """One HTTP fault of the simulator, as `/simulator/faults` takes it."""

    fault: str
    args: dict[str, Any]


RETRIED = frozenset({
    "429", "10000", "10002", "10006", "10016", "http_429", "http_5xx", "json_decode_error",
    "net_read_timeout", "net_reset_or_aborted", "lease_lost",
})  # fmt: skip
"""What an order can have met after which it is sent again, at once or when it is known to be absent."""


def every_fault() -> Sequence[ExchangeFault]:
    """Return every HTTP fault of the simulator that keeps Bybit's word.

    10006 and 10002 come before only: they say that nothing was executed, and Sluicegate rests on that.
    """
    both = ("before", "after")
    return (
        ExchangeFault("drop_before", {}),
        ExchangeFault("drop_after", {}),
        ExchangeFault("drop_after", {"hang_s": 3}),
        *(ExchangeFault("reset", {"when": when}) for when in both),
        *(
            ExchangeFault("status", {"status": status, "when": when})
            for status in (429, 502, 503)
            for when in both
        ),
        *(
            ExchangeFault("ret_code", {"ret_code": code, "when": when})
            for code in (429, 10000, 10016)
            for when in both
        ),
        *(ExchangeFault("ret_code", {"ret_code": code, "when": "before"}) for code in (10002, 10006)),
        *(ExchangeFault("bad_json", {"when": when}) for when in both),
        ExchangeFault("delay", {"seconds": 2.5}),
        ExchangeFault("slow_visibility", {"seconds": 1}),
        ExchangeFault("no_limit_headers", {}),
        ExchangeFault("reset_in_past", {}),
    )
