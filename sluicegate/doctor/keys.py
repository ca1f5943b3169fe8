"""The API key: accepted, of the right environment, allowed to trade and to do no more, bound, not about to end."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from sluicegate.config import Credentials, Environment
from sluicegate.doctor.findings import Finding, error, listed, ok, warning
from sluicegate.doctor.line import Exchanges, Trouble
from sluicegate.domain.orders import Category
from sluicegate.domain.outcomes import Refused

KEY, PERMISSIONS, BINDING = "key", "permissions", "ip_binding"

EXPIRES_SOON_DAYS = 14
_BYBIT = (Environment.MAINNET, Environment.TESTNET, Environment.DEMO)
UNKNOWN_KEY = "10003"
_REFUSALS = {
    UNKNOWN_KEY: "key_unknown",
    "10004": "secret_wrong",
    "10005": "key_not_permitted",
    "10010": "key_bound_elsewhere",
    "33004": "key_expired",
    "-2015": "key_expired",
}
"""What a code says about the key; every one but the first says that it is known there."""

# Source: Bybit V5 user/query-api, 2026-07-24.
_NEEDED: Mapping[Category, tuple[str, str]] = {
    Category.LINEAR: ("ContractTrade", "Order"),
    Category.INVERSE: ("ContractTrade", "Order"),
    Category.SPOT: ("Spot", "SpotTrade"),
    Category.OPTION: ("Options", "OptionsTrade"),
}
_TOO_MUCH = {
    "Withdraw": "withdraw",
    "AccountTransfer": "transfer between accounts",
    "SubMemberTransfer": "transfer to sub-accounts",
}


# --- not accepted ---------------------------------------------------------------------------------------------


def judge_refusal(
    name: str, environment: Environment, trouble: Trouble, elsewhere: Mapping[Environment, bool | None]
) -> Finding:
    """Return why the exchange did not answer a question that was signed with the key.

    Args:
        name: the account.
        environment: where it was asked.
        trouble: what came.
        elsewhere: other environments, and whether they know the key; None: no answer.
    """
    outcome = trouble.outcome
    homes = [other for other, is_known in elsewhere.items() if is_known]
    if homes:
        return error(
            KEY,
            "key_of_other_environment",
            name,
            f"the key belongs to {listed(homes)}, not to {environment} ({trouble.code})",
            cause=f"accounts.{name}.environment is {environment}; a key works in one environment only.",
            fix=f'Make a key on {environment} and put it in, or set environment = "{homes[0]}" under a new '
            f"account name: an account that ever had an order never changes its environment.",
        )
    if not isinstance(outcome, Refused):
        return error(
            KEY,
            outcome.code,
            name,
            f"the key could not be checked: {outcome.code}: {outcome.message}",
            fix=f"Try again; see `sluicegate explain {outcome.code}`.",
        )
    asked = [
        f"{other} {'knows it neither' if known is False else 'did not answer'}"
        for other, known in elsewhere.items()
    ]
    return error(
        KEY,
        _REFUSALS.get(outcome.code, f"refused_{outcome.code}"),
        name,
        "; ".join([f"{environment} refuses the key: {outcome.code}: {outcome.message}", *asked]),
        cause=outcome.cause,
        fix=outcome.fix,
    )


def ask_elsewhere(
    exchanges: Exchanges, environment: Environment, credentials: Credentials
) -> dict[Environment, bool | None]:
    """Ask the other environments whether they know a key; None: no answer.

    The key goes to Bybit's own hosts only, or to those that the settings name; a simulator's key goes to no host
    that the settings do not name.
    """
    named = exchanges.settings.exchange.hosts
    others = [other for other in _BYBIT if other is not environment and (environment in _BYBIT or other in named)]
    return {other: _is_known_in(exchanges, other, credentials) for other in others}


def _is_known_in(exchanges: Exchanges, environment: Environment, credentials: Credentials) -> bool | None:
    line = exchanges.line(environment)
    try:
        line.measure_clock()
        exchanges.line(environment, clock=line.clock, credentials=credentials).ask("get_api_key_information")
    except Trouble as trouble:
        if not isinstance(trouble.outcome, Refused):
            return None
        return {UNKNOWN_KEY: False}.get(trouble.code, trouble.code in _REFUSALS or None)
    return True


# --- accepted -------------------------------------------------------------------------------------------------


def judge_key(name: str, info: Mapping[str, Any], traded: Collection[Category]) -> list[Finding]:
    """Judge what the exchange says about a key that it accepts.

    Args:
        name: the account.
        info: the result of `user/query-api`.
        traded: categories that the account has orders in.
    """
    found = [ok(KEY, name, f"accepted, of UID {info.get('userID')}")]
    return [*found, *_judge_permissions(name, info, traded), _judge_binding(name, info)]


def _judge_permissions(name: str, info: Mapping[str, Any], traded: Collection[Category]) -> Iterator[Finding]:
    if info.get("readOnly") == 1:
        yield error(
            PERMISSIONS,
            "read_only",
            name,
            "the key is read-only",
            cause="It was made as a read-only key: every order would be refused (10005) and halt the account.",
            fix="On Bybit's API page, set the key to read-write with the permissions Orders and Positions, or "
            "SpotTrade; or make a new key.",
        )
        return
    rights = _rights(info)
    allowed = {category for category, (group, right) in _NEEDED.items() if right in rights.get(group, ())}
    missing = sorted({category.value for category in traded} - {category.value for category in allowed})
    if not allowed or missing:
        what = listed(missing) if missing else "anything"
        yield error(
            PERMISSIONS,
            "permission_missing",
            name,
            f"the key may not trade {what}",
            cause="Its permissions lack Orders (contracts), SpotTrade (spot) or OptionsTrade (options).",
            fix="Add the missing permission on Bybit's API page; leave withdrawal and transfer off.",
        )
    else:
        yield ok(PERMISSIONS, name, f"may trade {listed(sorted(category.value for category in allowed))}")
    too_much = [words for right, words in _TOO_MUCH.items() if right in rights.get("Wallet", ())]
    if too_much:
        yield warning(
            PERMISSIONS,
            "may_withdraw" if "Withdraw" in rights["Wallet"] else "may_transfer",
            name,
            f"the key may {listed(too_much)}",
            cause="Its Wallet permissions are on. Sluicegate never needs them; a thief of the key would.",
            fix="Take the Wallet permissions off on Bybit's API page.",
        )


def _rights(info: Mapping[str, Any]) -> dict[str, Collection[str]]:
    permissions = info.get("permissions")
    if not isinstance(permissions, Mapping):
        return {}
    return {str(group): rights for group, rights in permissions.items() if isinstance(rights, list)}


def _judge_binding(name: str, info: Mapping[str, Any]) -> Finding:
    ips = info.get("ips")
    bound = [str(ip) for ip in ips if ip != "*"] if isinstance(ips, list) else []
    if bound:
        return ok(BINDING, name, f"bound to {listed(bound)}; does not expire")
    days = info.get("deadlineDay")
    left = days if isinstance(days, int) and days >= 0 else None
    soon = left is not None and left <= EXPIRES_SOON_DAYS
    until = "" if left is None else f"; it expires in {left} days"
    return warning(
        BINDING,
        "key_expires_soon" if soon else "key_unbound",
        name,
        f"the key is bound to no IP address{until}",
        cause="Anyone who has it can use it from anywhere, and such a key lives 90 days.",
        fix="Bind it to the public IP of the workers on Bybit's API page"
        + (", now: when it has expired, the account halts (33004)." if soon else "."),
    )
