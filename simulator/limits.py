"""The two rate limits: per UID and endpoint (10006), per IP (HTTP 403 and a ban)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from simulator.quotas import QUOTAS, Line
from simulator.windows import FixedWindow, Peak, RollingWindow, Window

SECOND_NS = 1_000_000_000
WindowMode = Literal["rolling", "fixed"]


class Bucket(NamedTuple):
    """What shares one limit: a UID, an endpoint, a business line."""

    uid: int
    path: str
    line: Line


class Admission(NamedTuple):
    """The outcome of asking the UID limit.

    Args:
        admitted: Units let through, of those asked for.
        limit, remaining: For the response headers.
        resets_in_ns: Until a unit is free again; 0 unless something was refused.
    """

    admitted: int
    limit: int
    remaining: int
    resets_in_ns: int


class UidLimits:
    """Limits per UID x endpoint x business line, in windows of one second.

    Args:
        mode: `rolling` counts any second, `fixed` counts whole seconds.
    """

    def __init__(self, mode: WindowMode = "rolling") -> None:
        self.mode: WindowMode = mode
        self._windows: dict[Bucket, Window] = {}
        self._overrides: dict[tuple[int | None, str, Line | None], int] = {}

    def limit_of(self, bucket: Bucket) -> int:
        """Return the limit in force, the most specific override first."""
        for uid, line in (
            (bucket.uid, bucket.line),
            (bucket.uid, None),
            (None, bucket.line),
            (None, None),
        ):
            found = self._overrides.get((uid, bucket.path, line))
            if found is not None:
                return found
        return QUOTAS[bucket.path][bucket.line]

    def override(self, uid: int | None, path: str, line: Line | None, limit: int | None) -> None:
        """Set a limit; None for `uid` or `line` means all of them, None for `limit` restores the default."""
        if limit is None:
            self._overrides.pop((uid, path, line), None)
        else:
            self._overrides[uid, path, line] = limit
        for bucket, window in self._windows.items():
            window.limit = self.limit_of(bucket)

    def overrides(self) -> list[dict[str, object]]:
        """List the overrides in force."""
        return [
            {"uid": uid, "endpoint": path, "category": line, "limit": limit}
            for (uid, path, line), limit in self._overrides.items()
        ]

    def switch(self, mode: WindowMode) -> None:
        """Change the window mode; counting starts afresh."""
        self.mode = mode
        self._windows.clear()

    def admit(self, bucket: Bucket, now_ns: int, units: int) -> Admission:
        """Take up to `units` from a bucket."""
        window = self._windows.get(bucket)
        if window is None:
            kind = RollingWindow if self.mode == "rolling" else FixedWindow
            window = self._windows[bucket] = kind(self.limit_of(bucket), SECOND_NS)
        admitted = window.take(now_ns, units)
        resets_in_ns = window.resets_in_ns(now_ns) if admitted < units else 0
        return Admission(admitted, window.limit, window.free(now_ns), resets_in_ns)


@dataclass(slots=True)
class _Visitor:
    window: RollingWindow
    peak: Peak
    banned_until_ns: int = 0
    requests: int = 0
    refused: int = 0


class IpLimit:
    """At most `limit` requests per window from one IP; beyond that a ban for all its requests.

    Source: Bybit V5 docs, rate-limit page: 600 requests per 5 s, then HTTP 403 for at least 10 minutes. Traffic
    during the ban starts the ban anew: the docs only say to stop sending and wait.

    Args:
        limit: Requests per window, None to switch the limit off.
    """

    def __init__(self, limit: int | None = 600, window_s: float = 5.0, ban_s: float = 600.0) -> None:
        self.limit = limit
        self.window_s = window_s
        self.ban_s = ban_s
        self._visitors: dict[str, _Visitor] = {}

    def admits(self, client_ip: str, now_ns: int) -> bool:
        """Count a request and say whether it may pass."""
        visitor = self._visitors.get(client_ip)
        if visitor is None:
            visitor = self._visitors[client_ip] = self._newcomer()
        visitor.requests += 1
        visitor.peak.add(now_ns, 1)
        if self.limit is None:
            return True
        if now_ns >= visitor.banned_until_ns and visitor.window.take(now_ns, 1):
            return True
        visitor.banned_until_ns = now_ns + int(self.ban_s * SECOND_NS)
        visitor.refused += 1
        return False

    def configure(self, limit: int | None, window_s: float, ban_s: float) -> None:
        """Change the limit; bans are lifted and counting starts afresh, the statistics stay."""
        self.limit, self.window_s, self.ban_s = limit, window_s, ban_s
        for visitor in self._visitors.values():
            visitor.window = self._fresh_window()
            visitor.banned_until_ns = 0

    def report(self, now_ns: int) -> dict[str, dict[str, object]]:
        """Describe every IP seen."""
        return {
            ip: {
                "requests": visitor.requests,
                "refused": visitor.refused,
                "max_per_5_seconds": visitor.peak.largest,
                "banned_for_s": max(0, visitor.banned_until_ns - now_ns) / SECOND_NS,
            }
            for ip, visitor in self._visitors.items()
        }

    def _fresh_window(self) -> RollingWindow:
        return RollingWindow(self.limit or 0, int(self.window_s * SECOND_NS))

    def _newcomer(self) -> _Visitor:
        return _Visitor(window=self._fresh_window(), peak=Peak(5 * SECOND_NS))
