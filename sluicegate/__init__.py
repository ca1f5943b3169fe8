"""Sluicegate: an order-execution platform for Bybit V5.

from sluicegate import OrderRequest, Sluicegate

gate = Sluicegate.from_settings()
receipt = gate.submit(OrderRequest(account="main", category="linear", symbol="BTCUSDT", side="Buy",
order_type="Limit", qty="0.01", price="60000", client_order_id="my-1"))
gate.wait(receipt.order_id, timeout_s=30)
"""

from sluicegate.client import Sluicegate
from sluicegate.domain.errors import (
    BrokerUnavailable,
    ConfigurationError,
    InvalidOrder,
    LedgerConflict,
    LedgerUnavailable,
    OrderNotFound,
    SluicegateError,
    TooLate,
)
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import AmendRequest, Order, OrderRequest, Receipt

__all__ = [
    "AmendRequest",
    "BrokerUnavailable",
    "ConfigurationError",
    "InvalidOrder",
    "LedgerConflict",
    "LedgerUnavailable",
    "Order",
    "OrderNotFound",
    "OrderRequest",
    "Receipt",
    "Sluicegate",
    "SluicegateError",
    "State",
    "TooLate",
]
