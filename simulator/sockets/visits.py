"""How often WebSockets are opened from one address."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.limits import SECOND_NS
from simulator.windows import Peak, RollingWindow
from simulator.wire import Json

WINDOW_S = 300


@dataclass(slots=True)
class _Visitor:
    window: RollingWindow
    peak: Peak
    opened: int = 0
    refused: int = 0


class Visits:
    """Admit at most `limit` new connections from one IP in any five minutes.

    Source: Bybit V5 docs, WebSocket connect page (read 2026-07-24): 500 per five minutes and domain. Refused
    attempts use up nothing here; the docs do not say.

    Args:
        limit: None to switch the limit off.
    """

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self._visitors: dict[str, _Visitor] = {}

    def admits(self, client_ip: str, now_ns: int) -> bool:
        """Count an attempt and say whether it may connect."""
        visitor = self._visitors.get(client_ip)
        if visitor is None:
            window_ns = WINDOW_S * SECOND_NS
            visitor = _Visitor(RollingWindow(self.limit or 0, window_ns), Peak(window_ns))
            self._visitors[client_ip] = visitor
        visitor.peak.add(now_ns, 1)
        is_admitted = self.limit is None or visitor.window.take(now_ns, 1) > 0
        visitor.opened += is_admitted
        visitor.refused += not is_admitted
        return is_admitted

    def change(self, limit: int | None) -> None:
        """Set another limit; None switches it off."""
        self.limit = limit
        for visitor in self._visitors.values():
            visitor.window.limit = limit or 0

    def report(self) -> Json:
        """Describe every address seen; attempts that were refused count in the largest number, too."""
        return {
            ip: {
                "opened": visitor.opened,
                "refused": visitor.refused,
                "max_per_5_minutes": visitor.peak.largest,
            }
            for ip, visitor in self._visitors.items()
        }
