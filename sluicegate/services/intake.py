"""Intake: orders that come as messages, from producers that have the broker and no database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from sluicegate.domain.errors import InvalidOrder, LedgerConflict, SignatureInvalid
from sluicegate.domain.orders import Receipt, parse_order
from sluicegate.domain.records import Severity
from sluicegate.domain.signatures import is_signed
from sluicegate.ports import Clock, Ledger
from sluicegate.services.submit import Submitter

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Intake:
    """Accepts orders from messages.

    Args:
        secret: what producers sign with; None: whoever can write to the broker may submit orders.
    """

    submitter: Submitter
    ledger: Ledger
    clock: Clock
    secret: str | None = field(repr=False)

    def accept(self, content: object, signature: object, *, message_id: str) -> Receipt | LedgerConflict:
        """Accept one order.

        Args:
            content: the order's fields, or their JSON.
            signature: see `sluicegate.domain.signatures.sign_order`.
            message_id: makes a doubled message one order, if the order brings no id of its own.

        Raises:
            SignatureInvalid: a secret is set, and the order is not signed with it; nothing was accepted.
            InvalidOrder: nothing was accepted.
            LedgerUnavailable: perhaps accepted; the same message again is safe.
        """
        fields = _fields(content)
        if self.secret is not None:
            self._check(fields, signature, self.secret)
        elif not fields.get("client_order_id"):
            fields = {**fields, "client_order_id": f"task-{message_id}"}
        [result] = self.submitter.submit([parse_order(fields)])
        return result

    def _check(self, fields: Mapping[str, Any], signature: object, secret: str) -> None:
        if not is_signed(fields, signature, secret):
            log.error("order_without_signature", account=str(fields.get("account", ""))[:64])
            self.ledger.open_incident(
                "intake:signature",
                severity=Severity.CRITICAL,
                title="Orders without a valid signature come through the broker",
                detail="They were refused. Someone who is no producer can write to the broker, or a producer has "
                "another secret than the workers (intake.secret_file).",
                fix="Find out who sends them (SECURITY.md). If it is no producer of yours, change the broker's "
                "passwords. Then run: sluicegate incidents resolve ID",
                at=self.clock.now(),
            )
            raise SignatureInvalid("the order carries no valid signature; see sluicegate.sign_order")
        if not fields.get("client_order_id"):
            raise InvalidOrder(
                "client_order_id: a signed order needs one, or a copied message would be a second order"
            )


def _fields(content: object) -> Mapping[str, Any]:
    try:
        fields = json.loads(content) if isinstance(content, str) else content
    except (ValueError, RecursionError) as e:
        raise InvalidOrder(f"the order is no JSON: {e}") from e
    if not isinstance(fields, Mapping):
        raise InvalidOrder("the order must be an object with fields")
    return fields
