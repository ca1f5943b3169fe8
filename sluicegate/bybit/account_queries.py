"""Queries about a whole account: all its orders, executions, positions, balances, page by page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from sluicegate.bybit.gateway import EXECUTIONS, HISTORY, REALTIME, Gateway
from sluicegate.bybit.rows import read_balances, read_fill, read_position, read_sighting
from sluicegate.domain.errors import ExchangeUnavailable
from sluicegate.domain.holdings import Balance, Position
from sluicegate.domain.orders import Category
from sluicegate.domain.records import Fill, Sighting
from sluicegate.ports import Page

POSITIONS, BALANCES = "/v5/position/list", "/v5/account/wallet-balance"

_Row = TypeVar("_Row")


class AccountGateway(Gateway):
    """A gateway that also shows what is on the account beside our orders."""

    def list_open(self, category: Category, *, settle_coin: str, cursor: str | None) -> Page[Sighting]:
        """Ask `realtime` for a page of open orders; see `sluicegate.ports.Exchange.list_open`."""
        parameters = _scope(category, settle_coin) | {"openOnly": 0, "limit": 50, "cursor": cursor}
        return self._page(REALTIME, "get_open_orders", parameters, category, read_sighting)

    def list_closed(self, category: Category, *, cursor: str | None) -> Page[Sighting]:
        """Ask `history` for a page; see `sluicegate.ports.Exchange.list_closed`."""
        parameters = {"category": category.value, "limit": 50, "cursor": cursor}
        return self._page(HISTORY, "get_order_history", parameters, category, read_sighting)

    def list_fills(
        self, category: Category, *, base_coin: str = "", since_ms: int, cursor: str | None
    ) -> Page[Fill]:
        """Ask `execution/list` for a page; see `sluicegate.ports.Exchange.list_fills`."""
        parameters = {"category": category.value, "startTime": since_ms, "limit": 100, "cursor": cursor}
        if base_coin:
            parameters["baseCoin"] = base_coin
        return self._page(EXECUTIONS, "get_executions", parameters, category, read_fill)

    def list_positions(self, category: Category, *, settle_coin: str, cursor: str | None) -> Page[Position]:
        """Ask `position/list` for a page; see `sluicegate.ports.Exchange.list_positions`."""
        parameters = _scope(category, settle_coin) | {"limit": 200, "cursor": cursor}
        return self._page(POSITIONS, "get_positions", parameters, category, read_position)

    def list_balances(self) -> Page[Balance]:
        """Ask `wallet-balance`; see `sluicegate.ports.Exchange.list_balances`."""
        reply = self._query(BALANCES, "get_wallet_balance", {"accountType": "UNIFIED"})
        coins = [
            coin for row in self._rows(BALANCES, reply) for coin in self._parsed(BALANCES, read_balances, row)
        ]
        return Page(coins, None, self._told(BALANCES, reply.time_ms), reply.headers)

    def _page(
        self,
        path: str,
        method: str,
        parameters: Mapping[str, Any],
        category: Category,
        read: Callable[[Mapping[str, Any], str], _Row],
    ) -> Page[_Row]:
        reply = self._query(path, method, parameters)
        rows = self._rows(path, reply)
        shown = [self._parsed(path, lambda row: read(row, category.value), row) for row in rows]
        following = reply.result.get("nextPageCursor") or None
        return Page(shown, following if rows else None, self._told(path, reply.time_ms), reply.headers)

    def _told(self, path: str, time_ms: int | None) -> int:
        if time_ms is None:
            raise ExchangeUnavailable(f"{path} answered without its clock")
        return time_ms


def _scope(category: Category, settle_coin: str) -> dict[str, Any]:
    """Return the parameters that name a whole category; linear needs its settle coin."""
    return {"category": category.value, "settleCoin": settle_coin or None}
