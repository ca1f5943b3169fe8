"""Durability: does a restarted server still know every token that it gave away?"""

from __future__ import annotations

from typing import Any

import redis
from redis.exceptions import ResponseError

SYNCED = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}
"""What a server must be set to; the last one would let it skip syncs while it rewrites its file."""


def loses_nothing(client: redis.Redis) -> bool:
    """Tell whether this server has kept every write that it ever confirmed.

    With `appendonly yes` and `appendfsync always` a write is on the disk before anybody hears of it, so a server
    that was killed and restarted with its file knows every grant. Any other policy may lose the last second or
    two; a replica that was promoted may lack what its master had confirmed. Who may not ask is told no.

    Source: Valkey 9.1 and Redis 7 documentation, pages on persistence and replication (read 2026-07-24): with
    `always`, data is synced before the reply; `second_repl_offset` is -1 unless the server was promoted.

    The weakness: an *old copy* of the file, put in place by hand under `always`, looks like the newest one. It is
    wrong for one window after the last request that it does not know of, and no longer.

    Raises:
        RedisError: the server does not answer.
    """
    try:
        settings: Any = client.config_get("*append*")
        replication: Any = client.info("replication")
    except ResponseError:  # NOPERM is one: a managed server that hides its settings
        return False
    is_synced = {name: _value(settings, name) for name in SYNCED} == SYNCED
    was_promoted = int(replication.get("second_repl_offset", 0)) != -1
    return is_synced and replication.get("role") == "master" and not was_promoted


def _value(settings: Any, name: str) -> str:
    raw = settings.get(name, settings.get(name.encode(), b""))
    return raw.decode() if isinstance(raw, bytes) else str(raw)
