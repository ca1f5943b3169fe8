"""The breaker: carries a schedule of faults out on a running stack, and heals everything."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from tests.chaos.proxy import Proxy
from tests.chaos.schedule import WRITES, ExchangeFault, Fault, exchange_faults
from tests.rig import Rig

PROBABILITY = 0.006
"""Of each fault of the exchange, all the time: about one request in seven meets one."""
BURST = 0.5


class ProxiedRig(Rig):
    """A stack whose processes reach the exchange through a proxy.

    The ledger's URL is the caller's; for PostgreSQL it names a proxy as well.
    """

    exchange_proxy: Proxy | None = None

    def start_simulator(self, port: int = 0) -> None:
        """Start the exchange and the proxy before it."""
        super().start_simulator(port)
        simulator_port = urlsplit(self.simulator_url).port
        assert simulator_port is not None
        self.exchange_proxy = Proxy(simulator_port)
        self.exchange_proxy.start()

    def environment(self) -> dict[str, str]:
        """Return the environment of a process; its exchange is the proxy."""
        assert self.exchange_proxy is not None
        return super().environment() | {"SLUICEGATE_SIMULATOR_URL": f"http://127.0.0.1:{self.exchange_proxy.port}"}

    def stop(self) -> None:
        """Stop everything."""
        super().stop()
        if self.exchange_proxy is not None:
            self.exchange_proxy.stop()


class Breaker:
    """Breaks a stack.

    Args:
        rig: the stack.
        ledger_proxy: before PostgreSQL; None for SQLite.
    """

    def __init__(self, rig: ProxiedRig, ledger_proxy: Proxy | None) -> None:
        assert rig.exchange_proxy is not None
        self._rig = rig
        self._exchange = rig.exchange_proxy
        self._ledger = ledger_proxy
        self._healings: list[tuple[float, Callable[[], None]]] = []
        self._stopped: set[str] = set()
        self._log_starts: dict[str, int] = {}
        self.done: Counter[str] = Counter()
        self.ended: list[str] = []

    def run(self, schedule: Sequence[Fault], *, duration_s: float) -> None:
        """Carry a schedule out, then heal everything."""
        self._post(exchange_faults(), PROBABILITY)
        started = time.monotonic()
        waiting = list(schedule)
        while (now_s := time.monotonic() - started) < duration_s:
            for healing in [healing for healing in self._healings if healing[0] <= now_s]:
                self._healings.remove(healing)
                healing[1]()
            while waiting and waiting[0].at_s <= now_s:
                self._break(waiting.pop(0), now_s)
            self.note_ended()
            time.sleep(0.2)
        self.heal()

    def _break(self, fault: Fault, now_s: float) -> None:
        heal = getattr(self, f"_{fault.kind}")(fault.draw)
        self.done[fault.kind] += 1
        if heal is not None:
            self._healings.append((now_s + fault.lasts_s, heal))

    def heal(self) -> None:
        """Undo every fault."""
        for _at, healing in self._healings:
            healing()
        self._healings.clear()
        self._exchange.heal()
        if self._ledger is not None:
            self._ledger.heal()
        self._rig.control("clock", offset_ms=0)
        self._clear_faults()
        self.note_ended()

    def note_ended(self) -> None:
        """Remember processes that ended by themselves, and start them again as an operator would."""
        for name, process in list(self._rig.processes.items()):
            if process.poll() is not None and name != "simulator":
                if '"worker_ready"' in self._rig.log(name)[self._log_starts.get(name, 0) :]:
                    self.ended.append(f"{name} ended by itself with {process.returncode}")
                self._start(name)  # one that found no ledger refuses to start, and is started again

    # --- processes --------------------------------------------------------------------------------------------

    def _alive(self, prefix: str) -> list[str]:
        return sorted(name for name in self._rig.processes if name.startswith(prefix) and name != "simulator")

    def _kill(self, prefix: str, draw: float) -> Callable[[], None] | None:
        alive = [name for name in self._alive(prefix) if self._rig.processes[name].poll() is None]
        if not alive:
            return None
        name = alive[int(draw * len(alive))]
        self._rig.kill(name)
        self._stopped.discard(name)
        return lambda: self._start(name)

    def _start(self, name: str) -> None:
        self._log_starts[name] = len(self._rig.log(name))
        if name.startswith("s"):
            self._rig.start_scheduler(name, wait=False)
        else:
            self._rig.start_worker(name, queue="cancels" if name.startswith("c") else "orders", wait=False)

    def _pause(self, prefix: str, draw: float) -> Callable[[], None] | None:
        running = [name for name in self._alive(prefix) if name not in self._stopped]
        if not running:
            return None
        name = running[int(draw * len(running))]
        process = self._rig.processes[name]
        process.send_signal(signal.SIGSTOP)
        self._stopped.add(name)

        def go_on() -> None:
            self._stopped.discard(name)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)

        return go_on

    def _kill_worker(self, draw: float) -> Callable[[], None] | None:
        return self._kill("w", draw)

    def _kill_cancels(self, draw: float) -> Callable[[], None] | None:
        return self._kill("c", draw)

    def _kill_scheduler(self, draw: float) -> Callable[[], None] | None:
        return self._kill("s", draw)

    def _stop_worker(self, draw: float) -> Callable[[], None] | None:
        return self._pause("w", draw)

    def _stop_scheduler(self, draw: float) -> Callable[[], None] | None:
        return self._pause("s", draw)

    # --- broker -----------------------------------------------------------------------------------------------

    def _flush_broker(self, _draw: float) -> None:
        if self._rig.valkey is not None:
            with self._rig.redis() as client:
                client.flushall()

    def _restart_broker(self, _draw: float) -> Callable[[], None] | None:
        if self._rig.valkey is None:
            return None
        self._rig.stop_broker()
        return self._rig.start_broker

    # --- ledger -----------------------------------------------------------------------------------------------

    def _slow_ledger(self, draw: float) -> Callable[[], None]:
        """Hold every writer up: SQLite's write lock, or a slow network."""
        if self._ledger is not None:
            self._ledger.delay(up_s=0.02 + 0.05 * draw)
            return self._ledger.heal
        release = threading.Event()
        thread = threading.Thread(target=_hold_lock, args=(self._rig.home / "ledger.db", release))
        thread.start()

        def let_go() -> None:
            release.set()
            thread.join(30)

        return let_go

    def _ledger_reset(self, draw: float) -> None:
        assert self._ledger is not None
        self._ledger.reset(every=1 + int(draw * 3))

    def _ledger_delay(self, draw: float) -> Callable[[], None]:
        assert self._ledger is not None
        self._ledger.delay(down_s=0.02 + 0.05 * draw)
        return self._ledger.heal

    def _ledger_away(self, _draw: float) -> Callable[[], None]:
        assert self._ledger is not None
        self._ledger.refuse()
        return self._ledger.heal

    # --- exchange ---------------------------------------------------------------------------------------------

    def _exchange_reset(self, draw: float) -> None:
        self._exchange.reset(every=1 + int(draw * 3))

    def _exchange_delay(self, draw: float) -> Callable[[], None]:
        self._exchange.delay(up_s=draw, down_s=1 - draw)
        return self._exchange.heal

    def _exchange_hold_up(self, _draw: float) -> Callable[[], None]:
        self._exchange.hold("up")
        return self._exchange.heal

    def _exchange_hold_down(self, _draw: float) -> Callable[[], None]:
        self._exchange.hold("down")
        return self._exchange.heal

    def _exchange_away(self, _draw: float) -> Callable[[], None]:
        self._exchange.refuse()
        return self._exchange.heal

    def _shift_clock(self, draw: float) -> Callable[[], object]:
        self._rig.control("clock", offset_ms=round((draw - 0.5) * 6000))
        return lambda: self._rig.control("clock", offset_ms=0)

    def _fault_burst(self, draw: float) -> Callable[[], None]:
        every = exchange_faults()
        self._post([every[int(draw * len(every))]], BURST)

        def back_to_usual() -> None:
            self._clear_faults()
            self._post(every, PROBABILITY)

        return back_to_usual

    def _post(self, faults: Sequence[ExchangeFault], probability: float) -> None:
        for fault in faults:
            self._rig.fault(fault.fault, path=WRITES, args=fault.args, probability=probability)

    def _clear_faults(self) -> None:
        import httpx

        answer = httpx.delete(f"{self._rig.simulator_url}/simulator/faults", timeout=10)
        assert answer.status_code == 200, answer.text


def _hold_lock(path: Path, release: threading.Event) -> None:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        release.wait(30)
        connection.execute("ROLLBACK")
    finally:
        connection.close()
