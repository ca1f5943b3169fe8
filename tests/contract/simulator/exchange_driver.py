"""Drive a running simulator: the truth endpoints, signed raw requests, and unmodified clients."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import ccxt
import requests
from pybit.unified_trading import HTTP

Json = dict[str, Any]
T = TypeVar("T")
_READY = re.compile(r"simulator listening on (http://\S+)")


class Answer(NamedTuple):
    """One answer of a burst."""

    status: int
    headers: dict[str, str]
    text: str

    def json(self) -> Json:
        """Return the body, parsed."""
        return json.loads(self.text)


def _read_answer(stream: BinaryIO) -> Answer:
    status = int(stream.readline().split()[1])
    headers: dict[str, str] = {}
    while line := stream.readline().decode().strip():
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    return Answer(status, headers, stream.read(int(headers["content-length"])).decode())


class Process:
    """`python -m simulator` as a real process on a free port."""

    def __init__(self, *arguments: str) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "simulator", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        line = self.child.stdout.readline()
        ready = _READY.match(line)
        assert ready, f"no ready line but {line!r}: {self.child.stderr.read() if not line else ''}"
        self.url = ready[1]

    def stop(self) -> int:
        """Ask it to stop and return its exit status."""
        self.child.terminate()
        status = self.child.wait(timeout=10)
        self.child.stdout.close()
        self.errors = self.child.stderr.read()
        self.child.stderr.close()
        return status


class Signer:
    """A client that signs like Bybit's own examples, with a clock that may be wrong."""

    def __init__(self, url: str, name: object = 1001) -> None:
        self.url = url
        self.api_key = f"sim-key-{name}"
        self.secret = f"sim-secret-{name}"
        self.offset_ms = 0
        self.recv_window = "5000"
        self.http = requests.Session()

    def headers(self, payload: str, **changes: str) -> dict[str, str]:
        """Return the auth headers for a body or query string."""
        stamp = str(int(time.time() * 1000) + self.offset_ms)
        origin = stamp + self.api_key + self.recv_window + payload
        signature = hmac.new(self.secret.encode(), origin.encode(), hashlib.sha256).hexdigest()
        return {
            "X-BAPI-API-KEY": self.api_key,
            "X-BAPI-TIMESTAMP": stamp,
            "X-BAPI-SIGN": signature,
            "X-BAPI-RECV-WINDOW": self.recv_window,
            "Content-Type": "application/json",
            **changes,
        }

    def post(
        self, path: str, timeout: float = 10, headers: dict[str, str] | None = None, **params: Any
    ) -> requests.Response:
        """Send a signed POST."""
        body = json.dumps(params)
        return self.http.post(
            self.url + path, data=body, headers={**self.headers(body), **(headers or {})}, timeout=timeout
        )

    def get(
        self, path: str, timeout: float = 10, headers: dict[str, str] | None = None, **params: Any
    ) -> requests.Response:
        """Send a signed GET."""
        query = urlencode(params)
        url = f"{self.url}{path}?{query}" if query else self.url + path
        return self.http.get(url, headers={**self.headers(query), **(headers or {})}, timeout=timeout)

    def burst(self, path: str, calls: list[Json], method: str = "POST") -> list[Answer]:
        """Send many signed requests in one piece, so that they arrive within the same moment."""
        pieces = []
        for params in calls:
            body = json.dumps(params) if method == "POST" else ""
            query = urlencode(params) if method == "GET" else ""
            headers = {**self.headers(body or query), "Host": "simulator", "Content-Length": str(len(body))}
            lines = [
                f"{method} {path}{'?' + query if query else ''} HTTP/1.1",
                *(f"{n}: {v}" for n, v in headers.items()),
            ]
            pieces.append("\r\n".join(lines) + "\r\n\r\n" + body)
        address = urlsplit(self.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as connection:
            connection.sendall("".join(pieces).encode())
            with connection.makefile("rb") as stream:
                return [_read_answer(stream) for _ in calls]

    def create(self, **changes: Any) -> Json:
        """Create a limit order that rests, with whatever the test changes, and return the answer."""
        return self.post("/v5/order/create", **{**RESTING, **changes}).json()


RESTING: Json = {
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "orderType": "Limit",
    "qty": "0.01",
    "price": "59000",
}


class Exchange:
    """The simulator as a test sees it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = requests.Session()

    def control(self, path: str, method: str = "POST", **body: Any) -> Json:
        """Call a path under `/simulator/` that must succeed."""
        answer = self.http.request(method, f"{self.url}/simulator/{path}", json=body or None, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def fault(self, name: str, count: int | None = 1, **rest: Any) -> Json:
        """Put a fault in force."""
        body = {"fault": name, **rest}
        return self.control("faults", **(body if count is None else {**body, "count": count}))

    def orders(self, **filters: Any) -> list[Json]:
        """Return the true orders."""
        answer = self.http.get(f"{self.url}/simulator/orders", params=filters, timeout=10)
        assert answer.status_code == 200, answer.text
        return answer.json()["list"]

    def stats(self) -> Json:
        """Return the true statistics."""
        return self.http.get(f"{self.url}/simulator/stats", timeout=10).json()

    def signer(self, name: object = 1001) -> Signer:
        """Return a raw client."""
        return Signer(self.url, name)

    def pybit(self, name: object = 1001, **options: Any) -> HTTP:
        """Return pybit's own session, its retries switched off."""
        settings = {"retry_codes": {0}, "max_retries": 1, **options}
        session = HTTP(api_key=f"sim-key-{name}", api_secret=f"sim-secret-{name}", **settings)
        session.endpoint = self.url
        return session

    def ccxt(self, name: object = 1001) -> ccxt.bybit:
        """Return ccxt's own class with its URLs overridden."""
        client = ccxt.bybit(
            {"apiKey": f"sim-key-{name}", "secret": f"sim-secret-{name}", "enableRateLimit": False}
        )
        client.urls["api"] = dict.fromkeys(client.urls["api"], self.url)
        return client


def eventually(probe: Callable[[], T | None], timeout_s: float = 60) -> T:
    """Ask until the answer is truthy, and return it."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = probe()
        if found:
            return found
        time.sleep(0.005)
    raise AssertionError(f"not within {timeout_s} s")
