"""Sessions: one a thread, one a process, with pybit's own retries off."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from orders_desk import place
from venue_server import FAST, Desk, VenueServer

from sluicegate.bybit.clock import OffsetClock, SystemClock
from sluicegate.bybit.session import build_session
from sluicegate.config import Environment, load_settings
from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.outcomes import Acknowledged


def test_sessions_of_two_threads_differ(server: VenueServer, desk: Desk) -> None:
    """Each thread has its own session and connection, and keeps it."""
    both = threading.Barrier(8)
    found: list[tuple[object, object]] = []

    def run() -> None:
        first = desk.sessions.session()
        assert isinstance(place(desk).outcome, Acknowledged)
        both.wait(10)
        found.append((first, desk.sessions.session()))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len({id(first) for first, _again in found}) == 8
    assert all(first is again for first, again in found)
    assert (server.connections, len(server.requests)) == (8, 8)


FORKING = """
import os, sys
from orders_desk import place
from venue_server import open_desk
desk = open_desk(sys.argv[1])
before = desk.sessions.session()
print(type(place(desk).outcome).__name__)
sys.stdout.flush()
child = os.fork()
if not child:
    print(desk.sessions.session() is not before, type(place(desk).outcome).__name__)
    sys.stdout.flush()
    os._exit(0)
status = os.waitpid(child, 0)[1]
print(status, desk.sessions.session() is before, type(place(desk).outcome).__name__)
"""


def test_session_after_fork_is_another(server: VenueServer) -> None:
    """A child process does not talk on its parent's connection, and the parent's stays whole."""
    folder = Path(__file__).parent
    paths = os.pathsep.join([str(folder), str(folder.parents[2])])
    done = subprocess.run(
        [sys.executable, "-c", FORKING, server.url],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": paths},
        check=False,
    )
    assert ["Acknowledged", "True Acknowledged", "0 True Acknowledged"] == done.stdout.splitlines(), done.stderr
    assert (server.connections, len(server.requests)) == (2, 3)


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        (Environment.MAINNET, "https://api.bybit.com"),
        (Environment.TESTNET, "https://api-testnet.bybit.com"),
        (Environment.DEMO, "https://api-demo.bybit.com"),
        (Environment.SIMULATOR, "http://127.0.0.1:8800"),
    ],
)
def test_session_goes_to_the_host_of_its_environment(environment: Environment, host: str) -> None:
    """Each environment has its host, and no other takes the simulator's address."""
    settings = load_settings(simulator_url="http://127.0.0.1:8800/")
    address = settings.exchange_address(environment)
    assert host == build_session(environment, FAST, OffsetClock(SystemClock()), address=address).endpoint


def test_session_of_the_simulator_without_an_address_goes_nowhere() -> None:
    """The simulator's orders never reach a real exchange, whatever is forgotten."""
    assert "" == build_session(Environment.SIMULATOR, FAST, OffsetClock(SystemClock())).endpoint


def test_session_of_a_named_host_goes_there() -> None:
    """Regional sites have addresses of their own; they hold for their environment alone."""
    settings = load_settings(exchange={"hosts": {"mainnet": "https://api.bybit.eu/"}})
    endpoints = [
        build_session(
            environment, FAST, OffsetClock(SystemClock()), address=settings.exchange_address(environment)
        ).endpoint
        for environment in (Environment.MAINNET, Environment.TESTNET)
    ]
    assert ["https://api.bybit.eu", "https://api-testnet.bybit.com"] == endpoints


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ("mainnet", "http://api.bybit.eu"),
        ("mainnet", "api.bybit.eu"),
        ("mainnet", "https://user@api.bybit.eu"),
        ("mainnet", "https://api.bybit.eu/v5"),
        ("simulator", "https://api.bybit.eu"),
        ("moon", "https://api.bybit.eu"),
    ],
)
def test_named_host_that_is_no_safe_address_is_refused(environment: str, address: str) -> None:
    """Signed requests go nowhere in the clear, and to no path that nobody meant."""
    with pytest.raises(ConfigurationError, match=r"exchange\.hosts"):
        load_settings(exchange={"hosts": {environment: address}})


def test_session_leaves_retries_to_us() -> None:
    """pybit neither retries, sleeps, nor hides a code, whatever it gives by default."""
    session = build_session(Environment.MAINNET, FAST, OffsetClock(SystemClock()), api_key="k", api_secret="s")
    assert ({0}, 1, False) == (session.retry_codes, session.max_retries, session.force_retry)
    assert (True, set(), False) == (session.return_response_headers, session.ignore_codes, session.log_requests)
    assert (FAST.connect_timeout_s, FAST.read_timeout_s) == session.timeout
    assert session.client.verify not in {True, False, None}
