"""Batches: which orders may travel in one request, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sluicegate.domain.orders import Category, Order, OrderId, OrderRequest

Line = tuple[str, Category]
"""Account and category: whose orders draw on the same quota, and wait in one line for it."""

MOST: Final[Mapping[Category, int]] = {
    Category.LINEAR: 20,
    Category.INVERSE: 20,
    Category.OPTION: 20,
    Category.SPOT: 10,
}
"""Orders that one batch request takes. Source: Bybit V5 page "Batch Place Order", docs of 2026-07-24."""

REFUSED: Final = "batch_refused"
"""Last code of an order whose batch was refused as a whole: by one code for all of them."""

_DEMO: Final = frozenset({Category.LINEAR, Category.OPTION})
"""Categories whose batches demo trading has. Source: Bybit V5 page "Demo Trading Service", docs of 2026-07-24."""


def has_batches(environment: str, category: Category) -> bool:
    """Tell whether an environment takes batches of a category."""
    return environment != "demo" or category in _DEMO


def may_share(request: OrderRequest) -> bool:
    """Tell whether an order may travel in a batch.

    Those with a slippage tolerance go alone: the page of the batch endpoint does not know the field, and an order
    that loses it in silence would be filled at any price.

    Source: Bybit V5 pages "Place Order" and "Batch Place Order", docs of 2026-07-24.
    """
    return request.slippage_tolerance is None and request.slippage_tolerance_type is None


def goes_alone(order: Order, request: OrderRequest) -> bool:
    """Tell whether an order travels in no batch; of one that was refused as a whole only the culprit shall die."""
    return order.last_code == REFUSED or not may_share(request)


def companies(requests: Mapping[OrderId, OrderRequest]) -> list[list[OrderId]]:
    """Put orders together that share a message and may share a request: same account, same category.

    Args:
        requests: in the order in which they shall go.

    Returns:
        The companies, each no larger than a batch, in the order of their first members.
    """
    formed: list[list[OrderId]] = []
    open_companies: dict[Line, list[OrderId]] = {}
    for order_id, request in requests.items():
        key = (request.account, request.category)
        company = open_companies.get(key) if may_share(request) else None
        if company is None or len(company) >= MOST[request.category]:
            company = []
            formed.append(company)
            if may_share(request):
                open_companies[key] = company
        company.append(order_id)
    return formed
