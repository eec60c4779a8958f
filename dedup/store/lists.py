"""Lists for the dashboard, read page by page: each part continues where the one before ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from dedup.store import pages, statistics
from dedup.store.database import Database, Where

PageOrder = Literal["crawled", "arrived", "edited"]


ClusterOrder = Literal["newest", "largest", "widest", "fastest"]


PAGE_ORDERS: dict[PageOrder, str] = {"crawled": "last_crawled_at", "arrived": "first_crawled_at", "edited": "changes"}


CLUSTER_ORDERS: dict[ClusterOrder, str] = {
    "newest": "last_joined_at",
    "largest": "size",
    "widest": "publishers",
    "fastest": "first_hour_articles",
}
"""What a list is ordered by → the field that is greatest at its beginning."""


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
    """A cluster, told by its representative."""

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
    """An article of a cluster; of the representative `relation` is empty. `via_url`: the page by way of which it belongs there."""

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
    """A crawl whose `content_hash` did not fit."""

    url: str
    title: str
    publisher: str
    crawled_at: str
    check_cause: str | None
    status: str
    path: str


@dataclass(frozen=True, slots=True)
class PageFilter:
    """Which pages; times are ISO 8601 in UTC and of the crawl that the order is by (`until` is not included)."""

    publisher: str | None = None
    cluster_role: str | None = None
    check_status: str | None = None
    edited: bool = False
    since: str | None = None
    until: str | None = None


@dataclass(frozen=True, slots=True)
class ClusterFilter:
    """Which clusters; times are of the article that came last."""

    publisher: str | None = None
    relation: str | None = None
    min_size: int = 0
    across_publishers: bool = False
    since: str | None = None
    until: str | None = None


_CURRENT_REVISION_JOIN = "CROSS JOIN sightings s ON s.id = p.current_sighting_id CROSS JOIN revisions r ON r.id = s.revision_id"
"""From a page to what it shows now."""


_CLUSTER_QUERY = (
    "SELECT p.url, r.title, v.publisher, c.size, c.publishers, c.exact, c.near, c.copy, c.first_published_at, c.last_published_at,"
    " c.started_at,"
    " c.last_joined_at, c.first_hour_articles FROM clusters c CROSS JOIN summaries v ON v.page_id = c.page_id"
    f" CROSS JOIN pages p ON p.id = c.page_id {_CURRENT_REVISION_JOIN}"
)


def publishers(database: Database) -> list[str]:
    """Every house, in order; one look into the index for each."""
    sql = (
        "WITH RECURSIVE each (name) AS (SELECT min(publisher) FROM summaries UNION ALL SELECT (SELECT min(publisher) FROM summaries"
        " WHERE publisher > name) FROM each WHERE name IS NOT NULL) SELECT name FROM each WHERE name IS NOT NULL"
    )
    return [r[0] for r in database.rows(sql)]


def count_unsummarised_pages(database: Database) -> int:
    """Pages that are not summed up as they are now."""
    return statistics.count(database, "dirty_pages")


def list_pages(
    database: Database, page_filter: PageFilter, order: PageOrder, cursor: tuple[Any, str] | None, limit: int
) -> list[PageListRow]:
    """So many pages, the latest (or most edited) first, from the one after a value of the order and a URL."""
    column = PAGE_ORDERS[order]
    where = Where()
    if order == "edited" or page_filter.edited:
        where.add("v.changes > 0")
    for name, value in (
        ("publisher", page_filter.publisher),
        ("cluster_role", page_filter.cluster_role),
        ("check_status", page_filter.check_status),
    ):
        if value is not None:
            where.add(f"v.{name} = ?", value)
    time_column = "first_crawled_at" if order == "arrived" else "last_crawled_at"
    if page_filter.since is not None:
        where.add(f"v.{time_column} >= ?", page_filter.since)
    if page_filter.until is not None:
        where.add(f"v.{time_column} < ?", page_filter.until)
    _continue_after(database, where, f"v.{column}", cursor)
    return [
        PageListRow(*r)
        for r in database.rows(
            "SELECT p.url, r.title, v.publisher, v.published_at, v.first_crawled_at, v.last_crawled_at, v.check_status, v.check_cause,"
            " v.revisions,"
            " v.sightings, v.changes, v.silent_changes, v.characters, v.cluster_role FROM summaries v CROSS"
            " JOIN pages p ON p.id = v.page_id"
            f" {_CURRENT_REVISION_JOIN} WHERE {where} ORDER BY v.{column} DESC, v.page_id DESC LIMIT ?",
            *where.values, limit,
        )
    ]  # fmt: skip


def _continue_after(database: Database, where: Where, column: str, cursor: tuple[Any, str] | None) -> None:
    """Go on after a value and the page of a URL, as rows are ordered by both, the greatest first."""
    if cursor is not None:
        page = pages.get_by_url(database, cursor[1])
        where.add(f"({column}, v.page_id) < (?, ?)", cursor[0], page or 0)


def list_clusters(
    database: Database, cluster_filter: ClusterFilter, order: ClusterOrder, cursor: tuple[Any, str] | None, limit: int
) -> list[ClusterListRow]:
    """So many clusters, those first that are greatest in what they are ordered by."""
    column = CLUSTER_ORDERS[order]
    where = Where()
    if cluster_filter.publisher is not None:
        where.add(
            "c.page_id IN (SELECT m.cluster_id FROM summaries o CROSS JOIN cluster_members m ON m.page_id = o.page_id"
            " WHERE o.publisher = ? AND o.cluster_role <> 'alone' UNION SELECT o.page_id FROM summaries o WHERE o.publisher = ?"
            " AND o.cluster_role = 'representative')",
            cluster_filter.publisher, cluster_filter.publisher,
        )  # fmt: skip
    if cluster_filter.relation is not None:
        where.add({"exact": "c.exact > 0", "near": "c.near > 0", "copy": "c.copy > 0"}[cluster_filter.relation])
    if cluster_filter.min_size:
        where.add("c.size >= ?", cluster_filter.min_size)
    if cluster_filter.across_publishers:
        where.add("c.publishers > 1")
    if cluster_filter.since is not None:
        where.add("c.last_joined_at >= ?", cluster_filter.since)
    if cluster_filter.until is not None:
        where.add("c.last_joined_at < ?", cluster_filter.until)
    _continue_after(database, where, f"c.{column}", cursor)
    sql = f"{_CLUSTER_QUERY} WHERE {where} ORDER BY c.{column} DESC, v.page_id DESC LIMIT ?"
    return [ClusterListRow(*r) for r in database.rows(sql, *where.values, limit)]


def clusters_of_page(database: Database, page: int) -> list[ClusterListRow]:
    """The clusters that a page is in: its own first, then the largest."""
    return [
        ClusterListRow(*r)
        for r in database.rows(
            f"{_CLUSTER_QUERY} WHERE c.page_id IN (SELECT ?1 UNION SELECT cluster_id FROM cluster_members WHERE page_id = ?1)"
            " ORDER BY c.page_id <> ?1, c.size DESC, p.url",
            page,
        )
    ]


def cluster_members(database: Database, cluster: int, cursor: tuple[str, str] | None, limit: int) -> list[MemberListRow]:
    """So many articles of the cluster of a representative, that among them, in the order of publication (of arrival where that is
    not known), from the one after a time and a URL."""
    at, url = cursor or ("", "")
    rows = database.rows(
        "SELECT * FROM (SELECT p.url AS url, r.title, v.publisher, v.published_at, v.first_crawled_at, v.check_status, v.changes,"
        " m.relation,"
        " m.similarity, m.coverage, (SELECT q.url FROM revisions x JOIN pages q ON q.id = x.page_id WHERE x.text_id = m.via_text_id"
        " ORDER BY q.url LIMIT 1), coalesce(v.published_at, v.first_crawled_at) AS at"
        " FROM (SELECT page_id, relation, similarity, coverage, via_text_id FROM cluster_members WHERE cluster_id = ?1"
        " UNION ALL SELECT ?1, '', 1.0, 1.0, NULL) m JOIN summaries v ON v.page_id = m.page_id"
        f" JOIN pages p ON p.id = v.page_id {_CURRENT_REVISION_JOIN}) WHERE (at, url) > (?2, ?3) ORDER BY at, url LIMIT ?4",
        cluster, at, url, limit,
    )  # fmt: skip
    return [MemberListRow(*r[:-1]) for r in rows]


def publication_times(database: Database, cluster: int) -> list[tuple[str, str]]:
    """(time, publisher) of the publication of every article of a cluster, in order; of those whose time is known."""
    return [
        (r[0], r[1])
        for r in database.rows(
            "SELECT v.published_at, v.publisher FROM (SELECT page_id FROM cluster_members WHERE cluster_id = ?1 UNION ALL SELECT ?1) m"
            " JOIN summaries v ON v.page_id = m.page_id WHERE v.published_at IS NOT NULL ORDER BY 1, 2",
            cluster,
        )
    ]


def latest_crawl(database: Database) -> str | None:
    """When anything was last crawled."""
    crawled_at: str | None = database.value("SELECT max(last_crawled_at) FROM summaries")
    return crawled_at


def arrivals_by_hour(database: Database, since: str, until: str) -> list[tuple[str, int, int]]:
    """(hour in UTC as `2026-03-02T09`, pages that were crawled for the first time then, those of them that are copies)."""
    return [
        (r[0], r[1], r[2])
        for r in database.rows(
            "SELECT substr(first_crawled_at, 1, 13), count(*), sum(cluster_role = 'member') FROM summaries"
            " WHERE first_crawled_at >= ? AND first_crawled_at < ?"
            " GROUP BY 1 ORDER BY 1",
            since, until,
        )
    ]  # fmt: skip


def growing_clusters(database: Database, since: str, limit: int) -> list[tuple[ClusterListRow, int]]:
    """Clusters that grew since then, those first that grew most, with the articles that came; of the 200 that grew last."""
    rows = database.rows(
        "SELECT c.page_id, (SELECT count(*) FROM (SELECT page_id FROM cluster_members m WHERE m.cluster_id = c.page_id"
        " UNION ALL SELECT c.page_id) m JOIN summaries v ON v.page_id = m.page_id WHERE v.first_crawled_at >= ?1) AS grown"
        " FROM (SELECT page_id, size FROM clusters WHERE last_joined_at >= ?1 ORDER BY last_joined_at DESC LIMIT 200) c"
        " ORDER BY grown DESC, c.size DESC, c.page_id LIMIT ?2",
        since, limit,
    )  # fmt: skip
    return [(ClusterListRow(*database.rows(f"{_CLUSTER_QUERY} WHERE c.page_id = ?", page)[0]), grown) for page, grown in rows]


def checks_by_publisher(database: Database) -> list[tuple[str, str, str | None, int]]:
    """(publisher, check, cause, pages) of what pages show now."""
    sql = "SELECT publisher, check_status, check_cause, count(*) FROM summaries INDEXED BY summaries_checks GROUP BY 2, 3, 1"
    return [(r[0], r[1], r[2], r[3]) for r in database.rows(sql)]


def mismatches(
    database: Database, cause: str | None, publisher: str | None, cursor: tuple[str, str] | None, limit: int
) -> list[MismatchListRow]:
    """So many crawls with a mismatched `content_hash`, the latest first, from the one after a time and a URL."""
    where = Where(["s.check_status = 'mismatched'"])
    if cause is not None:
        where.add("s.check_cause = ?", cause)
    if publisher is not None:
        where.add("v.publisher = ?", publisher)
    if cursor is not None:
        where.add("s.crawled_at <= ? AND (s.crawled_at < ? OR p.url > ?)", cursor[0], cursor[0], cursor[1])
    rows = database.rows(
        "SELECT p.url, r.title, coalesce(v.publisher, ''), s.crawled_at, s.check_cause, s.status,"
        " coalesce((SELECT min(o.path_text || '/' || f.path_text) FROM readings d JOIN files f ON f.id = d.file_id"
        " JOIN crawl_directories o ON o.id = f.directory_id WHERE d.sighting_id = s.id), '')"
        " FROM sightings s INDEXED BY sightings_mismatched CROSS JOIN pages p ON p.id = s.page_id"
        f" CROSS JOIN revisions r ON r.id = s.revision_id LEFT JOIN summaries v ON v.page_id = s.page_id WHERE {where}"
        " ORDER BY s.crawled_at DESC, p.url LIMIT ?",
        *where.values, limit,
    )  # fmt: skip
    return [MismatchListRow(*r) for r in rows]
