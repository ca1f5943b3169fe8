"""The settings and objects that a command works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sluicegate.bootstrap import Container
    from sluicegate.config import Settings
    from sluicegate.domain.orders import Order, OrderId

ByClientOrderId = Annotated[
    str | None,
    typer.Option("--account", help="Take ORDER_ID as the client_order_id of this account."),
]

MINIMAL_CONFIG = """\
[accounts.main]
environment = "simulator"
api_key_env = "MAIN_KEY"
api_secret_env = "MAIN_SECRET"
"""


def settings(**overrides: Any) -> Settings:
    """Read the settings; without any account, those of a stack that `sluicegate up --demo-accounts` started.

    Args:
        overrides: values that win over environment and file.

    Raises:
        ConfigurationError: names each setting that is wrong.
    """
    from sluicegate.config import PREFIX, load_settings

    found = load_settings(**overrides)
    noted = found.running_stack().get("config")
    if found.accounts or not noted or os.environ.get(PREFIX + "CONFIG"):
        return found
    os.environ[PREFIX + "CONFIG"] = str(noted)
    return load_settings(**overrides)


def container(**overrides: Any) -> Container:
    """Return the objects of a command.

    Raises:
        ConfigurationError: names each setting that is wrong.
    """
    from sluicegate.bootstrap import Container
    from sluicegate.telemetry.logs import configure_logs

    loaded = settings(**overrides)
    configure_logs("ERROR", "console", process="cli")  # what matters to the caller is said by the command itself
    return Container(loaded, "cli")


def require_account(loaded: Settings, name: str | None) -> None:
    """Make sure that an account, if one is named, is configured.

    Raises:
        ConfigurationError: it is not.
    """
    if name is not None:
        loaded.account(name)


def find_order(opened: Container, order_id: str, account: str | None) -> Order:
    """Return the order that a person named.

    Args:
        opened: the objects of the command.
        order_id: from the receipt, or the link id.
        account: with one, `order_id` is the producer's own id on this account.

    Raises:
        OrderNotFound: there is none.
    """
    from sluicegate.domain.errors import OrderNotFound

    if account is None:
        return opened.ledger.get(bare_id(order_id))
    found = opened.ledger.find(account, order_id)
    if found is None:
        raise OrderNotFound(f"account {account} has no order with the client_order_id {order_id}")
    return found


def bare_id(order_id: str) -> OrderId:
    """Return the order id of an order id or a link id."""
    from sluicegate.domain.orders import LINK_ID_PREFIX, OrderId

    return OrderId(order_id.strip().removeprefix(LINK_ID_PREFIX))
