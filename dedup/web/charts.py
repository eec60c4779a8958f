"""Pictures as SVG within the page: no styles of their own, places along the width in percent, so that letters stay as large as they are
on any screen. Each has a title and a description; what it shows stands in a table as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from markupsafe import Markup

ROW_HEIGHT = 26
"""Pixels from one row to the next."""
AXIS_LEFT, AXIS_RIGHT = 6.0, 98.0
"""Where the time axis begins and ends, in percent of the width."""
MAX_ROWS = 24
"""Rows that a picture has at most."""


@dataclass(frozen=True, slots=True)
class Point:
    """Something at a time (ISO 8601), in a row (from 1); filled or hollow; `description` in words."""

    at: str
    row: int
    description: str
    is_filled: bool = True


def timeline_chart(points: Sequence[Point], rows: int, title: str, description: str) -> Markup:
    """Points over time, joined in their order where they are full: which state something was in, and when. Nothing where there are no
    points, or more rows than can be told apart."""
    if not points or rows > MAX_ROWS:
        return Markup("")
    seconds = [datetime.fromisoformat(p.at).timestamp() for p in points]
    first, last = min(seconds), max(seconds)
    positions = [AXIS_LEFT + (AXIS_RIGHT - AXIS_LEFT) * ((s - first) / (last - first) if last > first else 0.5) for s in seconds]
    height = (rows + 1) * ROW_HEIGHT
    elements = [
        _SVG.format(kind="steps", height=height, title=title, description=description),
        *(
            _LANE.format(y=row * ROW_HEIGHT, x1=f"{AXIS_LEFT - 1.5}%", x2=f"{AXIS_RIGHT + 1}%", row=row, below=row * ROW_HEIGHT + 5)
            for row in range(1, rows + 1)
        ),
    ]
    filled = [(position, p.row * ROW_HEIGHT) for position, p in zip(positions, points, strict=True) if p.is_filled]
    for (x1, y1), (x2, y2) in pairwise(filled):
        elements.append(_LINE.format(kind="run", x1=f"{x1:.2f}%", y1=y1, x2=f"{x2:.2f}%", y2=y1))
        if y1 != y2:
            elements.append(_LINE.format(kind="step", x1=f"{x2:.2f}%", y1=y1, x2=f"{x2:.2f}%", y2=y2))
    for position, p in zip(positions, points, strict=True):
        elements.append(
            _DOT.format(x=f"{position:.2f}%", y=p.row * ROW_HEIGHT, kind="full" if p.is_filled else "hollow", label=p.description)
        )
    return Markup("").join([*elements, Markup("</svg>")])


_SVG = Markup(
    '<svg class="chart {kind}" role="img" width="100%" height="{height}" aria-label="{title}">'
    "<title>{title}</title><desc>{description}</desc>"
)  # fmt: skip
_LANE = Markup('<line class="lane" x1="{x1}" y1="{y}" x2="{x2}" y2="{y}"/><text class="label" x="0.5%" y="{below}">{row}</text>')
_LINE = Markup('<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
_DOT = Markup('<circle class="{kind}" cx="{x}" cy="{y}" r="5"><title>{label}</title></circle>')
