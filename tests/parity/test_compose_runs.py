"""docker-compose.yml does what it promises: a wrong key wakes people, a dead process loses nothing."""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from ops.grafana.boards import BOARDS
from sluicegate import sign_order
from sluicegate.telemetry.catalogue import CATALOGUE
from tests.parity.compose import SERVICES, Place, has_metrics
from tests.parity.stack import Stack, running
from tests.rig import wait_until
from tests.unit.ops.test_alerts import RULES, metrics_of

ACCOUNTS = {"a1": "1002", "a2": "1003", "a3": "1004", "revoked": "1005", "wrong": "mainnet"}
WORKER = Place("worker")
PROMISED_S = 30.0
ORDERS_EACH = 40
FIRST_ALERTS_S = 120.0
"""Prometheus tells again after a minute what fired before it had found Alertmanager."""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Run the stack with four workers, as `docker compose up --scale worker=4` does."""
    with running(tmp_path_factory.mktemp("compose"), replicas={"worker": 4}, accounts=ACCOUNTS) as running_stack:
        yield running_stack


def orders(account: str, count: int, name: str, **more: Any) -> str:
    """Return orders that fill at once, one a line."""
    order = {"account": account, "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Market"}
    lines = [
        json.dumps({**order, "qty": "0.001", "client_order_id": f"{name}-{account}-{i}", **more})
        for i in range(count)
    ]
    return "\n".join(lines) + "\n"


def test_every_target_is_scraped(stack: Stack) -> None:
    """Prometheus finds every replica of every service that serves metrics, Flower's prefix, and Alertmanager."""
    services = [service for service in SERVICES if has_metrics(service)]
    expected = {
        stack.instance(place)
        for service in (*services, "flower", "alertmanager")
        for place in stack.where.places(service)
    }

    def up() -> set[str]:
        return {row["metric"]["instance"] for row in stack.query("up == 1")}

    wait_until(lambda: up() == expected, "every target is up")


def test_flower_is_closed_to_strangers(stack: Stack) -> None:
    """Pages and API want the password of the secret file."""
    user, _, password = (stack.where.secrets / "flower_auth").read_text().partition(":")
    url = f"{stack.url('flower')}/flower"
    for path in ("/", "/api/workers", "/api/tasks"):
        assert 401 == httpx.get(url + path, timeout=30).status_code
    assert 200 == httpx.get(f"{url}/api/workers", auth=(user, password), timeout=30).status_code


def test_wrong_key_wakes_people_within_thirty_seconds(stack: Stack) -> None:
    """From a worker's 10003 to the counter, the halt, the incident, the page and Alertmanager, without help."""
    assert stack.query('sluicegate_account_halted{account="revoked"}') == []
    stack.fault("ret_code", match={"uid": 1005}, args={"ret_code": 10003})
    started = time.monotonic()
    submitted = stack.run(WORKER, "submit", "-", stdin=orders("revoked", 1, "key"))
    assert 0 == submitted.returncode, submitted.stderr
    counted = (
        'sum(sluicegate_exchange_responses_total{job="sluicegate-worker", account="revoked", ret_code="10003"})'
    )
    halted = 'max(sluicegate_account_halted{account="revoked", reason="10003"})'
    seen = {
        "counter": lambda: (stack.value(counted) or 0) >= 1,
        "halt": lambda: stack.value(halted) == 1,
        "page": lambda: stack.receivers.pages("revoked is halted: 10003"),
        "webhook": lambda: stack.receivers.alerts("critical", "SluicegateAccountHalted", account="revoked"),
    }
    took = {}
    for what, holds in seen.items():
        wait_until(holds, what)
        took[what] = time.monotonic() - started
    assert max(took.values()) < PROMISED_S, took
    incidents = json.loads(stack.run(WORKER, "incidents", "list", "--json").stdout)
    assert "halt:account:revoked" in {incident["key"] for incident in incidents}
    firing = 'ALERTS{account="revoked", alertname="SluicegateAuthFailure", alertstate="firing"}'
    wait_until(lambda: stack.query(firing), "the refused key is an alert of its own")
    assert 1 == len(stack.receivers.pages("revoked is halted"))
    assert f"{stack.runbooks}/account-halted.html" in stack.receivers.runbooks("critical")


def test_key_of_another_environment_is_found_at_start(stack: Stack) -> None:
    """The stream meets it before any order does; people hear of it by both ways."""
    wait_until(lambda: stack.receivers.pages("wrong is halted: 10003"), "the page")
    wait_until(
        lambda: stack.receivers.alerts("critical", "SluicegateAccountHalted", account="wrong"),
        "the alert",
        patience_s=FIRST_ALERTS_S,
    )
    assert [(0,)] == stack.rows("SELECT count(*) FROM orders WHERE account = 'wrong'")


@pytest.mark.parametrize(
    ("queue", "error"),
    [("celery", "SignatureInvalid"), ("cancels", "ConfigurationError")],
    ids=["intake", "cancels"],
)
def test_stranger_who_writes_to_the_broker_submits_nothing(stack: Stack, queue: str, error: str) -> None:
    """Even with our own user of the broker, an order without the secret is refused, and a person is told."""
    order = json.loads(orders("main", 1, f"forged-{queue}"))
    with stack.producer("sluicegate") as app:
        answer = app.send_task("sluicegate.accept", kwargs={"order": order}, queue=queue).get(timeout=60)
    assert (False, error) == (answer["accepted"], answer["error"])
    assert [(0,)] == stack.rows("SELECT count(*) FROM orders WHERE client_order_id LIKE 'forged%'")
    if queue == "celery":
        wait_until(lambda: stack.receivers.pages("Orders without a valid signature"), "the page")


def test_producer_with_the_secret_submits(stack: Stack) -> None:
    """The producer's user and the secret that make_secrets wrote are enough."""
    order = json.loads(orders("main", 1, "signed"))
    signature = sign_order(order, (stack.where.secrets / "intake_secret").read_text())
    with stack.producer("producer") as app:
        answer = app.send_task("sluicegate.accept", kwargs={"order": order, "signature": signature}).get(
            timeout=60
        )
    assert answer["accepted"], answer
    wait_until(lambda: [("filled",)] == stack.rows("SELECT state FROM orders WHERE account = 'main'"), "it fills")


def test_watchdog_reaches_its_receiver(stack: Stack) -> None:
    """The dead man's switch is heard from the start."""
    wait_until(
        lambda: stack.receivers.alerts("deadman", "SluicegateWatchdog"), "it barks", patience_s=FIRST_ALERTS_S
    )


def test_killing_any_process_loses_no_order_and_no_number(stack: Stack) -> None:
    """Under load one process of each kind is killed; exchange, ledger and Prometheus agree afterwards."""
    expected = 0
    with ThreadPoolExecutor(1) as producer:
        for victim in victims(stack):
            load = "".join(orders(account, ORDERS_EACH, victim.name) for account in ("a1", "a2", "a3"))
            submitting = producer.submit(stack.run, WORKER, "submit", "-", stdin=load)
            wait_until(lambda: set(ledger_states(stack)) - {"filled"}, "orders are on their way")
            stack.kill(victim)
            assert 0 == submitting.result().returncode, submitting.result().stderr
            expected += 3 * ORDERS_EACH
    wait_until(lambda: ledger_states(stack)["filled"] == expected, "every order is filled", patience_s=150)
    on_exchange = Counter(order["orderLinkId"] for order in stack.truth("orders")["list"])
    links = {link for (link,) in stack.rows("SELECT link_id FROM orders WHERE state = 'filled'")}
    assert links == set(on_exchange)
    assert {1} == set(on_exchange.values())
    wait_until(lambda: shown_states(stack) == ledger_states(stack), "the gauges show what the ledger holds")
    assert_counters_agree(stack)


def test_every_panel_and_alert_finds_its_data(stack: Stack) -> None:
    """After a day with a little of everything, every query is understood and every panel shows something."""
    stack.fault("ret_code", count=1, args={"ret_code": 10006})
    stack.control("stream", action="close", uid=1003)
    day = orders("a1", 1, "limited") + orders("a2", 1, "unknown", symbol="NOSUCHUSDT")
    assert 0 == stack.run(WORKER, "submit", "-", stdin=day).returncode
    queries = {
        f"{board.name}: {panel.title}": query.expression.replace("$account", ".*").replace(
            "$__rate_interval", "1m"
        )
        for board in BOARDS
        for panel in board.panels
        for query in panel.queries
    }
    for rule in RULES:
        queries |= (
            {f"{rule['alert']}: {name}": name for name in metrics_of(rule["expr"])} if "alert" in rule else {}
        )
        stack.query(rule["expr"])
    assert len(queries) > 60
    shows_something(stack, queries)


def test_metric_is_told_by_the_processes_that_the_catalogue_names(stack: Stack) -> None:
    """Who looks for a number looks where docs/metrics.md says; zeros tell nothing."""
    told = 'group by (__name__, job) ({__name__=~"sluicegate_.+", job=~"sluicegate-.+"} != 0)'
    found = defaultdict(set)
    for row in stack.query(told):
        name = re.sub(r"_(bucket|sum|count|created)$", "", row["metric"]["__name__"].removeprefix("sluicegate_"))
        found[name].add(row["metric"]["job"].removeprefix("sluicegate-").replace("cancels", "worker"))
    unnamed = {
        metric.name: sorted(found[metric.name] - metric.processes)
        for metric in CATALOGUE
        if not found[metric.name] <= metric.processes
    }
    assert {} == unnamed


def shows_something(stack: Stack, queries: Mapping[str, str]) -> None:
    """Wait until every query has shown data; an event of a minute ago may be gone when the last one comes."""
    waiting = dict(queries)
    give_up_at = time.monotonic() + 90
    while waiting := {name: query for name, query in waiting.items() if not stack.query(query)}:
        assert time.monotonic() < give_up_at, waiting
        time.sleep(0.5)


def victims(stack: Stack) -> list[Place]:
    """Return a worker, the scheduler that ticks, and one of each other kind that works on orders."""
    ticking = [place for place in stack.where.places("scheduler") if '"beat_ticks"' in stack.log(place)]
    others = [
        Place(service) for service in SERVICES if has_metrics(service) and service not in ("worker", "scheduler")
    ]
    return [Place("worker", 2), ticking[-1], *others]


def ledger_states(stack: Stack) -> Counter[str]:
    """Count the orders of the load in the ledger by state."""
    counted = "SELECT state, count(*) FROM orders WHERE account LIKE 'a_' GROUP BY state"
    return Counter(dict(stack.rows(counted)))


def shown_states(stack: Stack) -> Counter[str]:
    """Count them as the dashboards do: each scheduler shows the ledger, so the largest, not the sum."""
    expression = 'sum by (state) (max by (account, state) (sluicegate_ledger_orders{account=~"a."}))'
    return Counter({row["metric"]["state"]: int(row["value"][1]) for row in stack.query(expression)})


def assert_counters_agree(stack: Stack) -> None:
    """Wait until the counters of every living process are those of its events."""
    give_up_at = time.monotonic() + 60
    while found := miscounts(stack):
        assert time.monotonic() < give_up_at, found
        time.sleep(0.5)


def miscounts(stack: Stack) -> dict[tuple[str, str], tuple[int, int]]:
    """Return the processes and states whose counters differ from the ledger's events, with both numbers.

    A process that was started in the place of a dead one counts from nothing. A stream that learns of two steps of
    an order at once counts the last.
    """
    changed = (
        "SELECT actor, to_state, count(*) FROM order_events WHERE from_state <> to_state GROUP BY actor, to_state"
    )
    written = {(actor.rpartition(":")[2], state): count for actor, state, count in stack.rows(changed)}
    shown = {
        (row["metric"]["instance"], row["metric"]["state"]): int(row["value"][1])
        for row in stack.query("sum by (instance, state) (sluicegate_orders_total)")
    }
    found = {}
    for place, process in stack.processes.items():
        for state in ("filled",) if place.service == "stream" else ("live", "filled"):
            pair = shown.get((stack.instance(place), state), 0), written.get((str(process.pid), state), 0)
            if pair[0] != pair[1]:
                found[place.name, state] = pair
    return found
