"""Bybit's return codes: what each means, why it comes, what to do, and what Sluicegate does about it.

The table is `retcodes.csv`. Beside Bybit's own codes it holds the transport conditions that have none, such as
`http_403` and `net_read_timeout`, and the row `*` for codes that it does not know.

Source: Bybit V5 docs, pages "Error Codes", "Rate Limit Rules", "Integration Guidance" and "Websocket Trade
Guideline", docs commit 072c197, read 2026-07-24. Meanings, causes and fixes are our words.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields, replace
from importlib.resources import files
from typing import Final

from sluicegate.domain.errors import ConfigurationError
from sluicegate.domain.outcomes import Action

UNKNOWN: Final = "*"
"""The code of the row that stands for every code the table does not know."""

ORDER_PATH: Final = ("http-common", "uta-trade", "spot", "spot-margin", "option")
"""Scopes whose meaning wins where one number means several things; the other scopes follow in file order."""

DEAD_LETTER_REASONS: Final = frozenset(
    {
        "bad_parameter",
        "insufficient_balance",
        "institutional_loan",
        "liquidation_risk",
        "margin_trading",
        "market_phase",
        "no_liquidity",
        "not_permitted",
        "order_cap",
        "order_not_found",
        "order_state",
        "position_state",
        "price_out_of_bounds",
        "product_rule",
        "quantity_out_of_bounds",
        "risk_limit",
        "tp_sl",
        "unknown_code",
        "unknown_symbol",
        "unsupported_call",
    }
)
"""The reasons that the table gives: a closed set, because each is a value of a metric label."""

_FILE: Final = "retcodes.csv"
_TRANSPORT: Final = "transport"
_SEARCHED: Final = {"rest": ("rest", "http"), "ws": ("ws", "rest"), "http": ("http",), "net": ("net",)}
"""Channels in which a code is sought: a trade WebSocket also answers with REST's order codes."""


@dataclass(frozen=True, slots=True)
class RetCode:
    """One meaning of one code.

    Attributes:
        code: Bybit's number as text, a transport condition such as `http_403`, or `*`.
        channel: where it is seen: `rest`, `ws`, `http` (a status) or `net` (no answer at all).
        scope: the group of endpoints that gives it this meaning.
        action: what it calls for when it answers a write.
        read_action: what it calls for when it answers a query.
        dead_letter_reason: one of `DEAD_LETTER_REASONS` if an action is dead letter, else empty.
        name: a short title in snake case.
        meaning: what the exchange says with it.
        cause: what usually brings it about.
        fix: what to do about it.
    """

    code: str
    channel: str
    scope: str
    action: Action
    read_action: Action
    dead_letter_reason: str
    name: str
    meaning: str
    cause: str
    fix: str

    @property
    def is_known(self) -> bool:
        """Tell whether the table has a row of its own for the code."""
        return self.code != UNKNOWN

    @property
    def is_about_order(self) -> bool:
        """Tell whether a command's answer is about the order: a query about it would find that a normal answer."""
        return self.action is Action.RESOLVE and self.read_action in {Action.OK, Action.RESOLVE}


class RetCodeTable:
    """Every code that Bybit documents, by code and channel.

    Args:
        rows: the table's rows; the first of two that answer the same lookup wins, scopes of the order path first.

    Raises:
        ConfigurationError: the rows lack the default row.
    """

    def __init__(self, rows: Iterable[RetCode]) -> None:
        self._rows = tuple(rows)
        self._writes: dict[tuple[str, str], RetCode] = {}
        for row in sorted(self._rows, key=_rank):
            for channel in _SEARCHED if row.scope == _TRANSPORT else (row.channel,):
                self._writes.setdefault((channel, row.code), row)
        if ("rest", UNKNOWN) not in self._writes:
            raise ConfigurationError(f"{_FILE} has no row for unknown codes; add the row {UNKNOWN}")
        self._reads = {key: replace(row, action=row.read_action) for key, row in self._writes.items()}

    @classmethod
    def load(cls) -> RetCodeTable:
        """Load the table that ships with the package.

        Returns:
            The table, checked row by row.

        Raises:
            ConfigurationError: a row is malformed; the text names file and line. The package is damaged: install
                it again, or correct the row you changed.
        """
        return cls.from_csv(files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))

    @classmethod
    def from_csv(cls, text: str) -> RetCodeTable:
        """Build a table from CSV text with the columns of `RetCode`.

        Args:
            text: the CSV, header included.

        Returns:
            The table, checked row by row.

        Raises:
            ConfigurationError: a column is missing, a field empty, an action or reason unknown, or a key there
                twice; the text names the line.
        """
        return cls(_parse(text))

    def lookup(self, code: int | str, *, channel: str = "rest", is_write: bool = True) -> RetCode:
        """Find what a code calls for.

        Args:
            code: the retCode, or the name of a transport condition; names are found on every channel.
            channel: where it was seen: `rest`, `ws`, `http` or `net`.
            is_write: False for a query. Then `action` is what the code calls for on a read.

        Returns:
            The meaning that the order path gives the code, or the row `*` (`is_known` is False) for a code that
            nobody documented: a write is then resolved, because it may be live, and a read given up.
        """
        table = self._writes if is_write else self._reads
        wanted = str(code).strip()
        for searched in _SEARCHED.get(channel, (channel,)):
            if (row := table.get((searched, wanted))) is not None:
                return row
        return table["rest", UNKNOWN]

    def explain(self, code: int | str) -> tuple[RetCode, ...]:
        """Return every meaning of a code, those of the order path first.

        Args:
            code: the retCode, or the name of a transport condition.

        Returns:
            One row for each channel and scope that gives the code a meaning; empty if the code is unknown.
        """
        wanted = str(code).strip()
        return tuple(sorted((row for row in self._rows if row.code == wanted), key=_rank))

    def all(self) -> tuple[RetCode, ...]:
        """Return every row in the order of the file."""
        return self._rows


def _rank(row: RetCode) -> int:
    return ORDER_PATH.index(row.scope) if row.scope in ORDER_PATH else len(ORDER_PATH)


def _parse(text: str) -> Iterator[RetCode]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    columns = [field.name for field in fields(RetCode)]
    if reader.fieldnames != columns:
        raise ConfigurationError(f"{_FILE} line 1: the columns must be {','.join(columns)}")
    first_seen: dict[tuple[str, str, str], int] = {}
    for cells in reader:
        where = f"{_FILE} line {reader.line_num}"
        row = _read_row(cells, where)
        key = (row.code, row.channel, row.scope)
        if key in first_seen:
            raise ConfigurationError(f"{where}: {' '.join(key)} is on line {first_seen[key]} already")
        first_seen[key] = reader.line_num
        yield row


def _read_row(cells: dict[str, str], where: str) -> RetCode:
    if None in cells or None in cells.values():
        raise ConfigurationError(f"{where}: the row must have {len(fields(RetCode))} fields")
    empty = [name for name, cell in cells.items() if not cell.strip() and name != "dead_letter_reason"]
    if empty:
        raise ConfigurationError(f"{where}: {', '.join(empty)} must not be empty")
    actions = {name: _read_action(cells[name], f"{where}: {name}") for name in ("action", "read_action")}
    reason = cells["dead_letter_reason"]
    if (Action.DEAD_LETTER in actions.values()) != bool(reason):
        raise ConfigurationError(
            f"{where}: a reason belongs to a row with the action dead_letter, and to no other"
        )
    if reason and reason not in DEAD_LETTER_REASONS:
        raise ConfigurationError(f"{where}: {reason!r} is no dead-letter reason; see DEAD_LETTER_REASONS")
    return RetCode(**(cells | actions))  # type: ignore[arg-type]  # every cell is a str, the two actions are checked


def _read_action(cell: str, where: str) -> Action:
    try:
        return Action(cell)
    except ValueError as e:
        raise ConfigurationError(f"{where}: {cell!r} is no action; use one of {', '.join(Action)}") from e
