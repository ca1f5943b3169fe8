"""Positions: what an account holds, from the ledger while it is current, else asked of the exchange."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from sluicegate.domain.errors import BucketDenied, BucketUnavailable, ExchangeUnavailable
from sluicegate.domain.orders import Category, Order
from sluicegate.ports import Account, Clock
from sluicegate.services.backfill import Backfill
from sluicegate.services.witness import Evidence

SHOWN_MAX_AGE: Final = timedelta(seconds=10)
"""Positions shown longer ago are not known. A stream that is up renews them every two seconds."""
LIMIT_MAX_AGE: Final = timedelta(seconds=2)
"""An answer older than this does not count for a limit: others may trade on the account, too."""

_Symbol = tuple[str, Category, str]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the exchange said of a position, and the newest event of the ledger before it was asked."""

    net: Decimal
    asked_at: datetime
    event_id: int


@dataclass(frozen=True)
class Positions:
    """What the risk limits know of an account's positions; it fails closed.

    A limit does not trust the stream: one that is up may have lost a position. It takes what the exchange said,
    until the ledger learns of a fill of that symbol, or a stream shows another position. A fill that the ledger
    knew before the question is in the answer, provided that the exchange lists positions not later than fills.
    """

    ledger: Evidence
    backfill: Backfill
    clock: Clock
    _answers: dict[_Symbol, _Answer] = field(default_factory=dict)

    def net(self, account: Account, category: Category, symbol: str) -> Decimal:
        """Return a position's size, negative for short; both sides of hedge mode together.

        It has every fill that the ledger knows: what left `exposure`, read before, is in it.

        Raises:
            ExchangeUnavailable: it is not known now; send nothing that depends on it.
        """
        key = (account.name, category, symbol)
        answer = self._answers.get(key)
        if answer is None or not self._holds(answer, key):
            event_id, asked_at = self.ledger.last_position(), self.clock.now()
            answer = _Answer(self.confirmed_net(account, category, symbol), asked_at, event_id)
            self._answers[key] = answer
        return answer.net

    def confirmed_net(self, account: Account, category: Category, symbol: str) -> Decimal:
        """Return what the exchange says now, whatever the ledger knows; raises as `net`."""
        self._ask(account)
        return self.shown_net(account.name, category, symbol)

    def shown_net(self, account: str, category: Category, symbol: str) -> Decimal:
        """Return a position's size as the ledger was shown it last, by a stream or a list."""
        shown = [position for _account, position in self.ledger.positions(account)]
        mine = [p.net for p in shown if (p.category, p.symbol) == (category.value, symbol)]
        return sum(mine, Decimal(0))

    def is_current(self, account: str) -> bool:
        """Tell whether the ledger was shown the positions of an account lately."""
        seen_at = self.ledger.view(account).positions_at
        return seen_at is not None and self.clock.now() - seen_at <= SHOWN_MAX_AGE

    def exposure(self, account: Account, order: Order) -> tuple[Decimal, Decimal]:
        """Return what other orders may still buy and sell of an order's symbol."""
        return self.ledger.exposure(account.name, order.category, order.symbol, before=order.order_id)

    def _holds(self, answer: _Answer, key: _Symbol) -> bool:
        if self.clock.now() - answer.asked_at > LIMIT_MAX_AGE or self.shown_net(*key) != answer.net:
            return False
        return not self.ledger.traded_after(answer.event_id, *key)

    def _ask(self, account: Account) -> None:
        asked_at = self.clock.now()
        try:
            self.backfill.refresh_positions(account)
        except (BucketDenied, BucketUnavailable) as e:
            raise ExchangeUnavailable(f"positions are not known: {e}") from e
        view = self.ledger.view(account.name)
        self.ledger.update_view(replace(view, positions_at=asked_at))
