"""A report as sections and tables, which every format renders. Cells contain crawled text as it is; the renderers escape it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from zoneinfo import ZoneInfo

from dedup.model import SEVERITIES
from dedup.reports.period.lags import FollowLags, Lag
from dedup.reports.period.statistics import ClusterRow, EditDelayBucket, PeriodStatistics, SilentEdit
from dedup.reports.period.time_buckets import TimeSeries, group_hours
from dedup.text import times
from dedup.text.format import format_count, format_duration
from dedup.text.sanitise import truncate

Align = Literal["text", "number"]
MAX_TIME_ROWS = 48
"""Rows of the table of articles by time, at most."""
MAX_PAIR_ROWS = 20
"""Rows of the table of lags by pair of publishers, at most."""
MAX_PUBLISHER_ROWS = 30
"""Rows of tables by publisher, at most."""
MAX_EVIDENCE = 3
"""Pieces of evidence per edit."""
MAX_CHARACTERS = 80
"""Characters of a title, or of a piece of evidence, at most."""
ALL_OTHERS = "all others"
NO_PUBLISHER = "no publisher"


@dataclass(frozen=True, slots=True)
class ReportCell:
    """A cell of a table.

    `url` is the page that the cell names. `subtext` is printed smaller below the text. `weight`, from 0 to 4, is the share of
    the table's maximum, for shading. `is_trusted` marks text of the program, as opposed to crawled text.
    """

    text: str
    url: str = ""
    subtext: str = ""
    weight: int = 0
    is_trusted: bool = False


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table. `columns` are (heading, alignment). `medium` limits it to HTML, or to the other formats; empty: all."""

    name: str
    caption: str
    columns: tuple[tuple[ReportCell, Align], ...]
    rows: tuple[tuple[ReportCell, ...], ...]
    footnote: str = ""
    medium: Literal["", "html", "text"] = ""


@dataclass(frozen=True, slots=True)
class ReportSection:
    """A section of a report: leading sentences, then tables."""

    name: str
    title: str
    lead: tuple[str, ...]
    tables: tuple[ReportTable, ...]


def report_heading(statistics: PeriodStatistics) -> tuple[str, str, tuple[str, ...]]:
    """Return title, period and notes of a report."""
    zone = ZoneInfo(statistics.header.zone)
    since, until = (_format_time(t, zone) if t else None for t in (statistics.header.since, statistics.header.until))
    period = f"{since} to {until}" if since and until else f"since {since}" if since else f"until {until}" if until else "all crawls"
    last_crawl = _format_time(statistics.header.last_crawl, zone) if statistics.header.last_crawl else "none"
    notes = [f"Times and hours are those of {statistics.header.zone}. Last crawl: {last_crawl}. Database {statistics.header.database}."]
    if statistics.header.dirty_pages:
        verb = "was" if statistics.header.dirty_pages == 1 else "were"
        notes.append(f"{format_count(statistics.header.dirty_pages, 'page')} {verb} just recorded and not in it yet.")
    return "Report" + (f": {statistics.header.publisher}" if statistics.header.publisher is not None else ""), period, tuple(notes)


def report_sections(statistics: PeriodStatistics) -> Iterator[ReportSection]:
    """Yield the sections of a report."""
    zone = ZoneInfo(statistics.header.zone)
    yield _articles_section(statistics)
    yield _checks_section(statistics)
    yield _clusters_section(statistics, zone)
    yield _lags_section(statistics)
    yield _changes_section(statistics, zone)
    yield _silent_edits_section(statistics, zone)
    yield _faults_section(statistics)


def articles_by_time(statistics: PeriodStatistics, limit: int) -> TimeSeries | None:
    """Return the numbers of originals and of copies, over at most `limit` spans of time. None without articles."""
    return group_hours([(h.hour, (h.articles - h.copies, h.copies)) for h in statistics.hours], limit)


def format_delay_range(bucket: EditDelayBucket) -> str:
    """Return the range of a bucket, such as `1–2 h`."""
    if bucket.end_hours is None:
        return f"over {bucket.begin_hours // 24} d"
    if bucket.begin_hours >= 24:
        return f"{bucket.begin_hours // 24}–{bucket.end_hours // 24} d"
    return f"{bucket.begin_hours}–{bucket.end_hours} h"


def _articles_section(statistics: PeriodStatistics) -> ReportSection:
    articles, copies = sum(h.articles for h in statistics.publishers), sum(h.copies + h.own_copies for h in statistics.publishers)
    publisher_count = sum(1 for h in statistics.publishers if h.publisher is not None)
    lead = f"{format_count(articles, 'article')} of {format_count(publisher_count, 'publisher')}"
    lead += f", {copies:,} of them copies ({_format_share(copies, articles)})." if articles else "."
    publisher_table = ReportTable(
        "publishers",
        "Articles by publisher, and the share that copies another publisher's article",
        _columns("Publisher", "#Articles", "#Copies of others", "#Share", "#Own copies"),
        tuple(
            (
                _publisher_cell(h.publisher),
                _number_cell(h.articles),
                _number_cell(h.copies),
                ReportCell(f"{h.copy_share:.0%}", is_trusted=True),
                _number_cell(h.own_copies),
            )
            for h in statistics.publishers[:MAX_PUBLISHER_ROWS]
        ),
        _format_more(len(statistics.publishers) - MAX_PUBLISHER_ROWS),
    )
    series = articles_by_time(statistics, MAX_TIME_ROWS)
    hours_table = ReportTable(
        "hours",
        f"Articles by {series.unit if series else 'hour'}",
        _columns("From", "#Articles", "#Copies"),
        tuple(
            (
                _trusted_cell(begin.isoformat(" ", "minutes") if series.unit == "hour" else begin.date().isoformat()),
                _number_cell(sum(values)),
                _number_cell(values[1]),
            )
            for begin, values in zip(series.begins, series.sums, strict=True)
            if sum(values)
        )
        if series
        else (),
    )
    maximum = max((n for r in statistics.hourly_histograms if r.publisher is not None for n in r.articles), default=0)
    histogram_table = ReportTable(
        "hourly_histogram",
        "Articles by publisher and hour of the day",
        ((_trusted_cell("Publisher"), "text"), *((_trusted_cell(f"{hour}"), "number") for hour in range(24))),
        tuple(
            (_publisher_cell(r.publisher), *(ReportCell(f"{n or '·'}", weight=_weight(n, maximum), is_trusted=True) for n in r.articles))
            for r in statistics.hourly_histograms
        ),
    )
    return ReportSection("articles", "Articles", (lead,), (publisher_table, hours_table, histogram_table))


def _checks_section(statistics: PeriodStatistics) -> ReportSection:
    crawls_by_check = Counter[str]()
    for c in statistics.checks:
        crawls_by_check[c.check_status] += c.crawls
    summary = ", ".join(f"{crawls_by_check[name]:,} {name}" for name in ("verified", "mismatched", "unclaimed"))
    causes = sorted({c.check_cause for c in statistics.checks if c.check_cause})
    mismatches_by_publisher: dict[str | None, Counter[str]] = {}
    crawls_by_publisher: Counter[str | None] = Counter()
    for c in statistics.checks:
        crawls_by_publisher[c.publisher] += c.crawls
        if c.check_cause:
            mismatches_by_publisher.setdefault(c.publisher, Counter())[c.check_cause] += c.crawls
    names = sorted(mismatches_by_publisher, key=lambda name: (name is None, -sum(mismatches_by_publisher[name].values()), name or ""))
    table = ReportTable(
        "mismatches",
        "Crawls whose body does not match its content_hash, by cause and publisher",
        _columns("Publisher", *(f"#{cause}" for cause in causes), "#All", "#Of crawls"),
        tuple(
            (
                _publisher_cell(name),
                *(_number_cell(mismatches_by_publisher[name][cause]) for cause in causes),
                _number_cell(sum(mismatches_by_publisher[name].values())),
                ReportCell(_format_share(sum(mismatches_by_publisher[name].values()), crawls_by_publisher[name]), is_trusted=True),
            )
            for name in names[:MAX_PUBLISHER_ROWS]
        ),
        _format_more(len(names) - MAX_PUBLISHER_ROWS),
    )
    return ReportSection("checks", "Checks", (f"{format_count(sum(crawls_by_check.values()), 'crawl')}: {summary}.",), (table,))


def _clusters_section(statistics: PeriodStatistics, zone: ZoneInfo) -> ReportSection:
    counts = statistics.clusters
    lead = (
        f"{format_count(counts['clusters'], 'cluster')} with {format_count(counts['articles'], 'article')} of the period"
        f" ({counts['exact']:,} exact, {counts['near']:,} near, {counts['copy']:,} other copies of representatives)."
    )

    def table(
        name: str,
        caption: str,
        clusters: Sequence[ClusterRow],
        headings: Sequence[str],
        to_cells: Callable[[ClusterRow], Iterable[ReportCell]],
    ) -> ReportTable:
        rows = tuple((_page_cell(t.title, t.url), _publisher_cell(t.publisher), *to_cells(t)) for t in clusters)
        return ReportTable(name, caption, _columns("Representative", "Publisher", *headings), rows)

    return ReportSection(
        "clusters",
        "Clusters",
        (lead,),
        (
            table(
                "largest_clusters",
                "The largest",
                statistics.largest_clusters,
                ("#Articles", "#Publishers", "#Published within"),
                lambda t: (_number_cell(t.articles), _number_cell(t.publishers), _duration_cell(t.first_published_at, t.last_published_at)),
            ),
            table(
                "newest_clusters",
                "The newest, by their latest article",
                statistics.newest_clusters,
                ("Newest article", "#Articles", "#Publishers"),
                lambda t: (_trusted_cell(_format_time(t.last_joined_at, zone)), _number_cell(t.articles), _number_cell(t.publishers)),
            ),
            table(
                "fastest_clusters",
                "The fastest: most articles published within an hour of the first",
                statistics.fastest_clusters,
                ("#Within the hour", "#Articles", "#Publishers"),
                lambda t: (_number_cell(t.first_hour_articles), _number_cell(t.articles), _number_cell(t.publishers)),
            ),
        ),
    )


def _lags_section(statistics: PeriodStatistics) -> ReportSection:
    lead = [
        "In each cluster the publisher that was first counts once, and so does each that followed, with the time until its first article."
    ]
    if statistics.lags.other_publishers:
        lead.append(
            f"The {len(statistics.lags.publishers)} most frequent publishers are named;"
            f" {statistics.lags.other_publishers:,} others share one row."
        )
    return ReportSection(
        "lags",
        "Who was first",
        tuple(lead),
        (_rank_table(statistics.lags), _lag_matrix_table(statistics.lags), _lag_pairs_table(statistics.lags)),
    )


def _rank_table(lags: FollowLags) -> ReportTable:
    return ReportTable(
        "ranks",
        "First and followed",
        _columns("Publisher", "#First", "#Followed", "#Median lag"),
        tuple(
            (
                _publisher_cell(rank.publisher),
                _number_cell(rank.first),
                _number_cell(rank.later),
                _trusted_cell("–" if rank.median_seconds is None else format_duration(rank.median_seconds)),
            )
            for rank in lags.ranks
        ),
    )


def _lag_matrix_table(lags: FollowLags) -> ReportTable:
    names: list[str | None] = [*lags.publishers, *([None] if lags.other_publishers else [])]
    lags_by_pair = {(lag.first_publisher, lag.later_publisher): lag for lag in lags.matrix}
    leaders = {lag.first_publisher for lag in lags.matrix}
    maximum = max((lag.clusters for lag in lags.matrix if None not in (lag.first_publisher, lag.later_publisher)), default=0)
    return ReportTable(
        "lag_matrix",
        "Rows: who was first. Columns: who followed, how often, and the median lag",
        ((_trusted_cell("First"), "text"), *((_publisher_cell(name), "number") for name in names)),
        tuple(
            (_publisher_cell(leader), *(_lag_cell(lags_by_pair.get((leader, follower)), maximum) for follower in names))
            for leader in names
            if leader in leaders
        ),
        medium="html",
    )


def _lag_cell(lag: Lag | None, maximum: int) -> ReportCell:
    if lag is None:
        return _trusted_cell("·")
    return ReportCell(
        f"{lag.clusters:,}", subtext=format_duration(lag.median_seconds), weight=_weight(lag.clusters, maximum), is_trusted=True
    )


def _lag_pairs_table(lags: FollowLags) -> ReportTable:
    pairs = sorted(
        lags.matrix,
        key=lambda p: (-p.clusters, p.first_publisher is None, p.first_publisher or "", p.later_publisher is None, p.later_publisher or ""),
    )
    return ReportTable(
        "lag_pairs",
        "Who followed whom",
        _columns("First", "Followed by", "#Times", "#Median lag"),
        tuple(
            (
                _publisher_cell(pair.first_publisher),
                _publisher_cell(pair.later_publisher),
                _number_cell(pair.clusters),
                _trusted_cell(format_duration(pair.median_seconds)),
            )
            for pair in pairs[:MAX_PAIR_ROWS]
        ),
        _format_more(len(pairs) - MAX_PAIR_ROWS),
        medium="text",
    )


def _changes_section(statistics: PeriodStatistics, zone: ZoneInfo) -> ReportSection:
    change_count = sum(k.changes for k in statistics.changes_by_kind)
    tables = (_change_kinds_table(statistics), _edit_delays_table(statistics), _edited_pages_table(statistics, zone))
    return ReportSection("changes", "Changes", (f"{format_count(change_count, 'change')}.",), tables)


def _change_kinds_table(statistics: PeriodStatistics) -> ReportTable:
    counts_by_kind: dict[str | None, Counter[str | None]] = {}
    silent_by_kind: Counter[str | None] = Counter()
    for k in statistics.changes_by_kind:
        counts_by_kind.setdefault(k.kind, Counter())[k.severity] += k.changes
        silent_by_kind[k.kind] += k.silent
    ordered_kinds = sorted(counts_by_kind, key=lambda kind: (kind is None, -counts_by_kind[kind].total(), kind or ""))
    return ReportTable(
        "change_kinds",
        "Changes by kind and severity",
        _columns("Kind", *(f"#{severity}" for severity in SEVERITIES), "#All", "#Silent"),
        tuple(
            (
                _trusted_cell(kind or "not classified"),
                *(_number_cell(counts_by_kind[kind][severity]) for severity in SEVERITIES),
                _number_cell(counts_by_kind[kind].total()),
                _number_cell(silent_by_kind[kind]),
            )
            for kind in ordered_kinds
        ),
    )


def _edit_delays_table(statistics: PeriodStatistics) -> ReportTable:
    has_delays = any(bucket.changes for bucket in statistics.edit_delays)
    excluded = [
        format_count(n, "change") + description
        for n, description in (
            (statistics.edits_without_publication_time, " of pages without a publication time"),
            (statistics.edits_before_publication, " crawled before the publication time"),
        )
        if n
    ]
    return ReportTable(
        "edit_delays",
        "Changes of title or body by time after publication",
        _columns("After", "#Changes", "#Silent"),
        tuple(
            (_trusted_cell(format_delay_range(bucket)), _number_cell(bucket.changes), _number_cell(bucket.silent))
            for bucket in statistics.edit_delays
            if has_delays
        ),
        f"Not included: {' and '.join(excluded)}." if excluded else "",
    )


def _edited_pages_table(statistics: PeriodStatistics, zone: ZoneInfo) -> ReportTable:
    return ReportTable(
        "edited_pages",
        "The most edited pages",
        _columns("Page", "Publisher", "#Changes", "#Silent", "Last"),
        tuple(
            (
                _page_cell(page.title, page.url),
                _publisher_cell(page.publisher),
                _number_cell(page.changes),
                _number_cell(page.silent),
                _trusted_cell(_format_time(page.last_changed_at, zone)),
            )
            for page in statistics.edited_pages
        ),
    )


def _silent_edits_section(statistics: PeriodStatistics, zone: ZoneInfo) -> ReportSection:
    edit_count = len(statistics.silent_edits) + statistics.more_silent_edits
    table = ReportTable(
        "silent_edits",
        "Substantive edits that the page does not mark as a correction, the newest first",
        _columns("When", "Page", "Publisher", "Kind", "Evidence"),
        tuple(
            (
                _trusted_cell(_format_time(s.at, zone)),
                _page_cell(s.title, s.url),
                _publisher_cell(s.publisher),
                _trusted_cell(f"{s.kind}, {s.severity}"),
                ReportCell(_format_evidence(s)),
            )
            for s in statistics.silent_edits
        ),
        f"And {format_count(statistics.more_silent_edits, 'earlier edit')}: dedup changes --silent" if statistics.more_silent_edits else "",
    )
    return ReportSection("silent_edits", "Silent edits", (f"{format_count(edit_count, 'silent edit')}.",), (table,))


def _faults_section(statistics: PeriodStatistics) -> ReportSection:
    if statistics.faults is None:
        return ReportSection("faults", "Faults", ("Faults are not counted by publisher.",), ())
    file_count = sum(t.files for t in statistics.faults)
    table = ReportTable(
        "faults",
        "Files that could not be read, by kind",
        _columns("Kind", "#Files"),
        tuple((_trusted_cell(t.kind), _number_cell(t.files)) for t in statistics.faults),
    )
    lead = f"{format_count(file_count, 'file')} of the period cannot be read." if file_count else "All files could be read."
    return ReportSection("faults", "Faults", (lead,), (table,))


# Cells


def _columns(*names: str) -> tuple[tuple[ReportCell, Align], ...]:
    """Return columns with these headings. The prefix `#` marks a column of numbers."""
    return tuple((_trusted_cell(n.removeprefix("#")), "number" if n.startswith("#") else "text") for n in names)


def _trusted_cell(text: str) -> ReportCell:
    return ReportCell(text, is_trusted=True)


def _number_cell(n: int) -> ReportCell:
    return ReportCell(f"{n:,}", is_trusted=True)


def _publisher_cell(name: str | None) -> ReportCell:
    return ReportCell(name, is_trusted=False) if name else _trusted_cell(ALL_OTHERS if name is None else NO_PUBLISHER)


def _page_cell(title: str, url: str) -> ReportCell:
    return ReportCell(truncate(" ".join(title.split()), MAX_CHARACTERS) or url, url=url)


def _duration_cell(first: str | None, last: str | None) -> ReportCell:
    if first is None or last is None:
        return _trusted_cell("–")
    return _trusted_cell(format_duration(times.seconds_between(first, last)))


def _format_evidence(edit: SilentEdit) -> str:
    def side(text: str) -> str:
        return truncate(" ".join(text.split()), MAX_CHARACTERS // 2)

    items = [f"{e['kind'].replace('_', ' ')}: {side(e['before']) or '–'} → {side(e['after']) or '–'}" for e in edit.evidence[:MAX_EVIDENCE]]
    if len(edit.evidence) > MAX_EVIDENCE:
        items.append(f"and {len(edit.evidence) - MAX_EVIDENCE} more")
    return "; ".join(items)


def _format_time(iso: str, zone: ZoneInfo) -> str:
    return times.format_time(times.to_local(iso, zone))


def _format_share(part: int, total: int) -> str:
    return f"{part / total:.0%}" if total else "0%"


def _weight(number: int, maximum: int) -> int:
    return min(4, -(-4 * number // maximum)) if maximum else 0


def _format_more(number: int) -> str:
    return f"And {number:,} more." if number > 0 else ""
