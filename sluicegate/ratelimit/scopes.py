"""Scopes: which buckets a request draws from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sluicegate.config import AccountSettings
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.orders import Category
from sluicegate.ports import BucketSpec, Lane, LaneKind
from sluicegate.ratelimit.quotas import IP_LIMIT, IP_RESERVE, IP_WINDOW_S, TIERS, WINDOW_S, QuotaTable


@dataclass(frozen=True)
class BybitQuotas:
    """Bybit's limits: per UID and endpoint and business line, and per public IP.

    Args:
        table: the documented numbers.
        accounts: their tiers and own limits.
        egress_name: the public IP's name.

    Raises:
        ConfigurationError: an account names a tier or a path that is not in the table.
    """

    table: QuotaTable
    accounts: Mapping[str, AccountSettings]
    egress_name: str

    def __post_init__(self) -> None:
        paths = {quota.path for quota in self.table.all()}
        for name, account in self.accounts.items():
            if account.tier not in TIERS:
                raise ConfigurationError(
                    f"accounts.{name}.tier: there is no tier {account.tier!r}; use one of {', '.join(TIERS)}"
                )
            unknown = sorted(set(account.limits) - paths)
            if unknown:
                raise ConfigurationError(
                    f"accounts.{name}.limits: {unknown[0]!r} is no path with a limit of its own; "
                    f"use one of {', '.join(sorted(paths))}"
                )

    def specs(
        self, account: str, uid: str, path: str, category: Category | None, *, orders: int = 1
    ) -> list[BucketSpec]:
        """Return the buckets of a request; see `sluicegate.ports.Quotas.specs`."""
        settings = self.accounts.get(account)
        tier = settings.tier if settings else "default"
        quota = self.table.quota_for(path, category, tier=tier)
        if quota is None:
            return [self.egress()]
        own = settings.limits.get(path) if settings else None
        environment = settings.environment.value if settings else ""
        spec = BucketSpec(
            name=f"{environment}:{uid}:{quota.path}:{quota.line}",
            limit=own if own is not None else quota.limit_per_second,
            window_s=WINDOW_S,
            cost=quota.tokens_for(orders),
        )
        return [spec, self.egress()]

    def lanes(
        self, account: str, uid: str, paths: Mapping[LaneKind, str], category: Category
    ) -> tuple[list[Lane], list[BucketSpec]]:
        """Return the lanes of an account's orders; see `sluicegate.ports.Quotas.lanes`."""
        lanes = []
        for kind, path in paths.items():
            [spec, _egress] = self.specs(account, uid, path, category)
            [two, _egress] = self.specs(account, uid, path, category, orders=2)
            lanes.append(Lane(path, kind, spec, two.cost - spec.cost))
        return lanes, [self.egress(), self._egress_of_orders()]

    def _egress_of_orders(self) -> BucketSpec:
        """Return the bucket that only new orders take besides the IP's: the rest of the IP's quota stays free.

        Without it orders that keep the IP's quota spent let a cancel wait up to a whole window, 5 s, although its
        own endpoint has tokens.
        """
        return BucketSpec(f"egress:{self.egress_name}:orders", IP_LIMIT - IP_RESERVE, IP_WINDOW_S)

    def egress(self) -> BucketSpec:
        """Return the bucket of this host's public IP."""
        return BucketSpec(f"egress:{self.egress_name}", IP_LIMIT, IP_WINDOW_S)
