"""Raw messages of every shape on the queues of real processes: none ends a process, none makes an order."""

from __future__ import annotations

import base64
import json
import random
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sluicegate.domain.orders import parse_order
from sluicegate.messages import ACCEPT, CHANGE, EXECUTE, LOOK, QUEUES
from tests.rig import Rig, running, wait_until

TASKS = (
    EXECUTE,
    CHANGE,
    LOOK,
    ACCEPT,
    "sluicegate.release",
    "sluicegate.unknown",
    "os.system",
    "",
    None,
    7,
    [],
    {},
)
GOOD = {"account": "a1", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Limit"}
GOOD |= {"qty": "0.01", "price": "59000"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run one stack for all messages."""
    with running(tmp_path_factory.mktemp("hostile"), workers=1) as stack:
        yield stack


def message(task: Any = EXECUTE, body: Any = None, **changes: Any) -> dict[str, Any]:
    """Return a message as Celery writes it on Redis; `headers` and `properties` are changed one by one."""
    number = str(uuid.uuid4())
    content = [[], {"order_id": "01JD3Z0000ABCDEFGHJKMNPQRS"}, {}] if body is None else body
    text = content if isinstance(content, str) else json.dumps(content)
    headers = {"lang": "py", "task": task, "id": number, "root_id": number, "retries": 0, "argsrepr": "()"}
    delivery = {"exchange": "", "routing_key": "orders"}
    properties = {
        "correlation_id": number,
        "delivery_mode": 2,
        "delivery_info": delivery,
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": number,
    }
    return {
        "body": base64.b64encode(text.encode()).decode(),
        "content-encoding": changes.pop("encoding", "utf-8"),
        "content-type": changes.pop("type", "application/json"),
        "headers": {**headers, **changes.pop("headers", {})},
        "properties": {**properties, **changes.pop("properties", {})},
        **changes,
    }


def odd_value(rng: random.Random, depth: int = 2) -> Any:
    """Draw any JSON value."""
    plain: list[Any] = [
        None,
        True,
        0,
        -1,
        10**30,
        1.5,
        "",
        "x",
        "\x00",
        "é" * 50,
        "9" * 500,
        "2026-13-45T99",
        "-1",
    ]
    if depth == 0 or rng.random() < 0.7:
        return rng.choice(plain)
    some = [odd_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    return some if rng.random() < 0.5 else {str(rng.choice(plain)): value for value in some}


def odd_body(rng: random.Random) -> Any:
    """Draw a body: Celery's three parts, of which any may be wrong."""
    order = {**GOOD, rng.choice([*GOOD, "nonsense", "deadline_s"]): odd_value(rng)}
    kwargs = rng.choice(
        [{"order_id": odd_value(rng)}, {"order": order}, {"order": odd_value(rng)}, odd_value(rng)]
    )
    embedded = rng.choice([{}, {"chain": odd_value(rng)}, {"callbacks": odd_value(rng)}, odd_value(rng)])
    return rng.choice(
        [[[], kwargs, embedded], [odd_value(rng), kwargs, {}], [[odd_value(rng)], {}, {}], odd_value(rng)]
    )


def odd_message(rng: random.Random) -> bytes:
    """Draw what somebody may write into a queue, from almost right to noise."""
    names = ("retries", "eta", "expires", "timelimit", "group", "id", "task", "root_id", "reply_to", "stamps")
    kept = ("delivery_tag", "delivery_info", "body_encoding", "reply_to", "correlation_id", "priority")
    drawn = message(
        rng.choice(TASKS),
        odd_body(rng),
        headers={rng.choice(names): odd_value(rng) for _ in range(rng.randint(0, 2))},
        properties={rng.choice(kept): odd_value(rng) for _ in range(rng.choice((0, 0, 1)))},
    )
    for _ in range(rng.choice((0, 0, 1))):
        drawn[rng.choice(list(drawn))] = odd_value(rng)
    if rng.random() < 0.1:
        drawn.pop(rng.choice(list(drawn)))
    raw = json.dumps(drawn).encode()
    if rng.random() < 0.1:
        raw = raw[: rng.randrange(len(raw))]
    return raw


PICKLE = base64.b64encode(b"cos\nsystem\n(S'true'\ntR.").decode()
KNOWN_SHAPES: dict[str, Callable[[], bytes]] = {
    "no JSON": lambda: b"\x80\x04\xff\xfe not json",
    "empty": lambda: b"",
    "a number": lambda: b"7",
    "null": lambda: b"null",
    "a list": lambda: b"[]",
    "an empty object": lambda: b"{}",
    "truncated": lambda: json.dumps(message()).encode()[:-20],
    "deep": lambda: b"[" * 100_000,
    "pickle": lambda: json.dumps(
        message(type="application/x-python-serialize", body="x") | {"body": PICKLE}
    ).encode(),
    "unknown type": lambda: json.dumps(message(type="application/x-nonsense")).encode(),
    "unknown encoding": lambda: json.dumps(message(encoding="klingon")).encode(),
    "no properties": lambda: json.dumps({k: v for k, v in message().items() if k != "properties"}).encode(),
    "no delivery tag": lambda: json.dumps(message() | {"properties": {"delivery_info": {}}}).encode(),
    "body is no base64": lambda: json.dumps(message() | {"body": "?"}).encode(),
    "body is noise": lambda: json.dumps(message(body="\x00\x01{")).encode(),
    "body is deep": lambda: json.dumps(message(body="[" * 100_000)).encode(),
    "no headers": lambda: json.dumps(message() | {"headers": {}}).encode(),
    "headers are null": lambda: json.dumps(message() | {"headers": None}).encode(),
    "eta is no time": lambda: json.dumps(message(headers={"eta": "tomorrow"})).encode(),
    "expires is no time": lambda: json.dumps(message(headers={"expires": {"a": 1}})).encode(),
    "wrong arguments": lambda: json.dumps(message(body=[[1, 2, 3], {"nonsense": 1}, {}])).encode(),
    "a callback": lambda: json.dumps(message(body=[[], {"order_id": "x"}, {"callbacks": [{"task": 1}]}])).encode(),
}


def is_well(rig: Rig) -> bool:
    """Tell whether an order still goes out; fail if a process has ended."""
    for name, process in rig.processes.items():
        assert process.poll() is None, f"{name} ended:\n{rig.log(name)[-4000:]}"
    rig.gate.wait(rig.gate.submit(parse_order(GOOD)).order_id, timeout_s=90)
    return True


def deliver(rig: Rig, raw: bytes, queues: tuple[str, ...] = QUEUES) -> None:
    """Put a message into queues and wait until somebody took it."""
    with rig.redis() as client:
        for queue in queues:
            client.lpush(queue, raw)
        wait_until(lambda: not any(client.llen(queue) for queue in queues), "the messages are taken")


@pytest.mark.parametrize("shape", KNOWN_SHAPES)
def test_message_of_a_hostile_shape_ends_no_process_and_makes_no_order(rig: Rig, shape: str) -> None:
    """It is dropped on each queue; the next order goes out, and the exchange has that one more and no other."""
    before = sum(rig.exchange_orders().values())
    deliver(rig, KNOWN_SHAPES[shape]())
    assert is_well(rig)
    assert before + 1 == sum(rig.exchange_orders().values())


def test_thousand_drawn_messages_end_no_process_and_make_only_orders_that_the_domain_accepts(rig: Rig) -> None:
    """Almost right, wrong and noise, on every queue; what became an order is one that the domain accepts."""
    for seed in range(10):
        rng = random.Random(seed)
        with rig.redis() as client:
            for _ in range(100):
                client.lpush(rng.choice(QUEUES), odd_message(rng))
        deliver(rig, json.dumps(message()).encode())
        assert is_well(rig), seed
    log = "".join(rig.log(name) for name in rig.processes)
    assert "Unrecoverable error" not in log


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("malformed", b"7"),
        ("unreadable", json.dumps(message(type="application/x-nonsense")).encode()),
        ("unknown_task", json.dumps(message("sluicegate.nonsense")).encode()),
        ("wrong_id", json.dumps(message(body=[[], {"order_id": 17}, {}])).encode()),
        ("failed", json.dumps(message(body=[[1, 2, 3], {"nonsense": 1}, {}])).encode()),
    ],
)
def test_message_that_is_dropped_is_counted_by_its_fault(rig: Rig, kind: str, raw: bytes) -> None:
    """What a person never sees in a log is seen in a metric."""
    line = f'sluicegate_poison_messages_total{{kind="{kind}"}} '

    def count() -> float:
        lines = [found for found in rig.metrics("w1").splitlines() if found.startswith(line)]
        return float(lines[0].removeprefix(line)) if lines else 0.0

    before = count()
    deliver(rig, raw, queues=("orders",))
    wait_until(lambda: count() > before, f"{kind} is counted")
