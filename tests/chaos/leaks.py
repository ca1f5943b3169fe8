"""Leaks: where a secret shows after a run. Logs, the broker's whole history, the ledger, metrics."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from urllib.parse import quote

import redis
from sqlalchemy import Engine, MetaData, select

from tests.chaos.producers import ACCOUNTS
from tests.chaos.proxied_rig import (
    BROKER_PASSWORD,
    INTAKE_SECRET,
    PAGING_PASSWORD,
    PAGING_TOKEN,
    WEBHOOK_TOKEN,
    ProxiedRig,
)
from tests.integration.postgres_server import PASSWORD
from tests.rig import wait_until

SECRETS = (
    *(f"sim-secret-{uid}" for uid in ACCOUNTS.values()),
    *(f"sim-key-{uid}" for uid in ACCOUNTS.values()),
    BROKER_PASSWORD,
    PASSWORD,
    INTAKE_SECRET,
    PAGING_PASSWORD,
    PAGING_TOKEN,
    WEBHOOK_TOKEN,
)
"""What no process of the stack may write anywhere."""

_LEAST = 8
"""Fewer letters of base64 than that are found by chance."""
_ADDRESSED = bytes.maketrans(b"+/", b"-_")


def find_leaks(rig: ProxiedRig, secrets: Sequence[str] = SECRETS) -> list[str]:
    """Search everything that a run left behind.

    Valkey's append-only file holds every command that ever wrote: task arguments of messages long gone, too.

    Returns:
        Where a secret shows, one entry a place; the entries show none.
    """
    found: list[str] = []
    for place, content in _places(rig):
        found += [
            f"{place} holds {name_secret(secret)}"
            for secret in secrets
            if any(spelling in content for spelling in _spellings(secret))
        ]
    return sorted(set(found))


def _places(rig: ProxiedRig) -> Iterator[tuple[str, bytes]]:
    for log in sorted(rig.home.glob("*.log")):
        yield log.name, log.read_bytes()  # tracebacks are there, too
    for written in sorted(rig.home.glob("valkey-*/**/*")):
        if written.is_file() and written.name != "valkey.conf":  # where the server reads the password
            yield f"{written.parent.name}/{written.name}", written.read_bytes()
    yield from _broker(rig)
    for name in sorted(rig.processes.keys() - {"simulator"}):
        noted = rig.home / "run" / f"{name}.json"
        wait_until(lambda file=noted: file.exists() and file.stat().st_size, f"{name} serves its metrics")
        yield f"/metrics of {name}", rig.metrics(name).encode()
    yield from _ledger(rig.container.engine)
    for file in sorted([*rig.home.glob("ledger.db*"), *rig.home.glob("run/*")]):
        yield file.name, file.read_bytes()


def _broker(rig: ProxiedRig) -> Iterator[tuple[str, bytes]]:
    with redis.Redis(port=rig.port) as client:
        readers: dict[bytes, Callable[[bytes], object]] = {
            b"string": client.get,
            b"list": lambda key: client.lrange(key, 0, -1),
            b"hash": client.hgetall,
            b"set": client.smembers,
            b"zset": lambda key: client.zrange(key, 0, -1),
            b"stream": client.xrange,
        }
        for key in client.scan_iter(count=1000):
            kind: object = client.type(key)
            assert isinstance(kind, bytes)
            if kind != b"none":  # it ran out meanwhile
                yield f"a {kind.decode()} in the broker", key + repr(readers[kind](key)).encode()


def _ledger(engine: Engine) -> Iterator[tuple[str, bytes]]:
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        for table in tables.sorted_tables:
            for row in connection.execute(select(table)):
                yield f"ledger table {table.name}", repr(tuple(row)).encode()


@lru_cache
def _spellings(secret: str) -> set[bytes]:
    """Return a secret as it is, as in an address, and as base64, alone or in the middle of more."""
    plain = secret.encode()
    encoded = [b64encode(b"." * ahead + plain)[4 if ahead else 0 : -4] for ahead in range(3)]
    inside = [text for text in encoded if len(text) >= _LEAST]
    return {plain, quote(secret, safe="").encode(), *inside, *(text.translate(_ADDRESSED) for text in inside)}


def name_secret(secret: str) -> str:
    """Name a secret without showing it."""
    return f"a secret of {len(secret)} letters that begins with {secret[:3]}"
