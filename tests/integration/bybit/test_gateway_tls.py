"""TLS: a certificate that cannot be verified halts the account; a handshake that merely breaks does not."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from certificates import Authority, found_authority, self_signed_server
from orders_desk import place
from venue_server import FAST, VenueServer, open_desk

from sluicegate.domain.outcomes import Acknowledged, Action, InDoubt, NeverSent, Outcome

PATIENT = FAST.model_copy(update={"connect_timeout_s": 3.0, "read_timeout_s": 3.0, "lease_s": 9.0})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give a CA."""
    return found_authority(tmp_path_factory.mktemp("ca"))


def outcome_towards(tls: ssl.SSLContext, bundle: Path | None = None) -> tuple[Outcome, int]:
    """Place an order over TLS; return the outcome and how many requests arrived."""
    with VenueServer(tls=tls) as server:
        outcome = place(open_desk(server.url, PATIENT.model_copy(update={"ca_bundle": bundle}))).outcome
        return outcome, len(server.requests)


UNVERIFIABLE: dict[str, Callable[[Authority], tuple[ssl.SSLContext, bool]]] = {
    "unknown_authority": lambda ca: (ca.server(), False),
    "self_signed": lambda ca: (self_signed_server(ca.folder), True),
    "expired": lambda ca: (ca.server(valid_for=timedelta(days=-1)), True),
    "wrong_host": lambda ca: (ca.server(host="api.bybit.com"), True),
    "wrong_address": lambda ca: (ca.server(host="127.0.0.2"), True),
}


@pytest.mark.parametrize("case", UNVERIFIABLE.values(), ids=UNVERIFIABLE)
def test_place_to_an_unverified_server_is_never_sent_and_halts(
    authority: Authority, case: Callable[[Authority], tuple[ssl.SSLContext, bool]]
) -> None:
    """No certificate, no request: the account halts and the fix names certifi and the CA bundle."""
    tls, has_bundle = case(authority)
    outcome, arrived = outcome_towards(tls, authority.bundle if has_bundle else None)
    assert isinstance(outcome, NeverSent)
    assert ("tls_verify_failed", Action.HALT_ACCOUNT, 0) == (outcome.code, outcome.action, arrived)
    assert "certifi" in outcome.fix
    assert "exchange.ca_bundle" in outcome.fix


def test_place_with_the_right_bundle_is_acknowledged(authority: Authority) -> None:
    """`exchange.ca_bundle` replaces certifi's certificates."""
    outcome, arrived = outcome_towards(authority.server(), authority.bundle)
    assert isinstance(outcome, Acknowledged)
    assert arrived == 1


def test_place_whose_bundle_is_gone_is_never_sent_and_halts(authority: Authority, tmp_path: Path) -> None:
    """Without the CA's certificates nothing leaves this host, and no later attempt can do better."""
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(authority.bundle.read_bytes())
    with VenueServer(tls=authority.server()) as server:
        desk = open_desk(server.url, PATIENT.model_copy(update={"ca_bundle": bundle}))
        bundle.unlink()
        outcome = place(desk).outcome
        arrived = len(server.requests)
    assert isinstance(outcome, NeverSent)
    assert ("tls_verify_failed", Action.HALT_ACCOUNT, 0) == (outcome.code, outcome.action, arrived)


def test_place_ignores_the_bundle_of_the_environment(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the setting decides whom to trust: the environment neither adds an authority nor takes one away."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.bundle))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(authority.bundle))
    outcome, _arrived = outcome_towards(authority.server())
    assert isinstance(outcome, NeverSent)
    other = found_authority(tmp_path / "other")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(other.bundle))
    outcome, _arrived = outcome_towards(authority.server(), authority.bundle)
    assert isinstance(outcome, Acknowledged)


@pytest.mark.parametrize("data", [b"", b"\x16\x03\x03\x00\x7a\x02\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_place_handshake_that_breaks_does_not_halt(data: bytes) -> None:
    """A peer that ends, cuts or cannot speak TLS is a network fault, not a certificate fault."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _address = listener.accept()
            with connection:
                connection.recv(100)
                connection.sendall(data)

        peer = threading.Thread(target=answer, daemon=True)
        peer.start()
        outcome = place(open_desk(f"https://127.0.0.1:{listener.getsockname()[1]}", PATIENT)).outcome
        peer.join(5)
    assert isinstance(outcome, InDoubt)
    assert outcome.code == "net_reset_or_aborted"


def test_place_handshake_without_an_answer_is_no_certificate_fault() -> None:
    """A peer that accepts and says nothing is a time-out."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outcome = place(open_desk(f"https://127.0.0.1:{listener.getsockname()[1]}")).outcome
    assert isinstance(outcome, InDoubt | NeverSent)
    assert outcome.code in {"net_read_timeout", "net_connect_fail"}
