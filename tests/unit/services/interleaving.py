"""Interleaving: services run as actors that stop before every call of a port, and go on, or die, when told.

An actor is a thread, but never do two run at once: the baton goes from the test to one actor and back. Between two
stops nothing that others can see happens, so stopping there covers every instant at which a process may die.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from sluicegate.domain.errors import (
    BrokerUnavailable,
    BucketUnavailable,
    LedgerUnavailable,
    SluicegateError,
)

START = datetime(2026, 7, 24, 12, tzinfo=UTC)


class Mishap(Enum):
    """What befalls the next call of a port."""

    NONE = "none"
    FAILS_BEFORE = "fails before anything was done"
    FAILS_AFTER = "was done, and fails all the same"


class Crash(BaseException):
    """The process was killed: it does nothing any more, not even in `finally`."""


class Actor:
    """One call of a service, on its way.

    Args:
        name: for people.
        act: the call.
    """

    current: Actor | None = None
    """Who holds the baton; None: the test."""

    def __init__(self, name: str, act: Callable[[], object]) -> None:
        self.name = name
        self.place = "start"
        self.is_done = False
        self.is_dead = False
        self.error: BaseException | None = None
        self.mishap = Mishap.NONE
        self._act = act
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def step(self, mishap: Mishap = Mishap.NONE) -> None:
        """Let it go on to the next call of a port, or to its end; what is not a known error comes out here."""
        assert Actor.current is None
        self.mishap = mishap
        Actor.current = self
        self._mine.release()
        is_back = self._theirs.acquire(timeout=30)
        Actor.current = None
        assert is_back, f"{self.name} hangs at {self.place}"
        if self.is_done:
            self._thread.join(30)
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        """Let it go on to its end."""
        for _step in range(10_000):
            if self.is_done:
                return
            self.step()
        raise AssertionError(f"{self.name} never ends; it is at {self.place}")

    def crash(self) -> None:
        """Kill it."""
        self.is_dead = True
        self.run()

    def stop_at(self, place: str) -> Mishap:
        """Give the baton back before a call; return what befalls it."""
        if self.is_dead:
            raise Crash
        self.place = place
        self._theirs.release()
        self._mine.acquire()
        if self.is_dead:
            raise Crash
        return self.mishap

    def _run(self) -> None:
        self._mine.acquire()
        try:
            if not self.is_dead:
                self._act()
        except (SluicegateError, Crash):
            pass  # a task logs it and ends; the scheduler comes back to the order
        except BaseException as e:  # noqa: BLE001 - handed to the test
            self.error = e
        finally:
            self.is_done = True
            self._theirs.release()


def stop_at(place: str) -> Mishap:
    """Stop the actor that calls; the test itself never stops."""
    return Mishap.NONE if Actor.current is None else Actor.current.stop_at(place)


_FAILURES: dict[str, type[SluicegateError]] = {
    "ledger": LedgerUnavailable,
    "buckets": BucketUnavailable,
    "publisher": BrokerUnavailable,
}


class Interleaved:
    """A port whose every call is a stop.

    Args:
        kind: which failure it has.
        real: does the work.
    """

    def __init__(self, kind: str, real: Any) -> None:
        self._kind = kind
        self._failure = _FAILURES[kind]
        self._real = real

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._real, name)

        def call(*arguments: Any, **options: Any) -> Any:
            mishap = stop_at(f"{self._kind}.{name}")
            if mishap is Mishap.FAILS_BEFORE:
                raise self._failure
            result = real(*arguments, **options)
            if mishap is Mishap.FAILS_AFTER:
                raise self._failure
            return result

        return call


class FakeClock:
    """Local time that only the test moves; who sleeps stops until it has moved far enough."""

    def __init__(self) -> None:
        self.elapsed_s = 0.0

    def now(self) -> datetime:
        """Return the time of day."""
        return START + timedelta(seconds=self.elapsed_s)

    def monotonic(self) -> float:
        """Return seconds."""
        return self.elapsed_s

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.elapsed_s = round(self.elapsed_s + seconds, 6)

    def sleep(self, seconds: float) -> None:
        """Wait; an actor alone in the world lets the time pass by itself."""
        until = self.elapsed_s + seconds
        stop_at("sleep")
        self.elapsed_s = max(self.elapsed_s, round(until, 6))
