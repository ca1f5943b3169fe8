"""The settings and objects that a command works with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sluicegate.bootstrap import Container
    from sluicegate.config import Settings

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
