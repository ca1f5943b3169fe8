"""The ledger over TLS: what the URL asks of the certificate is what is held."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from postgres_server import PostgresServer
from sqlalchemy import text
from tls_terminal import TlsTerminal

from sluicegate.domain.errors import LedgerUnavailable
from sluicegate.ledger import schema
from sluicegate.ledger.engine import create_ledger_engine


@pytest.fixture(scope="module")
def guarded(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Put TLS in front of PostgreSQL; give the URL without TLS options, and the CA.

    The server from the wheel has no TLS of its own, so the connection starts with TLS (`sslnegotiation=direct`),
    which anything in front of a server can end.
    """
    postgres.execute("CREATE DATABASE guarded")
    authority = trustme.CA()
    bundle = tmp_path_factory.mktemp("ledger-tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(bundle))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["postgresql"])
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with TlsTerminal(context, postgres.port) as terminal:
        url = postgres.url("guarded").replace(f":{postgres.port}/", f":{terminal.port}/")
        yield f"{url}?sslmode=verify-full&sslnegotiation=direct", bundle


def test_ledger_url_with_verify_full_speaks_tls(guarded: tuple[str, Path]) -> None:
    """The options of the URL reach the driver: the schema is made and read over TLS."""
    url, bundle = guarded
    address = f"{url}&sslrootcert={bundle}"
    schema.upgrade(address)
    schema.check(address)
    engine = create_ledger_engine(address)
    with engine.connect() as connection:
        assert 1 == connection.execute(text("SELECT 1")).scalar_one()
        assert connection.connection.dbapi_connection.pgconn.ssl_in_use
    engine.dispose()


def test_ledger_with_a_strange_certificate_is_not_talked_to(guarded: tuple[str, Path], tmp_path: Path) -> None:
    """Another CA signed it: no password goes there, and nothing is accepted."""
    url, _bundle = guarded
    other = tmp_path / "other.pem"
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(LedgerUnavailable, match="certificate verify failed"):
        schema.check(f"{url}&sslrootcert={other}")
