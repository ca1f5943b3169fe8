"""Write the dashboards, or check that they are fresh: `python -m ops.grafana [--check]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableRefresh,
    VariableSort,
)

from ops.grafana.boards import BOARDS
from ops.grafana.panels import SOURCE, Board, rows_of, words

FOLDER = Path(__file__).parent / "dashboards"


def write(board: Board) -> str:
    """Return a dashboard as the JSON that Grafana is provisioned with."""
    built = (
        dashboard.Dashboard(board.title)
        .uid(f"sluicegate-{board.name}")
        .description(board.meaning)
        .tags(["sluicegate"])
        .readonly()
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("utc")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(_account())
        .link(
            dashboard.DashboardLink("Sluicegate")
            .type(DashboardLinkType.DASHBOARDS)
            .tags(["sluicegate"])
            .keep_time(True)
        )
    )
    if board.opening:
        built = built.with_panel(words(board.opening))
    for row in rows_of(board.panels):
        for panel in row:
            built = built.with_panel(panel.build())
    return json.dumps(built.build(), cls=JSONEncoder, indent=1, sort_keys=True) + "\n"


def _account() -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable("account")
        .label("Account")
        .datasource(SOURCE)
        .query("label_values(sluicegate_backlog_orders, account)")
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
    )


def main(arguments: Sequence[str] | None = None, folder: Path = FOLDER) -> int:
    """Write the dashboards, or check them.

    Returns:
        0; 1 when `--check` finds one that is stale, missing, or nobody's.
    """
    parser = argparse.ArgumentParser(prog="python -m ops.grafana", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a dashboard is stale")
    wanted = {f"{board.name}.json": write(board) for board in BOARDS}
    if not parser.parse_args(arguments).check:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in wanted.items():
            (folder / name).write_text(content, encoding="utf-8")
        return 0
    present = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")}
    stale = sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))
    for name in stale:
        sys.stderr.write(f"ops/grafana/dashboards/{name} is not what the code says any more; run: make docs\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
