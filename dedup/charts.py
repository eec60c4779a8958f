"""Pictures as SVG, out of numbers. They have no styles of their own but classes (`chart`, `s1` to `s6`, `grid`, `mark`, `axis`), and are as
wide as their place: what lies along the width is given in percent, so that letters stay as large as they are on any screen. Each has a
title and a description; what it shows should stand in a table as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

HEIGHT = 180
"""Pixels of a picture, the labels beneath it and above it among them."""
_TOP, _BOTTOM = 18, 22
_PLOT = HEIGHT - _TOP - _BOTTOM
_BASE = HEIGHT - _BOTTOM
SERIES = 6
"""Classes that there are for series."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column: numbers that are stacked, from the bottom up, and what is said of it in words. `label` stands beneath it; where that
    is an hour, `at` is the time (ISO 8601), so that a browser can make it its reader's."""

    label: str
    values: tuple[int, ...]
    told: str
    at: str = ""


@dataclass(frozen=True, slots=True)
class Steps:
    """Something that grows by steps: (place from 0 to 1, how much it is from there on), and what is said of it in words."""

    points: tuple[tuple[float, int], ...]
    told: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A label beneath a picture, at a place from 0 to 1."""

    place: float
    label: str
    at: str = ""


def columns(title: str, described: str, shown: Sequence[Column], *, labels: int = 4) -> str:
    """Columns side by side; so many of their labels are written at most. Empty where there are no columns."""
    if not shown:
        return ""
    top = nice(max(sum(c.values) for c in shown))
    slot = 100 / len(shown)
    width = slot * (0.82 if len(shown) <= 60 else 0.94)
    drawn = [*_head(title, described, "columns"), *_grid(top)]
    for n, column in enumerate(shown):
        left, height = n * slot + (slot - width) / 2, 0.0
        drawn.append(f"<g><title>{escape(column.told)}</title>")
        drawn.append(f'<rect class="reach" x="{_n(n * slot)}%" y="{_TOP}" width="{_n(slot)}%" height="{_PLOT}"/>')
        for series, value in enumerate(column.values, 1):
            high = _PLOT * value / top
            if value:
                y = _BASE - height - high
                drawn.append(f'<rect class="s{series}" x="{_n(left)}%" y="{_n(y)}" width="{_n(width)}%" height="{_n(high)}"/>')
            height += high
        drawn.append("</g>")
    every = max(1, -(-len(shown) // labels))
    ticks = [Tick((n + 0.5) / len(shown), shown[n].label, shown[n].at) for n in range(every // 2 if every > 1 else 0, len(shown), every)]
    return "".join([*drawn, *_marks(top), *_ticks(ticks), "</svg>"])


def steps(title: str, described: str, lines: Sequence[Steps], ticks: Sequence[Tick]) -> str:
    """Lines that grow by steps, one in each class of series. Empty where there are none."""
    if not lines:
        return ""
    top = nice(max(number for line in lines for _, number in line.points))
    drawn = [*_head(title, described, "steps"), *_grid(top)]
    drawn.append(f'<svg x="0" y="{_TOP}" width="100%" height="{_PLOT}" viewBox="0 0 1000 {_PLOT}" preserveAspectRatio="none">')
    for n, line in enumerate(lines[:SERIES], 1):
        drawn.append(f'<path class="line s{n}" vector-effect="non-scaling-stroke" d="{_path(line.points, top)}">')
        drawn.append(f"<title>{escape(line.told)}</title></path>")
    return "".join([*drawn, "</svg>", *_marks(top), *_ticks(ticks), "</svg>"])


def swatch(series: int, kind: str = "columns") -> str:
    """A sample of a series' class, for a legend."""
    inner = f'<path class="line s{series}" d="M0 6H22"/>' if kind == "steps" else f'<rect class="s{series}" width="12" height="12"/>'
    return f'<svg class="chart swatch" width="{22 if kind == "steps" else 12}" height="12" aria-hidden="true">{inner}</svg>'


def nice(most: int) -> int:
    """The next number that is 1, 2, 4 or 5 times a power of ten, so that half and whole are easily read; at least 2."""
    power = 1
    while True:
        for factor in (1, 2, 4, 5):
            if factor * power >= max(2, most) and factor * power % 2 == 0:
                return factor * power
        power *= 10


def _path(points: Sequence[tuple[float, int]], top: int) -> str:
    first = points[0]
    drawn = [f"M{_x(first[0])} {_y(0, top)}V{_y(first[1], top)}"]
    drawn += [f"H{_x(place)}V{_y(number, top)}" for (_, _), (place, number) in pairwise(points)]
    return "".join([*drawn, "H1000"])


def _x(place: float) -> str:
    return _n(1000 * min(1.0, max(0.0, place)))


def _y(number: int, top: int) -> str:
    return _n(_PLOT * (1 - number / top))


def _head(title: str, described: str, kind: str) -> list[str]:
    return [
        f'<svg class="chart {kind}" role="img" width="100%" height="{HEIGHT}" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><desc>{escape(described)}</desc>",
    ]


def _grid(top: int) -> list[str]:
    """Lines at the whole, the half and the ground."""
    drawn = []
    for number in (top, top // 2, 0):
        y = _n(_TOP + _PLOT * (1 - number / top))
        drawn.append(f'<line class="{"grid" if number else "axis"}" x1="0" x2="100%" y1="{y}" y2="{y}"/>')
    return drawn


def _marks(top: int) -> list[str]:
    """The numbers of the lines, over what is drawn."""
    return [f'<text class="mark" x="0" y="{_n(_TOP + _PLOT * (1 - n / top) - 4)}">{n:,}</text>' for n in (top, top // 2)]


def _ticks(ticks: Sequence[Tick]) -> list[str]:
    return [
        f'<text class="mark" x="{_n(100 * t.place)}%" y="{HEIGHT - 6}" text-anchor="{_anchor(t.place)}"'
        f"{_hour(t.at)}>{escape(t.label)}</text>"
        for t in ticks
    ]


def _hour(at: str) -> str:
    return f' data-hour="{escape(at)}"' if at else ""


def _anchor(place: float) -> str:
    return "start" if place < 0.08 else "end" if place > 0.92 else "middle"


def _n(number: float) -> str:
    """A number as SVG has it, the same on every machine."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
