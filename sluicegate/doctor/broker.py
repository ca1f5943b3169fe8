"""The broker: reachable, new enough, keeps what it is given, and is not open to everybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import redis

from sluicegate.config import LOOPBACK
from sluicegate.doctor.findings import Finding, error, ok, warning
from sluicegate.ports import Clock

BROKER = "broker"

OLDEST = 7
CLOCK_WARNING_S = 1.0
MEMORY_WARNING = 0.9


def check_broker(
    client: redis.Redis, address: str, clock: Clock, *, is_embedded: bool
) -> tuple[list[Finding], bool]:
    """Ask the broker about itself.

    Args:
        client: connected to it.
        address: its URL; never shown, for it may hold a password.
        clock: of this host.
        is_embedded: it is the one of `sluicegate up`, which keeps nothing by design.

    Returns:
        The findings, and whether it answers.
    """
    parts = urlsplit(address)
    shown = f"{parts.hostname}:{parts.port or 6379}"
    try:
        before = clock.now().timestamp()
        seconds, microseconds = client.time()
        after = clock.now().timestamp()
        info: Mapping[str, Any] = client.info()
    except redis.RedisError as e:
        return [judge_failure(shown, e)], False
    skew_s = seconds + microseconds / 1_000_000 - (before + after) / 2
    found = [*judge_broker(info, is_embedded=is_embedded), *_judge_clock(skew_s), *_judge_openness(parts)]
    return found or [ok(BROKER, "", f"{_name(info)} at {shown} answers, evicts nothing")], True


def judge_failure(shown: str, problem: redis.RedisError) -> Finding:
    """Return why the broker does not answer."""
    setting = "Check broker_url (SLUICEGATE_BROKER_URL)"
    text = str(problem)
    match problem:
        case redis.AuthenticationError() | redis.exceptions.AuthenticationWrongNumberOfArgsError():
            name, title = "broker_refuses_password", f"the broker {shown} refuses user or password"
            fix = f"{setting}: redis://USER:PASSWORD@HOST:PORT/0; compare with the broker's ACL file."
        case redis.exceptions.NoPermissionError():
            name, title = "broker_forbids", f"the broker's user may not do what Sluicegate needs: {text}"
            fix = "Compare the user's rights with ops/valkey/users.acl."
        case redis.ConnectionError() if "certificate" in text.lower():
            name, title = "broker_certificate", f"the certificate of the broker {shown} is refused: {text}"
            fix = f"{setting}: rediss://HOST:PORT/0?ssl_ca_certs=/path/ca.pem names the CA that signed it."
        case _:
            name, title = (
                "broker_unreachable",
                f"the broker {shown} does not answer: {text or type(problem).__name__}",
            )
            fix = f"Start Valkey or Redis. {setting}, firewall, and rediss:// against redis://."
    return error(BROKER, name, "", title, cause="Without it nothing is sent: the buckets live there.", fix=fix)


def judge_broker(info: Mapping[str, Any], *, is_embedded: bool) -> Iterator[Finding]:
    """Judge the answer to INFO."""
    yield from _judge_version(info)
    if info.get("role") == "slave":
        yield error(
            BROKER,
            "broker_is_replica",
            "",
            "the broker is a replica, which takes no writes",
            cause="A fail-over changed the roles, or the address is the replica's.",
            fix="Let SLUICEGATE_BROKER_URL name the primary.",
        )
    yield from _judge_memory(info)
    if not is_embedded:
        yield from _judge_persistence(info)


def _judge_version(info: Mapping[str, Any]) -> Iterator[Finding]:
    version = str(info.get("redis_version", ""))
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        yield error(
            BROKER,
            "broker_too_old",
            "",
            f"the broker is Redis {version}",
            cause="The bucket scripts need what Redis 7 brought.",
            fix="Use Redis 7 or later, or Valkey.",
        )


def _judge_memory(info: Mapping[str, Any]) -> Iterator[Finding]:
    policy, most = str(info.get("maxmemory_policy", "")), int(info.get("maxmemory", 0))
    if policy and policy != "noeviction":
        evicts = error if most else warning
        yield evicts(
            BROKER,
            "broker_evicts",
            "",
            f"the broker's maxmemory-policy is {policy}",
            cause="When its memory is full it throws buckets and queues away: limits are exceeded, orders wait."
            + ("" if most else " It has no maxmemory now, so it does not happen yet."),
            fix="CONFIG SET maxmemory-policy noeviction, and the same in its configuration file. Give "
            "Sluicegate a broker of its own: a cache wants the opposite.",
        )
    used = int(info.get("used_memory", 0))
    if most and used > MEMORY_WARNING * most:
        yield warning(
            BROKER,
            "broker_nearly_full",
            "",
            f"the broker uses {used / most:.0%} of its memory",
            cause="Something else lives there, or messages are not consumed.",
            fix="Look with `redis-cli --bigkeys`; start workers; raise maxmemory.",
        )


def _judge_persistence(info: Mapping[str, Any]) -> Iterator[Finding]:
    broken = [what for what in ("aof_last_write_status", "rdb_last_bgsave_status") if info.get(what) == "err"]
    if broken:
        yield error(
            BROKER,
            "broker_cannot_write",
            "",
            f"the broker cannot write its disk ({', '.join(broken)})",
            cause="The disk is full or read-only; it refuses writes until that is over.",
            fix="Free space on the broker's data folder, then look at its log.",
        )
    elif not info.get("aof_enabled"):
        yield warning(
            BROKER,
            "broker_not_persistent",
            "",
            "the broker keeps no append-only file",
            cause="After its restart the buckets are empty: workers wait until they are trusted again. No order "
            "is lost, the ledger has them.",
            fix="CONFIG SET appendonly yes and appendfsync always, and the same in its configuration file.",
        )


def _judge_clock(skew_s: float) -> Iterator[Finding]:
    if abs(skew_s) >= CLOCK_WARNING_S:
        side = "ahead of" if skew_s > 0 else "behind"
        yield warning(
            BROKER,
            "broker_clock_off",
            "",
            f"the broker's clock is {abs(skew_s):.1f} s {side} this host's",
            cause="One of the two is not kept by NTP. The buckets count in the broker's time and are not harmed.",
            fix="Switch time synchronisation on, on both.",
        )


def _judge_openness(parts: Any) -> Iterator[Finding]:
    if parts.password is None and parts.hostname not in LOOPBACK:
        yield warning(
            BROKER,
            "broker_open",
            "",
            "the broker asks for no password, and is not on this host",
            cause="Whoever reaches it can submit orders.",
            fix="Give it users (ops/valkey/users.acl) and TLS; see SECURITY.md.",
        )


def _name(info: Mapping[str, Any]) -> str:
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info.get('redis_version', '')}"
