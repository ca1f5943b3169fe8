"""Take profit and stop loss of positions: conditional orders that the exchange places itself."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from simulator.accounts import Account, Position
from simulator.instruments import ZERO
from simulator.orders import Order, Trigger

if TYPE_CHECKING:
    from simulator.exchange import Exchange

_CREATED_BY = {
    "TakeProfit": "CreateByTakeProfit",
    "StopLoss": "CreateByStopLoss",
    "PartialTakeProfit": "CreateByPartialTakeProfit",
    "PartialStopLoss": "CreateByPartialStopLoss",
}


class Stops:
    """Keep the protective orders of positions.

    A full take profit or stop loss is one reduce-only market order for the whole position, replaced when it is set
    anew; a partial one is added beside those that exist.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        exchange.matching.on_fill = self._inherit
        exchange.matching.on_flat = self._clear

    def set_full(
        self, account: Account, position: Position, *, profit: Decimal | None, loss: Decimal | None
    ) -> None:
        """Set, replace or (with zero) remove the stops of the whole position; None leaves one alone."""
        for price, stop_type in ((profit, "TakeProfit"), (loss, "StopLoss")):
            if price is None:
                continue
            self._withdraw(account, position, stop_type)
            written = format(price, "f") if price else ""
            if stop_type == "TakeProfit":
                position.take_profit = written
            else:
                position.stop_loss = written
            if price:
                self._place(account, position, stop_type, price, position.size)

    def add_partial(
        self, account: Account, position: Position, stop_type: str, price: Decimal, qty: Decimal
    ) -> None:
        """Add a take profit or stop loss for a part of the position."""
        self._place(account, position, stop_type, price, qty)

    def _place(self, account: Account, position: Position, stop_type: str, price: Decimal, qty: Decimal) -> None:
        exchange = self._exchange
        is_long = position.net > 0
        now_ms = exchange.clock.now_ms()
        order = Order(
            number=0,
            id="",
            link_id="",
            uid=account.uid,
            instrument=position.instrument,
            side="Sell" if is_long else "Buy",
            kind="Market",
            qty=qty,
            price=ZERO,
            tif="IOC",
            created_ms=now_ms,
            updated_ms=now_ms,
            position_idx=position.idx,
            reduce_only=True,
            close_on_trigger=True,
            trigger=Trigger(price, is_long == stop_type.endswith("TakeProfit"), "LastPrice"),
            stop_type=stop_type,
            create_type=_CREATED_BY[stop_type],
            last_on_create=exchange.market.last(position.instrument),
            parent_link_id="" if stop_type.startswith("Partial") else position.stops_parent,
        )
        exchange.admit_order(account, order)

    def _withdraw(self, account: Account, position: Position, stop_type: str) -> None:
        for order in list(account.open[position.instrument.category].values()):
            same = order.instrument is position.instrument and order.position_idx == position.idx
            if same and order.stop_type == stop_type:
                self._exchange.matching.end(order, cancel_type="CancelByTpSlTsClear")

    def _inherit(self, account: Account, order: Order) -> None:
        """Give the position the stops that its opening order carried, and keep full stops full."""
        position = account.position(order.instrument, order.position_idx)
        extra = order.extra or {}
        profit, loss = extra.get("takeProfit"), extra.get("stopLoss")
        if order.reduce_only:
            profit = loss = None
        if profit or loss:
            position.stops_parent = order.link_id
        self.set_full(
            account,
            position,
            profit=Decimal(profit or position.take_profit) if profit or position.take_profit else None,
            loss=Decimal(loss or position.stop_loss) if loss or position.stop_loss else None,
        )

    def _clear(self, account: Account, order: Order) -> None:
        position = account.position(order.instrument, order.position_idx)
        position.take_profit = position.stop_loss = position.stops_parent = ""
