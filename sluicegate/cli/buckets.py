"""`sluicegate buckets`: the token buckets as they stand."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sluicegate.cli import session
from sluicegate.cli.console import AsJson, examples, instant, say_json, show_table

if TYPE_CHECKING:
    from sluicegate.ports import BucketState

EPILOG = examples("sluicegate buckets", "sluicegate buckets --json")


def buckets(as_json: AsJson = False) -> None:
    """Show every token bucket: its limit, what is free, what is in flight, until when it is blocked."""
    opened = session.container()
    found = sorted(opened.buckets.states(), key=lambda state: state.name)
    now = opened.clock.now()
    if as_json:
        say_json(
            [
                {
                    "bucket": state.name,
                    "limit": state.limit,
                    "free": state.free,
                    "in_flight": state.in_flight,
                    "blocked_until": (at.isoformat() if (at := _blocked_until(state, now)) else None),
                }
                for state in found
            ]
        )
        return
    rows = [
        (state.name, str(state.limit), str(state.free), str(state.in_flight), instant(_blocked_until(state, now)))
        for state in found
    ]
    columns = ("bucket", "limit", "free", "in flight", "blocked until")
    show_table(f"{len(found)} buckets", columns, rows, ids=("bucket",))


def _blocked_until(state: BucketState, now: datetime) -> datetime | None:
    return now + timedelta(seconds=state.blocked_for_s) if state.blocked_for_s > 0 else None
