"""The search for leaks finds a secret wherever it was put."""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest
from celery import Celery

from sluicegate import OrderRequest
from sluicegate.domain.records import Severity
from tests.chaos.leaks import SECRETS, find_leaks, name_secret
from tests.chaos.proxied_rig import ProxiedRig
from tests.rig import wait_until

SECRET = SECRETS[0]
_MODULE_FOLDER = "leaks"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProxiedRig]:
    """Run a small stack that has sent an order."""
    running = ProxiedRig(tmp_path_factory.mktemp(_MODULE_FOLDER))
    try:
        running.start(workers=1, schedulers=1, cancels=0)
        order = {"account": "a1", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Limit"}
        receipt = running.gate.submit(OrderRequest.model_validate({**order, "qty": "0.01", "price": "59000"}))
        running.gate.wait(receipt.order_id, timeout_s=60)
        _send_without_signature(running, order)
        wait_until(lambda: len(running.events("s1", "page_failed")) > 1, "the page fails at both receivers")
        yield running
    finally:
        running.stop()


def _send_without_signature(rig: ProxiedRig, order: dict[str, str]) -> None:
    """Send an order that the intake refuses, which pages a person."""
    url = f"redis://127.0.0.1:{rig.port}/0"
    with Celery(broker=url, backend=url, set_as_current=False) as app:
        refused = app.send_task("sluicegate.accept", args=[order], queue="orders").get(timeout=60)
    assert "SignatureInvalid" == refused["error"]


def _in_a_message(rig: ProxiedRig) -> None:
    with rig.redis() as client:
        client.lpush("elsewhere", f'{{"args": ["{SECRET}"]}}')
        client.delete("elsewhere")


def _in_a_key(rig: ProxiedRig) -> None:
    with rig.redis() as client:
        client.hset("sg:kept", SECRET, "1")


def _in_a_log(rig: ProxiedRig) -> None:
    with (rig.home / "w1.log").open("a") as log:
        log.write(f"Traceback: {SECRET}\n")


def _in_the_ledger(rig: ProxiedRig) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rig.container.ledger.open_incident("leak", severity=Severity.WARNING, title="t", detail=SECRET, fix="f", at=at)


def test_stack_that_worked_leaks_nothing(rig: ProxiedRig) -> None:
    """An order went through; no key, secret or password shows anywhere."""
    assert [] == find_leaks(rig)


def test_search_finds_what_everybody_writes(rig: ProxiedRig) -> None:
    """The search sees logs, broker, ledger and metrics: it finds the order's account in each of them."""
    places = {found.partition(" holds")[0] for found in find_leaks(rig, ["a1"])}
    assert {"w1.log", "/metrics of w1", "ledger table orders"} <= places
    assert any(place.startswith("appendonlydir/") for place in places)
    assert any(place.startswith("ledger.db") for place in places)


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda secret: quote(secret, safe=""),
        lambda secret: b64encode(secret.encode()).decode(),
        lambda secret: urlsafe_b64encode(f"user:{secret}@host".encode()).decode(),
        lambda secret: b64encode(f"users:{secret}@host".encode()).decode(),
    ],
)
def test_secret_is_found_however_it_is_spelt(rig: ProxiedRig, spell: Callable[[str], str]) -> None:
    """As it is, as in an address, as base64 alone or within more: each place is named."""
    file = rig.home / "run" / "spelt"
    file.write_text("\n".join(spell(secret) for secret in SECRETS))
    found = {place for place in find_leaks(rig) if place.startswith("spelt")}
    file.unlink()
    assert {f"spelt holds {name_secret(secret)}" for secret in SECRETS} == found


@pytest.mark.parametrize("plant", [_in_a_message, _in_a_key, _in_a_log, _in_the_ledger])
def test_planted_secret_is_found(rig: ProxiedRig, plant: Callable[[ProxiedRig], None]) -> None:
    """A secret in a message that is gone, in Redis, in a log, in the ledger."""
    before = set(find_leaks(rig))
    plant(rig)
    assert set(find_leaks(rig)) - before
    assert not any(SECRET in found for found in find_leaks(rig))


def test_log_of_the_stack_is_written_where_it_is_searched(rig: ProxiedRig) -> None:
    """Every process of the stack has a log that says something."""
    assert {"simulator", "w1", "s1"} == {path.stem for path in Path(rig.home).glob("*.log")}
