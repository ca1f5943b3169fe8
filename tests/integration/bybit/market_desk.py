"""A market over a real Valkey, towards the simulator or a scripted server."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from venue_server import CODES

from sluicegate.bybit.accounts import BybitAccounts
from sluicegate.bybit.clock import SystemClock
from sluicegate.bybit.market import BybitMarket
from sluicegate.config import Environment, Settings, load_settings
from sluicegate.ports import Clock
from sluicegate.ratelimit.bucket import RedisBuckets
from sluicegate.ratelimit.quotas import QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas
from sluicegate.telemetry.metrics import Metrics

PATIENT = {"connect_timeout_s": 3.0, "read_timeout_s": 5.0, "lease_s": 10.0}


@contextmanager
def simulator_process() -> Iterator[str]:
    """Run the simulator and give its address."""
    command = [sys.executable, "-m", "simulator", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().decode().split()[-1]
        finally:
            process.terminate()
            process.wait(10)


def connect(url: str) -> redis.Redis:
    """Return a client as the processes have it: it fails fast and decodes."""
    return redis.Redis.from_url(
        url, socket_timeout=2, socket_connect_timeout=0.5, retry=Retry(NoBackoff(), 0), decode_responses=True
    )


def founded_buckets(cache: redis.Redis) -> RedisBuckets:
    """Return buckets in a key space that was founded long ago, so that nobody waits for it."""
    buckets = RedisBuckets(cache)
    with suppress(redis.ConnectionError):
        cache.script_load(buckets._acquire.script)
        cache.set("sg:{buckets}:epoch", 1)
    return buckets


def settings_for(url: str, folder: Path, **changes: object) -> Settings:
    """Return settings with accounts `one` and `two` on the simulator, their keys in files."""
    (folder / "key").write_text("sim-key-1001\n")
    (folder / "secret").write_text("sim-secret-1001\n")
    account = {
        "environment": "simulator",
        "api_key_file": str(folder / "key"),
        "api_secret_file": str(folder / "secret"),
    }
    given = {"accounts": {"one": account, "two": account}, "exchange": PATIENT, "simulator_url": url}
    return load_settings(**{**given, **changes})


def accounts_of(
    settings: Settings, cache: redis.Redis, *, local: Clock | None = None, metrics: Metrics | None = None
) -> BybitAccounts:
    """Return the configured accounts, with every part real."""
    counted = metrics or Metrics()
    quotas = BybitQuotas(QuotaTable.load(), settings.accounts, settings.egress)
    return BybitAccounts(
        settings,
        CODES,
        local or SystemClock(),
        cache,
        founded_buckets(cache),
        quotas.egress(),
        counted,
        counted.watch_clock,
    )


def market_towards(
    url: str, cache: redis.Redis, *, local: Clock | None = None, metrics: Metrics | None = None
) -> BybitMarket:
    """Return a market whose clock was never measured."""
    settings = load_settings(simulator_url=url, exchange=PATIENT)
    return accounts_of(settings, cache, local=local, metrics=metrics)._build_market(Environment.SIMULATOR)
