"""A real HTTP(S) server on loopback that answers with the bytes a test scripts, and keeps what it was sent."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from sluicegate.bybit.answers import AnswerReader
from sluicegate.bybit.clock import OffsetClock, SystemClock
from sluicegate.bybit.gateway import Gateway
from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.bybit.session import SessionPool, SignedSession, build_session
from sluicegate.config import Environment, ExchangeSettings
from sluicegate.ports import Clock
from sluicegate.telemetry.metrics import Metrics

KEY, SECRET = "k3y+of/the=account", "s3cr3t+of/the=account"
CODES = RetCodeTable.load()
FAST = ExchangeSettings(connect_timeout_s=0.5, read_timeout_s=0.4, lease_s=1.2)
"""Time-outs short enough to be met in a test."""


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """Return the path without the query."""
        return urlsplit(self.target).path

    @property
    def json(self) -> dict[str, Any]:
        """Return the body as JSON."""
        return json.loads(self.body)

    def is_signed_with(self, key: str, secret: str) -> bool:
        """Verify the signature over the bytes that arrived, by Bybit's rule."""
        payload = self.body if self.method == "POST" else urlsplit(self.target).query.encode()
        stamp, window = self.headers["x-bapi-timestamp"], self.headers["x-bapi-recv-window"]
        text = f"{stamp}{key}{window}".encode() + payload
        expected = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected, self.headers["x-bapi-sign"]) and self.headers["x-bapi-api-key"] == key


Script = Callable[[Request, socket.socket], "bytes | None"]
"""What to do with a request: bytes are sent and the connection kept; None ends the connection."""


def http(body: bytes | Any, *, status: str = "200 OK", **headers: str) -> bytes:
    """Return a well-formed HTTP answer; a body that is not bytes goes out as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(content))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def envelope(**changes: Any) -> dict[str, Any]:
    """Return Bybit's envelope of a success; keyword arguments replace its fields."""
    fields = {"retCode": 0, "retMsg": "OK", "result": {}, "retExtInfo": {}, "time": 1_785_000_000_000}
    return {**fields, **changes}


def acknowledge(request: Request, _connection: socket.socket) -> bytes:
    """Answer a command as Bybit does when it accepts it."""
    result = {"orderId": "1321003749386327552", "orderLinkId": request.json.get("orderLinkId")}
    return http(envelope(result=result))


class VenueServer:
    """Serves on a free port, one thread a connection.

    Args:
        script: answers each request.
        tls: None for plain HTTP.
    """

    def __init__(self, script: Script = acknowledge, *, tls: ssl.SSLContext | None = None) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def port(self) -> int:
        """Return the port."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """Return the address."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Close every socket; the threads end by themselves."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _accept(self) -> None:
        while True:
            try:
                connection, _address = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        self._open.add(connection)
        try:
            with connection:
                talking = connection if self._tls is None else self._tls.wrap_socket(connection, server_side=True)
                with talking, talking.makefile("rb") as stream:
                    while (request := _read(stream)) is not None:
                        self.requests.append(request)
                        answer = self.script(request, talking)
                        if answer is None:
                            return
                        talking.sendall(answer)
        except (OSError, ValueError):
            pass  # the client went away, or the test did
        finally:
            self._open.discard(connection)


def _read(stream: Any) -> Request | None:
    line = stream.readline().decode()
    if not line.strip():
        return None
    method, target, _version = line.split()
    headers = {}
    while field := stream.readline().decode("latin-1").strip():
        name, _, value = field.partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(method, target, headers, body)


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Give a port that refuses connections for as long as it is held."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))  # bound, never listening
        yield int(holder.getsockname()[1])


@contextlib.contextmanager
def deaf_port() -> Iterator[int]:
    """Give a port whose queue of connections is full, so that connecting to it hangs."""
    with contextlib.ExitStack() as held:
        listener = held.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            waiting = held.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        yield int(listener.getsockname()[1])


@dataclass(frozen=True)
class Desk:
    """A gateway with its parts, all real."""

    gateway: Gateway
    sessions: SessionPool
    clock: OffsetClock
    metrics: Metrics

    def counted(self) -> dict[str, float]:
        """Return how many answers were counted, by ret_code."""
        samples = [
            sample
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "sluicegate_exchange_responses_total"
        ]
        return {sample.labels["ret_code"]: sample.value for sample in samples}


def open_desk(
    url: str,
    settings: ExchangeSettings = FAST,
    *,
    key: str | None = KEY,
    secret: str | None = SECRET,
    local: Clock | None = None,
) -> Desk:
    """Build a gateway towards an address."""
    clock = OffsetClock(local or SystemClock())
    metrics = Metrics()

    def build() -> SignedSession:
        return build_session(Environment.SIMULATOR, settings, clock, api_key=key, api_secret=secret, address=url)

    sessions = SessionPool(build)
    reader = AnswerReader(CODES, (key or "", secret or ""))
    return Desk(Gateway("main", sessions, reader, clock, settings, metrics), sessions, clock, metrics)
