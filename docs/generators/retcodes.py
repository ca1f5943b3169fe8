"""`docs/retcodes.md`: Bybit's return codes and what becomes of them, from `retcodes.csv`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from docs.generators.markdown import code, page, table
from sluicegate.bybit.retcodes import ORDER_PATH, RetCode, RetCodeTable
from sluicegate.domain.outcomes import Action

_NEAR = (*ORDER_PATH, "transport", "default")
"""Scopes of the codes that an order, or the way to the exchange, can meet."""

_DONE = {
    Action.OK: "Taken as done; the order is followed.",
    Action.BACK_OFF: "Sent again with jitter, not before the exchange's reset instant; the bucket waits as long.",
    Action.RESYNC_CLOCK: "The exchange's clock is measured, the request signed anew and sent again.",
    Action.RETRY_SOON: "Sent again shortly under the same link id.",
    Action.RESOLVE: "In doubt: looked up by link id, sent again only after absence is proved.",
    Action.DEAD_LETTER: "Dead letter with this cause and fix; `sluicegate dead-letters replay` sends it anew.",
    Action.HALT_ACCOUNT: "The account halts, its orders park, one page; `sluicegate accounts resume` frees them.",
    Action.HALT_IP: "Nothing leaves from this IP for ten minutes; one page.",
}

_INTRO = """What each answer to an order leads to. `sluicegate explain CODE` prints the same;
`sluicegate explain --list` prints every code. Names such as `net_read_timeout` stand for conditions
without a code, and `*` for every code that Bybit does not document: the order is looked up, never guessed at."""


def write() -> str:
    """Return the document."""
    rows = RetCodeTable.load().all()
    near = [row for row in rows if row.scope in _NEAR]
    return page(
        "Return codes",
        "sluicegate/bybit/retcodes.csv",
        _INTRO,
        *_sections(near),
        "## Other scopes",
        "Codes of endpoints that Sluicegate does not call; the table holds them so that `explain` can answer.",
        _far([row for row in rows if row.scope not in _NEAR]),
    )


def _sections(rows: list[RetCode]) -> Iterator[str]:
    for action in Action:
        found = [row for row in rows if row.action is action]
        if found:
            yield f"## {action.value}"
            yield _DONE[action]
            cells = [(code(row.code), row.scope, row.meaning, row.cause, row.fix) for row in found]
            yield table(("code", "scope", "meaning", "cause", "fix"), cells)


def _far(rows: list[RetCode]) -> str:
    scopes = dict.fromkeys(row.scope for row in rows)
    counts = Counter((row.scope, row.action) for row in rows)
    cells = [
        (scope, *(str(counts[scope, action] or "") for action in Action))
        for scope in scopes
    ]  # fmt: skip
    return table(("scope", *(action.value for action in Action)), cells)
