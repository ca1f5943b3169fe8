"""Celery's consumer, which tells Flower of its tasks ten times a second instead of after every event.

Celery publishes an event as soon as its loop turns: one or two milliseconds of the process's interpreter lock just
when an order has arrived and its thread wants to go.
"""

from __future__ import annotations

from typing import Any

from celery.worker import consumer

EVERY_S = 0.1
MOST_BUFFERED = 1000
"""More events than this are published at once, by the thread that adds one."""


class Consumer(consumer.Consumer):  # type: ignore[misc]
    """Publishes task events in company."""

    def register_with_event_loop(self, hub: Any) -> None:
        """Start the clock; the loop stops it when the connection is lost, and comes here with the next one."""
        super().register_with_event_loop(hub)
        if self.event_dispatcher is not None:
            self.event_dispatcher.buffer_limit = MOST_BUFFERED
        hub.call_repeatedly(EVERY_S, self._flush_events)

    def on_send_event_buffered(self) -> None:
        """Leave an event where it is until the clock strikes."""

    def shutdown(self) -> None:
        """Publish what is left, and shut down."""
        self._flush_events()
        super().shutdown()
