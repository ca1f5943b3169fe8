"""The ASGI application: bytes in, bytes out, and the faults that strike on the connection."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any, Protocol

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator.exchange import Exchange
from simulator.faults import Fault
from simulator.gateway import FORBIDDEN, Arrival, Gateway
from simulator.sockets.hub import Hub
from simulator.truth import Truth
from simulator.wire import Request, Response

MAX_BODY_BYTES = 1_000_000
_RST_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds: closing discards and resets


class Connection(Protocol):
    """What faults may do to a connection."""

    def abort(self) -> None:
        """Drop it at once."""

    def close(self) -> None:
        """End it in order."""

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the socket below."""


class ExposedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, showing its transport to the application: faults need to cut connections."""

    def on_message_begin(self) -> None:
        """Start a request's scope."""
        super().on_message_begin()
        self.scope["extensions"] = {"simulator": {"transport": self.transport}}


class Application:
    """Serve the exchange and the truth about it."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._gateway = Gateway(exchange)
        self._hub = Hub(exchange, self._gateway)
        self._truth = Truth(exchange, self._hub)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection event of uvicorn."""
        if scope["type"] == "websocket":
            await self._hub.serve(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        request = await _read(scope, receive, trusts_forwarded=self._exchange.config.trust_forwarded)
        if request is None:
            await _send(send, Response(413, b"request body too large", [], b"text/plain"))
            return
        if request.path.startswith("/simulator/"):
            await _send(send, self._truth.answer(request))
            return
        response = await self._exchange_answer(request, scope)
        if response is None:
            await _await_disconnect(receive)
        else:
            await _send(send, response)

    async def _exchange_answer(self, request: Request, scope: Scope) -> Response | None:
        """Return the exchange's answer, None if the connection was cut instead."""
        exchange, gateway = self._exchange, self._gateway
        is_instant = exchange.network.is_instant
        if not is_instant:
            await asyncio.sleep(exchange.network.trip_s())
        request.arrived_ns = exchange.clock.elapsed_ns()
        if not exchange.ip_limit.admits(request.client_ip, request.arrived_ns):
            return FORBIDDEN
        if not gateway.serves(request):
            return gateway.not_found()
        arrival = gateway.arrived(request)
        faults = gateway.struck_by(request)
        if faults:
            response = await self._answer_with_faults(request, arrival, faults, _transport(scope))
        else:
            response = gateway.answer(request, arrival, ())
        if not is_instant and response is not None:
            await asyncio.sleep(exchange.network.trip_s())
        return response

    async def _answer_with_faults(
        self, request: Request, arrival: Arrival | None, faults: Sequence[Fault], connection: Connection
    ) -> Response | None:
        """Let faults strike before the request is processed, or after it was."""
        for fault in faults:
            if fault.when == "before":
                is_over, response = await self._strike(fault, arrival, connection, Response(200, b"", []))
                if is_over:
                    return response
        request.arrived_ns = self._exchange.clock.elapsed_ns()
        answer = self._gateway.answer(request, arrival, faults)
        for fault in faults:
            if fault.when == "after":
                is_over, response = await self._strike(fault, arrival, connection, answer)
                if is_over:
                    return response
        return answer

    async def _strike(
        self, fault: Fault, arrival: Arrival | None, connection: Connection, answer: Response
    ) -> tuple[bool, Response | None]:
        """Carry out one fault.

        Returns:
            Whether the request ends with it, and then what is sent; None for nothing.
        """
        if fault.hang_s:
            await asyncio.sleep(fault.hang_s)
        match fault.name:
            case "drop_before" | "drop_after":
                connection.close()
                return True, None
            case "reset":
                _reset(connection)
                return True, None
            case "status":
                return True, Response(int(fault.args["status"]), b"upstream error", answer.headers, b"text/plain")
            case "ret_code":
                refused = self._gateway.refuse(
                    int(fault.args["ret_code"]), str(fault.args.get("ret_msg", "")), arrival
                )
                refused.headers = answer.headers
                return True, refused
            case "bad_json":
                return True, Response(200, (answer.body or b'{"retCode":0,')[:13] + b"<html>", answer.headers)
            case _:
                return False, None


def _reset(connection: Connection) -> None:
    """Close with a TCP reset instead of an orderly end."""
    raw = connection.get_extra_info("socket")
    if raw is not None:
        with socket.socket(fileno=socket.dup(raw.fileno())) as twin:
            twin.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    connection.abort()


def _transport(scope: Scope) -> Connection:
    connection: Connection = scope["extensions"]["simulator"]["transport"]
    return connection


async def _read(scope: Scope, receive: Receive, *, trusts_forwarded: bool) -> Request | None:
    """Collect a request; None if its body is larger than any real one."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body", False):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > MAX_BODY_BYTES:
            return None
    client = scope.get("client")
    request = Request(
        method=scope["method"],
        path=scope["path"],
        query=scope["query_string"],
        headers=dict(scope["headers"]),
        body=body,
        client_ip=client[0] if client else "unknown",
    )
    if trusts_forwarded:
        forwarded = request.header(b"x-forwarded-for").partition(",")[0].strip()
        request.client_ip = forwarded or request.client_ip
    return request


async def _send(send: Send, response: Response) -> None:
    headers = [
        (b"Content-Type", response.content_type),
        (b"Content-Length", str(len(response.body)).encode()),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


async def _await_disconnect(receive: Receive) -> None:
    """Wait for the cut connection to be gone, so that uvicorn does not write an error page on it."""
    message = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()
