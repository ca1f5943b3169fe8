"""Positions, balances and the state of a stream are stored as seen last."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from ledger_cases import NOON, accept, new_order

from sluicegate.domain.holdings import AccountEvent, AccountView, Balance, Position
from sluicegate.domain.lifecycle import Event
from sluicegate.domain.orders import Category
from sluicegate.ledger.repository import SqlLedger


def position(size: str, *, symbol: str = "BTCUSDT", side: str = "Buy", at: int = 1000) -> Position:
    """Return a position."""
    return Position(
        "linear", symbol, 0, side if Decimal(size) else "", Decimal(size), Decimal(60000), updated_ms=at
    )


def test_positions_are_kept_as_seen_last(ledger: SqlLedger) -> None:
    """A later word replaces an earlier one, an earlier one that comes late is dropped, a flat one is not shown."""
    assert 2 == ledger.set_positions("main", [position("1"), position("2", symbol="ETHUSDT")])
    assert 1 == ledger.set_positions("main", [position("3", side="Sell", at=2000)])
    assert 0 == ledger.set_positions("main", [position("1", at=1500)])
    assert 1 == ledger.set_positions("main", [position("0", symbol="ETHUSDT", at=3000)])

    assert [("main", position("3", side="Sell", at=2000))] == ledger.positions("main")
    assert Decimal(-3) == ledger.positions()[0][1].net


def test_complete_positions_flatten_those_that_are_not_listed(ledger: SqlLedger) -> None:
    """A whole list says of every other position that there is none."""
    ledger.set_positions("main", [position("1"), position("2", symbol="ETHUSDT")], complete_ms=1000)

    assert 0 == ledger.set_positions("main", [position("2", symbol="ETHUSDT")], complete_ms=999)  # a late answer
    assert 1 == ledger.set_positions("main", [position("2", symbol="ETHUSDT")], complete_ms=1000)

    assert ["ETHUSDT"] == [shown.symbol for _account, shown in ledger.positions("main")]


def test_balances_are_kept_as_seen_last(ledger: SqlLedger) -> None:
    """Newer balances replace older ones; a whole list removes what it lacks."""
    usdt, btc = Balance("USDT", Decimal(100), Decimal("100.5")), Balance("BTC", Decimal("0.1"), Decimal("0.1"))
    ledger.set_balances("main", [usdt, btc], at_ms=1000, complete=True)
    ledger.set_balances("main", [Balance("USDT", Decimal(1), Decimal(1))], at_ms=999, complete=False)
    assert [("main", btc), ("main", usdt)] == ledger.balances()

    ledger.set_balances("main", [usdt], at_ms=2000, complete=True)

    assert [("main", usdt)] == ledger.balances("main")


def test_view_of_an_older_holder_is_dropped(ledger: SqlLedger) -> None:
    """Who lost an account's stream does not overwrite what its successor knows."""
    assert AccountView("main") == ledger.view("main")
    younger = AccountView("main", fence=2, stream_at=NOON, event_ms=7, positions_at=NOON)
    assert ledger.update_view(younger)

    assert not ledger.update_view(AccountView("main", fence=1))

    assert younger == ledger.view("main")


def test_comparison_is_taken_once_and_asked_for_sooner(ledger: SqlLedger) -> None:
    """A comparison goes to one scheduler; whoever wants one sooner says so."""
    again_at = NOON + timedelta(seconds=30)
    assert ledger.take_reconcile(NOON, account="main", again_at=again_at)
    assert not ledger.take_reconcile(NOON, account="main", again_at=again_at)

    ledger.ask_reconcile("main", NOON)

    assert ledger.take_reconcile(NOON, account="main", again_at=again_at)
    ledger.set_doubts("main", {"x": 1})
    assert ({"x": 1}, {}) == (ledger.doubts("main"), ledger.doubts("other"))


def test_events_of_accounts_are_kept_in_order(ledger: SqlLedger) -> None:
    """The newest are shown, oldest first, of one account or of all."""
    events = [
        AccountEvent(name, NOON + timedelta(seconds=number), "difference", {"kind": "position", "number": number})
        for number, name in enumerate(("main", "other", "main"))
    ]
    for event in events:
        ledger.note_account(event)

    assert events == ledger.account_events()
    assert [events[0], events[2]] == ledger.account_events("main")
    assert [events[2]] == ledger.account_events(limit=1)


def test_exposure_counts_what_may_still_trade(ledger: SqlLedger) -> None:
    """Sent orders count, and accepted ones that are ahead; ended, later and reduce-only ones do not."""
    first, second, sell, closing, third = accept(
        ledger,
        new_order(qty="1"),
        new_order(qty="2"),
        new_order(qty="4", side="Sell"),
        new_order(qty="8", side="Sell", reduce_only=True),
        new_order(qty="16"),
    )
    for order in (second, sell, closing):
        ledger.transition(order, Event.SEEN_PARTIALLY_FILLED, {"cum_exec_qty": Decimal("0.5")}, {})
    accept(ledger, new_order(qty="32"), new_order(qty="64", symbol="ETHUSDT"), new_order(qty="64", account="b"))

    assert (Decimal("2.5"), Decimal("3.5")) == ledger.exposure(
        "main", Category.LINEAR, "BTCUSDT", before=third.order_id
    )
    ledger.transition(first, Event.CANCELLED_UNSENT, {}, {})
    assert (Decimal("1.5"), Decimal("3.5")) == ledger.exposure(
        "main", Category.LINEAR, "BTCUSDT", before=third.order_id
    )


def test_what_traded_behind_a_position_is_told_by_account_and_symbol(ledger: SqlLedger) -> None:
    """Fills count, and orders that ended on the exchange; acknowledgements and other symbols do not."""
    one, other, gone = accept(ledger, new_order(), new_order(symbol="ETHUSDT"), new_order())

    def traded_after(position: int, account: str = "main") -> bool:
        return ledger.traded_after(position, account, Category.LINEAR, "BTCUSDT")

    start = ledger.last_position()
    live = ledger.transition(one, Event.SEEN_OPEN, {}, {})
    lost = ledger.transition(gone, Event.SEEN_OPEN, {}, {})
    ledger.transition(other, Event.SEEN_FILLED, {"cum_exec_qty": Decimal(1)}, {})
    assert live is not None
    assert lost is not None
    assert not traded_after(start)

    ledger.transition(live, Event.SEEN_PARTIALLY_FILLED, {"cum_exec_qty": Decimal("0.5")}, {})
    assert (True, False) == (traded_after(start), traded_after(start, "b"))
    filled = ledger.last_position()
    assert not traded_after(filled)

    ledger.transition(lost, Event.SEEN_CANCELLED, {}, {})
    assert traded_after(filled)


def test_events_after_continue_where_a_reader_stopped(ledger: SqlLedger) -> None:
    """Every event has a position; reading on from it misses and repeats nothing."""
    [one] = accept(ledger, new_order())
    [other] = accept(ledger, new_order(account="b"))
    ledger.transition(one, Event.CLAIMED, {}, {})

    everything = ledger.events_after(0, limit=10)
    assert [("main", "accepted"), ("b", "accepted"), ("main", "claimed")] == [
        (update.account, update.event.event) for update in everything
    ]
    assert everything[2:] == ledger.events_after(everything[1].position, limit=10)
    assert other.order_id == everything[1].event.order_id
    assert everything[-1].position == ledger.last_position()
