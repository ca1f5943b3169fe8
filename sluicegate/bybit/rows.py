"""Rows of the order and execution lists, read into sightings and fills."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeGuard, TypeVar

from sluicegate.domain.holdings import Balance, Position
from sluicegate.domain.numbers import parse_decimal
from sluicegate.domain.orders import LINK_ID_PREFIX
from sluicegate.domain.records import TRADE, Fill, Sighting

_T = TypeVar("_T")


def is_name(value: Any) -> TypeGuard[str]:
    """Tell whether a value is a text that may name something: not empty, printable ASCII."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def read_sighting(row: Mapping[str, Any], category: str = "") -> Sighting:
    """Read one row of `realtime` or `history`, or of an `order` message, which names its category itself.

    Raises:
        KeyError, ValueError: the row lacks a field, or holds no text or number where one belongs.
    """
    shown = ("orderStatus", "cancelType", "rejectReason", "cumExecQty", "avgPrice")
    link_id = _name_or_empty(row["orderLinkId"])  # orders made by hand have none
    is_ours = link_id.startswith(LINK_ID_PREFIX)  # those by hand may be over 0: they close a position
    return Sighting(
        link_id=link_id,
        exchange_order_id=_name(row["orderId"])[:64],
        symbol=_name(row["symbol"]),
        side=_name(row["side"]),
        status=_name(row["orderStatus"])[:48],
        qty=_positive(row["qty"]) if is_ours else _amount(row["qty"]),
        price=_amount_or_none(row.get("price")),
        cum_exec_qty=_amount(row.get("cumExecQty")),
        avg_price=_amount_or_none(row.get("avgPrice")),
        reject_reason=_name_or_empty(row.get("rejectReason"))[:64],
        raw={name: _name_or_empty(row.get(name)) for name in shown},
        category=_name_or_empty(row.get("category")) or category,
        parent_link_id=_name_or_empty(row.get("parentOrderLinkId"))[:64],
        stop_order_type=_name_or_empty(row.get("stopOrderType"))[:48],
        updated_ms=_instant_ms(row.get("updatedTime")),
        order_type=_name_or_empty(row.get("orderType"))[:16],
        time_in_force=_name_or_empty(row.get("timeInForce"))[:16],
        trigger_price=_amount_or_none(row.get("triggerPrice")),
        reduce_only=_of_type(bool, row.get("reduceOnly")),
        position_idx=_of_type(int, row.get("positionIdx")),
        last_price_on_create=_number_or_none(row.get("lastPriceOnCreated")),
        take_profit=_stop_or_none(row.get("takeProfit")),
        stop_loss=_stop_or_none(row.get("stopLoss")),
    )


def read_fill(row: Mapping[str, Any], category: str = "") -> Fill:
    """Read one row of `execution/list`, or of an `execution` message, which names its category itself.

    Raises:
        KeyError, ValueError, OverflowError: as `read_sighting`, or the time is out of range.
    """
    exec_type = _name_or_empty(row.get("execType")) or TRADE
    amount = _positive if exec_type == TRADE else _amount  # an option may be delivered at 0
    return Fill(
        exec_id=_name(row["execId"])[:64],
        link_id=_name_or_empty(row["orderLinkId"]),  # orders made by hand have none
        qty=amount(row["execQty"]),
        price=amount(row["execPrice"]),
        fee=_number(row.get("execFee")),
        fee_coin=_name_or_empty(row.get("feeCurrency"))[:16],
        is_maker=row.get("isMaker") is True,
        executed_at=datetime.fromtimestamp(int(row["execTime"]) / 1000, UTC),
        exchange_order_id=_name_or_empty(row.get("orderId"))[:64],
        category=_name_or_empty(row.get("category")) or category,
        symbol=_name_or_empty(row.get("symbol")),
        side=_name_or_empty(row.get("side")),
        exec_type=exec_type,
    )


def read_position(row: Mapping[str, Any], category: str = "") -> Position:
    """Read one row of `position/list` or of a `position` message; the entry price has another name in each.

    Raises:
        KeyError, ValueError: as `read_sighting`.
    """
    index = row.get("positionIdx", 0)
    if type(index) is not int or not 0 <= index <= 2:
        raise ValueError(f"a positionIdx of {str(index)[:40]!r}")
    side = _name_or_empty(row.get("side"))
    size = _number(row["size"])
    return Position(
        category=_name_or_empty(row.get("category")) or category,
        symbol=_name(row["symbol"]),
        position_idx=index,
        side=side if size else "",
        size=size,
        entry_price=_number_or_none(row.get("entryPrice") or row.get("avgPrice")),
        unrealised_pnl=_number(row.get("unrealisedPnl")),
        updated_ms=_instant_ms(row.get("updatedTime")),
    )


def read_balances(row: Mapping[str, Any]) -> list[Balance]:
    """Read one account of `wallet-balance` or of a `wallet` message.

    Raises:
        KeyError, ValueError: as `read_sighting`.
    """
    return [
        Balance(
            coin=_name(coin["coin"])[:16],
            wallet=_number(coin.get("walletBalance")),
            equity=_number(coin.get("equity")),
            locked=_number(coin.get("locked")),
            unrealised_pnl=_number(coin.get("unrealisedPnl")),
        )
        for coin in row["coin"]
    ]


def _instant_ms(value: Any) -> int:
    """Read milliseconds since 1970 as text; 0 where there are none."""
    text = value if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else 0


def _name(value: Any) -> str:
    if not is_name(value):
        raise ValueError(f"a name of {str(value)[:40]!r}")
    return value


def _name_or_empty(value: Any) -> str:
    return "" if value in ("", None) else _name(value)


def _of_type(kind: type[_T], value: Any) -> _T | None:
    """Take a value that has just this type; what else stands there says nothing."""
    return value if type(value) is kind else None


def _number(value: Any) -> Decimal:
    return Decimal(0) if value in ("", None) else parse_decimal(value)


def _amount(value: Any) -> Decimal:
    number = _number(value)
    if number < 0:
        raise ValueError(f"a negative amount of {number}")
    return number


def _positive(value: Any) -> Decimal:
    number = _amount(value)
    if not number:
        raise ValueError("an amount of 0")
    return number


def _amount_or_none(value: Any) -> Decimal | None:
    return _amount(value) or None


def _stop_or_none(value: Any) -> Decimal | None:
    """Read a take profit or stop loss: "" and "0" say that there is none; what is no price says nothing."""
    try:
        return None if value is None else _amount(value)
    except ValueError:
        return None


def _number_or_none(value: Any) -> Decimal | None:
    return _number(value) or None
