"""Lines of a file become orders, or an error that says what to mend."""

from __future__ import annotations

import io
import json
import tracemalloc

import pytest

from sluicegate.cli.order_file import (
    LONGEST_LINE,
    FileFormat,
    HeaderRefused,
    Line,
    OrderReader,
    guess_format,
    read_blocks,
)
from sluicegate.domain.errors import InvalidOrder

ORDER = {
    "account": "main",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Limit",
    "qty": "0.01",
    "price": "60000",
}
CSV_HEADER = b"account,category,symbol,side,order_type,qty,price,reduce_only"


def reader(form: FileFormat | None = FileFormat.JSONL, account: str | None = None) -> OrderReader:
    """Return a reader that knows two accounts."""
    return OrderReader(form, account=account, known_accounts=frozenset({"main", "other"}))


def read_json(text: str | bytes, account: str | None = None):
    """Read one line of JSON."""
    content = text.encode() if isinstance(text, str) else text
    return reader(account=account).read(Line(1, content))


def with_field(name: str, raw: str) -> str:
    """Return an order's JSON with one field written exactly as given."""
    return json.dumps(ORDER)[:-1] + f', "{name}": {raw}}}'


def replaced(name: str, raw: str) -> str:
    """Return an order's JSON with one field's value written exactly as given."""
    rest = {key: value for key, value in ORDER.items() if key != name}
    return json.dumps(rest)[:-1] + f', "{name}": {raw}}}'


def test_json_line_complete_is_an_order():
    """Numbers come as text or integers and stay exact."""
    order = read_json(replaced("qty", '"0.010"'))
    assert order is not None
    assert "0.010" == format(order.qty, "f")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{bad", "not JSON"),
        ('{"account": "main"', "not JSON"),
        ("[]", "an order is a JSON object, not a list"),
        ("7", "an order is a JSON object, not a int"),
        ("7.5", "an order is a JSON object, not a float"),
        ('"x"', "an order is a JSON object, not a str"),
        ("null", "an order is a JSON object"),
        (replaced("qty", "0.01"), "qty: 0.01 is a float, which is not the number that was typed; quote it: "),
        (replaced("qty", "1e-2"), '"qty": "1e-2"'),
        (replaced("qty", "NaN"), "NaN is not JSON"),
        (replaced("qty", "-Infinity"), "-Infinity is not JSON"),
        (replaced("qty", '"NaN"'), "qty: must be a plain number"),
        (replaced("qty", "true"), "qty: must be a string"),
        (replaced("qty", '"-1"'), "qty: must not be negative"),
        (replaced("qty", '"0"'), "qty: must be greater than 0"),
        (replaced("qty", "9" * 5000), "a number of 5000 digits"),
        (replaced("qty", '{"x": 1.5}'), "x: 1.5 is a float"),
        (with_field("qty", '"0.02"'), "qty: given twice"),
        (with_field("foo", "1"), "foo: unknown field"),
        (replaced("side", '"buy"'), "side: "),
        (replaced("account", '"nobody"'), "account: 'nobody' is not configured (configured: main, other)"),
        (json.dumps({"account": "main"}), "category: Field required"),
        ("[" * 100_000, "nested too deeply"),
    ],
)  # fmt: skip
def test_json_line_wrong_says_what_is_wrong(text: str, message: str):
    """Each kind of bad line names its fault and, where there is one, the remedy."""
    with pytest.raises(InvalidOrder) as caught:
        read_json(text)
    assert message in str(caught.value)


def test_json_line_not_utf8_names_the_byte():
    """Bytes that are no text are refused, not replaced."""
    with pytest.raises(InvalidOrder, match="byte 2 of the line is 0xff"):
        read_json(b'"\xff"')


def test_json_line_empty_is_nothing():
    """Blank lines are passed over."""
    assert read_json("   ") is None


def test_first_line_with_byte_order_mark_is_read():
    """A file that an editor marked as UTF-8 is a file like any other."""
    assert read_json(b"\xef\xbb\xbf" + json.dumps(ORDER).encode()) is not None


def test_account_missing_takes_the_default():
    """`--account` serves orders that name none, and changes no others."""
    without = {name: value for name, value in ORDER.items() if name != "account"}
    order = read_json(json.dumps(without), account="other")
    named = read_json(json.dumps(ORDER), account="other")
    assert order is not None
    assert named is not None
    assert ("other", "main") == (order.account, named.account)


def test_csv_row_is_an_order_with_exact_numbers():
    """Cells are text, so numbers stay as typed; an empty cell is a field left out."""
    rows = reader(FileFormat.CSV)
    assert rows.read(Line(1, CSV_HEADER)) is None
    order = rows.read(Line(2, b"main,linear,BTCUSDT,Buy,Limit,0.010,60000,"))
    assert order is not None
    assert "0.010" == format(order.qty, "f")
    assert order.reduce_only is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (b"main,linear", "2 values for 8 columns"),
        (b"main,linear,BTCUSDT,Buy,Limit,0.01,60000,maybe", "reduce_only: "),
        (b'main,linear,BTCUSDT,Buy,Limit,"0.01,60000,', "not CSV"),
        (b'main,linear,BTCUSDT,Buy,Limit,"0,01",60000,', "qty: must be a plain number"),
        (b"main,linear,BTCUSDT,Buy,Limit,1e-2,60000,", "qty: must be a plain number"),
    ],
)
def test_csv_row_wrong_says_what_is_wrong(row: bytes, message: str):
    """A bad row names its fault, and the next row is read all the same."""
    rows = reader(FileFormat.CSV)
    rows.read(Line(1, CSV_HEADER))
    with pytest.raises(InvalidOrder) as caught:
        rows.read(Line(2, row))
    assert message in str(caught.value)
    assert rows.read(Line(3, b"main,linear,BTCUSDT,Buy,Limit,0.01,60000,true")) is not None


@pytest.mark.parametrize(
    ("header", "message"),
    [(b"account,quantity", "unknown columns 'quantity'"), (b"account,qty,qty", "columns qty are there twice")],
)
def test_csv_header_wrong_gives_the_file_up(header: bytes, message: str):
    """Without a header that makes sense no row does."""
    with pytest.raises(HeaderRefused, match=message):
        reader(FileFormat.CSV).read(Line(1, header))


@pytest.mark.parametrize(
    ("first", "form"),
    [
        ("account,category,symbol", FileFormat.CSV),
        ('"account","qty"', FileFormat.CSV),
        (json.dumps(ORDER), FileFormat.JSONL),
        ("{bad, qty", FileFormat.JSONL),
        ("hello, world", FileFormat.JSONL),
    ],
)
def test_format_is_guessed_from_the_first_line(first: str, form: FileFormat):
    """CSV is what starts with names of fields."""
    assert form is guess_format(first)


def test_blocks_keep_lines_whole_and_count_them():
    """Lines that lie across blocks, without an end, or ended as on Windows come out whole."""
    data = b"a\r\n" + b"b" * 300_000 + b"\n\nlast"
    lines = [line for block in read_blocks(io.BytesIO(data)) for line in block]
    assert [(1, 2), (2, 300_000), (3, 0), (4, 4)] == [(line.number, len(line.content or b"")) for line in lines]


@pytest.mark.parametrize("ending", [b"\n", b""])
def test_blocks_drop_a_line_that_is_too_long(ending: bytes):
    """Its number is known, its content is not kept, and the next line is read."""
    data = b"a\n" + b"x" * (LONGEST_LINE + 1) + ending + (b"b\n" if ending else b"")
    lines = [line for block in read_blocks(io.BytesIO(data)) for line in block]
    assert [(1, b"a"), (2, None), (3, b"b")][: 3 if ending else 2] == [(x.number, x.content) for x in lines]


def test_blocks_of_an_endless_line_need_little_memory():
    """A line of 200 MB does not take 200 MB."""

    class Endless(io.RawIOBase):
        left = 200_000_000

        def read1(self, size: int = -1) -> bytes:
            take = min(size, self.left)
            self.left -= take
            return b"x" * take

    tracemalloc.start()
    try:
        lines = [line for block in read_blocks(Endless()) for line in block]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [Line(1, None)] == lines
    assert peak < 8_000_000
