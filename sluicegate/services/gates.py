"""Gates: what an order must pass before it is sent. A gate that raises denies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from sluicegate.domain import instruments, risk
from sluicegate.domain.errors import OrderDenied, SluicegateError
from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.orders import AmendRequest, Order, OrderRequest
from sluicegate.ports import Account, Ledger

log = structlog.get_logger(__name__)

MINUTE = timedelta(seconds=60)


@dataclass(frozen=True)
class Gates:
    """Instrument rules and risk limits. To add a gate, add a step to `check`."""

    ledger: Ledger

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
