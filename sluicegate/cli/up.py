"""`sluicegate up`: the whole stack, kept running until Ctrl-C."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from sluicegate.cli import session
from sluicegate.cli.console import console, examples, note, printable, say

if TYPE_CHECKING:
    from sluicegate.cli.stack.stack import Addresses, Stack
    from sluicegate.config import Settings
    from sluicegate.ports import Ledger

EPILOG = examples(
    "sluicegate up --demo-accounts            # offline, with accounts a1, a2, a3 of the simulator",
    "SLUICEGATE_CONFIG=sluicegate.toml sluicegate up --workers 4",
    "SLUICEGATE_FLOWER_AUTH=me:secret sluicegate up    # Flower's pages and API behind a password",
)

POLL_S = 0.25
LOOK_S = 2.0


def up(
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that send orders.")] = 2,
    demo_accounts: Annotated[
        bool, typer.Option("--demo-accounts", help="Use accounts a1, a2, a3 of the simulator (UIDs 1001 to 1003).")
    ] = False,
    flower_auth: Annotated[
        str | None,
        typer.Option(envvar="SLUICEGATE_FLOWER_AUTH", show_envvar=True, help="USER:PASSWORD for Flower."),
    ] = None,
) -> None:
    """Start broker, ledger, simulator, workers, scheduler and Flower; run until Ctrl-C.

    Broker and simulator are started unless SLUICEGATE_BROKER_URL and SLUICEGATE_SIMULATOR_URL name others.
    Everything is written under SLUICEGATE_HOME (default ./var).
    """
    from sluicegate.bootstrap import Container
    from sluicegate.cli.stack.signals import terminated_like_ctrl_c
    from sluicegate.cli.stack.stack import Stack
    from sluicegate.telemetry.logs import configure_logs

    loaded = _load(demo_accounts=demo_accounts)
    configure_logs("ERROR", "console", process="up")
    note(f"starting the stack under {loaded.home.absolute()} ...")
    config = loaded.config if demo_accounts else None
    stack = Stack(loaded, note, workers=workers, flower_auth=flower_auth, config=config)
    try:
        with terminated_like_ctrl_c(), stack:
            _show(stack.addresses, loaded, demo_accounts=demo_accounts)
            _run(stack, Container(loaded, "cli").ledger)
    except KeyboardInterrupt:
        note("stopped; nothing is left running")


def _load(*, demo_accounts: bool) -> Settings:
    from sluicegate.cli.stack.simulated import DEMO_ACCOUNTS, write_accounts
    from sluicegate.config import PREFIX, load_settings
    from sluicegate.domain.errors import ConfigurationError

    loaded = load_settings()
    if demo_accounts and loaded.accounts:
        names = ", ".join(sorted(loaded.accounts))
        raise ConfigurationError(f"accounts are configured already ({names}): leave --demo-accounts out")
    if demo_accounts:
        os.environ[PREFIX + "CONFIG"] = str(write_accounts(loaded.home / "demo-accounts", DEMO_ACCOUNTS))
        return load_settings()
    if not loaded.accounts:
        raise ConfigurationError(
            "no account is configured. Write a file such as\n\n"
            f"{session.MINIMAL_CONFIG}\n"
            f"name it in {PREFIX}CONFIG and put key and secret into the variables that it names; or try the "
            "simulator's own accounts: sluicegate up --demo-accounts"
        )
    for name in loaded.accounts:
        loaded.credentials(name)  # a key that is missing shows now, not at the first order
    return loaded


def _show(addresses: Addresses, loaded: Settings, *, demo_accounts: bool) -> None:
    from sqlalchemy import make_url

    ledger = make_url(loaded.ledger_address).render_as_string(hide_password=True)
    broker = make_url(addresses.broker_url).render_as_string(hide_password=True)
    lines = [("broker", broker), ("ledger", ledger), ("Flower", addresses.flower_url)]
    if addresses.simulator_url:
        lines.insert(0, ("simulator", f"{addresses.simulator_url}/simulator/stats"))
    lines += [(f"metrics {name}", url) for name, url in addresses.metrics.items()]
    if demo_accounts:
        lines.append(("accounts", "a1, a2, a3 (commands with the same SLUICEGATE_HOME find them by themselves)"))
        lines.append(("for Python", f"export SLUICEGATE_CONFIG={loaded.config}"))
    lines.append(("logs", str(loaded.home.absolute() / "logs")))
    for name, value in lines:
        say(f"{name:<20} {value}")
    say("running; Ctrl-C stops everything")
    sys.stdout.flush()


class StatusLine(Protocol):
    """Where the state of the stack is shown."""

    def __call__(self, text: str) -> None:
        """Show it."""


def _run(stack: Stack, ledger: Ledger) -> None:
    from sluicegate.domain.errors import LedgerUnavailable

    look_at = 0.0
    with _status_line() as show:
        while True:
            stack.tend()
            if time.monotonic() >= look_at:
                look_at = time.monotonic() + LOOK_S
                try:
                    show(_summary(ledger))
                except LedgerUnavailable as e:
                    show(str(e))
            time.sleep(POLL_S)


def _summary(ledger: Ledger) -> str:
    states: Counter[str] = Counter()
    for (_account, state), count in ledger.count_orders().items():
        states[state.value] += count
    halted = [halt.scope for halt in ledger.halts()]
    orders = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "no orders yet"
    return orders + (f"; halted: {', '.join(halted)}" if halted else "")


@contextmanager
def _status_line() -> Iterator[StatusLine]:
    """Show one line that changes on a terminal; elsewhere print it when it changes."""
    if sys.stdout.isatty():
        from rich.status import Status

        with Status("", console=console()) as status:
            yield lambda text: status.update(printable(text))
        return
    last = ""

    def show(text: str) -> None:
        nonlocal last
        if text != last:
            last = text
            say(text)
            sys.stdout.flush()

    yield show
