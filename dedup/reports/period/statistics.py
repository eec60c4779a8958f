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
from dedup.reports.period.lags import LEADERS, Lags
from dedup.reports.period.time_buckets import day_of, hour_of
from dedup.store import Database
from dedup.store.statistics import Period
from dedup.text import times, urls
from dedup.text.publishers import Publishers

LISTED = 10
"""Clusters and pages in each list."""
PICTURED = 5
"""Clusters whose spread is told."""
STEPS = 200
"""Points of a spread at most."""
STEALTH = 20
"""Stealth edits that are listed; the rest is counted."""
HOUSES = 500
"""Publishers that are told one by one; the rest is told together, under no name."""
EDIT_HOURS = (1, 2, 3, 6, 12, 24, 48, 168)
"""Where the classes of hours after publication end; the last has none."""


@dataclass(frozen=True, slots=True)
class Head:
    """What a report is of. `due`: pages that are not in it yet as they are now."""

    since: str | None
    until: str | None
    publisher: str | None
    zone: str
    database: str
    last_crawl: str | None
    due: int


@dataclass(frozen=True, slots=True)
class House:
    """A publisher's articles; of those, copies of another publisher's article, and of its own. `publisher` None: all others."""

    publisher: str | None
    articles: int
    copies: int
    own_copies: int
    share: float


@dataclass(frozen=True, slots=True)
class Hour:
    """Articles of an hour (its beginning, in the report's zone, with offset); of those, copies."""

    hour: str
    articles: int
    copies: int


@dataclass(frozen=True, slots=True)
class Rhythm:
    """A publisher's articles by hour of the day, from 0 to 23."""

    publisher: str | None
    articles: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """Crawls of a publisher's pages with a verdict; `cause` is of a mismatch."""

    publisher: str | None
    check: str
    cause: str | None
    crawls: int


@dataclass(frozen=True, slots=True)
class Told:
    """A cluster in a list."""

    url: str
    title: str
    publisher: str
    articles: int
    publishers: int
    first_published: str | None
    last_published: str | None
    begun_at: str
    newest_at: str
    first_hour: int


@dataclass(frozen=True, slots=True)
class Spread:
    """How a cluster grew: (seconds after its first publication, articles published by then)."""

    url: str
    title: str
    points: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Edited:
    """A page and how often its title or body changed."""

    url: str
    title: str
    publisher: str
    changes: int
    stealth: int
    last_at: str


@dataclass(frozen=True, slots=True)
class Kind:
    """Changes of a kind and severity; None: not judged."""

    kind: str | None
    severity: str | None
    changes: int
    stealth: int


@dataclass(frozen=True, slots=True)
class After:
    """Changes of title or body so many hours after publication: from `begin` on, before `end` (None: no end)."""

    begin: int
    end: int | None
    changes: int
    stealth: int


@dataclass(frozen=True, slots=True)
class Stealth:
    """A stealth edit; `evidence` is what it rests on."""

    url: str
    title: str
    publisher: str
    at: str
    kind: str | None
    severity: str | None
    evidence: tuple[dict[str, str], ...]


@dataclass(frozen=True, slots=True)
class FaultKind:
    """Files and folders that cannot be read since a time in the period."""

    kind: str
    files: int


@dataclass(frozen=True, slots=True)
class Figures:
    """All of a report. `faults` is None where they are not known: they are of no publisher."""

    head: Head
    publishers: tuple[House, ...]
    hours: tuple[Hour, ...]
    rhythm: tuple[Rhythm, ...]
    checks: tuple[Checked, ...]
    clusters: dict[str, int]
    largest: tuple[Told, ...]
    newest: tuple[Told, ...]
    fastest: tuple[Told, ...]
    spread: tuple[Spread, ...]
    lags: Lags
    edited: tuple[Edited, ...]
    changes: tuple[Kind, ...]
    after: tuple[After, ...]
    after_unknown: int
    after_before: int
    stealth: tuple[Stealth, ...]
    stealth_more: int
    faults: tuple[FaultKind, ...] | None

    def as_json(self) -> dict[str, Any]:
        """The same as JSON has it."""
        return asdict(self)


def compute_statistics(database: Database, period: Period, zone: ZoneInfo, publishers: Publishers) -> Figures:
    """Count everything that a report tells. `period.house` is a house."""
    houses = [
        House(name, n, copies, own, _share(copies, n)) for name, n, copies, own in store.statistics.articles_by_publisher(database, period)
    ]
    leading = {h.publisher for h in houses[: LEADERS - 1]}
    hours, rhythm = _by_hour(database, period, zone, leading)
    largest = store.statistics.clusters(database, period, "largest", LISTED)
    clusters, clustered, exact, near, copy = store.statistics.cluster_totals(database, period)
    after = {begin: [0, 0] for begin in (0, *EDIT_HOURS)}
    beside = Counter[int]()
    for hour, changes, stealth in store.statistics.edit_delays(database, period):
        if hour < 0:
            beside[hour] += changes
            continue
        sums = after[max(begin for begin in after if begin <= hour)]
        sums[0] += changes
        sums[1] += stealth
    kinds = tuple(Kind(*r) for r in store.statistics.changes_by_kind(database, period))
    stealthy = [_stealth(*r) for r in store.statistics.silent_edits(database, period, STEALTH)]
    uuid = store.settings.get(database, "uuid") or ""
    return Figures(
        head=Head(
            period.since,
            period.until,
            period.house,
            zone.key,
            uuid[:8],
            store.statistics.latest_crawl(database),
            store.statistics.count_unsummarised_pages(database),
        ),
        publishers=tuple(_folded(houses)),
        hours=hours,
        rhythm=rhythm,
        checks=tuple(_checks(database, period, publishers)),
        clusters={"clusters": clusters, "articles": clustered, "exact": exact, "near": near, "copy": copy},
        largest=tuple(_told(r) for r in largest),
        newest=tuple(_told(r) for r in store.statistics.clusters(database, period, "newest", LISTED)),
        fastest=tuple(_told(r) for r in store.statistics.clusters(database, period, "fastest", LISTED)),
        spread=tuple(s for r in largest[:PICTURED] if (s := _spread(database, *r[:3]))),
        lags=Lags.of(_races(database, period), period.house),
        edited=tuple(Edited(urls.shown(r[0]), *r[1:]) for r in store.statistics.most_edited_pages(database, period, LISTED)),
        changes=kinds,
        after=tuple(After(b, e, *after[b]) for b, e in zip((0, *EDIT_HOURS), (*EDIT_HOURS, None), strict=True)),
        after_unknown=beside[-1],
        after_before=beside[-2],
        stealth=tuple(stealthy),
        stealth_more=sum(k.stealth for k in kinds) - len(stealthy),
        faults=None if period.house is not None else tuple(FaultKind(*r) for r in store.statistics.faults_by_kind(database, period)),
    )


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _folded(houses: list[House]) -> Iterator[House]:
    yield from houses[:HOUSES]
    if rest := houses[HOUSES:]:
        articles, copies = sum(h.articles for h in rest), sum(h.copies for h in rest)
        yield House(None, articles, copies, sum(h.own_copies for h in rest), _share(copies, articles))


def _by_hour(database: Database, period: Period, zone: ZoneInfo, leading: set[str | None]) -> tuple[tuple[Hour, ...], tuple[Rhythm, ...]]:
    hours: dict[str, list[int]] = {}
    days: dict[str | None, list[int]] = {}
    for quarter, publisher, articles, copies in store.statistics.articles_by_quarter_hour(database, period):
        hour = hour_of(quarter, zone)
        sums = hours.setdefault(hour, [0, 0])
        sums[0] += articles
        sums[1] += copies
        days.setdefault(publisher if publisher in leading else None, [0] * 24)[day_of(hour)] += articles
    in_order = sorted(days, key=lambda name: (name is None, -sum(days[name]), name or ""))
    return tuple(Hour(hour, *sums) for hour, sums in hours.items()), tuple(Rhythm(name, tuple(days[name])) for name in in_order)


def _checks(database: Database, period: Period, publishers: Publishers) -> Iterator[Checked]:
    by: Counter[tuple[str, str, str | None]] = Counter()
    for publisher, check, cause, crawls in store.statistics.checks(database, period):
        by[publisher, check, cause] += crawls
    for printed, oid, url, check, cause in store.statistics.checks_of_unsummarised_pages(database, period):
        house = publishers.house(printed, oid, url)
        if period.house in (None, house):
            by[house, check, cause] += 1
    crawls_of: Counter[str] = Counter()
    for (house, _, _), crawls in by.items():
        crawls_of[house] += crawls
    told = {house for house, _ in sorted(crawls_of.items(), key=lambda h: (-h[1], h[0]))[:HOUSES]}
    folded: Counter[tuple[str | None, str, str | None]] = Counter()
    for (house, check, cause), crawls in by.items():
        folded[house if house in told else None, check, cause] += crawls
    for house_, check, cause in sorted(folded, key=lambda k: (k[0] is None, k[0] or "", k[1], k[2] or "")):
        yield Checked(house_, check, cause, folded[house_, check, cause])


def _told(row: tuple[Any, ...]) -> Told:
    return Told(urls.shown(row[1]), *row[2:])


def _spread(database: Database, cluster: int, url: str, title: str) -> Spread | None:
    published = store.statistics.publication_times(database, cluster)
    if len(published) < 2:
        return None
    grown: dict[int, int] = {}
    for number, at in enumerate(published, 1):
        grown[int(times.seconds_between(published[0], at))] = number
    points = list(grown.items())
    if len(points) > STEPS:
        points = [points[round(i * (len(points) - 1) / (STEPS - 1))] for i in range(STEPS)]
    return Spread(urls.shown(url), title, tuple(points))


def _races(database: Database, period: Period) -> Iterator[list[tuple[str, str, bool]]]:
    """Of each cluster with several publishers: (publisher, when it published first, whether that is told of), the earliest first."""
    for _, rows in groupby(store.statistics.first_articles_by_publisher(database, period), key=lambda r: r[0]):
        race = [(publisher, at, bool(told)) for _, publisher, at, told in rows]
        if len(race) > 1:
            yield race


def _stealth(url: str, title: str, publisher: str, at: str, kind: str | None, severity: str | None, evidence: str | None) -> Stealth:
    pieces = tuple(dict(zip(("what", "before", "after"), e, strict=True)) for e in json.loads(evidence or "[]"))
    return Stealth(urls.shown(url), title, publisher, at, kind, severity, pieces)
