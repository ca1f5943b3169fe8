"""The configured accounts, each with its gateway; accounts of one environment share its market and clock."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import redis

from sluicegate.bybit.account_queries import AccountGateway
from sluicegate.bybit.answers import AnswerReader
from sluicegate.bybit.clock import OffsetClock
from sluicegate.bybit.market import BybitMarket
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.bybit.session import SessionPool, SignedSession, build_session
from sluicegate.bybit.trade_socket import TradeSocket, trade_url
from sluicegate.config import Credentials, Environment, OrderEntry, Settings
from sluicegate.domain.errors import ExchangeUnavailable, OrderRejected
from sluicegate.ports import Account, Buckets, BucketSpec, Clock, Observer


@dataclass(frozen=True)
class BybitAccounts:
    """Builds accounts when they are first needed, so that one wrong key stops only its own account.

    Args:
        watch_clock: told how to read each account's clock offset, for the metric.
    """

    settings: Settings
    codes: RetCodeTable
    local: Clock
    cache: redis.Redis
    buckets: Buckets
    ip_spec: BucketSpec
    observer: Observer
    watch_clock: Callable[[str, Callable[[], float]], None]
    _locks: dict[Environment, threading.RLock] = field(
        default_factory=lambda: {environment: threading.RLock() for environment in Environment}
    )
    _accounts: dict[str, Account] = field(default_factory=dict)
    _markets: dict[Environment, BybitMarket] = field(default_factory=dict)

    def names(self) -> list[str]:
        """Return the names of all configured accounts."""
        return sorted(self.settings.accounts)

    def get(self, name: str) -> Account:
        """Return an account; see `sluicegate.ports.Accounts.get`.

        Raises:
            ConfigurationError: it is not configured here, or its key cannot be read.
            ExchangeUnavailable: the exchange's clock could not be measured yet; nothing may be signed before.
            OrderRejected: the exchange refuses public requests too; the code says why.
        """
        account = self._accounts.get(name)
        if account is not None:
            return account
        with self._locks[self.settings.account(name).environment]:
            account = self._accounts.get(name)
            if account is None:
                account = self._accounts[name] = self._build(name)
            return account

    def forget_key(self, name: str) -> None:
        """Read the account's key anew when it is needed next; who has the account in hand keeps the old one."""
        self._accounts.pop(name, None)

    def resync_clock(self, name: str) -> float:
        """Measure the clock of the account's exchange; see `sluicegate.ports.Accounts.resync_clock`."""
        try:
            return self.market(self.settings.account(name).environment).measure_clock()
        except OrderRejected as e:
            raise ExchangeUnavailable(f"the exchange does not tell its time: {e}") from e

    def environments(self) -> list[Environment]:
        """Return the environments that accounts are configured for."""
        return sorted({account.environment for account in self.settings.accounts.values()})

    def market(self, environment: Environment) -> BybitMarket:
        """Return the public data of an environment, its clock measured.

        Raises:
            ConfigurationError: the simulator's address is not set.
            ExchangeUnavailable: no answer.
        """
        with self._locks[environment]:  # one that is down does not keep the others waiting
            market = self._markets.get(environment)
            if market is None:
                market = self._build_market(environment)
                market.measure_clock()
                self._markets[environment] = market
            return market

    def _build(self, name: str) -> Account:
        settings = self.settings.account(name)
        credentials = self.settings.credentials(name)
        market = self.market(settings.environment)
        key, secret = credentials.api_key.get_secret_value(), credentials.api_secret.get_secret_value()
        sessions = self._sessions(settings.environment, market.clock, key, secret)
        exchange = self.settings.exchange
        gateway = AccountGateway(
            name,
            sessions,
            AnswerReader(self.codes, (key, secret)),
            market.clock,
            exchange,
            self.observer,
            self._trade_socket(name, credentials, market.clock),
        )
        self.watch_clock(name, lambda: market.clock.offset_s)
        return Account(
            name=name,
            environment=settings.environment.value,
            exchange=gateway,
            market=market,
            clock=market.clock,
            risk=settings.risk.to_limits(),
            reach_ms=exchange.recv_window_ms + exchange.horizon_margin_ms,
        )

    def _trade_socket(self, name: str, credentials: Credentials, clock: OffsetClock) -> TradeSocket | None:
        environment, exchange = self.settings.account(name).environment, self.settings.exchange
        if exchange.order_entry is OrderEntry.HTTP:
            return None
        url = trade_url(environment, self.settings.exchange_address(environment))
        return None if url is None else TradeSocket(name, url, credentials, clock, exchange)

    def _build_market(self, environment: Environment) -> BybitMarket:
        clock = OffsetClock(self.local)
        return BybitMarket(
            environment.value,
            self._sessions(environment, clock, None, None),
            AnswerReader(self.codes),
            clock,
            self.local,
            self.cache,
            self.buckets,
            self.ip_spec,
            self.observer,
        )

    def _sessions(
        self, environment: Environment, clock: OffsetClock, key: str | None, secret: str | None
    ) -> SessionPool:
        address = self.settings.exchange_address(environment)

        def build() -> SignedSession:
            return build_session(
                environment, self.settings.exchange, clock, api_key=key, api_secret=secret, address=address
            )

        return SessionPool(build)
