"""From a request to a response: routing, gates, rate limits, faults that strike inside, statistics."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

from simulator.batches import units_of
from simulator.codes import bad_parameter
from simulator.exchange import Call, Exchange
from simulator.faults import Fault
from simulator.gates import MissingCredentials, authenticate, check_permission
from simulator.keys import Key
from simulator.limits import Admission, Bucket
from simulator.quotas import BATCH_PATHS, line_of
from simulator.routes import PUBLIC, SIGNED
from simulator.stats import Tally
from simulator.wire import Json, Refusal, Reply, Request, Response, envelope

FORBIDDEN = Response(403, b"access too frequent", [], b"text/plain; charset=utf-8")
_UNAUTHORIZED = Response(401, b"", [], b"text/plain; charset=utf-8")
_EMPTY: Json = {}


class Arrival(NamedTuple):
    """What a request whose key belongs to somebody counts against."""

    bucket: Bucket
    units: int
    tally: Tally


class Outcome(NamedTuple):
    """What became of a signed request; the headers are those of the rate limit."""

    ret_code: int
    ret_msg: str
    reply: Reply
    headers: list[tuple[bytes, bytes]]


class Gateway:
    """Answer the exchange's own paths."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def serves(self, request: Request) -> bool:
        """Say whether method and path name an endpoint."""
        route = SIGNED.get(request.path)
        if route is not None:
            return route.method == request.method
        return request.path in PUBLIC and request.method == "GET"

    def not_found(self) -> Response:
        """Answer a path that does not exist."""
        body = envelope(10017, "Route not found.", self._exchange.clock.now_ms(), _EMPTY, _EMPTY)
        return Response(404, body, [])

    def arrived(self, request: Request) -> Arrival | None:
        """Count a signed request whose key belongs to somebody, whether or not it will pass the gates."""
        if request.path not in SIGNED:
            return None
        uid = self._exchange.keys.uid_of(request.header(b"x-bapi-api-key"))
        if uid is None:
            return None
        params = _params_of(request) or _EMPTY
        bucket = Bucket(uid, request.path, line_of(request.path, params.get("category")))
        units = units_of(params) if request.path in BATCH_PATHS else 1
        return Arrival(bucket, units, self._exchange.stats.arrived(bucket, request.arrived_ns, units))

    def struck_by(self, request: Request) -> list[Fault]:
        """Return the faults that hit this request."""
        if not self._exchange.faults.active:
            return []
        uid = self._exchange.keys.uid_of(request.header(b"x-bapi-api-key"))
        return self._exchange.faults.strike(request.path, uid, _symbols_of(_params_of(request) or _EMPTY))

    def answer(self, request: Request, arrival: Arrival | None, faults: Sequence[Fault]) -> Response:
        """Process a request to its end."""
        if request.path not in SIGNED:
            return self._answer_public(request)
        exchange = self._exchange
        try:
            outcome = self.perform(
                request, arrival, faults, lambda: authenticate(exchange.keys, exchange.clock, request)
            )
        except MissingCredentials:
            return _UNAUTHORIZED
        reply, now_ms = outcome.reply, exchange.clock.now_ms()
        body = envelope(outcome.ret_code, outcome.ret_msg, now_ms, reply.result, reply.ext)
        return Response(200, body, outcome.headers)

    def perform(
        self, request: Request, arrival: Arrival | None, faults: Sequence[Fault], identify: Callable[[], Key]
    ) -> Outcome:
        """Process a signed request, whichever way it came.

        Args:
            request: Its path names the endpoint.
            arrival: What it counts against.
            faults: Those that strike inside.
            identify: Opens the first gates, and refuses a request that is not fresh or not signed.

        Raises:
            MissingCredentials: Nothing was signed.
        """
        exchange, route = self._exchange, SIGNED[request.path]
        admission: Admission | None = None
        ret_code, ret_msg, reply = 0, "OK", Reply(_EMPTY)
        try:
            key = identify()
            assert arrival is not None  # noqa: S101 - a key that authenticates belongs to somebody
            params = _params_of(request)
            check_permission(key, route.permission, (params or _EMPTY).get("category"))
            admission = exchange.uid_limits.admit(arrival.bucket, request.arrived_ns, arrival.units)
            if not admission.admitted:
                raise Refusal(10006, "Too many visits. Exceeded the API Rate Limit.")
            arrival.tally.admitted.add(request.arrived_ns, admission.admitted)
            if params is None:
                raise bad_parameter("the body must be a JSON object")
            call = Call(exchange, exchange.accounts[key.uid], key, params, admission.admitted)
            exchange.visible_after_ns = _visible_after_ns(request, faults) if faults else 0
            reply = route.answer(call)
            arrival.tally.accepted += 1
            arrival.tally.ret_codes.update(str(code) for code in call.item_codes)
        except Refusal as refusal:
            ret_code, ret_msg = refusal.ret_code, refusal.ret_msg
        if arrival is not None:
            arrival.tally.ret_codes[str(ret_code)] += 1
        headers = _limit_headers(admission, exchange.clock.now_ms(), faults)
        return Outcome(ret_code, ret_msg if ret_code else reply.ret_msg, reply, headers)

    def refuse(self, ret_code: int, ret_msg: str, arrival: Arrival | None) -> Response:
        """Answer with a code that a fault asks for."""
        if arrival is not None:
            arrival.tally.ret_codes[str(ret_code)] += 1
        return Response(200, envelope(ret_code, ret_msg, self._exchange.clock.now_ms(), _EMPTY, _EMPTY), [])

    def _answer_public(self, request: Request) -> Response:
        exchange = self._exchange
        try:
            reply = PUBLIC[request.path](exchange, _params_of(request) or _EMPTY)
        except Refusal as refusal:
            body = envelope(refusal.ret_code, refusal.ret_msg, exchange.clock.now_ms(), _EMPTY, _EMPTY)
        else:
            body = envelope(0, reply.ret_msg, exchange.clock.now_ms(), reply.result, reply.ext)
        return Response(200, body, [])


def _limit_headers(admission: Admission | None, now_ms: int, faults: Sequence[Fault]) -> list[tuple[bytes, bytes]]:
    """Write the three headers; the reset instant lies ahead only if something was refused."""
    if admission is None or any(fault.name == "no_limit_headers" for fault in faults):
        return []
    reset_ms = now_ms + -(-admission.resets_in_ns // 1_000_000)
    for fault in faults:
        if fault.name == "reset_in_past":
            reset_ms = now_ms - int(fault.args["ms"])
    return [
        (b"X-Bapi-Limit", str(admission.limit).encode()),
        (b"X-Bapi-Limit-Status", str(admission.remaining).encode()),
        (b"X-Bapi-Limit-Reset-Timestamp", str(reset_ms).encode()),
    ]


def _visible_after_ns(request: Request, faults: Sequence[Fault]) -> int:
    """Return from when on the orders of this request are shown to queries."""
    for fault in faults:
        if fault.name == "slow_visibility":
            return request.arrived_ns + int(float(fault.args["seconds"]) * 1_000_000_000)
    return 0


def _params_of(request: Request) -> Json | None:
    """Return the parameters, read once; None if the body is no JSON object."""
    if request.params is None:
        request.params = _read_params(request)
    return None if "\0broken" in request.params else request.params


def _read_params(request: Request) -> Json:
    if request.method == "GET":
        return dict(parse_qsl(request.query.decode("latin-1"), keep_blank_values=True, encoding="utf-8"))
    try:
        params: Any = json.loads(request.body.decode())
    except (ValueError, RecursionError):
        params = None
    return params if isinstance(params, dict) else {"\0broken": True}


def _symbols_of(params: Json) -> Collection[str]:
    """Return the symbols a request speaks of, those of batch items included."""
    items = params.get("request")
    listed = [item.get("symbol") for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    return {str(symbol) for symbol in [params.get("symbol"), *listed] if symbol}
