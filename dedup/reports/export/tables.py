"""What is exported, row by row as it is read: nothing is held but the row in hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from dedup import store
from dedup.reports.changes import one_change
from dedup.reports.export.schema import ARTICLES, CHANGES, CLUSTERS, MATCHES, Row, Table
from dedup.reports.history import STATE_RECIPE
from dedup.store import Database
from dedup.store.export import ExportedMatch, ExportedMember, Side
from dedup.text import times
from dedup.text.publishers import Publishers


@dataclass(frozen=True, slots=True)
class Chosen:
    """What is wanted: from `since` on until before `until` (ISO 8601 in UTC), by the first crawl of articles, the later of the two
    first crawls of a match, any article of a cluster, the crawl of a change; by a publisher, whatever name of its house is given."""

    since: str | None = None
    until: str | None = None
    publisher: str | None = None
    publishers: Publishers = field(default_factory=Publishers)

    def within(self, at: str) -> bool:
        """Whether a time is in the period."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def by(self, publisher: str, oid: str, url: str) -> bool:
        """Whether an article is by the publisher, if one was named."""
        return self.publisher is None or self.publishers.is_by(self.publisher, publisher, oid, url)

    def house(self, publisher: str, oid: str, url: str) -> str:
        """Whose an article is."""
        return self.publishers.house(publisher, oid, url)


def articles(database: Database, chosen: Chosen, *, every: bool = False, body: bool = True) -> Table:
    """Pages as they stand now, or `every` state of them."""
    shown = ARTICLES if body else ARTICLES[:-1]
    return Table("articles", shown, _articles(database, chosen, every=every, body=body))


def _articles(database: Database, chosen: Chosen, *, every: bool, body: bool) -> Iterator[Row]:
    for a in store.export.articles(database, every=every, body=body):
        if not chosen.within(a.first_crawled_at) or not chosen.by(a.publisher, a.oid, a.url):
            continue
        row = (
            a.url, a.id, a.title, chosen.house(a.publisher, a.oid, a.url), a.publisher, a.author, a.category, a.published_at,
            a.crawled_at, a.first_crawled_at, a.check, a.cause, a.revision, bool(a.current), f"{STATE_RECIPE}:{a.state}", a.text,
            a.characters, a.place, a.pruned_at, a.path, bool(a.gone),
        )  # fmt: skip
        yield (*row, a.body) if body else row


def matches(database: Database, chosen: Chosen, *, every: bool = False) -> Table:
    """Texts that match, each with an article that shows it; and articles that show one text, each with the first of them by URL."""
    return Table("matches", MATCHES, _matches(database, chosen, every=every))


def _matches(database: Database, chosen: Chosen, *, every: bool) -> Iterator[Row]:
    for text, same in groupby(store.export.same_texts(database, every=every), key=lambda row: row[0]):
        sides = (side for _, side in same)
        first = next(sides)
        told: int | None = None
        for side in sides:
            if side.page_id not in (first.page_id, told):
                told = side.page_id
                yield from _match(chosen, ExportedMatch(text, text, "exact", 1.0, 1.0, 1.0, -1, -1, 0.0, first, side))
    for m in store.export.matches(database, every=every):
        yield from _match(chosen, m)


def _match(chosen: Chosen, m: ExportedMatch) -> Iterator[Row]:
    if not chosen.within(max(m.a.first_crawled_at, m.b.first_crawled_at)):
        return
    if not any(chosen.by(s.publisher, s.oid, s.url) for s in (m.a, m.b)):
        return
    (text_a, a), (text_b, b) = sorted(((m.text_a, m.a), (m.text_b, m.b)), key=lambda s: _earliest(s[1]))
    shared = (None, None) if m.relation == "exact" else (m.shared, m.longest)
    yield (
        m.relation, round(m.similarity, 4), round(m.containment, 4), round(m.coverage, 4), *shared, round(m.quoted, 4), text_a, text_b,
        a.url, chosen.house(a.publisher, a.oid, a.url), a.published_at, a.crawled_at,
        b.url, chosen.house(b.publisher, b.oid, b.url), b.published_at, b.crawled_at, _lag(a.published_at, b.published_at),
    )  # fmt: skip


def _earliest(side: Side) -> tuple[bool, str, str, str]:
    return side.published_at is None, side.published_at or "", side.first_crawled_at, side.url


def _lag(earlier: str | None, later: str | None) -> float | None:
    return times.seconds_between(earlier, later) if earlier and later else None


def clusters(database: Database, chosen: Chosen) -> Table:
    """Clusters, a row an article, the representative first."""
    return Table("clusters", CLUSTERS, _clusters(database, chosen))


def _clusters(database: Database, chosen: Chosen) -> Iterator[Row]:
    for _, members in groupby(store.export.members(database), key=lambda m: m.cluster):
        held: list[ExportedMember] = []
        told = False
        representative: ExportedMember | None = None
        for m in members:  # they are held back until one shows that the cluster is wanted
            representative = representative or m
            told = told or (chosen.within(m.first_crawled_at) and chosen.by(m.publisher, m.oid, m.url))
            held.append(m)
            if told:
                yield from (_member(chosen, representative, h) for h in held)
                held.clear()


def _member(chosen: Chosen, representative: ExportedMember, m: ExportedMember) -> Row:
    similarity, coverage = (None if n is None else round(n, 4) for n in (m.similarity, m.coverage))
    return (
        m.cluster, m.url, m.id, m.title, chosen.house(m.publisher, m.oid, m.url), m.published_at, m.crawled_at, m.first_crawled_at,
        m.relation or "representative", similarity, coverage, m.via, _lag(representative.published_at, m.published_at),
    )  # fmt: skip


def changed(database: Database, chosen: Chosen) -> Table:
    """Every change by itself, the latest first."""
    return Table("changes", CHANGES, _changes(database, chosen))


def _changes(database: Database, chosen: Chosen) -> Iterator[Row]:
    names = [c.name for c in CHANGES]
    for c in store.changes.list_latest(database, since=chosen.since, until=chosen.until):
        if chosen.by(c.publisher, c.oid, c.url):
            told = one_change(c) | {"publisher": chosen.house(c.publisher, c.oid, c.url)}
            yield tuple(told[name] for name in names)
