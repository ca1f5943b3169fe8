"""Dashboards: made from code, over metrics that exist, and no gauge counted once a scheduler."""

from __future__ import annotations

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.grafana.__main__ import FOLDER, main, write
from ops.grafana.boards import BOARDS
from ops.grafana.panels import Board, Panel, Query, rows_of
from sluicegate.telemetry.catalogue import CATALOGUE, PREFIX, Kind
from tests.unit.ops.test_alerts import LABELS, RECORDS

ROOT = Path(__file__).parents[3]
FOREIGN = {"up", "ALERTS", "flower_events_total"} | {
    f"process_{name}" for name in ("resident_memory_bytes", "cpu_seconds_total", "start_time_seconds")
}
ALIKE = {
    PREFIX + metric.name for metric in CATALOGUE if metric.kind is Kind.GAUGE and metric.exporter == "scheduler"
}
"""Gauges that every scheduler shows."""

QUERIES = [(board, panel, query) for board in BOARDS for panel in board.panels for query in panel.queries]
each_query = pytest.mark.parametrize(
    ("board", "panel", "query"), QUERIES, ids=[f"{board.name}: {panel.title}" for board, panel, _query in QUERIES]
)


def panels_of(board: Board) -> list[dict[str, Any]]:
    """Return the panels as Grafana reads them."""
    found: list[dict[str, Any]] = json.loads(write(board))["panels"]
    return found


def test_dashboards_in_the_repository_are_fresh(capsys: pytest.CaptureFixture[str]) -> None:
    """`make check` passes: every dashboard is what the code says."""
    assert 0 == main(["--check"])
    assert "" == capsys.readouterr().err


def test_dashboard_that_was_changed_by_hand_fails_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stale one fails, and so does one that nobody makes any more."""
    main([], tmp_path)
    assert 0 == main(["--check"], tmp_path)
    (tmp_path / "old.json").write_text("{}")
    (tmp_path / "errors.json").write_text("{}")
    assert 1 == main(["--check"], tmp_path)
    assert ["errors.json", "old.json"] == re.findall(r"dashboards/(\S+)", capsys.readouterr().err)


@each_query
def test_query_uses_what_is_exported(board: Board, panel: Panel, query: Query) -> None:
    """Every metric is in the catalogue, recorded by a rule, or of Prometheus, Flower or the process."""
    bare = re.sub(r'"[^"]*"', "", query.expression)
    names = set(re.findall(r"\b(?:sluicegate|process|flower)[_:][\w:]*", bare))
    assert names or {"up", "ALERTS"} & set(re.findall(r"\w+", bare))
    recorded = {rule["record"] for rule in RECORDS}
    assert names <= set(LABELS) | FOREIGN | recorded, (board.name, panel.title)
    kept = {word for group in re.findall(r"by \(([^)]*)\)", query.expression) for word in re.split(r",\s*", group)}
    shown = set(re.findall(r"{{(\w+)}}", query.legend))
    assert shown <= kept | {"job", "instance"}


@each_query
def test_gauge_of_every_scheduler_is_not_summed_over_schedulers(board: Board, panel: Panel, query: Query) -> None:
    """Two schedulers show the same ledger: a sum would count every order twice."""
    for name in ALIKE:
        for before in re.findall(rf"(\w+)(?: by \([^)]*\))?\s*\({name}\b", query.expression):
            assert before in {"max", "min"}, (board.name, panel.title, query.expression)


def test_sum_over_schedulers_would_fail_the_test_above() -> None:
    """The check finds what it is there for."""
    query = Query("sum by (account) (sluicegate_backlog_orders)")
    with pytest.raises(AssertionError):
        test_gauge_of_every_scheduler_is_not_summed_over_schedulers(BOARDS[0], BOARDS[0].panels[0], query)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_fill_their_rows_and_do_not_overlap(board: Board) -> None:
    """A person sees all of them, each with its meaning."""
    assert rows_of(board.panels)
    assert len(board.panels) == len({panel.title for panel in board.panels})
    for panel in panels_of(board):
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
        assert panel.get("description") or panel["type"] == "text"
    for one, other in combinations([panel["gridPos"] for panel in panels_of(board)], 2):
        is_beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        is_above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert is_beside or is_above, (one, other)


def test_grafana_is_provisioned_with_the_source_and_the_folder_that_dashboards_name() -> None:
    """The data source has the uid in every panel, and the dashboards are where Compose mounts them."""
    [source] = yaml.safe_load((ROOT / "ops/grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    used = {
        panel["datasource"]["uid"] for board in BOARDS for panel in panels_of(board) if panel["type"] != "text"
    }
    assert {source["uid"]} == used
    grafana = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    mounts = dict(volume.split(":")[:2] for volume in grafana["volumes"])
    [provider] = yaml.safe_load((ROOT / "ops/grafana/provisioning/dashboards/sluicegate.yml").read_text())[
        "providers"
    ]
    assert provider["options"]["path"] == mounts["./ops/grafana/dashboards"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert (str(home.parent), True) == (provider["options"]["path"], (FOLDER / home.name).exists())
