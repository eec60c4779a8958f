"""Exported tables. Rows are read from the database one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby

from dedup import store
from dedup.reports.changes import change_as_json
from dedup.reports.export.schema import ARTICLES_SCHEMA, CHANGES_SCHEMA, CLUSTERS_SCHEMA, MATCHES_SCHEMA, ExportTable, Row
from dedup.reports.history import STATE_RECIPE
from dedup.store import Database
from dedup.store.export import ExportedMatchRow, ExportedMemberRow, MatchedArticleRow
from dedup.text import times
from dedup.text.publishers import PublisherResolver


@dataclass(frozen=True, slots=True)
class ExportFilter:
    """Which rows to export: from `since` until before `until` (ISO 8601 in UTC), by a publisher under any of its names.

    The time of an article is its first crawl, that of a match the later of the two first crawls, and that of a change its
    crawl. A cluster is exported if any of its articles passes.
    """

    since: str | None = None
    until: str | None = None
    publisher: str | None = None
    publishers: PublisherResolver = field(default_factory=PublisherResolver)

    def is_in_period(self, at: str) -> bool:
        """Return whether a time is in the period."""
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)

    def is_by_publisher(self, publisher: str, oid: str, url: str) -> bool:
        """Return whether an article is by the publisher, or no publisher is given."""
        return self.publisher is None or self.publishers.is_published_by(self.publisher, publisher, oid, url)

    def canonical_publisher(self, publisher: str, oid: str, url: str) -> str:
        """Return the canonical name of the publisher of an article."""
        return self.publishers.canonical_name(publisher, oid, url)


def articles_table(database: Database, criteria: ExportFilter, *, all_revisions: bool = False, with_body: bool = True) -> ExportTable:
    """Return the table of the current revisions of all pages, or with `all_revisions` of all revisions."""
    columns = ARTICLES_SCHEMA if with_body else ARTICLES_SCHEMA[:-1]
    return ExportTable("articles", columns, _article_rows(database, criteria, all_revisions=all_revisions, with_body=with_body))


def _article_rows(database: Database, criteria: ExportFilter, *, all_revisions: bool, with_body: bool) -> Iterator[Row]:
    for a in store.export.articles(database, all_revisions=all_revisions, with_body=with_body):
        if not criteria.is_in_period(a.first_crawled_at) or not criteria.is_by_publisher(a.publisher, a.oid, a.url):
            continue
        row = (
            a.url, a.article_id, a.title, criteria.canonical_publisher(a.publisher, a.oid, a.url), a.publisher, a.author, a.category,
            a.published_at, a.crawled_at, a.first_crawled_at, a.check_status, a.check_cause, a.revision_number, bool(a.is_current),
            f"{STATE_RECIPE}:{a.state_digest}", a.text_digest, a.characters, a.cluster_role, a.pruned_at, a.path, bool(a.is_gone),
        )  # fmt: skip
        yield (*row, a.body) if with_body else row


def matches_table(database: Database, criteria: ExportFilter, *, all_revisions: bool = False) -> ExportTable:
    """Return the table of matching texts, each with one article, and of exact copies, each with the first of them by URL."""
    return ExportTable("matches", MATCHES_SCHEMA, _match_rows(database, criteria, all_revisions=all_revisions))


def _match_rows(database: Database, criteria: ExportFilter, *, all_revisions: bool) -> Iterator[Row]:
    for text, same in groupby(store.export.same_texts(database, all_revisions=all_revisions), key=lambda row: row.text):
        sides = (row.article for row in same)
        first = next(sides)
        previous_page_id: int | None = None
        for side in sides:
            if side.page_id not in (first.page_id, previous_page_id):
                previous_page_id = side.page_id
                yield from _rows_of_match(criteria, ExportedMatchRow(text, text, "exact", 1.0, 1.0, 1.0, -1, -1, 0.0, first, side))
    for match in store.export.matches(database, all_revisions=all_revisions):
        yield from _rows_of_match(criteria, match)


def _rows_of_match(criteria: ExportFilter, match: ExportedMatchRow) -> Iterator[Row]:
    if not criteria.is_in_period(max(match.a.first_crawled_at, match.b.first_crawled_at)):
        return
    if not any(criteria.is_by_publisher(s.publisher, s.oid, s.url) for s in (match.a, match.b)):
        return
    (text_a, a), (text_b, b) = sorted(((match.text_a, match.a), (match.text_b, match.b)), key=lambda s: _earliest_key(s[1]))
    shared = (None, None) if match.relation == "exact" else (match.shared_characters, match.longest_passage)
    yield (
        match.relation, round(match.similarity, 4), round(match.containment, 4), round(match.coverage, 4), *shared,
        round(match.quoted_share, 4), text_a, text_b,
        a.url, criteria.canonical_publisher(a.publisher, a.oid, a.url), a.published_at, a.crawled_at,
        b.url, criteria.canonical_publisher(b.publisher, b.oid, b.url), b.published_at, b.crawled_at,
        _lag_seconds(a.published_at, b.published_at),
    )  # fmt: skip


def _earliest_key(side: MatchedArticleRow) -> tuple[bool, str, str, str]:
    return side.published_at is None, side.published_at or "", side.first_crawled_at, side.url


def _lag_seconds(earlier: str | None, later: str | None) -> float | None:
    return times.seconds_between(earlier, later) if earlier and later else None


def clusters_table(database: Database, criteria: ExportFilter) -> ExportTable:
    """Return the table of clusters, one row per article, the representative first."""
    return ExportTable("clusters", CLUSTERS_SCHEMA, _cluster_rows(database, criteria))


def _cluster_rows(database: Database, criteria: ExportFilter) -> Iterator[Row]:
    for _, members in groupby(store.export.members(database), key=lambda m: m.cluster_url):
        pending_members: list[ExportedMemberRow] = []
        is_selected = False
        representative: ExportedMemberRow | None = None
        for member in members:  # hold members back until one passes the filter
            representative = representative or member
            is_selected = is_selected or (
                criteria.is_in_period(member.first_crawled_at) and criteria.is_by_publisher(member.publisher, member.oid, member.url)
            )
            pending_members.append(member)
            if is_selected:
                yield from (_member_row(criteria, representative, m) for m in pending_members)
                pending_members.clear()


def _member_row(criteria: ExportFilter, representative: ExportedMemberRow, member: ExportedMemberRow) -> Row:
    similarity, coverage = (None if n is None else round(n, 4) for n in (member.similarity, member.coverage))
    return (
        member.cluster_url, member.url, member.article_id, member.title,
        criteria.canonical_publisher(member.publisher, member.oid, member.url), member.published_at, member.crawled_at,
        member.first_crawled_at, member.relation or "representative", similarity, coverage, member.via_url,
        _lag_seconds(representative.published_at, member.published_at),
    )  # fmt: skip


def changes_table(database: Database, criteria: ExportFilter) -> ExportTable:
    """Return the table of changes, the latest first. Incidents are not combined."""
    return ExportTable("changes", CHANGES_SCHEMA, _change_rows(database, criteria))


def _change_rows(database: Database, criteria: ExportFilter) -> Iterator[Row]:
    column_names = [column.name for column in CHANGES_SCHEMA]
    for change in store.changes.list_latest(database, since=criteria.since, until=criteria.until):
        if criteria.is_by_publisher(change.publisher, change.oid, change.url):
            row = change_as_json(change) | {"publisher": criteria.canonical_publisher(change.publisher, change.oid, change.url)}
            yield tuple(row[name] for name in column_names)
