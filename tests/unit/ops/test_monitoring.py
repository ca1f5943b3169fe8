"""Prometheus' and Alertmanager's own tools judge what we wrote for them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from tests.monitoring import ROOT, alertmanager_config, binary

FOLDER = ROOT / "ops/prometheus"
CASES = sorted((FOLDER / "tests").glob("*.yml"))


def run(*command: str) -> str:
    """Run a tool; return what it said when it was not content."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_prometheus_takes_its_configuration_and_rules() -> None:
    """`promtool check config` reads the configuration and every rule file."""
    assert "" == run(binary("promtool"), "check", "config", str(FOLDER / "prometheus.yml"))


@pytest.mark.parametrize("cases", CASES, ids=[path.stem for path in CASES])
def test_alerts_fire_when_they_should_and_only_then(cases: Path) -> None:
    """`promtool test rules`: invented series, and what each alert says of them."""
    assert "" == run(binary("promtool"), "test", "rules", str(cases))


def test_promtool_fails_when_an_alert_is_wrong(tmp_path: Path) -> None:
    """The cases would notice another threshold."""
    rules = (FOLDER / "rules" / "orders.yml").read_text()
    assert "(sluicegate_oldest_due_seconds) > 60" in rules
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules" / "orders.yml").write_text(rules.replace("due_seconds) > 60", "due_seconds) > 600"))
    cases = tmp_path / "tests" / "orders.yml"
    cases.write_text((FOLDER / "tests" / "orders.yml").read_text())
    assert "SluicegateOrdersOverdue" in run(binary("promtool"), "test", "rules", str(cases))


def test_every_alert_is_seen_to_fire_and_to_be_silent() -> None:
    """Each alert has a case in which it fires, and, but for the watchdog, one in which it does not."""
    fires, silent = Counter[str](), Counter[str]()
    for path in CASES:
        for case in yaml.safe_load(path.read_text())["tests"]:
            for check in case["alert_rule_test"]:
                (fires if check["exp_alerts"] else silent)[check["alertname"]] += 1
    rules = [yaml.safe_load(path.read_text()) for path in (FOLDER / "rules").glob("*.yml")]
    alerts = {
        rule["alert"] for file in rules for group in file["groups"] for rule in group["rules"] if "alert" in rule
    }
    assert alerts == set(fires)
    assert alerts - {"SluicegateWatchdog"} == set(silent)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write Alertmanager's configuration as Debian's version reads it, with the URLs of make_secrets."""
    secrets = tmp_path / "secrets"
    subprocess.run(
        [sys.executable, str(ROOT / "ops/make_secrets.py"), str(secrets)], check=True, capture_output=True
    )
    path = tmp_path / "alertmanager.yml"
    path.write_text(alertmanager_config(secrets))
    return path


def test_alertmanager_takes_its_configuration(config: Path) -> None:
    """`amtool check-config` reads it."""
    assert "" == run(binary("amtool"), "check-config", str(config))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=SluicegateAuthFailure severity=critical account=a", "critical"),
        ("alertname=SluicegateTooManyVisits severity=warning account=a", "warning"),
        ("alertname=SluicegateNotificationsFail severity=critical", "warning,critical"),
        ("alertname=SluicegateWatchdog severity=none", "deadman"),
    ],
)
def test_alert_goes_to_the_receiver_of_its_severity(config: Path, labels: str, receiver: str) -> None:
    """Alertmanager's own routing says who hears of an alert."""
    command = [binary("amtool"), "config", "routes", "test", f"--config.file={config}", *labels.split()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert receiver == done.stdout.strip()
