"""Missing fills: orders of which the exchange says that more was executed than the ledger has fills for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from sluicegate.domain.errors import (
    BucketDenied,
    BucketUnavailable,
    ConfigurationError,
    ExchangeUnavailable,
    OrderRejected,
)
from sluicegate.domain.orders import Order
from sluicegate.ports import Accounts, Clock
from sluicegate.services.faults import Faults
from sluicegate.services.halts import Halts
from sluicegate.services.record import Recorder
from sluicegate.services.witness import Evidence

log = structlog.get_logger(__name__)

MOST = 200


@dataclass(frozen=True)
class FillSeeker:
    """Fetches missing fills by REST, order by order; a stream brings nearly all of them before."""

    ledger: Evidence
    accounts: Accounts
    halts: Halts
    recorder: Recorder
    clock: Clock

    def seek(self) -> dict[str, int]:
        """Do one round.

        Returns:
            How many orders missed fills, how many of them were asked for, and the faults; for the log.
        """
        missing = self.ledger.take_missing_fills(self.clock.now(), limit=MOST)
        by_account: dict[str, list[Order]] = defaultdict(list)
        for order in missing:
            by_account[order.account].append(order)
        faults, asked = Faults(), 0
        for name, orders in by_account.items():
            with faults.apart("seek_fills", account=name):
                asked += self._seek(name, orders, faults)
        return {"missing": len(missing), "asked": asked, "faults": faults.count}

    def _seek(self, name: str, orders: Sequence[Order], faults: Faults) -> int:
        if self.halts.silencing(name) is not None:
            return 0
        asked = 0
        try:
            account = self.accounts.get(name)
            for order in orders:
                with faults.apart("seek_fills", account=name, order_id=order.order_id):
                    self.recorder.add_fills(order, account)
                asked += 1
        except (BucketDenied, BucketUnavailable, ExchangeUnavailable, ConfigurationError) as e:
            log.info("fills_put_off", account=name, orders=len(orders) - asked, why=str(e))
        except OrderRejected as e:
            self.halts.obey(name, e)
        return asked
