"""Accounts as seen last: positions, balances, and how current they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, delete, insert, or_, select, update

from sluicegate.domain.holdings import AccountEvent, AccountView, Balance, Position
from sluicegate.ledger.executions import upsert
from sluicegate.ledger.store import COUNTED, Store
from sluicegate.ledger.tables import ACCOUNT_EVENTS, ACCOUNT_VIEWS, BALANCES, POSITIONS


class Views(Store):
    """Stores what the exchange shows of accounts."""

    def view(self, account: str) -> AccountView:
        """Return how well an account is known."""
        with self._reading() as connection:
            row = connection.execute(select(ACCOUNT_VIEWS).where(ACCOUNT_VIEWS.c.account == account)).one_or_none()
        if row is None:
            return AccountView(account)
        return AccountView(
            account,
            fence=row.fence,
            stream_at=row.stream_at,
            event_ms=row.event_ms,
            positions_at=row.positions_at,
            balances_at=row.balances_at,
            reconcile_at=row.reconcile_at,
        )

    def update_view(self, view: AccountView) -> bool:
        """Store how well an account is known, unless a younger holder of its stream has written; see the port."""
        fresh = {name: value for name, value in asdict(view).items() if name not in {"account", "reconcile_at"}}
        v = ACCOUNT_VIEWS.c
        with self._writing() as connection:
            self._ensure_view(connection, view.account)
            changed = update(ACCOUNT_VIEWS).where(v.account == view.account, v.fence <= view.fence).values(fresh)
            return connection.execute(changed).rowcount == 1

    def take_reconcile(self, now: datetime, *, account: str, again_at: datetime) -> bool:
        """Take an account's comparison that is due; see the port."""
        v = ACCOUNT_VIEWS.c
        is_due = or_(v.reconcile_at.is_(None), v.reconcile_at <= now)
        with self._writing() as connection:
            self._ensure_view(connection, account)
            taken = update(ACCOUNT_VIEWS).where(v.account == account, is_due).values(reconcile_at=again_at)
            return connection.execute(taken).rowcount == 1

    def ask_reconcile(self, account: str, at: datetime) -> None:
        """Let an account be compared at `at`, if that is sooner than planned."""
        v = ACCOUNT_VIEWS.c
        sooner = or_(v.reconcile_at.is_(None), v.reconcile_at > at)
        with self._writing() as connection:
            self._ensure_view(connection, account)
            connection.execute(update(ACCOUNT_VIEWS).where(v.account == account, sooner).values(reconcile_at=at))

    def doubts(self, account: str) -> dict[str, Any]:
        """Return the differences that the last comparison could not explain."""
        query = select(ACCOUNT_VIEWS.c.doubts).where(ACCOUNT_VIEWS.c.account == account)
        with self._reading() as connection:
            return dict(connection.execute(query).scalar_one_or_none() or {})

    def set_doubts(self, account: str, doubts: Mapping[str, Any]) -> None:
        """Store the differences that a comparison could not explain."""
        with self._writing() as connection:
            self._ensure_view(connection, account)
            changed = update(ACCOUNT_VIEWS).where(ACCOUNT_VIEWS.c.account == account)
            connection.execute(changed.values(doubts=dict(doubts)))

    def note_account(self, event: AccountEvent) -> None:
        """Write down an event of an account."""
        with self._writing() as connection:
            values = {"account": event.account, "at": event.at, "event": event.event, "detail": dict(event.detail)}
            connection.execute(insert(ACCOUNT_EVENTS).values(values))

    def account_events(self, account: str | None = None, *, limit: int = 100) -> list[AccountEvent]:
        """Return the newest events of accounts, oldest first."""
        e = ACCOUNT_EVENTS.c
        query = select(ACCOUNT_EVENTS).order_by(e.event_id.desc()).limit(limit)
        if account is not None:
            query = query.where(e.account == account)
        with self._reading() as connection:
            rows = connection.execute(query).all()
        return [AccountEvent(row.account, row.at, row.event, row.detail) for row in reversed(rows)]

    def _ensure_view(self, connection: Connection, account: str) -> None:
        row = {"account": account, "fence": 0, "doubts": {}}
        connection.execute(upsert(is_sqlite=self._is_sqlite)(ACCOUNT_VIEWS).values(row).on_conflict_do_nothing())

    # --- positions --------------------------------------------------------------------------------------------

    def positions(self, account: str | None = None) -> list[tuple[str, Position]]:
        """Return the positions that were seen last, with their accounts; flat ones are left out."""
        p = POSITIONS.c
        query = select(POSITIONS).where(p.side != "").order_by(p.account, p.category, p.symbol, p.position_idx)
        if account is not None:
            query = query.where(p.account == account)
        with self._reading() as connection:
            return [(row.account, _to_position(row)) for row in connection.execute(query)]

    def set_positions(self, account: str, positions: Sequence[Position], *, complete_ms: int | None = None) -> int:
        """Store positions; see the port."""
        p = POSITIONS.c
        newest: dict[tuple[str, str, int], Position] = {}
        for position in positions:
            if position.updated_ms >= newest.get(position.key, position).updated_ms:
                newest[position.key] = position
        with self._writing() as connection:
            locked = select(POSITIONS).where(p.account == account).with_for_update()
            shown = [_to_position(row) for row in connection.execute(locked)]
            known = {position.key: position for position in shown}
            for key in known.keys() - newest.keys():
                if complete_ms is not None and known[key].updated_ms <= complete_ms:
                    newest[key] = replace(known[key], side="", size=Decimal(0), entry_price=None)
            different = 0
            for key in sorted(newest):
                position, before = newest[key], known.get(key)
                if before is not None and position.updated_ms < before.updated_ms:
                    continue
                different += position.net != (Decimal(0) if before is None else before.net)
                self._store_position(connection, account, position)
        return different

    def _store_position(self, connection: Connection, account: str, position: Position) -> None:
        row = {"account": account, **asdict(position)}
        stored = upsert(is_sqlite=self._is_sqlite)(POSITIONS).values(row)
        key = ["account", "category", "symbol", "position_idx"]
        fresh = {name: stored.excluded[name] for name in row if name not in key}
        connection.execute(stored.on_conflict_do_update(index_elements=key, set_=fresh))

    # --- balances ---------------------------------------------------------------------------------------------

    def balances(self, account: str | None = None) -> list[tuple[str, Balance]]:
        """Return the balances that were seen last, with their accounts."""
        b = BALANCES.c
        query = select(BALANCES).order_by(b.account, b.coin)
        if account is not None:
            query = query.where(b.account == account)
        with self._reading() as connection:
            return [(row.account, _to_balance(row)) for row in connection.execute(query)]

    def set_balances(self, account: str, balances: Sequence[Balance], *, at_ms: int, complete: bool) -> None:
        """Store balances; see the port."""
        b = BALANCES.c
        with self._writing() as connection:
            for balance in sorted(balances, key=lambda balance: balance.coin):
                row = {"account": account, **asdict(balance), "updated_ms": at_ms}
                stored = upsert(is_sqlite=self._is_sqlite)(BALANCES).values(row)
                fresh = {name: stored.excluded[name] for name in row if name not in ("account", "coin")}
                is_newer = b.updated_ms <= stored.excluded.updated_ms
                stored = stored.on_conflict_do_update(
                    index_elements=["account", "coin"], set_=fresh, where=is_newer
                )
                connection.execute(stored, execution_options=COUNTED)
            if complete:
                shown = [balance.coin for balance in balances]
                gone = delete(BALANCES).where(b.account == account, b.coin.not_in(shown), b.updated_ms <= at_ms)
                connection.execute(gone)


def _to_position(row: Any) -> Position:
    return Position(
        category=row.category,
        symbol=row.symbol,
        position_idx=row.position_idx,
        side=row.side,
        size=row.size,
        entry_price=row.entry_price,
        unrealised_pnl=row.unrealised_pnl,
        updated_ms=row.updated_ms,
    )


def _to_balance(row: Any) -> Balance:
    return Balance(row.coin, row.wallet, row.equity, row.locked, row.unrealised_pnl)
