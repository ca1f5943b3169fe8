"""SVG: the few forms that the pictures use. Plain text, so that a change of a picture can be read in a diff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from docs.generators.markdown import NOTICE

Point = tuple[float, float]

_STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2933; text-anchor: middle; }
  .name { font-weight: 600; }
  .label { font-size: 12px; fill: #3e4c59; paint-order: stroke; stroke: #ffffff; stroke-width: 5px; }
  .box { stroke: #3e4c59; stroke-width: 1.5; }
  .group { fill: #f7f9fb; stroke: #9aa5b1; stroke-dasharray: 2 4; }
  .arrow { fill: none; stroke: #3e4c59; stroke-width: 1.5; }
  .hint { stroke-dasharray: 6 4; }"""

_NAME = ' class="name"'
_HEAD = (
    '<marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
    'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="#3e4c59"/></marker>'
)


@dataclass(frozen=True, slots=True)
class Box:
    """A named rectangle.

    Attributes:
        x, y: its upper left corner.
        lines: the name, then smaller remarks.
        fill: a colour.
    """

    x: float
    y: float
    width: float
    height: float
    lines: Sequence[str]
    fill: str = "#e4ecf4"

    def draw(self) -> str:
        """Return the rectangle with its lines in the middle."""
        middle = self.x + self.width / 2
        top = self.y + self.height / 2 - 9 * (len(self.lines) - 1) + 5
        texts = [
            f'<text x="{middle:g}" y="{top + 18 * row:g}"{_NAME if row == 0 else ""}>{escape(line)}</text>'
            for row, line in enumerate(self.lines)
        ]
        return (
            f'<rect class="box" x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" '
            f'rx="6" fill="{self.fill}"/>' + "".join(texts)
        )


@dataclass(frozen=True, slots=True)
class Group:
    """A frame around boxes, its title in the upper left corner."""

    x: float
    y: float
    width: float
    height: float
    title: str

    def draw(self) -> str:
        """Return the frame."""
        return (
            f'<rect class="group" x="{self.x:g}" y="{self.y:g}" width="{self.width:g}" height="{self.height:g}" '
            f'rx="10"/><text class="label" style="text-anchor: start" x="{self.x + 12:g}" y="{self.y + 20:g}">'
            f"{escape(self.title)}</text>"
        )


@dataclass(frozen=True, slots=True)
class Arrow:
    """A line with a head.

    Attributes:
        points: where it goes along.
        label: its lines.
        at: the middle of the label; without one, the middle of the way.
        is_hint: dashed, for what may be lost.
    """

    points: Sequence[Point]
    label: Sequence[str] = ()
    at: Point | None = None
    is_hint: bool = False

    def draw(self) -> str:
        """Return the line with its label."""
        way = "L".join(f"{x:g} {y:g}" for x, y in self.points)
        kind = "arrow hint" if self.is_hint else "arrow"
        (x0, y0), (x1, y1) = self.points[0], self.points[-1]
        x, y = self.at or ((x0 + x1) / 2, (y0 + y1) / 2)
        texts = [
            f'<text class="label" x="{x:g}" y="{y + 4 + 15 * row:g}">{escape(line)}</text>'
            for row, line in enumerate(self.label)
        ]
        return f'<path class="{kind}" d="M{way}" marker-end="url(#head)"/>' + "".join(texts)


class Shape(Protocol):
    """What a picture is made of."""

    def draw(self) -> str:
        """Return it as SVG."""


def picture(width: int, height: int, title: str, source: str, shapes: Sequence[Shape]) -> str:
    """Return an SVG document: white ground, so that it can be read on any page.

    Args:
        width: of the picture, pixels.
        height: of the picture, pixels.
        title: what it shows, for those who cannot see it.
        source: the file to change instead of this one.
        shapes: drawn in this order.
    """
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
            NOTICE.format(source=source),
            f"<title>{escape(title)}</title><style>{_STYLE}\n</style><defs>{_HEAD}</defs>",
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
            *(shape.draw() for shape in shapes),
            "</svg>\n",
        ]
    )
