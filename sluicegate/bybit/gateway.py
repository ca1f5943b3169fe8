"""The gateway: one account on Bybit. Commands answer with an outcome; nothing is retried in here."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

import structlog

from sluicegate.bybit.answers import AnswerReader, Reply, UnreadableAnswer, must_be_obeyed, read_reply
from sluicegate.bybit.batches import read_batch
from sluicegate.bybit.clock import OffsetClock
from sluicegate.bybit.rows import is_name, read_fill, read_sighting
from sluicegate.bybit.session import SessionPool
from sluicegate.bybit.trade_socket import TradeSocket
from sluicegate.config import ExchangeSettings
from sluicegate.domain.errors import ExchangeUnavailable, OrderRejected
from sluicegate.domain.orders import LINK_ID_PREFIX, Category, Order, OrderLinkId, OrderRequest
from sluicegate.domain.outcomes import (
    Acknowledged,
    InDoubt,
    NeverSent,
    Outcome,
    RateHeaders,
    Refused,
    is_unanswered,
    outcome_code,
)
from sluicegate.domain.records import Fill, Sighting
from sluicegate.ports import Answer, KeyInfo, Lookup, Observer

log = structlog.get_logger(__name__)

CREATE, AMEND, CANCEL = "/v5/order/create", "/v5/order/amend", "/v5/order/cancel"
CREATE_BATCH = "/v5/order/create-batch"
REALTIME, HISTORY, EXECUTIONS = "/v5/order/realtime", "/v5/order/history", "/v5/execution/list"
QUERY_API = "/v5/user/query-api"

_Row = TypeVar("_Row")

_OURS = {"account", "client_order_id", "deadline_s", "due_at", "priority", "settle_coin", "on_step"}


def camel(name: str) -> str:
    """Return Bybit's spelling of one of our field names: `tp_limit_price` is `tpLimitPrice`."""
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def create_parameters(request: OrderRequest, link_id: str) -> dict[str, Any]:
    """Return the parameters of place-order: numbers as plain strings, nothing of ours."""
    fields = {camel(name): value for name, value in request.to_json().items() if name not in _OURS}
    return {**fields, "orderLinkId": link_id}


class Gateway:
    """One account on Bybit, over pybit.

    Args:
        account: its name, for logs and metrics.
        sessions: signed sessions, one a thread.
        reader: reads answers, and knows what must not be shown.
        clock: Bybit's clock.
        settings: receive window and horizon margin.
        observer: counts each answer.
        trade_socket: takes the commands; None: they go over HTTP, as the queries do.
    """

    def __init__(
        self,
        account: str,
        sessions: SessionPool,
        reader: AnswerReader,
        clock: OffsetClock,
        settings: ExchangeSettings,
        observer: Observer,
        trade_socket: TradeSocket | None = None,
    ) -> None:
        self._account = account
        self._sessions = sessions
        self._way = trade_socket or sessions
        self._reader = reader
        self._clock = clock
        self._observer = observer
        self._reach_ms = settings.recv_window_ms + settings.horizon_margin_ms

    # --- commands ---------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, link_id: OrderLinkId, *, sign_before: datetime) -> Answer:
        """Send an order; see `sluicegate.ports.Exchange.place`."""
        parameters = create_parameters(request, link_id)
        return self._command(CREATE, "place_order", parameters, sign_before)

    def amend(self, order: Order, changed: Mapping[str, str], *, sign_before: datetime) -> Answer:
        """Send an amendment; see `sluicegate.ports.Exchange.amend`."""
        parameters = {
            "category": order.category.value,
            "symbol": order.symbol,
            "orderLinkId": order.link_id,
            **{camel(name): value for name, value in changed.items()},
        }
        return self._command(AMEND, "amend_order", parameters, sign_before)

    def cancel(self, order: Order, *, sign_before: datetime) -> Answer:
        """Send a cancellation; see `sluicegate.ports.Exchange.cancel`."""
        parameters = {
            "category": order.category.value,
            "symbol": order.symbol,
            "orderLinkId": order.link_id,
            "orderFilter": order.request.order_filter,  # a spot stop or TP/SL order is not found without it
        }
        return self._command(CANCEL, "cancel_order", parameters, sign_before)

    def place_many(
        self, orders: Sequence[tuple[OrderRequest, OrderLinkId]], *, sign_before: datetime
    ) -> list[Answer]:
        """Send orders in one request; see `sluicegate.ports.Exchange.place_many`."""
        items = [create_parameters(request, link_id) for request, link_id in orders]
        category = orders[0][0].category.value
        stripped = [{name: value for name, value in item.items() if name != "category"} for item in items]
        parameters = {"category": category, "request": stripped}
        link_ids = [link_id for _request, link_id in orders]
        return self._send(
            CREATE_BATCH,
            "place_batch_order",
            parameters,
            items,
            sign_before,
            lambda reply: read_batch(reply, link_ids, self._reader),
        )

    def _command(self, path: str, method: str, parameters: dict[str, Any], sign_before: datetime) -> Answer:
        link_id = str(parameters["orderLinkId"])
        [answer] = self._send(
            path, method, parameters, [parameters], sign_before, lambda reply: [self._acknowledged(reply, link_id)]
        )
        return answer

    def _send(
        self,
        path: str,
        method: str,
        parameters: dict[str, Any],
        items: Sequence[Mapping[str, Any]],
        sign_before: datetime,
        read: Callable[[Reply], Sequence[Outcome]],
    ) -> list[Answer]:
        """Send a command about some orders; what befalls the request befalls each of them."""
        session = self._way.session()
        session.begin(sign_before)
        started = time.perf_counter()
        try:
            outcomes = read(read_reply(getattr(session, method)(**parameters)))
        except Exception as error:  # noqa: BLE001 - the boundary to the exchange: every failure is an outcome
            failed = self._reader.read_error(error, is_write=True)
            if isinstance(failed, Refused):
                failed = replace(failed, is_shared=len(items) > 1)
            outcomes = [failed] * len(items)
        elapsed_s = time.perf_counter() - started
        signed_at_ms = session.signed_at_ms
        answers = []
        for item, outcome in zip(items, outcomes, strict=True):
            certain = self._made_certain(outcome, signed_at_ms)
            self._report(path, item, certain, elapsed_s)
            answers.append(Answer(certain, signed_at_ms, elapsed_s, session.left_at_s))
        return answers

    def _made_certain(self, outcome: Outcome, signed_at_ms: int | None) -> Outcome:
        """Return what was never signed as never sent, and give a doubt its horizon."""
        if signed_at_ms is None:
            if isinstance(outcome, NeverSent | Refused):  # refused: the sign-in of the trade socket was
                return outcome
            return NeverSent("never_signed", "the request could not be prepared")
        if isinstance(outcome, InDoubt):
            return replace(outcome, horizon_ms=signed_at_ms + self._reach_ms)
        return outcome

    def _acknowledged(self, reply: Reply, link_id: str) -> Acknowledged:
        order_id = reply.result.get("orderId")
        if not is_name(order_id) or reply.result.get("orderLinkId") != link_id:
            raise UnreadableAnswer("the acknowledgement does not name our order")
        return Acknowledged(order_id[:64], reply.time_ms, reply.headers)

    def _report(self, path: str, parameters: Mapping[str, Any], outcome: Outcome, elapsed_s: float) -> None:
        code = outcome_code(outcome)
        category = str(parameters.get("category", ""))
        self._observer.response(
            account=self._account, endpoint=path, category=category, ret_code=code, elapsed_s=elapsed_s
        )
        if isinstance(outcome, Acknowledged):
            return
        link_id = str(parameters.get("orderLinkId", ""))
        log.warning(
            "exchange_call_failed",
            kind=type(outcome).__name__,
            ret_code=code,
            ret_msg=outcome.message,
            endpoint=path,
            account=self._account,
            category=category,
            symbol=parameters.get("symbol", ""),
            side=parameters.get("side", ""),
            qty=parameters.get("qty", ""),
            order_id=link_id.removeprefix(LINK_ID_PREFIX),
            order_link_id=link_id,
        )

    # --- queries ----------------------------------------------------------------------------------------------

    def find_open(self, category: Category, symbol: str, link_id: str, *, order_filter: str = "") -> Lookup:
        """Ask `realtime`; see `sluicegate.ports.Exchange.find_open`."""
        return self._find(REALTIME, "get_open_orders", category, symbol, link_id, order_filter)

    def find_closed(self, category: Category, symbol: str, link_id: str, *, order_filter: str = "") -> Lookup:
        """Ask `history`; see `sluicegate.ports.Exchange.find_closed`."""
        return self._find(HISTORY, "get_order_history", category, symbol, link_id, order_filter)

    def _find(
        self, path: str, method: str, category: Category, symbol: str, link_id: str, order_filter: str
    ) -> Lookup:
        parameters = {
            "category": category.value,
            "symbol": symbol,
            "orderLinkId": link_id,
            "orderFilter": order_filter or None,
        }
        reply = self._query(path, method, parameters)
        if reply.time_ms is None:
            raise ExchangeUnavailable(f"{path} answered without its clock; absence cannot be proved")
        rows = [row for row in self._rows(path, reply) if row.get("orderLinkId") == link_id]
        sighting = self._parsed(path, read_sighting, rows[0]) if rows else None
        return Lookup(sighting, reply.time_ms, reply.headers)

    def open_orders(
        self, category: Category, *, settle_coin: str, cursor: str | None
    ) -> tuple[list[Sighting], str | None, RateHeaders]:
        """Ask `realtime` for one page; see `sluicegate.ports.Exchange.open_orders`."""
        parameters = {
            "category": category.value,
            "settleCoin": None if category is Category.SPOT else settle_coin,
            "openOnly": 0,
            "limit": 50,
            "cursor": cursor,
        }
        reply = self._query(REALTIME, "get_open_orders", parameters)
        rows = self._rows(REALTIME, reply)
        ours = [row for row in rows if str(row.get("orderLinkId", "")).startswith(LINK_ID_PREFIX)]
        sightings = [self._parsed(REALTIME, read_sighting, row) for row in ours]
        following = reply.result.get("nextPageCursor") or None
        return sightings, following if rows else None, reply.headers

    def fills(
        self, category: Category, symbol: str, link_id: str, *, cursor: str | None = None
    ) -> tuple[list[Fill], str | None, RateHeaders]:
        """Ask `execution/list`; see `sluicegate.ports.Exchange.fills`."""
        parameters = {
            "category": category.value,
            "symbol": symbol,
            "orderLinkId": link_id,
            "limit": 100,
            "cursor": cursor,
        }
        reply = self._query(EXECUTIONS, "get_executions", parameters)
        rows = self._rows(EXECUTIONS, reply)
        fills = [
            self._parsed(EXECUTIONS, read_fill, row)
            for row in rows
            if row.get("orderLinkId") == link_id and row.get("execType", "Trade") == "Trade"
        ]
        following = reply.result.get("nextPageCursor") or None
        return fills, following if rows else None, reply.headers

    def key_info(self) -> KeyInfo:
        """Ask whose key this is; see `sluicegate.ports.Exchange.key_info`."""
        reply = self._query(QUERY_API, "get_api_key_information", {})
        result = reply.result
        uid = str(result.get("userID") or "")
        if not (uid.isascii() and uid.isdigit()):
            raise ExchangeUnavailable(f"{QUERY_API} names no userID")
        permissions = result.get("permissions")
        days = result.get("deadlineDay")
        return KeyInfo(
            uid=uid,
            is_read_only=result.get("readOnly") == 1,
            permissions=dict(permissions) if isinstance(permissions, Mapping) else {},
            days_left=days if isinstance(days, int) and days >= 0 else None,
        )

    def _query(self, path: str, method: str, parameters: Mapping[str, Any]) -> Reply:
        session = self._sessions.session()
        session.begin(None)
        started, sent_at = time.perf_counter(), self._clock.now()
        try:
            reply = read_reply(getattr(session, method)(**parameters))
        except Exception as error:  # noqa: BLE001 - the boundary to the exchange: every failure is an outcome
            outcome = self._reader.read_error(error, is_write=False)
            self._report(path, parameters, outcome, time.perf_counter() - started)
            if must_be_obeyed(outcome):
                refusal = outcome if isinstance(outcome, Refused) else None
                raise OrderRejected(f"{path}: {outcome.message}", ret_code=outcome.code, refusal=refusal) from None
            text = f"{path}: {outcome.code}: {outcome.message}"
            raise ExchangeUnavailable(text, is_unanswered=is_unanswered(outcome)) from None
        if reply.time_ms is not None:
            self._clock.observe(sent_at, self._clock.now(), reply.time_ms)
        self._report(path, parameters, Acknowledged(""), time.perf_counter() - started)
        return reply

    def _rows(self, path: str, reply: Reply) -> list[Mapping[str, Any]]:
        rows = reply.result.get("list")
        if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
            raise ExchangeUnavailable(f"{path} answered without a list")
        return rows

    def _parsed(self, path: str, read: Callable[[Mapping[str, Any]], _Row], row: Mapping[str, Any]) -> _Row:
        try:
            return read(row)
        except (KeyError, ValueError, TypeError, OverflowError) as e:
            raise ExchangeUnavailable(f"{path} answered with a row we cannot read: {e}") from e
