"""The examination: every check in its order; one that cannot be made does not keep the others from being made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from sluicegate.bootstrap import Container
from sluicegate.bybit.clock import OffsetClock
from sluicegate.config import Environment
from sluicegate.doctor.accounts import check_account, judge_halt, judge_identity
from sluicegate.doctor.broker import check_broker
from sluicegate.doctor.configuration import check_configuration
from sluicegate.doctor.findings import Finding, Report, report, skipped
from sluicegate.doctor.keys import KEY, UNKNOWN_KEY, ask_elsewhere, judge_key, judge_refusal
from sluicegate.doctor.ledger import check_ledger
from sluicegate.doctor.line import Exchanges, Trouble
from sluicegate.doctor.way import check_way, explain_missing_address
from sluicegate.domain.errors import ConfigurationError, LedgerUnavailable
from sluicegate.domain.orders import Order
from sluicegate.domain.records import AccountRecord, Halt, account_scope, egress_scope
from sluicegate.ports import OrderFilter
from sluicegate.ratelimit.quotas import QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas

LATEST_ORDERS = 500
"""So many of an account's newest orders are held against its permissions and position modes."""


@dataclass
class Examination:
    """One run of the doctor.

    Args:
        container: the objects of this process.
        account: the only account to look at; None for all.
    """

    container: Container
    account: str | None = None
    _clocks: dict[Environment, OffsetClock] = field(default_factory=dict)
    _has_ledger: bool = False

    def run(self) -> Report:
        """Make every check."""
        return report(self._checks())

    @property
    def _names(self) -> list[str]:
        return [self.account] if self.account is not None else sorted(self.container.settings.accounts)

    def _checks(self) -> Iterator[Finding]:
        settings = self.container.settings
        yield from check_configuration(settings, self._names)
        has_broker = False
        for finding, answers in self._broker():
            has_broker = answers
            yield finding
        found, self._has_ledger = check_ledger(settings.ledger_address, self.container.clock)
        yield from found
        exchanges = Exchanges(
            settings,
            self.container.codes,
            self.container.clock,
            self.container.buckets if has_broker else None,
            BybitQuotas(QuotaTable.load(), {}, settings.egress).egress(),
        )
        for environment in sorted({settings.account(name).environment for name in self._names}):
            yield from self._environment(exchanges, environment)
        for name in self._names:
            yield from self._account(exchanges, name)

    def _broker(self) -> Iterator[tuple[Finding, bool]]:
        settings = self.container.settings
        try:
            address = settings.broker_address
        except ConfigurationError:
            return  # the configuration's finding
        is_embedded = settings.broker_url is None
        found, answers = check_broker(self.container.redis, address, self.container.clock, is_embedded=is_embedded)
        for finding in found:
            yield finding, answers

    def _environment(self, exchanges: Exchanges, environment: Environment) -> Iterator[Finding]:
        try:
            line = exchanges.line(environment)
        except ConfigurationError as e:
            yield explain_missing_address(environment.value, e)
            return
        found, answers = check_way(line, recv_window_ms=self.container.settings.exchange.recv_window_ms)
        if answers:
            self._clocks[environment] = line.clock
        yield from found

    def _account(self, exchanges: Exchanges, name: str) -> Iterator[Finding]:
        environment = self.container.settings.account(name).environment
        halt, record, orders = self._remembered(name)
        yield from judge_halt(name, halt)
        try:
            credentials = self.container.settings.credentials(name)
        except ConfigurationError:
            yield skipped(KEY, name, "there is no key to check")
            return
        clock = self._clocks.get(environment)
        if clock is None:
            yield skipped(KEY, name, f"{environment} cannot be asked")
            return
        line = exchanges.line(environment, clock=clock, credentials=credentials)
        try:
            info = line.ask("get_api_key_information").result
        except Trouble as trouble:
            is_unknown = trouble.code == UNKNOWN_KEY
            elsewhere = ask_elsewhere(exchanges, environment, credentials) if is_unknown else {}
            yield judge_refusal(name, environment, trouble, elsewhere)
            return
        yield from judge_key(name, info, {order.category for order in orders})
        yield from judge_identity(name, environment.value, str(info.get("userID", "")), record)
        yield from check_account(name, line, orders)

    def _remembered(self, name: str) -> tuple[Halt | None, AccountRecord | None, list[Order]]:
        """Return what the ledger knows of an account; nothing when it cannot be read."""
        if not self._has_ledger:
            return None, None, []
        ledger = self.container.ledger
        try:
            halts = ledger.halts([account_scope(name), egress_scope(self.container.settings.egress)])
            records = {record.name: record for record in ledger.accounts()}
            orders = ledger.list_orders(OrderFilter(account=name, limit=LATEST_ORDERS))
        except LedgerUnavailable:
            return None, None, []
        now = self.container.clock.now()
        standing = [halt for halt in halts if halt.until is None or halt.until > now]
        return (standing[0] if standing else None), records.get(name), orders
