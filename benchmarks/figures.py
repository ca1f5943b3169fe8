"""Figures: what was measured, shown as a table and kept as JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results" / "latest.json"


@dataclass(frozen=True)
class Figure:
    """One figure beside a peer's.

    Attributes:
        name: what was measured, and how.
        value: ours; the median when there are several runs.
        unit: of both values.
        peer: whose figure it is compared with.
        peer_value: the peer's.
        ratio: ours over the peer's; None where the peer's is 0 or there is none.
        runs: every single value of ours that `value` was made from.
    """

    name: str
    value: float
    unit: str
    peer: str
    peer_value: float | None
    ratio: float | None
    runs: list[float]


def compare(
    name: str, unit: str, runs: Sequence[float], peer: str, peer_runs: Sequence[float], *, digits: int = 4
) -> Figure:
    """Return the medians of our runs and a peer's, side by side."""
    value, peer_value = statistics.median(runs), statistics.median(peer_runs)
    ratio = round(value / peer_value, 3) if peer_value else None
    return Figure(
        name,
        round(value, digits),
        unit,
        peer,
        round(peer_value, digits),
        ratio,
        [round(run, digits) for run in runs],
    )


def alone(name: str, unit: str, runs: Sequence[float], *, digits: int = 2) -> Figure:
    """Return the median of our runs where no peer does the same."""
    rounded = [round(run, digits) for run in runs]
    return Figure(name, round(statistics.median(runs), digits), unit, "", None, None, rounded)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least a share of the values does not exceed (nearest rank)."""
    return sorted(values)[math.ceil(share * len(values)) - 1]


def share_of_quota(instants_ms: Sequence[float], limit: int) -> float:
    """Return which share of a quota was used, counted over whole windows.

    The time that `k * limit` requests took is set against the `k` seconds that they need at least, so it does not
    matter that requests come in bursts, nor where in a burst the count begins.

    Args:
        instants_ms: when requests were accepted, by one clock.
        limit: requests a second.
    """
    instants = sorted(instants_ms)
    windows = (len(instants) - 1) // limit
    return windows / (instants[windows * limit] - instants[0]) * 1000 if windows > 0 else 0.0


def show(figures: Sequence[Figure]) -> None:
    """Print a table."""
    table = Table("measured", "Sluicegate", "unit", "peer", "peer's", "ratio", "runs")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.value:g}",
            figure.unit,
            figure.peer,
            "" if figure.peer_value is None else f"{figure.peer_value:g}",
            "" if figure.ratio is None else f"{figure.ratio:.2f}",
            str(len(figure.runs)),
        )
    Console(width=150).print(table)


def keep(figures: Sequence[Figure], path: Path = RESULTS) -> None:
    """Write figures as JSON; those of benchmarks that did not run this time stay."""
    fresh = {(figure.name, figure.peer) for figure in figures}
    before = json.loads(path.read_text()) if path.exists() else []
    rows = [row for row in before if (row["name"], row["peer"]) not in fresh]
    rows += [asdict(figure) for figure in figures]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=1) + "\n")
