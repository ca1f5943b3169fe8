"""`python -m benchmarks [--full] [--only NAME]`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable

from rich.console import Console

from benchmarks import acquire, flood, lanes, pipeline, recovery, release, share, stream, trade
from benchmarks.figures import Figure, keep, show

BENCHMARKS: dict[str, Callable[[bool], Iterable[Figure]]] = {
    "acquire": acquire.measure,
    "release": release.measure,
    "pipeline": pipeline.measure,
    "lanes": lanes.measure,
    "flood": flood.measure,
    "share": share.measure,
    "recovery": recovery.measure,
    "stream": stream.measure,
    "trade": trade.measure,
}

EXAMPLES = """examples:
  python -m benchmarks                            # all, as `make bench`
  python -m benchmarks --only lanes
  python -m benchmarks --only acquire --only flood
  python -m benchmarks --full --only share        # the whole grid of `make bench-full`; takes hours
  python -m benchmarks.plot                       # tables and picture of docs/rate-limits.md
"""


def main() -> int:
    """Run the benchmarks; their figures go to the terminal and to `benchmarks/results/latest.json`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=main.__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="more cases and longer runs")
    parser.add_argument("--only", action="append", choices=sorted(BENCHMARKS), help="this one; may be repeated")
    options = parser.parse_args()
    said = Console(stderr=True)
    figures: list[Figure] = []
    for name, measure in BENCHMARKS.items():
        if options.only is None or name in options.only:
            said.print(f"[bold]{name}[/] ...")
            started = time.monotonic()
            for figure in measure(options.full):
                keep([figure])  # at once: who stops a long run keeps what it found
                figures.append(figure)
                peer = f"; {figure.peer}: {figure.peer_value:g}" if figure.peer_value is not None else ""
                said.print(
                    f"  {figure.name}: {figure.value:g} {figure.unit}{peer}", highlight=False, soft_wrap=True
                )
            said.print(f"{name}: {time.monotonic() - started:.0f} s")
    show(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
