"""Faults: what nobody foresaw about one order or account must not stop a tick for all others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from sluicegate.domain.errors import SluicegateError

log = structlog.get_logger(__name__)


class Faults:
    """Keeps the faults of one tick apart, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    @contextmanager
    def apart(self, task: str, **ids: str) -> Iterator[None]:
        """Do something about one order or account; known errors pass, for somebody knows what to do about them.

        Args:
            task: which tick this is.
            ids: what it is about; for the log.
        """
        try:
            yield
        except SluicegateError:
            raise
        except Exception as e:  # the boundary of a tick: the next order must have its turn
            self.count += 1
            log.exception("fault_kept_apart", task=task, **ids, error=type(e).__name__)
