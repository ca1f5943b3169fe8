"""Who sent how much: the figures behind `/simulator/stats`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulator.limits import SECOND_NS, Bucket, UidLimits
from simulator.windows import Peak
from simulator.wire import Json


@dataclass(slots=True)
class Tally:
    """The figures of one bucket; peaks count in the limit's unit (a batch of n orders is n)."""

    requests: int = 0
    accepted: int = 0
    ret_codes: Counter[str] = field(default_factory=Counter)
    arrived: Peak = field(default_factory=lambda: Peak(SECOND_NS))
    admitted: Peak = field(default_factory=lambda: Peak(SECOND_NS))


class Stats:
    """Count requests per UID and endpoint."""

    def __init__(self) -> None:
        self._tallies: dict[Bucket, Tally] = {}
        self.strangers: Counter[str] = Counter()

    def arrived(self, bucket: Bucket, now_ns: int, units: int) -> Tally:
        """Count a request that reached the exchange, whatever becomes of it."""
        tally = self._tallies.get(bucket)
        if tally is None:
            tally = self._tallies[bucket] = Tally()
        tally.requests += 1
        tally.arrived.add(now_ns, units)
        return tally

    def report(self, limits: UidLimits) -> dict[str, dict[str, Json]]:
        """Describe every bucket, by UID and then by endpoint; order endpoints carry their business line."""
        report: dict[str, dict[str, Json]] = {}
        for bucket, tally in self._tallies.items():
            name = bucket.path if bucket.line == "all" else f"{bucket.path} {bucket.line}"
            report.setdefault(str(bucket.uid), {})[name] = {
                "requests": tally.requests,
                "accepted": tally.accepted,
                "ret_codes": dict(tally.ret_codes),
                "max_per_second": tally.arrived.largest,
                "max_admitted_per_second": tally.admitted.largest,
                "limit": limits.limit_of(bucket),
            }
        return report
