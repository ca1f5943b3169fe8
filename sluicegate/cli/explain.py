"""`sluicegate explain`: what a retCode means and what Sluicegate does about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from sluicegate.cli.console import AsJson, complain, examples, say, say_json, show_fields, show_table

if TYPE_CHECKING:
    from sluicegate.bybit.retcodes import RetCode

EPILOG = examples(
    "sluicegate explain 10003",
    "sluicegate explain -- -2015",
    "sluicegate explain http_403",
    "sluicegate explain --list --action halt_account",
)

WHAT_WE_DO = {
    "ok": "Takes it as acknowledged and follows the order to its end.",
    "back_off": "Waits at least until the exchange's reset instant, with jitter, and sends it again under the "
    "same link id; the bucket is blocked meanwhile.",
    "resync_clock": "Measures the exchange's clock anew, signs again and retries; pages a person if it repeats.",
    "retry_soon": "Sends it again shortly, under the same link id: nothing was executed.",
    "resolve": "Holds the order as in doubt and looks on the exchange by link id; it is sent again only when it "
    "is proved that the first request cannot come into being any more.",
    "dead_letter": "Makes the order a dead letter with cause and fix; see `sluicegate dead-letters list`.",
    "halt_account": "Halts the account, parks its orders, opens one incident and pages a person once; "
    "`sluicegate accounts resume` lets it go on.",
    "halt_ip": "Sends nothing from this IP for 10 minutes, then goes on by itself; pages a person once.",
}
"""By action of the table; a test compares the keys with `Action`."""


def explain(
    code: Annotated[str | None, typer.Argument(metavar="CODE", help="A retCode or a condition.")] = None,
    show_all: Annotated[bool, typer.Option("--list", help="List every code instead.")] = False,
    action: Annotated[str | None, typer.Option(help="With --list: only codes with this action.")] = None,
    as_json: AsJson = False,
) -> None:
    """Say what a retCode means, why it comes, how to mend it, and what Sluicegate does about it."""
    from sluicegate.bybit.retcodes import UNKNOWN, RetCodeTable

    if show_all == (code is not None):
        raise typer.BadParameter("give a CODE or --list, one of the two")
    if action is not None and action not in WHAT_WE_DO:
        raise typer.BadParameter(f"--action {action}: must be one of {', '.join(WHAT_WE_DO)}")
    table = RetCodeTable.load()
    if code is None:
        _list([row for row in table.all() if action in (None, row.action.value)], as_json=as_json)
        return
    meanings = table.explain(code)
    if not meanings or code == UNKNOWN:
        default = table.lookup(UNKNOWN)
        complain(
            f"Bybit documents no code {code}. If the exchange gives it all the same, Sluicegate "
            f"{_lower(WHAT_WE_DO[default.action.value])} List the known ones: sluicegate explain --list"
        )
        raise typer.Exit(1)
    if as_json:
        say_json({"code": code, "meanings": [_document(row) for row in meanings]})
        return
    for number, row in enumerate(meanings):
        if number:
            say()
        _print(row)


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _print(row: RetCode) -> None:
    show_fields(
        (
            ("code", f"{row.code}  {row.name}  ({row.channel}, {row.scope})"),
            ("meaning", row.meaning),
            ("cause", row.cause),
            ("fix", row.fix),
            ("on an order", _done(row.action.value, row.dead_letter_reason)),
            ("on a query", _done(row.read_action.value, "") if row.read_action is not row.action else ""),
        )
    )


def _done(action: str, reason: str) -> str:
    suffix = f" Reason: {reason}." if reason and action == "dead_letter" else ""
    return f"[{action}] {WHAT_WE_DO[action]}{suffix}"


def _list(rows: list[RetCode], *, as_json: bool) -> None:
    if as_json:
        say_json([_document(row) for row in rows])
        return
    shown = [(row.code, row.channel, row.scope, row.action.value, row.name) for row in rows]
    columns = ("code", "channel", "scope", "action", "name")
    show_table(f"{len(shown)} codes", columns, shown, ids=("code", "action"))


def _document(row: RetCode) -> dict[str, Any]:
    return {
        "code": row.code,
        "channel": row.channel,
        "scope": row.scope,
        "name": row.name,
        "meaning": row.meaning,
        "cause": row.cause,
        "fix": row.fix,
        "action": row.action.value,
        "read_action": row.read_action.value,
        "dead_letter_reason": row.dead_letter_reason,
        "what_sluicegate_does": WHAT_WE_DO[row.action.value],
    }
