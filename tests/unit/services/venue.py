"""A venue in memory: an exchange with a clock of its own, to which requests travel as slowly as the test wants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.instruments import InstrumentRules
from sluicegate.domain.orders import Category, Order, OrderLinkId, OrderRequest
from sluicegate.domain.outcomes import NO_HEADERS, Acknowledged, Action, InDoubt, NeverSent, Outcome, Refused
from sluicegate.domain.records import Fill, Sighting
from sluicegate.ports import Answer, KeyInfo, Lookup
from tests.unit.domain import examples
from tests.unit.services.interleaving import START, FakeClock, Mishap, stop_at

RECV_WINDOW_MS = 5000
MARGIN_MS = 1000
UNREACHED = NeverSent("net_connect_fail", "refused", is_unreached=True)


class Verdict(Enum):
    """What the venue does with a request that reaches it in time."""

    TAKES = "takes it"
    TAKES_SILENTLY = "takes it, and the answer says 10016"
    LIMITS = "10006: not executed"
    REFUSES = "110007: insufficient balance"
    FAILS = "10016, and did nothing"
    OVERLOOKS = "110001 about an order that is live: what ends orders lags behind what takes them"


@dataclass(slots=True)
class VenueOrder:
    """One order on the venue."""

    number: int
    link_id: str
    request: OrderRequest
    qty: Decimal
    price: Decimal | None
    visible_at_ms: int
    status: str = "New"
    fills: list[Fill] = field(default_factory=list)

    @property
    def is_open(self) -> bool:
        """Tell whether it may still trade."""
        return self.status in {"New", "PartiallyFilled"}

    @property
    def filled(self) -> Decimal:
        """Return what has traded."""
        return sum((fill.qty for fill in self.fills), Decimal(0))

    def row(self) -> dict[str, Any]:
        """Return it as `/simulator/orders` would."""
        return {
            "orderLinkId": self.link_id,
            "orderId": f"x-{self.number}",
            "category": self.request.category.value,
            "symbol": self.request.symbol,
            "side": self.request.side.value,
            "orderType": self.request.order_type.value,
            "orderStatus": self.status,
            "qty": str(self.qty),
            "price": str(self.price or 0),
            "executions": [
                {"execId": f.exec_id, "execQty": str(f.qty), "execPrice": str(f.price), "execFee": str(f.fee)}
                for f in self.fills
            ],
        }


@dataclass(eq=False, slots=True)
class Flight:
    """A signed request on its way."""

    kind: str
    link_id: str
    signed_at_ms: int
    request: OrderRequest | None = None
    changed: Mapping[str, str] = field(default_factory=dict)
    answer: Outcome | None = None
    is_awaited: bool = True
    others: tuple[tuple[str, OrderRequest], ...] = ()
    other_answers: list[Outcome] = field(default_factory=list)


class Venue:
    """The exchange, seen through one account; the port `Exchange`."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.offset_ms = 0
        self.known_offset_ms = 0
        self.lag_ms = 0
        self.is_reachable = True
        self.orders: list[VenueOrder] = []
        self.takes_link_ids_twice = False  # what Bybit says it never does
        self.listed_under: set[str] | None = None  # the order filters that show an order; None: any
        self.flights: list[Flight] = []
        self._fills = 0

    # --- its clock --------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """Return the venue's clock."""
        return round(self._clock.now().timestamp() * 1000) + self.offset_ms

    @property
    def offset_s(self) -> float:
        """Return the offset that we measured last."""
        return self.known_offset_ms / 1000

    def to_exchange_ms(self, local: datetime) -> int:
        """Translate local time."""
        return round(local.timestamp() * 1000) + self.known_offset_ms

    def to_local(self, exchange_ms: int) -> datetime:
        """Translate the venue's time."""
        return START + timedelta(milliseconds=exchange_ms - self.known_offset_ms - START.timestamp() * 1000)

    # --- commands ---------------------------------------------------------------------------------------------

    def place(self, request: OrderRequest, link_id: OrderLinkId, *, sign_before: datetime) -> Answer:
        """Send an order."""
        return self._send("place", link_id, sign_before, request=request)

    def place_many(
        self, orders: Sequence[tuple[OrderRequest, OrderLinkId]], *, sign_before: datetime
    ) -> list[Answer]:
        """Send orders in one request: one flight, whose verdict each of them meets."""
        fleet = tuple((link_id, request) for request, link_id in orders)
        if stop_at("place: before it is signed") is Mishap.FAILS_BEFORE or not self.is_reachable:
            return [Answer(UNREACHED, None, 0)] * len(fleet)
        if self._clock.now() >= sign_before:
            return [Answer(NeverSent("claim_lapsed", "too late to sign"), None, 0)] * len(fleet)
        signed_at_ms = round(self._clock.now().timestamp() * 1000) + self.known_offset_ms
        flight = Flight("place", fleet[0][0], signed_at_ms, request=fleet[0][1], others=fleet[1:])
        self.flights.append(flight)
        stop_at("place: on its way")
        flight.is_awaited = False
        outcomes = [flight.answer, *flight.other_answers] if flight.answer is not None else [None] * len(fleet)
        return [self._answer(flight, outcome) for outcome in outcomes]

    def amend(self, order: Order, changed: Mapping[str, str], *, sign_before: datetime) -> Answer:
        """Send an amendment."""
        return self._send("amend", order.link_id, sign_before, changed=changed)

    def cancel(self, order: Order, *, sign_before: datetime) -> Answer:
        """Send a cancellation."""
        return self._send("cancel", order.link_id, sign_before)

    def _send(self, kind: str, link_id: str, sign_before: datetime, **content: Any) -> Answer:
        if stop_at(f"{kind}: before it is signed") is Mishap.FAILS_BEFORE or not self.is_reachable:
            return Answer(UNREACHED, None, 0)
        if self._clock.now() >= sign_before:
            return Answer(NeverSent("claim_lapsed", "too late to sign"), None, 0)
        flight = Flight(
            kind, link_id, round(self._clock.now().timestamp() * 1000) + self.known_offset_ms, **content
        )
        self.flights.append(flight)
        stop_at(f"{kind}: on its way")
        flight.is_awaited = False
        return self._answer(flight, flight.answer)

    def _answer(self, flight: Flight, outcome: Outcome | None) -> Answer:
        if outcome is None or isinstance(outcome, InDoubt):
            horizon_ms = flight.signed_at_ms + RECV_WINDOW_MS + MARGIN_MS
            known = outcome or InDoubt("net_read_timeout", "no answer")
            outcome = InDoubt(known.code, known.message, horizon_ms, is_about_order=known.is_about_order)
        return Answer(outcome, flight.signed_at_ms, 0.1)

    def deliver(self, flight: Flight, verdict: Verdict, *, loses_answer: bool = False) -> None:
        """Let a request arrive now; an answer may be lost on the way back."""
        self.flights.remove(flight)
        answer = self._judge(flight, verdict)
        others = [
            self._judge(replace(flight, link_id=link_id, request=request), verdict)
            for link_id, request in flight.others
        ]
        if flight.is_awaited and not loses_answer:
            flight.answer, flight.other_answers = answer, others

    def _judge(self, flight: Flight, verdict: Verdict) -> Outcome:
        now_ms = self.now_ms()
        if not now_ms - RECV_WINDOW_MS <= flight.signed_at_ms < now_ms + 1000:
            return Refused("10002", "timestamp", Action.RESYNC_CLOCK)
        match verdict:
            case Verdict.LIMITS:
                return Refused("10006", "too many", Action.BACK_OFF)
            case Verdict.FAILS:
                return InDoubt("10016", "server error")
            case Verdict.REFUSES if flight.kind == "place":
                return Refused("110007", "no money", Action.DEAD_LETTER, "insufficient_balance", "c", "f")
            case Verdict.OVERLOOKS if flight.kind == "cancel":
                return _about("110001", "order not exists or too late to cancel")
        outcome = self._do(flight)
        is_silent = verdict is Verdict.TAKES_SILENTLY and isinstance(outcome, Acknowledged)
        return InDoubt("10016", "server error") if is_silent else outcome

    def _do(self, flight: Flight) -> Outcome:
        order = self.find(flight.link_id)
        if flight.kind == "place":
            is_free = order is None or self.takes_link_ids_twice
            return self._open(flight) if is_free else _about("110072", "duplicate")
        if order is None:
            return _about("110001", "order not exists")
        if not order.is_open:
            return _about("110008" if order.status == "Filled" else "110010", "over")
        if flight.kind == "cancel":
            order.status = "Cancelled"
            return Acknowledged(f"x-{order.number}")
        qty = Decimal(flight.changed.get("qty", order.qty))
        if qty <= order.filled:
            return Refused("110017", "below filled", Action.DEAD_LETTER, "quantity_out_of_bounds")
        order.qty = qty
        order.price = Decimal(flight.changed["price"]) if "price" in flight.changed else order.price
        return Acknowledged(f"x-{order.number}")

    def _open(self, flight: Flight) -> Outcome:
        request = flight.request
        assert request is not None
        order = VenueOrder(
            number=len(self.orders) + 1,
            link_id=flight.link_id,
            request=request,
            qty=request.qty,
            price=request.price,
            visible_at_ms=self.now_ms() + self.lag_ms,
        )
        self.orders.append(order)
        return Acknowledged(f"x-{order.number}")

    def find(self, link_id: str) -> VenueOrder | None:
        """Return an order."""
        return next((order for order in self.orders if order.link_id == link_id), None)

    def fill(self, order: VenueOrder, part: Decimal) -> None:
        """Trade a part of what an open order has left."""
        self._fills += 1
        left = order.qty - order.filled
        qty = left if part == 1 else (left * part).quantize(Decimal("0.001"))
        if qty <= 0:
            return
        fill = Fill(
            f"e-{self._fills}", order.link_id, qty, Decimal(60000), Decimal("0.1"), "USDT", True, self._clock.now()
        )
        order.fills.append(fill)
        order.status = "Filled" if order.filled == order.qty else "PartiallyFilled"

    def forget(self) -> None:
        """Show no more what ended without a fill: a day has passed."""
        for order in self.orders:
            if not order.is_open and not order.fills:
                order.visible_at_ms = 10**15

    # --- queries ----------------------------------------------------------------------------------------------

    def _asked(self, name: str) -> None:
        if stop_at(f"query.{name}") is not Mishap.NONE:
            raise ExchangeUnavailable("away")

    def find_open(self, category: Category, symbol: str, link_id: str, *, order_filter: str = "") -> Lookup:
        """Ask `realtime`, which shows open orders alone here."""
        self._asked("find_open")
        return self._lookup(link_id, order_filter, is_open=True)

    def find_closed(self, category: Category, symbol: str, link_id: str, *, order_filter: str = "") -> Lookup:
        """Ask `history`."""
        self._asked("find_closed")
        return self._lookup(link_id, order_filter, is_open=False)

    def _lookup(self, link_id: str, order_filter: str, *, is_open: bool) -> Lookup:
        order = self.find(link_id)
        is_shown = order is not None and order.is_open is is_open and order.visible_at_ms <= self.now_ms()
        if self.listed_under is not None and order_filter not in self.listed_under:
            is_shown = False
        return Lookup(_sighting(order) if order is not None and is_shown else None, self.now_ms(), NO_HEADERS)

    def open_orders(self, category: Category, *, settle_coin: str, cursor: str | None) -> Any:
        """Ask `realtime` for all open orders."""
        self._asked("open_orders")
        shown = [order for order in self.orders if order.is_open and order.visible_at_ms <= self.now_ms()]
        return [_sighting(order) for order in shown], None, NO_HEADERS

    def fills(self, category: Category, symbol: str, link_id: str, *, cursor: str | None = None) -> Any:
        """Ask `execution/list`."""
        self._asked("fills")
        order = self.find(link_id)
        return ([] if order is None else list(order.fills)), None, NO_HEADERS

    def key_info(self) -> KeyInfo:
        """Tell whose key it is."""
        return KeyInfo("1001", is_read_only=False, permissions={}, days_left=None)

    # --- its market -------------------------------------------------------------------------------------------

    def rules(self, category: Category, symbol: str) -> InstrumentRules:
        """Return the rules of the one instrument."""
        return examples.rules()

    def last_price(self, category: Category, symbol: str) -> Decimal:
        """Return the price."""
        return Decimal(60000)


def _about(code: str, message: str) -> InDoubt:
    return InDoubt(code, message, is_about_order=True)


def _sighting(order: VenueOrder) -> Sighting:
    return Sighting(
        link_id=order.link_id,
        exchange_order_id=f"x-{order.number}",
        symbol=order.request.symbol,
        side=order.request.side.value,
        status=order.status,
        qty=order.qty,
        price=order.price,
        cum_exec_qty=order.filled,
        avg_price=Decimal(60000) if order.fills else None,
        reject_reason="EC_NoError",
        order_type=order.request.order_type.value,
        time_in_force=order.request.time_in_force or "GTC",
        trigger_price=order.request.trigger_price,
        reduce_only=bool(order.request.reduce_only),
        position_idx=order.request.position_idx or 0,
    )
