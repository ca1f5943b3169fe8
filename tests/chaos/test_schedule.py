"""A seed replays its schedule, and the schedule has every fault there is."""

from __future__ import annotations

from itertools import islice

import pytest

from simulator.faults import HTTP_FAULTS, STREAM_FAULTS
from tests.chaos.exchange_faults import ExchangeFaults
from tests.chaos.process_faults import ProcessFaults
from tests.chaos.schedule import KINDS, draw_schedule, every_fault
from tests.chaos.server_faults import BrokerFaults, LedgerFaults
from tests.chaos.storm import EVENT_FAULTS


def test_same_seed_gives_the_same_schedule() -> None:
    """A run can be replayed; another seed gives another run."""
    drawn = [list(islice(draw_schedule(seed, every_s=2.5, has_server=True), 200)) for seed in (7, 7, 8)]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_schedule_draws_every_kind_within_an_hour() -> None:
    """No kind is so rare that a series of runs would miss it."""
    drawn = {fault.kind for fault in islice(draw_schedule(1, every_s=2.5, has_server=True), 1440)}
    assert {kind.name for kind in KINDS} == drawn


def test_every_kind_is_done_by_one_victim() -> None:
    """The breaker finds a method for each kind."""
    victims = (ProcessFaults, BrokerFaults, LedgerFaults, ExchangeFaults)
    assert [1] * len(KINDS) == [sum(hasattr(victim, kind.name) for victim in victims) for kind in KINDS]


def test_chaos_knows_every_fault_of_the_simulator() -> None:
    """A fault that the simulator learns has to be met by the suite, too."""
    assert {fault.fault for fault in every_fault()} == HTTP_FAULTS
    assert {name for name, _probability, _args in EVENT_FAULTS} == STREAM_FAULTS


@pytest.mark.parametrize("fault", ["status", "ret_code"])
def test_chaos_sheds_load_before_and_after_acceptance(fault: str) -> None:
    """429, as status and as code, does not say whether the order was looked at: it comes in both ways."""
    shed = [f.args["when"] for f in every_fault() if f.fault == fault and f.args[fault] == 429]
    assert ["before", "after"] == shed
