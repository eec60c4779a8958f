"""A report as one page of HTML, without anything of elsewhere: its style, its pictures and its figures are in it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dedup import charts
from dedup.charts import Column, Steps, Tick
from dedup.reports.period.statistics import Figures, Spread
from dedup.reports.period.tables import Cell, duration, edit_span, heading, sections, spans
from dedup.text.normalise import printable
from dedup.text.sanitise import cut, is_address

COLUMNS = 96
"""Columns of the picture of hours at most."""
SCALE = (
    (900, "15 min"),
    (3600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 d"),
    (604_800, "7 d"),
    (2_592_000, "30 d"),
    (31_536_000, "1 y"),
)
"""Ticks of time after a first publication, on a scale on which each is as far from the next."""
_HANGUL = re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG, what it is of, and what each of its series is."""

    svg: Markup
    caption: str
    legend: tuple[tuple[Markup, str], ...]


def page(f: Figures, figures: str) -> Iterator[str]:
    """The page; `figures` are the same as JSON."""
    environment = _environment()
    style = environment.get_template("report.css").render()
    title, period, remarks = heading(f)
    template = environment.get_template("report.html")
    yield from template.generate(
        title=title,
        period=period,
        remarks=remarks,
        sections=list(sections(f)),
        pictures={"articles": _hours(f), "clusters": _spread(f), "changes": _edits(f)},
        style=Markup(style),  # noqa: S704  it is ours
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        figures=Markup(figures.replace("<", "\\u003c")),  # noqa: S704  neither a tag nor a comment begins in it
    )
    yield "\n"


@lru_cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("dedup", "share/report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finished,
    )
    made.filters["cell"] = _cell
    return made


def _finished(value: Any) -> Any:
    """What any expression of a template gives, before it is escaped: on one line, with what steers spelt out."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else printable(value)


def _cell(cell: Cell) -> Markup:
    """Words of a crawl turn nothing round that stands beside them; an address is a link if it is one of the web."""
    if cell.ours:
        shown = Markup("{}").format(cell.text)
    else:
        lang = "ko" if _HANGUL.search(cell.text) else ""
        shown = Markup('<bdi lang="{}">{}</bdi>').format(lang, printable(" ".join(cell.text.split())))
    if cell.url:
        if is_address(cell.url):
            shown = Markup('<a href="{}" rel="noreferrer">{}</a>').format(cell.url, shown)
        elif cell.url != cell.text:
            shown += Markup("<small>{}</small>").format(printable(cell.url))
    if cell.beneath:
        shown += Markup("<small>{}</small>").format(cell.beneath)
    return shown


def _legend(names: tuple[str, ...], kind: str = "columns") -> tuple[tuple[Markup, str], ...]:
    return tuple((Markup(charts.swatch(n, kind)), name) for n, name in enumerate(names, 1))  # noqa: S704


def _hours(f: Figures) -> Picture | None:
    found = spans(f, COLUMNS)
    if found is None:
        return None
    hourly = found.unit == "hour"
    shown = [
        Column(
            begin.strftime("%m-%d %H:00") if hourly else begin.date().isoformat(),
            values,
            f"{begin.isoformat(' ', 'minutes') if hourly else begin.date().isoformat()}: {sum(values):,} articles, {values[1]:,} copies",
        )
        for begin, values in zip(found.begins, found.sums, strict=True)
    ]
    caption = f"Articles by {found.unit}, by their first crawl"
    most = max(shown, key=lambda c: sum(c.values))
    svg = charts.columns(caption, f"{len(shown)} columns, one for each {found.unit}. The most: {most.told}.", shown)
    return Picture(Markup(svg), caption, _legend(("articles of their own, or the first of them", "copies")))  # noqa: S704


def _spread(f: Figures) -> Picture | None:
    if not f.spread:
        return None
    longest = max(s.points[-1][0] for s in f.spread)
    ticks = [t for t in SCALE if t[0] <= longest][-5:] or [SCALE[0]]
    lines = [Steps(tuple((_place(seconds, longest), n) for seconds, n in s.points), _grown(s)) for s in f.spread]
    caption = "How the largest clusters grew after their first publication"
    told = "; ".join(line.told for line in lines)
    svg = charts.steps(caption, printable(told), lines, [Tick(_place(s, longest), label) for s, label in ticks])
    names = tuple(cut(" ".join(printable(s.title).split()), 60) or s.url for s in f.spread)
    return Picture(Markup(svg), f"{caption}; the time is drawn closer the later it is", _legend(names, "steps"))  # noqa: S704


def _grown(s: Spread) -> str:
    seconds, articles = s.points[-1]
    return printable(f"{cut(' '.join(s.title.split()), 60)}: {articles:,} articles within {duration(seconds)}")


def _place(seconds: int, longest: int) -> float:
    """Between 0 and 1: even from tick to tick of the scale, and so beyond the last."""
    return _along(seconds) / (_along(longest) or 1.0)


def _along(seconds: float) -> float:
    """Ticks that lie before it; between two of them by the logarithm."""
    first = SCALE[0][0]
    if seconds <= first:
        return seconds / first
    for n, ((before, _), (at, _)) in enumerate(pairwise(SCALE), 1):
        if seconds < at:
            return n + log(seconds / before) / log(at / before)
    return len(SCALE) + log(seconds / SCALE[-1][0]) / log(12)


def _edits(f: Figures) -> Picture | None:
    if not any(a.changes for a in f.after):
        return None
    shown = [
        Column(edit_span(a), (a.changes - a.stealth, a.stealth), f"{edit_span(a)}: {a.changes:,} changes, {a.stealth:,} of them stealthy")
        for a in f.after
    ]
    caption = "Changes of title or body by time after publication"
    most = max(shown, key=lambda c: sum(c.values))
    svg = charts.columns(caption, f"The most: {most.told}.", shown, labels=5)
    return Picture(Markup(svg), caption, _legend(("owned up to, or of no substance", "stealthy")))  # noqa: S704
