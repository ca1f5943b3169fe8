"""The command `python -m simulator`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from exchange_driver import Exchange, Process

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    command = [sys.executable, "-m", "simulator", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)


def test_help_shows_examples():
    """--help shows how to start it, with which keys, and how to look inside."""
    done = run("--help")
    assert done.returncode == 0
    assert all(word in done.stdout for word in ("--port 8080", "sim-key-1001", "/simulator/stats"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_it_cleanly(number: signal.Signals):
    """SIGTERM and SIGINT end it with status 0 and nothing on stderr."""
    process = Process()
    assert requests.get(process.url + "/v5/market/time", timeout=5).status_code == 200
    process.child.send_signal(number)
    _, errors = process.child.communicate(timeout=10)
    assert (process.child.returncode, errors) == (0, "")


def test_port_that_is_taken_is_told(exchange: Exchange):
    """A taken port is one line on stderr, status 1, no traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        done = run("--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert "try --port 0" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ports = 1", "unknown settings"),
        ("x = [", "not valid TOML"),
        ('[limits]\nwindow = "soft"', "limits.window"),
        ("[prices]\nBTCUSDT = 1.5", "must be a string"),
        ('[prices]\nBTCUSDT = "dear"', "is not a number"),
        ('[[keys]]\napi_key = "k"', "secret and uid"),
        ("[accounts]\nmain = 5", "accounts.main"),
        ('[[limits.uid]]\nendpoint = "/nope"\nlimit = 1', "limits.uid.endpoint"),
        ('match_delay_ms = "slow"', "match_delay_ms"),
    ],
)
def test_bad_configuration_is_told_with_its_place(tmp_path: Path, text: str, says: str):
    """A bad file is exit status 2 and one line that names file, place and remedy."""
    file = tmp_path / "sim.toml"
    file.write_text(text)
    done = run("--port", "0", "--config", str(file))
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_configuration_sets_the_stage(tmp_path: Path):
    """Accounts, keys, prices, limits and caps of the file are in force, and survive a reset."""
    file = tmp_path / "sim.toml"
    file.write_text("""
match_delay_ms = 1
[prices]
BTCUSDT = "50000"
[accounts.2001]
USDT = "5000"
[[keys]]
api_key = "sim-key-mine"
secret = "sim-secret-mine"
uid = 2001
[limits]
ip_limit = 0
[[limits.uid]]
endpoint = "/v5/order/create"
limit = 1000
[caps]
active = 3
""")
    process = Process("--config", str(file))
    try:
        exchange = Exchange(process.url)
        exchange.control("reset")
        mine = exchange.signer("mine")
        codes = [mine.create(price="49500")["retCode"] for _ in range(4)]
        assert codes == [0, 0, 0, 110020]
        ticker = mine.get("/v5/market/tickers", category="spot", symbol="BTCUSDT").json()["result"]["list"][0]
        assert ticker["lastPrice"] == "50000"
        assert exchange.control("limits", window="rolling")["ip_limit"] is None
    finally:
        process.stop()
