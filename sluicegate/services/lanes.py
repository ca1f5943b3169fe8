"""Lanes: the ways of new orders to the exchange, and who travels together.

An account may send orders through two endpoints, each with a quota of its own: one order a request, or several in
a batch. Whatever grants a token first is taken. docs/adr/0013-lanes.md says why orders meet in the ledger and not
in the worker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime

from sluicegate.domain.batches import MOST, goes_alone, has_batches
from sluicegate.domain.orders import Category, Order, OrderRequest
from sluicegate.ports import Account, Answer, LaneKind
from sluicegate.services.passage import Crossing, Passage

CREATE = "/v5/order/create"
CREATE_BATCH = "/v5/order/create-batch"
MESSENGERS = 32
"""Requests of one process that may be under way at once for orders which go alone, but came together."""

Ready = tuple[Order, OrderRequest]
"""An order and what goes out for it."""


@dataclass(frozen=True)
class Lanes:
    """Chooses who travels together, and sends.

    Args:
        are_batches_on: False: the single endpoint is the only lane.
    """

    are_batches_on: bool
    _messengers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(MESSENGERS, "messenger"))

    def paths(self, account: Account, company: Sequence[Ready]) -> Mapping[LaneKind, str]:
        """Return the lanes that all orders of a company may take."""
        order, request = company[0]
        if (
            self.are_batches_on
            and not goes_alone(order, request)
            and has_batches(account.environment, request.category)
        ):
            return {LaneKind.ALONE: CREATE, LaneKind.TOGETHER: CREATE_BATCH}
        return {LaneKind.ALONE: CREATE}

    def next_company(self, waiting: Sequence[Ready]) -> list[Ready]:
        """Return the first orders that have the same lanes, no more than a batch takes.

        Args:
            waiting: of one account and category.
        """
        _order, first = waiting[0]
        alike = [ready for ready in waiting if goes_alone(*ready) == goes_alone(*waiting[0])]
        return alike[: MOST[first.category]]

    def send(self, account: Account, crossing: Crossing, company: Sequence[Ready]) -> list[Answer]:
        """Send claimed orders through the lane that they got.

        Args:
            account: whose orders they are.
            crossing: the lane; learns what became of its requests.
            company: claimed orders, no more than the lane has tokens for.

        Returns:
            One answer an order, same order.
        """
        exchange = account.exchange
        if crossing.lane.kind is LaneKind.TOGETHER:
            until = min(_lease_of(order) for order, _prepared in company)
            together = [(prepared, order.link_id) for order, prepared in company]
            crossing.passages[0].leave()
            answers = exchange.place_many(together, sign_before=until)
            crossing.passages[0].report(*answers)
            return answers

        def place(ready: Ready, passage: Passage) -> Answer:
            order, prepared = ready
            passage.leave()
            answer = exchange.place(prepared, order.link_id, sign_before=_lease_of(order))
            passage.report(answer)
            return answer

        if len(company) == 1:
            return [place(company[0], crossing.passages[0])]
        return list(self._messengers.map(place, company, crossing.passages))


def _lease_of(claimed: Order) -> datetime:
    assert claimed.lease_until is not None  # noqa: S101 - set by the claim
    return claimed.lease_until


def by_category(orders: Sequence[Order]) -> list[list[Order]]:
    """Return orders sorted into those of one account and category each; their order is kept."""
    sorted_out: dict[tuple[str, Category], list[Order]] = {}
    for order in orders:
        sorted_out.setdefault((order.account, order.category), []).append(order)
    return list(sorted_out.values())
