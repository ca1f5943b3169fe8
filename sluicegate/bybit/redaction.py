"""Redaction: what a secret looks like in the texts that quote it."""

from __future__ import annotations

import re
from base64 import b64encode

_ALIKE = {"+": "(?:[+-]|%2[bB])", "/": "(?:[/_]|%2[fF])"}
"""Letters of base64 that have other spellings in addresses."""


def however_encoded(secret: str) -> re.Pattern[str]:
    """Match a secret as it is, percent-encoded in part or throughout, or as base64, alone or within more.

    Of base64 within a longer text the letters at the edges, which belong to its neighbours too, stay.
    """
    encoded = ("".join(f"%{byte:02x}" for byte in letter.encode()) for letter in secret)
    either = (f"(?:{re.escape(letter)}|(?i:{code}))" for letter, code in zip(secret, encoded, strict=True))
    return re.compile("|".join(["".join(either), *(_as_base64(secret, ahead) for ahead in range(3))]))


def _as_base64(secret: str, ahead: int) -> str:
    """Return the pattern of a secret in base64 with so many bytes before it in its group of three."""
    content = b"\0" * ahead + secret.encode()
    letters = b64encode(content).decode()
    whole = letters[-(-8 * ahead // 6) : 8 * len(content) // 6]
    return "".join(_ALIKE.get(letter, letter) for letter in whole)
