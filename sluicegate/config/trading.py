"""Settings of accounts, and of how their orders are sent."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from sluicegate.config.values import Environment, Section, check_host
from sluicegate.domain.numbers import DecimalText
from sluicegate.domain.orders import Positive, Symbol
from sluicegate.domain.policy import Backoff, Breaker
from sluicegate.domain.risk import DEFAULT_PRICE_COLLAR, RiskLimits


class RiskSettings(Section):
    """Risk limits of an account; see `sluicegate.domain.risk.RiskLimits`.

    Attributes:
        max_position: largest position by symbol, long or short, e.g. `{BTCUSDT = "0.5"}`; orders that may still
            trade count as if they had. The position is asked for by REST after each fill, and when 2 s old.
    """

    max_qty: Positive | None = None
    max_notional: Positive | None = None
    max_orders_per_minute: Annotated[int, Field(gt=0)] | None = None
    symbols: frozenset[Symbol] = frozenset()
    max_position: Mapping[Symbol, Positive] = {}
    price_collar: DecimalText = DEFAULT_PRICE_COLLAR

    @field_validator("max_position", mode="before")
    @classmethod
    def _read_positions(cls, value: Any) -> Any:
        """Take JSON text too, and symbols in any case: a variable's name comes in small letters."""
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except ValueError:
                raise ValueError('must be limits by symbol, e.g. {"BTCUSDT": "0.5"}') from None
        if not isinstance(value, Mapping):
            return value
        return {str(symbol).upper(): limit for symbol, limit in value.items()}

    @field_validator("price_collar")
    @classmethod
    def _check_collar(cls, value: Decimal) -> Decimal:
        if value <= 0:
            raise ValueError('must be greater than 0, e.g. "0.05" for 5 %')
        return value

    def to_limits(self) -> RiskLimits:
        """Return the limits as the domain wants them."""
        return RiskLimits(
            max_qty=self.max_qty,
            max_notional=self.max_notional,
            max_orders_per_minute=self.max_orders_per_minute,
            symbols=self.symbols,
            max_position=dict(self.max_position),
            price_collar=self.price_collar,
        )


class AccountSettings(Section):
    """One Bybit UID with its credentials and environment.

    Attributes:
        environment: which Bybit its key belongs to: `mainnet`, `testnet`, `demo` or `simulator`.
        api_key_env: variable that holds the API key; this or `api_key_file`, exactly one.
        api_key_file: file that holds the API key.
        api_secret_env: variable that holds the secret; this or `api_secret_file`, exactly one.
        api_secret_file: file that holds the secret.
        tier: Bybit's fee tier that sets the order rate limits: `default`, `VIP1` … `PRO6`.
        limits: requests per second that replace the documented ones, by path, e.g.
            `{"/v5/order/create" = 20}`.
    """

    environment: Environment
    api_key_env: str | None = None
    api_key_file: Path | None = None
    api_secret_env: str | None = None
    api_secret_file: Path | None = None
    tier: str = "default"
    limits: Mapping[str, Annotated[int, Field(gt=0)]] = {}
    risk: RiskSettings = RiskSettings()

    @model_validator(mode="after")
    def _check_sources(self) -> Self:
        for what in ("api_key", "api_secret"):
            given = [getattr(self, f"{what}_env"), getattr(self, f"{what}_file")]
            if sum(source is not None for source in given) != 1:
                raise ValueError(f"give exactly one of {what}_env and {what}_file")
        return self


class Credentials(Section):
    """An API key and its secret. Neither shows in `repr`."""

    api_key: SecretStr
    api_secret: SecretStr


class OrderEntry(StrEnum):
    """How commands reach the exchange."""

    HTTP = "http"
    WEBSOCKET = "websocket"


class ExchangeSettings(Section):
    """How requests are sent.

    Attributes:
        recv_window_ms: how old a request may be when Bybit sees it. Source: Bybit V5 guide, default 5000.
        connect_timeout_s: to open a connection.
        read_timeout_s: between two reads of an answer.
        lease_s: how long a claimed order stays with its worker; longer than both time-outs together.
        horizon_margin_ms: added to recv_window before absence proves anything.
        arrival_margin_ms: a token returns so much later than one window after its request arrived at the exchange;
            1000 and more is as if the arrival were never known.
        order_entry: how orders, amends and cancels are sent: `http`, or `websocket` for Bybit's trade WebSocket;
            accounts of the demo environment, which has none, use HTTP all the same. Queries always do.
        batches: new orders may also take the batch endpoint, which has a quota of its own; False: one order a
            request, through the single endpoint alone.
        ca_bundle: file of CA certificates (PEM) that replace certifi's.
        hosts: addresses that replace Bybit's usual ones by environment, for regional sites, e.g.
            `{mainnet = "https://api.bybit.eu"}`; plain `http` is taken on this host only.
    """

    recv_window_ms: Annotated[int, Field(ge=1000, le=60_000)] = 5000
    connect_timeout_s: Annotated[float, Field(gt=0, le=30)] = 3.0
    read_timeout_s: Annotated[float, Field(gt=0, le=60)] = 6.0
    lease_s: Annotated[float, Field(gt=0, le=300)] = 15.0
    horizon_margin_ms: Annotated[int, Field(ge=100, le=60_000)] = 1000
    arrival_margin_ms: Annotated[float, Field(ge=0, le=10_000)] = 2.0
    order_entry: OrderEntry = OrderEntry.HTTP
    batches: bool = True
    ca_bundle: Path | None = None
    hosts: Mapping[Environment, str] = {}

    @field_validator("hosts")
    @classmethod
    def _check_hosts(cls, value: Mapping[Environment, str]) -> Mapping[Environment, str]:
        for environment, address in value.items():
            if environment is Environment.SIMULATOR:
                raise ValueError("the simulator's address is simulator_url")
            check_host(environment, address)
        return value

    @field_validator("ca_bundle")
    @classmethod
    def _check_bundle(cls, value: Path | None) -> Path | None:
        try:
            if value is not None:
                ssl.create_default_context(cafile=value)
        except OSError as e:  # SSLError is one
            raise ValueError(
                f"{value} holds no CA certificates in PEM: {e.strerror or e}; name another file, or leave the "
                f"setting out and certifi's are used"
            ) from None
        return value

    @model_validator(mode="after")
    def _check_lease(self) -> Self:
        if self.lease_s <= self.connect_timeout_s + self.read_timeout_s:
            raise ValueError("lease_s must be longer than connect_timeout_s + read_timeout_s")
        return self

    @model_validator(mode="after")
    def _check_order_entry(self) -> Self:
        if self.order_entry is OrderEntry.WEBSOCKET and self.hosts:
            raise ValueError(
                "order_entry = websocket goes to Bybit's usual hosts only; leave hosts out, or order_entry at http"
            )
        return self


class RetrySettings(Section):
    """How refused requests are tried again; see `sluicegate.domain.policy.Backoff`."""

    base_s: Annotated[float, Field(gt=0, le=60)] = 0.25
    cap_s: Annotated[float, Field(gt=0, le=3600)] = 20.0
    max_attempts: Annotated[int, Field(gt=0, le=1000)] = 12

    def to_backoff(self) -> Backoff:
        """Return the bounds as the domain wants them."""
        return Backoff(base_s=self.base_s, cap_s=self.cap_s, max_attempts=self.max_attempts)


class BreakerSettings(Section):
    """When too many dead letters halt an account; see `sluicegate.domain.policy.Breaker`.

    Attributes:
        share: of the orders that came out within the window; more of them dead than that halts. 1 switches it off.
        least: fewer dead letters than that say nothing.
        window_s: how far back orders count.
    """

    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    least: Annotated[int, Field(gt=0, le=1_000_000)] = 20
    window_s: Annotated[float, Field(ge=1, le=86_400)] = 60.0

    def to_breaker(self) -> Breaker:
        """Return the bounds as the domain wants them."""
        return Breaker(share=self.share, least=self.least, window_s=self.window_s)
