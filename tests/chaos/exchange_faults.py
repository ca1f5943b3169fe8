"""Faults of the exchange and the way to it."""

from __future__ import annotations

import contextlib
import random
from collections import Counter
from collections.abc import Sequence

import httpx

from sluicegate.domain.errors import LedgerUnavailable
from tests.chaos.process_faults import Healing
from tests.chaos.proxied_rig import ProxiedRig
from tests.chaos.schedule import EVERYTHING, ExchangeFault, every_fault
from tests.chaos.storm import EVENT_FAULTS

PROBABILITY = 0.006
"""Of each fault of the exchange, all the time: about one request in seven meets one."""
BURST = 0.5
WRONG_KEY = 10003


class ExchangeFaults:
    """Breaks the exchange.

    Args:
        rig: the stack.
        accounts: UIDs by the accounts of the stack.
        seed: of what strikes and what passes.
    """

    def __init__(self, rig: ProxiedRig, accounts: dict[str, int], *, seed: int) -> None:
        self._rig = rig
        self._accounts = accounts
        self._rng = random.Random(f"{seed}-exchange")
        self.hits: Counter[str] = Counter()
        self.refused_keys: set[str] = set()

    def begin(self) -> None:
        """Put every fault in force, each seldom; it stays so until `heal`."""
        self._post(every_fault(), PROBABILITY)
        for name, probability, args in EVENT_FAULTS:
            seed = self._draw_seed()
            self._rig.control("faults", match={}, fault=name, args=args, probability=probability, seed=seed)

    def heal(self) -> None:
        """Lift every fault."""
        self._rig.control("clock", offset_ms=0)
        self._clear()
        self.resume()

    def resume(self) -> None:
        """Resume every account, as an operator does who has mended the key."""
        for account in self._accounts:
            with contextlib.suppress(LedgerUnavailable):  # the end of the run resumes it again
                self._rig.container.halts.resume(account)

    def exchange_reset(self, draw: float) -> None:
        """Reset some or all connections to it."""
        self._rig.exchange_proxy.reset(every=1 + int(draw * 3))

    def exchange_delay(self, draw: float) -> Healing:
        """Make it far away."""
        self._rig.exchange_proxy.delay(up_s=draw, down_s=1 - draw)
        return self._rig.exchange_proxy.heal

    def exchange_hold_up(self, _draw: float) -> Healing:
        """Hold requests back; they arrive late, when nobody waits for them any more."""
        self._rig.exchange_proxy.hold("up")
        return self._rig.exchange_proxy.heal

    def exchange_hold_down(self, _draw: float) -> Healing:
        """Hold answers back: every order is executed, and nobody hears of it."""
        self._rig.exchange_proxy.hold("down")
        return self._rig.exchange_proxy.heal

    def exchange_away(self, _draw: float) -> Healing:
        """Refuse and reset every connection to it."""
        self._rig.exchange_proxy.refuse()
        return self._rig.exchange_proxy.heal

    def exchange_forgets(self, _draw: float) -> None:
        """Empty its cache of recently closed orders, as a restart of the exchange does."""
        self._rig.control("restart")

    def streams_cut(self, _draw: float) -> None:
        """End every private stream without a word."""
        self._rig.control("stream", channel="private", action="close")

    def streams_silent(self, draw: float) -> None:
        """Let open streams say nothing any more; half the time they still answer pings."""
        self._rig.control("stream", channel="private", action="silence", answers=draw < 0.5)

    def streams_refused(self, draw: float) -> None:
        """End every private stream and refuse new ones for a while."""
        self._rig.control("stream", channel="private", action="close", seconds=1 + 3 * draw)

    def shift_clock(self, draw: float) -> Healing:
        """Move its clock by up to three seconds, either way."""
        self._rig.control("clock", offset_ms=round((draw - 0.5) * 6000))
        return lambda: self._rig.control("clock", offset_ms=0)

    def fault_burst(self, draw: float) -> Healing:
        """Let one of its faults hit every second request."""
        every = every_fault()
        self._post([every[int(draw * len(every))]], BURST)
        return self._back_to_usual

    def refuse_key(self, draw: float) -> Healing:
        """Refuse the key of an account: it halts, its orders park, until somebody resumes it."""
        accounts = sorted(self._accounts)
        account = accounts[int(draw * len(accounts))]
        uid = self._accounts[account]
        self.refused_keys.add(account)
        self._rig.fault("ret_code", path="/v5/order/create", uid=uid, args={"ret_code": WRONG_KEY}, count=1)

        def mend() -> None:
            self._back_to_usual()
            self.resume()

        return mend

    def _back_to_usual(self) -> None:
        self._clear()
        self.begin()

    def _post(self, faults: Sequence[ExchangeFault], probability: float) -> None:
        for fault in faults:
            seed = self._draw_seed()
            self._rig.fault(fault.fault, path=EVERYTHING, args=fault.args, probability=probability, seed=seed)

    def _draw_seed(self) -> int:
        return self._rng.getrandbits(32)

    def _clear(self) -> None:
        for fault in self._rig.truth("faults")["list"]:
            self.hits[fault["fault"]] += fault["hits"]
        answer = httpx.delete(f"{self._rig.simulator_url}/simulator/faults", timeout=10)
        assert answer.status_code == 200, answer.text
