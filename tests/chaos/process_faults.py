"""Faults of processes: killed, stopped and continued, told to go."""

from __future__ import annotations

import contextlib
import signal
import subprocess
from collections.abc import Callable

from tests.chaos.proxied_rig import ProxiedRig

Healing = Callable[[], object]


class ProcessFaults:
    """Breaks workers, schedulers and followers of streams.

    Args:
        rig: the stack.
    """

    def __init__(self, rig: ProxiedRig) -> None:
        self._rig = rig
        self._stopped: set[str] = set()
        self._log_starts: dict[str, int] = {}
        self.ended: list[str] = []

    def note_ended(self) -> None:
        """Remember processes that ended by themselves, and start them again as an operator would."""
        for name, process in list(self._rig.processes.items()):
            if process.poll() is not None and name != "simulator":
                said = self._rig.log(name)[self._log_starts.get(name, 0) :]
                if '"worker_ready"' in said or '"stream_ready"' in said:
                    self.ended.append(f"{name} ended by itself with {process.returncode}")
                self._start(name)  # one that found no ledger refuses to start, and is started again

    def kill_worker(self, draw: float) -> Healing | None:
        """SIGKILL a worker of orders."""
        return self._kill("w", draw)

    def kill_cancels(self, draw: float) -> Healing | None:
        """SIGKILL a worker of cancels."""
        return self._kill("c", draw)

    def kill_scheduler(self, draw: float) -> Healing | None:
        """SIGKILL a scheduler."""
        return self._kill("s", draw)

    def stop_worker(self, draw: float) -> Healing | None:
        """SIGSTOP a worker, of orders or cancels, and let it go on later, as if nothing had happened."""
        return self._pause("wc", draw)

    def stop_scheduler(self, draw: float) -> Healing | None:
        """SIGSTOP a scheduler; the other one takes over, and then there are two."""
        return self._pause("s", draw)

    def kill_stream(self, draw: float) -> Healing | None:
        """SIGKILL the process that follows the private streams."""
        return self._kill("f", draw)

    def stop_stream(self, draw: float) -> Healing | None:
        """SIGSTOP it beyond its lease; what the streams say meanwhile comes late or never."""
        return self._pause("f", draw)

    def end_process(self, draw: float) -> Healing | None:
        """SIGTERM a process, as a deployment does: it finishes what it has, unless that takes too long."""
        running = self._running("wcsf")
        if not running:
            return None
        name = running[int(draw * len(running))]
        process = self._rig.processes.pop(name)
        process.terminate()

        def replace() -> None:
            try:
                process.wait(0.1)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            self._start(name)

        return replace

    def _running(self, prefixes: str) -> list[str]:
        """Return the processes that run and are not stopped; the simulator is none of them."""
        return sorted(
            name
            for name, process in self._rig.processes.items()
            if name[0] in prefixes and name != "simulator" and name not in self._stopped and process.poll() is None
        )

    def _kill(self, prefix: str, draw: float) -> Healing | None:
        alive = sorted({*self._running(prefix), *(name for name in self._stopped if name[0] in prefix)})
        if not alive:
            return None
        name = alive[int(draw * len(alive))]
        self._stopped.discard(name)
        self._rig.kill(name)
        return lambda: self._start(name)

    def _start(self, name: str) -> None:
        self._log_starts[name] = len(self._rig.log(name))
        if name.startswith("s"):
            self._rig.start_scheduler(name, wait=False)
        elif name.startswith("f"):
            self._rig.start_stream(name, wait=False)
        else:
            self._rig.start_worker(name, queue="cancels" if name.startswith("c") else "orders", wait=False)

    def _pause(self, prefixes: str, draw: float) -> Healing | None:
        running = self._running(prefixes)
        if not running:
            return None
        name = running[int(draw * len(running))]
        process = self._rig.processes[name]
        process.send_signal(signal.SIGSTOP)
        self._stopped.add(name)

        def go_on() -> None:
            if self._rig.processes.get(name) is process:
                self._stopped.discard(name)
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)

        return go_on
