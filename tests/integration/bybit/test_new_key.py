"""A key that was refused is read anew: resuming with the right one is enough for the process that was refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from market_desk import CODES, accounts_of, settings_for

from sluicegate.bybit.clock import SystemClock
from sluicegate.bybit.codebook import BybitCodeBook
from sluicegate.domain.errors import OrderRejected
from sluicegate.domain.policy import Breaker
from sluicegate.services.halts import Halts


class Books:
    """Notes halts."""

    def __init__(self) -> None:
        self.codes: list[str] = []

    def halt(self, halt: Any) -> bool:
        """Note the code."""
        self.codes.append(halt.code)
        return True

    def halts(self, _scopes: object) -> list[Any]:
        """Return none: a person resumed the account."""
        return []

    def open_incident(self, _key: str, **_facts: Any) -> None:
        """Tell nobody."""


def halts_over(books: Any, forget_key: Callable[[str], None]) -> Halts:
    """Return halts that drop keys."""
    nobody: Any = SimpleNamespace()
    clock, codes = SystemClock(), BybitCodeBook(CODES)
    return Halts(books, nobody, nobody, codes, clock, "default", Breaker(), forget_key)


def test_new_key_is_used_after_a_refusal(simulator_url: str, cache: redis.Redis, tmp_path: Path) -> None:
    """Wrong key, halt, right key in the file: the next request is answered."""
    settings = settings_for(simulator_url, tmp_path)
    right = (tmp_path / "key").read_text()
    (tmp_path / "key").write_text("another-environments-key\n")
    accounts = accounts_of(settings, cache)
    books = Books()
    halts = halts_over(books, accounts.forget_key)
    with pytest.raises(OrderRejected) as refused:
        accounts.get("one").exchange.key_info()
    halts.obey("one", refused.value)
    assert ["10003"] == books.codes

    (tmp_path / "key").write_text(right)

    assert accounts.get("one").exchange.key_info()
    assert accounts.get("one") is accounts.get("one")
