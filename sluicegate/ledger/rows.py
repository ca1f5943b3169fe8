"""Rows of the ledger as domain records, and back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from sluicegate.domain.lifecycle import State
from sluicegate.domain.orders import (
    ChangeKind,
    Execution,
    NewOrder,
    Order,
    OrderEvent,
    OrderId,
    OrderLinkId,
    OrderRequest,
)
from sluicegate.domain.records import AccountRecord, Change, ChangeState, DeadLetter, Halt, Incident, Severity

AnyRow = Row[Any]


def to_order(row: AnyRow) -> Order:
    """Return the order of a row of `orders`."""
    return Order(
        order_id=OrderId(row.order_id),
        link_id=OrderLinkId(row.link_id),
        account=row.account,
        request=OrderRequest.model_validate(row.request),
        state=State(row.state),
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
        client_order_id=row.client_order_id,
        fingerprint=row.fingerprint,
        priority=row.priority,
        attempts=row.attempts,
        due_at=row.due_at,
        wake_at=row.wake_at,
        deadline_at=row.deadline_at,
        lease_until=row.lease_until,
        horizon_ms=row.horizon_ms,
        acked_at=row.acked_at,
        exchange_order_id=row.exchange_order_id,
        exchange_status=row.exchange_status,
        cum_exec_qty=row.cum_exec_qty,
        avg_price=row.avg_price,
        last_code=row.last_code,
        last_message=row.last_message,
        replay_of=None if row.replay_of is None else OrderId(row.replay_of),
    )


def from_new_order(order: NewOrder, fingerprint: str) -> dict[str, Any]:
    """Return the first row of an order; `wake_at` is the caller's."""
    request = order.request
    return {
        "order_id": order.order_id,
        "link_id": order.link_id,
        "account": request.account,
        "client_order_id": order.client_order_id,
        "fingerprint": fingerprint,
        "state": State.ACCEPTED.value,
        "version": 1,
        "category": request.category.value,
        "symbol": request.symbol,
        "priority": request.priority,
        "request": request.to_json(),
        "created_at": order.created_at,
        "updated_at": order.created_at,
        "due_at": order.due_at,
        "deadline_at": order.deadline_at,
        "attempts": 0,
        "exchange_order_id": "",
        "exchange_status": "",
        "cum_exec_qty": Decimal(0),
        "exec_qty": Decimal(0),
        "last_code": "",
        "last_message": "",
        "replay_of": order.replay_of,
    }


def to_event(row: AnyRow) -> OrderEvent:
    """Return the event of a row of `order_events`."""
    return OrderEvent(
        order_id=OrderId(row.order_id),
        version=row.version,
        at=row.at,
        event=row.event,
        from_state=row.from_state,
        to_state=row.to_state,
        actor=row.actor,
        detail=row.detail,
    )


def to_execution(row: AnyRow) -> Execution:
    """Return the fill of a row of `executions`."""
    return Execution(
        exec_id=row.exec_id,
        order_id=OrderId(row.order_id),
        qty=row.qty,
        price=row.price,
        fee=row.fee,
        fee_coin=row.fee_coin,
        is_maker=row.is_maker,
        executed_at=row.executed_at,
    )


def from_execution(execution: Execution) -> dict[str, Any]:
    """Return the row of a fill."""
    return {
        "exec_id": execution.exec_id,
        "order_id": execution.order_id,
        "qty": execution.qty,
        "price": execution.price,
        "fee": execution.fee,
        "fee_coin": execution.fee_coin,
        "is_maker": execution.is_maker,
        "executed_at": execution.executed_at,
    }


def to_change(row: AnyRow) -> Change:
    """Return the change of a row of `order_changes`."""
    return Change(
        change_id=row.change_id,
        order_id=OrderId(row.order_id),
        sequence=row.sequence,
        kind=ChangeKind(row.kind),
        fields=row.fields,
        state=ChangeState(row.state),
        version=row.version,
        created_at=row.created_at,
        attempts=row.attempts,
        wake_at=row.wake_at,
        horizon_ms=row.horizon_ms,
        last_code=row.last_code,
        last_message=row.last_message,
    )


def from_change(change: Change) -> dict[str, Any]:
    """Return the row of a change."""
    return {
        "change_id": change.change_id,
        "order_id": change.order_id,
        "sequence": change.sequence,
        "kind": change.kind.value,
        "fields": dict(change.fields),
        "state": change.state.value,
        "version": change.version,
        "created_at": change.created_at,
        "attempts": change.attempts,
        "wake_at": change.wake_at,
        "horizon_ms": change.horizon_ms,
        "last_code": change.last_code,
        "last_message": change.last_message,
    }


def to_dead_letter(row: AnyRow) -> DeadLetter:
    """Return the dead letter of a row of `dead_letters`."""
    return DeadLetter(
        order_id=OrderId(row.order_id),
        account=row.account,
        reason=row.reason,
        code=row.code,
        message=row.message,
        cause=row.cause,
        fix=row.fix,
        created_at=row.created_at,
        replayed_as=None if row.replayed_as is None else OrderId(row.replayed_as),
        discarded_at=row.discarded_at,
    )


def from_dead_letter(letter: DeadLetter) -> dict[str, Any]:
    """Return the row of a dead letter."""
    return {
        "order_id": letter.order_id,
        "account": letter.account,
        "reason": letter.reason,
        "code": letter.code,
        "message": letter.message,
        "cause": letter.cause,
        "fix": letter.fix,
        "created_at": letter.created_at,
        "replayed_as": letter.replayed_as,
        "discarded_at": letter.discarded_at,
    }


def to_halt(row: AnyRow) -> Halt:
    """Return the halt of a row of `halts`."""
    return Halt(
        scope=row.scope,
        code=row.code,
        message=row.message,
        cause=row.cause,
        fix=row.fix,
        since=row.since,
        until=row.until,
    )


def from_halt(halt: Halt) -> dict[str, Any]:
    """Return the row of a halt."""
    return {
        "scope": halt.scope,
        "code": halt.code,
        "message": halt.message,
        "cause": halt.cause,
        "fix": halt.fix,
        "since": halt.since,
        "until": halt.until,
    }


def to_incident(row: AnyRow) -> Incident:
    """Return the incident of a row of `incidents`."""
    return Incident(
        incident_id=row.incident_id,
        key=row.key,
        severity=Severity(row.severity),
        title=row.title,
        detail=row.detail,
        fix=row.fix,
        opened_at=row.opened_at,
        last_seen_at=row.last_seen_at,
        count=row._mapping["count"],  # noqa: SLF001 (`row.count` is the tuple's own method)
        paged_at=row.paged_at,
        acked_by=row.acked_by,
        ack_note=row.ack_note,
        page_at=row.page_at,
        pages=row.pages,
        page_failures=row.page_failures,
        acked_at=row.acked_at,
        resolved_at=row.resolved_at,
    )


def to_account(row: AnyRow) -> AccountRecord:
    """Return the account of a row of `accounts`."""
    return AccountRecord(name=row.name, environment=row.environment, uid=row.uid)
