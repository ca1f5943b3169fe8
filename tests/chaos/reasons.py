"""Why an order ended as it did: every end that is not the exchange's must be explained by the order or the run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from sluicegate.domain.lifecycle import Event, State
from sluicegate.domain.orders import Order, OrderEvent, OrderType, Side
from sluicegate.domain.policy import Backoff
from sluicegate.domain.records import DeadLetter, account_scope

BACKOFF = Backoff()


@dataclass(frozen=True)
class Causes:
    """All in a run that may keep an order off the exchange.

    Attributes:
        units: each market's quantity, by category and symbol; what is no multiple of it was made to be refused.
        refused_keys: accounts whose key was refused.
        key_code: the code that refused it.
        retried_codes: codes of faults after which an order is sent again.
    """

    units: Mapping[tuple[str, str], Decimal]
    refused_keys: Collection[str]
    key_code: str
    retried_codes: Collection[str]

    def explain_letter(self, order: Order, letter: DeadLetter) -> bool:
        """Tell whether this order may have become this dead letter."""
        request = order.request
        is_conditional = request.trigger_price is not None
        match letter.reason:
            case "quantity_off_step":
                unit = self.units[(request.category.value, request.symbol)]
                return letter.code == "gate" and request.qty % unit != 0
            case "price_out_of_bounds":  # only the price of a conditional order is that far from the market
                return is_conditional and letter.code == ("110121" if request.side is Side.BUY else "110120")
            case "order_cap":
                return is_conditional and letter.code == "110009"
            case "attempts_exhausted":
                return order.attempts >= BACKOFF.max_attempts and letter.code in self.retried_codes
        return False

    def explain_halt(self, scope: str, code: str) -> bool:
        """Tell whether a scope may have halted for this code."""
        return code == self.key_code and scope in map(account_scope, self.refused_keys)


def unexplained(
    order: Order, trail: Sequence[OrderEvent], letter: DeadLetter | None, causes: Causes | None
) -> Iterator[str]:
    """Yield what nothing explains about an order.

    Args:
        order: as it ended.
        trail: its events, in order.
        letter: its dead letter.
        causes: what happened in its run; None where nobody knows, and any reason counts.
    """
    yield from _about_letter(order, letter, causes)
    if order.state is State.EXPIRED:
        yield from _about_expiry(order, trail)
    if order.state is State.CANCELLED:
        yield from _about_cancel(order, trail)
    if causes is None:
        return
    if order.state is State.REJECTED:  # markets have depth in every run
        yield f"rejected ({order.last_code}), and nothing in the run is rejected"
    for event in trail:
        code = str(event.detail.get("code") or str(event.detail.get("why", "")).removeprefix("halted: "))
        scope = str(event.detail.get("scope") or account_scope(order.account))
        if event.event == Event.PARKED.value and not causes.explain_halt(scope, code):
            yield f"parked for {scope}: {code!r}, which the run did not cause"


def _about_letter(order: Order, letter: DeadLetter | None, causes: Causes | None) -> Iterator[str]:
    if letter is None:
        if order.state is State.DEAD:
            yield "dead without a dead letter"
        return
    if not (letter.reason and letter.cause and letter.fix):
        yield f"a dead letter without reason, cause or fix: {letter}"
    if order.state is not State.DEAD and letter.is_open:
        yield f"an open dead letter, and it is {order.state}"
    if causes is not None and not causes.explain_letter(order, letter):
        yield f"dead for {letter.reason} ({letter.code}), which neither the order nor the run explains"


def _about_expiry(order: Order, trail: Sequence[OrderEvent]) -> Iterator[str]:
    """An order expires at its deadline; sooner only when it may not be sent again before it."""
    if order.deadline_at is None:
        yield "expired without a deadline"
        return
    ends = [event for event in trail if event.event == Event.EXPIRED.value]
    if not ends:
        yield "expired without an event"
        return
    is_given_up = str(ends[-1].detail.get("why", "")).startswith("no attempt fits before the deadline")
    early = timedelta(seconds=BACKOFF.max_reset_s if is_given_up else 0)
    if ends[-1].at < order.deadline_at - early:
        yield f"expired at {ends[-1].at}, before its deadline, {order.deadline_at}"


def _about_cancel(order: Order, trail: Sequence[OrderEvent]) -> Iterator[str]:
    is_asked = any(event.event in {"cancel_requested", Event.CANCELLED_UNSENT.value} for event in trail)
    may_end_alone = order.request.order_type is OrderType.MARKET or order.request.time_in_force is not None
    if not (is_asked or may_end_alone):
        yield "cancelled, and nobody asked for it"
