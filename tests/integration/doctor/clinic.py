"""A healthy set-up for the doctor, all parts real, and the means to make it ill."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import redis
import trustme
from tls_terminal import TlsTerminal

from sluicegate.bootstrap import Container
from sluicegate.config import load_settings
from sluicegate.doctor.examination import Examination
from sluicegate.doctor.findings import Report

EXCHANGE_CONFIG = """
environment = "{environment}"
classic = [2002]
[accounts.2001]
USDT = "5000"
[accounts.2002]
USDT = "5000"
[accounts.2003]
[accounts.2004]
BTC = "1"
"""
KEY_CONFIG = """
[[keys]]
api_key = "{name}"
secret = "secret-of-{name}"
environment = "{environment}"
"""
SPOT_ONLY = 'permissions = { Spot = ["SpotTrade"] }'
NO_TRADE = 'permissions = { Exchange = ["ExchangeHistory"] }'
WITHDRAWS = (
    'permissions = { ContractTrade = ["Order", "Position"], Spot = ["SpotTrade"], Options = ["OptionsTrade"], '
    'Wallet = ["AccountTransfer", "Withdraw"] }'
)
HERE = 'ips = ["127.0.0.1"]'
KEYS: Mapping[str, tuple[str, ...]] = {
    "good": ("uid = 2001", HERE),
    "readonly": ("uid = 2001", HERE, "read_only = true"),
    "spot-only": ("uid = 2001", HERE, SPOT_ONLY),
    "no-trade": ("uid = 2001", HERE, NO_TRADE),
    "withdraws": ("uid = 2001", HERE, WITHDRAWS),
    "unbound": ("uid = 2001", "days_left = 60"),
    "ending": ("uid = 2001", "days_left = 3"),
    "bound": ("uid = 2001", 'ips = ["203.0.113.7"]'),
    "over": ("uid = 2001", "expired = true"),
    "classic": ("uid = 2002", HERE),
    "empty": ("uid = 2003", HERE),
    "coins": ("uid = 2004", HERE),
}
"""Keys of mainnet by their differences; `strange` belongs to testnet."""


def exchange_config(environment: str) -> str:
    """Return the configuration of a simulator that plays an environment of Bybit."""
    keys = [KEY_CONFIG.format(name=name, environment="mainnet") + "\n".join(lines) for name, lines in KEYS.items()]
    strange = KEY_CONFIG.format(name="strange", environment="testnet") + f"uid = 2001\n{HERE}"
    return EXCHANGE_CONFIG.format(environment=environment) + "\n".join([*keys, strange])


@contextmanager
def simulator(folder: Path, environment: str) -> Iterator[int]:
    """Run a simulator and give its port."""
    config = folder / f"{environment}.toml"
    config.write_text(exchange_config(environment))
    command = [sys.executable, "-m", "simulator", "--port", "0", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().decode().rsplit(":", 1)[-1])
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def tls(authority: trustme.CA, port: int, host: str = "127.0.0.1", *, days: int = 30) -> Iterator[str]:
    """Put TLS in front of a port; give the address."""
    import ssl

    now = datetime.now(UTC)
    leaf = authority.issue_cert(host, not_before=now - timedelta(days=90), not_after=now + timedelta(days=days))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(context)
    with TlsTerminal(context, port) as terminal:
        yield f"https://127.0.0.1:{terminal.port}"


@dataclass(frozen=True)
class Exchanges:
    """The servers that all tests share: mainnet and testnet behind TLS, and a broker."""

    authority: trustme.CA
    bundle: Path
    mainnet_port: int
    testnet_port: int
    mainnet: str
    testnet: str
    broker_url: str

    def hosts(self, **changes: str) -> dict[str, str]:
        """Return where each environment is; nothing listens for demo, and nothing of Bybit is ever asked."""
        return {"mainnet": self.mainnet, "testnet": self.testnet, "demo": "http://127.0.0.1:1", **changes}

    def control(self, what: str, **body: Any) -> None:
        """Pull one of mainnet's levers."""
        answer = httpx.post(f"http://127.0.0.1:{self.mainnet_port}/simulator/{what}", json=body, timeout=30)
        answer.raise_for_status()


class Clinic:
    """The healthy set-up of one test; `settings` is what a fault changes before the examination.

    Args:
        servers: shared.
        folder: of this test; holds secrets and ledger.
    """

    def __init__(self, servers: Exchanges, folder: Path) -> None:
        self.servers = servers
        self.folder = folder
        self.settings: dict[str, Any] = {
            "home": folder,
            "broker_url": servers.broker_url,
            "ledger_url": f"sqlite:///{folder}/ledger.db",
            "exchange": {
                "ca_bundle": servers.bundle,
                "hosts": servers.hosts(),
                "read_timeout_s": 20.0,
                "lease_s": 30.0,
            },
            "paging": {"webhook": "http://127.0.0.1:9/"},
            "accounts": {"main": self.account("good")},
        }

    def account(self, key: str, *, environment: str = "mainnet", secret: str | None = None) -> dict[str, Any]:
        """Return the settings of an account that has a key of the simulator."""
        files = {"api_key_file": key, "api_secret_file": secret or f"secret-of-{key}"}
        written = {}
        for what, text in files.items():
            file = self.folder / f"{what}-{key}"
            file.write_text(text)
            file.chmod(0o600)
            written[what] = str(file)
        return {"environment": environment, **written}

    def use_key(self, key: str, **account: Any) -> None:
        """Give the account another key."""
        self.settings["accounts"] = {"main": self.account(key, **account)}

    def set(self, section: str, **values: Any) -> None:
        """Change settings of a section."""
        self.settings[section] = {**self.settings[section], **values}

    @contextmanager
    def container(self) -> Iterator[Container]:
        """Give the objects of a process with these settings."""
        opened = Container(load_settings(**self.settings), "doctor-test")
        try:
            yield opened
        finally:
            opened.close()

    def examine(self, account: str | None = None) -> Report:
        """Run the doctor."""
        with self.container() as opened:
            return Examination(opened, account).run()

    def variables(self) -> dict[str, str]:
        """Return the settings as environment variables, for the command."""
        words = {f"SLUICEGATE_{name.upper()}": value for name, value in self.settings.items()}
        return {
            name: json.dumps(value, default=str) if isinstance(value, dict) else str(value)
            for name, value in words.items()
        }


def broker(url: str) -> redis.Redis:
    """Return a client of the broker."""
    return redis.Redis.from_url(url)
