"""One child process: started, watched, started again when it dies, ended."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
LONG_LIFE_S: Final = 60.0
"""A process that lived for so long starts without a growing pause when it dies."""

_PR_SET_PDEATHSIG: Final = 1
_TAIL_LINES: Final = 12


@dataclass
class Child:
    """One child process in a process group of its own, so that Ctrl-C reaches the parent alone.

    Attributes:
        name: of the process and of its log.
        command: program and arguments.
        environment: the whole of it.
        log: file that takes its output.
        is_ready: tells whether it does its work; asked while it runs.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    is_ready: Callable[[Child], bool]
    _process: subprocess.Popen[bytes] | None = None
    _started_at: float = 0.0
    _pause_s: float = FIRST_PAUSE_S
    _again_at: float | None = None
    _deaths: list[int] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Return its process id; 0 when it was never started."""
        return 0 if self._process is None else self._process.pid

    @property
    def exit_status(self) -> int | None:
        """Return how it ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it; its output goes to the end of its log."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own commands, no shell
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.environment),
                process_group=0,
                preexec_fn=_die_with(os.getpid()),  # noqa: PLW1509 - one system call between fork and exec
            )
        self._started_at = time.monotonic()
        self._again_at = None

    def tend(self) -> str | None:
        """Start it again if it died, after a pause that grows while it keeps dying.

        Returns:
            What there is to say; None for nothing.
        """
        now = time.monotonic()
        if self._again_at is not None:
            if now < self._again_at:
                return None
            self.start()
            return f"{self.name} started again (pid {self.pid})"
        status = self.exit_status
        if status is None:
            return None
        self._pause_s = FIRST_PAUSE_S if now - self._started_at > LONG_LIFE_S else self._pause_s
        self._again_at = now + self._pause_s
        said = f"{self.name} ended ({describe(status)}); starting again in {self._pause_s:g} s; log: {self.log}"
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
        return said

    def ask_to_stop(self) -> None:
        """Send SIGTERM."""
        self._again_at = None
        self._signal(signal.SIGTERM)

    def wait(self, until: float) -> None:
        """Wait for its end, until the monotonic time `until`; then kill its whole group."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def tail(self) -> str:
        """Return the last lines of its log."""
        try:
            lines = self.log.read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(lines[-_TAIL_LINES:])

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None or self._process.poll() is not None:
            return
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


def describe(status: int) -> str:
    """Return how a process ended, for people."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _die_with(parent: int) -> Callable[[], None] | None:
    """Return what lets a child die with its parent, even when that one is killed; Linux only.

    Elsewhere the parent ends its children itself, whatever ends it but SIGKILL.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)

    return prepare
