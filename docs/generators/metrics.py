"""`docs/metrics.md`: every metric, from the catalogue."""

from __future__ import annotations

from docs.generators.markdown import code, page, table
from sluicegate.telemetry.catalogue import CATALOGUE, PREFIX, Kind, Metric

_PROCESSES = ("worker", "scheduler", "stream")
_UNITS = {"seconds": "seconds", "orders": "orders", "messages": "messages", "tokens": "tokens"}

_INTRO = f"""Every process serves its own `/metrics` (`--metrics-port`); names begin with `{PREFIX}`. A
process runs threads in one interpreter, so its registry is whole and nothing has to be merged. Several
schedulers show the same gauges: take `max`, not `sum`, over processes. A counter ends with its process; how many
orders there are tells `sluicegate_ledger_orders`. No label holds an id, a price or a message. Beside these, each
process serves `process_*`: memory, processor time, start."""


def write() -> str:
    """Return the document."""
    rows = [
        (
            code(PREFIX + metric.name),
            metric.kind.value,
            ", ".join(map(code, metric.labels)),
            unit(metric),
            metric.meaning,
            ", ".join(process for process in _PROCESSES if process in metric.processes),
        )
        for metric in CATALOGUE
    ]
    columns = ("name", "type", "labels", "unit", "meaning", "process")
    bounds = [
        (code(PREFIX + metric.name), ", ".join(f"{bound:g}" for bound in metric.buckets))
        for metric in CATALOGUE
        if metric.kind is Kind.HISTOGRAM
    ]
    return page(
        "Metrics",
        "sluicegate/telemetry/catalogue.py",
        _INTRO,
        table(columns, rows),
        "## Bounds of the histograms, seconds",
        table(("name", "upper bounds"), bounds),
    )


def unit(metric: Metric) -> str:
    """Return the unit that a metric's name ends with; `count` when it names none."""
    words = metric.name.removesuffix("_total").split("_")
    return _UNITS.get(words[-1], "count")
