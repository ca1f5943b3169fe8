"""What open orders hold: coins for spot, initial margin for derivatives."""

from __future__ import annotations

from decimal import Decimal

from simulator.accounts import SHORT_OPTION_MARGIN, TAKER_FEE, Account
from simulator.instruments import ZERO
from simulator.market import Market
from simulator.orders import Order
from simulator.wire import Refusal

_GRAIN = Decimal("1E-12")


class Margin:
    """Reserve and release what orders need."""

    def __init__(self, market: Market) -> None:
        self._market = market

    def need(self, account: Account, order: Order) -> Decimal:
        """Return what the open part of an order must hold: coins (spot) or USD (derivatives)."""
        if order.category == "spot":
            return self._spot_need(order)
        if order.reduce_only:
            return ZERO
        instrument = order.instrument
        closable = account.position(instrument, order.position_idx).closable(is_buy=order.is_buy)
        opening = max(order.remaining - closable, ZERO)
        price = self._price(order)
        value = instrument.value(opening, price)
        if instrument.category == "option":
            margin = value
            if not order.is_buy:
                margin += SHORT_OPTION_MARGIN * opening * self._market.dollars(instrument.base)
        else:
            margin = value / account.leverage_of(instrument)
        fee = value * TAKER_FEE[instrument.category]
        return ((margin + fee) * self._market.dollars(instrument.settle)).quantize(_GRAIN)

    def check(self, account: Account, order: Order, need: Decimal) -> None:
        """Refuse if the account cannot hold `need` for this order in place of what the order holds now.

        Raises:
            Refusal: 170131 (spot) or 110007.
        """
        if order.category == "spot":
            if need - order.held > account.wallet(_coin(order)).free:
                raise Refusal(170131, "Insufficient balance.")
        elif need > order.held and need - order.held > account.available(self._market):
            raise Refusal(110007, "ab not enough for new order")

    def hold(self, account: Account, order: Order) -> None:
        """Reserve what the order needs.

        Raises:
            Refusal: 170131 (spot) or 110007; nothing is reserved then.
        """
        need = self.need(account, order)
        self.check(account, order, need)
        self._change(account, order, need - order.held)

    def release(self, account: Account, order: Order) -> None:
        """Give back all that the order still holds."""
        if order.held:
            self._change(account, order, -order.held)

    def release_share(self, account: Account, order: Order, traded: Decimal, before: Decimal) -> None:
        """Give back what belonged to `traded` out of the `before` that was open."""
        if not order.held:
            return
        share = order.held if traded >= before else (order.held * traded / before).quantize(_GRAIN)
        self._change(account, order, -share)

    def _change(self, account: Account, order: Order, amount: Decimal) -> None:
        order.held += amount
        if order.category == "spot":
            account.wallet(_coin(order)).locked += amount
        else:
            account.order_margin += amount

    def _spot_need(self, order: Order) -> Decimal:
        if not order.is_buy or order.by_quote:
            if order.by_quote and not order.is_buy:
                return (order.remaining / self._price(order)).quantize(_GRAIN)
            return order.remaining
        return order.remaining * self._price(order)

    def _price(self, order: Order) -> Decimal:
        if order.kind == "Limit":
            return order.price
        touch = self._market.touch(order.instrument)
        return touch.ask if order.is_buy else touch.bid


def _coin(order: Order) -> str:
    return order.instrument.quote if order.is_buy else order.instrument.base
