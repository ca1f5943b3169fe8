"""How long the exchange remembers a closed order."""

from __future__ import annotations

from simulator.orders import FORGOTTEN_AFTER_A_DAY, Order

DAY_MS = 86_400_000
TWO_YEARS_MS = 730 * DAY_MS


def is_remembered(order: Order, now_ms: int) -> bool:
    """Say whether `history` still has a closed order.

    Source: Bybit V5 docs, order-history page: with fills 2 years; cancelled, rejected or deactivated without fills
    24 hours, counted here from the order's end.
    """
    if order.has_executed or order.status not in FORGOTTEN_AFTER_A_DAY:
        return now_ms - order.updated_ms <= TWO_YEARS_MS
    return now_ms - order.updated_ms <= DAY_MS
