"""Each kind of outcome, given by a real exchange process to real workers, ends where the design says."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery

from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.lifecycle import END_STATES, Event, State
from sluicegate.domain.orders import Order, OrderRequest
from sluicegate.domain.records import ChangeState
from sluicegate.ports import Account
from sluicegate.services.halts import BY_HAND
from tests.e2e.conftest import Pages
from tests.rig import PATIENCE_S, Rig, wait_until

_numbers = itertools.count()


def order(**fields: Any) -> OrderRequest:
    """Return an order that rests on the book, changed by `fields`."""
    given = {
        "account": "a1",
        "category": "linear",
        "symbol": "BTCUSDT",
        "side": "Buy",
        "order_type": "Limit",
        "qty": "0.01",
        "price": "59000",
        "client_order_id": f"outcome-{next(_numbers)}",
    }
    return OrderRequest.model_validate({**given, **fields})


def settled(rig: Rig, order_id: str, *states: State) -> Order:
    """Wait until an order is in one of the states."""
    return rig.gate.wait(order_id, timeout_s=PATIENCE_S, until=states)


def codes(rig: Rig, order_id: str) -> list[str]:
    """Return the codes in an order's audit trail."""
    events = rig.container.ledger.events(rig.gate.status(order_id).order_id)
    return [str(event.detail["code"]) for event in events if "code" in event.detail]


def trail(rig: Rig, order_id: str) -> list[str]:
    """Return the events of an order."""
    return [event.event for event in rig.container.ledger.events(rig.gate.status(order_id).order_id)]


@pytest.fixture(autouse=True)
def _no_faults(rig: Rig) -> Any:
    yield
    import httpx

    httpx.delete(f"{rig.simulator_url}/simulator/faults")
    rig.control("clock", offset_ms=0)


def test_market_order_is_followed_to_its_fill_with_executions(rig: Rig) -> None:
    """An acknowledgement is no fill: the order is followed until it is filled, with its executions."""
    receipt = rig.gate.submit(order(order_type="Market", price=None, qty="0.02"))
    filled = settled(rig, receipt.order_id, State.FILLED)
    fills = rig.container.ledger.executions(filled.order_id)
    assert filled.cum_exec_qty == sum(fill.qty for fill in fills)
    assert filled.avg_price is not None


def test_10006_backs_off_and_is_sent_again(rig: Rig) -> None:
    """10006: refused before execution, retried under the same link id through the ledger."""
    rig.fault("ret_code", args={"ret_code": 10006, "ret_msg": "Too many visits", "when": "before"}, count=2)
    receipt = rig.gate.submit(order())
    settled(rig, receipt.order_id, State.LIVE)
    assert ["10006", "10006", "0"] == [code for code in codes(rig, receipt.order_id) if code in {"10006", "0"}]
    assert 1 == rig.exchange_orders()[receipt.order_link_id]
    assert 'ret_code="10006"' in rig.metrics("w1")


@pytest.mark.parametrize(
    ("fault", "args"),
    [
        ("drop_after", {"hang_s": 3}),
        ("reset", {"when": "after"}),
        ("status", {"status": 503, "when": "after"}),
        ("ret_code", {"ret_code": 10016, "ret_msg": "Server error", "when": "after"}),
        ("ret_code", {"ret_code": 10000, "ret_msg": "Server Timeout", "when": "after"}),
        ("bad_json", {"when": "after"}),
    ],
)
def test_lost_answer_after_acceptance_is_resolved_to_the_one_order(rig: Rig, fault: str, args: Any) -> None:
    """The exchange took the order and the answer was lost: found by link id, never sent again."""
    rig.fault(fault, args=args, count=1)
    receipt = rig.gate.submit(order())
    live = settled(rig, receipt.order_id, State.LIVE)
    assert 1 == live.attempts
    assert "doubted" in trail(rig, receipt.order_id)
    assert 1 == rig.exchange_orders()[receipt.order_link_id]


@pytest.mark.parametrize(
    ("fault", "args"),
    [
        ("drop_before", {"hang_s": 3}),
        ("status", {"status": 502, "when": "before"}),
        ("ret_code", {"ret_code": 10016, "ret_msg": "Server error", "when": "before"}),
    ],
)
def test_lost_request_is_sent_again_only_after_the_horizon(rig: Rig, fault: str, args: Any) -> None:
    """The order never arrived: sent again, but not before recv_window has passed on the exchange's clock."""
    rig.fault(fault, args=args, count=1)
    receipt = rig.gate.submit(order())
    live = settled(rig, receipt.order_id, State.LIVE)
    assert 2 == live.attempts
    events = rig.container.ledger.events(live.order_id)
    claimed = [event.at for event in events if event.event == "claimed"]
    assert (claimed[1] - claimed[0]).total_seconds() > 2.0
    assert "proved_absent" in trail(rig, receipt.order_id)
    assert 1 == rig.exchange_orders()[receipt.order_link_id]


def test_slow_visibility_never_leads_to_a_second_order(rig: Rig) -> None:
    """An order that queries cannot see for longer than the horizon is refused as a duplicate, then adopted."""
    rig.fault("slow_visibility", args={"seconds": 5}, count=1)
    rig.fault("drop_after", args={}, count=1)
    receipt = rig.gate.submit(order())
    settled(rig, receipt.order_id, State.LIVE)
    assert 1 == rig.exchange_orders()[receipt.order_link_id]


def test_10002_measures_the_clock_and_signs_again(rig: Rig) -> None:
    """10002: the clock is measured and the order signed again; it is no dead letter."""
    rig.fault("ret_code", args={"ret_code": 10002, "ret_msg": "invalid request", "when": "before"}, count=1)
    receipt = rig.gate.submit(order())
    settled(rig, receipt.order_id, State.LIVE)
    assert ["10002", "0"] == codes(rig, receipt.order_id)


@pytest.mark.parametrize("offset_ms", [-8000, 8000])
def test_clock_of_the_exchange_may_step(rig: Rig, offset_ms: int) -> None:
    """Eight seconds apart in either direction: orders still go out, signed with the measured offset."""
    rig.control("clock", offset_ms=offset_ms)
    receipt = rig.gate.submit(order())
    settled(rig, receipt.order_id, State.LIVE)
    assert 1 == rig.exchange_orders()[receipt.order_link_id]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"qty": "0.0105"}, "quantity_off_step"),
        ({"qty": "0.0001"}, "quantity_off_step"),
        ({"symbol": "NOSUCHUSDT"}, "unknown_symbol"),
        ({"settle_coin": "USDC"}, "wrong_settle_coin"),
        ({"price": "600000"}, "risk_limit"),
        ({"price": "59000.05"}, "price_off_tick"),
    ],
)
def test_order_that_bybit_would_refuse_is_a_dead_letter_and_never_sent(
    rig: Rig, fields: dict[str, str], reason: str
) -> None:
    """Gates: no request is spent on an order that cannot pass; its dead letter has cause and fix."""
    receipt = rig.gate.submit(order(**fields))
    settled(rig, receipt.order_id, State.DEAD)
    letter = rig.container.ledger.dead_letter(rig.gate.status(receipt.order_id).order_id)
    assert reason == letter.reason
    assert letter.fix
    assert 0 == rig.exchange_orders()[receipt.order_link_id]


def test_quantity_off_step_is_rounded_down_where_asked(rig: Rig) -> None:
    """on_step=round_down: the order goes out with the largest quantity on the step, never more."""
    receipt = rig.gate.submit(order(qty="0.0129", on_step="round_down"))
    settled(rig, receipt.order_id, State.LIVE)
    [shown] = [o for o in rig.truth("orders")["list"] if o["orderLinkId"] == receipt.order_link_id]
    assert "0.012" == shown["qty"]


def test_insufficient_balance_is_a_dead_letter_and_its_replay_keeps_the_link(rig: Rig) -> None:
    """A refusal becomes a dead letter; replayed smaller it is a new order linked to the first."""
    receipt = rig.gate.submit(order(account="poor", qty="5"))
    settled(rig, receipt.order_id, State.DEAD)
    order_id = rig.gate.status(receipt.order_id).order_id
    letter = rig.container.ledger.dead_letter(order_id)
    assert ("insufficient_balance", "110007") == (letter.reason, letter.code)
    replayed = rig.container.dead_letters.replay(order_id, {"account": "a2", "qty": "0.01"})
    settled(rig, replayed.order_id, State.LIVE)
    assert order_id == rig.gate.status(replayed.order_id).replay_of
    assert not rig.container.ledger.dead_letter(order_id).is_open


def test_unknown_code_is_resolved_then_dead_lettered_with_an_incident(rig: Rig) -> None:
    """A code nobody knows: first find out that nothing is live, then bury it and name the code to a person."""
    rig.fault("ret_code", args={"ret_code": 987654, "ret_msg": "news", "when": "before"}, count=1)
    receipt = rig.gate.submit(order())
    settled(rig, receipt.order_id, State.DEAD)
    letter = rig.container.ledger.dead_letter(rig.gate.status(receipt.order_id).order_id)
    assert ("unknown_code", "987654") == (letter.reason, letter.code)
    assert any(incident.key == "unknown_code:987654" for incident in rig.container.ledger.incidents())


@pytest.mark.parametrize(
    ("account", "code"), [("wrongenv", "10003"), ("readonly", "10005"), ("expired", "33004"), ("bound", "10010")]
)
def test_key_that_cannot_trade_halts_its_account_with_one_page(
    rig: Rig, pages: Pages, account: str, code: str
) -> None:
    """Authentication, permission, expiry, IP binding: the account halts, its orders park, one page."""
    receipts = rig.gate.submit_many([order(account=account) for _ in range(8)])
    for receipt in receipts:
        settled(rig, receipt.order_id, State.PARKED)
    key = f"halt:account:{account}"
    wait_until(lambda: pages.about(key), f"a page about {account}")
    late = rig.gate.submit(order(account=account))
    settled(rig, late.order_id, State.PARKED)
    assert 1 == len(pages.about(key))
    assert code in pages.about(key)[0]["title"]
    assert rig.container.halts.on(account).code == code
    wait_until(
        lambda: f'account_halted{{account="{account}",reason="{code}"}} 1.0' in rig.metrics("s1"), "the gauge"
    )


def test_resume_releases_parked_orders_and_expires_those_past_their_deadline(rig: Rig) -> None:
    """accounts resume: what still may go out goes out, what is too late expires."""
    rig.fault("ret_code", uid=1004, args={"ret_code": 10004, "ret_msg": "error sign!", "when": "before"}, count=1)
    first = rig.gate.submit(order(account="a4"))
    settled(rig, first.order_id, State.PARKED)
    short = rig.gate.submit(order(account="a4", deadline_s=600))
    settled(rig, short.order_id, State.PARKED)
    late = rig.gate.submit(order(account="a4", deadline_s=1))
    settled(rig, late.order_id, State.PARKED, State.EXPIRED)
    settled(rig, late.order_id, State.EXPIRED)
    halt, released = rig.container.halts.resume("a4")
    assert halt is not None
    assert 2 == released
    settled(rig, first.order_id, State.LIVE)
    settled(rig, short.order_id, State.LIVE)


def test_deadline_that_passes_before_sending_expires_the_order(rig: Rig) -> None:
    """An order that cannot go out in time is expired, never sent late."""
    rig.fault("ret_code", uid=1005, args={"ret_code": 10006, "ret_msg": "", "when": "before"}, probability=1.0)
    receipt = rig.gate.submit(order(account="a5", deadline_s=2))
    settled(rig, receipt.order_id, State.EXPIRED)
    assert 0 == rig.exchange_orders()[receipt.order_link_id]


def test_amend_and_cancel_follow_the_order(rig: Rig) -> None:
    """A live order is amended, then cancelled, on the exchange."""
    receipt = rig.gate.submit(order(account="a2"))
    settled(rig, receipt.order_id, State.LIVE)
    rig.gate.amend(receipt.order_id, price="58000", qty="0.02")
    wait_until(lambda: rig.gate.status(receipt.order_id).request.price == 58000, "the amendment")
    rig.gate.cancel(receipt.order_id)
    settled(rig, receipt.order_id, State.CANCELLED)
    [shown] = [o for o in rig.truth("orders")["list"] if o["orderLinkId"] == receipt.order_link_id]
    assert ("58000", "0.02", "Cancelled") == (shown["price"], shown["qty"], shown["orderStatus"])


def test_cancel_of_an_unsent_order_spends_no_request(rig: Rig) -> None:
    """An order that is due later is cancelled in the ledger at once."""
    receipt = rig.gate.submit(order(due_at="2099-01-01T00:00:00Z"))
    assert rig.gate.cancel(receipt.order_id) is None
    assert State.CANCELLED is rig.gate.status(receipt.order_id).state


def test_order_due_later_goes_out_at_its_time(rig: Rig) -> None:
    """due_at: not before it, and then by itself."""
    due = rig.container.clock.now().timestamp() + 2
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(due + 1))
    receipt = rig.gate.submit(order(due_at=stamp))
    live = settled(rig, receipt.order_id, State.LIVE)
    assert live.acked_at >= live.due_at


def test_accept_takes_orders_from_a_foreign_celery_app(rig: Rig) -> None:
    """`sluicegate.accept` by plain send_task: receipt or refusal as result; the same id twice is one order."""
    url = f"redis://127.0.0.1:{rig.port}/0"
    app = Celery(broker=url, backend=url, set_as_current=False)
    content = order(account="a3").to_json()
    first = app.send_task("sluicegate.accept", kwargs={"order": content}).get(timeout=60)
    second = app.send_task("sluicegate.accept", args=[content], queue="orders").get(timeout=60)
    assert (True, True) == (first["accepted"], second["accepted"])
    assert first["order_id"] == second["order_id"]
    settled(rig, first["order_id"], State.LIVE)
    other = app.send_task("sluicegate.accept", args=[{**content, "qty": "0.02"}]).get(timeout=60)
    assert (False, "LedgerConflict") == (other["accepted"], other["error"])
    bad = app.send_task("sluicegate.accept", args=[{**content, "qty": 0.02}]).get(timeout=60)
    assert not bad["accepted"]
    assert "qty" in bad["message"]
    app.close()


def test_failed_call_is_logged_with_everything_a_person_needs(rig: Rig) -> None:
    """retCode, retMsg, account, symbol, side, qty and both ids, in one line."""
    receipt = rig.gate.submit(order(account="poor", qty="7"))
    settled(rig, receipt.order_id, *END_STATES)
    lines = rig.events("w1", "exchange_call_failed")
    [line] = [line for line in lines if line.get("order_link_id") == receipt.order_link_id]
    expected = {"ret_code": "110007", "account": "poor", "symbol": "BTCUSDT", "side": "Buy", "qty": "7"}
    assert expected == {name: line[name] for name in expected}
    assert receipt.order_id == line["order_id"]
    assert line["ret_msg"]


def test_secrets_never_show(rig: Rig) -> None:
    """Neither key nor secret is in a log, in Redis, or in the ledger."""
    client = rig.redis()
    dump = " ".join(rig.log(name) for name in rig.processes if name != "simulator")
    for key in client.scan_iter():
        dump += str(client.dump(key) if client.type(key) == "stream" else key)
    dump += (rig.home / "ledger.db").read_bytes().decode("latin-1")
    dump += " ".join(rig.metrics(name) for name in ("w1", "c1", "s1"))
    assert "sim-secret" not in dump
    assert "sim-key-" not in dump


def test_change_whose_worker_dies_while_sending_is_carried_out_by_another(rig: Rig) -> None:
    """A cancel in the hands of a killed worker is sent again once its first copy can no longer arrive."""
    receipt = rig.gate.submit(order(account="a2"))
    settled(rig, receipt.order_id, State.LIVE)
    rig.fault("drop_before", path="/v5/order/cancel", args={"hang_s": 8}, count=1)
    change = rig.gate.cancel(receipt.order_id)
    assert change is not None
    changes = rig.container.ledger.changes
    wait_until(lambda: changes(change.order_id)[0].state is ChangeState.SUBMITTING, "the cancel is being sent")
    rig.kill("c1")
    rig.start_worker("c1", queue="cancels", wait=False)
    settled(rig, receipt.order_id, State.CANCELLED)


def test_cancel_passes_an_account_that_a_person_halted(rig: Rig) -> None:
    """The stop button stops orders; what is live can still be taken off the exchange."""
    receipt = rig.gate.submit(order(account="a3"))
    settled(rig, receipt.order_id, State.LIVE)
    rig.container.halts.halt_account("a3", code=BY_HAND, message="test", cause="", fix="")
    held = rig.gate.submit(order(account="a3"))
    settled(rig, held.order_id, State.PARKED)
    rig.gate.cancel(receipt.order_id)
    settled(rig, receipt.order_id, State.CANCELLED)
    rig.container.halts.resume("a3")
    settled(rig, held.order_id, State.LIVE)


def test_10006_on_a_query_blocks_its_bucket(rig: Rig) -> None:
    """The bucket is told whatever kind of request met the limit."""
    rig.fault("ret_code", path="/v5/order/realtime", args={"ret_code": 10006, "ret_msg": ""}, count=20)
    rig.gate.submit(order(account="a2"))
    wait_until(
        lambda: any(
            "realtime" in bucket.name and bucket.blocked_for_s > 0 for bucket in rig.container.buckets.states()
        ),
        "the bucket is blocked",
    )


def test_foreign_order_under_our_link_id_waits_for_a_person(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another order got our link id first: neither adopted nor sent over; a page, and a person's word ends it."""
    for name in ("KEY_A2", "SECRET_A2"):
        monkeypatch.setenv(name, rig.environment()[name])
    account = wait_until(lambda: _account(rig, "a2"), "the exchange's clock is measured")
    at = datetime.now(UTC) + timedelta(hours=1)
    receipt = rig.gate.submit(order(account="a2", due_at=at.isoformat()))
    stranger = order(account="a2", price="58000", client_order_id=None)
    account.exchange.place(stranger, receipt.order_link_id, sign_before=at)
    waiting, now = rig.gate.status(receipt.order_id), datetime.now(UTC)
    rig.container.ledger.transition(waiting, Event.DEFERRED, {"due_at": now, "wake_at": now}, {})
    wait_until(lambda: rig.gate.status(receipt.order_id).last_code == "foreign", "a person is asked")
    assert State.IN_DOUBT is rig.gate.status(receipt.order_id).state
    shown = json.loads(rig.cli("orders", "list", "--unsettled", "--json").stdout)
    assert [receipt.order_id] == [item["order_id"] for item in shown]
    said = rig.cli("orders", "settle", receipt.order_id, "--as", "absent", "--note", "a stranger's", "--json")
    assert "dead" == json.loads(said.stdout)["state"]
    assert "settled_absent" in trail(rig, receipt.order_id)
    again = rig.cli("orders", "settle", receipt.order_id, "--as", "live", "--note", "no")
    assert (1, True) == (again.returncode, "does not wait for a person" in again.stderr)
    assert 1 == rig.exchange_orders()[receipt.order_link_id]


def _account(rig: Rig, name: str) -> Account | None:
    try:
        return rig.container.accounts.get(name)
    except ExchangeUnavailable:  # the buckets of a fresh broker are still empty
        return None


def test_wrong_deployment_halts_its_account_by_the_breaker(rig: Rig, pages: Pages) -> None:
    """Orders off their step: some are dead letters, then the account halts and pages; the rest parks."""
    receipts = rig.gate.submit_many([order(account="a5", qty="0.00015") for _ in range(30)])
    ended = Counter(settled(rig, r.order_id, State.DEAD, State.PARKED).state for r in receipts)
    assert ended[State.DEAD] >= 19
    assert ended[State.PARKED] >= 1
    [account] = [a for a in json.loads(rig.cli("accounts", "list", "--json").stdout) if a["name"] == "a5"]
    assert "breaker" == account["halt"]["code"]
    wait_until(lambda: pages.about("halt:account:a5"), "a page")
    assert 0 == rig.cli("accounts", "resume", "a5").returncode


def test_403_stops_everything_from_this_ip(rig: Rig, pages: Pages) -> None:
    """HTTP 403: the IP falls silent for ten minutes; orders wait; one page. Comes last: it silences all."""
    rig.fault("status", args={"status": 403, "when": "before"}, count=1)
    receipt = rig.gate.submit(order())
    deferred = wait_until(
        lambda: (o := rig.gate.status(receipt.order_id)).last_code == "http_403" and o, "the 403 is noted"
    )
    assert 590 < (deferred.due_at - rig.container.clock.now()).total_seconds() < 620
    assert State.ACCEPTED is deferred.state
    late = rig.gate.submit(order(account="a3", deadline_s=3))
    settled(rig, late.order_id, State.EXPIRED)
    other = rig.gate.submit(order(account="a2"))
    held = wait_until(lambda: (o := rig.gate.status(other.order_id)).version > 1 and o, "the other order is held")
    assert (held.due_at - rig.container.clock.now()).total_seconds() > 590
    wait_until(lambda: pages.about("halt:egress:default"), "a page")
    assert 1 == len(pages.about("halt:egress:default"))
