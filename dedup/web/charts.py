"""Pictures as SVG within the page: no styles of their own, places along the width in percent, so that letters stay as large as they are
on any screen. Each has a title and a description; what it shows stands in a table as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from markupsafe import Markup

from dedup.web.shown import span

ROW = 26
"""Pixels from one row to the next."""
LEFT, RIGHT = 6.0, 98.0
"""Where the time axis begins and ends, in percent of the width."""
ROWS = 24
"""Rows that a picture has at most."""


@dataclass(frozen=True, slots=True)
class Point:
    """Something at a time (ISO 8601), in a row (from 1); `full` or hollow; `told` of it in words."""

    at: str
    row: int
    told: str
    full: bool = True


def steps(points: Sequence[Point], rows: int, title: str, described: str) -> Markup:
    """Points over time, joined in their order where they are full: which state something was in, and when. Nothing where there are no
    points, or more rows than can be told apart."""
    if not points or rows > ROWS:
        return Markup("")
    seconds = [datetime.fromisoformat(p.at).timestamp() for p in points]
    first, last = min(seconds), max(seconds)
    places = [LEFT + (RIGHT - LEFT) * ((s - first) / (last - first) if last > first else 0.5) for s in seconds]
    height = (rows + 1) * ROW
    drawn = [
        _SVG.format(kind="steps", height=height, title=title, described=described),
        *(_LANE.format(y=row * ROW, x1=f"{LEFT - 1.5}%", x2=f"{RIGHT + 1}%", row=row, below=row * ROW + 5) for row in range(1, rows + 1)),
    ]
    joined = [(place, p.row * ROW) for place, p in zip(places, points, strict=True) if p.full]
    for (x1, y1), (x2, y2) in pairwise(joined):
        drawn.append(_LINE.format(kind="run", x1=f"{x1:.2f}%", y1=y1, x2=f"{x2:.2f}%", y2=y1))
        if y1 != y2:
            drawn.append(_LINE.format(kind="step", x1=f"{x2:.2f}%", y1=y1, x2=f"{x2:.2f}%", y2=y2))
    for place, p in zip(places, points, strict=True):
        drawn.append(_DOT.format(x=f"{place:.2f}%", y=p.row * ROW, kind="full" if p.full else "hollow", told=p.told))
    return Markup("").join([*drawn, Markup("</svg>")])


_SVG = Markup(
    '<svg class="chart {kind}" role="img" width="100%" height="{height}" aria-label="{title}">'
    "<title>{title}</title><desc>{described}</desc>"
)  # fmt: skip
_LANE = Markup('<line class="lane" x1="{x1}" y1="{y}" x2="{x2}" y2="{y}"/><text class="label" x="0.5%" y="{below}">{row}</text>')
_LINE = Markup('<line class="{kind}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>')
_DOT = Markup('<circle class="{kind}" cx="{x}" cy="{y}" r="5"><title>{told}</title></circle>')


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its hour (ISO 8601), what stands under it, its whole, the part of it that is drawn darker, and what it tells in words."""

    at: str
    label: str
    whole: int
    part: int
    told: str


HEIGHT, BELOW = 140, 22
"""Pixels of a picture with a scale, and of the words beneath it."""


def bars(found: Sequence[Bar], title: str, described: str) -> Markup:
    """Bars side by side, a part of each marked; nothing where all are empty."""
    most = max((b.whole for b in found), default=0)
    if not most:
        return Markup("")
    wide = (RIGHT - LEFT) / len(found)
    drawn = [_SVG.format(kind="bars", height=HEIGHT + BELOW, title=title, described=described), *_scale(most)]
    for n, b in enumerate(found):
        left = LEFT + n * wide
        for kind, top, high in (("whole", b.whole, b.whole - b.part), ("part", b.part, b.part)):
            if high:
                drawn.append(
                    _BAR.format(
                        kind=kind, x=f"{left + wide * 0.12:.2f}%", width=f"{wide * 0.76:.2f}%", y=f"{_level(top, most):.1f}",
                        height=f"{HEIGHT - _level(high, most):.1f}", told=b.told,
                    )
                )  # fmt: skip
        if n % 3 == 0:
            drawn.append(_HOUR.format(x=f"{left + wide / 2:.2f}%", y=HEIGHT + 16, at=b.at, label=b.label))
    return Markup("").join([*drawn, Markup("</svg>")])


def growth(times_: Sequence[str], title: str, described: str) -> Markup:
    """How many of these times (ISO 8601, in order) had come by when: a line that rises by one at each. Nothing for fewer than two."""
    if len(times_) < 2:
        return Markup("")
    seconds = [datetime.fromisoformat(t).timestamp() for t in times_]
    first, length = seconds[0], seconds[-1] - seconds[0] or 1.0
    most = len(seconds)
    path = [f"M0 {_level(0, most):.1f}"]
    for n, s in enumerate(seconds, 1):
        path.append(f"H{(s - first) / length * 1000:.1f}V{_level(n, most):.1f}")
    drawn = [_SVG.format(kind="growth", height=HEIGHT + BELOW, title=title, described=described), *_scale(most)]
    drawn.append(_WITHIN.format(x=f"{LEFT}%", width=f"{RIGHT - LEFT}%", height=HEIGHT, path="".join(path) + "H1000"))
    for place, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end")):
        x = f"{LEFT + (RIGHT - LEFT) * place:.2f}%"
        drawn.append(_UNDER.format(x=x, y=HEIGHT + 16, anchor=anchor, label=span(length * place)))
    return Markup("").join([*drawn, Markup("</svg>")])


def _scale(most: int) -> list[Markup]:
    """Lines across, at round numbers."""
    step = next(s * 10**e for e in range(12) for s in (1, 2, 5) if s * 10**e * 4 >= most)
    return [_RULE.format(y=f"{_level(n, most):.1f}", x1=f"{LEFT}%", x2=f"{RIGHT}%", label=f"{n:,}", below=f"{_level(n, most) + 4:.1f}")
            for n in range(0, most + 1, step)]  # fmt: skip


def _level(number: float, most: int) -> float:
    """How far down a number lies, in pixels."""
    return HEIGHT - (HEIGHT - 8) * number / most


_BAR = Markup('<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"><title>{told}</title></rect>')
_RULE = Markup(
    '<line class="lane" x1="{x1}" y1="{y}" x2="{x2}" y2="{y}"/><text class="label" x="5%" y="{below}" text-anchor="end">{label}</text>'
)
_UNDER = Markup('<text class="label" x="{x}" y="{y}" text-anchor="{anchor}">{label}</text>')
_HOUR = Markup('<text class="label" x="{x}" y="{y}" text-anchor="middle" data-hour="{at}">{label}</text>')
_WITHIN = Markup(
    '<svg x="{x}" y="0" width="{width}" height="{height}" viewBox="0 0 1000 {height}" preserveAspectRatio="none">'
    '<path class="rise" d="{path}"/></svg>'
)
