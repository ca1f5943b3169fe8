"""What a simulator starts with: defaults, and the TOML file that changes them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from simulator.keys import FULL_PERMISSIONS, HERE, Key, default_keys
from simulator.limits import WindowMode
from simulator.quotas import QUOTAS, Line

Balances = Mapping[str, Decimal]


class BadConfig(ValueError):
    """The configuration is unusable; the message names the place and the remedy."""


@dataclass(frozen=True, slots=True)
class Caps:
    """How many orders may be open at once.

    Source: Bybit V5 docs, place-order page (read 2026-07-24).

    Args:
        active: Per futures symbol.
        conditional: Conditional orders per futures symbol.
        spot: All spot orders together.
        spot_conditional: Spot TP/SL orders, and spot conditional orders, per symbol.
        option: Per option base coin.
    """

    active: int = 500
    conditional: int = 10
    spot: int = 500
    spot_conditional: int = 30
    option: int = 50


@dataclass(frozen=True, slots=True)
class UidLimit:
    """A rate limit that differs from Bybit's default; None stands for all."""

    path: str
    limit: int
    uid: int | None = None
    line: Line | None = None


RICH: Balances = {
    "USDT": Decimal(10_000_000),
    "USDC": Decimal(10_000_000),
    "BTC": Decimal(100),
    "ETH": Decimal(1000),
    "SOL": Decimal(10_000),
}


def _default_accounts() -> dict[int, Balances]:
    return {**dict.fromkeys((*range(1001, 1011), 1012, 1013, 1014), RICH), 1011: {"USDT": Decimal(10)}}


@dataclass(frozen=True, slots=True)
class Config:
    """Everything that can be set before the start."""

    environment: str = HERE
    accounts: Mapping[int, Balances] = field(default_factory=_default_accounts)
    classic: frozenset[int] = frozenset()
    keys: tuple[Key, ...] = field(default_factory=lambda: tuple(default_keys()))
    prices: Mapping[str, Decimal] = field(default_factory=dict)
    match_delay_ms: float = 0.0
    clock_offset_ms: int = 0
    trust_forwarded: bool = False
    window: WindowMode = "rolling"
    uid_limits: tuple[UidLimit, ...] = ()
    ip_limit: int | None = 600
    ip_window_s: float = 5.0
    ip_ban_s: float = 600.0
    caps: Caps = field(default_factory=Caps)
    network_delay_ms: float = 0.0
    network_jitter_ms: float = 0.0
    network_seed: int = 1
    connect_limit: int | None = 500
    socket_idle_s: float = 600.0
    socket_scan_s: float = 30.0


def read_config(path: Path) -> Config:
    """Read a configuration file; accounts and keys in it come on top of the default ones.

    Raises:
        BadConfig: The file is missing, is no TOML, or says something unknown.
    """
    try:
        table = tomllib.loads(path.read_text())
    except OSError as error:
        raise BadConfig(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(f"{path} is not valid TOML: {error}") from error
    return _Reader(path).config(table)


class _Reader:
    """Turn the file's tables into a Config, complaining with the name of the place."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def config(self, table: dict[str, Any]) -> Config:
        known = {
            "environment",
            "classic",
            "match_delay_ms",
            "clock_offset_ms",
            "trust_forwarded",
            "prices",
            "accounts",
            "keys",
            "limits",
            "caps",
        }
        self._only(table, known | {"network", "sockets"}, "the file")
        limits = self._table(table, "limits")
        self._only(limits, {"window", "ip_limit", "ip_window_s", "ip_ban_s", "uid"}, "[limits]")
        network = self._table(table, "network")
        self._only(network, {"delay_ms", "jitter_ms", "seed"}, "[network]")
        sockets = self._table(table, "sockets")
        self._only(sockets, {"connect_limit", "idle_s", "scan_s"}, "[sockets]")
        caps = self._table(table, "caps")
        self._only(caps, set(Caps.__slots__), "[caps]")
        window = limits.get("window", "rolling")
        if window not in ("rolling", "fixed"):
            raise self._bad("limits.window", 'must be "rolling" or "fixed"')
        ip_limit = self._number(limits, "ip_limit", 600)
        return Config(
            environment=str(table.get("environment", HERE)),
            classic=self._uids(table, "classic"),
            accounts={**_default_accounts(), **self._accounts(self._table(table, "accounts"))},
            keys=(*default_keys(), *(self._key(item) for item in table.get("keys", []))),
            prices={
                symbol: self._money(price, f"prices.{symbol}")
                for symbol, price in self._table(table, "prices").items()
            },
            match_delay_ms=self._number(table, "match_delay_ms", 0),
            clock_offset_ms=int(self._number(table, "clock_offset_ms", 0, least=None)),
            trust_forwarded=table.get("trust_forwarded", False) is True,
            window=window,
            uid_limits=tuple(self._uid_limit(item) for item in limits.get("uid", [])),
            ip_limit=int(ip_limit) if ip_limit else None,
            ip_window_s=self._number(limits, "ip_window_s", 5),
            ip_ban_s=self._number(limits, "ip_ban_s", 600),
            caps=Caps(**{name: int(self._number(caps, name, 0)) for name in caps}),
            network_delay_ms=self._number(network, "delay_ms", 0),
            network_jitter_ms=self._number(network, "jitter_ms", 0),
            network_seed=int(self._number(network, "seed", 1)),
            connect_limit=int(self._number(sockets, "connect_limit", 500)) or None,
            socket_idle_s=self._number(sockets, "idle_s", 600),
            socket_scan_s=self._number(sockets, "scan_s", 30),
        )

    def _accounts(self, table: dict[str, Any]) -> dict[int, Balances]:
        accounts: dict[int, Balances] = {}
        for uid, balances in table.items():
            if not uid.isdigit() or not isinstance(balances, dict):
                raise self._bad(
                    f"accounts.{uid}", 'write [accounts.2001] and under it coins, such as USDT = "1000"'
                )
            accounts[int(uid)] = {
                coin: self._money(amount, f"accounts.{uid}.{coin}") for coin, amount in balances.items()
            }
        return accounts

    def _uids(self, table: dict[str, Any], name: str) -> frozenset[int]:
        uids = table.get(name, [])
        if not isinstance(uids, list) or not all(type(uid) is int for uid in uids):
            raise self._bad(name, "must be a list of UIDs such as [2001, 2002]")
        return frozenset(uids)

    def _key(self, item: dict[str, Any]) -> Key:
        self._only(
            item,
            {
                "api_key",
                "secret",
                "uid",
                "environment",
                "read_only",
                "expired",
                "ips",
                "days_left",
                "permissions",
            },
            "[[keys]]",
        )
        if not all(item.get(name) for name in ("api_key", "secret", "uid")):
            raise self._bad("[[keys]]", "api_key, secret and uid are required")
        permissions = item.get("permissions", FULL_PERMISSIONS)
        return Key(
            api_key=str(item["api_key"]),
            secret=str(item["secret"]).encode(),
            uid=int(item["uid"]),
            environment=str(item.get("environment", HERE)),
            read_only=item.get("read_only", False) is True,
            expired=item.get("expired", False) is True,
            ips=tuple(item.get("ips", ["*"])),
            days_left=int(self._number(item, "days_left", 90)),
            permissions={name: tuple(rights) for name, rights in permissions.items()},
        )

    def _uid_limit(self, item: dict[str, Any]) -> UidLimit:
        self._only(item, {"uid", "endpoint", "category", "limit"}, "[[limits.uid]]")
        path = item.get("endpoint")
        if path not in QUOTAS:
            raise self._bad("limits.uid.endpoint", f"must be one of {', '.join(QUOTAS)}")
        return UidLimit(str(path), int(self._number(item, "limit", 0)), item.get("uid"), item.get("category"))

    def _money(self, value: Any, place: str) -> Decimal:
        try:
            if isinstance(value, float):
                raise self._bad(place, 'must be a string such as "60000.5", so that no digit is lost')
            return Decimal(str(value))
        except InvalidOperation as error:
            raise self._bad(place, "is not a number") from error

    def _number(self, table: dict[str, Any], name: str, default: float, least: float | None = 0) -> float:
        value = table.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or (least is not None and value < least):
            raise self._bad(name, f"must be a number{'' if least is None else f' from {least}'}")
        return value

    def _table(self, table: dict[str, Any], name: str) -> dict[str, Any]:
        value = table.get(name, {})
        if not isinstance(value, dict):
            raise self._bad(name, f"must be a table: [{name}]")
        return value

    def _only(self, table: dict[str, Any], known: set[str], place: str) -> None:
        unknown = set(table) - known
        if unknown:
            raise self._bad(place, f"unknown settings {sorted(unknown)}; known are {sorted(known)}")

    def _bad(self, place: str, text: str) -> BadConfig:
        return BadConfig(f"{self._path}: {place}: {text}")
