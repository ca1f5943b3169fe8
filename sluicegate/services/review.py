"""Review: what stays unknown for too long becomes an incident, and ceases to be one by itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sluicegate.domain.absence import LAG_MS
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import Order, OrderId
from sluicegate.domain.records import QUESTIONS, Incident, Question, Severity
from sluicegate.ports import Accounts, Clock, Ledger, OrderFilter
from sluicegate.services.faults import Faults

DOUBT_MARGIN_MS = 60_000
NOT_SHOWN_FOR = timedelta(seconds=120)
"""Lists may lag in a busy market: an order that was live and is shown nowhere is told after so long."""
CANCELS_QUIET_FOR = timedelta(minutes=10)
MOST = 500


@dataclass(frozen=True)
class Review:
    """Opens one incident an account and kind, and closes it when there is no such order any more.

    Nothing is stopped by it: orders in doubt wait, all others go on.
    """

    ledger: Ledger
    accounts: Accounts
    clock: Clock

    def review(self) -> dict[str, int]:
        """Do one round.

        Returns:
            How many orders stay in doubt for too long, and how many wait for a person; for the log.
        """
        opened = {incident.key: incident for incident in self.ledger.incidents(only_open=True, limit=10_000)}
        doubtful = self._doubtful()
        questions = self._questions()
        faults = Faults()
        for kind, found in (("in_doubt", doubtful), ("unsettled", questions)):
            self._tell(kind, found, opened, faults)
        self._close_others(opened, faults)
        return {"in_doubt": sum(map(len, doubtful.values())), "unsettled": sum(map(len, questions.values()))}

    def _doubtful(self) -> dict[str, list[Order]]:
        """Return by account the orders that are in doubt long after their absence could have been proved."""
        found: dict[str, list[Order]] = {}
        for (account, state), count in self.ledger.count_orders().items():
            if state is not State.IN_DOUBT or not count:
                continue
            now_ms = self._exchange_ms(account)
            orders = self.ledger.list_orders(OrderFilter(account=account, states=[state], limit=MOST))
            overdue = [o for o in orders if o.last_code not in QUESTIONS and _is_overdue(o, now_ms)]
            if overdue:
                found[account] = overdue
        return found

    def _exchange_ms(self, account: str) -> int:
        now = self.clock.now()
        try:
            return self.accounts.get(account).clock.to_exchange_ms(now)
        except ConfigurationError:  # not served here; its orders are in doubt all the same
            return round(now.timestamp() * 1000)

    def _questions(self) -> dict[str, list[Order]]:
        now = self.clock.now()
        found: dict[str, list[Order]] = defaultdict(list)
        for order in self.ledger.questions(limit=MOST):
            if order.last_code != Question.NOT_SHOWN or now - order.updated_at >= NOT_SHOWN_FOR:
                found[order.account].append(order)
        return found

    def _tell(
        self, kind: str, found: Mapping[str, Sequence[Order]], opened: Mapping[str, Incident], faults: Faults
    ) -> None:
        for account, orders in found.items():
            if f"{kind}:{account}" in opened:
                continue
            with faults.apart("review", account=account):
                said = _in_doubt(account, orders) if kind == "in_doubt" else _unsettled(account, orders)
                self.ledger.open_incident(
                    f"{kind}:{account}",
                    severity=said.severity,
                    title=said.title,
                    detail=said.detail,
                    fix=said.fix,
                    at=self.clock.now(),
                )
        for key in opened:
            prefix, _, account = key.partition(":")
            if prefix == kind and account not in found:
                self.ledger.resolve_incident(key, self.clock.now())

    def _close_others(self, opened: Mapping[str, Incident], faults: Faults) -> None:
        now = self.clock.now()
        for key, incident in opened.items():
            kind, _, about = key.partition(":")
            with faults.apart("review", incident=key):
                is_over = kind == "cancel_failed" and now - incident.last_seen_at >= CANCELS_QUIET_FOR
                if kind == "foreign":
                    is_over = self.ledger.get(OrderId(about)).last_code != Question.FOREIGN
                if is_over:
                    self.ledger.resolve_incident(key, now)


def _is_overdue(order: Order, now_ms: int) -> bool:
    return order.horizon_ms is not None and now_ms > order.horizon_ms + LAG_MS + DOUBT_MARGIN_MS


class _Said(NamedTuple):
    severity: Severity
    title: str
    detail: str
    fix: str


def _in_doubt(account: str, orders: Sequence[Order]) -> _Said:
    oldest = orders[-1]
    return _Said(
        Severity.WARNING,
        f"Orders of account {account} stay in doubt",
        f"{len(orders)} are overdue, for example {oldest.order_id} ({oldest.describe()}), whose request came to "
        f"{oldest.last_code or 'nothing'}. They may be live.",
        "See whether the exchange answers, and whether the account is halted (sluicegate accounts list). Looks "
        f"go on by themselves: sluicegate orders list --account {account} --state in_doubt",
    )


def _unsettled(account: str, orders: Sequence[Order]) -> _Said:
    oldest = orders[0]
    return _Said(
        Severity.CRITICAL,
        f"The exchange cannot tell what became of orders of account {account}",
        f"{len(orders)} wait for a person, for example {oldest.order_id} ({oldest.describe()}), which is "
        f"{oldest.state}: {oldest.last_message} ({oldest.last_code}).",
        "Find each of them in Bybit's order history and statements by its link id, then decide: sluicegate orders "
        f"list --account {account} --unsettled, and sluicegate orders settle ORDER_ID --as absent",
    )
