"""Metrics of one process: the catalogue made real on one Prometheus registry."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

from sluicegate.telemetry.catalogue import CATALOGUE, PREFIX, Kind, Metric

MOST_CODES = 200


class Metrics:
    """The observer that counts into Prometheus. Never raises: a failure is counted and dropped.

    Args:
        registry: where the metrics live; one a process, for workers run threads.
        known_codes: codes that are counted by name whatever else was counted before: alerts read them.
    """

    def __init__(self, registry: CollectorRegistry | None = None, known_codes: Collection[str] = ()) -> None:
        disable_created_metrics()  # a second series for each counter that nobody reads
        self.registry = registry if registry is not None else CollectorRegistry()
        self._metrics: dict[str, MetricWrapperBase] = {
            metric.name: _build(metric, self.registry) for metric in CATALOGUE
        }
        self._known_codes = frozenset(known_codes)
        self._strange_codes: defaultdict[str, set[str]] = defaultdict(set)

    def response(self, *, account: str, endpoint: str, category: str, ret_code: str, elapsed_s: float) -> None:
        """Count one answer of the exchange."""
        labels = {"account": account, "endpoint": endpoint, "category": category}
        code = self._code("exchange_responses_total", ret_code)
        self._count("exchange_responses_total", {**labels, "ret_code": code})
        self._measure("exchange_request_seconds", {"endpoint": endpoint}, elapsed_s)

    def moved(self, account: str, state: str) -> None:
        """Count one order that came into a state."""
        self._count("orders_total", {"account": account, "state": state})

    def stage(self, stage: str, seconds: float) -> None:
        """Measure one stage of an order's way."""
        self._measure("order_stage_seconds", {"stage": stage}, seconds)

    def retried(self, reason: str) -> None:
        """Count one retry."""
        self._count("retries_total", {"reason": self._code("retries_total", reason)})

    def waited(self, seconds: float) -> None:
        """Measure one wait for a token."""
        self._measure("bucket_wait_seconds", {}, seconds)

    def spent(self, bucket: str, tokens: int) -> None:
        """Count tokens that a request took from a bucket."""
        self._count("tokens_spent_total", {"bucket": bucket}, tokens)

    def key_expires(self, account: str, at: datetime | None) -> None:
        """Show when the API key of an account ends; nothing for one that does not."""
        if at is None:
            self._forget("api_key_expires_timestamp_seconds", account)
        else:
            self.set("api_key_expires_timestamp_seconds", {"account": account}, at.timestamp())

    def paged(self, kind: str, result: str) -> None:
        """Count one page."""
        self._count("pages_total", {"kind": kind, "result": result})

    def poisoned(self, kind: str) -> None:
        """Count one message that was dropped."""
        self._count("poison_messages_total", {"kind": kind})

    def clock_offset(self, account: str, seconds: float) -> None:
        """Show the exchange's clock minus ours."""
        self.set("clock_offset_seconds", {"account": account}, seconds)

    def watch_clock(self, account: str, read: Callable[[], float]) -> None:
        """Show a clock offset that is read at each scrape."""
        gauge: Any = self._metrics["clock_offset_seconds"]
        gauge.labels(account=account).set_function(read)

    def streamed(self, account: str, topic: str, result: str, count: int = 1) -> None:
        """Count rows of a topic by what became of them."""
        if count:
            labels = {"account": account, "topic": topic, "result": result}
            self._attempt("stream_events_total", labels, "inc", count)

    def lagged(self, topic: str, seconds: float) -> None:
        """Measure how long after the exchange made an event it stood in the ledger."""
        self._measure("stream_event_seconds", {"topic": topic}, seconds)

    def reconnected(self, account: str, reason: str) -> None:
        """Count one lost connection."""
        self._count("stream_reconnects_total", {"account": account})
        self._count("stream_ended_total", {"account": account, "reason": reason})

    def gap_filled(self, seconds: float) -> None:
        """Measure how long after a reconnect the gap was filled."""
        self._measure("stream_gap_seconds", {}, seconds)

    def differed(self, account: str, kind: str, count: int = 1) -> None:
        """Count differences that a comparison found."""
        if count:
            self._attempt("reconcile_differences_total", {"account": account, "kind": kind}, "inc", count)

    def watch_stream(self, account: str, read: Callable[[], float]) -> None:
        """Show the age of an account's last message, read at each scrape."""
        gauge: Any = self._metrics["stream_last_message_seconds"]
        gauge.labels(account=account).set_function(read)

    def forget_stream(self, account: str) -> None:
        """Show nothing more of an account's stream: another process follows it."""
        for name in ("stream_last_message_seconds", "stream_up"):
            self._forget(name, account)

    def set(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Set a gauge of the catalogue."""
        metric = self._metrics[name]
        if not isinstance(metric, Gauge):
            raise TypeError(f"{name} is no gauge")
        (metric.labels(**labels) if labels else metric).set(value)

    def replace(self, name: str, values: Mapping[tuple[str, ...], float]) -> None:
        """Set a gauge for all its labels at once; those that are not given disappear."""
        metric = self._metrics[name]
        metric.clear()
        for labels, value in values.items():
            metric.labels(*labels).set(value)  # type: ignore[attr-defined]

    def show(self, name: str, values: Iterable[tuple[str, ...]]) -> None:
        """Show series of a counter before their first count, at 0, for each of the labels' values."""
        metric: Any = self._metrics[name]
        for labels in values:
            metric.labels(*labels)

    def _code(self, name: str, code: str) -> str:
        """Return a code as a label: the cap is on strange ones alone, which an exchange may invent without end."""
        strange = self._strange_codes[name]
        if code in self._known_codes or code in strange:
            return code
        if len(strange) < MOST_CODES:
            strange.add(code)
            return code
        return "other"

    def _forget(self, name: str, *labels: str) -> None:
        gauge: Any = self._metrics[name]
        with contextlib.suppress(KeyError):
            gauge.remove(*labels)

    def _count(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None:
        self._attempt(name, labels, "inc", amount)

    def _measure(self, name: str, labels: Mapping[str, str], value: float) -> None:
        self._attempt(name, labels, "observe", value)

    def _attempt(self, name: str, labels: Mapping[str, str], method: str, *values: float) -> None:
        metric: Any = self._metrics[name]
        try:
            getattr(metric.labels(**labels) if labels else metric, method)(*values)
        except (ValueError, TypeError, KeyError):  # an observer must not stop an order
            failures: Any = self._metrics["observer_failures_total"]
            failures.inc()


def _build(metric: Metric, registry: CollectorRegistry) -> MetricWrapperBase:
    name = PREFIX + metric.name
    match metric.kind:
        case Kind.COUNTER:
            return Counter(name, metric.meaning, metric.labels, registry=registry)
        case Kind.GAUGE:
            return Gauge(name, metric.meaning, metric.labels, registry=registry)
        case Kind.HISTOGRAM:
            return Histogram(name, metric.meaning, metric.labels, buckets=metric.buckets, registry=registry)
