"""From lines to receipts: what `submit` and the demo share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sluicegate.cli.console import complain, say, say_json, warn
from sluicegate.cli.order_file import BlockReader, HeaderRefused, Line, OrderReader, read_blocks
from sluicegate.cli.progress import Progress
from sluicegate.domain.errors import BrokerUnavailable, InvalidOrder, LedgerConflict, LedgerUnavailable
from sluicegate.domain.orders import OrderRequest, Receipt

if TYPE_CHECKING:
    from sluicegate.bootstrap import Container

CHUNK = 500
"""Orders a call of the submitter, which stores fewer a transaction."""

OnReceipt = Callable[[int, Receipt], None]


def print_receipt(*, as_json: bool) -> OnReceipt:
    """Return what prints a receipt on one line."""

    def show(number: int, receipt: Receipt) -> None:
        if as_json:
            say_json({"line": number, **receipt.to_json()})
        else:
            known = "" if receipt.is_new else "  (known already)"
            say(f"{receipt.order_id}  {receipt.state}  {receipt.account}  {receipt.client_order_id}{known}")

    return show


class Intake:
    """Submits the orders of a stream, chunk by chunk.

    Args:
        container: the objects of the process.
        reader: turns lines into orders.
        on_receipt: told about each accepted order, with its line's number.
        on_refusal: told about each line that was refused; by default says so on stderr.

    Attributes:
        accepted: how many lines have a receipt.
        refused: how many lines were refused.
    """

    def __init__(
        self,
        container: Container,
        reader: OrderReader,
        on_receipt: OnReceipt,
        on_refusal: Callable[[int, str], None] | None = None,
    ) -> None:
        self._container = container
        self._reader = reader
        self._on_receipt = on_receipt
        self._on_refusal = on_refusal or _say_refusal
        self._last_accepted = 0
        self._is_broker_down = False
        self.accepted = 0
        self.refused = 0

    def read(self, file: str) -> bool:
        """Submit everything in a file, or in stdin for `-`.

        Returns:
            False when reading ended early: the header is wrong, or the ledger went away.
        """
        if file == "-":
            stdin: Any = sys.stdin.buffer  # buffered, whatever typeshed allows it to be
            return self.take(stdin, None)
        path = Path(file)
        with path.open("rb") as stream:
            return self.take(stream, os.fstat(stream.fileno()).st_size)

    def take(self, stream: BlockReader, size: int | None) -> bool:
        """Submit everything in a stream; see `read`.

        Args:
            stream: binary.
            size: bytes, for the progress; None when nobody knows.
        """
        done = 0
        try:
            with Progress(size) as progress:
                for block in read_blocks(stream):
                    self._take_block(block)
                    done += sum(len(line.content or b"") + 1 for line in block)
                    progress.show(done, f"{self.accepted} accepted, {self.refused} refused")
        except LedgerUnavailable as e:
            self._say_where_it_ended(e)
            return False
        except _StopReading:
            return False
        return True

    def _take_block(self, block: Sequence[Line]) -> None:
        valid: list[tuple[int, OrderRequest]] = []
        for line in block:
            try:
                order = self._reader.read(line)
            except HeaderRefused as e:
                self._refuse(line.number, str(e))
                raise _StopReading from e
            except InvalidOrder as e:
                self._refuse(line.number, str(e))
                continue
            if order is not None:
                valid.append((line.number, order))
        for start in range(0, len(valid), CHUNK):
            self._submit(valid[start : start + CHUNK])

    def _submit(self, chunk: Sequence[tuple[int, OrderRequest]]) -> None:
        results = self._container.submitter.submit([order for _number, order in chunk])
        for (number, _order), result in zip(chunk, results, strict=True):
            if isinstance(result, LedgerConflict):
                self._refuse(number, str(result))
                continue
            self.accepted += 1
            self._last_accepted = number
            self._on_receipt(number, result)
        sys.stdout.flush()
        self._look_at_broker()

    def _refuse(self, number: int, why: str) -> None:
        self.refused += 1
        self._on_refusal(number, why)

    def _look_at_broker(self) -> None:
        if self._is_broker_down:
            return
        try:
            self._container.publisher.standing(())
        except BrokerUnavailable:
            self._is_broker_down = True
            warn(
                "the broker does not answer; the orders are safe in the ledger, and the scheduler sends them out "
                "when the broker is back"
            )

    def _say_where_it_ended(self, error: LedgerUnavailable) -> None:
        last = f"line {self._last_accepted}" if self._last_accepted else "none"
        complain(
            f"{error}. Last accepted line: {last}; nothing after it was accepted. Submit the rest again when the "
            "ledger is back; lines with a client_order_id may be repeated."
        )


class _StopReading(Exception):
    """The rest of the input cannot be understood."""


def _say_refusal(number: int, why: str) -> None:
    complain(f"line {number}: {why}")
