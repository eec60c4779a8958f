"""Renders a report as one self-contained HTML page with its style, charts and statistics embedded."""

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
"""Columns of the chart of articles by time, at most."""
TIME_SCALE = (
    (900, "15 min"),
    (3600, "1 h"),
    (21_600, "6 h"),
    (86_400, "1 d"),
    (604_800, "7 d"),
    (2_592_000, "30 d"),
    (31_536_000, "1 y"),
)
"""Ticks of the time after the first publication, as (seconds, label). They are equidistant on the axis."""


@dataclass(frozen=True, slots=True)
class ReportChart:
    """A chart: SVG, caption, and (swatch, label) of each series."""

    svg: Markup
    caption: str
    legend: tuple[tuple[Markup, str], ...]


def render_page(statistics: PeriodStatistics, statistics_json: str) -> Iterator[str]:
    """Yield the page in pieces. `statistics_json` is embedded in it."""
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
        style=Markup(style),  # noqa: S704  part of the program
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
    """Render a cell. Crawled text is isolated (`bdi`), so that its writing direction cannot affect its surroundings.

    A URL becomes a link only if it is http or https.
    """
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
    svg = charts.render_columns(caption, f"{len(columns)} columns, one per {series.unit}. Highest: {highest.tooltip}.", columns)
    return ReportChart(Markup(svg), caption, _legend(("articles that are not copies", "copies")))  # noqa: S704


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
    return ReportChart(Markup(svg), f"{caption} (logarithmic time axis)", _legend(labels, "steps"))  # noqa: S704


def _describe_growth(growth: ClusterGrowth) -> str:
    seconds, articles = growth.points[-1]
    return to_printable(f"{truncate(' '.join(growth.title.split()), 60)}: {articles:,} articles within {format_duration(seconds)}")


def _scale_position(seconds: int, longest_seconds: int) -> float:
    """Return the position of a time on the axis, from 0 to 1. The ticks of TIME_SCALE are equidistant."""
    return _ticks_before(seconds) / (_ticks_before(longest_seconds) or 1.0)


def _ticks_before(seconds: float) -> float:
    """Return the number of ticks before a time, with a fraction that is logarithmic between two ticks."""
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
    svg = charts.render_columns(caption, f"Highest: {highest.tooltip}.", columns, max_labels=5)
    return ReportChart(Markup(svg), caption, _legend(("marked as a correction, or not substantive", "silent")))  # noqa: S704
