"""What settings are made of: checked addresses, environments, sections."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SecretStr,
)


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


def check_host(environment: Environment, address: str) -> None:
    """Let nobody send signed requests to a strange place in the clear."""
    parts = urlsplit(address)
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)
    if not (is_safe and parts.hostname) or parts.path.strip("/") or parts.query or parts.username:
        raise ValueError(f"{environment}: must be an address such as https://api.bybit.eu, without a path")


class Section(BaseModel):
    """A part of the tree: frozen, without fields that nobody knows."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)
