"""Orders: what a producer asks for, and what the ledger knows of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, NewType, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from sluicegate.domain.errors import InvalidOrder
from sluicegate.domain.lifecycle import State
from sluicegate.domain.numbers import DecimalText, canonical, plain

OrderId = NewType("OrderId", str)
OrderLinkId = NewType("OrderLinkId", str)

LINK_ID_PREFIX = "sg-"


class Category(StrEnum):
    """Bybit's product categories. The same symbol may exist in several: key everything by both."""

    SPOT = "spot"
    LINEAR = "linear"
    INVERSE = "inverse"
    OPTION = "option"


class Side(StrEnum):
    """Direction of an order."""

    BUY = "Buy"
    SELL = "Sell"


class OrderType(StrEnum):
    """How an order meets the book."""

    MARKET = "Market"
    LIMIT = "Limit"


class TimeInForce(StrEnum):
    """How long an order stays."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    POST_ONLY = "PostOnly"
    RPI = "RPI"


class MarketUnit(StrEnum):
    """In which coin the quantity of a spot market order is given."""

    BASE = "baseCoin"
    QUOTE = "quoteCoin"


class OnStep(StrEnum):
    """What to do with a quantity or price that is not on the instrument's step."""

    REJECT = "reject"
    ROUND_DOWN = "round_down"


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise ValueError("must be greater than 0")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise ValueError("must not be negative")
    return value


def _not_float(value: Any) -> Any:
    if isinstance(value, bool | float):
        raise ValueError(f"must be a string or an integer, not a {type(value).__name__}")
    return value


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("give the time zone, e.g. 2026-12-01T08:00:00Z")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie between the years 1 and 9999, in UTC too") from None


def _parse_flag(value: Any) -> Any:
    """Take true and false, and their text, as CSV has it; "yes", 1 and the like are guesses."""
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):
        return value == "true"
    raise ValueError("must be true or false")


Flag = Annotated[bool, BeforeValidator(_parse_flag)]
Positive = Annotated[DecimalText, AfterValidator(_positive)]
NotNegative = Annotated[DecimalText, AfterValidator(_not_negative)]
Whole = Annotated[int, BeforeValidator(_not_float)]
Instant = Annotated[datetime, BeforeValidator(_not_float), AfterValidator(_in_utc)]
Symbol = Annotated[str, Field(min_length=2, max_length=48, pattern=r"^[A-Z0-9][A-Z0-9._-]*$")]
Name = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
ClientOrderId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")]


class OrderRequest(BaseModel):
    """One order as a producer writes it: Bybit's create parameters in snake case, plus ours.

    Quantities and prices are `Decimal`, given as strings or integers. Unknown fields are errors.

    Attributes:
        account: its name in the settings.
        qty: what Bybit takes as `qty`; 0 closes a position, with `reduce_only` and `close_on_trigger`.
        client_order_id: the idempotency key, unique for each account; without one, ours is used.
        deadline_s: seconds from acceptance; an order that is not on the exchange by then expires unsent.
        due_at: not to be sent before.
        priority: of several orders that are due, the higher one goes first.
        settle_coin: checked against the instrument's; a contradiction is a dead letter.
        on_step: whether a quantity or price off the instrument's step is refused or rounded.

    Source: Bybit V5 `POST /v5/order/create`, docs of 2026-07-24.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    account: Name
    category: Category
    symbol: Symbol
    side: Side
    order_type: OrderType
    qty: NotNegative
    price: Positive | None = None
    time_in_force: TimeInForce | None = None
    reduce_only: Flag | None = None
    close_on_trigger: Flag | None = None
    position_idx: Annotated[Whole, Field(ge=0, le=2)] | None = None
    is_leverage: Annotated[Whole, Field(ge=0, le=1)] | None = None
    market_unit: MarketUnit | None = None
    slippage_tolerance_type: str | None = Field(default=None, pattern="^(TickSize|Percent)$")
    slippage_tolerance: Positive | None = None
    trigger_price: Positive | None = None
    trigger_direction: Annotated[Whole, Field(ge=1, le=2)] | None = None
    trigger_by: str | None = Field(default=None, pattern="^(LastPrice|IndexPrice|MarkPrice)$")
    order_filter: str | None = Field(default=None, pattern="^(Order|tpslOrder|StopOrder)$")
    take_profit: NotNegative | None = None
    stop_loss: NotNegative | None = None
    tp_trigger_by: str | None = Field(default=None, pattern="^(LastPrice|IndexPrice|MarkPrice)$")
    sl_trigger_by: str | None = Field(default=None, pattern="^(LastPrice|IndexPrice|MarkPrice)$")
    tpsl_mode: str | None = Field(default=None, pattern="^(Full|Partial)$")
    tp_limit_price: Positive | None = None
    sl_limit_price: Positive | None = None
    tp_order_type: OrderType | None = None
    sl_order_type: OrderType | None = None
    order_iv: Positive | None = None
    mmp: Flag | None = None
    smp_type: str | None = Field(default=None, pattern="^(None|CancelMaker|CancelTaker|CancelBoth)$")

    client_order_id: ClientOrderId | None = None
    deadline_s: Annotated[Whole, Field(gt=0, le=31_536_000)] | None = None
    due_at: Instant | None = None
    priority: Annotated[Whole, Field(ge=0, le=9)] = 0
    settle_coin: Annotated[str, Field(pattern="^[A-Z0-9]{2,12}$")] | None = None
    on_step: OnStep = OnStep.REJECT

    @model_validator(mode="after")
    def _check_whole(self) -> Self:
        if self.order_type is OrderType.LIMIT and self.price is None and self.order_iv is None:
            raise ValueError("price: a Limit order needs a price")
        if self.qty == 0 and not (self.reduce_only and self.close_on_trigger):
            raise ValueError(
                "qty: must be greater than 0 (0 closes a position, with reduce_only and close_on_trigger)"
            )
        if self.market_unit and (self.category is not Category.SPOT or self.order_type is not OrderType.MARKET):
            raise ValueError("market_unit: only for spot Market orders")
        if self.category is Category.SPOT and self.reduce_only:
            raise ValueError("reduce_only: not for spot")
        return self

    @property
    def is_quote_amount(self) -> bool:
        """Tell whether `qty` is an amount of the quote coin: spot market buys are, unless said otherwise."""
        if self.category is not Category.SPOT or self.order_type is not OrderType.MARKET:
            return False
        if self.market_unit is not None:
            return self.market_unit is MarketUnit.QUOTE
        return self.side is Side.BUY

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, numbers as plain strings, times as ISO 8601."""
        return self.model_dump(mode="json", exclude_none=True)

    def amended(self, values: Mapping[str, Decimal]) -> Self:
        """Return the order with other values.

        Raises:
            ValueError: no order may have them.
        """
        if not values:
            return self
        return type(self).model_validate(self.to_json() | {name: plain(value) for name, value in values.items()})

    def fingerprint(self) -> str:
        """Return a digest of the content; `0.010` and `0.01` are the same content."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        content = {
            name: canonical(value) if isinstance(value, Decimal) else str(value)
            for name, value in values.items()
            if value is not None
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def parse_order(content: Any) -> OrderRequest:
    """Read an order from parsed JSON.

    Args:
        content: a mapping of field names to values.

    Returns:
        The validated order.

    Raises:
        InvalidOrder: names each field that is wrong and what it must be; never shows a traceback.
    """
    if not isinstance(content, Mapping):
        raise InvalidOrder(f"an order is a JSON object, not a {type(content).__name__}")
    try:
        return OrderRequest.model_validate(dict(content))
    except ValidationError as e:
        raise InvalidOrder("; ".join(_describe(error) for error in e.errors()[:8])) from None


def _describe(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"][:1])
    if error["type"] == "extra_forbidden":
        return f"{where}: unknown field"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


class ChangeKind(StrEnum):
    """What a producer may ask of an order later."""

    AMEND = "amend"
    CANCEL = "cancel"


class AmendRequest(BaseModel):
    """New values for an order; what is left out stays.

    Source: Bybit V5 `POST /v5/order/amend`, docs of 2026-07-24. `qty` is the new total.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    qty: Positive | None = None
    price: Positive | None = None
    trigger_price: Positive | None = None
    take_profit: NotNegative | None = None
    stop_loss: NotNegative | None = None

    @model_validator(mode="after")
    def _check_some(self) -> Self:
        if not self.changes():
            raise ValueError("give at least one of qty, price, trigger_price, take_profit, stop_loss")
        return self

    def changes(self) -> dict[str, Decimal]:
        """Return the new values by field; null says the same as leaving the field out."""
        values = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: value for name, value in values.items() if value is not None}

    def to_json(self) -> dict[str, Any]:
        """Return the fields that are set, numbers as plain strings."""
        return self.model_dump(mode="json", exclude_none=True)


def parse_amend(content: Any) -> AmendRequest:
    """Read an amendment from parsed JSON.

    Raises:
        InvalidOrder: names each field that is wrong.
    """
    try:
        return AmendRequest.model_validate(content)
    except ValidationError as e:
        raise InvalidOrder("; ".join(_describe(error) for error in e.errors()[:8])) from None


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the ledger holds it: a snapshot; `version` guards every change.

    Attributes:
        version: counts transitions; a compare-and-set on it lets one actor act.
        attempts: claims to place it, without those for which no connection to the exchange came about.
        due_at: not to be sent before.
        wake_at: when the scheduler looks at it next, whatever its state; None for "never".
        deadline_at: not to be sent after.
        lease_until: while `submitting`, how long its claimant may still sign a request.
        horizon_ms: exchange clock, ms; after it, no request of ours signed so far can still be accepted.
        acked_at: when the exchange acknowledged it, or evidence of it was first seen.
        exchange_status: the furthest of the exchange's words for it that was seen, e.g. `Untriggered`.
    """

    order_id: OrderId
    link_id: OrderLinkId
    account: str
    request: OrderRequest
    state: State
    version: int
    created_at: datetime
    updated_at: datetime
    client_order_id: str
    fingerprint: str
    priority: int = 0
    attempts: int = 0
    due_at: datetime | None = None
    wake_at: datetime | None = None
    deadline_at: datetime | None = None
    lease_until: datetime | None = None
    horizon_ms: int | None = None
    acked_at: datetime | None = None
    exchange_order_id: str = ""
    exchange_status: str = ""
    cum_exec_qty: Decimal = Decimal(0)
    avg_price: Decimal | None = None
    last_code: str = ""
    last_message: str = ""
    replay_of: OrderId | None = None

    @property
    def category(self) -> Category:
        """Return the product category."""
        return self.request.category

    @property
    def symbol(self) -> str:
        """Return the symbol."""
        return self.request.symbol

    def describe(self) -> str:
        """Return one line for people: `Buy 0.01 BTCUSDT @60000 (linear, main)`."""
        r = self.request
        at = f" @{plain(r.price)}" if r.price is not None else " market"
        return f"{r.side} {plain(r.qty)} {r.symbol}{at} ({r.category}, {self.account})"


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order about to be accepted."""

    order_id: OrderId
    request: OrderRequest
    created_at: datetime
    replay_of: OrderId | None = None

    @property
    def link_id(self) -> OrderLinkId:
        """Return the link id that every attempt carries; at most 36 characters, unique for ever."""
        return OrderLinkId(LINK_ID_PREFIX + self.order_id)

    @property
    def client_order_id(self) -> str:
        """Return the producer's id, or ours where it gave none."""
        return self.request.client_order_id or self.order_id

    @property
    def due_at(self) -> datetime:
        """Return when it may go out."""
        due = self.request.due_at
        return self.created_at if due is None else max(self.created_at, due)

    @property
    def deadline_at(self) -> datetime | None:
        """Return after when it must not go out; counted from acceptance."""
        seconds = self.request.deadline_s
        return None if seconds is None else self.created_at + timedelta(seconds=seconds)


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One line of an order's audit trail."""

    order_id: OrderId
    version: int
    at: datetime
    event: str
    from_state: str
    to_state: str
    actor: str
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill. Quantities in the instrument's unit, fee in `fee_coin`."""

    exec_id: str
    order_id: OrderId
    qty: Decimal
    price: Decimal
    fee: Decimal
    fee_coin: str
    is_maker: bool
    executed_at: datetime


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a producer gets for an order: it is safe in the ledger.

    Attributes:
        is_new: False when the same `client_order_id` with the same content was there already.
    """

    order_id: OrderId
    order_link_id: OrderLinkId
    account: str
    client_order_id: str
    state: State
    is_new: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return the receipt as plain values."""
        return {
            "order_id": self.order_id,
            "order_link_id": self.order_link_id,
            "account": self.account,
            "client_order_id": self.client_order_id,
            "state": self.state.value,
            "is_new": self.is_new,
        }
