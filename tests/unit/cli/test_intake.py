"""From lines to receipts, with a ledger that goes away."""

from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest

from sluicegate.cli.intake import CHUNK, Intake
from sluicegate.cli.order_file import FileFormat, OrderReader
from sluicegate.domain.errors import BrokerUnavailable, LedgerUnavailable
from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import OrderId, OrderLinkId, Receipt

LINE = {
    "account": "main",
    "category": "linear",
    "symbol": "BTCUSDT",
    "side": "Buy",
    "order_type": "Market",
    "qty": "1",
}


class FailingSubmitter:
    """Accepts one chunk; then the ledger is gone."""

    def __init__(self) -> None:
        self.chunks = 0

    def submit(self, requests):
        """Accept, once."""
        self.chunks += 1
        if self.chunks > 1:
            raise LedgerUnavailable("the ledger did not answer: disk full")
        return [
            Receipt(OrderId(f"o{n}"), OrderLinkId(f"sg-o{n}"), "main", f"c{n}", State.ACCEPTED)
            for n in range(len(requests))
        ]


class SilentBroker:
    """A broker that does not answer."""

    def standing(self, lines):
        """Fail."""
        raise BrokerUnavailable("gone")


def lines(count: int) -> io.BufferedReader:
    """Return so many good lines after one empty line."""
    return io.BufferedReader(io.BytesIO(b"\n" + b"\n".join([json.dumps(LINE).encode()] * count)))  # type: ignore[arg-type]


def test_ledger_lost_in_the_middle_names_the_last_accepted_line(capsys: pytest.CaptureFixture[str]):
    """Who submits again must know where to start; what was accepted has its receipt."""
    container = SimpleNamespace(submitter=FailingSubmitter(), publisher=SilentBroker())
    reader = OrderReader(FileFormat.JSONL, account=None, known_accounts=frozenset({"main"}))
    receipts: list[int] = []
    intake = Intake(container, reader, lambda number, _receipt: receipts.append(number))  # type: ignore[arg-type]
    assert not intake.take(lines(CHUNK + 10), None)
    assert list(range(2, CHUNK + 2)) == receipts
    err = capsys.readouterr().err
    assert f"Last accepted line: line {CHUNK + 1}" in err
    assert 1 == err.count("warning: the broker does not answer")
