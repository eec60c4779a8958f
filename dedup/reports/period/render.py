"""A report in the forms that it has: each gives pieces of text one after the other. What comes of a crawl is escaped here."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any

from dedup.reports.period.statistics import Figures
from dedup.reports.period.tables import Cell, Section, Table, heading, sections
from dedup.text import sanitise
from dedup.text.normalise import printable
from dedup.text.sanitise import cell, csv_line, dumps, is_address, one_line, uncalling

WIDEST = 44
"""Columns of a terminal that a cell takes at most, unless it is the last one."""
CSV_COLUMNS = ("section", "publisher", "other", "hour", "kind", "severity", "url", "title", "measure", "value")


def json(f: Figures) -> Iterator[str]:
    """All figures as one JSON object."""
    yield dumps(f.as_json(), indent=2) + "\n"


# For terminals


def text(f: Figures) -> Iterator[str]:
    """Lines for a terminal."""
    title, period, remarks = heading(f)
    yield f"{printable(title)}, {period}\n" + "".join(f"{printable(r)}\n" for r in remarks)
    for section in sections(f):
        yield f"\n{section.title.upper()}\n" + "".join(f"{printable(line)}\n" for line in section.lead)
        for table in _plain(section):
            yield f"\n{table.caption}\n"
            yield from _text_table(table)


def _plain(section: Section) -> Iterator[Table]:
    return (table for table in section.tables if table.rows and table.where != "html")


def _text_table(table: Table) -> Iterator[str]:
    rows = [[_cut(printable(c.text), WIDEST if n < len(row) - 1 else 10**6) for n, c in enumerate(row)] for row in table.rows]
    heads = [printable(h.text) for h, _ in table.columns]
    widths = [max(_width(r[n]) for r in (heads, *rows)) for n in range(len(heads))]
    aligns = [align for _, align in table.columns]

    def line(cells: list[str]) -> str:
        padded = (
            (" " * (w - _width(c)) + c) if a == "number" else c + " " * (w - _width(c))
            for c, w, a in zip(cells, widths, aligns, strict=True)
        )
        return ("  " + "  ".join(padded)).rstrip() + "\n"

    yield line(heads)
    for row, shown in zip(table.rows, rows, strict=True):
        yield line(shown)
        yield from (f"    {printable(c.url)}\n" for c in row if c.url and c.url != c.text)
    if table.more:
        yield f"  {printable(table.more)}\n"


def _width(shown: str) -> int:
    """Columns of a terminal."""
    return sum(0 if unicodedata.combining(c) or c in "\u200c\u200d" else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown)


def _cut(shown: str, most: int) -> str:
    if _width(shown) <= most:
        return shown
    kept, width = [], 1
    for c in shown:
        width += _width(c)
        if width > most:
            break
        kept.append(c)
    return "".join(kept).rstrip() + "…"


# For Markdown


def markdown(f: Figures) -> Iterator[str]:
    """CommonMark with tables, as GitHub has them."""
    title, period, remarks = heading(f)
    yield f"# {_md(title)}, {period}\n\n" + "".join(f"{_md(r)}\n" for r in remarks)
    for section in sections(f):
        yield f"\n## {section.title}\n\n" + "".join(f"{_md(line)}\n" for line in section.lead)
        for table in _plain(section):
            yield f"\n{table.caption}:\n\n{_md_row(_md(h.text) for h, _ in table.columns)}"
            yield _md_row("--:" if align == "number" else "---" for _, align in table.columns)
            yield from (_md_row(map(_md_cell, row)) for row in table.rows)
            if table.more:
                yield f"\n{_md(table.more)}\n"


def _md(words: str) -> str:
    return sanitise.markdown(one_line(words))


def _md_cell(c: Cell) -> str:
    shown = _md(c.text).replace("|", "\\|")
    if c.url and is_address(c.url):
        return f"[{shown}](<{uncalling(c.url)}>)"
    return shown


def _md_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


# For spreadsheets


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of the tidy table: a value, what it measures, and of what."""

    section: str
    measure: str
    value: Any
    publisher: str | None = None
    other: str | None = None
    hour: str | None = None
    kind: str | None = None
    severity: str | None = None
    url: str | None = None
    title: str | None = None


def csv(f: Figures) -> Iterator[str]:
    """One tidy table: a row for each figure."""
    yield csv_line(list(CSV_COLUMNS))
    for fact in facts(f):
        yield csv_line([cell(getattr(fact, name)) for name in CSV_COLUMNS])


def facts(f: Figures) -> Iterator[Fact]:
    """Every figure by itself. Publishers that are told together are `*`."""
    yield from (Fact("report", x.name, v) for x in fields(f.head) if (v := getattr(f.head, x.name)) is not None)
    for h in f.publishers:
        values = {"articles": h.articles, "copies": h.copies, "own_copies": h.own_copies, "share": h.share}
        yield from (Fact("publishers", m, v, publisher=_all(h.publisher)) for m, v in values.items())
    for hour in f.hours:
        yield Fact("hours", "articles", hour.articles, hour=hour.hour)
        yield Fact("hours", "copies", hour.copies, hour=hour.hour)
    for r in f.rhythm:
        yield from (Fact("rhythm", "articles", n, publisher=_all(r.publisher), hour=f"{h}") for h, n in enumerate(r.articles) if n)
    for c in f.checks:
        yield Fact("checks", "crawls", c.crawls, publisher=_all(c.publisher), kind=c.cause or c.check)
    yield from (Fact("clusters", name, n) for name, n in f.clusters.items())
    for which in ("largest", "newest", "fastest"):
        for t in getattr(f, which):
            for m in ("articles", "publishers", "first_published", "last_published", "begun_at", "newest_at", "first_hour"):
                yield Fact(which, m, getattr(t, m), publisher=t.publisher, url=t.url, title=t.title)
    for s in f.spread:
        yield from (Fact("spread", "articles", n, hour=f"{seconds / 3600:g}", url=s.url, title=s.title) for seconds, n in s.points)
    for st in f.lags.standings:
        yield Fact("standings", "first", st.first, publisher=_all(st.publisher))
        yield Fact("standings", "followed", st.followed, publisher=_all(st.publisher))
        if st.median_seconds is not None:
            yield Fact("standings", "median_seconds", st.median_seconds, publisher=_all(st.publisher))
    for lag in f.lags.matrix:
        yield Fact("lags", "followed", lag.followed, publisher=_all(lag.leader), other=_all(lag.follower))
        yield Fact("lags", "median_seconds", lag.median_seconds, publisher=_all(lag.leader), other=_all(lag.follower))
    for e in f.edited:
        for m in ("changes", "stealth", "last_at"):
            yield Fact("edited", m, getattr(e, m), publisher=e.publisher, url=e.url, title=e.title)
    for k in f.changes:
        yield Fact("changes", "changes", k.changes, kind=k.kind, severity=k.severity)
        yield Fact("changes", "stealth", k.stealth, kind=k.kind, severity=k.severity)
    for a in f.after:
        span = f"{a.begin}-{a.end}" if a.end is not None else f"{a.begin}-"
        yield Fact("after", "changes", a.changes, hour=span)
        yield Fact("after", "stealth", a.stealth, hour=span)
    yield Fact("after", "changes", f.after_unknown, kind="unknown")
    yield Fact("after", "changes", f.after_before, kind="before")
    for edit in f.stealth:
        yield Fact(
            "stealth", "at", edit.at, publisher=edit.publisher, kind=edit.kind, severity=edit.severity, url=edit.url, title=edit.title
        )
    yield Fact("stealth", "more", f.stealth_more)
    yield from (Fact("faults", "files", t.files, kind=t.kind) for t in f.faults or ())


def _all(publisher: str | None) -> str:
    return "*" if publisher is None else publisher


def html(f: Figures) -> Iterator[str]:
    """One page with all of it, that needs nothing else."""
    from dedup.reports.period.html import page

    yield from page(f, dumps(f.as_json(), indent=2))


FORMS: dict[str, Callable[[Figures], Iterator[str]]] = {"html": html, "text": text, "json": json, "csv": csv, "markdown": markdown}
"""What a report can be had as."""
