"""Signatures of orders: what is signed is what is sent."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from sluicegate.domain.signatures import is_signed, sign_order

ORDER = {"symbol": "BTCUSDT", "qty": "0.01", "account": "main", "note": "\u00fc"}


def test_signature_is_what_three_lines_elsewhere_compute() -> None:
    """A producer without our library signs by the documented rule."""
    text = '{"account":"main","note":"\\u00fc","qty":"0.01","symbol":"BTCUSDT"}'
    assert hmac.new(b"secret", text.encode(), hashlib.sha256).hexdigest() == sign_order(ORDER, "secret")


def test_signature_does_not_depend_on_the_order_of_fields() -> None:
    """JSON on its way may be written anew."""
    again = json.loads(json.dumps(dict(reversed(ORDER.items()))))
    assert is_signed(again, sign_order(ORDER, "secret"), "secret")


@pytest.mark.parametrize("field", ORDER)
def test_changed_field_breaks_the_signature(field: str) -> None:
    """Every field is under the signature."""
    assert not is_signed({**ORDER, field: "x"}, sign_order(ORDER, "secret"), "secret")
    assert not is_signed({k: v for k, v in ORDER.items() if k != field}, sign_order(ORDER, "secret"), "secret")


@pytest.mark.parametrize("signature", ["", None, 7, b"x", ["a"], "\u00fc", sign_order(ORDER, "other")])
def test_anything_else_is_no_signature(signature: object) -> None:
    """Whatever a message brings, it is refused without an error."""
    assert not is_signed(ORDER, signature, "secret")
