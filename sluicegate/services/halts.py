"""Halts: stop an account or an egress IP, tell a person once, and let it go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from sluicegate.domain.errors import OrderRejected
from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import Order
from sluicegate.domain.outcomes import Action
from sluicegate.domain.policy import Breaker
from sluicegate.domain.records import Halt, Severity, account_scope, egress_scope
from sluicegate.ports import Buckets, Clock, CodeBook, Ledger, Move, OrderFilter, Quotas

log = structlog.get_logger(__name__)

BY_HAND = "manual"
BREAKER = "breaker"
_ORDERS_ALONE = frozenset({BY_HAND, BREAKER})
"""Halts that the exchange did not ask for: cancels and looks go on."""


@dataclass(frozen=True)
class Halts:
    """Who may not send, and why.

    Args:
        egress: name of the public IP that this host's requests leave from.
        breaker: when too many dead letters halt an account.
        forget_key: drops an account's key from memory, so that a halt is over once the right one is in its place.
    """

    ledger: Ledger
    buckets: Buckets
    quotas: Quotas
    codes: CodeBook
    clock: Clock
    egress: str
    breaker: Breaker
    forget_key: Callable[[str], None]
    ip_halt_s: float = 600.0

    def on(self, account: str) -> Halt | None:
        """Return the halt that stops an account now, or None; the longest one if there are two."""
        return _longest(self._standing(account))

    def silencing(self, account: str) -> Halt | None:
        """Return the halt that stops cancels and looks too: any but a person's and the breaker's."""
        return _longest([halt for halt in self._standing(account) if halt.code not in _ORDERS_ALONE])

    def _standing(self, account: str) -> list[Halt]:
        now = self.clock.now()
        found = self.ledger.halts([account_scope(account), egress_scope(self.egress)])
        return [halt for halt in found if halt.until is None or halt.until > now]

    def halt_account(self, account: str, *, code: str, message: str, cause: str, fix: str) -> None:
        """Send nothing for an account until a person resumes it; one incident, one page."""
        self.forget_key(account)
        now = self.clock.now()
        halt = Halt(account_scope(account), code, message, cause, fix, since=now)
        if self.ledger.halt(halt):
            log.error("account_halted", account=account, ret_code=code, ret_msg=message)
        if code == BY_HAND:
            return
        self.ledger.open_incident(
            f"halt:{halt.scope}",
            severity=Severity.CRITICAL,
            title=f"Account {account} is halted: {code}",
            detail=_sentences(message, cause),
            fix=f"{fix} Then run: sluicegate accounts resume {account}".strip(),
            at=now,
        )

    def before_dead_letter(self, account: str, *, dying: int = 0, placed: int = 0) -> Halt | None:
        """Halt an account of which too many orders become dead letters; asked before each of them.

        A wrong deployment then parks its orders instead of dead-lettering them one and all. The ledger counts, so
        it holds across all workers; as many more may still become dead letters as workers have orders in hand.

        Args:
            account: whose order it is.
            dying: orders that became dead letters, and are not written down yet.
            placed: orders that were acknowledged, and are not written down yet.

        Returns:
            The halt under which the order is parked; None: it may become a dead letter.
        """
        window_s = self.breaker.window_s
        buried, lived = self.ledger.fates_within(account, self.clock.now(), timedelta(seconds=window_s))
        dead, lived = buried + dying + 1, lived + placed
        all_of_them = dead + lived
        if not self.breaker.trips(dead, lived):
            return None
        self.halt_account(
            account,
            code=BREAKER,
            message=f"{dead} of {all_of_them} orders of the last {window_s:g} s would be dead letters",
            cause="Something other than single orders is wrong: a deployment, a setting, the account itself.",
            fix=f"See: sluicegate dead-letters list --account {account}. Mend the cause, cancel what must not go.",
        )
        return self.on(account)

    def halt_egress(self, *, until: datetime, code: str, message: str, cause: str, fix: str) -> None:
        """Send nothing from this IP until `until`; one incident, one page."""
        now = self.clock.now()
        halt = Halt(egress_scope(self.egress), code, message, cause, fix, since=now, until=until)
        if self.ledger.halt(halt):
            log.error("egress_halted", egress=self.egress, ret_code=code, until=until.isoformat())
        self.buckets.block(self.quotas.egress(), for_s=max(0.0, (until - now).total_seconds()))
        self.ledger.open_incident(
            f"halt:{halt.scope}",
            severity=Severity.CRITICAL,
            title=f"Everything from IP {self.egress} stops until {until:%H:%M:%S} UTC: {code}",
            detail=_sentences(message, cause),
            fix=fix,
            at=now,
        )

    def obey(self, account: str, refused: OrderRejected) -> Halt | None:
        """Halt what a refused query says must halt.

        Args:
            account: whose query it was.
            refused: with the code.

        Returns:
            The halt that stops the account now; None when the code does not call for one.
        """
        refusal = self.codes.refusal(refused.ret_code, str(refused))
        said = {
            "code": refusal.code,
            "message": refusal.message,
            "cause": refusal.cause,
            "fix": refusal.fix,
        }
        if refusal.action is Action.HALT_ACCOUNT:
            self.halt_account(account, **said)
        elif refusal.action is Action.HALT_IP:
            self.halt_egress(until=self.clock.now() + timedelta(seconds=self.ip_halt_s), **said)
        else:
            return None
        return self.on(account)

    def lift_expired(self) -> list[Halt]:
        """Remove halts whose time is over and close their incidents."""
        now = self.clock.now()
        over = [halt for halt in self.ledger.halts() if halt.until is not None and halt.until <= now]
        for halt in over:
            self.ledger.lift(halt.scope)
            self.ledger.resolve_incident(f"halt:{halt.scope}", now)
            log.info("halt_lifted", scope=halt.scope)
        return over

    def resume(self, account: str) -> tuple[Halt | None, int]:
        """Lift the halt of an account and release its parked orders; those past their deadline expire.

        Returns:
            The halt that was lifted (None: it was not halted), and how many orders were released.
        """
        halt = self.ledger.lift(account_scope(account))
        self.ledger.resolve_incident(f"halt:{account_scope(account)}", self.clock.now())
        return halt, self.unpark(account)

    def unpark(self, account: str) -> int:
        """Release the parked orders of an account; returns how many may go out."""
        total = 0
        while True:
            released, moved = self.unpark_some(account)
            total += released
            if not moved:
                return total

    def unpark_some(self, account: str) -> tuple[int, int]:
        """Release at most 500 parked orders of an account, in one transaction.

        Returns:
            How many may go out, and how many were parked; the others expired.
        """
        now = self.clock.now()
        wanted = OrderFilter(account=account, states=[State.PARKED], limit=500)
        moves = [_unparking(order, now) for order in self.ledger.list_orders(wanted)]
        moved = [order for order in self.ledger.transition_many(moves) if order is not None]
        return sum(order.state is State.ACCEPTED for order in moved), len(moved)


def _unparking(order: Order, now: datetime) -> Move:
    """Return the move of a parked order that may go on; one whose time is over expires."""
    if order.deadline_at is not None and order.deadline_at <= now:
        return Move(order, Event.EXPIRED, {}, {"why": "its deadline passed while the account was halted"})
    due_at = now if order.due_at is None else max(now, order.due_at)
    return Move(order, Event.UNPARKED, {"due_at": due_at, "wake_at": due_at}, {})


def _longest(halts: list[Halt]) -> Halt | None:
    return min(halts, key=lambda halt: (halt.until is not None, halt.scope), default=None)


def _sentences(*parts: str) -> str:
    """Join texts, each ended by one full stop."""
    return " ".join(f"{part.strip().rstrip('.')}." for part in parts if part.strip())
