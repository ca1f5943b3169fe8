"""The catalogue: every metric, its labels, unit and meaning. `docs/metrics.md` is made from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PREFIX = "sluicegate_"


class Kind(StrEnum):
    """Prometheus metric types."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        name: without the prefix, with its unit.
        exporter: which process serves it: `worker`, `scheduler`, `stream`, `both` (worker and scheduler), `all`.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    meaning: str
    exporter: str
    buckets: tuple[float, ...] = ()

    @property
    def processes(self) -> frozenset[str]:
        """Return the processes that serve it."""
        several = {"both": ("worker", "scheduler"), "all": ("worker", "scheduler", "stream")}
        return frozenset(several.get(self.exporter, (self.exporter,)))


_FAST = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_STAGES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0)

CATALOGUE = (
    Metric(
        "exchange_responses_total",
        Kind.COUNTER,
        ("account", "endpoint", "category", "ret_code"),
        "Answers of the exchange, one a request; ret_code is Bybit's code, or a condition such as "
        "net_read_timeout. Of codes that the retCode table lacks, those beyond the first 200 of a process count "
        "as other.",
        "all",
    ),
    Metric(
        "exchange_request_seconds",
        Kind.HISTOGRAM,
        ("endpoint",),
        "Time from handing a request to the network to its answer.",
        "all",
        _FAST,
    ),
    Metric("orders_total", Kind.COUNTER, ("account", "state"), "Orders that came into a state.", "all"),
    Metric(
        "order_stage_seconds",
        Kind.HISTOGRAM,
        ("stage",),
        "Stages of an order's way: queue (due to claimed), token (wait for quota), exchange (request to answer), "
        "total (accepted to acknowledged).",
        "worker",
        _STAGES,
    ),
    Metric("retries_total", Kind.COUNTER, ("reason",), "Attempts put off, by code or gate.", "both"),
    Metric(
        "poison_messages_total",
        Kind.COUNTER,
        ("kind",),
        "Messages that were recorded and dropped: malformed, unreadable (content type, encoding), unknown_task, "
        "wrong_id, failed (wrong arguments, or an error that nobody foresaw).",
        "both",
    ),
    Metric("dead_letters", Kind.GAUGE, ("reason",), "Dead letters that wait for a person.", "scheduler"),
    Metric("account_halted", Kind.GAUGE, ("account", "reason"), "1 while an account is halted.", "scheduler"),
    Metric(
        "pages_total",
        Kind.COUNTER,
        ("kind", "result"),
        "Pages, by severity and result: delivered, fallback (not by the first receiver); and failed: each way "
        "(URL or webhook) that did not take a page, though another may have.",
        "scheduler",
    ),
    Metric(
        "undelivered_pages",
        Kind.GAUGE,
        (),
        "Incidents that nobody was told about, or whose last page reached nobody.",
        "scheduler",
    ),
    Metric(
        "bucket_tokens",
        Kind.GAUGE,
        ("bucket", "state"),
        "Tokens of each bucket: limit, free, in_flight.",
        "scheduler",
    ),
    Metric(
        "bucket_quota_per_second",
        Kind.GAUGE,
        ("bucket",),
        "Tokens a second that each bucket lets through, as the exchange told it last.",
        "scheduler",
    ),
    Metric(
        "tokens_spent_total",
        Kind.COUNTER,
        ("bucket",),
        "Tokens that requests took; its rate over bucket_quota_per_second is the share of the quota in use.",
        "all",
    ),
    Metric("bucket_wait_seconds", Kind.HISTOGRAM, (), "Waits for a granted token.", "all", _FAST),
    Metric(
        "ledger_orders",
        Kind.GAUGE,
        ("account", "state"),
        "Orders in the ledger by state: exact, whatever process died.",
        "scheduler",
    ),
    Metric("in_doubt_orders", Kind.GAUGE, (), "Orders of which it is unknown whether they are live.", "scheduler"),
    Metric(
        "in_doubt_past_horizon_seconds",
        Kind.GAUGE,
        (),
        "How long ago the horizon of an order in doubt passed, of the oldest one; 0 when none did.",
        "scheduler",
    ),
    Metric(
        "unsettled_orders",
        Kind.GAUGE,
        ("question",),
        "Orders of which the exchange cannot tell what became: a person decides with `sluicegate orders settle`.",
        "scheduler",
    ),
    Metric("backlog_orders", Kind.GAUGE, ("account",), "Accepted orders that were not sent yet.", "scheduler"),
    Metric("oldest_due_seconds", Kind.GAUGE, (), "Age of the order that is due the longest.", "scheduler"),
    Metric(
        "clock_offset_seconds", Kind.GAUGE, ("account",), "The exchange's clock minus this host's clock.", "all"
    ),
    Metric(
        "queue_messages",
        Kind.GAUGE,
        ("queue",),
        "Messages that wait in the broker; unacked are those in workers' hands.",
        "scheduler",
    ),
    Metric(
        "dependency_up",
        Kind.GAUGE,
        ("dependency",),
        "1 while this process reaches broker or ledger, else 0.",
        "scheduler",
    ),
    Metric(
        "gauges_last_read_timestamp_seconds",
        Kind.GAUGE,
        (),
        "When this process last read all gauges from ledger and broker, seconds since 1970.",
        "scheduler",
    ),
    Metric(
        "api_key_expires_timestamp_seconds",
        Kind.GAUGE,
        ("account",),
        "When the account's API key ends, seconds since 1970; none for a key that does not end.",
        "scheduler",
    ),
    Metric("open_incidents", Kind.GAUGE, ("severity",), "Open incidents.", "scheduler"),
    Metric(
        "scheduler_last_release_timestamp_seconds",
        Kind.GAUGE,
        (),
        "When the scheduler last released what is due, seconds since 1970.",
        "scheduler",
    ),
    Metric("observer_failures_total", Kind.COUNTER, (), "Observations that failed and were dropped.", "all"),
    Metric(
        "stream_last_message_seconds",
        Kind.GAUGE,
        ("account",),
        "Age of the last message, pongs included, of an account's private stream; served by its holder alone.",
        "stream",
    ),
    Metric("stream_reconnects_total", Kind.COUNTER, ("account",), "Connections that were lost.", "stream"),
    Metric(
        "stream_ended_total", Kind.COUNTER, ("account", "reason"), "Connections that ended, by cause.", "stream"
    ),
    Metric(
        "stream_up",
        Kind.GAUGE,
        ("account",),
        "1 while the stream is subscribed and its last gap is filled; served by its holder alone.",
        "stream",
    ),
    Metric(
        "stream_events_total",
        Kind.COUNTER,
        ("account", "topic", "result"),
        "Rows of a topic by what became of them: news, known (told before), foreign, stranger (under a link id of "
        "ours and not that order), stored, unreadable, failed.",
        "all",
    ),
    Metric(
        "stream_event_seconds",
        Kind.HISTOGRAM,
        ("topic",),
        "From the instant at which the exchange made an event to its commit in the ledger.",
        "stream",
        _FAST,
    ),
    Metric(
        "stream_gap_seconds",
        Kind.HISTOGRAM,
        (),
        "From a reconnect to the filled gap.",
        "stream",
        _STAGES,
    ),
    Metric(
        "reconcile_differences_total",
        Kind.COUNTER,
        ("account", "kind"),
        "Differences between ledger and exchange that a comparison found.",
        "scheduler",
    ),
)
