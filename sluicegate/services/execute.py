"""Execute: one order, from the message to the decision about its outcome."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from sluicegate.domain.errors import (
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderDenied,
    OrderNotFound,
    OrderRejected,
)
from sluicegate.domain.lifecycle import END_STATES, Event, State
from sluicegate.domain.orders import Order, OrderId, OrderRequest
from sluicegate.domain.policy import Rng
from sluicegate.domain.records import DeadLetter
from sluicegate.ports import Account, Accounts, Clock, Ledger, Observer, Patch
from sluicegate.services.gates import Gates
from sluicegate.services.halts import Halts
from sluicegate.services.perform import Performer
from sluicegate.services.valve import Valve

log = structlog.get_logger(__name__)

CREATE = "/v5/order/create"
CONFIGURATION_WAIT_S = 15.0
OUTAGE_WAIT_S = 2.0


@dataclass(frozen=True)
class Executor:
    """Puts orders on the exchange.

    The claim is the last step before the request: until then nothing has happened that a crash could leave open,
    and from then on the order counts as possibly sent.

    Args:
        max_wait_s: longest sleep for a token.
        lease_s: how long a claim lasts.
    """

    ledger: Ledger
    accounts: Accounts
    valve: Valve
    gates: Gates
    halts: Halts
    performer: Performer
    clock: Clock
    observer: Observer
    max_wait_s: float
    lease_s: float
    rng: Rng = random.random

    def execute(self, order_id: OrderId) -> str:
        """Take an order as far as it goes now.

        Args:
            order_id: from the message. The message is a hint: it may be late, doubled, or about an order that is
                done; then nothing happens.

        Returns:
            A word for the log: the order's state, or why nothing was done.

        Raises:
            LedgerUnavailable: nothing was sent, or the order is `submitting` and its lease will run out.
        """
        try:
            order = self.ledger.get(order_id)
        except OrderNotFound:
            log.error("message_without_order", order_id=order_id)
            return "unknown order"
        if order.state is not State.ACCEPTED:
            return f"nothing to do: {order.state}"
        now = self.clock.now()
        if order.due_at is not None and order.due_at > now:
            return "not due yet"
        if order.deadline_at is not None and order.deadline_at <= now:
            return self._move(order, Event.EXPIRED, {}, {"why": "its deadline passed before it was sent"})
        if order.attempts and self.ledger.open_changes(order.order_id):
            return "its changes come first"  # asked for while it was being sent, and it came back unsent
        return self._execute_due(order)

    def _execute_due(self, order: Order) -> str:
        halt = self.halts.on(order.account)
        if halt is not None:
            return self.performer.hold(order, halt)
        try:
            account = self.accounts.get(order.account)
            prepared = self.gates.check(order, account)
            return self._send(order, account, prepared)
        except OrderDenied as denial:
            return self._deny(order, denial)
        except BucketDenied as e:
            return self._defer(order, e.retry_after_s - self.max_wait_s / 2, "quota")
        except BucketUnavailable as e:
            log.error("bucket_unavailable", order_id=order.order_id, error=str(e))
            return self._defer(order, self._jittered(OUTAGE_WAIT_S), "bucket_unavailable")
        except ExchangeUnavailable as e:
            log.warning("exchange_unavailable", order_id=order.order_id, account=order.account, error=str(e))
            return self._defer(order, self._jittered(OUTAGE_WAIT_S), "exchange_unavailable")
        except ConfigurationError as e:
            return self._misconfigured(order, e)
        except OrderRejected as e:
            standing = self.halts.obey(order.account, e)
            if standing is not None:
                return self.performer.hold(order, standing)
            return self._defer(order, self._jittered(OUTAGE_WAIT_S), f"refused {e.ret_code}")

    def _send(self, order: Order, account: Account, prepared: OrderRequest) -> str:
        with self.valve.open(order.account, CREATE, order.category, max_wait_s=self.max_wait_s) as passage:
            halt = self.halts.on(order.account)  # it may have come while the order waited for its token
            if halt is not None:
                return self.performer.hold(order, halt)
            claimed = self._claim(order, account, passage.waited_s)
            if claimed is None:
                return "someone else was faster"
            assert claimed.lease_until is not None  # noqa: S101 - set by the claim
            answer = account.exchange.place(prepared, order.link_id, sign_before=claimed.lease_until)
            passage.report(answer)
        self.observer.stage("exchange", answer.elapsed_s)
        return self.performer.perform(claimed, answer)

    def _claim(self, order: Order, account: Account, waited_s: float) -> Order | None:
        now = self.clock.now()
        if order.deadline_at is not None and order.deadline_at <= now:
            return None  # the scheduler lets it expire
        lease_until = now + timedelta(seconds=self.lease_s)
        patch: Patch = {
            "attempts": order.attempts + 1,
            "lease_until": lease_until,
            "wake_at": lease_until,
            "horizon_ms": account.clock.to_exchange_ms(lease_until) + account.reach_ms,
        }
        claimed = self.ledger.transition(order, Event.CLAIMED, patch, {"attempt": order.attempts + 1})
        if claimed is not None:
            self.observer.stage("token", waited_s)
            if order.attempts == 0:
                since = order.due_at or order.created_at
                self.observer.stage("queue", max(0.0, (now - since).total_seconds() - waited_s))
        return claimed

    def _deny(self, order: Order, denial: OrderDenied) -> str:
        letter = DeadLetter(
            order.order_id,
            order.account,
            reason=denial.reason,
            code="gate",
            message=str(denial),
            cause="A gate stopped the order before it was sent.",
            fix=denial.fix,
            created_at=self.clock.now(),
        )
        log.warning(
            "order_denied",
            order_id=order.order_id,
            order_link_id=order.link_id,
            account=order.account,
            symbol=order.symbol,
            side=order.request.side.value,
            qty=format(order.request.qty, "f"),
            reason=denial.reason,
            message=str(denial),
        )
        detail = {"reason": denial.reason, "message": str(denial)}
        return self._move(order, Event.DEAD_LETTERED, {}, detail, letter)

    def _misconfigured(self, order: Order, error: ConfigurationError) -> str:
        self.performer.report_configuration(order.account, error)
        return self._defer(order, CONFIGURATION_WAIT_S, "configuration")

    def _defer(self, order: Order, wait_s: float, reason: str) -> str:
        due_at = self.clock.now() + timedelta(seconds=max(0.0, wait_s))
        if order.deadline_at is not None and due_at >= order.deadline_at:
            due_at = order.deadline_at
        self.observer.retried(reason)
        return self._move(order, Event.DEFERRED, {"due_at": due_at, "wake_at": due_at}, {"why": reason})

    def _jittered(self, seconds: float) -> float:
        return seconds * (0.5 + self.rng())

    def _move(
        self,
        order: Order,
        event: Event,
        patch: Patch,
        detail: Mapping[str, Any],
        letter: DeadLetter | None = None,
    ) -> str:
        moved = self.ledger.transition(order, event, patch, detail, dead_letter=letter)
        if moved is None:
            return "someone else was faster"
        if moved.state in END_STATES:
            self.observer.moved(order.account, moved.state.value)
        return moved.state.value
