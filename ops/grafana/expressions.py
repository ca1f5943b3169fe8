"""The forms of expression that the panels share.

Counters are summed over processes. Gauges of the ledger, the broker and the buckets are shown by every scheduler
alike, so the largest is taken, never the sum. How many there are is read from `sluicegate_ledger_orders`, which no
process takes along when it dies; counters give rates.
"""

from __future__ import annotations

from ops.grafana.panels import Form, Panel, Query

ACCOUNT = 'account=~"$account"'


def chosen(metric: str, *matchers: str) -> str:
    """Return a metric, narrowed by matchers."""
    return f"{metric}{{{', '.join(matchers)}}}" if matchers else metric


def rate(metric: str, by: str, *matchers: str) -> str:
    """Return how often something is counted a second, over all processes."""
    return f"sum by ({by}) (rate({chosen(metric, *matchers)}[$__rate_interval]))"


def once(metric: str, by: str, *matchers: str) -> str:
    """Return a gauge that every scheduler shows alike."""
    return f"max by ({by}) ({chosen(metric, *matchers)})"


def total(expression: str) -> str:
    """Return the sum of an expression over all its labels."""
    return f"sum({expression})"


def quantile(share: float, metric: str, by: str = "le") -> str:
    """Return a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{metric}_bucket', by)})"


def half_and_most(metric: str) -> tuple[Query, Query]:
    """Return the median and the 99th of 100 of a histogram."""
    return Query(quantile(0.5, metric), "half"), Query(quantile(0.99, metric), "99 of 100")


def number(
    title: str, meaning: str, expression: str, *, unit: str = "short", warn_at: float | None = None
) -> Panel:
    """Return a number of a sixth of the width."""
    return Panel(title, meaning, (Query(expression),), Form.NUMBER, unit, 4, warn_at)
