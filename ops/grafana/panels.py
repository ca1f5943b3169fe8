"""A panel as a value, and how it becomes Grafana's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, text, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat
from grafana_foundation_sdk.models.text import TextMode

Drawn = TypeVar("Drawn", timeseries.Panel, stat.Panel, table.Panel)

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
WIDTH = 24
"""Columns of a dashboard."""


class Form(StrEnum):
    """How a panel shows its numbers."""

    LINES = "lines"
    AREAS = "areas"
    NUMBER = "number"
    ROWS = "rows"


@dataclass(frozen=True, slots=True)
class Query:
    """One expression. `$account` and `$__rate_interval` are Grafana's to fill in.

    Attributes:
        legend: name of each line; `{{label}}` stands for the value of a label.
    """

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Attributes:
        meaning: what it tells, and what to make of it.
        unit: one of Grafana's: `short`, `s`, `reqps`, `percentunit`, `bytes`.
        width: columns of 24.
        warn_at: from this value on, a number is shown as a warning.
    """

    title: str
    meaning: str
    queries: tuple[Query, ...]
    form: Form = Form.LINES
    unit: str = "short"
    width: int = 12
    warn_at: float | None = None

    def build(self) -> timeseries.Panel | stat.Panel | table.Panel:
        """Return the panel as the SDK's builder."""
        match self.form:
            case Form.LINES | Form.AREAS:
                return self._draw_lines()
            case Form.NUMBER:
                return self._draw_number()
            case Form.ROWS:
                return self._draw_rows()

    def _draw_lines(self) -> timeseries.Panel:
        panel = timeseries.Panel().legend(_legend()).tooltip(_tooltip()).height(8).line_width(1).axis_soft_min(0)
        if self.form is Form.AREAS:
            panel = panel.fill_opacity(30).stacking(common.StackingConfig().mode(StackingMode.NORMAL))
        return self._dress(panel, instant=False)

    def _draw_number(self) -> stat.Panel:
        panel = stat.Panel().graph_mode(BigValueGraphMode.AREA).color_mode(BigValueColorMode.VALUE).height(4)
        return self._dress(panel.thresholds(_thresholds(self.warn_at)), instant=False)

    def _draw_rows(self) -> table.Panel:
        hidden = [DynamicConfigValue(id_val="custom.hidden", value=True)]
        panel = table.Panel().height(8).override_by_name("Time", hidden)
        return self._dress(panel, instant=True)

    def _dress(self, panel: Drawn, *, instant: bool) -> Drawn:
        panel = panel.title(self.title).description(self.meaning).datasource(SOURCE).span(self.width)
        panel = panel.unit(self.unit).no_value("0")
        for position, query in enumerate(self.queries):
            target = prometheus.Dataquery().expr(query.expression).ref_id(chr(ord("A") + position))
            target = target.legend_format(query.legend or "__auto").datasource(SOURCE)
            target = target.instant().format(PromQueryFormat.TABLE) if instant else target.range()
            panel = panel.with_target(target)
        return panel


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard.

    Attributes:
        name: of its file and in its address.
        opening: a text above the panels.
    """

    name: str
    title: str
    meaning: str
    panels: tuple[Panel, ...]
    opening: str = ""


def words(content: str, height: int = 5) -> text.Panel:
    """Return a panel of text, in Markdown, over the whole width."""
    return text.Panel().mode(TextMode.MARKDOWN).content(content).span(WIDTH).height(height).transparent(True)


def rows_of(panels: Sequence[Panel]) -> list[list[Panel]]:
    """Return the panels in rows of 24 columns.

    Raises:
        ValueError: a row does not fill its columns.
    """
    rows: list[list[Panel]] = [[]]
    for panel in panels:
        if sum(other.width for other in rows[-1]) == WIDTH:
            rows.append([])
        rows[-1].append(panel)
    for row in rows:
        if sum(panel.width for panel in row) != WIDTH:
            raise ValueError(f"a row of {[panel.title for panel in row]} is not {WIDTH} wide")
    return rows


def _legend() -> common.VizLegendOptions:
    options = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST)
    return options.placement(LegendPlacement.BOTTOM).show_legend(True)


def _tooltip() -> common.VizTooltipOptions:
    return common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)


def _thresholds(warn_at: float | None) -> dashboard.ThresholdsConfig:
    steps = [Threshold(value=None, color="green")]
    if warn_at is not None:
        steps.append(Threshold(value=warn_at, color="red"))
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
