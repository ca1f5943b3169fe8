"""Follow: carry orders from `live` to their end, many with one request."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from sluicegate.domain.errors import (
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderRejected,
)
from sluicegate.domain.evidence import is_as_asked, is_news
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES
from sluicegate.domain.orders import Category, Order
from sluicegate.domain.records import Sighting
from sluicegate.ports import Account, Accounts, Clock, Ledger
from sluicegate.services.agenda import Agenda
from sluicegate.services.faults import Faults
from sluicegate.services.halts import Halts
from sluicegate.services.lookout import Lookout
from sluicegate.services.record import Recorder
from sluicegate.services.resolve import Resolver

log = structlog.get_logger(__name__)

SNOOZE = timedelta(seconds=30)
BATCH = 500
FEW = 3
"""So few due orders are looked at one by one; beyond, the list of open orders is cheaper."""
MOST_PAGES = 40


@dataclass(frozen=True)
class Follower:
    """Looks at live orders whose next look is due.

    An order that the list of open orders shows unchanged costs nothing more. One that the list does not show has
    ended, or is younger than the list: it is looked at alone.
    """

    ledger: Ledger
    accounts: Accounts
    halts: Halts
    lookout: Lookout
    recorder: Recorder
    agenda: Agenda
    resolver: Resolver
    clock: Clock

    def follow(self) -> dict[str, int]:
        """Do one round.

        Returns:
            How many orders were due, how many of them were looked at alone, and the faults; for the log.
        """
        now = self.clock.now()
        if not ON_EXCHANGE_STATES.intersection(self.ledger.due_states(now)):
            return {"due": 0, "alone": 0, "faults": 0}
        taken = self.ledger.take_due(now, states=ON_EXCHANGE_STATES, limit=BATCH, snooze=SNOOZE)
        faults, alone = Faults(), 0
        for name, orders in _by_account(taken).items():
            with faults.apart("follow", account=name):
                alone += self._follow_account(name, orders, faults)
        return {"due": len(taken), "alone": alone, "faults": faults.count}

    def _follow_account(self, name: str, orders: Sequence[Order], faults: Faults) -> int:
        if self.halts.silencing(name) is not None:
            return 0
        try:
            account = self.accounts.get(name)
            groups: dict[tuple[Category, str], list[Order]] = defaultdict(list)
            for order in orders:
                groups[(order.category, self._settle_coin(account, order))].append(order)
            return sum(self._follow_group(account, *key, group, faults) for key, group in groups.items())
        except (BucketDenied, BucketUnavailable, ExchangeUnavailable, ConfigurationError) as e:
            log.info("follow_put_off", account=name, orders=len(orders), why=str(e))
        except OrderRejected as e:
            self.halts.obey(name, e)
        return 0

    def _settle_coin(self, account: Account, order: Order) -> str:
        rules = account.market.rules(order.category, order.symbol)
        return rules.settle_coin if rules is not None else ""

    def _follow_group(
        self, account: Account, category: Category, coin: str, orders: Sequence[Order], faults: Faults
    ) -> int:
        if len(orders) <= FEW:
            unknown: Sequence[Order] = orders
        else:
            seen = self._list_open(account, category, coin, {order.link_id for order in orders})
            unknown = [order for order in orders if order.link_id not in seen]
            self._write_down(account, [order for order in orders if order.link_id in seen], seen, faults)
        for order in unknown:
            with faults.apart("follow", account=account.name, order_id=order.order_id):
                self.resolver.look(order.order_id)
        return len(unknown)

    def _list_open(self, account: Account, category: Category, coin: str, wanted: set[str]) -> dict[str, Sighting]:
        """Return the open orders by link id, page by page until all wanted ones are found."""
        seen: dict[str, Sighting] = {}
        cursor: str | None = None
        for _page in range(MOST_PAGES):
            page, cursor = self.lookout.open_page(account, category, settle_coin=coin, cursor=cursor)
            seen |= {sighting.link_id: sighting for sighting in page}
            if cursor is None or wanted <= seen.keys():
                break
        return seen

    def _write_down(
        self, account: Account, orders: Sequence[Order], seen: dict[str, Sighting], faults: Faults
    ) -> None:
        quiet: dict[int, list[Order]] = defaultdict(list)
        for order in orders:
            sighting = seen[order.link_id]
            if is_news(order, sighting) or not is_as_asked(order, sighting):
                with faults.apart("follow", account=account.name, order_id=order.order_id):
                    self.recorder.record(order, account, sighting)
            else:
                # whole seconds: orders that are looked at together stay together
                quiet[int(self.agenda.next_look(order).timestamp()) + 1].append(order)
        for second, group in quiet.items():
            self.ledger.rest(group, datetime.fromtimestamp(second, UTC))


def _by_account(orders: Sequence[Order]) -> dict[str, list[Order]]:
    grouped: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        grouped[order.account].append(order)
    return grouped
