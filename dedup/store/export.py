"""Everything that is recorded, streamed in a defined order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dedup.model import Match
from dedup.store.database import Database
from dedup.store.matches import MATCH_COLUMNS, match_from_row
from dedup.store.summaries import CLUSTERED_RELATIONS_SQL

_FIRST_CRAWLED_AT = "(SELECT min(x.crawled_at) FROM sightings x WHERE x.page_id = {page} AND x.status = 'counted')"


_LATEST_SIGHTING = (
    "(SELECT x.id FROM sightings x WHERE x.revision_id = r.id AND x.status = 'counted' ORDER BY x.crawled_at DESC, x.id LIMIT 1)"
)


_STATE_FIRST_CRAWLED_AT = "(SELECT min(x.crawled_at) FROM sightings x WHERE x.revision_id = r.id AND x.status = 'counted')"


_ORDINAL = (
    "(SELECT count(*) FROM (SELECT x.revision_id, min(x.crawled_at) AS first_at FROM sightings x WHERE x.page_id = p.id"
    " AND x.status = 'counted' GROUP BY x.revision_id) y JOIN revisions z ON z.id = y.revision_id"
    f" WHERE y.first_at < {_STATE_FIRST_CRAWLED_AT} OR (y.first_at = {_STATE_FIRST_CRAWLED_AT} AND z.digest <= r.digest))"
)
"""The shown number of a state among those of its page."""


class ExportedArticleRow(NamedTuple):
    """A state of a page by its latest crawl; digests are hexadecimal. `body` is None where it was pruned, or was not asked for;
    `cluster_role` None where the page is not summed up yet."""

    page_id: int
    url: str
    article_id: str | None
    title: str
    publisher: str
    oid: str
    author: str
    category: str
    published_at: str | None
    crawled_at: str
    first_crawled_at: str
    check_status: str
    check_cause: str | None
    state_digest: str
    text_digest: str | None
    characters: int | None
    revision_number: int
    is_current: int
    cluster_role: str | None
    pruned_at: str | None
    path: str
    is_gone: int
    body: str | None


class MatchedArticleRow(NamedTuple):
    """An article of a match."""

    page_id: int
    url: str
    publisher: str
    oid: str
    published_at: str | None
    crawled_at: str
    first_crawled_at: str


class ExportedMatchRow(NamedTuple):
    """Two texts that match, by their digests, with an article that shows the one and an article of another page that shows the
    other."""

    text_a: str
    text_b: str
    relation: str
    similarity: float
    containment: float
    coverage: float
    shared_characters: int
    longest_passage: int
    quoted_share: float
    a: MatchedArticleRow
    b: MatchedArticleRow


class ExportedMemberRow(NamedTuple):
    """An article of a cluster; `relation` is None of the representative."""

    cluster_url: str
    url: str
    article_id: str | None
    title: str
    publisher: str
    oid: str
    published_at: str | None
    crawled_at: str
    first_crawled_at: str
    relation: str | None
    similarity: float | None
    coverage: float | None
    via_url: str | None


class CurrentArticleRow(NamedTuple):
    """An article that takes part in keeping and dropping."""

    page_id: int
    text_id: int | None
    url: str
    published_at: str | None
    crawled_at: str
    check_status: str
    crowded: int
    publisher: str
    oid: str
    characters: int


_PRESENT_FILES = "readings d JOIN files f ON f.id = d.file_id AND f.current_reading_id = d.id AND f.gone = 0 WHERE d.sighting_id = s.id"


_ARTICLE_COLUMNS = (
    "{p}.id, {p}.url, {m}.publisher_printed, {m}.oid, {m}.published_at, {s}.crawled_at,"
    " (SELECT min(w.crawled_at) FROM sightings w WHERE w.page_id = {p}.id AND w.status = 'counted')"
)


_MATCH_QUERY = (
    "SELECT m.text_a_id, m.text_b_id, m.relation, m.similarity, m.containment, m.coverage, m.shared_characters, m.longest_passage,"
    " m.quoted_share, {a} AS pa, {b} AS pb"
    " FROM matches m"
)


def articles(database: Database, *, all_revisions: bool, with_body: bool) -> Iterator[ExportedArticleRow]:
    """The current state of every page, by URL; or with `all_revisions` all states that a counted crawl shows, by their first crawl."""
    sighting_condition = f"s.id = {_LATEST_SIGHTING}" if all_revisions else "s.id = p.current_sighting_id"
    sql = (
        f"SELECT p.id, p.url, m.article_id, r.title, m.publisher_printed, m.oid, m.author, m.category, m.published_at, s.crawled_at,"
        f" {_FIRST_CRAWLED_AT.format(page='p.id')}, s.check_status, s.check_cause, lower(hex(r.digest)), lower(hex(t.digest)),"
        f" t.characters, {_ORDINAL}, s.id = p.current_sighting_id, v.cluster_role, r.pruned_at,"
        " coalesce((SELECT o.path_text || '/' || f.path_text FROM readings d JOIN files f ON f.id = d.file_id JOIN crawl_directories o"
        " ON o.id = f.directory_id WHERE d.sighting_id = s.id ORDER BY f.gone, f.path_text LIMIT 1), ''),"
        " NOT EXISTS (SELECT 1 FROM readings d JOIN files f ON f.id = d.file_id WHERE d.sighting_id = s.id AND f.gone = 0),"
        f" {'CASE WHEN r.pruned_at IS NULL THEN r.body END' if with_body else 'NULL'}"
        " FROM pages p CROSS JOIN revisions r ON r.page_id = p.id"
        f" CROSS JOIN sightings s ON {sighting_condition} AND s.revision_id = r.id JOIN metadata m ON m.id = s.metadata_id"
        " LEFT JOIN texts t ON t.id = r.text_id LEFT JOIN summaries v ON v.page_id = p.id"
        f" ORDER BY p.url{f', {_STATE_FIRST_CRAWLED_AT}, r.digest' if all_revisions else ''}"
    )
    for row in database.connection.execute(sql):
        yield ExportedArticleRow(*row)


def same_texts(database: Database, *, all_revisions: bool) -> Iterator[tuple[str, MatchedArticleRow]]:
    """(text, an article that shows it) of all texts that several pages have shown, by text, then by URL."""
    sighting_condition = f"s.id = {_LATEST_SIGHTING}" if all_revisions else "s.id = p.current_sighting_id"
    sql = (
        f"SELECT lower(hex(t.digest)), {_ARTICLE_COLUMNS.format(p='p', m='m', s='s')} FROM texts t JOIN revisions r ON r.text_id = t.id"
        f" JOIN pages p ON p.id = r.page_id JOIN sightings s ON {sighting_condition} AND s.revision_id = r.id"
        " JOIN metadata m ON m.id = s.metadata_id"
        " WHERE t.id IN (SELECT text_id FROM revisions WHERE text_id IS NOT NULL GROUP BY text_id HAVING count(DISTINCT page_id) > 1)"
        " ORDER BY t.digest, p.url, r.digest"
    )
    for row in database.connection.execute(sql):
        yield row[0], MatchedArticleRow(*row[1:])


def matches(database: Database, *, all_revisions: bool) -> Iterator[ExportedMatchRow]:
    """Every match of two distinct texts that pages show, by text: each side is the first by URL that shows it."""
    side, other_side = _ARTICLE_COLUMNS.format(p="p", m="x", s="s"), _ARTICLE_COLUMNS.format(p="q", m="y", s="z")
    sql = (
        "WITH chosen AS"
        f" ({_MATCH_QUERY.format(a=_first_page_sql('m.text_a_id', all_revisions), b=_first_page_sql('m.text_b_id', all_revisions))}),"
        " sided AS (SELECT c.*, "
        f" {_first_page_sql('c.text_a_id', all_revisions, 'c.pb')} AS pa2, {_first_page_sql('c.text_b_id', all_revisions, 'c.pa')} AS pb2"
        " FROM chosen c WHERE c.pa = c.pb"
        " UNION ALL SELECT c.*, NULL, NULL FROM chosen c WHERE c.pa <> c.pb),"
        " paired AS (SELECT c.*, CASE WHEN c.pa <> c.pb OR c.pb2 IS NOT NULL THEN c.pa ELSE c.pa2 END AS one,"
        " CASE WHEN c.pa = c.pb AND c.pb2 IS NOT NULL THEN c.pb2 ELSE c.pb END AS two FROM sided c)"
        " SELECT lower(hex(ta.digest)), lower(hex(tb.digest)),"
        " c.relation, c.similarity, c.containment, c.coverage, c.shared_characters, c.longest_passage,"
        f" c.quoted_share, {side}, {other_side} FROM paired c JOIN texts ta ON ta.id = c.text_a_id JOIN texts tb ON tb.id = c.text_b_id"
        f" JOIN pages p ON p.id = c.one JOIN sightings s ON s.id = {_latest_sighting_sql('p', 'c.text_a_id', all_revisions)}"
        " JOIN metadata x ON x.id = s.metadata_id"
        f" JOIN pages q ON q.id = c.two JOIN sightings z ON z.id = {_latest_sighting_sql('q', 'c.text_b_id', all_revisions)}"
        " JOIN metadata y ON y.id = z.metadata_id"
        " ORDER BY min(ta.digest, tb.digest), max(ta.digest, tb.digest)"
    )
    for r in database.connection.execute(sql):
        yield ExportedMatchRow(
            r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], MatchedArticleRow(*r[9:16]), MatchedArticleRow(*r[16:])
        )


def members(database: Database) -> Iterator[ExportedMemberRow]:
    """The articles of every cluster, by the representative's URL: that first, then the others by URL."""
    sql = (
        "SELECT c.url, p.url, m.article_id, r.title, m.publisher_printed, m.oid, m.published_at, s.crawled_at,"
        f" {_FIRST_CRAWLED_AT.format(page='p.id')}, k.relation, k.similarity, k.coverage,"
        " CASE WHEN k.via_text_id IS NOT NULL THEN (SELECT y.url FROM revisions x JOIN pages y ON y.id = x.page_id LEFT JOIN sightings z"
        " ON z.id = y.current_sighting_id WHERE x.text_id = k.via_text_id ORDER BY z.revision_id IS NOT x.id, y.url LIMIT 1) END"
        " FROM pages c CROSS JOIN clusters g ON g.page_id = c.id CROSS JOIN"
        " (SELECT page_id AS cluster_id, page_id, NULL AS relation, NULL AS similarity, NULL AS coverage, NULL AS via_text_id FROM clusters"
        " UNION ALL SELECT cluster_id, page_id, relation, similarity, coverage, via_text_id FROM cluster_members) k ON k.cluster_id = c.id"
        " JOIN pages p ON p.id = k.page_id JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id"
        " JOIN metadata m ON m.id = s.metadata_id ORDER BY c.url, k.relation IS NOT NULL, p.url"
    )
    for row in database.connection.execute(sql):
        yield ExportedMemberRow(*row)


def current_articles(database: Database, *, matched_only: bool) -> Iterator[CurrentArticleRow]:
    """Every page whose current crawl a file that is there holds, by URL; with `matched_only` those alone whose text another page has
    shown or a match names."""
    sql = (
        "SELECT p.id, r.text_id, p.url, m.published_at, s.crawled_at, s.check_status, coalesce(t.crowded, 0), m.publisher_printed, m.oid,"
        " coalesce(t.characters, 0) FROM pages p JOIN sightings s ON s.id = p.current_sighting_id"
        " JOIN revisions r ON r.id = s.revision_id"
        " JOIN metadata m ON m.id = s.metadata_id LEFT JOIN texts t ON t.id = r.text_id"
        f" WHERE EXISTS (SELECT 1 FROM {_PRESENT_FILES})"
    )
    if matched_only:
        sql += (
            " AND r.text_id IN (SELECT text_a_id FROM matches UNION SELECT text_b_id FROM matches UNION SELECT text_id FROM revisions"
            " WHERE text_id IS NOT NULL GROUP BY text_id HAVING count(DISTINCT page_id) > 1)"
        )
    for row in database.connection.execute(sql + " ORDER BY p.url"):
        yield CurrentArticleRow(*row)


def copies(database: Database, relations: frozenset[str]) -> Iterator[Match]:
    """Every match of these relations that clusters are made of."""
    sql = f"SELECT {MATCH_COLUMNS} FROM matches m WHERE m.relation IN ({CLUSTERED_RELATIONS_SQL}) ORDER BY text_a_id, text_b_id"
    yield from (m for m in map(match_from_row, database.connection.execute(sql)) if m.relation in relations)


def articles_with_files(database: Database) -> Iterator[tuple[int, str, str | None, str, str, str, bytes, bytes, bytes]]:
    """(page, URL, id, publisher as printed, oid, title, crawl directory, folder, name) of each file that holds the current crawl of
    a page, by URL, then path."""
    sql = (
        "SELECT p.id, p.url, m.article_id, m.publisher_printed, m.oid, r.title, o.path, f.folder, f.name FROM pages p"
        " CROSS JOIN sightings s ON s.id = p.current_sighting_id CROSS JOIN readings d ON d.sighting_id = s.id"
        " CROSS JOIN files f ON f.id = d.file_id AND f.current_reading_id = d.id AND f.gone = 0"
        " JOIN crawl_directories o ON o.id = f.directory_id JOIN revisions r ON r.id = s.revision_id"
        " JOIN metadata m ON m.id = s.metadata_id"
        " ORDER BY p.url, o.path, f.folder, f.name"
    )
    for r in database.connection.execute(sql):
        yield r[0], r[1], r[2], r[3], r[4], r[5], bytes(r[6]), bytes(r[7]), bytes(r[8])


def count_without_files(database: Database) -> int:
    """Pages whose current crawl no file holds any more."""
    sql = f"SELECT count(*) FROM pages p JOIN sightings s ON s.id = p.current_sighting_id WHERE NOT EXISTS (SELECT 1 FROM {_PRESENT_FILES})"
    return int(database.value(sql))


def _first_page_sql(text_sql: str, all_revisions: bool, excluded_page_sql: str = "") -> str:  # noqa: FBT001
    """The first page by URL that shows a text, of those that are not `excluded_page_sql`."""
    sighting_condition = "u.status = 'counted'" if all_revisions else "u.id = h.current_sighting_id"
    exclusion = f" AND h.id <> {excluded_page_sql}" if excluded_page_sql else ""
    return (
        "(SELECT h.id FROM revisions g JOIN pages h ON h.id = g.page_id JOIN sightings u ON u.revision_id = g.id"
        f" WHERE g.text_id = {text_sql} AND {sighting_condition}{exclusion} ORDER BY h.url LIMIT 1)"
    )


def _latest_sighting_sql(page_alias: str, text_sql: str, all_revisions: bool) -> str:  # noqa: FBT001
    """The latest crawl of a page that shows a text."""
    if not all_revisions:
        return f"{page_alias}.current_sighting_id"
    return (
        f"(SELECT u.id FROM revisions g JOIN sightings u ON u.revision_id = g.id WHERE g.page_id = {page_alias}.id"
        f" AND g.text_id = {text_sql} AND u.status = 'counted' ORDER BY u.crawled_at DESC, u.id LIMIT 1)"
    )
