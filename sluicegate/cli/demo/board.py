"""The demo's progress: a table that lives on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from sluicegate.cli.console import console, note
from sluicegate.cli.demo.findings import Findings
from sluicegate.domain.lifecycle import State

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

SHOWN = (State.ACCEPTED, State.SUBMITTING, State.IN_DOUBT, State.LIVE, State.FILLED, State.CANCELLED, State.PARKED)


class Board:
    """Shows on stderr how far the orders are. Use it as a context."""

    def __init__(self) -> None:
        self._live: Live | None = None
        self._started_at = time.monotonic()
        self._last = ""

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.live import Live

            self._live = Live(console=console(stderr=True), auto_refresh=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, found: Findings) -> None:
        """Show where the orders are now."""
        counts = found.by_state
        parts = [(state.value, counts[state.value]) for state in SHOWN]
        parts += [("dead letters", len(found.letters)), ("pages", len(found.pages))]
        if self._live is not None:
            self._live.update(_table(parts, len(found.orders)), refresh=True)
            return
        line = ", ".join(f"{count} {name}" for name, count in parts if count)
        if line != self._last:
            self._last = line
            note(f"{time.monotonic() - self._started_at:5.1f} s  {line}")


def _table(parts: list[tuple[str, int]], total: int) -> Table:
    from rich.bar import Bar
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for name, count in parts:
        table.add_row(name, str(count), Bar(max(total, 1), 0, count, width=50))
    return table
