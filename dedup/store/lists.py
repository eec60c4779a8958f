"""Lists for the dashboard. A list is read in sections: a cursor, the last row of one section, marks where the next one begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dedup.store import pages
from dedup.store.database import Database, Where

PageOrder = Literal["crawled", "arrived", "edited"]

ClusterOrder = Literal["newest", "largest", "widest", "fastest"]


PAGE_ORDERS: dict[PageOrder, str] = {"crawled": "last_crawled_at", "arrived": "first_crawled_at", "edited": "changes"}
"""Order of a list of pages → the field of PageListRow that decreases along the list."""


CLUSTER_ORDERS: dict[ClusterOrder, str] = {
    "newest": "last_joined_at",
    "largest": "size",
    "widest": "publishers",
    "fastest": "first_hour_articles",
}
"""Order of a list of clusters → the field of ClusterListRow that decreases along the list."""


class PageListRow(NamedTuple):
    """A page with its summary."""

    url: str
    title: str
    publisher: str
    published_at: str | None
    first_crawled_at: str
    last_crawled_at: str
    check_status: str
    check_cause: str | None
    revisions: int
    sightings: int
    changes: int
    silent_changes: int
    characters: int
    cluster_role: str


class ClusterListRow(NamedTuple):
    """A cluster, with URL, title and publisher of its representative."""

    url: str
    title: str
    publisher: str
    size: int
    publishers: int
    exact: int
    near: int
    copy: int
    first_published_at: str | None
    last_published_at: str | None
    started_at: str
    last_joined_at: str
    first_hour_articles: int


class MemberListRow(NamedTuple):
    """An article of a cluster. `relation` is empty for the representative. `via_url` is the page through which the article belongs to the
    cluster, if it does not match the representative itself."""

    url: str
    title: str
    publisher: str
    published_at: str | None
    first_crawled_at: str
    check_status: str
    changes: int
    relation: str
    similarity: float
    coverage: float
    via_url: str | None


class MismatchListRow(NamedTuple):
    """A crawl whose `content_hash` does not match its content."""

    url: str
    title: str
    publisher: str
    crawled_at: str
    check_cause: str | None
    status: str
    path: str


@dataclass(frozen=True, slots=True)
class PageFilter:
    """Selects pages. `since` and `until` (exclusive) are ISO 8601 in UTC, and apply to the first crawl in the order `arrived`, else to the
    last one."""

    publisher: str | None = None
    cluster_role: str | None = None
    check_status: str | None = None
    edited: bool = False
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterFilter:
    """Selects clusters. `since` and `until` (exclusive) are ISO 8601 in UTC, and apply to the time when the last article joined."""

    publisher: str | None = None
    relation: str | None = None
    min_size: int = 0
    across_publishers: bool = False
    since: str | None = None
    until: str | None = None


class HourlyArrivals(NamedTuple):
    """Pages first crawled in one hour (UTC, as `2026-03-02T09`), and how many of them are copies."""

    hour: str
    page_count: int
    copy_count: int


class GrowingCluster(NamedTuple):
    """A cluster, and how many articles joined it in a period."""

    cluster: ClusterListRow
    added_articles: int


class PublisherChecks(NamedTuple):
    """The number of pages of a publisher whose current sighting has this check."""

    publisher: str
    check_status: str
    check_cause: str | None
    page_count: int


_CURRENT_REVISION_JOIN = "CROSS JOIN sightings s ON s.id = p.current_sighting_id CROSS JOIN revisions r ON r.id = s.revision_id"
"""Joins page `p` to its current sighting `s` and revision `r`."""


_CLUSTER_QUERY = (
    "SELECT p.url, r.title, v.publisher, c.size, c.publishers, c.exact, c.near, c.copy, c.first_published_at, c.last_published_at,"
    " c.started_at, c.last_joined_at, c.first_hour_articles FROM clusters c CROSS JOIN summaries v ON v.page_id = c.page_id"
    f" CROSS JOIN pages p ON p.id = c.page_id {_CURRENT_REVISION_JOIN}"
)


_PAGE_QUERY = (
    "SELECT p.url, r.title, v.publisher, v.published_at, v.first_crawled_at, v.last_crawled_at, v.check_status, v.check_cause, v.revisions,"
    " v.sightings, v.changes, v.silent_changes, v.characters, v.cluster_role FROM summaries v CROSS JOIN pages p ON p.id = v.page_id"
    f" {_CURRENT_REVISION_JOIN}"
)


_MEMBERS = (
    "SELECT page_id, relation, similarity, coverage, via_text_id FROM cluster_members WHERE cluster_id = ?1"
    " UNION ALL SELECT ?1, '', 1.0, 1.0, NULL"
)
"""The members of cluster ?1 and its representative."""


_VIA_URL = "(SELECT q.url FROM revisions x JOIN pages q ON q.id = x.page_id WHERE x.text_id = m.via_text_id ORDER BY q.url LIMIT 1)"


_CLUSTERS_OF_PUBLISHER = (
    "SELECT m.cluster_id FROM summaries o CROSS JOIN cluster_members m ON m.page_id = o.page_id"
    " WHERE o.publisher = ? AND o.cluster_role <> 'alone' UNION SELECT o.page_id FROM summaries o WHERE o.publisher = ?"
    " AND o.cluster_role = 'representative'"
)


_FIRST_PATH_OF_SIGHTING = (
    "coalesce((SELECT min(o.path_text || '/' || f.path_text) FROM readings d JOIN files f ON f.id = d.file_id"
    " JOIN crawl_directories o ON o.id = f.directory_id WHERE d.sighting_id = s.id), '')"
)


def publishers(database: Database) -> list[str]:
    """Return the name of every publisher, in order. Costs one index lookup per publisher."""
    sql = (
        "WITH RECURSIVE each (name) AS (SELECT min(publisher) FROM summaries UNION ALL SELECT (SELECT min(publisher) FROM summaries"
        " WHERE publisher > name) FROM each WHERE name IS NOT NULL) SELECT name FROM each WHERE name IS NOT NULL"
    )
    return [r[0] for r in database.rows(sql)]


def list_pages(
    database: Database, page_filter: PageFilter, order: PageOrder, cursor: tuple[Any, str] | None, limit: int
) -> list[PageListRow]:
    """Return at most `limit` pages in an order, from the one after `cursor` on: (value of the order's field, URL)."""
    column = PAGE_ORDERS[order]
    where = Where()
    if order == "edited" or page_filter.edited:
        where.add("v.changes > 0")
    where.add_optional("v.publisher = ?", page_filter.publisher)
    where.add_optional("v.cluster_role = ?", page_filter.cluster_role)
    where.add_optional("v.check_status = ?", page_filter.check_status)
    time_column = "first_crawled_at" if order == "arrived" else "last_crawled_at"
    where.add_optional(f"v.{time_column} >= ?", page_filter.since)
    where.add_optional(f"v.{time_column} < ?", page_filter.until)
    _continue_after(database, where, f"v.{column}", cursor)
    sql = f"{_PAGE_QUERY} WHERE {where} ORDER BY v.{column} DESC, v.page_id DESC LIMIT ?"
    return [PageListRow(*r) for r in database.rows(sql, *where.values, limit)]


def _continue_after(database: Database, where: Where, column: str, cursor: tuple[Any, str] | None) -> None:
    """Add the condition that continues a list, ordered by `column` and page id (both descending), after the row of `cursor`."""
    if cursor is not None:
        page = pages.get_by_url(database, cursor[1])
        where.add(f"({column}, v.page_id) < (?, ?)", cursor[0], page or 0)


def list_clusters(
    database: Database, cluster_filter: ClusterFilter, order: ClusterOrder, cursor: tuple[Any, str] | None, limit: int
) -> list[ClusterListRow]:
    """Return at most `limit` clusters in an order, from the one after `cursor` on: (value of the order's field, URL)."""
    column = CLUSTER_ORDERS[order]
    where = Where()
    if cluster_filter.publisher is not None:
        where.add(f"c.page_id IN ({_CLUSTERS_OF_PUBLISHER})", cluster_filter.publisher, cluster_filter.publisher)
    if cluster_filter.relation is not None:
        where.add({"exact": "c.exact > 0", "near": "c.near > 0", "copy": "c.copy > 0"}[cluster_filter.relation])
    if cluster_filter.min_size:
        where.add("c.size >= ?", cluster_filter.min_size)
    if cluster_filter.across_publishers:
        where.add("c.publishers > 1")
    where.add_optional("c.last_joined_at >= ?", cluster_filter.since)
    where.add_optional("c.last_joined_at < ?", cluster_filter.until)
    _continue_after(database, where, f"c.{column}", cursor)
    sql = f"{_CLUSTER_QUERY} WHERE {where} ORDER BY c.{column} DESC, v.page_id DESC LIMIT ?"
    return [ClusterListRow(*r) for r in database.rows(sql, *where.values, limit)]


def clusters_of_page(database: Database, page: int) -> list[ClusterListRow]:
    """Return the clusters that a page is in: the one it represents first, then the largest."""
    sql = (
        f"{_CLUSTER_QUERY} WHERE c.page_id IN (SELECT ?1 UNION SELECT cluster_id FROM cluster_members WHERE page_id = ?1)"
        " ORDER BY c.page_id <> ?1, c.size DESC, p.url"
    )
    return [ClusterListRow(*r) for r in database.rows(sql, page)]


def cluster_members(database: Database, cluster: int, cursor: tuple[str, str] | None, limit: int) -> list[MemberListRow]:
    """Return at most `limit` articles of a cluster, its representative included, by the time of publication (of the first crawl if that is
    unknown), then by URL, from the one after `cursor` on: (time, URL)."""
    at, url = cursor or ("", "")
    rows = database.rows(
        "SELECT * FROM (SELECT p.url AS url, r.title, v.publisher, v.published_at, v.first_crawled_at, v.check_status, v.changes,"
        f" m.relation, m.similarity, m.coverage, {_VIA_URL}, coalesce(v.published_at, v.first_crawled_at) AS at"
        f" FROM ({_MEMBERS}) m JOIN summaries v ON v.page_id = m.page_id"
        f" JOIN pages p ON p.id = v.page_id {_CURRENT_REVISION_JOIN}) WHERE (at, url) > (?2, ?3) ORDER BY at, url LIMIT ?4",
        cluster, at, url, limit,
    )  # fmt: skip
    return [MemberListRow(*r[:-1]) for r in rows]


def arrivals_by_hour(database: Database, since: str, until: str) -> list[HourlyArrivals]:
    """Return the pages first crawled in a period, by hour. Hours without any are left out."""
    sql = (
        "SELECT substr(first_crawled_at, 1, 13), count(*), sum(cluster_role = 'member') FROM summaries"
        " WHERE first_crawled_at >= ? AND first_crawled_at < ? GROUP BY 1 ORDER BY 1"
    )
    return [HourlyArrivals(*r) for r in database.rows(sql, since, until)]


def growing_clusters(database: Database, since: str, limit: int) -> list[GrowingCluster]:
    """Return at most `limit` clusters with the most articles first crawled since then, of the 200 clusters that grew last."""
    rows = database.rows(
        "SELECT c.page_id, (SELECT count(*) FROM (SELECT page_id FROM cluster_members m WHERE m.cluster_id = c.page_id"
        " UNION ALL SELECT c.page_id) m JOIN summaries v ON v.page_id = m.page_id WHERE v.first_crawled_at >= ?1) AS grown"
        " FROM (SELECT page_id, size FROM clusters WHERE last_joined_at >= ?1 ORDER BY last_joined_at DESC LIMIT 200) c"
        " ORDER BY grown DESC, c.size DESC, c.page_id LIMIT ?2",
        since, limit,
    )  # fmt: skip
    return [
        GrowingCluster(ClusterListRow(*database.rows(f"{_CLUSTER_QUERY} WHERE c.page_id = ?", page)[0]), added_articles)
        for page, added_articles in rows
    ]


def checks_by_publisher(database: Database) -> list[PublisherChecks]:
    """Return the number of pages by publisher and the check of their current sighting."""
    sql = "SELECT publisher, check_status, check_cause, count(*) FROM summaries INDEXED BY summaries_checks GROUP BY 2, 3, 1"
    return [PublisherChecks(*r) for r in database.rows(sql)]


def mismatches(
    database: Database, cause: str | None, publisher: str | None, cursor: tuple[str, str] | None, limit: int
) -> list[MismatchListRow]:
    """Return at most `limit` crawls with a mismatched `content_hash`, the latest first, from the one after `cursor` on: (time, URL)."""
    where = Where(["s.check_status = 'mismatched'"])
    where.add_optional("s.check_cause = ?", cause)
    where.add_optional("v.publisher = ?", publisher)
    if cursor is not None:
        where.add("s.crawled_at <= ? AND (s.crawled_at < ? OR p.url > ?)", cursor[0], cursor[0], cursor[1])
    rows = database.rows(
        f"SELECT p.url, r.title, coalesce(v.publisher, ''), s.crawled_at, s.check_cause, s.status, {_FIRST_PATH_OF_SIGHTING}"
        " FROM sightings s INDEXED BY sightings_mismatched CROSS JOIN pages p ON p.id = s.page_id"
        f" CROSS JOIN revisions r ON r.id = s.revision_id LEFT JOIN summaries v ON v.page_id = s.page_id WHERE {where}"
        " ORDER BY s.crawled_at DESC, p.url LIMIT ?",
        *where.values, limit,
    )  # fmt: skip
    return [MismatchListRow(*r) for r in rows]
