"""Settings: one frozen, validated tree, and the only reader of the environment."""

from __future__ import annotations

import json
import os
import ssl
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.numbers import DecimalText
from sluicegate.domain.orders import Name, Positive, Symbol
from sluicegate.domain.pace import Beat
from sluicegate.domain.policy import Backoff, Breaker
from sluicegate.domain.records import Severity
from sluicegate.domain.risk import DEFAULT_PRICE_COLLAR, RiskLimits

PREFIX = "SLUICEGATE_"


def _check_url(value: SecretStr, schemes: tuple[str, ...]) -> SecretStr:
    """Check the form of an address without showing it: it may hold a password."""
    try:
        parts = urlsplit(value.get_secret_value())
        is_good = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_good = False
    if not is_good:
        raise ValueError(f"must be an address such as {schemes[0]}://host:port/")
    return value


def _check_broker(value: SecretStr) -> SecretStr:
    """Check a broker's address; one with TLS verifies the certificate, whatever is written."""
    url = _check_url(value, ("redis", "rediss")).get_secret_value()
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return value
    if "ssl_cert_reqs" not in parse_qs(parts.query):  # Celery asks for it, redis-py has it by default
        more = "&".join(filter(None, (parts.query, "ssl_cert_reqs=required")))
        return SecretStr(parts._replace(path=parts.path or "/0", query=more).geturl())
    if parse_qs(parts.query)["ssl_cert_reqs"] != ["required"]:
        raise ValueError("ssl_cert_reqs must be required; name the CA in ssl_ca_certs=/path/ca.pem")
    return value


BrokerUrl = Annotated[SecretStr, AfterValidator(_check_broker)]
WebUrl = Annotated[SecretStr, AfterValidator(lambda value: _check_url(value, ("https", "http")))]


LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Environment(StrEnum):
    """Which Bybit a key belongs to. There is no default: nobody trades mainnet by omission."""

    MAINNET = "mainnet"
    TESTNET = "testnet"
    DEMO = "demo"
    SIMULATOR = "simulator"


def _check_host(environment: Environment, address: str) -> None:
    """Let nobody send signed requests to a strange place in the clear."""
    parts = urlsplit(address)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not (is_safe and parts.hostname) or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{environment}: must be an address such as https://api.bybit.eu, without a path")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class RiskSettings(_Section):
    """Risk limits of an account; see `sluicegate.domain.risk.RiskLimits`.

    Attributes:
        max_position: largest position by symbol, long or short, e.g. `{BTCUSDT = "0.5"}`; orders that may still
            trade count as if they had. Positions come from the stream; without it they are asked for by REST.
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


class AccountSettings(_Section):
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


class Credentials(_Section):
    """An API key and its secret. Neither shows in `repr`."""

    api_key: SecretStr
    api_secret: SecretStr


class OrderEntry(StrEnum):
    """How commands reach the exchange."""

    HTTP = "http"
    WEBSOCKET = "websocket"


class ExchangeSettings(_Section):
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
            _check_host(environment, address)
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


class RetrySettings(_Section):
    """How refused requests are tried again; see `sluicegate.domain.policy.Backoff`."""

    base_s: Annotated[float, Field(gt=0, le=60)] = 0.25
    cap_s: Annotated[float, Field(gt=0, le=3600)] = 20.0
    max_attempts: Annotated[int, Field(gt=0, le=1000)] = 12

    def to_backoff(self) -> Backoff:
        """Return the bounds as the domain wants them."""
        return Backoff(base_s=self.base_s, cap_s=self.cap_s, max_attempts=self.max_attempts)


class BreakerSettings(_Section):
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


class PagingSettings(_Section):
    """Who is told. Apprise URLs by severity; without any, pages go to the log.

    Attributes:
        critical: Apprise URLs for incidents that stop trading; a later one is tried when those before it failed.
            Several in one text, parted by blanks, are told together.
        warning: URLs for the others; without any, the critical ones.
        webhook: a plain HTTP address that gets every page as JSON, besides the URLs.
        repeat_critical_s: an incident that nobody acknowledged is paged again after so long; 0: never.
        repeat_warning_s: the same for warnings.
    """

    critical: tuple[SecretStr, ...] = ()
    warning: tuple[SecretStr, ...] = ()
    webhook: WebUrl | None = None
    repeat_critical_s: Annotated[float, Field(ge=0, le=604_800)] = 900.0
    repeat_warning_s: Annotated[float, Field(ge=0, le=604_800)] = 14_400.0

    def repeats(self) -> dict[Severity, float]:
        """Return by severity after how long a page is repeated, seconds."""
        return {Severity.CRITICAL: self.repeat_critical_s, Severity.WARNING: self.repeat_warning_s}

    def urls(self, severity: Severity) -> tuple[SecretStr, ...]:
        """Return the URLs for a severity; critical ones stand in where there is none for warnings."""
        return self.critical if severity is Severity.CRITICAL else self.warning or self.critical


class IntakeSettings(_Section):
    """How orders that come as messages (`sluicegate.accept`) prove their origin; without a secret they need not.

    Attributes:
        secret_env: variable that holds the secret which producers sign with; this or `secret_file`.
        secret_file: file that holds it.
    """

    secret_env: str | None = None
    secret_file: Path | None = None

    @model_validator(mode="after")
    def _check_source(self) -> Self:
        if self.secret_env is not None and self.secret_file is not None:
            raise ValueError("give one of secret_env and secret_file")
        return self


class WorkerSettings(_Section):
    """How workers run.

    Attributes:
        concurrency: threads of a worker process.
        max_wait_s: longest sleep of a worker for a token; beyond, the order goes back to the ledger.
        republish_s: a published order that nobody claimed is published again after so long.
        metrics_host: address that `/metrics` listens on.
        metrics_port: 0 takes any free port; None serves no metrics.
    """

    concurrency: Annotated[int, Field(gt=0, le=256)] = 16
    max_wait_s: Annotated[float, Field(ge=0, le=5)] = 0.5
    republish_s: Annotated[float, Field(ge=1, le=600)] = 10.0
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = 0


class SchedulerSettings(_Section):
    """How often the scheduler looks.

    Attributes:
        release_interval_s: between two releases of what is due.
        instruments_interval_s: between two refreshes of the instrument rules.
        clock_interval_s: between two measurements of the exchange's clock.
        reconcile_interval_s: between two comparisons of an account with the exchange, quota permitting.
        gauges_interval_s: between two readings of the gauges.
        lock_timeout_s: a scheduler that died is replaced after so long.
    """

    release_interval_s: Annotated[float, Field(ge=0.05, le=60)] = 0.25
    instruments_interval_s: Annotated[float, Field(ge=1, le=86_400)] = 900.0
    clock_interval_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    reconcile_interval_s: Annotated[float, Field(ge=1, le=3600)] = 30.0
    gauges_interval_s: Annotated[float, Field(ge=0.1, le=3600)] = 2.0
    lock_timeout_s: Annotated[int, Field(ge=5, le=600)] = 15


class StreamSettings(_Section):
    """How the private streams are followed.

    Attributes:
        ping_interval_s: between two pings. Source: Bybit V5 WebSocket connect page, advice of 20.
        pong_timeout_s: how long a pong may take; a silent stream is noticed after both together.
        stale_s: how long the first event of an order may lag behind its acknowledgement; a stream that shows none
            by then is dead, whatever it answers.
        backoff_base_s: longest wait before the first reconnect; it doubles with each that fails.
        backoff_cap_s: longest wait between two reconnects.
        connects_per_5_minutes: new connections of all processes of one egress; Bybit refuses more than 500.
        lease_s: an account whose stream process died is taken over after so long.
        look_s: an order that the stream has shown is looked at by REST not before; the net under the stream.
    """

    ping_interval_s: Annotated[float, Field(ge=0.2, le=60)] = 20.0
    pong_timeout_s: Annotated[float, Field(ge=0.2, le=30)] = 5.0
    stale_s: Annotated[float, Field(ge=1, le=120)] = 10.0
    backoff_base_s: Annotated[float, Field(gt=0, le=60)] = 0.5
    backoff_cap_s: Annotated[float, Field(gt=0, le=600)] = 20.0
    connects_per_5_minutes: Annotated[int, Field(gt=0, le=450)] = 240
    lease_s: Annotated[float, Field(ge=1, le=60)] = 5.0
    look_s: Annotated[float, Field(ge=1, le=3600)] = 120.0

    def to_beat(self) -> Beat:
        """Return the rhythm as the domain wants it."""
        return Beat(ping_s=self.ping_interval_s, pong_s=self.pong_timeout_s)


class Settings(BaseSettings):
    """Everything that can be set: `SLUICEGATE_*` variables before the TOML file named by `SLUICEGATE_CONFIG`.

    Attributes:
        home: where the embedded parts write; nothing is written elsewhere.
        broker_url: Redis or Valkey of Celery and the buckets.
        ledger_url: SQLAlchemy URL; without one, SQLite under `home`.
        simulator_url: where accounts with `environment = "simulator"` send their requests.
        egress: name of the public IP that requests leave from; hosts that share one share its quota.
        log_level: DEBUG, INFO, WARNING or ERROR.
        log_format: `json` for machines, `console` for people.
        config: the TOML file; set by its variable only.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
        hide_input_in_errors=True,
    )

    home: Path = Path("var")
    broker_url: BrokerUrl | None = None
    ledger_url: SecretStr | None = None
    simulator_url: Annotated[str, Field(pattern=r"^https?://[^/\s]")] | None = None
    egress: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = "default"
    accounts: Mapping[Name, AccountSettings] = {}
    exchange: ExchangeSettings = ExchangeSettings()
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()
    paging: PagingSettings = PagingSettings()
    intake: IntakeSettings = IntakeSettings()
    worker: WorkerSettings = WorkerSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    stream: StreamSettings = StreamSettings()
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"
    log_format: Annotated[str, Field(pattern="^(json|console)$")] = "json"
    config: Path | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - signature of pydantic-settings
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read arguments, then the environment, then the file."""
        path = os.environ.get(PREFIX + "CONFIG")
        sources = [init_settings, env_settings]
        if path:
            sources.append(TomlConfigSettingsSource(settings_cls, Path(path)))
        return tuple(sources)

    @property
    def ledger_address(self) -> str:
        """Return the ledger's URL; SQLite under `home` by default."""
        if self.ledger_url is not None:
            return self.ledger_url.get_secret_value()
        return f"sqlite:///{(self.home / 'ledger.db').absolute()}"

    @property
    def broker_address(self) -> str:
        """Return the broker's URL: the setting, or the running embedded stack's.

        Raises:
            ConfigurationError: there is neither.
        """
        if self.broker_url is not None:
            return self.broker_url.get_secret_value()
        running = self.running_stack()
        if "broker_url" in running:
            return str(running["broker_url"])
        raise ConfigurationError(
            f"{PREFIX}BROKER_URL is not set and no embedded stack runs under {self.home}. "
            f"Set it (redis://host:6379/0), or start the stack with `sluicegate up`."
        )

    @property
    def simulator_address(self) -> str:
        """Return the simulator's URL: the setting, or the running embedded stack's.

        Raises:
            ConfigurationError: there is neither.
        """
        url = self.simulator_url or self.running_stack().get("simulator_url")
        if not url:
            raise ConfigurationError(
                f"{PREFIX}SIMULATOR_URL is not set. Start `python -m simulator --port 8800` and set it to "
                f"http://127.0.0.1:8800, or start the whole stack with `sluicegate up`."
            )
        return str(url)

    def exchange_address(self, environment: Environment) -> str | None:
        """Return where the requests of an environment go; None: Bybit's usual host, which pybit knows.

        Raises:
            ConfigurationError: it is the simulator, and nothing says where that listens.
        """
        if environment is Environment.SIMULATOR:
            return self.simulator_address
        return self.exchange.hosts.get(environment)

    @property
    def stack_file(self) -> Path:
        """Return the file in which a running embedded stack notes its addresses."""
        return self.home / "run" / "stack.json"

    def running_stack(self) -> Mapping[str, Any]:
        """Return the addresses of the embedded stack under `home`; empty when none runs."""
        try:
            noted = json.loads(self.stack_file.read_text())
            os.kill(int(noted["pid"]), 0)
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return {}
        return dict(noted)

    def account(self, name: str) -> AccountSettings:
        """Return the settings of an account.

        Raises:
            ConfigurationError: there is no such account.
        """
        try:
            return self.accounts[name]
        except KeyError:
            known = ", ".join(sorted(self.accounts)) or "none"
            raise ConfigurationError(f"unknown account {name!r}; configured: {known}") from None

    def intake_secret(self) -> SecretStr | None:
        """Read the secret that messages with orders are signed with; None: they are not.

        Raises:
            ConfigurationError: its variable or file is missing or empty, or it is too short.
        """
        if self.intake.secret_env is None and self.intake.secret_file is None:
            return None
        secret = _read_secret("intake.secret", self.intake.secret_env, self.intake.secret_file)
        if len(secret.get_secret_value()) < MIN_SECRET_LENGTH:
            raise ConfigurationError(f"intake.secret must have at least {MIN_SECRET_LENGTH} characters")
        return secret

    def credentials(self, name: str) -> Credentials:
        """Read the key and the secret of an account from where its settings point to.

        Raises:
            ConfigurationError: a variable or file is missing or empty; names it, never shows its content.
        """
        account = self.account(name)
        return Credentials(
            api_key=_read_secret(f"accounts.{name}.api_key", account.api_key_env, account.api_key_file),
            api_secret=_read_secret(
                f"accounts.{name}.api_secret", account.api_secret_env, account.api_secret_file
            ),
        )


MIN_SECRET_LENGTH = 16


def _read_secret(setting: str, variable: str | None, file: Path | None) -> SecretStr:
    if variable is not None:
        value = os.environ.get(variable, "").strip()
        if not value:
            raise ConfigurationError(f"{setting}_env names the variable {variable}, which is not set")
        return _one_word(f"{setting}_env: {variable}", value)
    try:
        value = (file or Path()).read_text(encoding="utf-8").strip()
    except OSError as e:
        raise ConfigurationError(f"{setting}_file: cannot read {file}: {e.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{setting}_file: {file} is no text") from None
    if not value:
        raise ConfigurationError(f"{setting}_file: {file} is empty")
    return _one_word(f"{setting}_file: {file}", value)


def _one_word(source: str, value: str) -> SecretStr:
    if not all("!" <= letter <= "~" for letter in value):
        raise ConfigurationError(f"{source} must hold one word of ASCII letters, digits and signs, nothing else")
    return SecretStr(value)


def _describe(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown setting"
    return f"{where}: {str(error['msg']).removeprefix('Value error, ')}"


def load_settings(**overrides: Any) -> Settings:
    """Read the settings once.

    Args:
        overrides: values that win over environment and file.

    Raises:
        ConfigurationError: names each setting that is wrong; values that may be secret are not shown.
    """
    path = os.environ.get(PREFIX + "CONFIG")
    if path and not Path(path).is_file():
        raise ConfigurationError(f"{PREFIX}CONFIG names {path}, which is not a file")
    try:
        return Settings(**overrides)
    except ValidationError as e:
        raise ConfigurationError("; ".join(_describe(error) for error in e.errors()[:10])) from None
    except tomllib.TOMLDecodeError as e:
        raise ConfigurationError(f"{path} is not valid TOML: {e}") from None
    except SettingsError as e:
        raise ConfigurationError(f"{e}: lists and tables in variables are written as JSON") from None
    except (OSError, ValueError) as e:
        raise ConfigurationError(f"settings cannot be read: {e}") from None
