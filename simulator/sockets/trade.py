"""`/v5/trade`: order entry, by the same code as the HTTP calls."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simulator.faults import Fault
from simulator.gates import check_time
from simulator.gateway import Arrival
from simulator.ids import new_uuid
from simulator.instruments import CATEGORIES
from simulator.keys import Key
from simulator.sockets.connection import Connection
from simulator.sockets.login import log_in
from simulator.wire import Json, Refusal, Reply, Request

if TYPE_CHECKING:
    from simulator.sockets.hub import Hub

# Source: Bybit V5 docs, WebSocket trade page (read 2026-07-24).
PATHS = {
    "order.create": "/v5/order/create",
    "order.amend": "/v5/order/amend",
    "order.cancel": "/v5/order/cancel",
    "order.create-batch": "/v5/order/create-batch",
    "order.amend-batch": "/v5/order/amend-batch",
    "order.cancel-batch": "/v5/order/cancel-batch",
}
_LONGEST_REQ_ID = 36
_DROPS = frozenset({"drop_before", "drop_after", "reset", "status"})


class TradeSocket:
    """Speak with one client of `/v5/trade`."""

    def __init__(self, hub: Hub, connection: Connection) -> None:
        self._hub = hub
        self._connection = connection
        self._key: Key | None = None
        self._req_ids: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def hear(self, message: Json) -> None:
        """Answer one message."""
        op = message.get("op")
        try:
            if op == "ping":
                self._answer(message, data=[str(self._hub.exchange.clock.now_ms())], op="pong")
            elif op == "auth":
                self._authenticate(message)
            else:
                self._trade(message, str(op))
        except Refusal as refusal:
            self._refuse(message, refusal)

    def _authenticate(self, message: Json) -> None:
        exchange, connection = self._hub.exchange, self._connection
        if self._key is not None:
            raise Refusal(20001, "Repeat auth")
        key = log_in(exchange.keys, exchange.clock, connection.ip, message)
        if self._hub.refuses("trade", key.uid):
            connection.abort()
            return
        self._key = key
        self._hub.belongs(connection, key.uid)
        self._answer(message)

    def _trade(self, message: Json, op: str) -> None:
        key, args = self._key, message.get("args")
        if key is None:
            raise Refusal(10001, "Request not authorized")
        self._check_req_id(message)
        params = args[0] if isinstance(args, list) and len(args) == 1 else None
        if not isinstance(params, dict):
            raise Refusal(10001, "Params Error: args must be a list of one object")
        if op not in PATHS or params.get("category") not in CATEGORIES:
            raise Refusal(10404, "op type is not found, or category is not supported")
        request = self._request(message, key, PATHS[op], params)
        if not self._hub.admits_trade(self._connection.ip, request.arrived_ns):
            raise Refusal(10403, "Exceeded the IP rate limit of 3000 requests a second")
        gateway = self._hub.gateway
        arrival, faults = gateway.arrived(request), gateway.struck_by(request)
        if faults:
            task = asyncio.create_task(self._suffer(message, key, request, arrival, faults))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._say(self._perform(message, key, request, arrival, ()))

    def _check_req_id(self, message: Json) -> None:
        req_id = message.get("reqId")
        if req_id is None:
            return
        if not isinstance(req_id, str) or len(req_id) > _LONGEST_REQ_ID:
            raise Refusal(10001, "Params Error: reqId has at most 36 characters")
        if req_id in self._req_ids:
            raise Refusal(20006, "Duplicate reqId")
        self._req_ids.add(req_id)

    def _request(self, message: Json, key: Key, path: str, params: Json) -> Request:
        """Put a message into the form of the HTTP request it stands for."""
        header: Any = message.get("header")
        given = header if isinstance(header, dict) else {}
        headers = {
            b"x-bapi-api-key": key.api_key.encode(),
            b"x-bapi-timestamp": str(given.get("X-BAPI-TIMESTAMP", "")).encode(),
            b"x-bapi-recv-window": str(given.get("X-BAPI-RECV-WINDOW", "")).encode(),
        }
        now_ns = self._hub.exchange.clock.elapsed_ns()
        return Request("POST", path, b"", headers, b"", self._connection.ip, now_ns, params)

    def _perform(
        self, message: Json, key: Key, request: Request, arrival: Arrival | None, faults: Sequence[Fault]
    ) -> Json:
        """Process a request to its end and return the answer."""

        def identify() -> Key:
            stamp, window = (request.header(name) for name in (b"x-bapi-timestamp", b"x-bapi-recv-window"))
            check_time(self._hub.exchange.clock.now_ms(), stamp, window)
            return key

        outcome = self._hub.gateway.perform(request, arrival, faults, identify)
        header = {name.decode(): value.decode() for name, value in outcome.headers}
        return self._envelope(message, outcome.ret_code, outcome.ret_msg, outcome.reply, header)

    async def _suffer(
        self, message: Json, key: Key, request: Request, arrival: Arrival | None, faults: Sequence[Fault]
    ) -> None:
        """Let faults strike before the request is processed, or after it was."""
        for when in ("before", "after"):
            if when == "after":
                request.arrived_ns = self._hub.exchange.clock.elapsed_ns()
                answer = self._perform(message, key, request, arrival, faults)
            for fault in faults:
                if fault.when == when and await self._strike(fault, message, arrival):
                    return
        self._say(answer)

    async def _strike(self, fault: Fault, message: Json, arrival: Arrival | None) -> bool:
        """Carry out one fault; True if the request ends with it."""
        if fault.hang_s:
            await asyncio.sleep(fault.hang_s)
        if fault.name in _DROPS:
            self._connection.abort()
            return True
        if fault.name == "ret_code":
            ret_code = int(fault.args["ret_code"])
            self._hub.gateway.refuse(ret_code, "", arrival)
            self._refuse(message, Refusal(ret_code, str(fault.args.get("ret_msg", ""))))
            return True
        if fault.name == "bad_json":
            self._connection.push('{"retCode":0,<html>')
            return True
        return False

    def _refuse(self, message: Json, refusal: Refusal) -> None:
        self._say(self._envelope(message, refusal.ret_code, refusal.ret_msg, Reply({}), {}))

    def _envelope(self, message: Json, ret_code: int, ret_msg: str, reply: Reply, header: Json) -> Json:
        now_ms = self._hub.exchange.clock.now_ms()
        return {
            **({"reqId": message["reqId"]} if "reqId" in message else {}),
            "retCode": ret_code,
            "retMsg": ret_msg,
            "op": message.get("op", ""),
            "data": reply.result,
            "retExtInfo": reply.ext,
            "header": {**header, "Traceid": new_uuid().replace("-", ""), "Timenow": str(now_ms)},
            "connId": self._connection.id,
        }

    def _answer(self, message: Json, *, data: list[str] | None = None, op: str = "auth") -> None:
        """Answer auth and ping, whose form is shorter."""
        self._say(
            {
                **({"reqId": message["reqId"]} if "reqId" in message else {}),
                "retCode": 0,
                "retMsg": "OK",
                "op": op,
                **({"data": data} if data is not None else {}),
                "connId": self._connection.id,
            }
        )

    def _say(self, answer: Json) -> None:
        self._connection.say(answer)
