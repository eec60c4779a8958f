"""The figures of a period: what the database says of it, as plain values in a defined order. The same database, period and zone give the
same figures."""

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
"""Clusters and pages in each list."""
MAX_GROWTH_CLUSTERS = 5
"""Clusters whose spread is told."""
MAX_GROWTH_POINTS = 200
"""Points of a spread at most."""
MAX_SILENT_EDITS = 20
"""Silent edits that are listed; the rest is counted."""
MAX_PUBLISHERS = 500
"""Publishers that are told one by one; the rest is told together, under no name."""
EDIT_DELAY_HOURS = (1, 2, 3, 6, 12, 24, 48, 168)
"""Where the classes of hours after publication end; the last has none."""


@dataclass(frozen=True, slots=True)
class ReportHeader:
    """What a report is of. `dirty_pages`: pages whose latest state is not in it yet."""

    since: str | None
    until: str | None
    publisher: str | None
    zone: str
    database: str
    last_crawl: str | None
    dirty_pages: int


@dataclass(frozen=True, slots=True)
class PublisherArticles:
    """A publisher's articles; of those, copies of another publisher's article, and of its own. `publisher` None: all others."""

    publisher: str | None
    articles: int
    copies: int
    own_copies: int
    copy_share: float


@dataclass(frozen=True, slots=True)
class HourCount:
    """Articles of an hour (its beginning, in the report's zone, with offset); of those, copies."""

    hour: str
    articles: int
    copies: int


@dataclass(frozen=True, slots=True)
class HourlyHistogram:
    """A publisher's articles by hour of the day, from 0 to 23."""

    publisher: str | None
    articles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckCount:
    """Crawls of a publisher's pages with a verdict; `cause` is of a mismatch."""

    publisher: str | None
    check: str
    cause: str | None
    crawls: int


@dataclass(frozen=True, slots=True)
class ClusterRow:
    """A cluster in a list."""

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
    """How a cluster grew: (seconds after its first publication, articles published by then)."""

    url: str
    title: str
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class EditedPage:
    """A page and how often its title or body changed."""

    url: str
    title: str
    publisher: str
    changes: int
    silent: int
    last_changed_at: str


@dataclass(frozen=True, slots=True)
class ChangeKindCount:
    """Changes of a kind and severity; None: not classified."""

    kind: str | None
    severity: str | None
    changes: int
    silent: int


@dataclass(frozen=True, slots=True)
class EditDelayBucket:
    """Changes of title or body from `begin_hours` on and before `end_hours` after publication (None: no end)."""

    begin_hours: int
    end_hours: int | None
    changes: int
    silent: int


@dataclass(frozen=True, slots=True)
class SilentEdit:
    """A silent edit with its `evidence`."""

    url: str
    title: str
    publisher: str
    at: str
    kind: str | None
    severity: str | None
    evidence: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class FaultKindCount:
    """Files and folders that cannot be read since a time in the period."""

    kind: str
    files: int


@dataclass(frozen=True, slots=True)
class PeriodStatistics:
    """All of a report. `faults` is None where they are not known: they are of no publisher."""

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
        """The same as JSON has it."""
        return asdict(self)


def compute_statistics(database: Database, period: Period, zone: ZoneInfo, publishers: PublisherResolver) -> PeriodStatistics:
    """Count everything that a report tells. `period.publisher` is a canonical name."""
    publisher_rows = [
        PublisherArticles(name, n, copies, own, _share(copies, n))
        for name, n, copies, own in store.statistics.articles_by_publisher(database, period)
    ]
    leading_publishers = {h.publisher for h in publisher_rows[: MAX_LAG_PUBLISHERS - 1]}
    hours, histograms = _count_by_hour(database, period, zone, leading_publishers)
    largest = store.statistics.clusters(database, period, "largest", MAX_LISTED)
    clusters, clustered_articles, exact, near, copy = store.statistics.cluster_totals(database, period)
    edit_delays = {begin: [0, 0] for begin in (0, *EDIT_DELAY_HOURS)}
    special_delays = Counter[int]()
    for hour, changes, silent in store.statistics.edit_delays(database, period):
        if hour < 0:
            special_delays[hour] += changes
            continue
        sums = edit_delays[max(begin for begin in edit_delays if begin <= hour)]
        sums[0] += changes
        sums[1] += silent
    kinds = tuple(ChangeKindCount(*r) for r in store.statistics.changes_by_kind(database, period))
    silent_edits = [_silent_edit(*r) for r in store.statistics.silent_edits(database, period, MAX_SILENT_EDITS)]
    uuid = store.settings.get(database, "uuid") or ""
    return PeriodStatistics(
        header=ReportHeader(
            period.since,
            period.until,
            period.publisher,
            zone.key,
            uuid[:8],
            store.statistics.latest_crawl(database),
            store.statistics.count_unsummarised_pages(database),
        ),
        publishers=tuple(_fold_publishers(publisher_rows)),
        hours=hours,
        hourly_histograms=histograms,
        checks=tuple(_count_checks(database, period, publishers)),
        clusters={"clusters": clusters, "articles": clustered_articles, "exact": exact, "near": near, "copy": copy},
        largest_clusters=tuple(_cluster_row(r) for r in largest),
        newest_clusters=tuple(_cluster_row(r) for r in store.statistics.clusters(database, period, "newest", MAX_LISTED)),
        fastest_clusters=tuple(_cluster_row(r) for r in store.statistics.clusters(database, period, "fastest", MAX_LISTED)),
        cluster_growth=tuple(s for r in largest[:MAX_GROWTH_CLUSTERS] if (s := _cluster_growth(database, *r[:3]))),
        lags=FollowLags.from_sequences(_publication_sequences(database, period), period.publisher),
        edited_pages=tuple(
            EditedPage(urls.to_display_url(r[0]), *r[1:]) for r in store.statistics.most_edited_pages(database, period, MAX_LISTED)
        ),
        changes_by_kind=kinds,
        edit_delays=tuple(
            EditDelayBucket(b, e, *edit_delays[b]) for b, e in zip((0, *EDIT_DELAY_HOURS), (*EDIT_DELAY_HOURS, None), strict=True)
        ),
        edits_without_publication_time=special_delays[-1],
        edits_before_publication=special_delays[-2],
        silent_edits=tuple(silent_edits),
        more_silent_edits=sum(k.silent for k in kinds) - len(silent_edits),
        faults=None
        if period.publisher is not None
        else tuple(FaultKindCount(*r) for r in store.statistics.faults_by_kind(database, period)),
    )


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
    return ClusterRow(urls.to_display_url(row[1]), *row[2:])


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
    """Of each cluster with several publishers: (publisher, when it published first, whether that counts), the earliest first."""
    for _, rows in groupby(store.statistics.first_articles_by_publisher(database, period), key=lambda r: r[0]):
        sequence = [(publisher, at, bool(counted)) for _, publisher, at, counted in rows]
        if len(sequence) > 1:
            yield sequence


def _silent_edit(url: str, title: str, publisher: str, at: str, kind: str | None, severity: str | None, evidence: str | None) -> SilentEdit:
    evidence_items = tuple(dict(zip(("kind", "before", "after"), e, strict=True)) for e in json.loads(evidence or "[]"))
    return SilentEdit(urls.to_display_url(url), title, publisher, at, kind, severity, evidence_items)
