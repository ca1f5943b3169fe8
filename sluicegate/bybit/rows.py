"""Rows of the order and execution lists, read into sightings and fills."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeGuard

from sluicegate.domain.numbers import parse_decimal
from sluicegate.domain.records import Fill, Sighting


def is_name(value: Any) -> TypeGuard[str]:
    """Tell whether a value is a text that may name something: not empty, printable ASCII."""
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def read_sighting(row: Mapping[str, Any]) -> Sighting:
    """Read one row of `realtime` or `history`.

    Raises:
        KeyError, ValueError: the row lacks a field, or holds no text or number where one belongs.
    """
    shown = ("orderStatus", "cancelType", "rejectReason", "cumExecQty", "avgPrice")
    return Sighting(
        link_id=_name_or_empty(row["orderLinkId"]),  # orders made by hand have none
        exchange_order_id=_name(row["orderId"])[:64],
        symbol=_name(row["symbol"]),
        side=_name(row["side"]),
        status=_name(row["orderStatus"])[:48],
        qty=_number(row["qty"]),
        price=_number_or_none(row.get("price")),
        cum_exec_qty=_number(row.get("cumExecQty")),
        avg_price=_number_or_none(row.get("avgPrice")),
        reject_reason=_name_or_empty(row.get("rejectReason"))[:64],
        raw={name: _name_or_empty(row.get(name)) for name in shown},
    )


def read_fill(row: Mapping[str, Any]) -> Fill:
    """Read one row of `execution/list`.

    Raises:
        KeyError, ValueError, OverflowError: as `read_sighting`, or the time is out of range.
    """
    return Fill(
        exec_id=_name(row["execId"])[:64],
        link_id=_name(row["orderLinkId"]),
        qty=_number(row["execQty"]),
        price=_number(row["execPrice"]),
        fee=_number(row.get("execFee")),
        fee_coin=_name_or_empty(row.get("feeCurrency"))[:16],
        is_maker=row.get("isMaker") is True,
        executed_at=datetime.fromtimestamp(int(row["execTime"]) / 1000, UTC),
    )


def _name(value: Any) -> str:
    if not is_name(value):
        raise ValueError(f"a name of {str(value)[:40]!r}")
    return value


def _name_or_empty(value: Any) -> str:
    return "" if value in ("", None) else _name(value)


def _number(value: Any) -> Decimal:
    return Decimal(0) if value in ("", None) else parse_decimal(value)


def _number_or_none(value: Any) -> Decimal | None:
    return _number(value) or None
