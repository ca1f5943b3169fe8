"""Orders and fills on our accounts that are not ours: seen and kept, never adopted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update

from sluicegate.domain.holdings import ForeignOrder
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES, State, next_state
from sluicegate.domain.orders import OrderId
from sluicegate.domain.records import EVENT_OF_STATUS, Fill, Sighting
from sluicegate.ledger.executions import upsert
from sluicegate.ledger.store import COUNTED, Store, batches
from sluicegate.ledger.tables import FOREIGN_EXECUTIONS, FOREIGN_ORDERS

FUNDING = "Funding"
"""The `execType` of a funding payment, which is no execution of an order; the wallet shows it."""

UNKNOWN = "Unknown"
"""The `status` of an order that ended while nobody listened, and that no list shows."""


class Foreign(Store):
    """Reads what is known of foreign orders."""

    def children(self, order_id: OrderId) -> list[ForeignOrder]:
        """Return the take-profit and stop-loss orders that came with an order."""
        f = FOREIGN_ORDERS.c
        query = select(FOREIGN_ORDERS).where(f.parent_order_id == order_id).order_by(f.first_seen_at)
        with self._reading() as connection:
            return [_to_foreign(row) for row in connection.execute(query)]

    def foreign_open(self, account: str) -> list[ForeignOrder]:
        """Return the open orders of an account that Sluicegate did not place."""
        f = FOREIGN_ORDERS.c
        query = select(FOREIGN_ORDERS).where(f.account == account, f.is_open).order_by(f.first_seen_at)
        with self._reading() as connection:
            return [_to_foreign(row) for row in connection.execute(query)]

    def close_foreign(
        self, account: str, exchange_order_ids: Sequence[str], *, before_ms: int, at: datetime
    ) -> None:
        """Mark foreign orders as ended, nobody knows how; see the port."""
        f = FOREIGN_ORDERS.c
        with self._writing() as connection:
            for some in batches(exchange_order_ids):
                lost = (f.account == account, f.exchange_order_id.in_(some), f.is_open, f.updated_ms < before_ms)
                fresh = {"is_open": False, "status": UNKNOWN, "seen_at": at}
                connection.execute(update(FOREIGN_ORDERS).where(*lost).values(fresh))


def store_foreign_orders(
    connection: Connection,
    account: str,
    sightings: Sequence[Sighting],
    parents: Mapping[str, str],
    at: datetime,
    *,
    is_sqlite: bool,
) -> int:
    """Store foreign orders as shown; what is older than what is known changes nothing.

    Args:
        connection: in a transaction.
        account: whose they are.
        sightings: oldest first; of each order only the newest is kept.
        parents: order ids by link id, of those orders of ours that may be parents.
        at: local time.
        is_sqlite: which database it is.

    Returns:
        How many rows changed.
    """
    newest: dict[str, Sighting] = {}
    for seen in sightings:
        known = newest.get(seen.exchange_order_id)
        if known is None or _age(seen) >= _age(known):
            newest[seen.exchange_order_id] = seen
    f, changed = FOREIGN_ORDERS.c, 0
    for key in sorted(newest):  # always in this order, against deadlocks
        row = _from_sighting(account, newest[key], parents, at)
        stored = upsert(is_sqlite=is_sqlite)(FOREIGN_ORDERS).values(row)
        fresh = {name: stored.excluded[name] for name in _CHANGING}
        is_newer = (f.updated_ms < stored.excluded.updated_ms) | (
            (f.updated_ms == stored.excluded.updated_ms) & f.is_open & (f.status != stored.excluded.status)
        )
        stored = stored.on_conflict_do_update(index_elements=_KEY, set_=fresh, where=is_newer)
        changed += connection.execute(stored, execution_options=COUNTED).rowcount
    return changed


def store_foreign_fills(connection: Connection, account: str, fills: Sequence[Fill], *, is_sqlite: bool) -> int:
    """Store executions of foreign orders, liquidations among them; funding is none. Returns how many were new."""
    rows = [_from_fill(account, fill) for fill in fills if fill.exec_type != FUNDING]
    rows.sort(key=lambda row: (row["exchange_order_id"], row["exec_id"]))
    if not rows:
        return 0
    stored = upsert(is_sqlite=is_sqlite)(FOREIGN_EXECUTIONS).values(rows).on_conflict_do_nothing()
    return int(connection.execute(stored, execution_options=COUNTED).rowcount)


_KEY = ["account", "exchange_order_id"]
_CHANGING = ("status", "is_open", "qty", "price", "cum_exec_qty", "avg_price", "updated_ms", "seen_at")


def _age(seen: Sighting) -> tuple[int, bool]:
    return seen.updated_ms, not _is_open(seen)


def _is_open(seen: Sighting) -> bool:
    event = EVENT_OF_STATUS.get(seen.status)
    return event is None or next_state(State.LIVE, event) in ON_EXCHANGE_STATES


def _from_sighting(account: str, seen: Sighting, parents: Mapping[str, str], at: datetime) -> dict[str, Any]:
    return {
        "account": account,
        "exchange_order_id": seen.exchange_order_id,
        "link_id": seen.link_id,
        "parent_order_id": parents.get(seen.parent_link_id),
        "category": seen.category,
        "symbol": seen.symbol,
        "side": seen.side,
        "stop_order_type": seen.stop_order_type,
        "status": seen.status,
        "is_open": _is_open(seen),
        "qty": seen.qty,
        "price": seen.price,
        "cum_exec_qty": seen.cum_exec_qty,
        "avg_price": seen.avg_price,
        "updated_ms": seen.updated_ms,
        "first_seen_at": at,
        "seen_at": at,
    }


def _from_fill(account: str, fill: Fill) -> dict[str, Any]:
    return {
        "account": account,
        "exchange_order_id": fill.exchange_order_id,
        "exec_id": fill.exec_id,
        "exec_type": fill.exec_type,
        "category": fill.category,
        "symbol": fill.symbol,
        "side": fill.side,
        "qty": fill.qty,
        "price": fill.price,
        "fee": fill.fee,
        "fee_coin": fill.fee_coin,
        "is_maker": fill.is_maker,
        "executed_at": fill.executed_at,
    }


def _to_foreign(row: Any) -> ForeignOrder:
    return ForeignOrder(
        account=row.account,
        exchange_order_id=row.exchange_order_id,
        link_id=row.link_id,
        parent_order_id=row.parent_order_id,
        category=row.category,
        symbol=row.symbol,
        side=row.side,
        stop_order_type=row.stop_order_type,
        status=row.status,
        is_open=row.is_open,
        qty=row.qty,
        price=row.price,
        cum_exec_qty=row.cum_exec_qty,
        avg_price=row.avg_price,
    )
