"""Pictures as SVG, out of numbers. They have no styles of their own but classes (`chart`, `s1` to `s6`, `grid`, `mark`, `axis`), and are as
wide as their place: what lies along the width is given in percent, so that letters stay as large as they are on any screen. Each has a
title and a description; what it shows should stand in a table as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

CHART_HEIGHT = 180
"""Pixels of a picture, the labels beneath it and above it among them."""
_TOP_MARGIN, _BOTTOM_MARGIN = 18, 22
_PLOT_HEIGHT = CHART_HEIGHT - _TOP_MARGIN - _BOTTOM_MARGIN
_BASELINE = CHART_HEIGHT - _BOTTOM_MARGIN
MAX_SERIES = 6
"""Classes that there are for series."""


@dataclass(frozen=True, slots=True)
class ChartColumn:
    """One column: numbers that are stacked, from the bottom up, and what is said of it in words. `label` stands beneath it; where that
    is an hour, `at` is the time (ISO 8601), so that a browser can make it its reader's."""

    label: str
    values: tuple[int, ...]
    tooltip: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class StepLine:
    """Something that grows by steps: (place from 0 to 1, how much it is from there on), and what is said of it in words."""

    points: tuple[tuple[float, int], ...]
    tooltip: str


@dataclass(frozen=True, slots=True)
class AxisTick:
    """A label beneath a picture, at a place from 0 to 1."""

    position: float
    label: str
    at: str = ""


def render_columns(title: str, description: str, columns: Sequence[ChartColumn], *, max_labels: int = 4) -> str:
    """Columns side by side; so many of their labels are written at most. Empty where there are no columns."""
    if not columns:
        return ""
    top = round_up_axis(max(sum(c.values) for c in columns))
    slot = 100 / len(columns)
    width = slot * (0.82 if len(columns) <= 60 else 0.94)
    elements = [*_header_elements(title, description, "columns"), *_grid_elements(top)]
    for n, column in enumerate(columns):
        left, height = n * slot + (slot - width) / 2, 0.0
        elements.append(f"<g><title>{escape(column.tooltip)}</title>")
        elements.append(
            f'<rect class="reach" x="{_format_number(n * slot)}%" y="{_TOP_MARGIN}" width="{_format_number(slot)}%"'
            f' height="{_PLOT_HEIGHT}"/>'
        )
        for series, value in enumerate(column.values, 1):
            bar_height = _PLOT_HEIGHT * value / top
            if value:
                y = _BASELINE - height - bar_height
                elements.append(
                    f'<rect class="s{series}" x="{_format_number(left)}%" y="{_format_number(y)}" width="{_format_number(width)}%"'
                    f' height="{_format_number(bar_height)}"/>'
                )
            height += bar_height
        elements.append("</g>")
    label_step = max(1, -(-len(columns) // max_labels))
    ticks = [
        AxisTick((n + 0.5) / len(columns), columns[n].label, columns[n].at)
        for n in range(label_step // 2 if label_step > 1 else 0, len(columns), label_step)
    ]
    return "".join([*elements, *_axis_labels(top), *_tick_labels(ticks), "</svg>"])


def render_step_lines(title: str, description: str, lines: Sequence[StepLine], ticks: Sequence[AxisTick]) -> str:
    """Lines that grow by steps, one in each class of series. Empty where there are none."""
    if not lines:
        return ""
    top = round_up_axis(max(number for line in lines for _, number in line.points))
    elements = [*_header_elements(title, description, "steps"), *_grid_elements(top)]
    elements.append(
        f'<svg x="0" y="{_TOP_MARGIN}" width="100%" height="{_PLOT_HEIGHT}" viewBox="0 0 1000 {_PLOT_HEIGHT}" preserveAspectRatio="none">'
    )
    for n, line in enumerate(lines[:MAX_SERIES], 1):
        elements.append(f'<path class="line s{n}" vector-effect="non-scaling-stroke" d="{_format_step_path(line.points, top)}">')
        elements.append(f"<title>{escape(line.tooltip)}</title></path>")
    return "".join([*elements, "</svg>", *_axis_labels(top), *_tick_labels(ticks), "</svg>"])


def render_swatch(series: int, kind: str = "columns") -> str:
    """A sample of a series' class, for a legend."""
    inner = f'<path class="line s{series}" d="M0 6H22"/>' if kind == "steps" else f'<rect class="s{series}" width="12" height="12"/>'
    return f'<svg class="chart swatch" width="{22 if kind == "steps" else 12}" height="12" aria-hidden="true">{inner}</svg>'


def round_up_axis(maximum: int) -> int:
    """The next number that is 1, 2, 4 or 5 times a power of ten, so that half and whole are easily read; at least 2."""
    power = 1
    while True:
        for factor in (1, 2, 4, 5):
            if factor * power >= max(2, maximum) and factor * power % 2 == 0:
                return factor * power
        power *= 10


def _format_step_path(points: Sequence[tuple[float, int]], top: int) -> str:
    first = points[0]
    commands = [f"M{_format_x(first[0])} {_format_y(0, top)}V{_format_y(first[1], top)}"]
    commands += [f"H{_format_x(place)}V{_format_y(number, top)}" for (_, _), (place, number) in pairwise(points)]
    return "".join([*commands, "H1000"])


def _format_x(position: float) -> str:
    return _format_number(1000 * min(1.0, max(0.0, position)))


def _format_y(number: int, top: int) -> str:
    return _format_number(_PLOT_HEIGHT * (1 - number / top))


def _header_elements(title: str, description: str, kind: str) -> list[str]:
    return [
        f'<svg class="chart {kind}" role="img" width="100%" height="{CHART_HEIGHT}" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><desc>{escape(description)}</desc>",
    ]


def _grid_elements(top: int) -> list[str]:
    """Lines at the whole, the half and the ground."""
    elements = []
    for number in (top, top // 2, 0):
        y = _format_number(_TOP_MARGIN + _PLOT_HEIGHT * (1 - number / top))
        elements.append(f'<line class="{"grid" if number else "axis"}" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    return elements


def _axis_labels(top: int) -> list[str]:
    """The numbers of the lines, over what is drawn."""
    return [
        f'<text class="mark" x="0" y="{_format_number(_TOP_MARGIN + _PLOT_HEIGHT * (1 - n / top) - 4)}">{n:,}</text>'
        for n in (top, top // 2)
    ]


def _tick_labels(ticks: Sequence[AxisTick]) -> list[str]:
    return [
        f'<text class="mark" x="{_format_number(100 * t.position)}%" y="{CHART_HEIGHT - 6}" text-anchor="{_text_anchor(t.position)}"'
        f"{_hour_attribute(t.at)}>{escape(t.label)}</text>"
        for t in ticks
    ]


def _hour_attribute(at: str) -> str:
    return f' data-hour="{escape(at)}"' if at else ""


def _text_anchor(position: float) -> str:
    return "start" if position < 0.08 else "end" if position > 0.92 else "middle"


def _format_number(number: float) -> str:
    """A number as SVG has it, the same on every machine."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
