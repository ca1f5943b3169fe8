"""Signatures of orders that come as messages: who can write to the broker cannot therefore trade."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any


def sign_order(order: Mapping[str, Any], secret: str) -> str:
    """Return the signature of an order, for the argument `signature` of the task `sluicegate.accept`.

    HMAC-SHA256 in lower-case hex over the order as JSON: keys sorted, no blanks, ASCII. A copied message is the
    same order again, by its `client_order_id`, so a signed order must have one.

    Args:
        order: the fields exactly as they are sent.
        secret: the one that workers know as `intake.secret_file` or `intake.secret_env`.
    """
    text = json.dumps(order, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_signed(order: Mapping[str, Any], signature: object, secret: str) -> bool:
    """Tell whether a signature is that of an order; takes as long for a wrong one as for the right one."""
    given = signature if isinstance(signature, str) and signature.isascii() else ""
    return hmac.compare_digest(sign_order(order, secret), given)
