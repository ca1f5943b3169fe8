"""A connection to the broker that comes back soon.

Celery's consumer waits 2 s after the first failure to connect and 2 s longer after each further one, up to 30 s,
and no setting changes that. So a worker noticed only after up to half a minute that a broker was back which had
been away for some minutes.
"""

from __future__ import annotations

from typing import Any

from sluicegate.broker import BrokerConnection

_INTERVALS = {"interval_start": 0.2, "interval_step": 0.3, "interval_max": 2.0}


class SoonConnection(BrokerConnection):
    """Asks every two seconds at the latest whether the broker is back."""

    def ensure_connection(self, *arguments: Any, **options: Any) -> BrokerConnection:
        """Connect, however often it takes; options that the caller gives count more."""
        super().ensure_connection(*arguments, **{**_INTERVALS, **options})
        return self
