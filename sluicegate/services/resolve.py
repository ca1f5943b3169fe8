"""Resolve: find out from the exchange what became of an order. Only evidence moves an order out of doubt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from sluicegate.domain.errors import (
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderNotFound,
    OrderRejected,
)
from sluicegate.domain.evidence import average_after, is_as_asked, is_news, status_after
from sluicegate.domain.lifecycle import END_STATES, ON_EXCHANGE_STATES, TABLE, Event, State
from sluicegate.domain.orders import ChangeKind, Execution, Order, OrderId
from sluicegate.domain.policy import Backoff, Bury
from sluicegate.domain.records import EVENT_OF_STATUS, ChangeState, Severity, Sighting
from sluicegate.ports import Account, Accounts, Clock, CodeBook, Ledger, Lookup, Observer, Patch
from sluicegate.services.halts import Halts
from sluicegate.services.perform import Performer
from sluicegate.services.valve import Valve

log = structlog.get_logger(__name__)

REALTIME, HISTORY, EXECUTIONS = "/v5/order/realtime", "/v5/order/history", "/v5/execution/list"
TOKEN_WAIT_S = 0.3
LAG_MS = 3000
"""Queries may lag so much behind the exchange: an absence counts when it is seen that long after the horizon.

An order sent again too early would be safe, for its link id refuses a second one. But what is taken for absent may
also be cancelled, expire or be denied as never sent, and then nothing would look for it any more."""


@dataclass(frozen=True)
class Looks:
    """How long until the next look at an order: its age, half its age while in doubt, within bounds.

    Attributes:
        least_s: lower bound.
        doubt_most_s: upper bound while in doubt.
        live_most_s: upper bound while live.
    """

    least_s: float = 0.5
    doubt_most_s: float = 10.0
    live_most_s: float = 60.0


@dataclass(frozen=True)
class Resolver:
    """Looks at orders on the exchange, by link id."""

    ledger: Ledger
    accounts: Accounts
    valve: Valve
    halts: Halts
    performer: Performer
    codes: CodeBook
    clock: Clock
    observer: Observer
    backoff: Backoff
    looks: Looks = Looks()

    def look(self, order_id: OrderId) -> str:
        """Look at one order and write down what is seen.

        Args:
            order_id: an order in doubt, live or partially filled; any other is left alone.

        Returns:
            A word for the log.

        Raises:
            LedgerUnavailable: nothing was written; the scheduler comes back to it.
        """
        try:
            order = self.ledger.get(order_id)
        except OrderNotFound:
            log.error("message_without_order", order_id=order_id)
            return "unknown order"
        if order.state is not State.IN_DOUBT and order.state not in ON_EXCHANGE_STATES:
            return f"nothing to do: {order.state}"
        if self.halts.silencing(order.account) is not None:
            return self._later(order, "the account is halted")
        try:
            return self._look(order, self.accounts.get(order.account))
        except (BucketDenied, BucketUnavailable, ExchangeUnavailable, ConfigurationError) as e:
            return self._later(order, str(e))
        except OrderRejected as e:
            self.halts.obey(order.account, e)
            return self._later(order, str(e))

    def _look(self, order: Order, account: Account) -> str:
        opened = self._ask(order, account, REALTIME)
        if opened.sighting is not None:
            return self.record(order, account, opened.sighting)
        closed = self._ask(order, account, HISTORY)
        if closed.sighting is not None:
            return self.record(order, account, closed.sighting)
        if order.state is not State.IN_DOUBT:
            return self._later(order, "the exchange shows it nowhere")
        return self._absent(order, account, min(opened.answered_at_ms, closed.answered_at_ms))

    def _ask(self, order: Order, account: Account, path: str) -> Lookup:
        exchange = account.exchange
        find = exchange.find_open if path == REALTIME else exchange.find_closed
        order_filter = order.request.order_filter or ""
        with self.valve.open(order.account, path, order.category, max_wait_s=TOKEN_WAIT_S) as passage:
            passage.is_sent = True
            lookup = find(order.category, order.symbol, order.link_id, order_filter=order_filter)
            passage.answered(lookup.headers)
        return lookup

    def _absent(self, order: Order, account: Account, answered_at_ms: int) -> str:
        """Decide about an order in doubt that two queries do not know."""
        if order.horizon_ms is None or answered_at_ms <= order.horizon_ms + LAG_MS:
            return self._later(order, "not seen yet; it may still arrive", event=True)
        if self._has_fills(order, account):
            return self._later(order, "it has fills but no order row yet", event=True)
        return self._proved_absent(order, answered_at_ms)

    def _has_fills(self, order: Order, account: Account) -> bool:
        with self.valve.open(order.account, EXECUTIONS, order.category, max_wait_s=TOKEN_WAIT_S) as passage:
            passage.is_sent = True
            fills, headers = account.exchange.fills(order.category, order.symbol, order.link_id)
            passage.answered(headers)
        return bool(fills)

    def _proved_absent(self, order: Order, answered_at_ms: int) -> str:
        """Past the horizon and nowhere to be seen: it never came into being, and cannot any more."""
        now = self.clock.now()
        detail = {"answered_at_ms": answered_at_ms, "horizon_ms": order.horizon_ms}
        burial = self.codes.burial(order.last_code)
        if order.attempts >= self.backoff.max_attempts and burial is None:
            burial = ("attempts_exhausted", "Every attempt ended without an answer.", "Replay it later.")
        is_late = order.deadline_at is not None and order.deadline_at <= now
        if burial is not None:
            reason, cause, fix = burial
            bury = Bury(reason, order.last_code, order.last_message, cause, fix)
            return self.performer.bury(order, bury, {"lease_until": None}, detail)
        if is_late:
            return self._move(order, Event.EXPIRED, {}, {**detail, "why": "proved absent after its deadline"})
        patch: Patch = {"due_at": now, "wake_at": now, "horizon_ms": None, "lease_until": None}
        self.observer.retried("proved_absent")
        return self._move(order, Event.PROVED_ABSENT, patch, detail)

    def record(self, order: Order, account: Account, seen: Sighting) -> str:
        """Write down what the exchange shows of an order."""
        if seen.side != order.request.side.value or seen.symbol != order.symbol:
            return self._foreign(order, seen)
        event = EVENT_OF_STATUS.get(seen.status)
        if event is None:
            log.warning("unknown_order_status", order_id=order.order_id, status=seen.status)
            return self._later(order, f"unknown status {seen.status}")
        if seen.cum_exec_qty > order.cum_exec_qty:
            self.add_fills(order, account)
        if (order.state, event) not in TABLE:  # a late answer about the past
            return self._later(order, f"older than what is known: {seen.status}")
        amended = {} if is_as_asked(order, seen) else self._amended(order, seen)
        if not is_news(order, seen) and not amended:
            return self._later(order, seen.status)
        now = self.clock.now()
        patch: Patch = {
            "request": order.request.model_copy(update=amended),
            "exchange_order_id": seen.exchange_order_id,
            "exchange_status": status_after(order, seen),
            "cum_exec_qty": max(seen.cum_exec_qty, order.cum_exec_qty),
            "avg_price": average_after(order, seen),
            "acked_at": order.acked_at or now,
            "lease_until": None,
            "horizon_ms": None,
            "wake_at": now + timedelta(seconds=self.looks.least_s),
            "last_message": "" if seen.reject_reason == "EC_NoError" else seen.reject_reason,
        }
        detail = {name: format(value, "f") for name, value in amended.items()}
        return self._move(order, event, patch, {**seen.raw, **detail})

    def _amended(self, order: Order, seen: Sighting) -> dict[str, Decimal]:
        """Return the values that an amendment of ours has changed, though its answer never came."""
        unsure = [
            change
            for change in self.ledger.changes(order.order_id)
            if change.kind is ChangeKind.AMEND and change.attempts and change.state is not ChangeState.DONE
        ]
        shown = {"qty": seen.qty, "price": seen.price}
        return {
            name: value
            for name, value in shown.items()
            if value is not None
            and value != getattr(order.request, name)
            and any(name in change.fields for change in unsure)
        }

    def add_fills(self, order: Order, account: Account) -> None:
        """Fetch the fills of an order and store those that are new; raises what the query raises."""
        with self.valve.open(order.account, EXECUTIONS, order.category, max_wait_s=1.0) as passage:
            passage.is_sent = True
            fills, headers = account.exchange.fills(order.category, order.symbol, order.link_id)
            passage.answered(headers)
        self.ledger.add_executions(
            [
                Execution(
                    exec_id=fill.exec_id,
                    order_id=order.order_id,
                    qty=fill.qty,
                    price=fill.price,
                    fee=fill.fee,
                    fee_coin=fill.fee_coin,
                    is_maker=fill.is_maker,
                    executed_at=fill.executed_at,
                )
                for fill in fills
            ]
        )

    def _foreign(self, order: Order, seen: Sighting) -> str:
        self.ledger.open_incident(
            f"foreign:{order.order_id}",
            severity=Severity.CRITICAL,
            title=f"Another order lives under our link id {order.link_id}",
            detail=f"Asked: {order.describe()}. The exchange shows: {seen.side} {seen.qty} {seen.symbol}.",
            fix="Find out who placed it. Sluicegate neither adopts it nor sends its own.",
            at=self.clock.now(),
        )
        return self._later(order, "a foreign order holds the link id")

    def _later(self, order: Order, why: str, *, event: bool = False) -> str:
        """Come back to an order later; with an event row only where the look proved something."""
        wake_at = self.next_look(order)
        if event:
            self._move(order, Event.DOUBTED, {"wake_at": wake_at}, {"why": why})
        else:
            self.ledger.wake(order.order_id, wake_at)
        return why

    def next_look(self, order: Order) -> datetime:
        """Return when to look at an order again: soon while young, and when its absence counts while in doubt."""
        now = self.clock.now()
        since = order.acked_at if order.acked_at is not None else order.created_at
        is_doubt = order.state is State.IN_DOUBT
        most_s = self.looks.doubt_most_s if is_doubt else self.looks.live_most_s
        age_s = (now - since).total_seconds()
        wait_s = min(max(age_s * (0.5 if is_doubt else 1.0), self.looks.least_s), most_s)
        wake_at = now + timedelta(seconds=wait_s)
        if not is_doubt:
            return wake_at
        if order.horizon_ms is not None:
            horizon = self._horizon(order, order.horizon_ms + LAG_MS)
            if now < horizon < wake_at or wake_at < horizon < wake_at + timedelta(seconds=self.looks.least_s):
                return horizon + timedelta(seconds=0.1)
        return wake_at

    def _horizon(self, order: Order, horizon_ms: int) -> datetime:
        try:
            return self.accounts.get(order.account).clock.to_local(horizon_ms)
        except ConfigurationError:
            return self.clock.now()

    def _move(self, order: Order, event: Event, patch: Patch, detail: Mapping[str, object]) -> str:
        moved = self.ledger.transition(order, event, patch, detail)
        if moved is None:
            return "someone else was faster"
        if moved.state is not order.state:
            self.observer.moved(order.account, moved.state.value)
        if moved.state in END_STATES:
            log.info("order_ended", order_id=order.order_id, state=moved.state.value)
        return moved.state.value
