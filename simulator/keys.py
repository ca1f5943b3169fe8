"""API keys: whom they belong to, what they may do, and the ones made for error cases."""

from __future__ import annotations

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
        environment: Where the key is valid; anything but `simulator` gets 10003 here.
        ips: Addresses it is bound to; `*` stands for any.
        expired: Whether its life is over (33004).
    """

    api_key: str
    secret: bytes
    uid: int
    environment: str = HERE
    read_only: bool = False
    expired: bool = False
    ips: tuple[str, ...] = ("*",)
    permissions: dict[str, tuple[str, ...]] = field(default_factory=lambda: FULL_PERMISSIONS)

    def may_use_from(self, client_ip: str) -> bool:
        """Say whether a request from this address passes the key's IP binding."""
        return "*" in self.ips or client_ip in self.ips


class KeyRing:
    """All keys of the exchange, by their public half."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys = {key.api_key: key for key in keys}

    def find(self, api_key: str) -> Key | None:
        """Return the key with this public half, if there is one."""
        return self._keys.get(api_key)

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
