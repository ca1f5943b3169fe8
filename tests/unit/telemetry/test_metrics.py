"""Metrics: the names that dashboards rely on, bounded labels, and an observer that never stops an order."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from scheduler.process import show_counters
from sluicegate.bootstrap import Container
from sluicegate.config import Settings
from sluicegate.telemetry.catalogue import CATALOGUE, PREFIX, Kind
from sluicegate.telemetry.metrics import MOST_CODES, Metrics

AGREED = {
    "exchange_responses_total": ("account", "endpoint", "category", "ret_code"),
    "exchange_request_seconds": ("endpoint",),
    "orders_total": ("account", "state"),
    "order_stage_seconds": ("stage",),
    "retries_total": ("reason",),
    "dead_letters": ("reason",),
    "account_halted": ("account", "reason"),
    "pages_total": ("kind", "result"),
    "bucket_tokens": ("bucket", "state"),
    "bucket_wait_seconds": (),
    "in_doubt_orders": (),
    "backlog_orders": ("account",),
    "oldest_due_seconds": (),
    "clock_offset_seconds": ("account",),
    "queue_messages": ("queue",),
}
"""Names and labels that stay. The two of the private stream come with the stream."""

KEYS = {"environment": "simulator", "api_key_env": "A_KEY", "api_secret_env": "A_SECRET"}
ORDER = {"account": "a", "endpoint": "/v5/order/create", "category": "linear"}


def test_catalogue_has_every_agreed_metric_with_its_labels() -> None:
    """Dashboards and alerts rely on these names and labels."""
    found = {metric.name: metric.labels for metric in CATALOGUE}
    assert AGREED == {name: labels for name, labels in found.items() if name in AGREED}


def test_catalogue_is_consistent() -> None:
    """Names are unique, counters end in `_total`, histograms have ascending buckets, each has a meaning."""
    assert len(CATALOGUE) == len({metric.name for metric in CATALOGUE})
    for metric in CATALOGUE:
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.meaning.endswith(".")
        assert metric.exporter in {"worker", "scheduler", "stream", "both", "all"}


def test_registry_shows_every_metric_of_the_catalogue() -> None:
    """What the catalogue names is what a scrape shows, with its help text and its kind."""
    text = generate_latest(Metrics().registry).decode()
    for metric in CATALOGUE:
        assert f"# TYPE {PREFIX}{metric.name} {metric.kind}" in text
        assert f"# HELP {PREFIX}{metric.name} {metric.meaning}" in text
    assert "_created" not in text


def test_response_is_counted_with_its_code() -> None:
    """One answer, one count under its ret_code, one measurement of its endpoint."""
    metrics = Metrics()
    metrics.response(**ORDER, ret_code="10006", elapsed_s=0.03)
    value = metrics.registry.get_sample_value
    assert value("sluicegate_exchange_responses_total", {**ORDER, "ret_code": "10006"}) == 1
    assert value("sluicegate_exchange_request_seconds_count", {"endpoint": ORDER["endpoint"]}) == 1


def test_codes_beyond_the_cap_count_as_other() -> None:
    """An exchange that invents codes cannot fill the memory of Prometheus."""
    metrics = Metrics()
    for code in range(3 * MOST_CODES):
        metrics.response(**ORDER, ret_code=str(code), elapsed_s=0.0)
        metrics.retried(f"reason {code}")
    metrics.response(**ORDER, ret_code="0", elapsed_s=0.0)
    text = generate_latest(metrics.registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("sluicegate_exchange_responses_total{")]
    assert len(lines) <= MOST_CODES + 1
    assert text.count("sluicegate_retries_total{") <= MOST_CODES + 1
    assert sum(float(line.split()[-1]) for line in lines) == 3 * MOST_CODES + 1
    value = metrics.registry.get_sample_value
    assert value("sluicegate_exchange_responses_total", {**ORDER, "ret_code": "0"}) == 2
    assert (value("sluicegate_exchange_responses_total", {**ORDER, "ret_code": "other"}) or 0) > 0


def test_known_codes_are_counted_whatever_was_invented_before() -> None:
    """Alerts on refused keys, limits and addresses live: codes of the table and our own always count."""
    metrics = Container(Settings(), "worker").metrics
    for code in range(250):
        metrics.response(**ORDER, ret_code=str(900_000 + code), elapsed_s=0.0)
        metrics.retried(str(900_000 + code))
    value = metrics.registry.get_sample_value
    for code in ("10003", "10006", "http_403", "net_read_timeout", "never_signed"):
        metrics.response(**ORDER, ret_code=code, elapsed_s=0.0)
        assert value("sluicegate_exchange_responses_total", {**ORDER, "ret_code": code}) == 1
    metrics.retried("quota")
    assert value("sluicegate_retries_total", {"reason": "quota"}) == 1
    assert value("sluicegate_exchange_responses_total", {**ORDER, "ret_code": "other"}) == 250 - MOST_CODES


def test_scheduler_shows_pages_and_dead_letters_before_the_first() -> None:
    """Whichever scheduler pages, and after a restart, what alerts read is there, at 0."""
    container = Container(Settings(accounts={"a": KEYS}), "scheduler")
    show_counters(container)
    value = container.metrics.registry.get_sample_value
    for kind in ("critical", "warning"):
        for result in ("delivered", "fallback", "failed"):
            assert value("sluicegate_pages_total", {"kind": kind, "result": result}) == 0
    assert value("sluicegate_orders_total", {"account": "a", "state": "dead"}) == 0


def test_observations_that_fail_are_counted_and_dropped() -> None:
    """A value that is none costs a count, never an order."""
    metrics = Metrics()
    metrics.waited("soon")  # type: ignore[arg-type]
    metrics.stage("queue", None)  # type: ignore[arg-type]
    metrics.moved("a", "live")
    value = metrics.registry.get_sample_value
    assert value("sluicegate_observer_failures_total") == 2
    assert value("sluicegate_orders_total", {"account": "a", "state": "live"}) == 1


def test_every_observation_reaches_its_metric() -> None:
    """Each method of the port shows under the agreed name."""
    metrics = Metrics()
    metrics.moved("a", "live")
    metrics.stage("total", 0.5)
    metrics.retried("10006")
    metrics.waited(0.1)
    metrics.spent("uid:1", 3)
    metrics.key_expires("a", datetime(2030, 1, 1, tzinfo=UTC))
    metrics.paged("critical", "delivered")
    metrics.clock_offset("a", 0.25)
    metrics.set("in_doubt_orders", {}, 3)
    value = metrics.registry.get_sample_value
    assert [1, 0.5, 1, 1, 3, 1_893_456_000, 1, 0.25, 3] == [
        value("sluicegate_orders_total", {"account": "a", "state": "live"}),
        value("sluicegate_order_stage_seconds_sum", {"stage": "total"}),
        value("sluicegate_retries_total", {"reason": "10006"}),
        value("sluicegate_bucket_wait_seconds_count"),
        value("sluicegate_tokens_spent_total", {"bucket": "uid:1"}),
        value("sluicegate_api_key_expires_timestamp_seconds", {"account": "a"}),
        value("sluicegate_pages_total", {"kind": "critical", "result": "delivered"}),
        value("sluicegate_clock_offset_seconds", {"account": "a"}),
        value("sluicegate_in_doubt_orders"),
    ]


def test_gauge_that_is_replaced_forgets_what_is_gone() -> None:
    """An account that is resumed no longer shows as halted."""
    metrics = Metrics()
    metrics.replace("account_halted", {("a", "10003"): 1, ("b", "manual"): 1})
    metrics.replace("account_halted", {("b", "manual"): 1})
    value = metrics.registry.get_sample_value
    assert value("sluicegate_account_halted", {"account": "a", "reason": "10003"}) is None
    assert value("sluicegate_account_halted", {"account": "b", "reason": "manual"}) == 1


def test_set_of_a_counter_is_a_mistake_of_ours() -> None:
    """Only gauges can be set."""
    with pytest.raises(TypeError, match="orders_total is no gauge"):
        Metrics().set("orders_total", {"account": "a", "state": "live"}, 1)


def test_clock_that_is_watched_is_read_at_each_scrape() -> None:
    """The offset shown is the one in force."""
    metrics = Metrics()
    offsets = iter([0.1, 0.2])
    metrics.watch_clock("a", lambda: next(offsets))
    labels = {"account": "a"}
    assert metrics.registry.get_sample_value("sluicegate_clock_offset_seconds", labels) == 0.1
    assert metrics.registry.get_sample_value("sluicegate_clock_offset_seconds", labels) == 0.2


def test_counts_of_many_threads_add_up() -> None:
    """Workers run threads: nothing is lost, and the cap of codes holds."""
    metrics = Metrics()

    def run() -> None:
        for code in range(300):
            metrics.response(**ORDER, ret_code=str(code), elapsed_s=0.0)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    text = generate_latest(metrics.registry).decode()
    lines = [line for line in text.splitlines() if line.startswith("sluicegate_exchange_responses_total{")]
    assert sum(float(line.split()[-1]) for line in lines) == 2400
    assert len(lines) <= MOST_CODES + 9
