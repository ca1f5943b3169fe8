"""Accounts of the simulator, with their keys in files under HOME."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sluicegate.config import PREFIX

DEMO_ACCOUNTS: Final[Mapping[str, str]] = {"a1": "1001", "a2": "1002", "a3": "1003"}
"""Names, and what the simulator's keys and secrets end with."""


def write_accounts(folder: Path, accounts: Mapping[str, str], *, more: str = "") -> Path:
    """Write a configuration file with accounts of the simulator.

    Args:
        folder: where it goes, with a key file and a secret file an account.
        accounts: names, each with the end of its key: `1001` stands for `sim-key-1001`.
        more: further TOML, before the accounts.

    Returns:
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    text = more
    for name, ending in accounts.items():
        text += f'\n[accounts.{name}]\nenvironment = "simulator"\n'
        for what, value in (("api_key", f"sim-key-{ending}"), ("api_secret", f"sim-secret-{ending}")):
            file = (folder / f"{name}.{what}").absolute()
            file.touch(mode=0o600)
            file.write_text(value)
            text += f"{what}_file = {json.dumps(str(file))}\n"
    config = (folder / "sluicegate.toml").absolute()
    config.write_text(text)
    return config


def use_config(config: Path, home: Path) -> None:
    """Let this process and its children read `config` under `home`, and no other setting of Sluicegate."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    os.environ[PREFIX + "CONFIG"] = str(config)
    os.environ[PREFIX + "HOME"] = str(home)
