"""The demo's day: from an empty folder to the findings."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from sluicegate.bootstrap import Container
from sluicegate.cli.console import note
from sluicegate.cli.demo.board import Board
from sluicegate.cli.demo.findings import Findings, count_responses, gather
from sluicegate.cli.demo.receiver import PageReceiver
from sluicegate.cli.demo.verdict import AMENDED_PRICE, TRAILS, judge
from sluicegate.cli.intake import Intake
from sluicegate.cli.order_file import FileFormat, OrderReader
from sluicegate.cli.stack import probes
from sluicegate.cli.stack.signals import terminated_like_ctrl_c
from sluicegate.cli.stack.simulated import use_config, write_accounts
from sluicegate.cli.stack.stack import Stack
from sluicegate.config import load_settings
from sluicegate.domain.errors import ConfigurationError, SluicegateError
from sluicegate.domain.lifecycle import ON_EXCHANGE_STATES
from sluicegate.domain.orders import OrderId, Receipt, parse_amend
from sluicegate.telemetry.logs import configure_logs

DEADLINE_S: Final = 150.0
POLL_S: Final = 0.5
ORDERS: Final = "orders.jsonl"
MARK: Final = ".sluicegate-demo"
READ_TIMEOUT_S: Final = 2.0

ACCOUNTS: Final = {
    "main": "1001",
    "alpha": "1002",
    "beta": "1003",
    "poor": "poor",
    "wrongenv": "mainnet",
    "readonly": "readonly",
}
"""Accounts, each with the end of its key at the simulator."""

CREATE: Final = "/v5/order/create*"
FAULTS: Final[tuple[dict[str, Any], ...]] = (
    # accepted, but the answer comes only after the worker gave up waiting for it
    {
        "fault": "drop_after",
        "args": {"hang_s": READ_TIMEOUT_S + 1},
        "match": {"path": CREATE, "symbol": "LTCUSDT"},
    },
    {
        "fault": "ret_code",
        "args": {"ret_code": 10016, "when": "after"},
        "match": {"path": CREATE, "symbol": "AVAXUSDT"},
    },
    {"fault": "ret_code", "args": {"ret_code": 10006}, "match": {"path": CREATE, "symbol": "DOTUSDT"}},
)
"""What goes wrong at the exchange, once each."""


def run(*, workers: int) -> Findings:
    """Run the day; see the module.

    Args:
        workers: processes that send orders.

    Returns:
        What came of it. Nothing is left running.

    Raises:
        SluicegateError: the stack did not start, or a server went away.
    """
    started_at = time.monotonic()
    home = load_settings().home.absolute() / "demo"
    _empty(home)
    with PageReceiver() as receiver:
        use_config(_write_config(home, receiver.url), home)
        settings = load_settings()
        configure_logs("ERROR", "console", process="demo")
        note(f"starting broker, simulator, ledger, {workers} workers, scheduler and Flower under {home} ...")
        found = Findings(pages=receiver.pages, injected=1)
        with terminated_like_ctrl_c(), Stack(settings, note, workers=workers) as stack:
            note(f"ready after {time.monotonic() - started_at:.1f} s; Flower: {stack.addresses.flower_url}")
            for fault in FAULTS:
                probes.fetch_json(f"{stack.addresses.simulator_url}/simulator/faults", {**fault, "count": 1})
            opened = Container(settings, "demo")
            _submit(opened, found)
            _settle(opened, stack, found)
    found.seconds = time.monotonic() - started_at
    return found


def _empty(home: Path) -> None:
    """Empty the demo's folder, if it is one.

    Raises:
        ConfigurationError: something else lies there.
        SluicegateError: a demo runs in it.
    """
    if (home / "run" / "stack.json").exists() and load_settings(home=home).running_stack():
        raise SluicegateError(f"a demo runs under {home} already; wait for it, or set another SLUICEGATE_HOME")
    if home.exists() and any(home.iterdir()) and not (home / MARK).exists():
        raise ConfigurationError(
            f"{home} holds something that no demo wrote; it will not be emptied. Set another SLUICEGATE_HOME"
        )
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    (home / MARK).touch()


def _write_config(home: Path, webhook: str) -> Path:
    more = f'[paging]\nwebhook = "{webhook}"\n[exchange]\nread_timeout_s = {READ_TIMEOUT_S}\n'
    return write_accounts(home / "accounts", ACCOUNTS, more=more)


def _submit(opened: Container, found: Findings) -> None:
    reader = OrderReader(FileFormat.JSONL, account=None, known_accounts=frozenset(opened.settings.accounts))

    def keep(number: int, receipt: Receipt) -> None:
        found.receipts[number] = receipt

    def refuse(number: int, why: str) -> None:
        found.refused[number] = why

    with files(__package__).joinpath(ORDERS).open("rb") as stream:
        Intake(opened, reader, keep, refuse).take(stream, None)  # type: ignore[arg-type]  # a BufferedReader
    note(f"submitted {ORDERS}: {len(found.receipts)} lines accepted, {len(found.refused)} refused")


def _settle(opened: Container, stack: Stack, found: Findings) -> None:
    """Wait until everything is as it must be, or until it is clear that it will not be."""
    changes = _changes(opened, {r.client_order_id: r.order_id for r in found.receipts.values()})
    watched = {client_id: account for client_id, (_event, account) in TRAILS.items()}
    give_up_at = time.monotonic() + DEADLINE_S
    with Board() as board:
        while True:
            stack.tend()
            next(changes, None)
            gather(found, opened, stack.addresses, watched)
            found.responses = count_responses(stack.addresses.metrics)
            found.problems = judge(found)
            board.show(found)
            if not found.problems or time.monotonic() > give_up_at:
                return
            time.sleep(POLL_S)


def _changes(opened: Container, order_ids: dict[str, OrderId]) -> Iterator[None]:
    """Cancel one order and amend another as soon as each is on the exchange."""
    for client_id in ("cancel-1", "amend-1"):
        while opened.ledger.get(order_ids[client_id]).state not in ON_EXCHANGE_STATES:
            yield
        if client_id == "cancel-1":
            opened.changes.cancel(order_ids[client_id])
        else:
            opened.changes.amend(order_ids[client_id], parse_amend({"price": AMENDED_PRICE}))
