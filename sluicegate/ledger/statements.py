"""Statements that every order needs, built once: to build one anew takes SQLAlchemy as long as to run it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Update, bindparam, insert, select, update

from sluicegate.ledger.executions import upsert
from sluicegate.ledger.tables import HALTS, ORDER_EVENTS, ORDERS

_O = ORDERS.c
_IS_AMONG = _O.order_id.in_(bindparam("order_ids", expanding=True))

ORDER: Final = select(ORDERS).where(_O.order_id == bindparam("order_id"))
"""The order `order_id`."""

SOME_ORDERS: Final = select(ORDERS).where(_IS_AMONG)
"""The orders `order_ids`."""

LOCKED_ORDERS: Final = SOME_ORDERS.order_by(_O.order_id).with_for_update(key_share=True)
"""The same, kept from every other writer; in the order of their ids, against deadlocks."""

LOCKED_STANDING: Final = (
    select(_O.order_id, _O.version, _O.state, _O.wake_at).where(_IS_AMONG).order_by(_O.order_id).with_for_update()
)
"""How the orders `order_ids` stand, kept from every other writer."""

SOME_HALTS: Final = (
    select(HALTS).where(HALTS.c.scope.in_(bindparam("scopes", expanding=True))).order_by(HALTS.c.scope)
)
"""The halts of `scopes`."""

NEW_EVENT: Final = insert(ORDER_EVENTS).inline()


@lru_cache(maxsize=2)
def new_order(*, is_sqlite: bool) -> Any:
    """Return the statement that stores an order whose key and id nobody holds, and returns its id."""
    return upsert(is_sqlite=is_sqlite)(ORDERS).on_conflict_do_nothing().returning(_O.order_id)


@lru_cache(maxsize=256)
def set_unmoved(names: tuple[str, ...]) -> Update:
    """Return the statement that sets columns of the order `is_id` while it is at `is_version` and `is_state`."""
    return set_locked(names).where(_O.version == bindparam("is_version"), _O.state == bindparam("is_state"))


@lru_cache(maxsize=256)
def set_locked(names: tuple[str, ...]) -> Update:
    """Return the statement that sets columns of the order `is_id`."""
    columns: dict[str, Any] = {name: bindparam(name) for name in names}
    return update(ORDERS).where(_O.order_id == bindparam("is_id")).values(columns)
