"""Gates: what an order must pass before it is sent. A gate that raises denies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

import structlog

from sluicegate.domain import instruments, risk
from sluicegate.domain.errors import OrderDenied, SluicegateError
from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.orders import AmendRequest, Category, Order, OrderRequest, Side
from sluicegate.domain.risk import Holding
from sluicegate.ports import Account, Ledger
from sluicegate.services.positions import Positions

log = structlog.get_logger(__name__)

MINUTE = timedelta(seconds=60)


@dataclass(frozen=True)
class Gates:
    """Instrument rules and risk limits. To add a gate, add a step to `check`."""

    ledger: Ledger
    positions: Positions

    def check(self, order: Order, account: Account) -> OrderRequest:
        """Let an order pass.

        Args:
            order: as accepted.
            account: whose limits count.

        Returns:
            The order as it goes out, fitted to its instrument.

        Raises:
            OrderDenied: it must not be sent; reason and fix say why.
            ExchangeUnavailable: rules or prices cannot be had now; fail closed, try later.
        """
        try:
            return self._check(order, account)
        except SluicegateError:
            raise
        except (
            Exception
        ) as e:  # a gate that raises denies: sent unchecked it might do harm, tried again it would loop
            log.exception("gate_failed", order_id=order.order_id, account=order.account, symbol=order.symbol)
            raise OrderDenied(
                f"a gate failed: {type(e).__name__}",
                reason="gate_failed",
                fix="This is a fault of Sluicegate or of the instrument's rules; the log has the traceback.",
            ) from e

    def _check(self, order: Order, account: Account) -> OrderRequest:
        request = order.request
        fitted = instruments.fit(request, self._rules(order, account))
        recent = 0
        if account.risk.max_orders_per_minute is not None:
            recent = self.ledger.accepted_within(order.account, order.created_at, MINUTE)
        self._check_risk(fitted, order, account, recent)
        self._check_position(fitted, order, account)
        return fitted

    def check_amend(self, amend: AmendRequest, order: Order, account: Account) -> OrderRequest:
        """Let an amendment of a live order pass the same limits as a new order.

        Returns:
            The order as it will stand, fitted to its instrument.

        Raises:
            OrderDenied, ExchangeUnavailable: as `check`.
        """
        fitted = instruments.fit_amend(amend, order.request, self._rules(order, account))
        self._check_risk(fitted, order, account, 0)
        self._check_position(fitted, order, account)
        return fitted

    def _rules(self, order: Order, account: Account) -> InstrumentRules:
        request = order.request
        rules = account.market.rules(request.category, request.symbol)
        if rules is None:
            raise OrderDenied(
                f"{account.environment} lists no {request.category} instrument {request.symbol}",
                reason="unknown_symbol",
                fix="Check symbol and category: BTCUSDT is linear and spot, BTCPERP is linear in USDC, BTCUSD is "
                "inverse. The same symbol may exist in one category and not in another.",
            )
        return rules

    def _check_risk(self, fitted: OrderRequest, order: Order, account: Account, recent: int) -> None:
        last_price = account.market.last_price(order.category, order.symbol)
        rules = self._rules(order, account)
        risk.check(fitted, rules, account.risk, last_price=last_price, orders_last_minute=recent)

    def _check_position(self, fitted: OrderRequest, order: Order, account: Account) -> None:
        if order.category is Category.SPOT:
            return
        if fitted.reduce_only:
            self._check_reduction(fitted, order, account)
        elif order.symbol in account.risk.max_position:
            buying, selling = self.positions.exposure(account, order)  # first: what leaves it is in the position
            net = self.positions.net(account, order.category, order.symbol)
            risk.check_position(fitted, account.risk, Holding(net, buying, selling), executed=order.cum_exec_qty)

    def _check_reduction(self, fitted: OrderRequest, order: Order, account: Account) -> None:
        """Deny a reduce-only order without anything to reduce, if the exchange confirms it.

        Where positions are not known the exchange decides: it refuses such an order, and no money is at stake.
        """
        if fitted.position_idx or not self.positions.is_current(account.name):
            return
        buying, selling = self.positions.exposure(account, order)  # first: what leaves it is in the position
        side = 1 if fitted.side is Side.SELL else -1
        if side * self.positions.shown_net(account.name, order.category, order.symbol) > 0:
            return
        if side * self.positions.confirmed_net(account, order.category, order.symbol) > 0:
            return
        if (buying if fitted.side is Side.SELL else selling) > Decimal(0):
            return  # an order that goes before it may open what it reduces
        raise OrderDenied(
            f"a reduce-only {fitted.side} of {fitted.symbol} has no position to reduce",
            reason="position_state",
            fix="Look at `sluicegate positions`; replay with the other side, or discard it.",
        )
