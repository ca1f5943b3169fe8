"""Changes: amend and cancel requests of an order, against time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from ulid import ULID

from sluicegate.domain.errors import (
    BrokerUnavailable,
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderDenied,
    OrderRejected,
    TooLate,
)
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, UNSENT_STATES, Event
from sluicegate.domain.orders import AmendRequest, ChangeKind, Order, OrderId, parse_amend
from sluicegate.domain.policy import Rng
from sluicegate.domain.records import Change, ChangeState
from sluicegate.ports import Account, Accounts, ChangePatch, Clock, CodeBook, Ledger, Observer, Publisher
from sluicegate.services.conclude import Concluder
from sluicegate.services.gates import Gates
from sluicegate.services.halts import Halts
from sluicegate.services.valve import Valve

log = structlog.get_logger(__name__)

AMEND, CANCEL = "/v5/order/amend", "/v5/order/cancel"
LEAST_WAIT_S, MOST_WAIT_S = 0.5, 10.0
"""A change whose order is being sent or in doubt is looked at again after half its age, within these bounds."""


@dataclass(frozen=True)
class Changes:
    """Takes requests to amend or cancel, and carries them out.

    An order that was not sent yet is changed in the ledger at once. One that is on its way or in doubt is changed
    when it is known to be on the exchange. Changes of one order keep their order: an amend waits until no request
    for the one before it can still arrive. A cancel waits for none of them.

    A cancel that the exchange refuses because it knows no such open order leads to one look at the order. If that
    shows that the order lives, for the exchange's lists lag behind its acknowledgements, the cancel is sent again;
    its attempts are bounded.

    Args:
        look: looks at an order on the exchange and writes down what is seen.
    """

    ledger: Ledger
    accounts: Accounts
    valve: Valve
    gates: Gates
    halts: Halts
    publisher: Publisher
    concluder: Concluder
    codes: CodeBook
    look: Callable[[OrderId], str]
    clock: Clock
    observer: Observer
    max_wait_s: float
    lease_s: float
    rng: Rng = random.random

    # --- asking -----------------------------------------------------------------------------------------------

    def cancel(self, order_id: OrderId) -> Change | None:
        """Ask for an order to be cancelled.

        Returns:
            The request; None when the order was cancelled at once because it was never sent.

        Raises:
            OrderNotFound: there is no such order.
            TooLate: it has come to its end.
        """
        return self._ask(order_id, ChangeKind.CANCEL, {})

    def amend(self, order_id: OrderId, amend: AmendRequest) -> Change | None:
        """Ask for an order to be amended; what `amend` leaves out stays.

        Returns:
            The request; None when the order was amended at once because it was not sent yet.

        Raises:
            OrderNotFound: there is no such order.
            TooLate: it has come to its end.
        """
        return self._ask(order_id, ChangeKind.AMEND, amend.to_json())

    def _ask(self, order_id: OrderId, kind: ChangeKind, fields: Mapping[str, Any]) -> Change | None:
        for _try in range(10):
            order = self.ledger.get(order_id)
            if order.state in END_STATES:
                raise TooLate(f"order {order_id} is {order.state}; it cannot be changed", state=order.state.value)
            is_amend_behind = kind is ChangeKind.AMEND and bool(self.ledger.open_changes(order_id))
            if order.state not in UNSENT_STATES or is_amend_behind:
                return self._store(order, kind, fields)
            if self._change_unsent(order, kind, fields):
                return None
        return self._store(order, kind, fields)

    def _change_unsent(self, order: Order, kind: ChangeKind, fields: Mapping[str, Any]) -> bool:
        if kind is ChangeKind.CANCEL:
            detail = {"why": "cancelled before it was sent"}
            moved = self.ledger.transition(order, Event.CANCELLED_UNSENT, {}, detail)
            if moved is not None:
                self.observer.moved(order.account, moved.state.value)
            return moved is not None
        amend = parse_amend(dict(fields))
        changed = order.request.model_copy(update={name: getattr(amend, name) for name in amend.model_fields_set})
        return self.ledger.transition(order, Event.AMENDED_UNSENT, {"request": changed}, dict(fields)) is not None

    def _store(self, order: Order, kind: ChangeKind, fields: Mapping[str, Any]) -> Change:
        now = self.clock.now()
        change = self.ledger.add_change(
            Change(
                change_id=str(ULID()),
                order_id=order.order_id,
                sequence=0,
                kind=kind,
                fields=dict(fields),
                state=ChangeState.PENDING,
                version=0,
                created_at=now,
                wake_at=now + timedelta(seconds=1),
            )
        )
        try:
            self.publisher.publish_change(order.order_id, f"{kind} {order.describe()}")
        except BrokerUnavailable as e:
            log.warning("publish_failed", order_id=order.order_id, error=str(e), then="the scheduler publishes it")
        return change

    # --- carrying out -----------------------------------------------------------------------------------------

    def carry_out(self, order_id: OrderId) -> str:
        """Carry out the next open change of an order.

        Args:
            order_id: from the message, which is a hint.

        Returns:
            A word for the log.
        """
        waiting = self.ledger.open_changes(order_id)
        if not waiting:
            return "nothing to do"
        change = self._next(waiting)
        order = self._standing(order_id, change)
        if self._may_arrive(order, change):
            return "its last request may still arrive"
        if order.state in END_STATES:
            return self.concluder.close(order, change)
        if order.state in UNSENT_STATES:
            return self._carry_out_unsent(order, change)
        if order.state not in ON_EXCHANGE_STATES:
            self.ledger.rest_change(change, self._next_try(change))
            return f"the order is {order.state}; the change follows"
        if self.concluder.is_exhausted(change):  # its workers died one after the other
            return self.concluder.give_up(order, change, "every worker that sent it was lost")
        return self._try_send(order, change)

    def _standing(self, order_id: OrderId, change: Change) -> Order:
        """Return the order, looked at anew if the exchange has refused its cancel as too late."""
        order = self.ledger.get(order_id)
        is_refused = change.state is ChangeState.PENDING and self.codes.is_about_order(change.last_code)
        if not is_refused or change.kind is not ChangeKind.CANCEL or order.state not in ON_EXCHANGE_STATES:
            return order
        self.look(order_id)
        return self.ledger.get(order_id)

    def _carry_out_unsent(self, order: Order, change: Change) -> str:
        if not self._change_unsent(order, change.kind, change.fields):
            return "later"
        if change.kind is ChangeKind.AMEND:  # the order waited for it
            now = self.clock.now()
            self.ledger.wake(order.order_id, now if order.due_at is None else max(now, order.due_at))
        return self.concluder.settle(change, ChangeState.DONE, "changed before it was sent")

    def _may_arrive(self, order: Order, change: Change) -> bool:
        """Tell whether a request that was sent for the change, perhaps by a worker that died, may still arrive.

        A cancel that arrives twice does no harm; a late copy of an amend would undo the amend that follows it.
        """
        if change.horizon_ms is None:
            return False
        if change.kind is ChangeKind.CANCEL and change.state is ChangeState.PENDING:
            return False
        now_ms = self.accounts.get(order.account).clock.to_exchange_ms(self.clock.now())
        return now_ms <= change.horizon_ms

    def _next_try(self, change: Change) -> datetime:
        now = self.clock.now()
        age_s = (now - change.created_at).total_seconds()
        return now + timedelta(seconds=min(max(age_s / 2, LEAST_WAIT_S), MOST_WAIT_S))

    def _next(self, waiting: list[Change]) -> Change:
        """Return the oldest change; a cancel goes first and makes the amends that wait pointless."""
        cancel = next((change for change in waiting if change.kind is ChangeKind.CANCEL), None)
        if cancel is None:
            return waiting[0]
        for change in waiting:
            if change.kind is ChangeKind.AMEND and change.state is ChangeState.PENDING:
                self.concluder.settle(change, ChangeState.VOID, "overtaken by a cancel")
        return cancel

    def _try_send(self, order: Order, change: Change) -> str:
        is_cancel = change.kind is ChangeKind.CANCEL
        halt = self.halts.silencing(order.account) if is_cancel else self.halts.on(order.account)
        if halt is not None:
            return self.concluder.postpone(change, 5.0, f"halted: {halt.code}")
        try:
            account = self.accounts.get(order.account)
            wanted = self._wanted(order, change, account)
            return self._send(order, change, account, wanted)
        except OrderDenied as denial:
            return self.concluder.settle(change, ChangeState.REFUSED, f"{denial} {denial.fix}", code=denial.reason)
        except BucketDenied as e:
            return self.concluder.postpone(change, e.retry_after_s, "quota")
        except (BucketUnavailable, ExchangeUnavailable, ConfigurationError) as e:
            return self.concluder.postpone(change, 1 + self.rng(), str(e))
        except OrderRejected as e:
            self.halts.obey(order.account, e)
            return self.concluder.postpone(change, 1 + self.rng(), str(e))

    def _wanted(self, order: Order, change: Change, account: Account) -> Mapping[str, str]:
        """Return the values of an amend, fitted to the instrument; none for a cancel."""
        if change.kind is ChangeKind.CANCEL:
            return {}
        amend = parse_amend(dict(change.fields))
        fitted = self.gates.check_amend(amend, order, account)
        if amend.qty is not None and amend.qty <= order.cum_exec_qty:
            raise OrderDenied(
                f"qty {amend.qty} is not above the {order.cum_exec_qty} already filled.",
                reason="quantity_out_of_bounds",
                fix="Cancel the rest instead.",
            )
        as_json = fitted.to_json()
        return {name: as_json[name] for name in amend.model_fields_set if name in as_json}

    def _send(self, order: Order, change: Change, account: Account, wanted: Mapping[str, str]) -> str:
        is_cancel = change.kind is ChangeKind.CANCEL
        path = CANCEL if is_cancel else AMEND
        with self.valve.open(order.account, path, order.category, max_wait_s=self.max_wait_s) as passage:
            passage.check(self.clock.monotonic())
            lease_until = self.clock.now() + timedelta(seconds=self.lease_s)
            # a claimant that dies may have sent it: nobody amends before a late copy can no longer arrive
            reach = timedelta(milliseconds=0 if is_cancel else account.reach_ms)
            over_at = lease_until + reach
            horizon_ms = account.clock.to_exchange_ms(over_at)
            patch: ChangePatch = {"attempts": change.attempts + 1, "wake_at": over_at, "horizon_ms": horizon_ms}
            detail = {} if is_cancel else {"sent": dict(wanted)}
            claimed = self.ledger.move_change(change, ChangeState.SUBMITTING, patch, detail)
            if claimed is None:
                return "someone else was faster"
            passage.leave()
            if is_cancel:
                answer = account.exchange.cancel(order, sign_before=lease_until)
            else:
                answer = account.exchange.amend(order, wanted, sign_before=lease_until)
            passage.report(answer)
        return self.concluder.conclude(order, claimed, answer, wanted)
