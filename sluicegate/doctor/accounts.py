"""The account: unified, its modes fit its orders, money to trade with, not halted, the one the ledger knows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sluicegate.doctor.findings import Finding, error, listed, ok, warning
from sluicegate.doctor.line import Line, Trouble
from sluicegate.domain.lifecycle import State
from sluicegate.domain.numbers import parse_decimal
from sluicegate.domain.orders import Category, Order
from sluicegate.domain.records import AccountRecord, Halt

MODE, POSITIONS, WALLET, HALTED, IDENTITY = "account_mode", "position_mode", "wallet", "halt", "identity"

MOST_SYMBOLS = 10
"""Position modes are read for so many symbols, those of the newest orders first."""

WAITING = frozenset({State.ACCEPTED, State.SUBMITTING, State.IN_DOUBT, State.PARKED})

# Source: Bybit V5 account/info, 2026-07-24.
_CLASSIC, _OLD_UNIFIED = 1, frozenset({3, 4})
_MARGIN_MODES = {"ISOLATED_MARGIN": "isolated", "REGULAR_MARGIN": "cross", "PORTFOLIO_MARGIN": "portfolio"}


def check_account(name: str, line: Line, orders: Sequence[Order]) -> list[Finding]:
    """Ask the exchange about an account whose key it accepts.

    Args:
        name: the account.
        line: with its key.
        orders: its newest orders.
    """
    found: list[Finding] = []
    try:
        info = line.ask("get_account_info").result
        found.append(judge_mode(name, info))
        found += _check_positions(name, line, orders)
        wallets = line.rows("get_wallet_balance", accountType="UNIFIED")
        found.append(judge_wallet(name, wallets, str(info.get("marginMode", ""))))
    except Trouble as trouble:
        found.append(
            warning(
                MODE,
                trouble.code,
                name,
                f"the account could not be looked at: {trouble}",
                cause=getattr(trouble.outcome, "cause", ""),
                fix=f"See `sluicegate explain {trouble.code}`, then run the doctor again.",
            )
        )
    return found


def judge_mode(name: str, info: Mapping[str, Any]) -> Finding:
    """Judge the kind of the account from the result of `account/info`."""
    status, margin = info.get("unifiedMarginStatus"), str(info.get("marginMode", ""))
    if status == _CLASSIC:
        return error(
            MODE,
            "classic_account",
            name,
            "the account is a classic one, not a unified trading account",
            cause="It was never upgraded; the limits and margin rules that Sluicegate knows are the unified ones.",
            fix="Upgrade it on Bybit (Assets, Unified Trading Account), or use a sub-account that is unified.",
        )
    mode = _MARGIN_MODES.get(margin, margin or "unknown")
    if status in _OLD_UNIFIED:
        return warning(
            MODE,
            "old_unified_account",
            name,
            f"the account is unified 1.0, with {mode} margin",
            cause="Inverse contracts are outside a unified 1.0 account and keep a margin of their own.",
            fix="Upgrade to unified 2.0 on Bybit before you trade inverse contracts.",
        )
    return ok(MODE, name, f"unified, {mode} margin")


# --- position mode --------------------------------------------------------------------------------------------


def _check_positions(name: str, line: Line, orders: Sequence[Order]) -> list[Finding]:
    by_symbol: dict[str, list[Order]] = defaultdict(list)
    for order in orders:
        if order.category is Category.LINEAR:
            by_symbol[order.symbol].append(order)
    symbols = list(by_symbol)[:MOST_SYMBOLS] or ["BTCUSDT"]
    found: list[Finding] = []
    modes: dict[bool, list[str]] = {True: [], False: []}
    for symbol in symbols:
        rows = line.rows("get_positions", category="linear", symbol=symbol)
        is_hedged = any(row.get("positionIdx") in {1, 2} for row in rows)
        modes[is_hedged].append(symbol)
        found += judge_positions(name, symbol, is_hedged, by_symbol[symbol])
    if not found:
        parts = [
            f"{words} for {listed(modes[is_hedged])}"
            for is_hedged, words in ((False, "one-way"), (True, "hedge"))
            if modes[is_hedged]
        ]
        found = [ok(POSITIONS, name, listed(parts))]
    return found


def judge_positions(name: str, symbol: str, is_hedged: bool, orders: Collection[Order]) -> Iterator[Finding]:  # noqa: FBT001 - the mode is the subject
    """Hold the orders of a symbol against its position mode."""
    wrong = [order for order in orders if is_hedged != ((order.request.position_idx or 0) in {1, 2})]
    if not wrong:
        return
    waiting = sum(order.state in WAITING for order in wrong)
    mode, needed = ("hedge", "1 (long side) or 2 (short side)") if is_hedged else ("one-way", "0, or none")
    fix = (
        f"Submit {symbol} orders with position_idx {needed}, or switch the position mode on Bybit to "
        f"{'one-way' if is_hedged else 'hedge'} (no open order or position may be there)."
    )
    title = f"{symbol} is in {mode} mode; {len(wrong)} of its last {len(orders)} orders do not fit"
    cause = f"Their position_idx is not {needed}: Bybit refuses them (10001, position idx not match)."
    if waiting:
        title += f", {waiting} of them still to be sent"
        yield error(POSITIONS, "position_idx_mismatch", name, title, cause=cause, fix=fix)
    else:
        yield warning(POSITIONS, "position_idx_mismatch", name, title, cause=cause, fix=fix)


# --- money, halt, identity ------------------------------------------------------------------------------------


def judge_wallet(name: str, wallets: Sequence[Mapping[str, Any]], margin: str) -> Finding:
    """Judge whether there is anything to trade with; in isolated margin each settle coin stands alone."""
    coins = {
        str(coin.get("coin")): _amount(coin.get("walletBalance"))
        for wallet in wallets
        for coin in wallet.get("coin", ())
        if isinstance(coin, Mapping)
    }
    held = sorted(coin for coin, amount in coins.items() if amount > 0)
    if not held:
        return warning(
            WALLET,
            "wallet_empty",
            name,
            "the unified account holds no coin",
            cause="The funds are in the funding account, or there are none: orders get 110007 or 170131.",
            fix="Transfer USDT or USDC from the funding to the unified account.",
        )
    settle = [coin for coin in ("USDT", "USDC") if coin in held]
    if not settle and margin == "ISOLATED_MARGIN":
        return warning(
            WALLET,
            "no_settle_coin",
            name,
            f"the account holds {listed(held)}, but neither USDT nor USDC",
            cause="In isolated margin, USDT and USDC contracts need their own settle coin: orders get 110007.",
            fix="Convert or transfer some USDT or USDC, or switch the account to cross margin.",
        )
    return ok(WALLET, name, f"holds {listed(held)}")


def judge_halt(name: str, halt: Halt | None) -> Iterator[Finding]:
    """Say whether the account is halted."""
    if halt is not None:
        yield error(
            HALTED,
            "halted",
            name,
            f"the account is halted since {halt.since:%Y-%m-%d %H:%M} UTC: {halt.code}: {halt.message}",
            cause=halt.cause,
            fix=f"{halt.fix} Then: sluicegate accounts resume {name}"
            if "accounts resume" not in halt.fix
            else halt.fix,
        )


def judge_identity(name: str, environment: str, uid: str, record: AccountRecord | None) -> Iterator[Finding]:
    """Hold the account against what the ledger remembers of it."""
    if record is None:
        return
    if record.environment != environment or (record.uid and uid and record.uid != uid):
        yield error(
            IDENTITY,
            "account_changed",
            name,
            f"the ledger knows {name} as UID {record.uid or 'unknown'} of {record.environment}, the settings and "
            f"the key say UID {uid} of {environment}",
            cause="The key or the environment under this name was exchanged. Its open orders would be looked for "
            "in the wrong place, so nothing is sent.",
            fix="Put the former key and environment back, and configure the new ones under a new account name.",
        )


def _amount(value: object) -> Decimal:
    try:
        return parse_decimal(str(value))
    except ValueError:
        return Decimal(0)
