"""The matcher: what becomes of an order after its acknowledgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from simulator.accounts import Account, Position
from simulator.clock import Clock
from simulator.feed import Feed
from simulator.instruments import ZERO, Instrument
from simulator.margin import Margin
from simulator.market import Market
from simulator.orders import Execution, Order, Status, Trigger
from simulator.settlement import Settlement
from simulator.wire import Refusal

Later = Callable[[Callable[[], None]], None]


class Matching:
    """Trade orders against the synthetic book.

    Orders, cancels and amends are acknowledged elsewhere and take effect here, in the order of their arrival,
    after the delay that `later` imposes.

    Args:
        market: Prices.
        clock: The exchange's clock.
        margin: Holdings of open orders.
        accounts: All accounts by UID; shared with the rest of the exchange.
        later: Runs a step after the matching delay, first in, first out.
        feed: Is told every change.
    """

    def __init__(
        self,
        market: Market,
        clock: Clock,
        margin: Margin,
        accounts: Mapping[int, Account],
        later: Later,
        feed: Feed,
    ) -> None:
        self._market = market
        self._clock = clock
        self._margin = margin
        self._settlement = Settlement(clock, margin)
        self._accounts = accounts
        self._later = later
        self._feed = feed
        self._resting: dict[Instrument, dict[str, Order]] = {}
        self.on_fill: Callable[[Account, Order], None] = lambda _account, _order: None
        self.on_flat: Callable[[Account, Order], None] = lambda _account, _order: None

    def submit(self, order: Order) -> None:
        """Let an acknowledged order reach the book."""
        self._later(lambda: self._arrive(order))

    def cancel(self, order: Order) -> None:
        """Let an acknowledged cancel take effect."""
        self._later(lambda: self.end(order, cancel_type="CancelByUser", reason="EC_PerCancelRequest"))

    def amend(self, order: Order, change: Mapping[str, Decimal], extra: Mapping[str, str]) -> None:
        """Let an acknowledged amend take effect; `change` may carry qty, price and trigger_price."""
        self._later(lambda: self._amend(order, change, extra))

    def end(self, order: Order, *, cancel_type: str, reason: str = "EC_NoError") -> None:
        """Cancel what is left of an order; nothing happens if it has ended already."""
        if not order.is_open:
            return
        if order.is_waiting:
            status = Status.DEACTIVATED
        elif order.has_executed and order.category == "spot":
            status = Status.PARTIALLY_FILLED_CANCELLED
        else:
            status = Status.CANCELLED
        order.cancel_type = cancel_type
        order.reject_reason = reason
        self._close(order, status)

    def market_moved(self, instrument: Instrument, volume: Decimal | None = None) -> None:
        """React to a new last price: set off triggers, then fill the resting orders it reached.

        Args:
            instrument: Whose price moved.
            volume: How much traded at the new price; None for enough to fill everything.
        """
        last = self._market.last(instrument)
        for order in list(self._resting.get(instrument, {}).values()):
            if order.trigger and order.status == Status.UNTRIGGERED and order.trigger.is_met(last):
                self._set_off(order)
        reached = [order for order in self._resting.get(instrument, {}).values() if _is_reached(order, last)]
        reached.sort(key=lambda order: -order.price if order.is_buy else order.price)
        for order in reached:
            if volume is not None and volume <= 0:
                return
            if not order.is_open:
                continue
            qty = order.remaining if volume is None else min(order.remaining, volume)
            self._fill(order, order.price, qty, is_maker=True)
            volume = None if volume is None else volume - qty

    def charge_funding(self, account: Account, position: Position, rate: Decimal) -> Execution:
        """Book the funding fee of a position: longs pay shorts while the rate is positive."""
        execution = self._settlement.fund(account, position, self._market.last(position.instrument), rate)
        self._feed.executed(account, execution)
        return execution

    def _account(self, order: Order) -> Account:
        return self._accounts[order.uid]

    def _arrive(self, order: Order) -> None:
        if order.status != Status.CREATED:
            return
        if order.trigger is not None:
            order.status = Status.UNTRIGGERED
            self._rest(order)
            return
        order.status = Status.NEW
        self._enter(order)

    def _set_off(self, order: Order) -> None:
        """Turn a conditional order into a plain one; one that cannot be paid for is cancelled."""
        account = self._account(order)
        self._leave(order)
        account.triggered(order)
        order.status = Status.TRIGGERED
        order.updated_ms = self._clock.now_ms()
        account.recount(order)
        self._feed.order_changed(account, order)
        order.status = Status.NEW
        try:
            self._margin.hold(account, order)
        except Refusal:
            self.end(order, cancel_type="CancelByUser", reason="EC_Others")
            return
        self._enter(order)

    def _enter(self, order: Order) -> None:
        """Trade a plain order against the touch and rest, or end, what is left."""
        if order.reduce_only and not self._fit_to_position(order):
            return
        touch = self._market.touch(order.instrument)
        price = touch.ask if order.is_buy else touch.bid
        is_market = order.kind == "Market"
        if is_market and self._market.depth(order.instrument) == 0:
            order.reject_reason = "EC_NoImmediateQtyToFill"
            self._close(order, Status.REJECTED)
            return
        crosses = is_market or (order.price >= price if order.is_buy else order.price <= price)
        if crosses and order.tif == "PostOnly":
            self.end(order, cancel_type="CancelByUser", reason="EC_PostOnlyWillTakeLiquidity")
            return
        if crosses:
            self._take(order, price)
        if not order.is_open:
            return
        if is_market or order.tif in ("IOC", "FOK"):
            reason = "EC_CancelForNoFullFill" if order.tif == "FOK" else "EC_NoImmediateQtyToFill"
            self.end(order, cancel_type="UNKNOWN", reason=reason)
            return
        self._rest(order)

    def _take(self, order: Order, price: Decimal) -> None:
        qty = order.remaining
        if order.by_quote:
            qty = order.remaining / price // order.instrument.step * order.instrument.step
        depth = self._market.depth(order.instrument)
        available = qty if depth is None else min(qty, depth)
        if order.tif == "FOK" and available < qty:
            return
        if available > 0:
            self._fill(order, price, available, is_maker=False)
        if order.is_open and order.by_quote and depth is None:
            self._close(order, Status.FILLED)  # what is left of the amount buys less than one step

    def _fit_to_position(self, order: Order) -> bool:
        """Shrink a reduce-only order to its position; without a position it ends."""
        closable = (
            self._account(order).position(order.instrument, order.position_idx).closable(is_buy=order.is_buy)
        )
        if closable <= 0:
            self.end(order, cancel_type="CancelByReduceOnly")
            return False
        if order.remaining > closable:
            order.qty = order.executed_qty + closable
        return True

    def _fill(self, order: Order, price: Decimal, qty: Decimal, *, is_maker: bool) -> None:
        account = self._account(order)
        if order.reduce_only:
            if not self._fit_to_position(order):
                return
            qty = min(qty, order.remaining)
        execution = self._settlement.fill(account, order, price, qty, is_maker=is_maker)
        self._feed.executed(account, execution)
        if order.remaining <= 0:
            self._close(order, Status.FILLED)
        else:
            order.status = Status.PARTIALLY_FILLED
            self._feed.order_changed(account, order)
        if execution.closed_size and not account.position(order.instrument, order.position_idx).net:
            self._clear_reduce_only(order)
            self.on_flat(account, order)
        elif order.category != "spot":
            self.on_fill(account, order)

    def _clear_reduce_only(self, closing: Order) -> None:
        """End the reduce-only orders that have nothing left to reduce."""
        for order in list(self._resting.get(closing.instrument, {}).values()):
            same = order.uid == closing.uid and order.position_idx == closing.position_idx
            if same and order is not closing and order.reduce_only:
                kind = "CancelByTpSlTsClear" if order.is_waiting else "CancelByReduceOnly"
                self.end(order, cancel_type=kind)

    def _amend(self, order: Order, change: Mapping[str, Decimal], extra: Mapping[str, str]) -> None:
        if not order.is_open:
            return
        if extra:
            order.extra = {**(order.extra or {}), **extra}
        order.updated_ms = self._clock.now_ms()
        if order.trigger and "trigger_price" in change:
            order.trigger = Trigger(change["trigger_price"], order.trigger.rising, order.trigger.by)
        self._change_size(order, change)
        self._feed.order_changed(self._account(order), order)

    def _change_size(self, order: Order, change: Mapping[str, Decimal]) -> None:
        """Give an order its new quantity and price, unless it has filled beyond it or cannot be paid for."""
        qty, price = change.get("qty", order.qty), change.get("price", order.price)
        if (qty, price) == (order.qty, order.price) or qty <= order.executed_qty:
            return
        before = order.qty, order.price
        order.qty, order.price = qty, price
        if order.is_waiting and not order.held:
            return
        try:
            self._margin.hold(self._account(order), order)
        except Refusal:
            order.qty, order.price = before
            return
        if not order.is_waiting and (price != before[1] or qty > before[0]):
            self._leave(order)
            self._enter(order)

    def _rest(self, order: Order) -> None:
        self._resting.setdefault(order.instrument, {})[order.id] = order
        self._feed.order_changed(self._account(order), order)

    def _leave(self, order: Order) -> None:
        self._resting.get(order.instrument, {}).pop(order.id, None)

    def _close(self, order: Order, status: Status) -> None:
        account = self._account(order)
        account.close(order)
        order.status = status
        order.updated_ms = self._clock.now_ms()
        self._leave(order)
        self._margin.release(account, order)
        self._feed.order_changed(account, order)


def _is_reached(order: Order, last: Decimal) -> bool:
    if order.status not in (Status.NEW, Status.PARTIALLY_FILLED) or order.remaining <= ZERO:
        return False
    return order.price >= last if order.is_buy else order.price <= last
