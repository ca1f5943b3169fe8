"""Alert rules use what the catalogue exports, and each has a runbook."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.config import SchedulerSettings
from sluicegate.domain.outcomes import Action
from sluicegate.telemetry.catalogue import CATALOGUE, PREFIX, Kind
from tests.unit.ops.commands import parse

ROOT = Path(__file__).parents[3]
FILES = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "ops/prometheus/rules").glob("*.yml"))]
RULES: list[dict[str, Any]] = [rule for file in FILES for group in file["groups"] for rule in group["rules"]]
RECORDS = [rule for rule in RULES if "record" in rule]
ALERTS = [rule for rule in RULES if "alert" in rule]
NAMES = [alert["alert"] for alert in ALERTS]

LANGUAGE = {
    *("abs", "absent", "increase", "max", "min", "rate", "sum", "time", "vector"),
    *("by", "or", "and", "offset", "bool", "unless"),
}
LABELS = {PREFIX + metric.name: {*metric.labels, "job", "instance"} for metric in CATALOGUE} | {
    "up": {"job", "instance"},
    "alertmanager_notifications_failed_total": {"integration", "job", "instance"},
}
LABELS |= {
    f"{PREFIX}{metric.name}_{part}": {*metric.labels, "job", "instance", "le"}
    for metric in CATALOGUE
    if metric.kind is Kind.HISTOGRAM
    for part in ("bucket", "sum", "count")
}
LABELS |= {rule["record"]: set(re.search(r"by \(([^)]*)\)", rule["expr"])[1].split(", ")) for rule in RECORDS}


def metrics_of(expression: str) -> set[str]:
    """Return the names in an expression that are no word of PromQL."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|offset)\s*(?:\([^)]*\)|\d+[smhd])", "", bare)
    return {word for word in re.findall(r"[a-zA-Z_:][\w:]*", bare) if word not in LANGUAGE}


def labels_of(expression: str) -> dict[str, set[str]]:
    """Return the labels by which each metric of an expression is chosen."""
    found = re.findall(r"([a-zA-Z_:][\w:]*)\{([^}]*)\}", expression)
    return {metric: set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) for metric, matchers in found}


def runbook(alert: dict[str, Any]) -> Path:
    """Return the file whose page on the documentation site an alert links."""
    base, _, page = alert["annotations"]["runbook_url"].rpartition("/")
    assert base == "{{ $externalLabels.runbooks }}"
    return ROOT / "ops/runbooks" / page.replace(".html", ".md")


@pytest.mark.parametrize(
    "alert", [alert for alert in ALERTS if alert["expr"] != "vector(1)"], ids=lambda a: a["alert"]
)
def test_alert_uses_only_metrics_and_labels_that_exist(alert: dict[str, Any]) -> None:
    """An alert on a metric or label that nobody exports would never fire."""
    assert metrics_of(alert["expr"])
    assert metrics_of(alert["expr"]) <= set(LABELS)
    for metric, labels in labels_of(alert["expr"]).items():
        assert labels <= LABELS[metric]
    kept = {label for group in re.findall(r"by \(([^)]*)\)", alert["expr"]) for label in re.split(r",\s*", group)}
    assert kept <= set().union(*(LABELS[metric] for metric in metrics_of(alert["expr"])))
    gone = re.fullmatch(r'absent\(up\{job="([\w-]+)"\} == 1\)', alert["expr"])
    assert alert["labels"].get("job") == (gone[1] if gone else None)
    shown = set(re.findall(r"\$labels\.(\w+)", alert["annotations"]["summary"]))
    bare = re.match(r"[\w:]+", alert["expr"])
    assert shown <= (kept or (LABELS.get(bare[0], set()) if bare else set()))


@pytest.mark.parametrize("alert", ALERTS, ids=NAMES)
def test_alert_has_a_severity_and_a_runbook(alert: dict[str, Any]) -> None:
    """A runbook exists, names its alert, and has its four parts."""
    assert {"alert", "expr", "for", "labels", "annotations"} == set(alert)
    assert alert["labels"]["severity"] in (
        {"none"} if alert["alert"] == "SluicegateWatchdog" else {"critical", "warning"}
    )
    text = runbook(alert).read_text()
    assert f"`{alert['alert']}`" in text
    assert ["Symptom", "Confirm", "Do", "Over when"] == re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_codes_of_an_auth_failure_halt_the_account() -> None:
    """The alert names codes that Sluicegate halts an account for, in the spelling of the metric."""
    [expression] = [alert["expr"] for alert in ALERTS if alert["alert"] == "SluicegateAuthFailure"]
    [codes] = re.findall(r'ret_code=~"([^"]+)"', expression)
    assert len(codes.split("|")) > 5
    table = RetCodeTable.load()
    for code in codes.split("|"):
        assert Action.HALT_ACCOUNT is table.lookup(code).action, code


def test_link_to_a_runbook_is_an_address_that_a_person_can_open() -> None:
    """The base of all links is one absolute address, and ends where the site has the runbooks."""
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    assert re.fullmatch(r"https?://[^/\s]+/(?:\S+/)?ops/runbooks", config["global"]["external_labels"]["runbooks"])


@pytest.mark.parametrize("name", ["SluicegateAuthFailure", "SluicegateAccountHalted"])
def test_refused_key_is_told_within_thirty_seconds_at_worst(name: str) -> None:
    """With what is shipped: every wait at its longest, another alert of the account told just before."""
    prometheus = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())["global"]
    routes = yaml.safe_load((ROOT / "ops/alertmanager/alertmanager.yml").read_text())["route"]["routes"]
    [route] = [route for route in routes if route["matchers"] == ['severity="critical"']]
    [alert] = [alert for alert in ALERTS if alert["alert"] == name]
    waits = [prometheus["scrape_interval"], prometheus["evaluation_interval"], alert["for"]]
    waits.append(max(route["group_wait"], route["group_interval"], key=seconds))
    assert SchedulerSettings().gauges_interval_s + sum(map(seconds, waits)) < 25  # the rest is the order's


def seconds(duration: str) -> float:
    """Read `5s` or `1m`."""
    return float(duration[:-1]) * {"s": 1, "m": 60}[duration[-1]]


def test_every_runbook_belongs_to_an_alert() -> None:
    """No runbook outlives its alert."""
    known = {runbook(alert) for alert in ALERTS}
    assert known == set((ROOT / "ops/runbooks").glob("*.md"))


def test_runbook_commands_exist() -> None:
    """Every `sluicegate ...` that a runbook tells a person to run is understood by the program."""
    for runbook in sorted((ROOT / "ops/runbooks").glob("*.md")):
        for line in re.findall(r"`sluicegate ([^`]+)`", runbook.read_text()):
            assert parse(line.split()), (runbook.name, line)


def test_job_without_any_process_has_an_alert_of_its_own() -> None:
    """Whoever is paged reads which kind of process is gone, and so does inhibition."""
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    jobs = [job["job_name"] for job in config["scrape_configs"] if job["job_name"].startswith("sluicegate-")]
    assert sorted(jobs) == sorted(alert["labels"]["job"] for alert in ALERTS if "job" in alert["labels"])


def test_inhibited_and_routed_alerts_exist() -> None:
    """Alertmanager speaks of alerts that there are, and of receivers that it has."""
    config = yaml.safe_load((ROOT / "ops/alertmanager/alertmanager.yml").read_text())
    receivers = {receiver["name"] for receiver in config["receivers"]}
    assert {config["route"]["receiver"], *(route["receiver"] for route in config["route"]["routes"])} <= receivers
    for rule in config["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            assert set(re.findall(r"Sluicegate\w+", matcher)) <= set(NAMES)


def test_prometheus_scrapes_the_services_that_serve_metrics() -> None:
    """The names that Prometheus resolves are services, at the port that their command opens."""
    config = yaml.safe_load((ROOT / "ops/prometheus/prometheus.yml").read_text())
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    scraped = [entry for job in config["scrape_configs"] for entry in job.get("dns_sd_configs", [])]
    assert {"worker", "worker-cancels", "scheduler", "stream"} == {
        name for entry in scraped for name in entry["names"]
    }
    for entry in scraped:
        for name in entry["names"]:
            assert ["--metrics-port", str(entry["port"])] == services[name]["command"][-2:]
