"""Statistics of a period, as plain values in a defined order.

They depend only on the database, the period, the time zone and the publishers' aliases.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from dedup import store
from dedup.reports.period.lags import MAX_LAG_PUBLISHERS, FollowLags
from dedup.reports.period.time_buckets import hour_of_day, local_hour
from dedup.store import Database
from dedup.store.statistics import Period
from dedup.text import times, urls
from dedup.text.publishers import PublisherResolver

MAX_LISTED = 10
"""Rows of each list of clusters or pages."""
MAX_GROWTH_CLUSTERS = 5
"""Clusters whose growth is reported."""
MAX_GROWTH_POINTS = 200
"""Points of the growth of a cluster, at most."""
MAX_SILENT_EDITS = 20
"""Silent edits that are listed. Further ones are only counted."""
MAX_PUBLISHERS = 500
"""Publishers with a row. All others are combined as None."""
EDIT_DELAY_HOURS = (1, 2, 3, 6, 12, 24, 48, 168)
"""Ends of the buckets of hours after publication. The last bucket has no end."""


@dataclass(frozen=True, slots=True)
class ReportHeader:
    """Scope of a report: period, publisher, time zone and database. `dirty_pages` are not summarised and not included yet."""

    since: str | None
    until: str | None
    publisher: str | None
    zone: str
    database: str
    last_crawl: str | None
    dirty_pages: int


@dataclass(frozen=True, slots=True)
class PublisherArticles:
    """A publisher's articles, and how many are copies of another publisher's article or of its own. None: all other publishers."""

    publisher: str | None
    articles: int
    copies: int
    own_copies: int
    copy_share: float


@dataclass(frozen=True, slots=True)
class HourCount:
    """Articles of an hour, and how many are copies. `hour` is its begin as ISO 8601 with the offset of the zone."""

    hour: str
    articles: int
    copies: int


@dataclass(frozen=True, slots=True)
class HourlyHistogram:
    """A publisher's articles by local hour of the day, from 0 to 23."""

    publisher: str | None
    articles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckCount:
    """Crawls of a publisher's pages by check. `check_cause` is set for mismatches."""

    publisher: str | None
    check_status: str
    check_cause: str | None
    crawls: int


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster in a list, represented by its representative's URL, title and publisher."""

    url: str
    title: str
    publisher: str
    articles: int
    publishers: int
    first_published_at: str | None
    last_published_at: str | None
    started_at: str
    last_joined_at: str
    first_hour_articles: int


@dataclass(frozen=True, slots=True)
class ClusterGrowth:
    """Growth of a cluster, as (seconds after its first publication, articles published by then)."""

    url: str
    title: str
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class EditedPage:
    """A page, and how often its title or body changed."""

    url: str
    title: str
    publisher: str
    changes: int
    silent: int
    last_changed_at: str


@dataclass(frozen=True, slots=True)
class ChangeKindCount:
    """Number of changes of a kind and severity. None: not classified."""

    kind: str | None
    severity: str | None
    changes: int
    silent: int


@dataclass(frozen=True, slots=True)
class EditDelayBucket:
    """Changes of title or body in a range of hours after publication. `end_hours` is exclusive; None: no end."""

    begin_hours: int
    end_hours: int | None
    changes: int
    silent: int


@dataclass(frozen=True, slots=True)
class SilentEdit:
    """A silent edit with its evidence, as objects with kind, before and after."""

    url: str
    title: str
    publisher: str
    at: str
    kind: str | None
    severity: str | None
    evidence: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class FaultKindCount:
    """Number of faults of a kind that first occurred in the period."""

    kind: str
    files: int


@dataclass(frozen=True, slots=True)
class PeriodStatistics:
    """The statistics of a report. `faults` is None in the report of one publisher, because faults have no publisher."""

    header: ReportHeader
    publishers: tuple[PublisherArticles, ...]
    hours: tuple[HourCount, ...]
    hourly_histograms: tuple[HourlyHistogram, ...]
    checks: tuple[CheckCount, ...]
    clusters: dict[str, int]
    largest_clusters: tuple[ClusterRow, ...]
    newest_clusters: tuple[ClusterRow, ...]
    fastest_clusters: tuple[ClusterRow, ...]
    cluster_growth: tuple[ClusterGrowth, ...]
    lags: FollowLags
    edited_pages: tuple[EditedPage, ...]
    changes_by_kind: tuple[ChangeKindCount, ...]
    edit_delays: tuple[EditDelayBucket, ...]
    edits_without_publication_time: int
    edits_before_publication: int
    silent_edits: tuple[SilentEdit, ...]
    more_silent_edits: int
    faults: tuple[FaultKindCount, ...] | None

    def as_json(self) -> dict[str, Any]:
        """Return the statistics as JSON."""
        return asdict(self)


def compute_statistics(database: Database, period: Period, zone: ZoneInfo, publishers: PublisherResolver) -> PeriodStatistics:
    """Compute the statistics of a period. `period.publisher` is a canonical name."""
    publisher_rows = [
        PublisherArticles(name, articles, copies, own_copies, _share(copies, articles))
        for name, articles, copies, own_copies in store.statistics.articles_by_publisher(database, period)
    ]
    leading_publishers = {row.publisher for row in publisher_rows[: MAX_LAG_PUBLISHERS - 1]}
    hours, histograms = _count_by_hour(database, period, zone, leading_publishers)
    largest = store.statistics.clusters(database, period, "largest", MAX_LISTED)
    edit_delays, edits_without_publication_time, edits_before_publication = _edit_delays(database, period)
    kinds = tuple(ChangeKindCount(*r) for r in store.statistics.changes_by_kind(database, period))
    silent_edits = tuple(_silent_edit(*r) for r in store.statistics.silent_edits(database, period, MAX_SILENT_EDITS))
    return PeriodStatistics(
        header=_header(database, period, zone),
        publishers=tuple(_fold_publishers(publisher_rows)),
        hours=hours,
        hourly_histograms=histograms,
        checks=tuple(_count_checks(database, period, publishers)),
        clusters=_cluster_totals(database, period),
        largest_clusters=tuple(map(_cluster_row, largest)),
        newest_clusters=tuple(map(_cluster_row, store.statistics.clusters(database, period, "newest", MAX_LISTED))),
        fastest_clusters=tuple(map(_cluster_row, store.statistics.clusters(database, period, "fastest", MAX_LISTED))),
        cluster_growth=tuple(growth for row in largest[:MAX_GROWTH_CLUSTERS] if (growth := _cluster_growth(database, *row[:3]))),
        lags=FollowLags.from_sequences(_publication_sequences(database, period), period.publisher),
        edited_pages=tuple(_edited_page(*r) for r in store.statistics.most_edited_pages(database, period, MAX_LISTED)),
        changes_by_kind=kinds,
        edit_delays=edit_delays,
        edits_without_publication_time=edits_without_publication_time,
        edits_before_publication=edits_before_publication,
        silent_edits=silent_edits,
        more_silent_edits=sum(k.silent for k in kinds) - len(silent_edits),
        faults=_faults(database, period),
    )


def _header(database: Database, period: Period, zone: ZoneInfo) -> ReportHeader:
    uuid = store.settings.get(database, "uuid") or ""
    latest_crawl, dirty_pages = store.statistics.latest_crawl(database), store.statistics.count_unsummarised_pages(database)
    return ReportHeader(period.since, period.until, period.publisher, zone.key, uuid[:8], latest_crawl, dirty_pages)


def _cluster_totals(database: Database, period: Period) -> dict[str, int]:
    names = ("clusters", "articles", "exact", "near", "copy")
    return dict(zip(names, store.statistics.cluster_totals(database, period), strict=True))


def _edit_delays(database: Database, period: Period) -> tuple[tuple[EditDelayBucket, ...], int, int]:
    """Count changes by hours after publication. Returns the buckets, and the changes of pages without a publication time and of
    crawls before it."""
    begins, ends = (0, *EDIT_DELAY_HOURS), (*EDIT_DELAY_HOURS, None)
    sums = {begin: [0, 0] for begin in begins}
    special_delays = Counter[int]()
    for hour, changes, silent in store.statistics.edit_delays(database, period):
        if hour < 0:
            special_delays[hour] += changes
            continue
        bucket = sums[max(begin for begin in begins if begin <= hour)]
        bucket[0] += changes
        bucket[1] += silent
    buckets = tuple(EditDelayBucket(begin, end, *sums[begin]) for begin, end in zip(begins, ends, strict=True))
    return buckets, special_delays[-1], special_delays[-2]


def _edited_page(url: str, title: str, publisher: str, changes: int, silent: int, last_changed_at: str) -> EditedPage:
    return EditedPage(urls.to_display_url(url), title, publisher, changes, silent, last_changed_at)


def _faults(database: Database, period: Period) -> tuple[FaultKindCount, ...] | None:
    if period.publisher is not None:
        return None
    return tuple(FaultKindCount(*r) for r in store.statistics.faults_by_kind(database, period))


def _share(part: int, total: int) -> float:
    return round(part / total, 4) if total else 0.0


def _fold_publishers(rows: list[PublisherArticles]) -> Iterator[PublisherArticles]:
    yield from rows[:MAX_PUBLISHERS]
    if rest := rows[MAX_PUBLISHERS:]:
        articles, copies = sum(h.articles for h in rest), sum(h.copies for h in rest)
        yield PublisherArticles(None, articles, copies, sum(h.own_copies for h in rest), _share(copies, articles))


def _count_by_hour(
    database: Database, period: Period, zone: ZoneInfo, leading_publishers: set[str | None]
) -> tuple[tuple[HourCount, ...], tuple[HourlyHistogram, ...]]:
    hours: dict[str, list[int]] = {}
    hours_of_day: dict[str | None, list[int]] = {}
    for quarter, publisher, articles, copies in store.statistics.articles_by_quarter_hour(database, period):
        hour = local_hour(quarter, zone)
        sums = hours.setdefault(hour, [0, 0])
        sums[0] += articles
        sums[1] += copies
        hours_of_day.setdefault(publisher if publisher in leading_publishers else None, [0] * 24)[hour_of_day(hour)] += articles
    names = sorted(hours_of_day, key=lambda name: (name is None, -sum(hours_of_day[name]), name or ""))
    return tuple(HourCount(hour, *sums) for hour, sums in hours.items()), tuple(
        HourlyHistogram(name, tuple(hours_of_day[name])) for name in names
    )


def _count_checks(database: Database, period: Period, publishers: PublisherResolver) -> Iterator[CheckCount]:
    crawls_by_check: Counter[tuple[str, str, str | None]] = Counter()
    for publisher, check, cause, crawls in store.statistics.checks(database, period):
        crawls_by_check[publisher, check, cause] += crawls
    for publisher_printed, oid, url, check, cause in store.statistics.checks_of_unsummarised_pages(database, period):
        canonical = publishers.canonical_name(publisher_printed, oid, url)
        if period.publisher in (None, canonical):
            crawls_by_check[canonical, check, cause] += 1
    crawls_by_publisher: Counter[str] = Counter()
    for (canonical, _, _), crawls in crawls_by_check.items():
        crawls_by_publisher[canonical] += crawls
    named_publishers = {canonical for canonical, _ in sorted(crawls_by_publisher.items(), key=lambda h: (-h[1], h[0]))[:MAX_PUBLISHERS]}
    totals: Counter[tuple[str | None, str, str | None]] = Counter()
    for (canonical, check, cause), crawls in crawls_by_check.items():
        totals[canonical if canonical in named_publishers else None, check, cause] += crawls
    for name, check, cause in sorted(totals, key=lambda k: (k[0] is None, k[0] or "", k[1], k[2] or "")):
        yield CheckCount(name, check, cause, totals[name, check, cause])


def _cluster_row(row: tuple[Any, ...]) -> ClusterRow:
    _, url, *columns = row
    return ClusterRow(urls.to_display_url(url), *columns)


def _cluster_growth(database: Database, cluster: int, url: str, title: str) -> ClusterGrowth | None:
    publication_times = [p.published_at for p in store.statistics.publications(database, cluster)]
    if len(publication_times) < 2:
        return None
    counts_by_second: dict[int, int] = {}
    for number, at in enumerate(publication_times, 1):
        counts_by_second[int(times.seconds_between(publication_times[0], at))] = number
    points = list(counts_by_second.items())
    if len(points) > MAX_GROWTH_POINTS:
        points = [points[round(i * (len(points) - 1) / (MAX_GROWTH_POINTS - 1))] for i in range(MAX_GROWTH_POINTS)]
    return ClusterGrowth(urls.to_display_url(url), title, tuple(points))


def _publication_sequences(database: Database, period: Period) -> Iterator[list[tuple[str, str, bool]]]:
    """Yield, for each cluster with several publishers, (publisher, time of its first article, whether it counts), the earliest first."""
    for _, rows in groupby(store.statistics.first_articles_by_publisher(database, period), key=lambda r: r[0]):
        sequence = [(publisher, at, bool(counted)) for _, publisher, at, counted in rows]
        if len(sequence) > 1:
            yield sequence


def _silent_edit(url: str, title: str, publisher: str, at: str, kind: str | None, severity: str | None, evidence: str | None) -> SilentEdit:
    evidence_items = tuple(dict(zip(("kind", "before", "after"), e, strict=True)) for e in json.loads(evidence or "[]"))
    return SilentEdit(urls.to_display_url(url), title, publisher, at, kind, severity, evidence_items)
