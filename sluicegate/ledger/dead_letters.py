"""Orders that wait for a person."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, func, insert, select, update

from sluicegate.domain.errors import OrderNotFound
from sluicegate.domain.orders import OrderId
from sluicegate.domain.records import DeadLetter
from sluicegate.ledger.rows import from_dead_letter, to_dead_letter
from sluicegate.ledger.store import Store
from sluicegate.ledger.tables import DEAD_LETTERS, OPEN_LETTER_ROWS


class DeadLetters(Store):
    """Lists and closes dead letters."""

    def dead_letters(
        self,
        *,
        account: str | None = None,
        reason: str | None = None,
        only_open: bool = True,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """Return dead letters, newest first."""
        d = DEAD_LETTERS.c
        query = select(DEAD_LETTERS).order_by(d.created_at.desc(), d.order_id.desc()).limit(limit)
        if account is not None:
            query = query.where(d.account == account)
        if reason is not None:
            query = query.where(d.reason == reason)
        if only_open:
            query = query.where(OPEN_LETTER_ROWS)
        with self._reading() as connection:
            return [to_dead_letter(row) for row in connection.execute(query)]

    def dead_letter(self, order_id: OrderId) -> DeadLetter:
        """Return one dead letter; see the port."""
        query = select(DEAD_LETTERS).where(DEAD_LETTERS.c.order_id == order_id)
        with self._reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise OrderNotFound(f"order {order_id} has no dead letter")
        return to_dead_letter(row)

    def discard_dead_letter(self, order_id: OrderId, *, at: datetime, note: str = "") -> bool:
        """Mark a dead letter discarded, with an event row; False when none was open."""
        is_open = (DEAD_LETTERS.c.order_id == order_id, OPEN_LETTER_ROWS)
        with self._writing() as connection:
            if connection.execute(update(DEAD_LETTERS).where(*is_open).values(discarded_at=at)).rowcount != 1:
                return False
            self._note(connection, order_id, "dead_letter_discarded", {"note": note} if note else {}, at)
        return True

    def count_dead_letters(self) -> dict[str, int]:
        """Count open dead letters by reason."""
        d = DEAD_LETTERS.c
        query = select(d.reason, func.count().label("letters")).where(OPEN_LETTER_ROWS).group_by(d.reason)
        with self._reading() as connection:
            return {row.reason: row.letters for row in connection.execute(query)}


def lock_dead_letter(connection: Connection, order_id: str) -> DeadLetter:
    """Keep every other writer off a dead letter, and return it.

    Raises:
        OrderNotFound: the order has none.
    """
    locked = select(DEAD_LETTERS).where(DEAD_LETTERS.c.order_id == order_id).with_for_update()
    row = connection.execute(locked).one_or_none()
    if row is None:
        raise OrderNotFound(f"order {order_id} has no dead letter")
    return to_dead_letter(row)


def store_dead_letter(connection: Connection, letter: DeadLetter) -> None:
    """Store the dead letter of an order that this transaction has moved; the newest one counts."""
    row = from_dead_letter(letter)
    known = update(DEAD_LETTERS).where(DEAD_LETTERS.c.order_id == letter.order_id).values(row)
    if connection.execute(known).rowcount == 0:
        connection.execute(insert(DEAD_LETTERS).inline(), row)
