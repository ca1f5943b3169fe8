"""Risk limits of an account hold for orders, for whole batches, and for amendments of live orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import OrderId, OrderRequest
from sluicegate.domain.records import ChangeState
from tests.rig import PATIENCE_S, Rig, running, wait_until

LIMITS = {
    "ACCOUNTS__A1__RISK__MAX_QTY": "0.02",
    "ACCOUNTS__A1__RISK__MAX_NOTIONAL": "700",
    "ACCOUNTS__A1__RISK__PRICE_COLLAR": "0.05",
    "ACCOUNTS__A2__RISK__MAX_ORDERS_PER_MINUTE": "10",
    "ACCOUNTS__A3__RISK__MAX_POSITION": '{"ETHUSDT": "1"}',
}


def order(name: str, **fields: Any) -> OrderRequest:
    """Return a small order that rests, changed by `fields`."""
    given = {"account": "a1", "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "order_type": "Limit"}
    given |= {"qty": "0.01", "price": "59000", "client_order_id": name}
    return OrderRequest.model_validate({**given, **fields})


def refused(rig: Rig, order_id: str, **fields: str) -> None:
    """Ask for an amendment and wait until it is refused for a risk limit."""
    change = rig.gate.amend(order_id, **fields)
    assert change is not None

    def answer() -> Any:
        last = rig.container.ledger.changes(change.order_id)[-1]
        return last if last.state is ChangeState.REFUSED else None

    assert "risk_limit" == wait_until(answer, "the amendment is refused").last_code


def buy_one_after_another(rig: Rig, account: str, symbol: str, times: int) -> list[State]:
    """Buy 0.6 at the market, each time as soon as the ledger knows that the last order is filled."""
    ends = []
    for i in range(times):
        fields = {"account": account, "symbol": symbol, "order_type": "Market", "qty": "0.6", "price": None}
        receipt = rig.gate.submit(order(f"next-{symbol}-{i}", **fields))
        wanted = [State.FILLED, State.DEAD]
        ends.append(rig.gate.wait(receipt.order_id, timeout_s=PATIENCE_S, until=wanted).state)
    return ends


def test_risk_limits_hold_for_orders_batches_and_amendments(tmp_path: Path) -> None:
    """No way around a limit: not by amending, not by selling below the market, not by a batch, not by haste."""
    with running(tmp_path, workers=1, settings=LIMITS) as rig:
        live = rig.gate.submit(order("live"))
        rig.gate.wait(live.order_id, timeout_s=PATIENCE_S, until=[State.LIVE])
        refused(rig, live.order_id, qty="5")
        refused(rig, live.order_id, price="31000")
        below = rig.gate.submit(order("below", side="Sell", qty="0.012", price="57500"))
        rig.gate.wait(below.order_id, timeout_s=PATIENCE_S, until=[State.DEAD])
        [shown] = rig.truth("orders?uid=1001")["list"]
        assert ("0.01", "59000") == (shown["qty"], shown["price"])

        many = rig.gate.submit_many([order(f"many-{i}", account="a2") for i in range(11)])
        states = [
            rig.gate.wait(receipt.order_id, timeout_s=PATIENCE_S, until=[State.LIVE, State.DEAD]).state
            for receipt in many
        ]
        assert [State.LIVE] * 10 + [State.DEAD] == states

        assert [State.FILLED, State.DEAD, State.DEAD] == buy_one_after_another(rig, "a3", "ETHUSDT", 3)


def test_position_limit_holds_when_a_stream_that_is_up_loses_positions(tmp_path: Path) -> None:
    """A fill that the stream showed without its position counts at once; unknown, the position stops orders."""
    settings = {"ACCOUNTS__A1__RISK__MAX_POSITION": '{"ETHUSDT": "1"}'}
    with running(tmp_path, workers=1, settings=settings, accounts={"a1": "1001"}) as rig:
        rig.start_stream("st1")
        wait_until(lambda: rig.events("st1", "stream_gap_filled"), "the stream is up")
        rig.control("faults", match={"topic": "position", "uid": 1001}, fault="lose_event")

        assert [State.FILLED, State.DEAD, State.DEAD] == buy_one_after_another(rig, "a1", "ETHUSDT", 3)

        [held] = [row for row in rig.truth("orders?uid=1001")["list"] if row["cumExecQty"] != "0"]
        assert "0.6" == held["cumExecQty"]

        part = rig.gate.submit(order("part", symbol="ETHUSDT", order_type="Market", qty="0.1", price=None))
        rig.gate.wait(part.order_id, timeout_s=PATIENCE_S, until=[State.FILLED])
        rig.fault("drop_before", path="/v5/position/list*", probability=1)
        less = order("less", symbol="ETHUSDT", order_type="Market", qty="0.3", price=None)
        waits = rig.gate.submit(less).order_id

        def is_put_off() -> bool:
            return bool(
                {"deferred", "backed_off"} & {event.event for event in rig.container.ledger.events(OrderId(waits))}
            )

        wait_until(is_put_off, "an order whose position nobody tells waits")
        assert 2 == len(rig.truth("orders?uid=1001")["list"])
        rig.clear_faults()
        assert State.FILLED is rig.gate.wait(waits, timeout_s=PATIENCE_S, until=[State.FILLED, State.DEAD]).state
