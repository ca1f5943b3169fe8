"""Who may do what: users of the broker, TLS, signatures of orders, Flower. Every part is real."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import redis
import trustme
from celery import Celery
from fortress import PASSWORDS, Fortress

from sluicegate import sign_order
from sluicegate.bootstrap import Container
from sluicegate.config import load_settings
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.orders import OrderId
from sluicegate.ports import BucketSpec
from tests.rig import wait_until

ORDER = {
    "account": "main",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.01",
    "price": "59000",
}


def order(**changes: Any) -> dict[str, Any]:
    """Return an order with an id of its own."""
    return {**ORDER, "client_order_id": f"c-{uuid4().hex[:12]}", **changes}


def submit(app: Celery, **kwargs: Any) -> dict[str, Any]:
    """Send an order as a message and return the answer."""
    answer: dict[str, Any] = app.send_task("sluicegate.accept", kwargs=kwargs).get(timeout=90)
    return answer


@pytest.fixture
def container(place: Fortress) -> Any:
    """Give the objects of one of our processes, over TLS."""
    settings = load_settings(
        broker_url=place.url("sluicegate"), ledger_url=f"sqlite:///{place.home}/ledger.db", home=place.home
    )
    opened = Container(settings, "test")
    yield opened
    opened.close()


@pytest.fixture
def producer(place: Fortress) -> Any:
    """Give a foreign Celery app with the producer's password."""
    app = place.producer()
    yield app
    app.close()


# --- a producer -----------------------------------------------------------------------------------------------


def test_signed_order_of_the_producer_goes_live_over_tls(producer: Celery, container: Container) -> None:
    """With its own user, TLS and a signature, a plain app's order comes to the exchange."""
    fields = order()
    answer = submit(producer, order=fields, signature=sign_order(fields, PASSWORDS["intake"]))
    assert answer["accepted"], answer
    assert wait_until(
        lambda: container.ledger.get(OrderId(answer["order_id"])).state.value == "live", "the order is live"
    )


def test_signed_order_that_is_copied_is_the_same_order(producer: Celery) -> None:
    """Who listens to the broker can repeat a message, and gets the first receipt."""
    fields = order()
    signature = sign_order(fields, PASSWORDS["intake"])
    answers = [submit(producer, order=fields, signature=signature) for _ in range(2)]
    assert 1 == len({answer["order_id"] for answer in answers})
    text = json.dumps(fields)
    assert answers[0]["order_id"] == submit(producer, order=text, signature=signature)["order_id"]


FORGERIES = {
    "none": lambda fields: {"order": fields},
    "empty": lambda fields: {"order": fields, "signature": ""},
    "of_another_secret": lambda fields: {
        "order": fields,
        "signature": sign_order(fields, "another secret entirely"),
    },
    "of_another_order": lambda fields: {
        "order": {**fields, "qty": "10"},
        "signature": sign_order(fields, PASSWORDS["intake"]),
    },
    "of_another_kind": lambda fields: {"order": fields, "signature": 7},
    "not_ascii": lambda fields: {"order": fields, "signature": "ä" * 64},
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_order_without_a_valid_signature_is_refused(producer: Celery, container: Container, forgery: Any) -> None:
    """Write access to the broker is not the right to trade; a person is told."""
    fields = order()
    answer = submit(producer, **forgery(fields))
    assert (False, "SignatureInvalid") == (answer["accepted"], answer["error"])
    assert container.ledger.find("main", fields["client_order_id"]) is None
    assert "intake:signature" in {incident.key for incident in container.ledger.incidents()}


def test_signed_order_without_an_id_of_its_own_is_refused(producer: Celery) -> None:
    """A copied message would be a second order."""
    answer = submit(producer, order=ORDER, signature=sign_order(ORDER, PASSWORDS["intake"]))
    assert (False, "InvalidOrder") == (answer["accepted"], answer["error"])
    assert "client_order_id" in answer["message"]


def test_worker_for_orders_that_cannot_read_the_secret_does_not_start(place: Fortress, tmp_path: Path) -> None:
    """It would refuse every order of every producer; better that somebody sees it at once."""
    variables = place.variables("sluicegate") | {"SLUICEGATE_INTAKE__SECRET_FILE": str(tmp_path / "gone")}
    command = [sys.executable, "-m", "sluicegate.cli", "worker", "--queue", "orders", "--metrics-port", "0"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60, check=False)
    assert 2 == done.returncode
    assert done.stderr.startswith("error: intake.secret_file: cannot read"), done.stderr


# --- users of the broker --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "harms"),
    [
        (
            "sluicegate",
            ["FLUSHALL", "CONFIG SET maxmemory 1", "SHUTDOWN", "ACL LIST", "KEYS *", "REPLICAOF NO ONE"],
        ),
        (
            "producer",
            [
                *("LPUSH orders x", "LPUSH cancels x", "LPUSH control x", "LRANGE celery 0 -1", "DEL celery"),
                *("SET sg:{buckets}:epoch 1", "GET sg:redbeat:schedule", "HGETALL unacked", "RPOP celery"),
                *("PUBLISH /0.celery.pidbox x", "EVAL return 0", "FLUSHDB", "KEYS *", "CONFIG GET *", "SCAN 0"),
            ],
        ),
        (
            "flower",
            [
                *("LPUSH orders x", "LPUSH celery x", "LPUSH cancels x", "LPUSH control x", "DEL orders"),
                *(
                    "SET sg:{buckets}:epoch 1",
                    "HGETALL unacked",
                    "KEYS *",
                    "FLUSHALL",
                    "CONFIG GET *",
                    "LPOP celery",
                ),
            ],
        ),
        ("health", ["GET x", "INFO", "LPUSH orders x"]),
    ],
)
def test_user_of_the_broker_cannot_do_what_it_need_not(place: Fortress, user: str, harms: list[str]) -> None:
    """Each role has the rights of its work and no others."""
    password = "any" if user == "health" else None
    with place.client(user, password) as client:
        allowed = [harm for harm in harms if not _is_forbidden(client, harm)]
    assert [] == allowed


def _is_forbidden(client: redis.Redis, command: str) -> bool:
    words = command.replace("return 0", "return_0").split()
    if words[0] == "EVAL":
        words = ["EVAL", "return 0", "0"]
    try:
        client.execute_command(*words)
    except redis.exceptions.NoPermissionError:
        return True
    return False


def test_stranger_without_a_password_gets_nothing(place: Fortress) -> None:
    """The default user is off, on both doors."""
    for url in (f"redis://127.0.0.1:{place.port}/0", place.url("sluicegate", "guessed"), place.url("default", "")):
        with redis.Redis.from_url(url) as client, pytest.raises(redis.AuthenticationError):
            client.llen("orders")


def test_buckets_work_over_tls_with_our_user(container: Container) -> None:
    """Scripts, pipelines and messages pass."""
    grant = container.buckets.acquire([BucketSpec("b", 5)], max_wait_s=5, lease_s=5)
    container.buckets.settle(grant, sent=True)
    container.publisher.publish_look(OrderId("01JD3Z0000ABCDEFGHJKMNPQRS"), "a line")
    assert {"orders", "cancels", "control", "celery", "unacked"} == set(container.publisher.lengths())


# --- TLS ------------------------------------------------------------------------------------------------------


def test_broker_with_a_strange_certificate_is_not_talked_to(place: Fortress, tmp_path: Any) -> None:
    """No password goes to a broker whose certificate another CA signed."""
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    settings = load_settings(broker_url=place.url("sluicegate", bundle=other))
    with redis.Redis.from_url(settings.broker_address) as client, pytest.raises(redis.ConnectionError) as caught:
        client.ping()
    assert "certificate verify failed" in str(caught.value)


@pytest.mark.parametrize("word", ["none", "optional", "CERT_NONE"])
def test_broker_certificate_cannot_be_ignored(word: str) -> None:
    """An address that switches verification off is refused at the start."""
    with pytest.raises(ConfigurationError, match="ssl_cert_reqs must be required"):
        load_settings(broker_url=f"rediss://host:6379/0?ssl_cert_reqs={word}")


# --- Flower ---------------------------------------------------------------------------------------------------

PAGES = (
    "/",
    "/workers",
    "/tasks",
    "/broker",
    "/api/workers",
    "/api/workers?refresh=1",
    "/api/tasks",
    "/api/queues/length",
)


def test_flower_asks_everybody_for_the_password(place: Fortress) -> None:
    """Neither pages nor API are open; the health check alone is."""
    _wait_for_flower(place)
    for page in PAGES:
        for auth in (None, ("sluicegate", "guessed")):
            assert 401 == httpx.get(place.flower_url + page, auth=auth, timeout=60).status_code, page
    for call in ("/api/worker/shutdown/w1", "/api/task/async-apply/sluicegate.accept"):
        assert 401 == httpx.post(place.flower_url + call, timeout=60).status_code


def test_flower_sees_tasks_and_no_secret(place: Fortress, producer: Celery) -> None:
    """With its own user of the broker it shows what goes on, and none of the words that must show nowhere."""
    _wait_for_flower(place)
    fields = order()
    submit(producer, order=fields, signature=sign_order(fields, PASSWORDS["intake"]))
    auth = ("sluicegate", PASSWORDS["web"])

    def seen() -> str:
        return httpx.get(place.flower_url + "/api/tasks", auth=auth, timeout=60).text

    wait_until(lambda: "sluicegate.execute" in seen(), "Flower shows a task")
    shown = seen()
    for page in PAGES:
        answer = httpx.get(place.flower_url + page, auth=auth, timeout=60, follow_redirects=True)
        if page != "/api/queues/length":
            assert 200 == answer.status_code, page
        shown += answer.text
    assert [] == [word for word in (*PASSWORDS.values(), "sim-secret-1001", "sim-key-1001") if word in shown]


def test_configuration_that_processes_tell_holds_no_secret(place: Fortress) -> None:
    """Celery tells it to whoever may ask over the broker, Flower's user too; it hides only the names it knows."""
    with place.producer("sluicegate") as asking:

        def told() -> dict[str, Any]:
            return asking.control.inspect(timeout=3).conf() or {}

        seen: dict[str, Any] = {}
        wait_until(
            lambda: seen.update(told()) or {"w1", "s1"} <= {name.split("@")[0] for name in seen}, "both tell"
        )
    shown = json.dumps(seen)
    assert "redbeat_redis_url" in shown
    assert [] == [word for word in (*PASSWORDS.values(), "sim-secret-1001", "sim-key-1001") if word in shown]


@pytest.mark.parametrize("name", ["w1", "s1"])
def test_flower_shows_a_worker_and_no_secret(place: Fortress, name: str) -> None:
    """Its user of the broker may read what workers answer; the page with their configuration holds no secret."""
    _wait_for_flower(place)
    auth = ("sluicegate", PASSWORDS["web"])

    def known() -> str | None:
        listed = httpx.get(place.flower_url + "/workers?json=1", auth=auth, timeout=60).json()["data"]
        return next((row["hostname"] for row in listed if row["hostname"].startswith(f"{name}@")), None)

    wait_until(lambda: known() is not None, f"Flower knows {name}")
    seen: dict[str, str] = {}

    def shows() -> bool:
        answer = httpx.get(f"{place.flower_url}/worker/{known()}", auth=auth, timeout=60)
        seen["page"] = answer.text
        return answer.status_code == 200 and "broker_url" in answer.text

    wait_until(shows, f"Flower shows the configuration of {name}")
    assert [] == [
        word for word in (*PASSWORDS.values(), "sim-secret-1001", "sim-key-1001") if word in seen["page"]
    ]


def _wait_for_flower(place: Fortress) -> None:
    def answers() -> bool:
        try:
            return httpx.get(place.flower_url + "/healthcheck", timeout=30).status_code == 200
        except httpx.HTTPError:
            return False

    wait_until(answers, "Flower answers")


def test_no_secret_shows_in_logs_ledger_or_broker(place: Fortress, producer: Celery) -> None:
    """After all that was done: no log line, row or key of ours holds a password, key or secret."""
    fields = order()
    submit(producer, order=fields, signature=sign_order(fields, PASSWORDS["intake"]))
    written = b"".join(file.read_bytes() for file in place.home.glob("*.log"))
    written += b"".join(file.read_bytes() for file in place.home.glob("ledger.db*"))
    with place.client("sluicegate") as client:
        keys = [key for key in client.scan_iter() if client.type(key) == "string"]
        written += "".join(str(client.get(key)) for key in keys).encode()
    words = (*PASSWORDS.values(), "sim-secret-1001", "sim-key-1001")
    assert b"sluicegate" in written
    assert [] == [word for word in words if word.encode() in written]
