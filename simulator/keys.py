"""API keys: whom they belong to, what they may do, and the ones made for error cases."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

HERE = "simulator"

FULL_PERMISSIONS: dict[str, tuple[str, ...]] = {
    "ContractTrade": ("Order", "Position"),
    "Spot": ("SpotTrade",),
    "Wallet": (),
    "Options": ("OptionsTrade",),
    "Derivatives": ("DerivativesTrade",),
    "Exchange": ("ExchangeHistory",),
    "Earn": (),
}


@dataclass(frozen=True, slots=True)
class Key:
    """An API key.

    Args:
        environment: Where the key is valid; elsewhere it gets 10003.
        ips: Addresses it is bound to; `*` stands for any.
        days_left: Days until it runs out; means something only while it is bound to no address.
        expired: Whether its life is over (33004).
    """

    api_key: str
    secret: bytes
    uid: int
    environment: str = HERE
    read_only: bool = False
    expired: bool = False
    ips: tuple[str, ...] = ("*",)
    days_left: int = 90
    permissions: dict[str, tuple[str, ...]] = field(default_factory=lambda: FULL_PERMISSIONS)

    def may_use_from(self, client_ip: str) -> bool:
        """Say whether a request from this address passes the key's IP binding."""
        return "*" in self.ips or client_ip in self.ips


class Signer:
    """HMAC-SHA256 with the key's part hashed in advance, which is a third of the work of a short message."""

    def __init__(self, secret: bytes) -> None:
        block = (secret if len(secret) <= 64 else hashlib.sha256(secret).digest()).ljust(64, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, message: bytes) -> str:
        """Return the signature in lower-case hex."""
        inner = self._inner.copy()
        inner.update(message)
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


class KeyRing:
    """All keys of the exchange, by their public half.

    Args:
        keys: those it has heard of.
        environment: which environment this exchange is; keys of others are invalid here.
    """

    def __init__(self, keys: Iterable[Key], environment: str = HERE) -> None:
        self._environment = environment
        self._keys = {key.api_key: key for key in keys}
        self._signers = {key.api_key: Signer(key.secret) for key in self._keys.values()}

    def signature(self, key: Key, message: bytes) -> str:
        """Return what the holder of a key would sign a message with."""
        return self._signers[key.api_key].sign(message)

    def find(self, api_key: str) -> Key | None:
        """Return the key with this public half, if it is valid in this environment."""
        key = self._keys.get(api_key)
        return key if key is not None and key.environment == self._environment else None

    def uid_of(self, api_key: str) -> int | None:
        """Return whose key this is, without proof that the caller holds it."""
        key = self._keys.get(api_key)
        return key.uid if key else None


def default_keys() -> list[Key]:
    """Return ten trading accounts with two keys each, a poor one, and one key for each way a key can be wrong."""
    trading = [
        Key(f"sim-key-{name}", f"sim-secret-{name}".encode(), uid)
        for uid in range(1001, 1011)
        for name in (uid, uid - 1000)
    ]
    return [
        *trading,
        Key("sim-key-poor", b"sim-secret-poor", 1011),
        Key("sim-key-mainnet", b"sim-secret-mainnet", 1001, environment="mainnet"),
        Key("sim-key-readonly", b"sim-secret-readonly", 1012, read_only=True),
        Key("sim-key-expired", b"sim-secret-expired", 1013, expired=True),
        Key("sim-key-bound", b"sim-secret-bound", 1014, ips=("203.0.113.7",)),
    ]
