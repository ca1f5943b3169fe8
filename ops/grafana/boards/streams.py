"""Streams: the private WebSockets, and what comes through them."""

from __future__ import annotations

from ops.grafana.expressions import ACCOUNT, chosen, quantile, rate
from ops.grafana.panels import Board, Form, Panel, Query

# Only the process that follows an account shows these two, so min and max are its own value.
LAST_MESSAGE = chosen("sluicegate_stream_last_message_seconds", ACCOUNT)
UP = chosen("sluicegate_stream_up", ACCOUNT)
RECONNECTS = chosen("sluicegate_stream_reconnects_total", ACCOUNT)

STREAMS = Board(
    "streams",
    "Sluicegate / Streams",
    "Whether each account is followed, and how soon a fill is in the ledger.",
    (
        Panel(
            "Streams in order",
            "1 while an account's stream is subscribed and its last gap is filled.",
            (Query(f"max by (account) ({UP})", "{{account}}"),),
        ),
        Panel(
            "Age of the last message",
            "Pongs count, so that it stays below 20 s on a quiet account. Over 40 s is an alert.",
            (Query(f"min by (account) ({LAST_MESSAGE})", "{{account}}"),),
            unit="s",
        ),
        Panel(
            "From the exchange to the ledger",
            "From the instant at which the exchange made an event to its commit: half, and 99 of 100.",
            (
                Query(quantile(0.5, "sluicegate_stream_event_seconds", "le, topic"), "{{topic}} half"),
                Query(quantile(0.99, "sluicegate_stream_event_seconds", "le, topic"), "{{topic}} 99 of 100"),
            ),
            unit="s",
        ),
        Panel(
            "Events",
            "Rows a second by topic and what became of them. `failed` and `stranger` should never show.",
            (Query(rate("sluicegate_stream_events_total", "topic, result", ACCOUNT), "{{topic}} {{result}}"),),
            Form.AREAS,
            "reqps",
        ),
        Panel(
            "Connections lost within the hour",
            "By account.",
            (Query(f"sum by (account) (increase({RECONNECTS}[1h]))", "{{account}}"),),
        ),
        Panel(
            "Gaps filled",
            "From a connection to the ledger knowing what was missed.",
            (Query(quantile(0.99, "sluicegate_stream_gap_seconds"), "99 of 100"),),
            unit="s",
        ),
    ),
)
