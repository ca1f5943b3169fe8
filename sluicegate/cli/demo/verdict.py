"""What must come of the demo's day, and what of it did not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from sluicegate.cli.demo.findings import Findings
from sluicegate.domain.lifecycle import State

REFUSED_LINES: Final = ("is a float", "unknown field", "must not be negative", "not JSON", "other content")
"""What the refusals of lines speak of, one each."""

STATES: Final = {
    "rest": State.LIVE,
    "burst": State.LIVE,
    "stop": State.LIVE,
    "post-only": State.LIVE,
    "fill": State.FILLED,
    "round-down": State.FILLED,
    "ioc": State.CANCELLED,
    "cancel": State.CANCELLED,
    "amend": State.LIVE,
    "repeat": State.LIVE,
    "conflict": State.LIVE,
    "timeout": State.LIVE,
    "server-error": State.LIVE,
    "too-many": State.LIVE,
    "wrong-env": State.PARKED,
    "read-only": State.PARKED,
}
"""Where orders must end, by the first part of their client order id (`rest-17`)."""

DEAD_LETTERS: Final = {
    "off-step": "quantity_off_step",
    "off-tick": "price_off_tick",
    "unknown-symbol": "unknown_symbol",
    "no-balance": "insufficient_balance",
    "wrong-coin": "wrong_settle_coin",
    "digit-too-many": "risk_limit",
}
"""Why the others become dead letters."""

TRAILS: Final = {
    "timeout-1": ("doubted net_read_timeout", "alpha"),
    "server-error-1": ("doubted 10016", "main"),
    "too-many-1": ("backed_off 10006", "beta"),
}
"""What must be in the trails of some orders, and whose they are."""

PAGES: Final = {"halt:account:wrongenv": "10003", "halt:account:readonly": "10005"}
"""Incidents that page, once each, with the code that they are about."""

CODES: Final = ("0", "10003", "10005", "10006", "10016", "110007", "170131", "net_read_timeout")
"""Answers that the workers' metrics must show."""

AMENDED_PRICE: Final = "0.435"


def judge(found: Findings) -> list[str]:
    """Return what is not as it must be; empty when all is well."""
    return [
        *_judge_lines(found),
        *_judge_orders(found),
        *_judge_trails(found),
        *_judge_pages(found),
        *_judge_limits(found),
        *(f"the workers' metrics show no answer {code}" for code in CODES if not found.by_code[code]),
        *(f"ledger and exchange differ: {difference}" for difference in found.differences),
    ]


def _judge_lines(found: Findings) -> Iterator[str]:
    reasons = list(found.refused.values())
    for wanted in REFUSED_LINES:
        if sum(wanted in reason for reason in reasons) != 1:
            yield f"no line, or more than one, was refused because of: {wanted}"
    if len(reasons) != len(REFUSED_LINES):
        yield f"{len(reasons)} lines were refused, must be {len(REFUSED_LINES)}"
    repeated = [r.client_order_id for r in found.receipts.values() if not r.is_new]
    if repeated != ["repeat-1"]:
        yield f"the same order given twice must give one receipt twice; repeated: {repeated}"
    new = {receipt.order_id for receipt in found.receipts.values()}
    if new != {order.order_id for order in found.orders}:
        yield f"{len(new)} receipts for {len(found.orders)} orders in the ledger"


def _judge_orders(found: Findings) -> Iterator[str]:
    reasons = {letter.order_id: letter.reason for letter in found.letters}
    for order in found.orders:
        kind = order.client_order_id.rpartition("-")[0]
        wanted = STATES.get(kind, State.DEAD)
        if order.state is not wanted:
            yield f"{order.client_order_id} is {order.state}, must be {wanted}"
        elif wanted is State.DEAD and reasons.get(order.order_id) != DEAD_LETTERS.get(kind):
            died_of, must = reasons.get(order.order_id), DEAD_LETTERS.get(kind)
            yield f"{order.client_order_id} died of {died_of}, must be {must}"
        if kind == "amend" and format(order.request.price or 0, "f") != AMENDED_PRICE:
            yield f"{order.client_order_id} has the price {order.request.price}, must be {AMENDED_PRICE}"


def _judge_trails(found: Findings) -> Iterator[str]:
    for client_id, (event, _account) in TRAILS.items():
        late = event.replace("doubted", "late_outcome")  # the stream had shown the order before the answer failed
        if not {event, late} & set(found.trails.get(client_id, [])):
            yield f"the trail of {client_id} has no {event!r}"


def _judge_pages(found: Findings) -> Iterator[str]:
    counted = Counter(str(page.get("key")) for page in found.pages)
    if counted != Counter(dict.fromkeys(PAGES, 1)):
        yield f"pages must be one each for {', '.join(PAGES)}; received: {dict(counted)}"


def _judge_limits(found: Findings) -> Iterator[str]:
    for bucket in found.limits():
        if bucket["limit"] is not None and bucket["max_per_second"] > bucket["limit"]:
            yield "{uid} {endpoint}: {max_per_second} in a rolling second, the limit is {limit}".format(**bucket)
    if found.too_many:
        yield f"the exchange gave {found.too_many} times 10006 of its own accord"
