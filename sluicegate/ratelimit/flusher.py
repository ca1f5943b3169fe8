"""Flusher: settlements leave a few milliseconds later, several in one round trip."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable
from typing import NamedTuple

import structlog

from sluicegate.domain.errors import BucketUnavailable

log = structlog.get_logger(__name__)

CLOSING_S = 5.0


class Settlement(NamedTuple):
    """What the settle script is told about one lease."""

    keys: tuple[str, ...]
    arguments: tuple[str | bytes, ...]


class Flusher:
    """Sends settlements from a thread of its own.

    A token returns at an instant that the settlement names, a window after its request arrived. So it does not
    matter that the server hears of it some milliseconds later. What matters is that it does: `close` sends what is
    left, also when the process ends by itself; tokens of a process that is killed come back by their lease.

    Args:
        send: sends settlements in one round trip; raises `BucketUnavailable`.
        after_s: how long a settlement waits for others.
    """

    def __init__(self, send: Callable[[list[Settlement]], None], after_s: float) -> None:
        self._send = send
        self._after_s = after_s
        self._waiting: list[Settlement] = []
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def put(self, settlement: Settlement) -> None:
        """Send a settlement soon; after `close` at once."""
        with self._changed:
            if not self._closing.is_set():
                self._waiting.append(settlement)
                if self._thread is None:
                    self._start()
                self._changed.notify()
                return
        self._flush([settlement])

    def close(self) -> None:
        """Send what is left and wait until it is sent."""
        with self._changed:
            self._closing.set()
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSING_S)
            atexit.unregister(self.close)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="settlements", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing.is_set():
                    self._changed.wait()
            is_last = self._closing.wait(self._after_s)
            with self._changed:
                taken, self._waiting = self._waiting, []
            if taken:
                self._flush(taken)
            elif is_last:
                return

    def _flush(self, settlements: list[Settlement]) -> None:
        try:
            self._send(settlements)
        except BucketUnavailable as e:
            log.warning("buckets_not_settled", leases=len(settlements), error=str(e), then="by their leases")
