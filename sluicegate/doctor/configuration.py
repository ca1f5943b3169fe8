"""The configuration: complete, and its secrets readable by nobody else."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from sluicegate.config import PREFIX, AccountSettings, Environment, Settings
from sluicegate.doctor.findings import CONFIGURATION, Finding, error, ok, warning
from sluicegate.domain.errors import ConfigurationError
from sluicegate.ratelimit.quotas import QuotaTable
from sluicegate.ratelimit.scopes import BybitQuotas

_TYPED = "A typing error, or a value of another version."
_UNSET = "The variable did not reach this process."


def unreadable(problem: ConfigurationError) -> Finding:
    """Return that the settings as a whole cannot be used."""
    return error(
        CONFIGURATION,
        "settings_unusable",
        "",
        str(problem),
        cause="A variable or the settings file holds what is no valid setting.",
        fix=f"Mend the setting that is named; all settings are in docs/settings.md. "
        f"The file is the one that {PREFIX}CONFIG names.",
    )


def check_configuration(settings: Settings, names: list[str]) -> list[Finding]:
    """Look at the settings without asking anyone.

    Args:
        settings: as they were read.
        names: the accounts to look at.
    """
    found = [*_check_whole(settings), *_check_paging(settings)]
    for name in names:
        found += _check_account(settings, name)
    if not found:
        found = [ok(CONFIGURATION, "", f"complete, with {len(names)} accounts")]
    return found


def _check_whole(settings: Settings) -> Iterator[Finding]:
    if not settings.accounts:
        yield error(
            CONFIGURATION,
            "no_accounts",
            "",
            "no account is configured",
            cause=f"{PREFIX}CONFIG is not set, or its file has no [accounts.NAME].",
            fix=f"Write one into a TOML file and let {PREFIX}CONFIG name it; README.md shows the five lines.",
        )
    needed = {"broker_missing": "broker_address"}
    if any(account.environment is Environment.SIMULATOR for account in settings.accounts.values()):
        needed["simulator_missing"] = "simulator_address"
    for name, address in needed.items():
        try:
            getattr(settings, address)
        except ConfigurationError as e:
            yield error(CONFIGURATION, name, "", str(e), cause=_UNSET, fix="Set the variable that is named.")
    try:
        BybitQuotas(QuotaTable.load(), settings.accounts, settings.egress)
    except ConfigurationError as e:
        yield error(
            CONFIGURATION, "limits_unknown", "", str(e), cause=_TYPED, fix="Use one of the values that are named."
        )


def _check_paging(settings: Settings) -> Iterator[Finding]:
    paging = settings.paging
    is_real = any(account.environment is Environment.MAINNET for account in settings.accounts.values())
    if is_real and not (paging.critical or paging.webhook):
        yield warning(
            CONFIGURATION,
            "nobody_paged",
            "",
            "nobody is paged when an account is halted",
            cause="paging.critical is empty; pages go to the log only.",
            fix=f"Name an Apprise URL in paging.critical ({PREFIX}PAGING__CRITICAL), e.g. of PagerDuty or Slack.",
        )


def _check_account(settings: Settings, name: str) -> Iterator[Finding]:
    account = settings.account(name)
    try:
        settings.credentials(name)
    except ConfigurationError as e:
        yield error(
            CONFIGURATION,
            "credentials_missing",
            name,
            str(e),
            cause="The secret was not handed to this process: another user, shell, container or a typing error.",
            fix="Set the variable, or put the key alone into the file; check that this user may read it.",
        )
    yield from (_open_to_others(name, file) for file in _secret_files(account) if _is_open(file))


def _secret_files(account: AccountSettings) -> list[Path]:
    return [file for file in (account.api_key_file, account.api_secret_file) if file is not None]


def _is_open(file: Path) -> bool:
    """Tell whether others of this host can read a file: its own mode and that of its folder let them."""
    try:
        mode, folder = file.stat().st_mode, file.parent.stat().st_mode
    except OSError:
        return False  # that it cannot be read is another finding
    return bool(mode & stat.S_IROTH and folder & stat.S_IXOTH)


def _open_to_others(name: str, file: Path) -> Finding:
    return warning(
        CONFIGURATION,
        "secret_open_to_others",
        name,
        f"every user of this host can read {file}",
        cause="Its mode and that of its folder allow it.",
        fix=f"chmod 600 {file}",
    )
