"""`sluicegate` as a process of its own, and what it leaves running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

PATIENCE_S = 150.0


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment with no settings but these."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SLUICEGATE_", "FLOWER_"))}
    return {**clean, "SLUICEGATE_HOME": str(home), **more}


def run(
    home: Path, *arguments: str, timeout_s: float = PATIENCE_S, input_text: str = "", **more: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "sluicegate.cli", *arguments],
        input=input_text,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=environment(home, **more),
    )


def living(home: Path) -> list[int]:
    """Return the processes whose environment names this HOME, or a folder in it."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            names_home = f"SLUICEGATE_HOME={home}".encode() in (entry / "environ").read_bytes()
            is_zombie = b") Z " in (entry / "stat").read_bytes()
        except OSError:
            continue
        if names_home and not is_zombie:
            found.append(int(entry.name))
    return found


def wait_until(holds: Callable[[], Any], what: str, *, patience_s: float = PATIENCE_S) -> Any:
    """Wait until a condition holds and return what it gave."""
    give_up_at = time.monotonic() + patience_s
    while not (result := holds()):
        assert time.monotonic() < give_up_at, f"not within {patience_s} s: {what}"
        time.sleep(0.1)
    return result


class Up:
    """`sluicegate up` under a folder of its own. Use it as a context."""

    def __init__(self, home: Path, *arguments: str, **more: str) -> None:
        self.home = home
        self._log = home.parent / "up.log"
        self._arguments = arguments
        self._more = more

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sluicegate.cli", "up", *self._arguments],
                stdout=log,
                stderr=log,
                env=environment(self.home, **self._more),
                start_new_session=True,
            )
        try:
            wait_until(
                lambda: self.process.poll() is not None or "Ctrl-C stops" in self.output(), "the stack is up"
            )
            assert self.process.poll() is None, self.output()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()  # its children die with it
        self.process.wait()

    @property
    def noted(self) -> dict[str, Any]:
        """Return what the stack notes about itself."""
        content: dict[str, Any] = json.loads((self.home / "run" / "stack.json").read_text())
        return content

    def output(self) -> str:
        """Return what it printed so far."""
        return self._log.read_text()

    def interrupt(self) -> int:
        """Press Ctrl-C and return the exit status."""
        os.kill(self.process.pid, signal.SIGINT)
        return self.process.wait(60)
