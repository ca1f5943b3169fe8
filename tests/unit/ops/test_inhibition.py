"""What Alertmanager, a real one, silences for a cause, and what it must not."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.monitoring import ROOT, alertmanager_config, binary
from tests.rig import free_port, wait_until


@pytest.fixture
def alerts_url(tmp_path: Path) -> Iterator[str]:
    """Run Alertmanager with our rules of inhibition; its receivers are the placeholders, so it tells nobody."""
    script = [sys.executable, str(ROOT / "ops/make_secrets.py"), str(tmp_path / "secrets")]
    subprocess.run(script, check=True, capture_output=True)
    (tmp_path / "alertmanager.yml").write_text(alertmanager_config(tmp_path / "secrets"))
    address = f"127.0.0.1:{free_port()}"
    words = [f"--config.file={tmp_path}/alertmanager.yml", f"--storage.path={tmp_path}/data"]
    words += ["--cluster.listen-address=", f"--web.listen-address={address}"]
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([binary("alertmanager"), *words], stdout=log, stderr=log)

    def is_ready() -> bool:
        assert server.poll() is None, (tmp_path / "log").read_text()
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://{address}/-/ready", timeout=10).status_code == 200
        return False

    try:
        wait_until(is_ready, "Alertmanager is ready")
        yield f"http://{address}/api/v2/alerts"
    finally:
        server.terminate()
        server.wait(20)


def labels(alert: str) -> dict[str, str]:
    """Return the labels of an alert that is written `NoWorker job=sluicegate-worker`."""
    name, *pairs = alert.split()
    return {"alertname": f"Sluicegate{name}", **dict(pair.split("=") for pair in pairs)}


@pytest.mark.parametrize(
    ("cause", "silenced", "heard"),
    [
        (
            "NoWorker job=sluicegate-worker",
            ["ProcessDown job=sluicegate-worker", "OrdersOverdue"],
            ["ProcessDown job=sluicegate-scheduler", "CancelsWait"],
        ),
        (
            "NoCancelsWorker job=sluicegate-cancels",
            ["ProcessDown job=sluicegate-cancels", "CancelsWait"],
            ["ProcessDown job=sluicegate-worker", "OrdersOverdue"],
        ),
        (
            "NoScheduler job=sluicegate-scheduler",
            ["ProcessDown job=sluicegate-scheduler", "SchedulerStalled", "OrdersOverdue"],
            ["ProcessDown job=sluicegate-stream", "NoWorker job=sluicegate-worker", "PagesUndelivered"],
        ),
        (
            "NoStream job=sluicegate-stream",
            ["ProcessDown job=sluicegate-stream", "StreamSilent account=a"],
            ["ProcessDown job=sluicegate-worker", "OrdersOverdue"],
        ),
        ("SchedulerStalled", ["OrdersOverdue"], ["CancelsWait", "NoWorker job=sluicegate-worker"]),
        ("DependencyDown dependency=ledger", ["SchedulerStalled"], ["NoWorker job=sluicegate-worker"]),
        (
            "AccountHalted account=a reason=key_refused",
            ["StreamSilent account=a"],
            ["StreamSilent account=b", "DeadLetters account=a"],
        ),
        ("AccountHalted account=a reason=breaker", ["Backlog account=a"], ["StreamSilent account=a"]),
    ],
)
def test_cause_silences_what_follows_from_it_and_nothing_else(
    alerts_url: str, cause: str, silenced: list[str], heard: list[str]
) -> None:
    """Of one that is told, the followers are not; what has another cause is told all the same."""
    for alerts in ([cause], [*silenced, *heard]):  # the cause first: it is what inhibits
        body = [{"labels": labels(alert)} for alert in alerts]
        assert 200 == httpx.post(alerts_url, json=body, timeout=10).status_code

    def firing() -> list[dict[str, dict[str, str]]]:
        return list(httpx.get(alerts_url, timeout=10).json())

    wait_until(lambda: len(firing()) == 1 + len(silenced) + len(heard), "Alertmanager has every alert")

    def inhibited() -> set[frozenset[tuple[str, str]]]:
        return {frozenset(alert["labels"].items()) for alert in firing() if alert["status"]["inhibitedBy"]}

    expected = {frozenset(labels(alert).items()) for alert in silenced}
    wait_until(lambda: expected <= inhibited(), f"{cause} silences {silenced}")
    assert expected == inhibited()
