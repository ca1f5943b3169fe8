"""The stream process: fills in the ledger at once, and nothing missed whatever happens to the connection."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from sluicegate import OrderRequest
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import OrderId
from tests.rig import Rig, running, wait_until

NEVER = datetime.min.replace(tzinfo=UTC)
LINEAR = {"account": "a1", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Limit"}


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """Run one stack with two stream processes, which notice silence soon."""
    settings = {
        "STREAM__PING_INTERVAL_S": "2",
        "STREAM__PONG_TIMEOUT_S": "2",
        "STREAM__STALE_S": "6",
        "STREAM__LEASE_S": "2",
        "STREAM__GLANCE_S": "600",
        "STREAM__LOOK_S": "600",
        "SCHEDULER__RECONCILE_INTERVAL_S": "3",
        "ACCOUNTS__A2__RISK__MAX_POSITION": '{"ETHUSDT": "1"}',
    }
    accounts = {"a1": "1001", "a2": "1002", "wrongenv": "mainnet"}
    with running(tmp_path_factory.mktemp("stream"), workers=1, settings=settings, accounts=accounts) as stack:
        for name in ("st1", "st2"):
            stack.start_stream(name, wait=False)
        for name in ("st1", "st2"):
            stack.await_ready(name)
        up(stack)
        yield stack


def up(rig: Rig, account: str = "a1") -> str:
    """Wait until an account's stream is up; return the process that holds it."""

    def holder() -> str | None:
        line = f'sluicegate_stream_up{{account="{account}"}} 1.0'
        return next((name for name in rig.processes if name[:2] == "st" and line in rig.metrics(name)), None)

    return str(wait_until(holder, f"the stream of {account} is up"))


def rest(rig: Rig, count: int, price: str = "59000", **fields: Any) -> list[str]:
    """Place orders that rest and wait until they are live."""
    requests = [OrderRequest.model_validate({**LINEAR, "qty": "0.01", "price": price, **fields})] * count
    placed = [rig.gate.submit(request).order_id for request in requests]
    for order_id in placed:
        wait_until(lambda order_id=order_id: rig.gate.status(order_id).state is State.LIVE, "it is live")
    return placed


def fill(rig: Rig, price: str = "58000") -> None:
    """Let the market come to resting buys, and go back."""
    rig.control("market", symbol="BTCUSDT", price=price)
    rig.control("market", symbol="BTCUSDT", price="60000")


def await_filled(rig: Rig, orders: Sequence[str]) -> None:
    """Wait until orders are filled in the ledger, with all their fills."""

    def are_filled() -> bool:
        return all(rig.gate.status(order_id).state is State.FILLED for order_id in orders)

    wait_until(are_filled, "the orders are filled")
    wait_until(lambda: all(rig.container.ledger.executions(OrderId(o)) for o in orders), "the fills are there")


def assert_as_on_the_exchange(rig: Rig, orders: Sequence[str]) -> None:
    """Quantities, averages, fees and executions of the ledger are those of the exchange, to the last digit."""
    truth = {order["orderLinkId"]: order for order in rig.truth("orders?uid=1001")["list"]}
    for order_id in orders:
        order, shown = rig.gate.status(order_id), truth[f"sg-{order_id}"]
        assert (order.cum_exec_qty, order.avg_price) == (Decimal(shown["cumExecQty"]), Decimal(shown["avgPrice"]))
        fills = rig.container.ledger.executions(OrderId(order_id))
        expected = {
            (fill["execId"], Decimal(fill["execQty"]), Decimal(fill["execPrice"]), Decimal(fill["execFee"]))
            for fill in shown["executions"]
        }
        assert expected == {(fill.exec_id, fill.qty, fill.price, fill.fee) for fill in fills}


def ender(rig: Rig, order_id: str) -> str:
    """Return which kind of process wrote that an order was filled."""
    events = rig.container.ledger.events(OrderId(order_id))
    return next(event.actor for event in events if event.event == "seen_filled").partition("@")[0]


def test_fills_come_through_the_stream(rig: Rig) -> None:
    """The stream ends orders by itself, as the exchange has them; positions and balances follow."""
    before = sum(p.net for _account, p in rig.container.ledger.positions("a1"))
    orders = rest(rig, 5)
    fill(rig)

    await_filled(rig, orders)

    assert ["stream"] * 5 == [ender(rig, order_id) for order_id in orders]
    assert_as_on_the_exchange(rig, orders)

    def position() -> Decimal:
        return sum((p.net for _account, p in rig.container.ledger.positions("a1")), Decimal(0))

    wait_until(lambda: position() == before + Decimal("0.05"), "the position is known")
    assert any(balance.coin == "USDT" for _account, balance in rig.container.ledger.balances("a1"))
    assert [] == rig.events("s1", "ledger_differs")  # the comparisons that went on meanwhile raised no alarm


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ({"action": "silence"}, "silent"),
        ({"action": "close"}, "closed"),
        ({"action": "close", "code": 1001, "seconds": 3}, "closed"),
    ],
    ids=["silence", "close", "close-and-refuse"],
)
def test_lost_connection_is_noticed_and_its_gap_filled(rig: Rig, action: dict[str, Any], reason: str) -> None:
    """What happens while nobody listens is in the ledger after the next connect."""
    orders = rest(rig, 4)
    holder = up(rig)
    gaps = len(rig.events(holder, "stream_gap_filled"))
    rig.control("stream", uid=1001, **action)
    fill(rig)

    wait_until(lambda: len(rig.events(holder, "stream_gap_filled")) > gaps, "the gap is filled")

    await_filled(rig, orders)
    assert_as_on_the_exchange(rig, orders)
    assert reason in {event["reason"] for event in rig.events(holder, "stream_ended")}
    filled = rig.events(holder, "stream_gap_filled")[-1]
    assert filled["fills"] >= 4  # shown again; on a busy machine a look by REST may have written them before
    assert filled["seconds"] < 30


def test_stream_that_answers_pings_and_says_nothing_is_noticed(rig: Rig) -> None:
    """Pongs prove a connection, not its topics: an acknowledged order without an event gives them away."""
    holder = up(rig)
    rig.control("stream", action="silence", uid=1001, answers=True)
    orders = rest(rig, 1)  # live by its acknowledgement

    wait_until(
        lambda: "stale" in {event["reason"] for event in rig.events(holder, "stream_ended")}, "it is found stale"
    )
    fill(rig)

    await_filled(rig, orders)
    assert_as_on_the_exchange(rig, orders)


def test_stream_that_is_silent_while_resting_orders_trade_is_noticed(rig: Rig) -> None:
    """Nothing new is acknowledged: the comparison that finds the fills gives a dead stream away."""
    holder = up(rig)
    orders = rest(rig, 2)
    shown_until = rig.container.clock.now() + timedelta(seconds=300)  # what a stream has shown rests for 600 s

    def are_shown() -> bool:
        return all((rig.gate.status(order_id).wake_at or NEVER) > shown_until for order_id in orders)

    wait_until(are_shown, "the stream has shown them")
    rig.control("stream", action="silence", uid=1001, answers=True)
    fill(rig)

    def is_given_away() -> bool:
        ends = rig.events(holder, "stream_ended")
        return any(end["reason"] == "stale" and "comparison" in end["error"] for end in ends)

    wait_until(is_given_away, "it is found stale")
    await_filled(rig, orders)
    assert up(rig)


def test_account_of_a_killed_process_is_taken_over(rig: Rig) -> None:
    """Another process follows within seconds; what happened in between is not lost."""
    holder = up(rig)
    orders = rest(rig, 3)
    taken = {name: len(rig.events(name, "stream_taken")) for name in ("st1", "st2")}
    rig.kill(holder)
    fill(rig)

    await_filled(rig, orders)

    other = "st2" if holder == "st1" else "st1"
    assert other == up(rig)
    assert len(rig.events(other, "stream_taken")) > taken[other]
    assert_as_on_the_exchange(rig, orders)
    rig.start_stream(holder)


def test_lost_doubled_and_reordered_events_lead_to_the_same_ledger(rig: Rig) -> None:
    """Single events may be lost, doubled and late: looks and missing fills bring the rest."""
    for topic in ("order", "execution"):
        for fault, probability in (("lose_event", 0.3), ("duplicate_event", 0.3), ("reorder_events", 0.3)):
            rig.control("faults", match={"topic": topic, "uid": 1001}, fault=fault, probability=probability)
    try:
        orders = rest(rig, 12)
        fill(rig)
        await_filled(rig, orders)
    finally:
        rig.clear_faults()
    wait_until(
        lambda: all(
            sum(f.qty for f in rig.container.ledger.executions(OrderId(o))) == Decimal("0.01") for o in orders
        ),
        "every fill is there",
    )
    assert_as_on_the_exchange(rig, orders)


def test_orders_of_others_are_seen_and_not_adopted(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An order placed beside Sluicegate has its own table; no order of ours changes by it."""
    for name in ("KEY_A1", "SECRET_A1"):
        monkeypatch.setenv(name, rig.environment()[name])
    count = sum(rig.states().values())
    request = OrderRequest.model_validate({**LINEAR, "qty": "0.02", "price": "59000"})
    account = rig.container.accounts.get("a1")
    deadline = rig.container.clock.now().replace(year=2100)
    placed = account.exchange.place(request, "theirs-1", sign_before=deadline)  # type: ignore[arg-type]
    assert placed.signed_at_ms

    wait_until(
        lambda: ["theirs-1"] == [o.link_id for o in rig.container.ledger.foreign_open("a1")], "it is seen open"
    )
    fill(rig)

    wait_until(lambda: rig.container.ledger.foreign_open("a1") == [], "it is seen filled")
    assert count == sum(rig.states().values())


def test_children_of_an_order_are_linked_to_it(rig: Rig) -> None:
    """Take profit and stop loss name their parent, and end with it in a gap of the stream, too."""
    (order_id,) = rest(rig, 1, take_profit="70000", stop_loss="50000")
    fill(rig)
    await_filled(rig, [order_id])

    children = wait_until(lambda: rig.container.ledger.children(OrderId(order_id)), "its children are known")

    assert {"TakeProfit", "StopLoss"} >= {child.stop_order_type for child in children}

    rig.control("stream", action="close", uid=1001, seconds=3)
    fill(rig, "75000")
    wait_until(lambda: rig.container.ledger.foreign_open("a1") == [], "what ended in the gap is closed")
    ended = {child.stop_order_type: child.status for child in rig.container.ledger.children(OrderId(order_id))}
    assert "Filled" == ended["TakeProfit"]


def test_refused_authentication_halts_the_account(rig: Rig) -> None:
    """A key of another environment halts its account, found out by REST, and the stream waits for the resume."""
    halts = wait_until(lambda: rig.container.ledger.halts(["account:wrongenv"]), "the account is halted")
    assert ["10003"] == [halt.code for halt in halts]


def test_comparison_finds_what_the_stream_never_told(rig: Rig) -> None:
    """Every event is lost: ledger and exchange are compared, and the ledger follows."""
    (order_id,) = rest(rig, 1)
    for topic in ("order", "execution", "position"):
        rig.control("faults", match={"topic": topic, "uid": 1001}, fault="lose_event")
    try:
        fill(rig)
        await_filled(rig, [order_id])
    finally:
        rig.clear_faults()
    assert_as_on_the_exchange(rig, [order_id])
    assert {"difference"} & {event.event for event in rig.container.ledger.events(OrderId(order_id))}


def test_order_under_our_link_id_that_nobody_knows_is_an_incident_until_it_is_gone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A difference that two comparisons find and nobody can explain pages; it resolves itself."""
    for name in ("KEY_A1", "SECRET_A1"):
        monkeypatch.setenv(name, rig.environment()[name])
    request = OrderRequest.model_validate({**LINEAR, "qty": "0.02", "price": "59000"})
    exchange = rig.container.accounts.get("a1").exchange
    deadline = rig.container.clock.now().replace(year=2100)
    exchange.place(request, "sg-of-another-ledger", sign_before=deadline)  # type: ignore[arg-type]
    key = "reconcile:a1:order:sg-of-another-ledger"

    def is_open() -> bool:
        return key in {incident.key for incident in rig.container.ledger.incidents()}

    wait_until(is_open, "the incident is open")
    fill(rig)

    wait_until(lambda: not is_open(), "the incident is over")


def test_position_limit_counts_what_is_held_and_what_may_trade(rig: Rig) -> None:
    """An order that could make a position too large is denied, whether the rest is filled or resting."""

    def placed(name: str, **fields: Any) -> State:
        given = {**LINEAR, "account": "a2", "symbol": "ETHUSDT", "client_order_id": name, **fields}
        receipt = rig.gate.submit(OrderRequest.model_validate(given))
        ends = [State.LIVE, State.PARTIALLY_FILLED, State.FILLED, State.DEAD]
        return rig.gate.wait(receipt.order_id, timeout_s=90, until=ends).state

    price = "2000"
    assert State.LIVE is placed("rests", qty="0.6", price=price)
    assert State.DEAD is placed("too-much", qty="0.5", price=price)
    assert State.LIVE is placed("fits", qty="0.4", price=price)
    assert State.DEAD is placed("nothing-to-reduce", qty="0.4", price=price, reduce_only=True)
    letters = rig.container.ledger.dead_letters(account="a2")
    assert {"risk_limit", "position_state"} == {letter.reason for letter in letters}


def test_producer_follows_events_from_where_it_stopped(rig: Rig) -> None:
    """The stream of events has every event of an order once, in order, and goes on behind a position."""
    start = rig.container.ledger.last_position()
    (order_id,) = rest(rig, 1)
    fill(rig)
    await_filled(rig, [order_id])

    told = [u for u in rig.gate.stream(after=start, accounts=["a1"], idle_s=4) if u.event.order_id == order_id]

    events = rig.container.ledger.events(OrderId(order_id))
    assert [event.event for event in events] == [update.event.event for update in told]
    rest_of_it = [u for u in rig.gate.stream(after=told[1].position, idle_s=4) if u.event.order_id == order_id]
    assert told[2:] == rest_of_it


def test_commands_show_holdings_and_follow_orders(rig: Rig) -> None:
    """Positions, balances and events on the command line, as JSON too."""
    held = json.loads(rig.cli("positions", "--account", "a1", "--json").stdout)
    assert {"linear"} == {position["category"] for position in held}
    assert "USDT" in rig.cli("balances").stdout
    assert 2 == rig.cli("positions", "--account", "nobody").returncode

    command = [sys.executable, "-m", "sluicegate.cli", "orders", "list", "--follow", "--after", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=rig.environment(), text=True) as following:
        assert following.stdout is not None
        line = json.loads(following.stdout.readline())
        following.terminate()
    assert ("accepted", 1) == (line["event"], line["position"])
