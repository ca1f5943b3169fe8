"""Dead letters: replay with the fault mended, or discard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sluicegate.domain.errors import InvalidOrder, LedgerConflict
from sluicegate.domain.orders import NewOrder, OrderId, Receipt, parse_order
from sluicegate.ports import Clock, Ledger
from sluicegate.services.submit import Submitter, new_order_id


@dataclass(frozen=True)
class DeadLetters:
    """The desk where orders end that need a person."""

    ledger: Ledger
    submitter: Submitter
    clock: Clock

    def replay(self, order_id: OrderId, changed: Mapping[str, Any]) -> Receipt:
        """Submit a dead letter again as a new order that keeps the link to the original.

        Args:
            order_id: of the dead letter.
            changed: fields to set, as JSON; None removes a field.

        Returns:
            The receipt of the new order. The same replay twice returns the same receipt.

        Raises:
            OrderNotFound: the order has no dead letter.
            InvalidOrder: it was replayed otherwise or discarded already, the order is dead no more, or the changed
                order is malformed or its `client_order_id` taken.
        """
        original = self.ledger.get(order_id)
        content = {**original.request.to_json(), **changed}
        content = {name: value for name, value in content.items() if value is not None}
        if "due_at" not in changed:
            content.pop("due_at", None)
        if "client_order_id" not in changed:
            content["client_order_id"] = f"replay-{order_id}"
        request = parse_order(content)
        fresh = NewOrder(new_order_id(), request, self.clock.now(), replay_of=order_id)
        result = self.submitter.replay(fresh)
        if isinstance(result, LedgerConflict):
            raise InvalidOrder(str(result))
        return result

    def discard(self, order_id: OrderId, note: str) -> None:
        """Give a dead letter up; it stays in the ledger.

        Raises:
            OrderNotFound: the order has no dead letter.
            InvalidOrder: it was replayed or discarded already.
        """
        self.ledger.dead_letter(order_id)
        if not self.ledger.discard_dead_letter(order_id, at=self.clock.now(), note=note):
            raise InvalidOrder(f"dead letter {order_id} was replayed or discarded already")
