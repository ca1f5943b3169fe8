"""What Bybit's codes mean for the services."""

from __future__ import annotations

from sluicegate.bybit.retcodes import RetCodeTable
from sluicegate.domain.outcomes import Refused

TAKEN = frozenset({"110072", "170141", "110030"})
"""The link id exists already: derivatives and options, spot, and the retired one.

Source: Bybit V5 error page, docs of 2026-07-24."""


class BybitCodeBook:
    """The retCode table behind the port `CodeBook`."""

    def __init__(self, table: RetCodeTable) -> None:
        self._table = table

    def burial(self, code: str) -> tuple[str, str, str] | None:
        """Return reason, cause and fix of a code after which sending again is pointless, or None.

        Such are codes that nobody knows: they are resolved first, for the order may be live; once it is proved
        absent, the same request would only meet the same code.
        """
        if not code or code == "lease_lost":
            return None
        row = self._table.lookup(code)
        if row.is_known:
            return None
        return ("unknown_code", row.cause, row.fix)

    def is_taken(self, code: str) -> bool:
        """Tell whether a code says that the exchange has an order under this link id already."""
        return code in TAKEN

    def is_about_order(self, code: str) -> bool:
        """Tell whether a code is about the order itself, so that a look at the order settles it."""
        return bool(code) and self._table.lookup(code).is_about_order

    def refusal(self, code: str, message: str) -> Refused:
        """Return a refused query as an outcome."""
        row = self._table.lookup(code, is_write=False)
        return Refused(code, message, row.action, row.dead_letter_reason, row.cause, row.fix)
