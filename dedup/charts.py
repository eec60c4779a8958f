"""SVG charts as text: stacked columns, step lines, timelines.

Charts have no styles of their own, only classes (`chart`, `s1` to `s6`, `grid`, `mark`, `axis`), so that a strict content security policy
allows them. Positions along the width are percentages, so that letters keep their size on any screen. Each chart has a title and a
description; show its numbers in a table as well. All texts are escaped here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from dedup.text.sanitise import escape_html

CHART_HEIGHT = 180
"""Height of a chart of columns or step lines in pixels, labels included."""
_TOP_MARGIN, _BOTTOM_MARGIN = 18, 22
_PLOT_HEIGHT = CHART_HEIGHT - _TOP_MARGIN - _BOTTOM_MARGIN
_BASELINE = CHART_HEIGHT - _BOTTOM_MARGIN
MAX_SERIES = 6
"""Number of classes for series."""
ROW_HEIGHT = 26
"""Height of a row of a timeline in pixels."""
MAX_ROWS = 24
"""Rows of a timeline at most."""
_TIMELINE_LEFT, _TIMELINE_RIGHT = 6.0, 98.0
"""The ends of the time axis, in percent of the width."""


@dataclass(frozen=True, slots=True)
class ChartColumn:
    """A column of values stacked from the bottom up. `label` is written below it. If the label is an hour, `at` is that time (ISO 8601),
    which a browser can convert to its reader's time zone."""

    label: str
    values: tuple[int, ...]
    tooltip: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class StepLine:
    """A line that rises in steps. Each point is (position from 0 to 1, value from there on)."""

    points: tuple[tuple[float, int], ...]
    tooltip: str


@dataclass(frozen=True, slots=True)
class AxisTick:
    """A label below a chart, at a position from 0 to 1. `at` is as in `ChartColumn`."""

    position: float
    label: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """A point at a time (ISO 8601) in a row (from 1), drawn filled or hollow."""

    at: str
    row: int
    tooltip: str
    is_filled: bool = True


def render_columns(title: str, description: str, columns: Sequence[ChartColumn], *, max_labels: int = 4) -> str:
    """Return a chart of stacked columns with at most `max_labels` labels, or an empty text without columns."""
    if not columns:
        return ""
    top = round_up_axis(max(sum(c.values) for c in columns))
    elements = [*_header_elements(title, description, "columns", CHART_HEIGHT), *_grid_elements(top)]
    for n, column in enumerate(columns):
        elements += _column_elements(column, n, len(columns), top)
    label_step = max(1, -(-len(columns) // max_labels))
    ticks = [
        AxisTick((n + 0.5) / len(columns), columns[n].label, columns[n].at)
        for n in range(label_step // 2 if label_step > 1 else 0, len(columns), label_step)
    ]
    return "".join([*elements, *_axis_labels(top), *_tick_labels(ticks), "</svg>"])


def render_step_lines(title: str, description: str, lines: Sequence[StepLine], ticks: Sequence[AxisTick]) -> str:
    """Return a chart of the first `MAX_SERIES` lines, each in its own class, or an empty text without lines."""
    if not lines:
        return ""
    top = round_up_axis(max(number for line in lines for _, number in line.points))
    elements = [*_header_elements(title, description, "steps", CHART_HEIGHT), *_grid_elements(top)]
    elements.append(
        f'<svg x="0" y="{_TOP_MARGIN}" width="100%" height="{_PLOT_HEIGHT}" viewBox="0 0 1000 {_PLOT_HEIGHT}" preserveAspectRatio="none">'
    )
    for n, line in enumerate(lines[:MAX_SERIES], 1):
        elements.append(f'<path class="line s{n}" vector-effect="non-scaling-stroke" d="{_format_step_path(line.points, top)}">')
        elements.append(f"<title>{escape_html(line.tooltip)}</title></path>")
    return "".join([*elements, "</svg>", *_axis_labels(top), *_tick_labels(ticks), "</svg>"])


def render_timeline(title: str, description: str, points: Sequence[TimelinePoint], rows: int) -> str:
    """Return a chart of points over time; a line joins the filled points in their order.

    It is empty without points, and if there are more than `MAX_ROWS` rows.
    """
    if not points or rows > MAX_ROWS:
        return ""
    elements = _header_elements(title, description, "steps", (rows + 1) * ROW_HEIGHT)
    for row in range(1, rows + 1):
        elements += _lane_elements(row)
    positions = _time_positions([p.at for p in points])
    filled = [(position, p.row * ROW_HEIGHT) for position, p in zip(positions, points, strict=True) if p.is_filled]
    for (x1, y1), (x2, y2) in pairwise(filled):
        elements.append(_line_element("run", x1, y1, x2, y1))
        if y1 != y2:
            elements.append(_line_element("step", x2, y1, x2, y2))
    for position, p in zip(positions, points, strict=True):
        kind = "full" if p.is_filled else "hollow"
        elements.append(
            f'<circle class="{kind}" cx="{position:.2f}%" cy="{p.row * ROW_HEIGHT}" r="5"><title>{escape_html(p.tooltip)}</title></circle>'
        )
    return "".join([*elements, "</svg>"])


def render_swatch(series: int, kind: str = "columns") -> str:
    """Return a sample of the class of a series, for a legend."""
    inner = f'<path class="line s{series}" d="M0 6H22"/>' if kind == "steps" else f'<rect class="s{series}" width="12" height="12"/>'
    return f'<svg class="chart swatch" width="{22 if kind == "steps" else 12}" height="12" aria-hidden="true">{inner}</svg>'


def round_up_axis(maximum: int) -> int:
    """Return the smallest even number of at least `maximum` that is 1, 2, 4 or 5 times a power of ten: it and its half are easy to read."""
    power = 1
    while True:
        for factor in (1, 2, 4, 5):
            if factor * power >= max(2, maximum) and factor * power % 2 == 0:
                return factor * power
        power *= 10


# Elements


def _header_elements(title: str, description: str, kind: str, height: int) -> list[str]:
    return [
        f'<svg class="chart {kind}" role="img" width="100%" height="{height}" aria-label="{escape_html(title)}">',
        f"<title>{escape_html(title)}</title><desc>{escape_html(description)}</desc>",
    ]


def _column_elements(column: ChartColumn, index: int, column_count: int, top: int) -> list[str]:
    """A column: an invisible area of full height for the tooltip, and a bar for each value that is not 0."""
    slot = 100 / column_count
    width = slot * (0.82 if column_count <= 60 else 0.94)
    left, stacked_height = index * slot + (slot - width) / 2, 0.0
    elements = [
        f"<g><title>{escape_html(column.tooltip)}</title>",
        _rect_element("reach", index * slot, _TOP_MARGIN, slot, _PLOT_HEIGHT),
    ]
    for series, value in enumerate(column.values, 1):
        bar_height = _PLOT_HEIGHT * value / top
        if value:
            y = _BASELINE - stacked_height - bar_height
            elements.append(_rect_element(f"s{series}", left, y, width, bar_height))
        stacked_height += bar_height
    return [*elements, "</g>"]


def _rect_element(css_class: str, x: float, y: float, width: float, height: float) -> str:
    """`x` and `width` in percent, `y` and `height` in pixels."""
    left, top = _format_number(x), _format_number(y)
    return f'<rect class="{css_class}" x="{left}%" y="{top}" width="{_format_number(width)}%" height="{_format_number(height)}"/>'


def _grid_elements(top: int) -> list[str]:
    """Horizontal lines at the top, the middle and the bottom."""
    elements = []
    for number in (top, top // 2, 0):
        y = _format_number(_TOP_MARGIN + _PLOT_HEIGHT * (1 - number / top))
        elements.append(f'<line class="{"grid" if number else "axis"}" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    return elements


def _axis_labels(top: int) -> list[str]:
    """The values of the upper two grid lines, above the lines."""
    return [
        f'<text class="mark" x="0" y="{_format_number(_TOP_MARGIN + _PLOT_HEIGHT * (1 - n / top) - 4)}">{n:,}</text>'
        for n in (top, top // 2)
    ]


def _tick_labels(ticks: Sequence[AxisTick]) -> list[str]:
    return [
        f'<text class="mark" x="{_format_number(100 * t.position)}%" y="{CHART_HEIGHT - 6}" text-anchor="{_text_anchor(t.position)}"'
        f"{_hour_attribute(t.at)}>{escape_html(t.label)}</text>"
        for t in ticks
    ]


def _hour_attribute(at: str) -> str:
    return f' data-hour="{escape_html(at)}"' if at else ""


def _text_anchor(position: float) -> str:
    return "start" if position < 0.08 else "end" if position > 0.92 else "middle"


def _format_step_path(points: Sequence[tuple[float, int]], top: int) -> str:
    x, value = points[0]
    commands = [f"M{_format_x(x)} {_format_y(0, top)}V{_format_y(value, top)}"]
    commands += [f"H{_format_x(x)}V{_format_y(value, top)}" for x, value in points[1:]]
    return "".join([*commands, "H1000"])


def _format_x(position: float) -> str:
    return _format_number(1000 * min(1.0, max(0.0, position)))


def _format_y(value: int, top: int) -> str:
    return _format_number(_PLOT_HEIGHT * (1 - value / top))


def _time_positions(times: Sequence[str]) -> list[float]:
    """Positions on the time axis in percent of the width; in the middle if all times are equal."""
    seconds = [datetime.fromisoformat(time).timestamp() for time in times]
    first, last = min(seconds), max(seconds)
    return [_TIMELINE_LEFT + (_TIMELINE_RIGHT - _TIMELINE_LEFT) * ((s - first) / (last - first) if last > first else 0.5) for s in seconds]


def _lane_elements(row: int) -> list[str]:
    y = row * ROW_HEIGHT
    return [
        f'<line class="lane" x1="{_TIMELINE_LEFT - 1.5}%" y1="{y}" x2="{_TIMELINE_RIGHT + 1}%" y2="{y}"/>',
        f'<text class="label" x="0.5%" y="{y + 5}">{row}</text>',
    ]


def _line_element(kind: str, x1: float, y1: int, x2: float, y2: int) -> str:
    return f'<line class="{kind}" x1="{x1:.2f}%" y1="{y1}" x2="{x2:.2f}%" y2="{y2}"/>'


def _format_number(number: float) -> str:
    """A number with at most two decimals, the same on every machine."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
