"""The storm: private streams fall silent, break and refuse; events are lost, doubled and late; from a seed."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import httpx

from tests.rig import Rig

TOPICS = ("order", "execution", "position", "wallet")
EVENT_FAULTS: tuple[tuple[str, float, Mapping[str, int]], ...] = (
    ("lose_event", 0.04, {}),
    ("duplicate_event", 0.05, {}),
    ("duplicate_event", 0.03, {"delay_ms": 900}),
    ("reorder_events", 0.08, {"delay_ms": 40}),
    ("reorder_events", 0.04, {"delay_ms": 1500}),
)
"""Name, probability for each event, arguments; all of them all the time."""

BLOWS: tuple[tuple[str, int, Mapping[str, Any]], ...] = (
    ("silence", 4, {"action": "silence"}),
    ("half_silence", 2, {"action": "silence", "answers": True}),
    ("short_silence", 2, {"action": "silence", "answers": True, "seconds": 0.7}),
    ("cut", 4, {"action": "close"}),
    ("close", 2, {"action": "close", "code": 1012}),
    ("cut_and_refuse", 3, {"action": "close", "seconds": 2}),
    ("refuse", 2, {"action": "refuse", "seconds": 2}),
)
"""Name, weight, and what `/simulator/stream` is told."""


class Storm:
    """Strikes the private streams of a stack until stopped.

    Args:
        rig: the stack.
        seed: of the blows.
        every_s: mean time between two.
        uids: whose streams; about one blow in four strikes all of them.
    """

    def __init__(self, rig: Rig, *, seed: int, every_s: float, uids: tuple[int, ...]) -> None:
        self.struck: Counter[str] = Counter()
        self._rig = rig
        self._rng = random.Random(f"{seed}-storm")
        self._every_s = every_s
        self._uids = uids
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="storm")

    def start(self) -> None:
        """Begin."""
        for fault, probability, args in EVENT_FAULTS:
            for topic in TOPICS:
                match = {"topic": topic}
                chance = {"probability": probability, "seed": self._rng.getrandbits(32)}
                self._rig.control("faults", match=match, fault=fault, args=dict(args), **chance)
        self._thread.start()

    def stop(self) -> None:
        """Calm down: no blow, no fault any more; connections that were silenced stay so."""
        self._stopped.set()
        self._thread.join(30)
        httpx.delete(f"{self._rig.simulator_url}/simulator/faults", timeout=10).raise_for_status()

    def _run(self) -> None:
        while not self._stopped.wait(self._rng.uniform(0.3, 1.7) * self._every_s):
            [(name, _weight, blow)] = self._rng.choices(BLOWS, [weight for _name, weight, _blow in BLOWS])
            uid = self._rng.choice((None, *self._uids, *self._uids))
            target = {} if uid is None else {"uid": uid}
            self._rig.control("stream", channel="private", **blow, **target)
            self.struck[name] += 1
