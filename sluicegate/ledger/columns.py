"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import TIMESTAMP, BigInteger, Dialect, Integer, Numeric, String, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from sluicegate.domain.numbers import plain

# Ids sort by their bytes, so that "newest first" does not depend on the locale of the database.
IdText = String().with_variant(String(collation="C"), "postgresql")
BigId = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts by itself on SQLite

_ENCODER = json.JSONEncoder(separators=(",", ":"), default=str, allow_nan=False)


class Moment(TypeDecorator[datetime]):
    """A point in time with its zone: timestamptz on PostgreSQL, sortable UTC text on SQLite; exact to 1 us."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of a database."""
        return dialect.type_descriptor(TIMESTAMP(timezone=True) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Refuse times without a zone; they mean another instant on every machine."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time in the ledger needs its zone")
        utc = value.astimezone(UTC)
        return utc if dialect.name == "postgresql" else utc.isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """Return the time in UTC."""
        if value is None:
            return None
        moment: datetime = value if dialect.name == "postgresql" else datetime.fromisoformat(value)
        return moment.astimezone(UTC)


class ExactDecimal(TypeDecorator[Decimal]):
    """A number, digit for digit: NUMERIC without a scale on PostgreSQL, text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of a database."""
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """Refuse NaN and infinity."""
        if value is None:
            return None
        if not value.is_finite():
            raise ValueError("a number in the ledger is finite")
        return value if dialect.name == "postgresql" else plain(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:  # noqa: ARG002 (the base's name)
        """Return the number."""
        return None if value is None else Decimal(value)


class Words(TypeDecorator[str]):
    """Text from outside, stored whatever it holds: PostgreSQL refuses NUL, and both refuse half characters."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 (the base's name)
        """Replace what a database cannot hold."""
        if value is None:
            return None
        return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def to_json_text(value: Any) -> str:
    """Write JSON for a column: ASCII, so that every character survives; a fact of another type as its text."""
    return _ENCODER.encode(value)
