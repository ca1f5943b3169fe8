"""Identifiers the exchange hands out."""

from __future__ import annotations

import random

# `uuid.uuid4` asks the kernel each time and costs three times as much; nothing here has to be unguessable.
_random = random.Random()  # noqa: S311


def new_uuid() -> str:
    """Return an identifier in the form of a UUID, as derivatives orders and executions carry."""
    digits = f"{_random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
