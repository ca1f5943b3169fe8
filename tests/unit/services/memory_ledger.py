"""A ledger in memory that behaves as the SQL one; `test_memory_ledger.py` compares the two."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sluicegate.domain.batches import Line
from sluicegate.domain.errors import LedgerConflict, OrderNotFound
from sluicegate.domain.lifecycle import END_STATES, OPEN_STATES, UNSENT_STATES, Event, State, next_state
from sluicegate.domain.orders import Execution, NewOrder, Order, OrderEvent, OrderId, Receipt
from sluicegate.domain.records import (
    OPEN_CHANGES,
    QUESTIONS,
    AccountRecord,
    Change,
    ChangeState,
    DeadLetter,
    Halt,
    Incident,
    Severity,
)
from sluicegate.ports import ChangePatch, Clock, Move, OrderFilter, Patch


class MemoryLedger:
    """What services need of `sluicegate.ports.Ledger`; every call is atomic."""

    def __init__(self, clock: Clock, *, actor: str = "memory") -> None:
        self._clock = clock
        self._actor = actor
        self.orders: dict[OrderId, Order] = {}
        self.trail: list[OrderEvent] = []
        self.all_changes: dict[str, Change] = {}
        self.fills: dict[tuple[OrderId, str], Execution] = {}
        self.letters: dict[OrderId, DeadLetter] = {}
        self._halts: dict[str, Halt] = {}
        self._incidents: dict[str, Incident] = {}
        self._accounts: dict[str, AccountRecord] = {}

    # --- orders -----------------------------------------------------------------------------------------------

    def accept(
        self, orders: Sequence[NewOrder], *, wake_at: datetime | Mapping[OrderId, datetime]
    ) -> list[Receipt | LedgerConflict]:
        """Store new orders, once a client order id."""
        return [
            self._accept(order, wake_at[order.order_id] if isinstance(wake_at, Mapping) else wake_at)
            for order in orders
        ]

    def _accept(self, new: NewOrder, wake_at: datetime) -> Receipt | LedgerConflict:
        request = new.request
        holder = self.find(request.account, new.client_order_id)
        if holder is not None and holder.fingerprint != request.fingerprint():
            return LedgerConflict(f"{new.client_order_id!r} is taken", order_id=holder.order_id)
        is_new = holder is None
        if holder is None:
            holder = Order(
                order_id=new.order_id,
                link_id=new.link_id,
                account=request.account,
                request=request,
                state=State.ACCEPTED,
                version=1,
                created_at=new.created_at,
                updated_at=new.created_at,
                client_order_id=new.client_order_id,
                fingerprint=request.fingerprint(),
                priority=request.priority,
                due_at=new.due_at,
                wake_at=max(wake_at, new.due_at),
                deadline_at=new.deadline_at,
                replay_of=new.replay_of,
            )
            self.orders[new.order_id] = holder
            self._write(holder, "accepted", "", {"request": request.to_json()}, new.created_at)
        return Receipt(
            holder.order_id, holder.link_id, holder.account, holder.client_order_id, holder.state, is_new
        )

    def get(self, order_id: OrderId) -> Order:
        """Return an order."""
        if order_id not in self.orders:
            raise OrderNotFound(f"no order {order_id}")
        return self.orders[order_id]

    def get_many(self, order_ids: Collection[OrderId]) -> list[Order]:
        """Return those orders that exist."""
        return [self.orders[order_id] for order_id in order_ids if order_id in self.orders]

    def find(self, account: str, client_order_id: str) -> Order | None:
        """Return the order under a producer's id."""
        key = (account, client_order_id)
        return next((o for o in self.orders.values() if (o.account, o.client_order_id) == key), None)

    def list_orders(self, wanted: OrderFilter) -> list[Order]:
        """Return orders, newest first."""
        found = [
            order
            for order in self.orders.values()
            if wanted.account in (None, order.account)
            and (wanted.states is None or order.state in wanted.states)
            and wanted.symbol in (None, order.symbol)
            and (wanted.before is None or order.order_id < wanted.before)
        ]
        return sorted(found, key=lambda order: order.order_id, reverse=True)[: wanted.limit]

    def events(self, order_id: OrderId) -> list[OrderEvent]:
        """Return the audit trail of an order."""
        return [event for event in self.trail if event.order_id == order_id]

    def note(self, order_id: OrderId, event: str, detail: Mapping[str, Any]) -> None:
        """Write an event that changes no state."""
        order = self.get(order_id)
        self._write(order, event, order.state.value, detail, self._clock.now())

    def transition(
        self,
        order: Order,
        event: Event,
        patch: Patch,
        detail: Mapping[str, Any],
        *,
        dead_letter: DeadLetter | None = None,
        done: Change | None = None,
    ) -> Order | None:
        """Move an order by compare-and-set."""
        state = next_state(order.state, event)
        stored = self.orders.get(order.order_id)
        if stored is None or (stored.version, stored.state) != (order.version, order.state):
            return None
        if done is not None:
            finished: ChangePatch = {"wake_at": None, "last_code": "0", "last_message": "acknowledged"}
            if self.move_change(done, ChangeState.DONE, finished, {}) is None:
                return None
        now = self._clock.now()
        changes: dict[str, Any] = {**patch, "state": state, "version": order.version + 1, "updated_at": now}
        if state in END_STATES:
            changes.update(wake_at=None, lease_until=None)
        moved = replace(stored, **changes)
        self.orders[order.order_id] = moved
        self._write(moved, event.value, order.state.value, detail, now)
        if dead_letter is not None:
            self.letters[order.order_id] = dead_letter
        return replace(order, **{**changes, "wake_at": moved.wake_at})

    def transition_many(self, moves: Sequence[Move]) -> list[Order | None]:
        """Move several orders, each by compare-and-set."""
        for move in moves:
            next_state(move.order.state, move.event)
        return [self.transition(m.order, m.event, m.patch, m.detail, dead_letter=m.dead_letter) for m in moves]

    def _write(self, order: Order, event: str, before: str, detail: Mapping[str, Any], at: datetime) -> None:
        line = OrderEvent(
            order.order_id, order.version, at, event, before, order.state.value, self._actor, dict(detail)
        )
        self.trail.append(line)

    def count_orders(self) -> Counter[tuple[str, State]]:
        """Count orders by account and state."""
        return Counter((order.account, order.state) for order in self.orders.values())

    # --- schedule ---------------------------------------------------------------------------------------------

    def due_states(self, now: datetime) -> frozenset[State]:
        """Return the states in which something is due."""
        return frozenset(o.state for o in self.orders.values() if o.wake_at is not None and o.wake_at <= now)

    def rest(self, orders: Collection[Order], at: datetime) -> None:
        """Let taken orders sleep until `at`."""
        for order in orders:
            stored = self.orders[order.order_id]
            if stored.wake_at == order.wake_at:
                self.orders[order.order_id] = replace(stored, wake_at=at)

    def overdue(self, now: datetime, *, limit: int) -> list[Order]:
        """Return unsent orders past their deadline."""
        unsent = [(o.deadline_at, o) for o in self.orders.values() if o.state in UNSENT_STATES]
        late = [(at, order) for at, order in unsent if at is not None and at <= now]
        return [order for _at, order in sorted(late, key=lambda pair: pair[0])][:limit]

    def parked_accounts(self) -> list[str]:
        """Return the accounts that have parked orders."""
        return sorted({order.account for order in self.orders.values() if order.state is State.PARKED})

    def due_lines(self, now: datetime) -> list[Line]:
        """Return the lines with due orders."""
        waiting = (o for o in self.orders.values() if o.state is State.ACCEPTED)
        return sorted({(o.account, o.category) for o in waiting if o.wake_at is not None and o.wake_at <= now})

    def take_due_of(self, line: Line, now: datetime, *, limit: int, snooze: timedelta) -> list[Order]:
        """Take due orders of a line, most urgent first."""
        mine = {key: order for key, order in self.orders.items() if (order.account, order.category) == line}
        return self._take(mine, now, [State.ACCEPTED], limit, snooze)

    def accounts(self) -> list[AccountRecord]:
        """Return the accounts."""
        return list(self._accounts.values())

    def take_due(self, now: datetime, *, states: Collection[State], limit: int, snooze: timedelta) -> list[Order]:
        """Take due orders, most urgent first."""
        return self._take(self.orders, now, states, limit, snooze)

    def _take(
        self,
        orders: Mapping[OrderId, Order],
        now: datetime,
        states: Collection[State],
        limit: int,
        snooze: timedelta,
    ) -> list[Order]:
        due = [
            order
            for order in orders.values()
            if order.state in states and order.wake_at is not None and order.wake_at <= now
        ]
        due.sort(key=lambda order: (-order.priority, order.wake_at, order.order_id))
        taken = [replace(order, wake_at=now + snooze) for order in due[:limit]]
        self.orders.update({order.order_id: order for order in taken})
        return taken

    def wake(self, order_id: OrderId, at: datetime) -> None:
        """Let the scheduler look at an open order sooner."""
        order = self.orders.get(order_id)
        if order is not None and order.state in OPEN_STATES and (order.wake_at is None or order.wake_at > at):
            self.orders[order_id] = replace(order, wake_at=at)

    def accepted_within(self, account: str, until: datetime, window: timedelta) -> int:
        """Count young orders of an account."""
        return sum(
            order.account == account and until - window < order.created_at <= until
            for order in self.orders.values()
        )

    def questions(self, *, limit: int) -> list[Order]:
        """Return the open orders that a person must decide about."""
        asked = [o for o in self.orders.values() if o.last_code in QUESTIONS and o.state in OPEN_STATES]
        return sorted(asked, key=lambda order: order.order_id)[:limit]

    def fates_within(self, account: str, until: datetime, window: timedelta) -> tuple[int, int]:
        """Count the dead letters and the acknowledged orders of an account."""
        since = until - window
        buried = [x.created_at for x in self.letters.values() if x.account == account]
        placed = [o.acked_at for o in self.orders.values() if o.account == account and o.acked_at is not None]
        return sum(since < at <= until for at in buried), sum(since < at <= until for at in placed)

    # --- fills ------------------------------------------------------------------------------------------------

    def add_executions(self, executions: Sequence[Execution]) -> int:
        """Store fills that are not known yet."""
        if any(fill.order_id not in self.orders for fill in executions):
            raise OrderNotFound("a fill names an order that the ledger does not have")
        before = len(self.fills)
        for fill in executions:
            self.fills.setdefault((fill.order_id, fill.exec_id), fill)
        return len(self.fills) - before

    def executions(self, order_id: OrderId) -> list[Execution]:
        """Return the fills of an order, oldest first."""
        found = [fill for fill in self.fills.values() if fill.order_id == order_id]
        return sorted(found, key=lambda fill: (fill.executed_at, fill.exec_id))

    # --- changes ----------------------------------------------------------------------------------------------

    def add_change(self, change: Change) -> Change:
        """Store a change; sets its sequence."""
        order = self.get(change.order_id)
        numbered = replace(change, sequence=len(self.changes(change.order_id)) + 1)
        self.all_changes[change.change_id] = numbered
        detail = {"change_id": change.change_id, **change.fields}
        self._write(order, f"{change.kind.value}_requested", order.state.value, detail, change.created_at)
        return numbered

    def changes(self, order_id: OrderId) -> list[Change]:
        """Return the changes of an order, oldest first."""
        found = [change for change in self.all_changes.values() if change.order_id == order_id]
        return sorted(found, key=lambda change: change.sequence)

    def open_changes(self, order_id: OrderId) -> list[Change]:
        """Return the changes of an order that are not settled."""
        return [change for change in self.changes(order_id) if change.state in OPEN_CHANGES]

    def move_change(
        self, change: Change, state: ChangeState, patch: ChangePatch, detail: Mapping[str, Any]
    ) -> Change | None:
        """Move a change by compare-and-set."""
        stored = self.all_changes[change.change_id]
        if stored.version != change.version or stored.state not in OPEN_CHANGES:
            return None
        changes: dict[str, Any] = {**patch, "state": state, "version": change.version + 1}
        if state not in OPEN_CHANGES:
            changes["wake_at"] = None
        moved = replace(stored, **changes)
        self.all_changes[change.change_id] = moved
        facts = {"change_id": change.change_id, **detail}
        self.note(change.order_id, f"{change.kind.value}_{state.value}", facts)
        return moved

    def rest_change(self, change: Change, at: datetime) -> None:
        """Let an open change sleep until `at`."""
        stored = self.all_changes[change.change_id]
        if stored.version == change.version and stored.state in OPEN_CHANGES:
            self.all_changes[change.change_id] = replace(stored, wake_at=at)

    def take_due_changes(self, now: datetime, *, limit: int, snooze: timedelta) -> list[Change]:
        """Take due changes, oldest first."""
        due = [c for c in self.all_changes.values() if c.wake_at is not None and c.wake_at <= now]
        due.sort(key=lambda change: (change.created_at, change.order_id, change.sequence))
        taken = [replace(change, wake_at=now + snooze) for change in due[:limit]]
        self.all_changes.update({change.change_id: change for change in taken})
        return taken

    # --- records ----------------------------------------------------------------------------------------------

    def dead_letters(self) -> list[DeadLetter]:
        """Return the open dead letters."""
        return [letter for letter in self.letters.values() if letter.is_open]

    def dead_letter(self, order_id: OrderId) -> DeadLetter:
        """Return a dead letter."""
        if order_id not in self.letters:
            raise OrderNotFound(f"order {order_id} has no dead letter")
        return self.letters[order_id]

    def discard_dead_letter(self, order_id: OrderId, *, at: datetime, note: str = "") -> bool:
        """Discard a dead letter."""
        letter = self.letters.get(order_id)
        if letter is None or not letter.is_open:
            return False
        self.letters[order_id] = replace(letter, discarded_at=at)
        order = self.get(order_id)
        self._write(order, "dead_letter_discarded", order.state, {"note": note} if note else {}, at)
        return True

    def replay_dead_letter(self, fresh: NewOrder, *, wake_at: datetime) -> Receipt | LedgerConflict:
        """Store a new order in place of a dead one, and mark its letter."""
        assert fresh.replay_of is not None
        original = self.get(fresh.replay_of)
        letter = self.dead_letter(original.order_id)
        holder = self.find(fresh.request.account, fresh.client_order_id)
        is_repeat = (
            holder is not None
            and holder.order_id == letter.replayed_as
            and holder.fingerprint == fresh.request.fingerprint()
        )
        refusal = "" if is_repeat else letter.refusal(original.state)
        if refusal:
            return LedgerConflict(refusal, order_id=letter.replayed_as or original.order_id)
        if holder is not None and not is_repeat:
            return LedgerConflict(f"{fresh.client_order_id!r} is taken", order_id=holder.order_id)
        receipt = self._accept(fresh, wake_at)
        if not is_repeat:
            self.letters[original.order_id] = replace(letter, replayed_as=fresh.order_id)
            detail = {"replayed_as": fresh.order_id}
            self._write(original, "dead_letter_replayed", original.state, detail, fresh.created_at)
        return receipt

    def halt(self, halt: Halt) -> bool:
        """Store a halt; False when there was one."""
        known = self._halts.get(halt.scope)
        is_over = known is not None and known.until is not None and known.until <= halt.since
        if known is None or is_over:
            self._halts[halt.scope] = halt
        elif known.until is not None and (halt.until is None or halt.until > known.until):
            self._halts[halt.scope] = replace(halt, since=known.since)
        return known is None or is_over

    def lift(self, scope: str) -> Halt | None:
        """Remove a halt."""
        return self._halts.pop(scope, None)

    def halts(self, scopes: Collection[str] | None = None) -> list[Halt]:
        """Return halts."""
        return [halt for scope, halt in sorted(self._halts.items()) if scopes is None or scope in scopes]

    def open_incident(
        self, key: str, *, severity: Severity, title: str, detail: str, fix: str, at: datetime
    ) -> tuple[Incident, bool]:
        """Open an incident, or count it up."""
        known = self._incidents.get(key)
        fresh = Incident(len(self._incidents) + 1, key, severity, title, detail, fix, at, at)
        self._incidents[key] = fresh if known is None else replace(known, count=known.count + 1, last_seen_at=at)
        return self._incidents[key], known is None

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> list[Incident]:
        """Return the unresolved incidents, newest first; it keeps no others."""
        return list(reversed(self._incidents.values()))[:limit]

    def open_incidents(self) -> dict[str, Incident]:
        """Return the unresolved incidents by key; for tests."""
        return dict(self._incidents)

    def resolve_incident(self, key: str, at: datetime) -> Incident | None:
        """Close an incident."""
        known = self._incidents.pop(key, None)
        return None if known is None else replace(known, resolved_at=at)

    def register_account(self, record: AccountRecord) -> AccountRecord:
        """Store or complete an account."""
        known = self._accounts.get(record.name)
        if known is None or (record.uid and not known.uid):
            self._accounts[record.name] = known = record
        return known
