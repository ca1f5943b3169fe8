"""Taking orders in: stored once per producer's id, however often they are handed over."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from sluicegate.domain.errors import LedgerConflict, OrderNotFound
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import NewOrder, OrderId, OrderLinkId, Receipt
from sluicegate.ledger.dead_letters import lock_dead_letter
from sluicegate.ledger.rows import from_new_order
from sluicegate.ledger.statements import NEW_EVENT, new_order
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import DEAD_LETTERS, ORDERS

_Key = tuple[str, str]
_LOOKUP_SIZE = 1000


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An order as it will be stored; made before the transaction, which others wait for."""

    key: _Key
    row: Mapping[str, Any]

    @classmethod
    def of(cls, order: NewOrder, wake_at: datetime | Mapping[OrderId, datetime]) -> _Candidate:
        row = from_new_order(order, order.request.fingerprint())
        if isinstance(wake_at, Mapping):
            wake_at = wake_at[order.order_id]
        row["wake_at"] = max(wake_at, row["due_at"])
        return cls((row["account"], row["client_order_id"]), row)


@dataclass(frozen=True, slots=True)
class _Holder:
    """The order that holds a key."""

    order_id: OrderId
    link_id: OrderLinkId
    state: State
    fingerprint: str

    @classmethod
    def of(cls, row: Mapping[Any, Any]) -> _Holder:
        return cls(OrderId(row["order_id"]), OrderLinkId(row["link_id"]), State(row["state"]), row["fingerprint"])


class Acceptance(Store):
    """Stores new orders."""

    def accept(
        self, orders: Sequence[NewOrder], *, wake_at: datetime | Mapping[OrderId, datetime]
    ) -> list[Receipt | LedgerConflict]:
        """Store new orders, each with its first event, in one transaction; see the port.

        When this raises `LedgerUnavailable` the commit may have happened all the same: hand over the same
        `NewOrder`s again, they are not stored twice.
        """
        candidates = [_Candidate.of(order, wake_at) for order in orders]
        if not candidates:
            return []
        with self._writing() as connection:
            return self._accept(connection, candidates)

    def replay_dead_letter(self, fresh: NewOrder, *, wake_at: datetime) -> Receipt | LedgerConflict:
        """Store a new order in place of a dead one, and mark the letter, in one transaction; see the port."""
        if fresh.replay_of is None:
            raise ValueError(f"order {fresh.order_id} names no order that it replays")
        original_id, candidate = fresh.replay_of, _Candidate.of(fresh, wake_at)
        with self._writing() as connection:
            return self._replay(connection, original_id, candidate)

    def _replay(
        self, connection: Connection, original_id: OrderId, candidate: _Candidate
    ) -> Receipt | LedgerConflict:
        state = _lock_state(connection, original_id)  # before the letter, as every move of an order does
        letter = lock_dead_letter(connection, original_id)
        holder = _holders(connection, [candidate]).get(candidate.key)
        if (
            holder is not None
            and letter.replayed_as == holder.order_id
            and holder.fingerprint == candidate.row["fingerprint"]
        ):
            return _answer(candidate, holder, is_new=False)
        refusal = letter.refusal(state)
        if refusal:
            return LedgerConflict(refusal, order_id=letter.replayed_as or original_id)
        if holder is None and not self._insert(connection, {candidate.key: candidate}):
            holder = _holders(connection, [candidate])[candidate.key]  # someone took the key just now
        if holder is not None:
            advice = "which is no replay of this dead letter; use a new client_order_id"
            return _conflict(candidate, holder, advice)
        replayed_as, at = candidate.row["order_id"], candidate.row["created_at"]
        mine = DEAD_LETTERS.c.order_id == original_id
        connection.execute(update(DEAD_LETTERS).where(mine).values(replayed_as=replayed_as))
        self._note(connection, original_id, "dead_letter_replayed", {"replayed_as": replayed_as}, at)
        return _answer(candidate, _Holder.of(candidate.row), is_new=True)

    def _accept(self, connection: Connection, candidates: Sequence[_Candidate]) -> list[Receipt | LedgerConflict]:
        first: dict[_Key, _Candidate] = {}
        for candidate in candidates:
            first.setdefault(candidate.key, candidate)
        stored = self._insert(connection, first)
        holders = {key: _Holder.of(c.row) for key, c in first.items() if c.row["order_id"] in stored}
        holders |= _holders(connection, [c for c in candidates if c.key not in holders])
        is_new = {id(c) for c in first.values() if c.row["order_id"] in stored}
        return [_answer(c, holders[c.key], is_new=id(c) in is_new) for c in candidates]

    def _insert(self, connection: Connection, fresh: Mapping[_Key, _Candidate]) -> set[str]:
        """Store those whose key and id nobody holds, each with its first event; returns their order ids."""
        # In the order of the keys: two calls that share some wait for each other, and never in a circle.
        rows = [dict(fresh[key].row) for key in sorted(fresh)]
        stored = set(connection.execute(new_order(is_sqlite=self._is_sqlite), rows).scalars())
        events = [self._first_event(row) for row in rows if row["order_id"] in stored]
        if events:
            connection.execute(NEW_EVENT, events)
        return stored

    def _first_event(self, row: Mapping[str, Any]) -> dict[str, Any]:
        detail = {"request": row["request"]}
        if row["replay_of"] is not None:
            detail["replay_of"] = row["replay_of"]
        return {
            "order_id": row["order_id"],
            "version": row["version"],
            "at": row["created_at"],
            "event": "accepted",
            "from_state": "",
            "to_state": row["state"],
            "actor": self._actor,
            "detail": detail,
        }


def _holders(connection: Connection, candidates: Iterable[_Candidate]) -> dict[_Key, _Holder]:
    """Return who holds the candidates' keys in the database."""
    ids: dict[str, list[str]] = defaultdict(list)
    for account, client_order_id in dict.fromkeys(candidate.key for candidate in candidates):
        ids[account].append(client_order_id)
    o = ORDERS.c
    wanted = select(o.client_order_id, o.order_id, o.link_id, o.state, o.fingerprint)
    holders: dict[_Key, _Holder] = {}
    for account, client_order_ids in ids.items():
        for start in range(0, len(client_order_ids), _LOOKUP_SIZE):
            some = client_order_ids[start : start + _LOOKUP_SIZE]
            for row in connection.execute(
                wanted.where(o.account == account, o.client_order_id.in_(some))
            ).mappings():
                holders[account, row["client_order_id"]] = _Holder.of(row)
    return holders


def _lock_state(connection: Connection, order_id: str) -> State:
    """Keep every other writer off an order, and return its state.

    Without a key change in mind: event rows that point at it must not wait (`discard_dead_letter` writes one while
    it holds the letter).

    Raises:
        OrderNotFound: there is none.
    """
    locked = select(ORDERS.c.state).where(ORDERS.c.order_id == order_id).with_for_update(key_share=True)
    state = connection.execute(locked).scalar_one_or_none()
    if state is None:
        raise OrderNotFound(f"no order {order_id}")
    return State(state)


def _conflict(candidate: _Candidate, holder: _Holder, advice: str) -> LedgerConflict:
    account, client_order_id = candidate.key
    text = (
        f"client_order_id {client_order_id!r} of account {account!r} belongs to order {holder.order_id}, {advice}"
    )
    return LedgerConflict(text, order_id=holder.order_id)


def _answer(candidate: _Candidate, holder: _Holder, *, is_new: bool) -> Receipt | LedgerConflict:
    if holder.fingerprint != candidate.row["fingerprint"]:
        advice = "which has other content; use a new client_order_id, or send the same content"
        return _conflict(candidate, holder, advice)
    account, client_order_id = candidate.key
    return Receipt(
        order_id=holder.order_id,
        order_link_id=holder.link_id,
        account=account,
        client_order_id=client_order_id,
        state=holder.state,
        is_new=is_new,
    )
