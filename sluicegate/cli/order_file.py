"""Orders from a stream: JSON lines or CSV, read in blocks, each line judged by itself."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Protocol

from sluicegate.domain.errors import InvalidOrder
from sluicegate.domain.orders import OrderRequest, parse_order

LONGEST_LINE: Final = 1_000_000
"""Bytes. An order has a few hundred; something longer is no order, and is not kept in memory."""

_BLOCK: Final = 256 * 1024
_MOST_DIGITS: Final = 60


class BlockReader(Protocol):
    """What is read from: a buffered binary stream."""

    def read1(self, size: int = -1, /) -> bytes:
        """Return what is there, at most `size` bytes; empty at the end."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the input.

    Attributes:
        number: counted from 1.
        content: without its end; None when it is longer than `LONGEST_LINE`.
    """

    number: int
    content: bytes | None


class FileFormat(StrEnum):
    """How orders are written."""

    JSONL = "jsonl"
    CSV = "csv"


class HeaderRefused(InvalidOrder):
    """The header row of a CSV file is wrong, so no line of it can be understood."""


def read_blocks(stream: BlockReader) -> Iterator[list[Line]]:
    """Read a stream block by block, so that a slow pipe's lines are taken up as they come.

    Yields:
        The lines that a block completes; memory holds one block and one unfinished line.
    """
    number, rest, is_too_long = 0, bytearray(), False
    while block := stream.read1(_BLOCK):
        lines: list[Line] = []
        *ended, last = block.split(b"\n")
        for part in ended:
            number += 1
            fits = not is_too_long and len(rest) + len(part) <= LONGEST_LINE
            lines.append(Line(number, bytes(rest) + part if fits else None))
            rest.clear()
            is_too_long = False
        if is_too_long or len(rest) + len(last) > LONGEST_LINE:
            rest.clear()
            is_too_long = True
        else:
            rest += last
        yield lines
    if rest or is_too_long:
        yield [Line(number + 1, None if is_too_long else bytes(rest))]


class OrderReader:
    """Turns lines into orders.

    Args:
        form: how they are written; None: judged by the first line.
        account: for orders that name none.
        known_accounts: names that are configured.
    """

    def __init__(self, form: FileFormat | None, *, account: str | None, known_accounts: frozenset[str]) -> None:
        self._form = form
        self._account = account
        self._known = known_accounts
        self._header: list[str] | None = None

    def read(self, line: Line) -> OrderRequest | None:
        """Read one line.

        Returns:
            Its order; None for an empty line and for the header of a CSV file.

        Raises:
            HeaderRefused: give the whole input up.
            InvalidOrder: says what is wrong with this line.
        """
        text = _decode(line)
        if not text:
            return None
        if self._form is None:
            self._form = guess_format(text)
        if self._form is FileFormat.JSONL:
            return self._judge(parse_json(text))
        if self._header is None:
            self._header = _read_header(text)
            return None
        return self._judge(_read_row(text, self._header))

    def _judge(self, content: Any) -> OrderRequest:
        if isinstance(content, Mapping) and self._account is not None and content.get("account") is None:
            content = {**content, "account": self._account}
        order = parse_order(content)
        if order.account not in self._known:
            known = ", ".join(sorted(self._known))
            raise InvalidOrder(f"account: {order.account!r} is not configured (configured: {known})")
        return order


def _decode(line: Line) -> str:
    if line.content is None:
        raise InvalidOrder(f"the line is longer than {LONGEST_LINE} bytes; one order is one short line")
    content = line.content.removeprefix(b"\xef\xbb\xbf") if line.number == 1 else line.content
    try:
        return content.decode("utf-8").strip()
    except UnicodeDecodeError as e:
        raise InvalidOrder(f"not UTF-8: byte {e.start + 1} of the line is 0x{content[e.start]:02x}") from None


def guess_format(first: str) -> FileFormat:
    """Tell CSV from JSON lines by the first line: a CSV file starts with names of fields."""
    names = {name.strip().strip('"') for name in first.split(",")}
    return FileFormat.CSV if names & set(OrderRequest.model_fields) and first[0] not in "{[" else FileFormat.JSONL


# --- JSON -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Float:
    """A number with a point or an exponent, as it was typed."""

    token: str


def parse_json(text: str) -> Any:
    """Parse one order; what JSON leaves open is an error here.

    Raises:
        InvalidOrder: no JSON, a float, a field given twice, NaN, or an endless number.
    """
    try:
        content = json.loads(
            text,
            parse_float=_Float,
            parse_int=_read_int,
            parse_constant=_refuse_constant,
            object_pairs_hook=_read_object,
        )
    except json.JSONDecodeError as e:
        raise InvalidOrder(f"not JSON: {e.msg} at column {e.colno}; write one order a line") from None
    except RecursionError:
        raise InvalidOrder("nested too deeply; an order is one flat JSON object") from None
    return 0.0 if isinstance(content, _Float) else content


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for name, value in pairs:
        if name in content:
            raise InvalidOrder(f"{name}: given twice")
        if isinstance(value, _Float):
            raise InvalidOrder(
                f"{name}: {value.token} is a float, which is not the number that was typed; quote it: "
                f'"{name}": "{value.token}"'
            )
        content[name] = value
    return content


def _read_int(token: str) -> int:
    if len(token) > _MOST_DIGITS:
        raise InvalidOrder(f"a number of {len(token)} digits is no quantity and no price")
    return int(token)


def _refuse_constant(token: str) -> Any:
    raise InvalidOrder(f"{token} is not JSON and not a number")


# --- CSV ------------------------------------------------------------------------------------------------------


def _read_header(text: str) -> list[str]:
    names = [name.strip() for name in _cells(text)]
    unknown = [name for name in names if name not in OrderRequest.model_fields]
    if unknown:
        raise HeaderRefused(
            f"unknown columns {', '.join(map(repr, unknown[:5]))}; the first row of a CSV file names fields of "
            f"orders: {', '.join(list(OrderRequest.model_fields)[:7])}, ..."
        )
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise HeaderRefused(f"columns {', '.join(sorted(twice))} are there twice")
    return names


def _read_row(text: str, header: list[str]) -> dict[str, str]:
    cells = _cells(text)
    if len(cells) != len(header):
        raise InvalidOrder(f"{len(cells)} values for {len(header)} columns")
    return {name: cell.strip() for name, cell in zip(header, cells, strict=True) if cell.strip()}


def _cells(text: str) -> list[str]:
    try:
        [cells] = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as e:
        raise InvalidOrder(f"not CSV: {e}") from None
    return cells
