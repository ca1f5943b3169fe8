"""The tree, and how it is read."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from sluicegate.config.processes import (
    IntakeSettings,
    PagingSettings,
    SchedulerSettings,
    StreamSettings,
    WorkerSettings,
)
from sluicegate.config.secret_files import read_secret
from sluicegate.config.trading import (
    AccountSettings,
    BreakerSettings,
    Credentials,
    ExchangeSettings,
    RetrySettings,
)
from sluicegate.config.values import BrokerUrl, Environment
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.orders import Name

PREFIX = "SLUICEGATE_"
MIN_SECRET_LENGTH = 16


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
        secret = read_secret("intake.secret", self.intake.secret_env, self.intake.secret_file)
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
            api_key=read_secret(f"accounts.{name}.api_key", account.api_key_env, account.api_key_file),
            api_secret=read_secret(f"accounts.{name}.api_secret", account.api_secret_env, account.api_secret_file),
        )


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
