"""`python -m benchmarks.plot`: draw what `make bench` found, and print it as a table for docs/rate-limits.md."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from benchmarks.contenders import CONTENDERS
from benchmarks.figures import RESULTS
from benchmarks.share import CEILING

mpl.use("svg")
from matplotlib import pyplot as plt

PICTURE = Path(__file__).parent.parent / "docs" / "rate-limits.svg"
COLOURS = ("#0b6e4f", "#8d99ae", "#c9ada7", "#b5838d", "#6d6875")
SHARE, REFUSALS = "share used: ", "10006: "

Found = dict[str, dict[str, float]]
"""Values by case and contender."""


def main() -> int:
    """Write the picture and print the table."""
    rows = json.loads(RESULTS.read_text())
    shares, refusals = _by_case(rows, SHARE), _by_case(rows, REFUSALS)
    if not shares:
        print("no shares yet: run `make bench`", file=sys.stderr)
        return 1
    _draw(shares, refusals)
    _print_shares(shares, refusals)
    _print_others([row for row in rows if not row["name"].startswith((SHARE, REFUSALS))])
    return 0


def _by_case(rows: Sequence[Mapping[str, Any]], prefix: str) -> Found:
    found: Found = {}
    for row in rows:
        if row["name"].startswith(prefix):
            case = found.setdefault(row["name"].removeprefix(prefix), {"Sluicegate": row["value"]})
            case[row["peer"]] = row["peer_value"]
    return found


def _draw(shares: Found, refusals: Found) -> None:
    """Draw a row of dots a case: how much of the quota is used; red where the exchange refused."""
    mpl.rcParams["svg.hashsalt"] = "sluicegate"  # the same figures make the same file
    cases = list(shares)[::-1]
    figure, axes = plt.subplots(figsize=(9.5, 0.42 * len(cases) + 1.4), layout="constrained")
    for colour, name in zip(COLOURS, CONTENDERS, strict=True):
        points = [(shares[case][name] * 100, y) for y, case in enumerate(cases) if name in shares[case]]
        if points:
            axes.scatter(*zip(*points, strict=True), s=60, color=colour, label=name, zorder=3)
        refused = [
            (shares[case][name] * 100, y) for y, case in enumerate(cases) if refusals[case].get(name, 0) > 0
        ]
        if refused:
            axes.scatter(*zip(*refused, strict=True), s=150, facecolors="none", edgecolors="#d62828", zorder=4)
    edge = [(shares[case][CEILING] * 100, y) for y, case in enumerate(cases) if CEILING in shares[case]]
    axes.scatter(*zip(*edge, strict=True), s=160, marker="|", color="#333333", label=CEILING, zorder=2)
    axes.scatter([], [], s=150, facecolors="none", edgecolors="#d62828", label="was refused (10006)")
    axes.set_yticks(range(len(cases)), cases, fontsize=8)
    axes.set_xlabel("share of the quota that was used, %")
    axes.set_xlim(right=101)
    axes.grid(axis="x", color="#dddddd")
    axes.legend(fontsize=8, loc="lower left")
    figure.savefig(PICTURE, metadata={"Date": None})


def _print_shares(shares: Found, refusals: Found) -> None:
    print("| limit, network, processes | " + " | ".join([*CONTENDERS, CEILING]) + " |")
    print("|---|" + "---|" * (len(CONTENDERS) + 1))
    for case, values in shares.items():
        cells = [f"{values[name]:.1%}, {refusals[case][name]:g}" if name in values else "" for name in CONTENDERS]
        edge = f"{values[CEILING]:.1%}" if CEILING in values else ""
        print(f"| {case} | " + " | ".join([*cells, edge]) + " |")


def _print_others(rows: Sequence[Mapping[str, Any]]) -> None:
    print("\n| measured | Sluicegate | peer | peer's | ratio |\n|---|---|---|---|---|")
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        mine = f"{row['value']:g} {row['unit']}"
        theirs = "" if row["peer_value"] is None else f"{row['peer_value']:g} {row['unit']}"
        print(f"| {row['name']} | {mine} | {row['peer']} | {theirs} | {ratio} |")


if __name__ == "__main__":
    sys.exit(main())
