"""Reading orders and executions back: realtime, history, execution list."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

from simulator.codes import bad_parameter
from simulator.exchange import Call
from simulator.memory import DAY_MS, is_remembered
from simulator.orders import OPEN, Execution, Order, Status, execution_view, order_view
from simulator.parameters import category_of, query_number, text_of
from simulator.wire import Json, Refusal, Reply

T = TypeVar("T")

WEEK_MS = 7 * DAY_MS
_CURSOR = re.compile(r"page_token=(\d{1,18})", re.ASCII)


class _Filter(NamedTuple):
    """What a query narrows its orders down to; empty strings do not narrow."""

    symbol: str
    base: str
    settle: str
    order_filter: str

    def passes(self, order: Order) -> bool:
        instrument = order.instrument
        return (
            (not self.symbol or instrument.symbol == self.symbol)
            and (not self.base or instrument.base == self.base)
            and (not self.settle or instrument.settle == self.settle)
            and (not self.order_filter or order.sorts_as == self.order_filter)
        )


def realtime(call: Call) -> Reply:
    """List open orders, or the latest 500 closed ones; an id finds an order among both."""
    params = call.params
    category = category_of(params)
    chosen = _filter_of(params, category)
    if category == "linear" and not (chosen.symbol or chosen.base or chosen.settle):
        raise bad_parameter("symbol, baseCoin or settleCoin is required for linear")
    limit = query_number(params, "limit", 20, 50)
    account = call.account
    if _names_an_order(params):
        found = _find(call, category)
        shown = [order for order in found if order.is_open or account.is_recent(order)]
        return _order_page(category, [order for order in shown if chosen.passes(order)], limit, params)
    if str(params.get("openOnly", "0")) == "1":
        pool: Iterable[Order] = reversed(account.recent[category])  # type: ignore[index]
        newest_first = sorted(pool, key=lambda order: -order.number)
    else:
        newest_first = list(reversed(account.open[category].values()))  # type: ignore[index]
    now_ns = call.exchange.clock.elapsed_ns()
    visible = [order for order in newest_first if _is_visible(order, now_ns) and chosen.passes(order)]
    return _order_page(category, visible, limit, params)


def history(call: Call) -> Reply:
    """List closed orders that the exchange still remembers, newest first."""
    params = call.params
    category = category_of(params)
    chosen = _filter_of(params, category)
    limit = query_number(params, "limit", 20, 50)
    status = str(params.get("orderStatus", ""))
    if status and status in {item.value for item in OPEN}:
        raise Refusal(181017, "OrderStatus must be final status")
    now_ms = call.exchange.clock.now_ms()
    start_ms, end_ms = _span_of(params, now_ms)
    now_ns = call.exchange.clock.elapsed_ns()

    def is_listed(order: Order) -> bool:
        return (
            not order.is_open
            and _is_visible(order, now_ns)
            and is_remembered(order, now_ms)
            and (not status or order.status == status)
            and chosen.passes(order)
        )

    if _names_an_order(params):
        return _order_page(category, [order for order in _find(call, category) if is_listed(order)], limit, params)
    orders = call.account.orders[category]  # type: ignore[index]
    newest_first = _newest_first(orders, _cursor_of(params), lambda order: order.number)
    listed = (order for order in newest_first if start_ms <= order.created_ms <= end_ms and is_listed(order))
    return _order_page(category, listed, limit, params)


def executions(call: Call) -> Reply:
    """List fills, newest first; an id makes the other filters void."""
    params = call.params
    category = category_of(params)
    limit = query_number(params, "limit", 50, 100)
    now_ns = call.exchange.clock.elapsed_ns()
    fills: Iterable[Execution]
    if _names_an_order(params):
        found = _find(call, category)
        fills = [fill for order in found for fill in reversed(order.executions or [])]
    else:
        chosen = _filter_of(params, category)
        if category == "option" and not chosen.symbol and not chosen.base:
            chosen = chosen._replace(base="BTC")
        start_ms, end_ms = _span_of(params, call.exchange.clock.now_ms())
        kind = str(params.get("execType", ""))
        booked = call.account.executions[category]  # type: ignore[index]
        fills = (
            fill
            for fill in _newest_first(booked, _cursor_of(params), lambda fill: fill.seq)
            if start_ms <= fill.time_ms <= end_ms and chosen.passes(fill.order) and kind in ("", fill.kind)
        )
    before = _cursor_of(params)
    page: list[Execution] = []
    for fill in fills:
        if _is_visible(fill.order, now_ns) and (before is None or fill.seq < before):
            page.append(fill)
        if len(page) > limit:
            break
    cursor = _cursor(page[limit - 1].seq) if len(page) > limit else ""
    shown = [execution_view(fill) for fill in page[:limit]]
    return Reply({"nextPageCursor": cursor, "category": category, "list": shown})


def _find(call: Call, category: str) -> list[Order]:
    """Look an order up by orderId, else by orderLinkId."""
    params, account = call.params, call.account
    order_id, link_id = text_of(params, "orderId"), text_of(params, "orderLinkId")
    order = account.by_id.get(order_id) if order_id else account.links.get(link_id)
    if order is None or order.category != category:
        return []
    return [order] if _is_visible(order, call.exchange.clock.elapsed_ns()) else []


def _is_visible(order: Order, now_ns: int) -> bool:
    return order.status != Status.CREATED and order.visible_from_ns <= now_ns


def _names_an_order(params: Json) -> bool:
    return bool(params.get("orderId") or params.get("orderLinkId"))


def _filter_of(params: Json, category: str) -> _Filter:
    symbol, base = text_of(params, "symbol"), text_of(params, "baseCoin")
    settle = "" if category == "spot" else text_of(params, "settleCoin")
    return _Filter(
        symbol, "" if symbol else base, "" if symbol or base else settle, text_of(params, "orderFilter")
    )


def _span_of(params: Json, now_ms: int) -> tuple[int, int]:
    """Return the time span of a query; a missing end follows from the other, seven days apart at most."""
    given = {name: str(params[name]) for name in ("startTime", "endTime") if params.get(name)}
    for name, value in given.items():
        if not (value.isascii() and value.isdigit()):
            raise bad_parameter(f"{name} must be ms since the epoch")
    start_ms = int(given["startTime"]) if "startTime" in given else None
    end_ms = int(given["endTime"]) if "endTime" in given else None
    if end_ms is None:
        end_ms = now_ms + 1000 if start_ms is None else start_ms + WEEK_MS
    if start_ms is None:
        start_ms = end_ms - WEEK_MS - 1000
    elif end_ms - start_ms > WEEK_MS:
        raise bad_parameter("the time between startTime and endTime cannot exceed 7 days")
    if start_ms > end_ms:
        raise bad_parameter("startTime is after endTime")
    return start_ms, end_ms


def _newest_first(booked: Sequence[T], before: int | None, number: Callable[[T], int]) -> Iterator[T]:
    """Yield a sequence backwards from just below a number, so that a late page costs no more than the first."""
    stop = len(booked) if before is None else bisect_left(booked, before, key=number)
    return (booked[position] for position in range(stop - 1, -1, -1))


def _order_page(category: str, newest_first: Iterable[Order], limit: int, params: Json) -> Reply:
    before = _cursor_of(params)
    page: list[Order] = []
    for order in newest_first:
        if before is None or order.number < before:
            page.append(order)
        if len(page) > limit:
            break
    cursor = _cursor(page[limit - 1].number) if len(page) > limit else ""
    shown = [order_view(order) for order in page[:limit]]
    return Reply({"nextPageCursor": cursor, "category": category, "list": shown})


def _cursor(number: int) -> str:
    """Write a cursor; like the exchange's own it is already percent-encoded and must travel unchanged."""
    return f"page_token%3D{number}"


def _cursor_of(params: Json) -> int | None:
    cursor = str(params.get("cursor", ""))
    if not cursor:
        return None
    match = _CURSOR.fullmatch(unquote(cursor))
    if match is None:
        raise bad_parameter("cursor invalid")
    return int(match[1])
