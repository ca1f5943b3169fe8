"""The exchange: all state of the simulator, and the operations that touch several parts of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from simulator.accounts import Account
from simulator.clock import Clock
from simulator.config import Config
from simulator.faults import FaultBook
from simulator.feed import Feed
from simulator.ids import new_uuid
from simulator.instruments import Instruments, load_instruments
from simulator.keys import Key, KeyRing
from simulator.limits import IpLimit, UidLimits
from simulator.margin import Margin
from simulator.market import Market
from simulator.matching import Later, Matching
from simulator.network import Network
from simulator.orders import Order
from simulator.stats import Stats
from simulator.stops import Stops
from simulator.wire import Json

_FIRST_SPOT_ID = 2_000_000_000_000_000_000


class Exchange:
    """Everything the simulator knows, in memory.

    Args:
        config: What to start with.
        later: Runs a step after the matching delay, first in, first out.
    """

    def __init__(self, config: Config, later: Later) -> None:
        self.config = config
        self._later = later
        self.feed = Feed()
        self.on_reset: Callable[[], None] = lambda: None
        self.reset()

    def reset(self) -> None:
        """Forget everything and start anew from the configuration."""
        config = self.config
        self.match_delay_ms = config.match_delay_ms
        self.clock = Clock(config.clock_offset_ms)
        self.instruments: Instruments = load_instruments()
        self.market = Market(self.instruments, config.prices)
        self.market.on_change = self.feed.market_moved
        self.accounts = {
            uid: Account(uid, balances, is_unified=uid not in config.classic)
            for uid, balances in config.accounts.items()
        }
        self.keys = KeyRing(config.keys, config.environment)
        self.uid_limits = UidLimits(config.window)
        for item in config.uid_limits:
            self.uid_limits.override(item.uid, item.path, item.line, item.limit)
        self.ip_limit = IpLimit(config.ip_limit, config.ip_window_s, config.ip_ban_s)
        self.margin = Margin(self.market)
        self.matching = Matching(self.market, self.clock, self.margin, self.accounts, self._later, self.feed)
        self.stops = Stops(self)
        self.stats = Stats()
        self.faults = FaultBook()
        self.network = Network(config.network_delay_ms, config.network_jitter_ms, config.network_seed)
        self._numbers = itertools.count(1)
        self.visible_after_ns = 0
        self.on_reset()

    def admit_order(self, account: Account, order: Order) -> None:
        """Number an order, take it into the books and hand it to the matcher."""
        order.number = next(self._numbers)
        order.id = str(_FIRST_SPOT_ID + order.number) if order.category == "spot" else new_uuid()
        order.visible_from_ns = self.visible_after_ns
        account.accept(order)
        self.matching.submit(order)

    def check_amend(self, account: Account, order: Order, change: Mapping[str, Decimal]) -> None:
        """Refuse an amend the account cannot pay for; the order itself stays as it is.

        Raises:
            Refusal: 170131 (spot) or 110007.
        """
        if order.is_waiting and not order.held:
            return
        before = order.qty, order.price
        order.qty, order.price = change.get("qty", order.qty), change.get("price", order.price)
        try:
            self.margin.check(account, order, self.margin.need(account, order))
        finally:
            order.qty, order.price = before


@dataclass(slots=True)
class Call:
    """One signed request that has passed every gate.

    Args:
        admitted: How many of a batch's items the rate limit let through; 1 for other calls.
        item_codes: Filled by batch calls with the codes of failed items, for the statistics.
    """

    exchange: Exchange
    account: Account
    key: Key
    params: Json
    admitted: int = 1
    item_codes: list[int] = field(default_factory=list)
