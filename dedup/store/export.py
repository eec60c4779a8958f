"""Rows of the exports, streamed in a defined order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dedup.model import Match
from dedup.store.database import Database
from dedup.store.matches import MATCH_COLUMNS, match_from_row
from dedup.store.summaries import CLUSTERED_RELATIONS_SQL

_FIRST_CRAWLED_AT = "(SELECT min(x.crawled_at) FROM sightings x WHERE x.page_id = {page} AND x.status = 'counted')"
"""The first counted crawl of a page."""


_LATEST_SIGHTING = (
    "(SELECT x.id FROM sightings x WHERE x.revision_id = r.id AND x.status = 'counted' ORDER BY x.crawled_at DESC, x.id LIMIT 1)"
)
"""The latest counted sighting of revision `r`."""


_STATE_FIRST_CRAWLED_AT = "(SELECT min(x.crawled_at) FROM sightings x WHERE x.revision_id = r.id AND x.status = 'counted')"


_ORDINAL = (
    "(SELECT count(*) FROM (SELECT x.revision_id, min(x.crawled_at) AS first_at FROM sightings x WHERE x.page_id = p.id"
    " AND x.status = 'counted' GROUP BY x.revision_id) y JOIN revisions z ON z.id = y.revision_id"
    f" WHERE y.first_at < {_STATE_FIRST_CRAWLED_AT} OR (y.first_at = {_STATE_FIRST_CRAWLED_AT} AND z.digest <= r.digest))"
)
"""The number shown for revision `r` of page `p`: its position by first counted crawl, then by digest."""


class ExportedArticleRow(NamedTuple):
    """A state of a page by its latest crawl. Digests are hexadecimal. `body` is None if it was pruned or not requested, `cluster_role` if
    the page has no summary yet."""

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
    """One side of a match: an article."""

    page_id: int
    url: str
    publisher: str
    oid: str
    published_at: str | None
    crawled_at: str
    first_crawled_at: str


class ExportedMatchRow(NamedTuple):
    """Two texts that match, by their hexadecimal digests, with an article that shows text a and one of another page that shows text b."""

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
    """An article of a cluster. `relation` is None for the representative."""

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
    """An article from which the keep and drop exports choose."""

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


class TextArticleRow(NamedTuple):
    """A text, by its hexadecimal digest, and an article that shows it."""

    text: str
    article: MatchedArticleRow


class ArticleFileRow(NamedTuple):
    """A file that holds the current crawl of a page. `publisher` is the printed name; `directory`, `folder` and `name` are its path."""

    page_id: int
    url: str
    article_id: str | None
    publisher: str
    oid: str
    title: str
    directory: bytes
    folder: bytes
    name: bytes


_PRESENT_FILES = "readings d JOIN files f ON f.id = d.file_id AND f.current_reading_id = d.id AND f.gone = 0 WHERE d.sighting_id = s.id"
"""FROM and WHERE of the present files that hold sighting `s`."""


_FIRST_PATH = (
    "coalesce((SELECT o.path_text || '/' || f.path_text FROM readings d JOIN files f ON f.id = d.file_id JOIN crawl_directories o"
    " ON o.id = f.directory_id WHERE d.sighting_id = s.id ORDER BY f.gone, f.path_text LIMIT 1), '')"
)
"""A file that showed sighting `s`, a present one if there is any."""


_IS_GONE = "NOT EXISTS (SELECT 1 FROM readings d JOIN files f ON f.id = d.file_id WHERE d.sighting_id = s.id AND f.gone = 0)"
"""SQL condition: no file that showed sighting `s` is present."""


_ARTICLE_COLUMNS = (
    "{p}.id, {p}.url, {m}.publisher_printed, {m}.oid, {m}.published_at, {s}.crawled_at,"
    " (SELECT min(w.crawled_at) FROM sightings w WHERE w.page_id = {p}.id AND w.status = 'counted')"
)


_SHARED_TEXTS = "SELECT text_id FROM revisions WHERE text_id IS NOT NULL GROUP BY text_id HAVING count(DISTINCT page_id) > 1"
"""Texts that several pages have shown."""


_VIA_URL = (
    "CASE WHEN k.via_text_id IS NOT NULL THEN (SELECT y.url FROM revisions x JOIN pages y ON y.id = x.page_id LEFT JOIN sightings z"
    " ON z.id = y.current_sighting_id WHERE x.text_id = k.via_text_id ORDER BY z.revision_id IS NOT x.id, y.url LIMIT 1) END"
)
"""The URL of a page with the text through which member `k` belongs to its cluster, of one that shows it now if there is any."""


_ALL_MEMBERS = (
    "SELECT page_id AS cluster_id, page_id, NULL AS relation, NULL AS similarity, NULL AS coverage, NULL AS via_text_id FROM clusters"
    " UNION ALL SELECT cluster_id, page_id, relation, similarity, coverage, via_text_id FROM cluster_members"
)
"""The representative and the members of each cluster."""


def articles(database: Database, *, all_revisions: bool, with_body: bool) -> Iterator[ExportedArticleRow]:
    """Yield the current state of every page by URL; with `all_revisions` every counted state, by URL, then by its first crawl."""
    sighting_condition = f"s.id = {_LATEST_SIGHTING}" if all_revisions else "s.id = p.current_sighting_id"
    sql = (
        f"SELECT p.id, p.url, m.article_id, r.title, m.publisher_printed, m.oid, m.author, m.category, m.published_at, s.crawled_at,"
        f" {_FIRST_CRAWLED_AT.format(page='p.id')}, s.check_status, s.check_cause, lower(hex(r.digest)), lower(hex(t.digest)),"
        f" t.characters, {_ORDINAL}, s.id = p.current_sighting_id, v.cluster_role, r.pruned_at,"
        f" {_FIRST_PATH}, {_IS_GONE}, {'CASE WHEN r.pruned_at IS NULL THEN r.body END' if with_body else 'NULL'}"
        " FROM pages p CROSS JOIN revisions r ON r.page_id = p.id"
        f" CROSS JOIN sightings s ON {sighting_condition} AND s.revision_id = r.id JOIN metadata m ON m.id = s.metadata_id"
        " LEFT JOIN texts t ON t.id = r.text_id LEFT JOIN summaries v ON v.page_id = p.id"
        f" ORDER BY p.url{f', {_STATE_FIRST_CRAWLED_AT}, r.digest' if all_revisions else ''}"
    )
    for row in database.connection.execute(sql):
        yield ExportedArticleRow(*row)


def same_texts(database: Database, *, all_revisions: bool) -> Iterator[TextArticleRow]:
    """Yield the articles of every text that several pages show, by text, then by URL."""
    sighting_condition = f"s.id = {_LATEST_SIGHTING}" if all_revisions else "s.id = p.current_sighting_id"
    sql = (
        f"SELECT lower(hex(t.digest)), {_ARTICLE_COLUMNS.format(p='p', m='m', s='s')} FROM texts t JOIN revisions r ON r.text_id = t.id"
        f" JOIN pages p ON p.id = r.page_id JOIN sightings s ON {sighting_condition} AND s.revision_id = r.id"
        " JOIN metadata m ON m.id = s.metadata_id"
        f" WHERE t.id IN ({_SHARED_TEXTS}) ORDER BY t.digest, p.url, r.digest"
    )
    for text, *article in database.connection.execute(sql):
        yield TextArticleRow(text, MatchedArticleRow(*article))


def matches(database: Database, *, all_revisions: bool) -> Iterator[ExportedMatchRow]:
    """Yield every match of two distinct texts that pages show, by the digests of the texts. Each side is the first page by URL that shows
    its text. If one page is the first of both texts, the next page replaces it on one side."""
    side, other_side = _ARTICLE_COLUMNS.format(p="p", m="x", s="s"), _ARTICLE_COLUMNS.format(p="q", m="y", s="z")
    sql = (
        f"WITH first_pages AS ({_first_pages_sql(all_revisions)}), second_pages AS ({_second_pages_sql(all_revisions)}),"
        f" page_pairs AS ({_PAGE_PAIRS}) SELECT lower(hex(ta.digest)), lower(hex(tb.digest)),"
        " c.relation, c.similarity, c.containment, c.coverage, c.shared_characters, c.longest_passage, c.quoted_share,"
        f" {side}, {other_side} FROM page_pairs c JOIN texts ta ON ta.id = c.text_a_id JOIN texts tb ON tb.id = c.text_b_id"
        f" JOIN pages p ON p.id = c.page_a JOIN sightings s ON s.id = {_latest_sighting_sql('p', 'c.text_a_id', all_revisions)}"
        " JOIN metadata x ON x.id = s.metadata_id"
        f" JOIN pages q ON q.id = c.page_b JOIN sightings z ON z.id = {_latest_sighting_sql('q', 'c.text_b_id', all_revisions)}"
        " JOIN metadata y ON y.id = z.metadata_id"
        " ORDER BY min(ta.digest, tb.digest), max(ta.digest, tb.digest)"
    )
    width = len(MatchedArticleRow._fields)
    for text_a, text_b, relation, similarity, containment, coverage, shared, longest, quoted, *articles in database.connection.execute(sql):
        a, b = MatchedArticleRow(*articles[:width]), MatchedArticleRow(*articles[width:])
        yield ExportedMatchRow(text_a, text_b, relation, similarity, containment, coverage, shared, longest, quoted, a, b)


def members(database: Database) -> Iterator[ExportedMemberRow]:
    """Yield the articles of every cluster, by the URL of the representative: the representative first, then the others by URL."""
    sql = (
        "SELECT c.url, p.url, m.article_id, r.title, m.publisher_printed, m.oid, m.published_at, s.crawled_at,"
        f" {_FIRST_CRAWLED_AT.format(page='p.id')}, k.relation, k.similarity, k.coverage, {_VIA_URL}"
        f" FROM pages c CROSS JOIN clusters g ON g.page_id = c.id CROSS JOIN ({_ALL_MEMBERS}) k ON k.cluster_id = c.id"
        " JOIN pages p ON p.id = k.page_id JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id"
        " JOIN metadata m ON m.id = s.metadata_id ORDER BY c.url, k.relation IS NOT NULL, p.url"
    )
    for row in database.connection.execute(sql):
        yield ExportedMemberRow(*row)


def current_articles(database: Database, *, matched_only: bool) -> Iterator[CurrentArticleRow]:
    """Yield every page whose current crawl is in a present file, by URL. `matched_only` restricts them to texts that another page showed or
    that occur in a match."""
    sql = (
        "SELECT p.id, r.text_id, p.url, m.published_at, s.crawled_at, s.check_status, coalesce(t.crowded, 0), m.publisher_printed, m.oid,"
        " coalesce(t.characters, 0) FROM pages p JOIN sightings s ON s.id = p.current_sighting_id"
        " JOIN revisions r ON r.id = s.revision_id"
        " JOIN metadata m ON m.id = s.metadata_id LEFT JOIN texts t ON t.id = r.text_id"
        f" WHERE EXISTS (SELECT 1 FROM {_PRESENT_FILES})"
    )
    if matched_only:
        sql += f" AND r.text_id IN (SELECT text_a_id FROM matches UNION SELECT text_b_id FROM matches UNION {_SHARED_TEXTS})"
    for row in database.connection.execute(sql + " ORDER BY p.url"):
        yield CurrentArticleRow(*row)


def copies(database: Database, relations: frozenset[str]) -> Iterator[Match]:
    """Yield the matches of these relations from which clusters are made."""
    sql = f"SELECT {MATCH_COLUMNS} FROM matches m WHERE m.relation IN ({CLUSTERED_RELATIONS_SQL}) ORDER BY text_a_id, text_b_id"
    yield from (m for m in map(match_from_row, database.connection.execute(sql)) if m.relation in relations)


def articles_with_files(database: Database) -> Iterator[ArticleFileRow]:
    """Yield each file that holds the current crawl of a page, by URL, then by path."""
    sql = (
        "SELECT p.id, p.url, m.article_id, m.publisher_printed, m.oid, r.title, o.path, f.folder, f.name FROM pages p"
        " CROSS JOIN sightings s ON s.id = p.current_sighting_id CROSS JOIN readings d ON d.sighting_id = s.id"
        " CROSS JOIN files f ON f.id = d.file_id AND f.current_reading_id = d.id AND f.gone = 0"
        " JOIN crawl_directories o ON o.id = f.directory_id JOIN revisions r ON r.id = s.revision_id"
        " JOIN metadata m ON m.id = s.metadata_id"
        " ORDER BY p.url, o.path, f.folder, f.name"
    )
    for page, url, article_id, publisher, oid, title, directory, folder, name in database.connection.execute(sql):
        yield ArticleFileRow(page, url, article_id, publisher, oid, title, bytes(directory), bytes(folder), bytes(name))


def count_without_files(database: Database) -> int:
    """Return the number of pages whose current crawl is in no present file."""
    sql = f"SELECT count(*) FROM pages p JOIN sightings s ON s.id = p.current_sighting_id WHERE NOT EXISTS (SELECT 1 FROM {_PRESENT_FILES})"
    return int(database.value(sql))


def _first_pages_sql(all_revisions: bool) -> str:  # noqa: FBT001
    """Every match, with the first page by URL that shows text a (`first_a`) and text b (`first_b`)."""
    return (
        "SELECT m.text_a_id, m.text_b_id, m.relation, m.similarity, m.containment, m.coverage, m.shared_characters, m.longest_passage,"
        f" m.quoted_share, {_first_page_sql('m.text_a_id', all_revisions)} AS first_a,"
        f" {_first_page_sql('m.text_b_id', all_revisions)} AS first_b FROM matches m"
    )


def _second_pages_sql(all_revisions: bool) -> str:  # noqa: FBT001
    """`first_pages`; where one page is the first of both texts, with the next pages that show text a (`next_a`) and text b (`next_b`)."""
    return (
        f"SELECT c.*, {_first_page_sql('c.text_a_id', all_revisions, 'c.first_b')} AS next_a,"
        f" {_first_page_sql('c.text_b_id', all_revisions, 'c.first_a')} AS next_b FROM first_pages c WHERE c.first_a = c.first_b"
        " UNION ALL SELECT c.*, NULL, NULL FROM first_pages c WHERE c.first_a <> c.first_b"
    )


_PAGE_PAIRS = (
    "SELECT c.*, CASE WHEN c.first_a <> c.first_b OR c.next_b IS NOT NULL THEN c.first_a ELSE c.next_a END AS page_a,"
    " CASE WHEN c.first_a = c.first_b AND c.next_b IS NOT NULL THEN c.next_b ELSE c.first_b END AS page_b FROM second_pages c"
)
"""Every match with two different pages: if one page is the first of both texts, the next page of text b, else of text a, replaces it."""


def _first_page_sql(text_sql: str, all_revisions: bool, excluded_page_sql: str = "") -> str:  # noqa: FBT001
    """Return SQL for the first page by URL that shows a text, except `excluded_page_sql`."""
    sighting_condition = "u.status = 'counted'" if all_revisions else "u.id = h.current_sighting_id"
    exclusion = f" AND h.id <> {excluded_page_sql}" if excluded_page_sql else ""
    return (
        "(SELECT h.id FROM revisions g JOIN pages h ON h.id = g.page_id JOIN sightings u ON u.revision_id = g.id"
        f" WHERE g.text_id = {text_sql} AND {sighting_condition}{exclusion} ORDER BY h.url LIMIT 1)"
    )


def _latest_sighting_sql(page_alias: str, text_sql: str, all_revisions: bool) -> str:  # noqa: FBT001
    """Return SQL for the latest sighting in which a page shows a text."""
    if not all_revisions:
        return f"{page_alias}.current_sighting_id"
    return (
        f"(SELECT u.id FROM revisions g JOIN sightings u ON u.revision_id = g.id WHERE g.page_id = {page_alias}.id"
        f" AND g.text_id = {text_sql} AND u.status = 'counted' ORDER BY u.crawled_at DESC, u.id LIMIT 1)"
    )
