"""Sluicegate: an order-execution platform for Bybit V5.

from sluicegate import OrderRequest, Sluicegate

gate = Sluicegate.from_settings()
receipt = gate.submit(OrderRequest(account="main", category="linear", symbol="BTCUSDT", side="Buy",
order_type="Limit", qty="0.01", price="60000", client_order_id="my-1"))
gate.wait(receipt.order_id, timeout_s=30)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from sluicegate.domain.lifecycle import END_STATES, State
    from sluicegate.domain.orders import AmendRequest, Order, OrderEvent, OrderRequest, Receipt
    from sluicegate.domain.records import Change, ChangeState
    from sluicegate.domain.signatures import sign_order
    from sluicegate.ports import OrderUpdate

__all__ = [
    "END_STATES",
    "AmendRequest",
    "BrokerUnavailable",
    "Change",
    "ChangeState",
    "ConfigurationError",
    "InvalidOrder",
    "LedgerConflict",
    "LedgerUnavailable",
    "Order",
    "OrderEvent",
    "OrderNotFound",
    "OrderRequest",
    "OrderUpdate",
    "Receipt",
    "Sluicegate",
    "SluicegateError",
    "State",
    "TooLate",
    "sign_order",
]

_HOMES = {
    "Sluicegate": "sluicegate.client",
    **dict.fromkeys(("END_STATES", "State"), "sluicegate.domain.lifecycle"),
    **dict.fromkeys(("Change", "ChangeState"), "sluicegate.domain.records"),
    "OrderUpdate": "sluicegate.ports",
    "sign_order": "sluicegate.domain.signatures",
    **dict.fromkeys(
        ("AmendRequest", "Order", "OrderEvent", "OrderRequest", "Receipt"), "sluicegate.domain.orders"
    ),
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: the library takes seconds to load, `sluicegate --help` must not."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES.get(name, "sluicegate.domain.errors")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
