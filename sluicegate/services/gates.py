"""Gates: what an order must pass before it is sent. A gate that raises denies."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sluicegate.domain import instruments, risk
from sluicegate.domain.errors import OrderDenied
from sluicegate.domain.orders import Order, OrderRequest
from sluicegate.ports import Account, Ledger

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
        request = order.request
        rules = account.market.rules(request.category, request.symbol)
        if rules is None:
            raise OrderDenied(
                f"{account.environment} lists no {request.category} instrument {request.symbol}",
                reason="unknown_symbol",
                fix="Check symbol and category: BTCUSDT is linear and spot, BTCPERP is linear in USDC, BTCUSD is "
                "inverse. The same symbol may exist in one category and not in another.",
            )
        fitted = instruments.fit(request, rules)
        last_price = account.market.last_price(request.category, request.symbol)
        recent = 0
        if account.risk.max_orders_per_minute is not None:
            recent = self.ledger.accepted_within(order.account, order.created_at, MINUTE)
        risk.check(fitted, rules, account.risk, last_price=last_price, orders_last_minute=recent)
        return fitted
