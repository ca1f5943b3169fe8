"""Bybit's rate limits: how many requests a UID may send to an endpoint in a rolling second, and an IP in five.

The table is `quotas.csv`; it names every endpoint that Sluicegate calls. Where Bybit prints one figure for several
categories it does not say whether they share a bucket; we take it that they do, which never sends too much.

Source: Bybit V5 docs, pages "Rate Limit", "API Rate Limit Rules for VIPs" and "API Rate Limit Rules for PROs",
docs commit 072c197, read 2026-07-24.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.resources import files
from types import MappingProxyType
from typing import Final

from sluicegate.domain.errors import ConfigurationError, SluicegateError

WINDOW_S: Final = 1
"""The rolling window of a UID limit, in seconds."""

IP_LIMIT: Final = 600
"""Requests that one IP address may send in `IP_WINDOW_S`, over all endpoints, UIDs and REST hosts."""

IP_WINDOW_S: Final = 5
"""The rolling window of the IP limit, in seconds."""

IP_RESERVE: Final = 60
"""So many of `IP_LIMIT` new orders leave to cancels, amends and queries: 12 a second."""

IP_BAN_S: Final = 600
"""How long an IP that broke the limit gets HTTP 403, in seconds; at least, if it stays silent."""

DEFAULT_TIER: Final = "default"


class Line(StrEnum):
    """The business line over whose categories a bucket is shared."""

    LINEAR_INVERSE = "linear_inverse"
    SPOT = "spot"
    OPTION = "option"
    ALL = "all"


class Cost(StrEnum):
    """What takes a token: each request, or each order in it."""

    PER_REQUEST = "per_request"
    PER_ORDER = "per_order"


def _tier(futures: int, option: int, spot: int) -> Mapping[Line, int]:
    return MappingProxyType({Line.LINEAR_INVERSE: futures, Line.OPTION: option, Line.SPOT: spot})


TIERS: Final[Mapping[str, Mapping[Line, int]]] = MappingProxyType(
    {
        DEFAULT_TIER: _tier(10, 10, 20),
        "VIP1": _tier(20, 20, 25),
        "VIP2": _tier(40, 40, 30),
        **dict.fromkeys(("VIP3", "VIP4", "VIP5", "SUPREME"), _tier(60, 60, 40)),
        **{f"PRO{level}": _tier(200 * level, 200 * level, 200 * level) for level in range(1, 7)},
        "MM1": _tier(600, 600, 600),
        "MM2": _tier(800, 800, 800),
        "MM3": _tier(1000, 1000, 1000),
    }
)
"""Requests per second of one UID on the order endpoints, by fee tier and line.

PRO and MM figures hold per UID; an institution also has a total over its UIDs. What a UID really has is in the
header `X-Bapi-Limit`.
"""

_LINE_OF: Final = {
    "linear": Line.LINEAR_INVERSE,
    "inverse": Line.LINEAR_INVERSE,
    "spot": Line.SPOT,
    "option": Line.OPTION,
}
_FILE: Final = "quotas.csv"
_COLUMNS: Final = ["method", "path", "line", "limit_per_second", "cost", "notes"]


class UnknownEndpoint(SluicegateError, LookupError):
    """No quota is known for this call, so nothing may be sent. Add the endpoint to `quotas.csv`."""


@dataclass(frozen=True, slots=True)
class Quota:
    """One UID limit: what a bucket may let through in a rolling second.

    Attributes:
        method: `GET` or `POST`.
        path: the endpoint.
        line: the business line over whose categories the bucket is shared.
        limit_per_second: requests, or orders, in any `WINDOW_S`.
        cost: what takes a token.
        notes: what is odd about it; may be empty.
    """

    method: str
    path: str
    line: Line
    limit_per_second: int
    cost: Cost
    notes: str = ""

    def tokens_for(self, orders: int = 1) -> int:
        """Return how many tokens a request takes that carries so many orders."""
        return orders if self.cost is Cost.PER_ORDER else 1


class QuotaTable:
    """The UID limits of every endpoint that Sluicegate calls.

    Args:
        quotas: the limits.
        ip_only: paths of endpoints without a UID limit, on which only the IP limit counts.
    """

    def __init__(self, quotas: Iterable[Quota], ip_only: Iterable[str] = ()) -> None:
        self._quotas = {(quota.path, quota.line): quota for quota in quotas}
        self._ip_only = frozenset(ip_only)
        self._paths = self._ip_only | {path for path, _ in self._quotas}

    @classmethod
    def load(cls) -> QuotaTable:
        """Load the table that ships with the package.

        Returns:
            The table, checked row by row.

        Raises:
            ConfigurationError: a row is malformed; the text names file and line.
        """
        return cls.from_csv(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))

    @classmethod
    def from_csv(cls, text: str) -> QuotaTable:
        """Build a table from CSV text; an empty `limit_per_second` means that only the IP limit counts.

        Args:
            text: the CSV, header included.

        Returns:
            The table, checked row by row.

        Raises:
            ConfigurationError: a row is malformed or there twice; the text names the line.
        """
        reader = csv.DictReader(text.splitlines(), strict=True)
        if reader.fieldnames != _COLUMNS:
            raise ConfigurationError(f"{_FILE} line 1: the columns must be {','.join(_COLUMNS)}")
        quotas: dict[tuple[str, Line], Quota | None] = {}
        for cells in reader:
            where = f"{_FILE} line {reader.line_num}"
            key, quota = _read_row(cells, where)
            if key in quotas:
                raise ConfigurationError(f"{where}: {' '.join(key)} is there twice")
            quotas[key] = quota
        limited = [quota for quota in quotas.values() if quota is not None]
        return cls(limited, (path for (path, _), quota in quotas.items() if quota is None))

    def quota_for(self, path: str, category: str | None = None, *, tier: str = DEFAULT_TIER) -> Quota | None:
        """Find the limit on a call.

        Args:
            path: the endpoint, such as `/v5/order/create`.
            category: `linear`, `inverse`, `spot` or `option`; None for endpoints that have no category.
            tier: a key of `TIERS`. It raises the limits of the order endpoints that have the line's usual
                figure; for those with one of their own (spot amend, option cancel-all) Bybit prints no tier
                figure, so they stay until `X-Bapi-Limit` says more.

        Returns:
            The quota, or None if only the IP limit counts for this endpoint.

        Raises:
            UnknownEndpoint: the table does not have this call. Send nothing; add it to the table.
            ConfigurationError: there is no such tier.
        """
        if tier not in TIERS:
            raise ConfigurationError(f"there is no tier {tier!r}; use one of {', '.join(TIERS)}")
        if path in self._ip_only:
            return None
        quota = self._find(path, category)
        if _is_tiered(quota):
            return replace(quota, limit_per_second=TIERS[tier][quota.line])
        return quota

    def all(self) -> tuple[Quota, ...]:
        """Return every UID limit, in the order of the file."""
        return tuple(self._quotas.values())

    def ip_only(self) -> frozenset[str]:
        """Return the paths on which only the IP limit counts."""
        return self._ip_only

    def _find(self, path: str, category: str | None) -> Quota:
        if path not in self._paths:
            raise UnknownEndpoint(f"no quota is known for {path}; add it to {_FILE} before calling it")
        for line in (Line.ALL, _LINE_OF.get(category or "")):
            if line is not None and (quota := self._quotas.get((path, line))) is not None:
                return quota
        raise UnknownEndpoint(
            f"{path} has no quota for category {category!r}; it knows "
            f"{', '.join(line for known, line in self._quotas if known == path)}"
        )


def _is_tiered(quota: Quota) -> bool:
    is_order_endpoint = quota.method == "POST" and quota.path.startswith("/v5/order/")
    return is_order_endpoint and quota.limit_per_second == TIERS[DEFAULT_TIER].get(quota.line)


def _read_row(cells: dict[str, str], where: str) -> tuple[tuple[str, Line], Quota | None]:
    if None in cells or None in cells.values():
        raise ConfigurationError(f"{where}: the row must have {len(_COLUMNS)} fields")
    try:
        path, line, cost = cells["path"], Line(cells["line"]), Cost(cells["cost"])
        limit = int(cells["limit_per_second"] or 0)
    except ValueError as e:
        raise ConfigurationError(f"{where}: {e}") from e
    if not cells["limit_per_second"]:
        return (path, line), None
    if limit <= 0:
        raise ConfigurationError(f"{where}: limit_per_second must be positive")
    return (path, line), Quota(cells["method"], path, line, limit, cost, cells["notes"])
