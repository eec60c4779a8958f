"""A report in the forms that it has: each gives pieces of text one after the other. What comes of a crawl is escaped here."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from dedup.reports.period.statistics import PeriodStatistics
from dedup.reports.period.tables import ReportCell, ReportSection, ReportTable, report_heading, report_sections
from dedup.text import sanitise
from dedup.text.sanitise import escape_mentions, format_csv_cell, format_csv_row, format_json, is_linkable_url, to_one_line, to_printable

MAX_CELL_WIDTH = 44
"""Columns of a terminal that a cell takes at most, unless it is the last one."""
CSV_COLUMNS = ("section", "publisher", "other_publisher", "hour", "kind", "severity", "url", "title", "measure", "value")


def render_json(statistics: PeriodStatistics) -> Iterator[str]:
    """All figures as one JSON object."""
    yield format_json(statistics.as_json(), indent=2) + "\n"


# For terminals


def render_text(statistics: PeriodStatistics) -> Iterator[str]:
    """Lines for a terminal."""
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
    rows = [
        [_truncate(to_printable(c.text), MAX_CELL_WIDTH if n < len(row) - 1 else 10**6) for n, c in enumerate(row)] for row in table.rows
    ]
    headings = [to_printable(h.text) for h, _ in table.columns]
    widths = [max(_width(r[n]) for r in (headings, *rows)) for n in range(len(headings))]
    aligns = [align for _, align in table.columns]

    def line(cells: list[str]) -> str:
        padded = (
            (" " * (w - _width(c)) + c) if a == "number" else c + " " * (w - _width(c))
            for c, w, a in zip(cells, widths, aligns, strict=True)
        )
        return ("  " + "  ".join(padded)).rstrip() + "\n"

    yield line(headings)
    for row, cells in zip(table.rows, rows, strict=True):
        yield line(cells)
        yield from (f"    {to_printable(c.url)}\n" for c in row if c.url and c.url != c.text)
    if table.footnote:
        yield f"  {to_printable(table.footnote)}\n"


def _width(value: str) -> int:
    """Columns of a terminal."""
    return sum(0 if unicodedata.combining(c) or c in "\u200c\u200d" else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value)


def _truncate(value: str, max_width: int) -> str:
    if _width(value) <= max_width:
        return value
    characters, width = [], 1
    for c in value:
        width += _width(c)
        if width > max_width:
            break
        characters.append(c)
    return "".join(characters).rstrip() + "…"


# For Markdown


def render_markdown(statistics: PeriodStatistics) -> Iterator[str]:
    """CommonMark with tables, as GitHub has them."""
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
    """One row of the tidy table: a value, what it measures, and of what."""

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
    """One tidy table: a row for each figure."""
    yield format_csv_row(list(CSV_COLUMNS))
    for fact in facts(statistics):
        yield format_csv_row([format_csv_cell(getattr(fact, name)) for name in CSV_COLUMNS])


def facts(statistics: PeriodStatistics) -> Iterator[Fact]:
    """Every figure by itself. Publishers that are counted together are `*`."""
    yield from (Fact("header", x.name, v) for x in fields(statistics.header) if (v := getattr(statistics.header, x.name)) is not None)
    for h in statistics.publishers:
        values = {"articles": h.articles, "copies": h.copies, "own_copies": h.own_copies, "copy_share": h.copy_share}
        yield from (Fact("publishers", m, v, publisher=_publisher_or_star(h.publisher)) for m, v in values.items())
    for hour in statistics.hours:
        yield Fact("hours", "articles", hour.articles, hour=hour.hour)
        yield Fact("hours", "copies", hour.copies, hour=hour.hour)
    for r in statistics.hourly_histograms:
        yield from (
            Fact("hourly_histograms", "articles", n, publisher=_publisher_or_star(r.publisher), hour=f"{h}")
            for h, n in enumerate(r.articles)
            if n
        )
    for c in statistics.checks:
        yield Fact("checks", "crawls", c.crawls, publisher=_publisher_or_star(c.publisher), kind=c.cause or c.check)
    yield from (Fact("clusters", name, n) for name, n in statistics.clusters.items())
    for list_name in ("largest_clusters", "newest_clusters", "fastest_clusters"):
        for t in getattr(statistics, list_name):
            for m in (
                "articles",
                "publishers",
                "first_published_at",
                "last_published_at",
                "started_at",
                "last_joined_at",
                "first_hour_articles",
            ):
                yield Fact(list_name, m, getattr(t, m), publisher=t.publisher, url=t.url, title=t.title)
    for s in statistics.cluster_growth:
        yield from (Fact("cluster_growth", "articles", n, hour=f"{seconds / 3600:g}", url=s.url, title=s.title) for seconds, n in s.points)
    for st in statistics.lags.ranks:
        yield Fact("ranks", "first", st.first, publisher=_publisher_or_star(st.publisher))
        yield Fact("ranks", "followed", st.followed, publisher=_publisher_or_star(st.publisher))
        if st.median_seconds is not None:
            yield Fact("ranks", "median_seconds", st.median_seconds, publisher=_publisher_or_star(st.publisher))
    for lag in statistics.lags.matrix:
        yield Fact(
            "lags", "followed", lag.followed, publisher=_publisher_or_star(lag.leader), other_publisher=_publisher_or_star(lag.follower)
        )
        yield Fact(
            "lags",
            "median_seconds",
            lag.median_seconds,
            publisher=_publisher_or_star(lag.leader),
            other_publisher=_publisher_or_star(lag.follower),
        )
    for e in statistics.edited_pages:
        for m in ("changes", "silent", "last_changed_at"):
            yield Fact("edited_pages", m, getattr(e, m), publisher=e.publisher, url=e.url, title=e.title)
    for k in statistics.changes_by_kind:
        yield Fact("changes_by_kind", "changes", k.changes, kind=k.kind, severity=k.severity)
        yield Fact("changes_by_kind", "silent", k.silent, kind=k.kind, severity=k.severity)
    for a in statistics.edit_delays:
        span = f"{a.begin_hours}-{a.end_hours}" if a.end_hours is not None else f"{a.begin_hours}-"
        yield Fact("edit_delays", "changes", a.changes, hour=span)
        yield Fact("edit_delays", "silent", a.silent, hour=span)
    yield Fact("edit_delays", "changes", statistics.edits_without_publication_time, kind="no_publication_time")
    yield Fact("edit_delays", "changes", statistics.edits_before_publication, kind="before_publication")
    for edit in statistics.silent_edits:
        yield Fact(
            "silent_edits", "at", edit.at, publisher=edit.publisher, kind=edit.kind, severity=edit.severity, url=edit.url, title=edit.title
        )
    yield Fact("silent_edits", "more", statistics.more_silent_edits)
    yield from (Fact("faults", "files", t.files, kind=t.kind) for t in statistics.faults or ())


def _publisher_or_star(publisher: str | None) -> str:
    return "*" if publisher is None else publisher


def render_html(statistics: PeriodStatistics) -> Iterator[str]:
    """One page with all of it, that needs nothing else."""
    from dedup.reports.period.html import render_page

    yield from render_page(statistics, format_json(statistics.as_json(), indent=2))


REPORT_FORMATS: dict[str, Callable[[PeriodStatistics], Iterator[str]]] = {
    "html": render_html,
    "text": render_text,
    "json": render_json,
    "csv": render_csv,
    "markdown": render_markdown,
}
"""What a report can be had as."""
