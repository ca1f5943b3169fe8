"""Faults of the servers behind the stack: broker and ledger."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from tests.chaos.process_faults import Healing
from tests.chaos.proxied_rig import ProxiedRig
from tests.chaos.proxy import Proxy


class BrokerFaults:
    """Breaks Valkey and the way to it.

    Args:
        rig: the stack.
    """

    def __init__(self, rig: ProxiedRig) -> None:
        self._rig = rig

    def flush_broker(self, _draw: float) -> None:
        """Empty it while it runs."""
        if self._rig.valkey is not None:
            with self._rig.redis() as client:
                client.flushall()

    def restart_broker(self, draw: float) -> Healing | None:
        """Stop or kill it; it comes back with what its file holds."""
        if not self._end(is_kill=draw < 0.5):
            return None
        return self._rig.start_broker

    def replace_broker(self, draw: float) -> Healing | None:
        """Kill it; another one takes its place and holds nothing."""
        if not self._end(is_kill=draw < 0.5):
            return None
        return self._rig.replace_broker

    def broker_away(self, _draw: float) -> Healing:
        """Refuse and reset every connection to it."""
        self._rig.broker_proxy.refuse()
        return self._rig.broker_proxy.heal

    def broker_silent(self, draw: float) -> Healing:
        """Let nothing through in one direction: nobody gets an answer, and no error either."""
        self._rig.broker_proxy.hold("up" if draw < 0.5 else "down")
        return self._rig.broker_proxy.heal

    def broker_reset(self, draw: float) -> None:
        """Reset some or all connections to it."""
        self._rig.broker_proxy.reset(every=1 + int(draw * 3))

    def broker_delay(self, draw: float) -> Healing:
        """Make it answer slowly."""
        self._rig.broker_proxy.delay(up_s=0.2 * draw, down_s=0.2 * (1 - draw))
        return self._rig.broker_proxy.heal

    def _end(self, *, is_kill: bool) -> bool:
        if self._rig.valkey is None:
            return False
        if is_kill:
            self._rig.valkey.terminate()
            self._rig.valkey = None
        else:
            self._rig.stop_broker()
        return True


class LedgerFaults:
    """Breaks the ledger and the way to it.

    Args:
        rig: the stack.
    """

    def __init__(self, rig: ProxiedRig) -> None:
        self._rig = rig

    def slow_ledger(self, draw: float) -> Healing:
        """Hold every writer up: SQLite's write lock, or a slow network."""
        if self._rig.ledger_proxy is not None:
            return self._delay(up_s=0.02 + 0.05 * draw)
        release = threading.Event()
        thread = threading.Thread(target=_hold_lock, args=(self._rig.home / "ledger.db", release))
        thread.start()

        def let_go() -> None:
            release.set()
            thread.join(30)

        return let_go

    def ledger_reset(self, draw: float) -> None:
        """Reset some or all connections to it."""
        self._proxy.reset(every=1 + int(draw * 3))

    def ledger_delay(self, draw: float) -> Healing:
        """Make it answer slowly."""
        return self._delay(down_s=0.02 + 0.05 * draw)

    def ledger_silent(self, draw: float) -> Healing:
        """Let nothing through in one direction: a commit that arrives late, or whose answer does."""
        self._proxy.hold("up" if draw < 0.5 else "down")
        return self._proxy.heal

    def ledger_away(self, _draw: float) -> Healing:
        """Refuse and reset every connection to it."""
        self._proxy.refuse()
        return self._proxy.heal

    def restart_ledger(self, _draw: float) -> Healing | None:
        """Kill PostgreSQL in the middle of its transactions; it recovers when it comes back."""
        postgres = self._rig.postgres
        assert postgres is not None
        if not postgres.is_running:
            return None
        postgres.crash()
        return postgres.recover

    @property
    def _proxy(self) -> Proxy:
        assert self._rig.ledger_proxy is not None
        return self._rig.ledger_proxy

    def _delay(self, **directions: float) -> Callable[[], None]:
        self._proxy.delay(**directions)
        return self._proxy.heal


def _hold_lock(path: Path, release: threading.Event) -> None:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        release.wait(30)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
