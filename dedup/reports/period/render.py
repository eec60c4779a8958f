"""Renders a report as text, Markdown, HTML, CSV and JSON. Each renderer yields pieces of text and escapes crawled text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from dedup.reports.period.statistics import PeriodStatistics
from dedup.reports.period.tables import ReportCell, ReportSection, ReportTable, report_heading, report_sections
from dedup.text import sanitise
from dedup.text.sanitise import escape_mentions, format_csv_cell, format_csv_row, format_json, is_linkable_url, to_one_line, to_printable

MAX_CELL_WIDTH = 44
"""Terminal columns of a cell, at most. The last cell of a row is not limited."""
MAX_LINE_WIDTH = 10_000
"""Terminal columns of a line, at most: more than any table has."""
CLUSTER_MEASURES = (
    "articles", "publishers", "first_published_at", "last_published_at", "started_at", "last_joined_at", "first_hour_articles",
)  # fmt: skip
CSV_COLUMNS = ("section", "publisher", "other_publisher", "hour", "kind", "severity", "url", "title", "measure", "value")


def render_json(statistics: PeriodStatistics) -> Iterator[str]:
    """Render all statistics as one JSON object."""
    yield format_json(statistics.as_json(), indent=2) + "\n"


# For terminals


def render_text(statistics: PeriodStatistics) -> Iterator[str]:
    """Render lines for a terminal."""
    title, period, notes = report_heading(statistics)
    yield f"{to_printable(title)}, {period}\n" + "".join(f"{to_printable(r)}\n" for r in notes)
    for section in report_sections(statistics):
        yield f"\n{section.title.upper()}\n" + "".join(f"{to_printable(line)}\n" for line in section.lead)
        for table in _text_tables(section):
            yield f"\n{table.caption}\n"
            yield from _render_text_table(table)


def _text_tables(section: ReportSection) -> Iterator[ReportTable]:
    return (table for table in section.tables if table.rows and table.medium != "html")


def _render_text_table(table: ReportTable) -> Iterator[str]:
    header, *lines = _layout_rows(table)
    yield header
    for row, line in zip(table.rows, lines, strict=True):
        yield line
        yield from (f"    {to_printable(cell.url)}\n" for cell in row if cell.url and cell.url != cell.text)
    if table.footnote:
        yield f"  {to_printable(table.footnote)}\n"


def _layout_rows(table: ReportTable) -> list[str]:
    """Return the header and the rows of a table as lines in aligned columns. Does not depend on the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    layout = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, (heading, align) in enumerate(table.columns, 1):
        layout.add_column(
            Text(to_printable(heading.text)),
            justify="right" if align == "number" else "left",
            max_width=None if number == len(table.columns) else MAX_CELL_WIDTH,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in table.rows:
        layout.add_row(*(Text(to_printable(cell.text)) for cell in row))
    console = Console(width=MAX_LINE_WIDTH, color_system=None, force_terminal=False, force_jupyter=False, legacy_windows=False, _environ={})
    lines = console.render_lines(layout, pad=False)
    return [("  " + "".join(segment.text for segment in line)).rstrip() + "\n" for line in lines]


# For Markdown


def render_markdown(statistics: PeriodStatistics) -> Iterator[str]:
    """Render CommonMark with GitHub's tables."""
    title, period, notes = report_heading(statistics)
    yield f"# {_escape_markdown(title)}, {period}\n\n" + "".join(f"{_escape_markdown(r)}\n" for r in notes)
    for section in report_sections(statistics):
        yield f"\n## {section.title}\n\n" + "".join(f"{_escape_markdown(line)}\n" for line in section.lead)
        for table in _text_tables(section):
            yield f"\n{table.caption}:\n\n{_markdown_row(_escape_markdown(h.text) for h, _ in table.columns)}"
            yield _markdown_row("--:" if align == "number" else "---" for _, align in table.columns)
            yield from (_markdown_row(map(_markdown_cell, row)) for row in table.rows)
            if table.footnote:
                yield f"\n{_escape_markdown(table.footnote)}\n"


def _escape_markdown(value: str) -> str:
    return sanitise.escape_markdown(to_one_line(value))


def _markdown_cell(table_cell: ReportCell) -> str:
    label = sanitise.escape_markdown_cell(to_one_line(table_cell.text))
    if table_cell.url and is_linkable_url(table_cell.url):
        return f"[{label}](<{escape_mentions(table_cell.url)}>)"
    return label


def _markdown_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


# For spreadsheets


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the tidy table: a value, its measure, and the dimensions it applies to."""

    section: str
    measure: str
    value: Any
    publisher: str | None = None
    other_publisher: str | None = None
    hour: str | None = None
    kind: str | None = None
    severity: str | None = None
    url: str | None = None
    title: str | None = None


def render_csv(statistics: PeriodStatistics) -> Iterator[str]:
    """Render one tidy table with a row for each number."""
    yield format_csv_row(list(CSV_COLUMNS))
    for fact in facts(statistics):
        yield format_csv_row([format_csv_cell(getattr(fact, name)) for name in CSV_COLUMNS])


def facts(statistics: PeriodStatistics) -> Iterator[Fact]:
    """Yield every number by itself. Publishers that are combined are `*`."""
    yield from (Fact("header", x.name, v) for x in fields(statistics.header) if (v := getattr(statistics.header, x.name)) is not None)
    yield from _article_facts(statistics)
    yield from _cluster_facts(statistics)
    yield from _lag_facts(statistics)
    yield from _change_facts(statistics)
    yield from (Fact("faults", "files", fault.files, kind=fault.kind) for fault in statistics.faults or ())


def _article_facts(statistics: PeriodStatistics) -> Iterator[Fact]:
    for row in statistics.publishers:
        values = {"articles": row.articles, "copies": row.copies, "own_copies": row.own_copies, "copy_share": row.copy_share}
        yield from (Fact("publishers", m, v, publisher=_publisher_or_star(row.publisher)) for m, v in values.items())
    for hour in statistics.hours:
        yield Fact("hours", "articles", hour.articles, hour=hour.hour)
        yield Fact("hours", "copies", hour.copies, hour=hour.hour)
    for histogram in statistics.hourly_histograms:
        yield from (
            Fact("hourly_histograms", "articles", n, publisher=_publisher_or_star(histogram.publisher), hour=f"{h}")
            for h, n in enumerate(histogram.articles)
            if n
        )
    for check in statistics.checks:
        yield Fact(
            "checks", "crawls", check.crawls, publisher=_publisher_or_star(check.publisher), kind=check.check_cause or check.check_status
        )


def _cluster_facts(statistics: PeriodStatistics) -> Iterator[Fact]:
    yield from (Fact("clusters", name, n) for name, n in statistics.clusters.items())
    for list_name in ("largest_clusters", "newest_clusters", "fastest_clusters"):
        for cluster in getattr(statistics, list_name):
            for measure in CLUSTER_MEASURES:
                value = getattr(cluster, measure)
                yield Fact(list_name, measure, value, publisher=cluster.publisher, url=cluster.url, title=cluster.title)
    for growth in statistics.cluster_growth:
        yield from (
            Fact("cluster_growth", "articles", n, hour=f"{seconds / 3600:g}", url=growth.url, title=growth.title)
            for seconds, n in growth.points
        )


def _lag_facts(statistics: PeriodStatistics) -> Iterator[Fact]:
    for rank in statistics.lags.ranks:
        publisher = _publisher_or_star(rank.publisher)
        yield Fact("ranks", "first", rank.first, publisher=publisher)
        yield Fact("ranks", "later", rank.later, publisher=publisher)
        if rank.median_seconds is not None:
            yield Fact("ranks", "median_seconds", rank.median_seconds, publisher=publisher)
    for lag in statistics.lags.matrix:
        publisher, other_publisher = _publisher_or_star(lag.first_publisher), _publisher_or_star(lag.later_publisher)
        yield Fact("lags", "clusters", lag.clusters, publisher=publisher, other_publisher=other_publisher)
        yield Fact("lags", "median_seconds", lag.median_seconds, publisher=publisher, other_publisher=other_publisher)


def _change_facts(statistics: PeriodStatistics) -> Iterator[Fact]:
    for page in statistics.edited_pages:
        for measure in ("changes", "silent", "last_changed_at"):
            yield Fact("edited_pages", measure, getattr(page, measure), publisher=page.publisher, url=page.url, title=page.title)
    for count in statistics.changes_by_kind:
        yield Fact("changes_by_kind", "changes", count.changes, kind=count.kind, severity=count.severity)
        yield Fact("changes_by_kind", "silent", count.silent, kind=count.kind, severity=count.severity)
    for bucket in statistics.edit_delays:
        hours = f"{bucket.begin_hours}-{bucket.end_hours}" if bucket.end_hours is not None else f"{bucket.begin_hours}-"
        yield Fact("edit_delays", "changes", bucket.changes, hour=hours)
        yield Fact("edit_delays", "silent", bucket.silent, hour=hours)
    yield Fact("edit_delays", "changes", statistics.edits_without_publication_time, kind="no_publication_time")
    yield Fact("edit_delays", "changes", statistics.edits_before_publication, kind="before_publication")
    for edit in statistics.silent_edits:
        yield Fact(
            "silent_edits", "at", edit.at, publisher=edit.publisher, kind=edit.kind, severity=edit.severity, url=edit.url, title=edit.title
        )
    yield Fact("silent_edits", "more", statistics.more_silent_edits)


def _publisher_or_star(publisher: str | None) -> str:
    return "*" if publisher is None else publisher


def render_html(statistics: PeriodStatistics) -> Iterator[str]:
    """Render one self-contained page."""
    from dedup.reports.period.html import render_page

    yield from render_page(statistics, format_json(statistics.as_json(), indent=2))


REPORT_FORMATS: dict[str, Callable[[PeriodStatistics], Iterator[str]]] = {
    "html": render_html,
    "text": render_text,
    "json": render_json,
    "csv": render_csv,
    "markdown": render_markdown,
}
"""Name of a format → its renderer."""
