"""From the changes of an account to the messages of its private topics."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from simulator.account_calls import account_view
from simulator.events import Event, fast_row
from simulator.feed import Step
from simulator.ids import new_uuid
from simulator.instruments import CATEGORIES
from simulator.position_calls import position_view
from simulator.wire import Json, encode

if TYPE_CHECKING:
    from simulator.exchange import Exchange
    from simulator.sockets.hub import Hub


class Publisher:
    """Tell the followers of an account what happened to it, as truly as the faults in force allow."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self.counts: dict[int, Counter[str]] = {}

    def tell(self, step: Step) -> None:
        """Send what one step changed; events struck by a fault are lost, sent twice, or sent late."""
        exchange, uid = self._hub.exchange, step.account.uid
        events = [*step.events, *_positions(exchange, step)]
        if step.coins:
            events.append(Event("wallet", "", account_view(exchange, step.account, list(step.coins))))
        if exchange.faults.active:
            events = self._let_faults_strike(uid, events)
        self._publish(uid, events)

    def _let_faults_strike(self, uid: int, events: list[Event]) -> list[Event]:
        """Return the events that go out now."""
        loop, counts = asyncio.get_running_loop(), self._count_of(uid)
        unharmed: list[Event] = []
        for event in events:
            topics, symbol = (event.kind, f"{event.kind}.{event.category}"), str(event.row.get("symbol", ""))
            hitting = self._hub.exchange.faults.strike_event(topics, uid, symbol)
            struck = {fault.name: fault for fault in hitting}
            if "lose_event" in struck:
                counts["events_lost"] += 1
                continue
            if again := struck.get("duplicate_event"):
                counts["events_duplicated"] += 1
                loop.call_later(again.args["delay_ms"] / 1000, self._publish, uid, [event])
            if late := struck.get("reorder_events"):
                counts["events_reordered"] += 1
                loop.call_later(late.args["delay_ms"] / 1000, self._publish, uid, [event])
            else:
                unharmed.append(event)
        return unharmed

    def _publish(self, uid: int, events: list[Event]) -> None:
        """Send events to every connection of the account, one message for each topic."""
        texts: dict[str, tuple[str, int]] = {}
        kinds = list(dict.fromkeys(event.kind for event in events))
        counts = self._count_of(uid)
        for connection in self._hub.followers(uid):
            topics = [topic for kind in kinds for topic in connection.topics if _kind_of(topic) == kind]
            for topic in topics:
                if topic not in texts:
                    texts[topic] = self._message(topic, events)
                text, rows = texts[topic]
                if rows:
                    counts["events_sent" if connection.push(text) else "events_lost"] += rows

    def _message(self, topic: str, events: list[Event]) -> tuple[str, int]:
        """Return the text of a topic's message, and how many events it carries."""
        kind, *narrowed = topic.split(".")
        is_fast = "fast" in narrowed
        category = narrowed[-1] if narrowed and narrowed[-1] in CATEGORIES else None
        rows = [
            fast_row(event.row) if is_fast else event.row
            for event in events
            if event.kind == kind and category in (None, event.category)
        ]
        message: Json = {} if is_fast else {"id": new_uuid()}
        message |= {"topic": topic, "creationTime": self._hub.exchange.clock.now_ms(), "data": rows}
        return encode(message), len(rows)

    def _count_of(self, uid: int) -> Counter[str]:
        return self.counts.setdefault(uid, Counter())


def _positions(exchange: Exchange, step: Step) -> list[Event]:
    """Show the positions of a step; what REST calls avgPrice is entryPrice here."""
    events = []
    for instrument, idx in step.positions:
        row = position_view(exchange, step.account, step.account.position(instrument, idx))
        row["entryPrice"] = row.pop("avgPrice")
        events.append(Event("position", instrument.category, {"category": instrument.category, **row}))
    return events


def _kind_of(topic: str) -> str:
    """Name the kind of event that a topic shows."""
    return topic.partition(".")[0]
