"""Records as JSON documents."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sluicegate.domain.numbers import plain
from sluicegate.domain.orders import Execution, Order, OrderEvent
from sluicegate.domain.records import DeadLetter, Halt, Incident


def _at(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()


def order_document(order: Order) -> dict[str, Any]:
    """Return an order with the request that it stands for."""
    return {
        "order_id": order.order_id,
        "order_link_id": order.link_id,
        "account": order.account,
        "client_order_id": order.client_order_id,
        "state": order.state.value,
        "request": order.request.to_json(),
        "cum_exec_qty": plain(order.cum_exec_qty),
        "avg_price": None if order.avg_price is None else plain(order.avg_price),
        "attempts": order.attempts,
        "exchange_order_id": order.exchange_order_id,
        "code": order.last_code,
        "message": order.last_message,
        "created_at": _at(order.created_at),
        "updated_at": _at(order.updated_at),
        "due_at": _at(order.due_at),
        "deadline_at": _at(order.deadline_at),
        "replay_of": order.replay_of,
    }


def event_document(event: OrderEvent) -> dict[str, Any]:
    """Return one line of an audit trail."""
    return {
        "at": _at(event.at),
        "event": event.event,
        "from_state": event.from_state,
        "to_state": event.to_state,
        "actor": event.actor,
        "detail": dict(event.detail),
    }


def execution_document(fill: Execution) -> dict[str, Any]:
    """Return one fill."""
    return {
        "exec_id": fill.exec_id,
        "qty": plain(fill.qty),
        "price": plain(fill.price),
        "fee": plain(fill.fee),
        "fee_coin": fill.fee_coin,
        "is_maker": fill.is_maker,
        "executed_at": _at(fill.executed_at),
    }


def letter_document(letter: DeadLetter) -> dict[str, Any]:
    """Return one dead letter."""
    return {
        "order_id": letter.order_id,
        "account": letter.account,
        "reason": letter.reason,
        "code": letter.code,
        "message": letter.message,
        "cause": letter.cause,
        "fix": letter.fix,
        "created_at": _at(letter.created_at),
        "replayed_as": letter.replayed_as,
        "discarded_at": _at(letter.discarded_at),
    }


def halt_document(halt: Halt | None) -> dict[str, Any] | None:
    """Return one halt; None for none."""
    if halt is None:
        return None
    return {
        "scope": halt.scope,
        "code": halt.code,
        "message": halt.message,
        "cause": halt.cause,
        "fix": halt.fix,
        "since": _at(halt.since),
        "until": _at(halt.until),
    }


def incident_document(incident: Incident) -> dict[str, Any]:
    """Return one incident."""
    return {
        "incident_id": incident.incident_id,
        "key": incident.key,
        "severity": incident.severity.value,
        "title": incident.title,
        "detail": incident.detail,
        "fix": incident.fix,
        "count": incident.count,
        "opened_at": _at(incident.opened_at),
        "last_seen_at": _at(incident.last_seen_at),
        "paged_at": _at(incident.paged_at),
        "pages": incident.pages,
        "page_failures": incident.page_failures,
        "page_at": _at(incident.page_at),
        "acked_at": _at(incident.acked_at),
        "acked_by": incident.acked_by,
        "ack_note": incident.ack_note,
        "resolved_at": _at(incident.resolved_at),
    }
