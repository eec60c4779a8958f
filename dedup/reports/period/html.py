"""A report as one page of HTML, without anything of elsewhere: its style, its pictures and its figures are in it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import log

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from dedup import charts
from dedup.charts import AxisTick, ChartColumn, StepLine
from dedup.reports.period.statistics import ClusterGrowth, PeriodStatistics
from dedup.reports.period.tables import ReportCell, articles_by_time, format_delay_range, report_heading, report_sections
from dedup.text.format import format_duration
from dedup.text.sanitise import escape_script, finalize_html, is_linkable_url, language_tag, to_printable, truncate

MAX_COLUMNS = 96
"""Columns of the picture of hours at most."""
TIME_SCALE = (
    (900, "15 min"),
    (3600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 d"),
    (604_800, "7 d"),
    (2_592_000, "30 d"),
    (31_536_000, "1 y"),
)
"""Ticks of time after a first publication, on a scale on which each is as far from the next."""


@dataclass(frozen=True, slots=True)
class ReportChart:
    """An SVG, what it is of, and what each of its series is."""

    svg: Markup
    caption: str
    legend: tuple[tuple[Markup, str], ...]


def render_page(statistics: PeriodStatistics, statistics_json: str) -> Iterator[str]:
    """The page; `statistics_json` are the same statistics as JSON."""
    environment = _environment()
    style = environment.get_template("report.css").render()
    title, period, notes = report_heading(statistics)
    template = environment.get_template("report.html")
    yield from template.generate(
        title=title,
        period=period,
        notes=notes,
        sections=list(report_sections(statistics)),
        charts={
            "articles": _articles_chart(statistics),
            "clusters": _cluster_growth_chart(statistics),
            "changes": _edit_delay_chart(statistics),
        },
        style=Markup(style),  # noqa: S704  it is ours
        style_digest=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
        statistics=Markup(escape_script(statistics_json)),  # noqa: S704  it escapes
    )
    yield "\n"


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("dedup", "share/report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=finalize_html,
    )
    environment.filters["cell"] = _format_cell
    return environment


def _format_cell(cell: ReportCell) -> Markup:
    """Words of a crawl turn nothing round that stands beside them; an address is a link if it is one of the web."""
    if cell.is_trusted:
        markup = Markup("{}").format(cell.text)
    else:
        markup = Markup('<bdi lang="{}">{}</bdi>').format(language_tag(cell.text), to_printable(" ".join(cell.text.split())))
    if cell.url:
        if is_linkable_url(cell.url):
            markup = Markup('<a href="{}" rel="noreferrer">{}</a>').format(cell.url, markup)
        elif cell.url != cell.text:
            markup += Markup("<small>{}</small>").format(to_printable(cell.url))
    if cell.subtext:
        markup += Markup("<small>{}</small>").format(cell.subtext)
    return markup


def _legend(names: tuple[str, ...], kind: str = "columns") -> tuple[tuple[Markup, str], ...]:
    return tuple((Markup(charts.render_swatch(n, kind)), name) for n, name in enumerate(names, 1))  # noqa: S704


def _articles_chart(statistics: PeriodStatistics) -> ReportChart | None:
    series = articles_by_time(statistics, MAX_COLUMNS)
    if series is None:
        return None
    is_hourly = series.unit == "hour"
    columns = [
        ChartColumn(
            begin.strftime("%m-%d %H:00") if is_hourly else begin.date().isoformat(),
            values,
            f"{begin.isoformat(' ', 'minutes') if is_hourly else begin.date().isoformat()}: {sum(values):,} articles, {values[1]:,} copies",
        )
        for begin, values in zip(series.begins, series.sums, strict=True)
    ]
    caption = f"Articles by {series.unit}, by their first crawl"
    highest = max(columns, key=lambda c: sum(c.values))
    svg = charts.render_columns(caption, f"{len(columns)} columns, one for each {series.unit}. The most: {highest.tooltip}.", columns)
    return ReportChart(Markup(svg), caption, _legend(("articles of their own, or the first of them", "copies")))  # noqa: S704


def _cluster_growth_chart(statistics: PeriodStatistics) -> ReportChart | None:
    if not statistics.cluster_growth:
        return None
    longest_seconds = max(s.points[-1][0] for s in statistics.cluster_growth)
    ticks = [t for t in TIME_SCALE if t[0] <= longest_seconds][-5:] or [TIME_SCALE[0]]
    lines = [
        StepLine(tuple((_scale_position(seconds, longest_seconds), n) for seconds, n in s.points), _describe_growth(s))
        for s in statistics.cluster_growth
    ]
    caption = "How the largest clusters grew after their first publication"
    description = "; ".join(line.tooltip for line in lines)
    svg = charts.render_step_lines(
        caption, to_printable(description), lines, [AxisTick(_scale_position(s, longest_seconds), label) for s, label in ticks]
    )
    labels = tuple(truncate(" ".join(to_printable(s.title).split()), 60) or s.url for s in statistics.cluster_growth)
    return ReportChart(Markup(svg), f"{caption}; the time is drawn closer the later it is", _legend(labels, "steps"))  # noqa: S704


def _describe_growth(growth: ClusterGrowth) -> str:
    seconds, articles = growth.points[-1]
    return to_printable(f"{truncate(' '.join(growth.title.split()), 60)}: {articles:,} articles within {format_duration(seconds)}")


def _scale_position(seconds: int, longest_seconds: int) -> float:
    """Between 0 and 1: even from tick to tick of the scale, and so beyond the last."""
    return _ticks_before(seconds) / (_ticks_before(longest_seconds) or 1.0)


def _ticks_before(seconds: float) -> float:
    """Ticks that lie before it; between two of them by the logarithm."""
    first = TIME_SCALE[0][0]
    if seconds <= first:
        return seconds / first
    for n, ((before, _), (at, _)) in enumerate(pairwise(TIME_SCALE), 1):
        if seconds < at:
            return n + log(seconds / before) / log(at / before)
    return len(TIME_SCALE) + log(seconds / TIME_SCALE[-1][0]) / log(12)


def _edit_delay_chart(statistics: PeriodStatistics) -> ReportChart | None:
    if not any(a.changes for a in statistics.edit_delays):
        return None
    columns = [
        ChartColumn(
            format_delay_range(a),
            (a.changes - a.silent, a.silent),
            f"{format_delay_range(a)}: {a.changes:,} changes, {a.silent:,} of them silent",
        )
        for a in statistics.edit_delays
    ]
    caption = "Changes of title or body by time after publication"
    highest = max(columns, key=lambda c: sum(c.values))
    svg = charts.render_columns(caption, f"The most: {highest.tooltip}.", columns, max_labels=5)
    return ReportChart(Markup(svg), caption, _legend(("marked as a correction, or not of substance", "silent")))  # noqa: S704
