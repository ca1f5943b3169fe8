"""Progress on stderr, on a terminal only."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress as Bar


class Progress:
    """A bar that stays away when stderr is no terminal, or when stdout is one and would be mixed with it.

    Args:
        total: what counts as all; None when nobody knows.
    """

    def __init__(self, total: float | None) -> None:
        self._total = total
        self._bar: Bar | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty() and not sys.stdout.isatty():
            from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            from sluicegate.cli.console import console

            columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
            self._bar = Bar(*columns, console=console(stderr=True), transient=True)
            self._bar.start()
            self._bar.add_task("", total=self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, done: float, text: str) -> None:
        """Show how far it is."""
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done, description=text)
