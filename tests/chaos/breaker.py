"""The breaker: carries a schedule of faults out on a running stack, and heals everything."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from tests.chaos.exchange_faults import ExchangeFaults
from tests.chaos.process_faults import Healing, ProcessFaults
from tests.chaos.proxied_rig import ProxiedRig
from tests.chaos.schedule import Fault
from tests.chaos.server_faults import BrokerFaults, LedgerFaults


class Breaker:
    """Breaks a stack.

    Args:
        rig: the stack.
        accounts: UIDs by the accounts of the stack.
        seed: of the faults of the exchange.
    """

    def __init__(self, rig: ProxiedRig, accounts: Mapping[str, int], *, seed: int) -> None:
        self._rig = rig
        self.exchange = ExchangeFaults(rig, dict(accounts), seed=seed)
        self.processes = ProcessFaults(rig)
        self._victims = (self.processes, BrokerFaults(rig), LedgerFaults(rig), self.exchange)
        self._healings: list[tuple[float, Healing]] = []
        self.done: Counter[str] = Counter()

    def run(self, schedule: Iterator[Fault], is_over: Callable[[float], bool]) -> None:
        """Carry a schedule out, then heal everything.

        Args:
            schedule: endless.
            is_over: told the seconds since the start, says when it is enough.
        """
        self.exchange.begin()
        started = time.monotonic()
        fault = next(schedule)
        while not is_over(now_s := time.monotonic() - started):
            for healing in [healing for healing in self._healings if healing[0] <= now_s]:
                self._healings.remove(healing)
                healing[1]()
            while fault.at_s <= now_s:
                self._break(fault, now_s)
                fault = next(schedule)
            self.processes.note_ended()
            time.sleep(0.2)
        self.heal()

    def _break(self, fault: Fault, now_s: float) -> None:
        [act] = [getattr(victim, fault.kind) for victim in self._victims if hasattr(victim, fault.kind)]
        heal = act(fault.draw)
        self.done[fault.kind] += 1
        if heal is not None:
            self._healings.append((now_s + fault.lasts_s, heal))

    def heal(self) -> None:
        """Undo every fault."""
        for _at, healing in self._healings:
            healing()
        self._healings.clear()
        for proxy in self._rig.proxies:
            proxy.heal()
        self.exchange.heal()
        self.processes.note_ended()
