"""Orders that came together, through real workers and a real exchange: one batch, and each order's own outcome."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from celery import Celery

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import OrderRequest
from sluicegate.messages import EXECUTE_MANY
from sluicegate.services.lanes import CREATE, CREATE_BATCH
from tests.rig import Rig, running, wait_until

_numbers = itertools.count()


def orders(count: int, account: str, **fields: Any) -> list[OrderRequest]:
    """Return orders that rest on the book."""
    return [
        OrderRequest.model_validate(
            {
                "account": account,
                "category": "linear",
                "symbol": "BTCUSDT",
                "side": "Buy",
                "order_type": "Limit",
                "qty": "0.01",
                "price": "59000",
                "client_order_id": f"batch-{next(_numbers)}",
                **fields,
            }
        )
        for _ in range(count)
    ]


def submit(rig: Rig, requests: list[OrderRequest]) -> list[str]:
    """Hand orders over together; returns their ids."""
    receipts: list[Any] = rig.gate.submit_many(requests)
    return [receipt.order_id for receipt in receipts]


def states(rig: Rig, order_ids: list[str]) -> Counter[State]:
    """Count orders by state."""
    return Counter(order.state for order in rig.container.ledger.get_many(order_ids))  # type: ignore[arg-type]


def await_live(rig: Rig, order_ids: list[str]) -> None:
    """Wait until all orders are on the exchange, as the ledger says, and check that each is there once."""
    wait_until(lambda: states(rig, order_ids)[State.LIVE] == len(order_ids), f"{len(order_ids)} orders are live")
    there = rig.exchange_orders()
    assert {1} == {there[f"sg-{order_id}"] for order_id in order_ids}


def lanes(rig: Rig, order_ids: list[str]) -> Counter[str]:
    """Count the claims of orders by lane."""
    trails = (rig.container.ledger.events(order_id) for order_id in order_ids)  # type: ignore[arg-type]
    return Counter(event.detail["lane"] for trail in trails for event in trail if event.event == "claimed")


def codes(rig: Rig, order_ids: list[str]) -> Counter[str]:
    """Count the codes in the audit trails of orders."""
    trails = (rig.container.ledger.events(order_id) for order_id in order_ids)  # type: ignore[arg-type]
    return Counter(str(event.detail["code"]) for trail in trails for event in trail if "code" in event.detail)


def figures(rig: Rig, uid: int, path: str) -> dict[str, Any]:
    """Return the exchange's own record of an endpoint."""
    return dict(rig.truth("stats")["uids"].get(str(uid), {}).get(f"{path} linear", {}))


@pytest.fixture(autouse=True)
def _no_faults(rig: Rig) -> Any:
    yield
    httpx.delete(f"{rig.simulator_url}/simulator/faults")
    rig.control("limits", uid=1003, endpoint=CREATE_BATCH, category="linear", limit=None)


def test_orders_handed_over_together_use_both_lanes_within_their_limits(rig: Rig) -> None:
    """Sixty orders take both endpoints, several a request in one of them, and no limit is overrun."""
    ids = submit(rig, orders(60, "a1"))
    await_live(rig, ids)
    used = lanes(rig, ids)
    assert {CREATE, CREATE_BATCH} == set(used)
    for path in (CREATE, CREATE_BATCH):
        seen = figures(rig, 1001, path)
        assert "10006" not in seen["ret_codes"], seen
        assert seen["max_per_second"] <= seen["limit"], seen
    assert figures(rig, 1001, CREATE_BATCH)["requests"] < used[CREATE_BATCH]


def test_orders_go_one_a_request_in_one_message_when_batches_are_off(tmp_path: Path) -> None:
    """The second lane is not touched; that a message carries several is nobody's business but the workers'."""
    settings = {"EXCHANGE__BATCHES": "false", "LOG_LEVEL": "DEBUG"}
    with running(tmp_path, workers=1, settings=settings, accounts={"a1": "1001"}) as rig:
        ids = submit(rig, orders(8, "a1"))
        await_live(rig, ids)
        assert Counter({CREATE: 8}) == lanes(rig, ids)
        assert 8 == figures(rig, 1001, CREATE)["ret_codes"]["0"]
        assert {} == figures(rig, 1001, CREATE_BATCH)
        wait_until(lambda: rig.events("w1", "task_done"), "the worker tells what it did")
        carried = [line for line in rig.events("w1", "task_done") if line["task"] == EXECUTE_MANY]
        assert set(ids) <= {order_id for line in carried for order_id in line["result"]}


def test_long_line_of_one_account_does_not_hold_up_another(rig: Rig) -> None:
    """While 1,500 orders of an account wait, those of another go out one after the other, at once."""
    flood = submit(rig, orders(1500, "a2"))
    for _one in range(5):
        await_live(rig, submit(rig, orders(1, "a5")))
    assert states(rig, flood)[State.ACCEPTED] > 1000
    rig.container.halts.halt_account("a2", code="manual", message="", cause="", fix="")  # it would go on for long


def test_order_of_a_batch_that_is_over_the_limit_goes_back_alone(rig: Rig) -> None:
    """The exchange admits five of a batch: those are live at once, the others come again and are live too."""
    rig.control("limits", uid=1003, endpoint=CREATE_BATCH, category="linear", limit=5)
    ids = submit(rig, orders(20, "a3"))
    await_live(rig, ids)
    seen = codes(rig, ids)
    assert seen["0"] == 20
    assert seen["10006"] > 0


def test_batch_that_times_out_after_half_was_accepted_doubles_and_loses_nothing(rig: Rig) -> None:
    """Five of the batch are there, five are not, and nobody answers: each is resolved by its link id."""
    rig.control("limits", uid=1004, endpoint=CREATE_BATCH, category="linear", limit=5)
    rig.fault("drop_after", path=CREATE_BATCH, uid=1004, count=1)
    ids = submit(rig, orders(12, "a4"))
    await_live(rig, ids)
    trails = [[event.event for event in rig.container.ledger.events(order_id)] for order_id in ids]
    doubted = [trail for trail in trails if "doubted" in trail]
    assert len(doubted) > 1
    assert any("proved_absent" in trail for trail in doubted)
    assert any("proved_absent" not in trail for trail in doubted)


def test_orders_of_one_batch_end_each_as_its_own_code_says(rig: Rig) -> None:
    """An order that the account cannot pay for dies; those beside it in the batch are live."""
    small = {"symbol": "ETHUSDT", "price": "2900"}
    requests = orders(1, "poor", **small) + orders(1, "poor", qty="10") + orders(1, "poor", **small)
    ids = submit(rig, requests)
    wait_until(lambda: states(rig, ids)[State.LIVE] == 2, "two are live")
    wait_until(lambda: states(rig, ids)[State.DEAD] == 1, "one is dead")
    letter = rig.container.ledger.dead_letter(ids[1])  # type: ignore[arg-type]
    assert letter.code == "110007"


def test_batch_refused_for_its_key_parks_every_order_and_pages_once(rig: Rig) -> None:
    """10003 for a batch concerns all its orders: all are parked, under one incident."""
    ids = submit(rig, orders(5, "wrongenv"))
    wait_until(lambda: states(rig, ids)[State.PARKED] == 5, "all are parked")
    open_keys = [incident.key for incident in rig.container.ledger.incidents()]
    assert open_keys.count("halt:account:wrongenv") == 1


def test_flower_sees_each_order_of_a_message(rig: Rig) -> None:
    """Celery's events show every order of a message that carries several, with its own id and result."""
    app = Celery(broker=f"redis://127.0.0.1:{rig.port}/0", set_as_current=False)
    seen: dict[str, dict[str, Any]] = {}

    def note(event: dict[str, Any]) -> None:
        seen.setdefault(str(event.get("uuid")), {}).update(event)

    def shown() -> set[str]:
        return {str(task.get("kwargs")) for task in seen.values() if task["type"] == "task-succeeded"}

    with app.connection_for_read() as connection:
        receiver = app.events.Receiver(connection, handlers={"*": note})
        listening = threading.Thread(target=lambda: receiver.capture(limit=None, timeout=None, wakeup=False))
        listening.daemon = True
        listening.start()
        submit(rig, orders(1, "a5"))
        wait_until(lambda: seen, "events arrive")
        ids = submit(rig, orders(6, "a5"))
        wait_until(lambda: set(ids) <= shown(), "each order is shown as done")
        receiver.should_stop = True
    results = {task["kwargs"]: task for task in seen.values() if task.get("kwargs") in ids}
    assert {"live"} == {task["result"] for task in results.values()}
    assert {"sluicegate.execute"} == {task["name"] for task in results.values()}
