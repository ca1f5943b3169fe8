"""Where settings come from, and what is said when one is wrong: one line that names it and shows no secret."""

from __future__ import annotations

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sluicegate.config import Environment, Settings, load_settings
from sluicegate.domain.errors import ConfigurationError

MINIMAL = '[accounts.main]\nenvironment = "simulator"\napi_key_env = "MAIN_KEY"\napi_secret_env = "MAIN_SECRET"\n'

Load = Callable[..., Settings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Give what loads settings from a TOML text and variables, and from nothing else."""
    for name in [name for name in os.environ if name.upper().startswith("SLUICEGATE_")]:
        monkeypatch.delenv(name)

    def read(toml: str | bytes | None = None, **variables: str) -> Settings:
        if toml is not None:
            file = tmp_path / "sluicegate.toml"
            file.write_bytes(toml if isinstance(toml, bytes) else toml.encode())
            monkeypatch.setenv("SLUICEGATE_CONFIG", str(file))
        for name, value in variables.items():
            monkeypatch.setenv(f"SLUICEGATE_{name}", value)
        return load_settings()

    return read


def complaint(load: Load, *arguments: Any, **variables: str) -> str:
    """Return what loading complains about, checked to be one line without a traceback."""
    with pytest.raises(ConfigurationError) as raised:
        load(*arguments, **variables)
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return str(raised.value)


def test_settings_minimal_file_is_enough(load: Load) -> None:
    """An account with its environment and where its key is: everything else has a default."""
    account = load(MINIMAL).account("main")
    assert (Environment.SIMULATOR, "MAIN_KEY", "default") == (
        account.environment,
        account.api_key_env,
        account.tier,
    )


def test_settings_without_anything_have_no_account(load: Load) -> None:
    """No account and no environment has a default; nor has the broker."""
    settings = load()
    assert dict(settings.accounts) == {}
    with pytest.raises(ConfigurationError, match="unknown account 'main'; configured: none"):
        settings.account("main")
    with pytest.raises(ConfigurationError, match="SLUICEGATE_BROKER_URL is not set"):
        _ = settings.broker_address
    with pytest.raises(ConfigurationError, match="SLUICEGATE_SIMULATOR_URL is not set"):
        _ = settings.simulator_address
    assert settings.ledger_address == f"sqlite:///{Path('var/ledger.db').absolute()}"


def test_settings_variable_wins_over_file(load: Load) -> None:
    """A variable replaces one value of a section and leaves the others of the file."""
    file = 'log_level = "ERROR"\n[worker]\nconcurrency = 3\nmax_wait_s = 0.25\n'
    settings = load(file, WORKER__CONCURRENCY="7", LOG_LEVEL="DEBUG")
    assert (7, 0.25, "DEBUG") == (settings.worker.concurrency, settings.worker.max_wait_s, settings.log_level)


def test_settings_argument_wins_over_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the caller gives wins over everything."""
    monkeypatch.setenv("SLUICEGATE_LOG_LEVEL", "ERROR")
    assert load_settings(log_level="DEBUG").log_level == "DEBUG"


def test_settings_account_from_variables_alone(load: Load) -> None:
    """Containers need no file."""
    settings = load(
        ACCOUNTS__MAIN__ENVIRONMENT="testnet",
        ACCOUNTS__MAIN__API_KEY_ENV="K",
        ACCOUNTS__MAIN__API_SECRET_ENV="S",
        ACCOUNTS__MAIN__RISK__MAX_QTY="0.5",
    )
    assert settings.account("main").environment is Environment.TESTNET
    assert str(settings.account("main").risk.max_qty) == "0.5"


def test_settings_variable_corrects_one_field_of_an_account(load: Load) -> None:
    """One field of an account in the file can be replaced by a variable."""
    settings = load(MINIMAL, ACCOUNTS__MAIN__TIER="VIP1")
    assert ("VIP1", "MAIN_KEY") == (settings.account("main").tier, settings.account("main").api_key_env)


WRONG = {
    "environment_missing": (
        '[accounts.main]\napi_key_env = "K"\napi_secret_env = "S"',
        "accounts.main.environment",
    ),
    "environment_unknown": (MINIMAL.replace("simulator", "mainet"), "accounts.main.environment"),
    "key_missing": (
        MINIMAL.replace('api_key_env = "MAIN_KEY"\n', ""),
        "exactly one of api_key_env and",
    ),
    "key_twice": (MINIMAL + 'api_key_file = "k"', "exactly one of api_key_env and"),
    "secret_missing": (MINIMAL.replace('api_secret_env = "MAIN_SECRET"\n', ""), "exactly one of api_secret_env"),
    "key_in_the_file": (MINIMAL + 'api_key = "abc"', "accounts.main.api_key: unknown setting"),
    "unknown_at_top": ('broker_ulr = "redis://x"', "broker_ulr: unknown setting"),
    "unknown_section": ("[exchnge]\nrecv_window_ms = 5000", "exchnge: unknown setting"),
    "unknown_in_section": ("[exchange]\nrecv_windw_ms = 5000", "exchange.recv_windw_ms: unknown setting"),
    "unknown_in_risk": (MINIMAL + "[accounts.main.risk]\nmax_quantity = 5", "accounts.main.risk.max_quantity"),
    "account_name": (MINIMAL.replace("accounts.main", 'accounts."my account"'), "accounts.my account"),
    "account_no_table": ('[accounts]\nmain = "x"', "accounts.main"),
    "limit_zero": (MINIMAL + '[accounts.main.limits]\n"/v5/order/create" = 0', "accounts.main.limits"),
    "limit_text": (MINIMAL + '[accounts.main.limits]\n"/v5/order/create" = "x"', "accounts.main.limits"),
    "risk_float": (MINIMAL + "[accounts.main.risk]\nmax_qty = 0.5", "accounts.main.risk.max_qty"),
    "risk_negative": (MINIMAL + '[accounts.main.risk]\nmax_notional = "-1"', "accounts.main.risk.max_notional"),
    "risk_zero": (MINIMAL + '[accounts.main.risk]\nmax_qty = "0"', "accounts.main.risk.max_qty"),
    "risk_rate": (MINIMAL + "[accounts.main.risk]\nmax_orders_per_minute = 0", "max_orders_per_minute"),
    "risk_symbol": (MINIMAL + '[accounts.main.risk]\nsymbols = ["btcusdt"]', "accounts.main.risk.symbols"),
    "collar_zero": (MINIMAL + '[accounts.main.risk]\nprice_collar = "0"', "accounts.main.risk.price_collar"),
    "window_small": ("[exchange]\nrecv_window_ms = 10", "exchange.recv_window_ms"),
    "timeout_infinite": ("[exchange]\nread_timeout_s = inf", "exchange.read_timeout_s"),
    "timeout_nan": ("[exchange]\nread_timeout_s = nan", "exchange.read_timeout_s"),
    "lease_short": ("[exchange]\nlease_s = 8", "exchange: lease_s must be longer than connect_timeout_s + read"),
    "bundle_missing": ('[exchange]\nca_bundle = "/nowhere/ca.pem"', "exchange.ca_bundle: /nowhere/ca.pem"),
    "bundle_no_pem": ('[exchange]\nca_bundle = "/etc/hostname"', "exchange.ca_bundle: /etc/hostname"),
    "bundle_folder": ('[exchange]\nca_bundle = "/etc"', "exchange.ca_bundle: /etc"),
    "backoff_infinite": ("[retry]\ncap_s = inf", "retry.cap_s"),
    "backoff_absurd": ("[retry]\nbase_s = 1e300", "retry.base_s"),
    "interval_infinite": ("[scheduler]\ninstruments_interval_s = inf", "scheduler.instruments_interval_s"),
    "concurrency": ("[worker]\nconcurrency = 0", "worker.concurrency"),
    "concurrency_float": ("[worker]\nconcurrency = 1.5", "worker.concurrency"),
    "port": ("[worker]\nmetrics_port = 70000", "worker.metrics_port"),
    "egress": ('egress = "a b"', "egress"),
    "log_level": ('log_level = "LOUD"', "log_level"),
    "log_format": ('log_format = "xml"', "log_format"),
    "simulator_url": ('simulator_url = "127.0.0.1:8800"', "simulator_url"),
    "broker_url": ('broker_url = "amqp://u:hunter2@host"', "broker_url: must be an address such as redis://"),
    "broker_url_port": ('broker_url = "redis://u:hunter2@host:x/0"', "broker_url: must be an address"),
    "broker_url_host": ('broker_url = "redis:///hunter2"', "broker_url: must be an address"),
    "webhook": ('[paging]\nwebhook = "hooks.example/hunter2"', "paging.webhook: must be an address such as https"),
    "paging_url": ('[paging]\ncritical = "slack://hunter2"', "paging.critical"),
    "no_toml": ("accounts = [", "is not valid TOML"),
    "no_text": (b"\xff\xfe\x00", "settings cannot be read"),
}


@pytest.mark.parametrize(("toml", "names"), WRONG.values(), ids=WRONG)
def test_settings_wrong_value_is_named_in_one_line(load: Load, toml: str | bytes, names: str) -> None:
    """Each wrong setting is named where it stands, in one line, without what may be a password."""
    said = complaint(load, toml)
    assert names in said
    assert "hunter2" not in said


WRONG_VARIABLES = {
    "WORKER__CONCURRENCY": ("many", "worker.concurrency"),
    "WORKER__CONCURENCY": ("3", "worker.concurency: unknown setting"),
    "ACCOUNTS": ("{hunter2", '"accounts" from source "EnvSettingsSource": lists and tables'),
    "PAGING__CRITICAL": ("slack://hunter2", '"paging"'),
    "BROKER_URL": ("hunter2", "broker_url"),
    "EXCHANGE__RECV_WINDOW_MS": ("", "exchange.recv_window_ms"),
}


@pytest.mark.parametrize("name", WRONG_VARIABLES)
def test_settings_wrong_variable_is_named_in_one_line(load: Load, name: str) -> None:
    """A wrong variable is named like a wrong line of the file."""
    value, names = WRONG_VARIABLES[name]
    said = complaint(load, None, **{name: value})
    assert names in said
    assert "hunter2" not in said


@pytest.mark.parametrize("where", ["nowhere.toml", "."])
def test_settings_file_that_is_none_is_named(load: Load, tmp_path: Path, where: str) -> None:
    """`SLUICEGATE_CONFIG` must name a file."""
    path = str(tmp_path / where)
    assert f"SLUICEGATE_CONFIG names {path}, which is not a file" == complaint(load, None, CONFIG=path)


def test_settings_several_wrong_values_are_all_named(load: Load) -> None:
    """One start shows everything that is wrong."""
    said = complaint(load, "[worker]\nconcurrency = 0\nmax_wait_s = -1\n[retry]\nmax_attempts = 0")
    assert all(name in said for name in ("worker.concurrency", "worker.max_wait_s", "retry.max_attempts"))


def test_settings_never_change(load: Load) -> None:
    """The tree is frozen at every level."""
    settings = load(MINIMAL)
    for owner, name in (
        (settings, "log_level"),
        (settings.exchange, "lease_s"),
        (settings.account("main"), "tier"),
    ):
        with pytest.raises(ValueError, match="frozen"):
            setattr(owner, name, "x")


@pytest.mark.parametrize(
    ("name", "value"),
    [("RISK__MAX_POSITION", '{"BTCUSDT": "0.5"}'), ("RISK__MAX_POSITION__BTCUSDT", "0.5")],
)
def test_position_limits_can_be_set_by_variables(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """By one variable as JSON, or by one a symbol; a variable's name loses its capitals on the way."""
    account = "SLUICEGATE_ACCOUNTS__MAIN__"
    for setting, content in {"ENVIRONMENT": "simulator", "API_KEY_ENV": "K", "API_SECRET_ENV": "S"}.items():
        monkeypatch.setenv(account + setting, content)
    monkeypatch.setenv(account + name, value)

    limits = load_settings().account("main").risk.to_limits()

    assert {"BTCUSDT": Decimal("0.5")} == dict(limits.max_position)


def test_order_entry_by_websocket_needs_bybits_usual_hosts(load: Load) -> None:
    """Where a regional site has its trade socket is not known, so orders are not sent to another by mistake."""
    assert load(MINIMAL, EXCHANGE__ORDER_ENTRY="websocket").exchange.order_entry == "websocket"
    toml = MINIMAL + '[exchange]\norder_entry = "websocket"\nhosts = {mainnet = "https://api.bybit.eu"}\n'
    assert "order_entry" in complaint(load, toml)
