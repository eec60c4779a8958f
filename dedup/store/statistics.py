"""Counts: of the whole database, and of a period for reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from dedup.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class Period:
    """Which articles, crawls, changes and faults are counted; the empty one counts all."""

    since: str | None = None
    until: str | None = None
    publisher: str | None = None


class Publication(NamedTuple):
    """When an article was published, and by which publisher."""

    published_at: str
    publisher: str


_BY_PUBLISHER = "(:publisher IS NULL OR v.publisher = :publisher)"


_DELAY_SECONDS = "(CAST(strftime('%s', substr(c.at, 1, 19)) AS INTEGER) - CAST(strftime('%s', substr(v.published_at, 1, 19)) AS INTEGER))"
"""Whole seconds of times in UTC: SQLite rounds fractions, which at the end of the year 9999 leads beyond its calendar, to NULL."""


_DELAY_BUCKET = f"CASE WHEN v.published_at IS NULL THEN -1 WHEN {_DELAY_SECONDS} < 0 THEN -2 ELSE {_DELAY_SECONDS} / 3600 END"


def _in_period(column: str) -> str:
    return f"(:since IS NULL OR {column} >= :since) AND (:until IS NULL OR {column} < :until)"


_ARRIVED_IN_PERIOD = f"{_in_period('v.first_crawled_at')} AND {_BY_PUBLISHER}"
"""Of summaries `v`."""


_CLUSTERS_OF_PERIOD = (
    f"SELECT v.page_id FROM summaries v WHERE v.cluster_role = 'representative' AND {_ARRIVED_IN_PERIOD} UNION SELECT m.cluster_id"
    " FROM summaries v"
    f" JOIN cluster_members m ON m.page_id = v.page_id WHERE v.cluster_role <> 'alone' AND {_ARRIVED_IN_PERIOD}"
)
"""Those that hold an article of the period."""


_CLUSTER_ORDERS = {
    "largest": "c.size DESC",
    "newest": "c.last_joined_at DESC",
    "fastest": "c.first_hour_articles DESC, c.publishers DESC, c.size DESC",
}


def _period_rows(database: Database, period: Period, sql: str, **extra_values: Any) -> Iterator[Row]:
    values = {"since": period.since, "until": period.until, "publisher": period.publisher, **extra_values}
    yield from database.connection.execute(sql, values)


def count_unsummarised_pages(database: Database) -> int:
    """Pages that are not summed up as they are now."""
    return count(database, "dirty_pages")


def latest_crawl(database: Database) -> str | None:
    """The latest crawl of all that count."""
    crawled_at: str | None = database.value("SELECT max(last_crawled_at) FROM summaries")
    return crawled_at


def articles_by_publisher(database: Database, period: Period) -> list[Row]:
    """(publisher, articles, of those copies of another publisher's article, copies of its own), the most articles first."""
    copies_sql = (
        "SELECT v.page_id, max(r.publisher <> v.publisher) AS others FROM summaries v JOIN cluster_members m ON m.page_id = v.page_id"
        f" JOIN summaries r ON r.page_id = m.cluster_id WHERE v.cluster_role = 'member' AND {_ARRIVED_IN_PERIOD} GROUP BY v.page_id"
    )
    return list(
        _period_rows(
            database,
            period,
            "SELECT v.publisher, count(*), coalesce(sum(k.others), 0), coalesce(sum(1 - k.others), 0)"
            f" FROM summaries v LEFT JOIN ({copies_sql}) k ON k.page_id = v.page_id WHERE {_ARRIVED_IN_PERIOD}"
            " GROUP BY 1 ORDER BY 2 DESC, 1",
        )
    )


def articles_by_quarter_hour(database: Database, period: Period) -> Iterator[Row]:
    """(quarter of an hour as `2026-03-02T09:3`, of which the last character is its number, publisher, articles, of those copies),
    in the order of time: as small as the parts of an hour by which zones differ."""
    return _period_rows(
        database,
        period,
        "SELECT substr(v.first_crawled_at, 1, 14) || (substr(v.first_crawled_at, 15, 2) / 15), v.publisher, count(*), sum(v.cluster_role"
        " = 'member')"
        f" FROM summaries v WHERE {_ARRIVED_IN_PERIOD} GROUP BY 1, 2 ORDER BY 1, 2",
    )


def checks(database: Database, period: Period) -> list[Row]:
    """(publisher, status, cause or None, crawls) of crawls of pages that are summed up."""
    return list(
        _period_rows(
            database,
            period,
            "SELECT v.publisher, s.check_status, s.check_cause, count(*) FROM sightings s JOIN summaries v ON v.page_id = s.page_id"
            f" WHERE {_in_period('s.crawled_at')} AND {_BY_PUBLISHER} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
        )
    )


def checks_of_unsummarised_pages(database: Database, period: Period) -> list[Row]:
    """(publisher as printed, oid, URL, status, cause or None) of crawls of pages that are not: none of theirs counts, or they are
    new."""
    return list(
        _period_rows(
            database,
            period,
            "SELECT m.publisher_printed, m.oid, p.url, s.check_status, s.check_cause FROM pages p JOIN sightings s ON s.page_id = p.id"
            " JOIN metadata m ON m.id = s.metadata_id"
            f" WHERE NOT EXISTS (SELECT 1 FROM summaries v WHERE v.page_id = p.id) AND {_in_period('s.crawled_at')}",
        )
    )


def cluster_totals(database: Database, period: Period) -> Row:
    """(clusters, articles in them, each counted once; matches with a representative by relation: exact, near, copy)"""
    row = next(
        _period_rows(
            database,
            period,
            f"SELECT count(*), sum(c.exact), sum(c.near), sum(c.copy) FROM clusters c WHERE c.page_id IN ({_CLUSTERS_OF_PERIOD})",
        )
    )
    (articles,) = next(
        _period_rows(database, period, f"SELECT count(*) FROM summaries v WHERE v.cluster_role <> 'alone' AND {_ARRIVED_IN_PERIOD}")
    )
    return (row[0], articles, *(n or 0 for n in row[1:]))


def clusters(database: Database, period: Period, order: str, limit: int) -> list[Row]:
    """(key, URL, title, publisher, articles, publishers, first published, last published, begun, newest, within the first hour) of
    the first clusters in an order: `largest`, `newest`, `fastest`."""
    return list(
        _period_rows(
            database,
            period,
            "SELECT c.page_id, p.url, r.title, v.publisher, c.size, c.publishers, c.first_published_at, c.last_published_at, c.started_at,"
            " c.last_joined_at, c.first_hour_articles FROM clusters c JOIN pages p ON p.id = c.page_id"
            " JOIN summaries v ON v.page_id = c.page_id"
            " JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id"
            f" WHERE c.page_id IN ({_CLUSTERS_OF_PERIOD}) ORDER BY {_CLUSTER_ORDERS[order]}, p.url LIMIT :limit",
            limit=limit,
        )
    )


def publications(database: Database, cluster: int) -> list[Publication]:
    """Return the publications of the articles of a cluster by time, then by publisher. Articles without a time are left out."""
    rows = database.rows(
        "SELECT published_at, publisher FROM summaries WHERE published_at IS NOT NULL AND (page_id = ?1 OR page_id IN"
        " (SELECT page_id FROM cluster_members WHERE cluster_id = ?1)) ORDER BY 1, 2",
        cluster,
    )
    return [Publication(*r) for r in rows]


def first_articles_by_publisher(database: Database, period: Period) -> Iterator[Row]:
    """(cluster, publisher, when its first article there was published, whether that article is in the period) of every publisher in
    a cluster that holds an article of the period, the earliest first."""
    in_period = _in_period("v.first_crawled_at")
    return _period_rows(
        database,
        period,
        f"SELECT k.cluster_id, v.publisher, min(v.published_at) AS at, {in_period} FROM"
        " (SELECT page_id AS cluster_id, page_id FROM clusters UNION ALL SELECT cluster_id, page_id FROM cluster_members) k"
        f" JOIN summaries v ON v.page_id = k.page_id WHERE v.published_at IS NOT NULL AND k.cluster_id IN ({_CLUSTERS_OF_PERIOD})"
        " GROUP BY k.cluster_id, v.publisher ORDER BY k.cluster_id, at, v.publisher",
    )


def most_edited_pages(database: Database, period: Period, limit: int) -> list[Row]:
    """(URL, title, publisher, changes of title or body, of those stealthy, the last) of the pages that changed most often."""
    return list(
        _period_rows(
            database,
            period,
            "SELECT p.url, r.title, v.publisher, count(*), sum(c.silent), max(c.at) FROM changes c JOIN pages p ON p.id = c.page_id"
            " JOIN summaries v ON v.page_id = p.id JOIN sightings s ON s.id = p.current_sighting_id"
            " JOIN revisions r ON r.id = s.revision_id WHERE (c.title_changed = 1 OR c.body_changed = 1)"
            f" AND {_in_period('c.at')} AND {_BY_PUBLISHER} GROUP BY p.id ORDER BY 4 DESC, 1 LIMIT :limit",
            limit=limit,
        )
    )


def changes_by_kind(database: Database, period: Period) -> list[Row]:
    """(kind or None, severity or None, changes, of those stealthy)"""
    return list(
        _period_rows(
            database,
            period,
            "SELECT c.kind, c.severity, count(*), sum(c.silent) FROM changes c JOIN summaries v ON v.page_id = c.page_id"
            f" WHERE {_in_period('c.at')} AND {_BY_PUBLISHER} GROUP BY 1, 2 ORDER BY 1, 2",
        )
    )


def edit_delays(database: Database, period: Period) -> list[Row]:
    """(hours after the publication, whole; -1: that is not known, -2: the crawl was before it; changes of title or body; of those
    stealthy)"""
    return list(
        _period_rows(
            database,
            period,
            f"SELECT {_DELAY_BUCKET}, count(*), sum(c.silent) FROM changes c JOIN summaries v ON v.page_id = c.page_id"
            f" WHERE (c.title_changed = 1 OR c.body_changed = 1) AND {_in_period('c.at')} AND {_BY_PUBLISHER} GROUP BY 1 ORDER BY 1",
        )
    )


def silent_edits(database: Database, period: Period, limit: int) -> list[Row]:
    """(URL, title, publisher, when, kind, severity, evidence as JSON) of the newest edits of substance that were not owned up to."""
    return list(
        _period_rows(
            database,
            period,
            "SELECT p.url, r.title, v.publisher, c.at, c.kind, c.severity, c.evidence FROM changes c JOIN pages p ON p.id = c.page_id"
            " JOIN summaries v ON v.page_id = p.id JOIN sightings s ON s.id = c.sighting_id JOIN revisions r ON r.id = s.revision_id"
            f" WHERE c.silent = 1 AND {_in_period('c.at')} AND {_BY_PUBLISHER} ORDER BY c.at DESC, p.url, r.digest LIMIT :limit",
            limit=limit,
        )
    )


def faults_by_kind(database: Database, period: Period) -> list[Row]:
    """(kind, files and folders) of what cannot be read since a time in the period."""
    return list(
        _period_rows(
            database, period, f"SELECT kind, count(*) FROM faults WHERE {_in_period('first_seen_at')} GROUP BY 1 ORDER BY 2 DESC, 1"
        )
    )


def count(database: Database, table: str, where: str = "1") -> int:
    """Rows of one of the tables (names come from the program, never from outside)."""
    return int(database.value(f"SELECT count(*) FROM {table} WHERE {where}"))


def count_counted_revisions(database: Database) -> int:
    """Revisions that a counted sighting shows."""
    uncounted_sql = (
        "SELECT count(DISTINCT s.revision_id) FROM sightings s WHERE s.status <> 'counted' AND NOT EXISTS"
        " (SELECT 1 FROM sightings o WHERE o.revision_id = s.revision_id AND o.status = 'counted')"
    )
    return count(database, "revisions") - int(database.value(uncounted_sql))


def count_checks(database: Database) -> tuple[dict[str, int], dict[str, int]]:
    """(check → crawls, cause of a mismatch → crawls)."""
    unverified = database.rows(
        "SELECT check_status, check_cause, count(*) FROM sightings WHERE check_status <> 'verified' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    counts = {status: sum(n for s, _, n in unverified if s == status) for status in ("mismatched", "unclaimed")}
    verified = count(database, "sightings") - sum(counts.values())
    return {"verified": verified, **counts}, {cause: n for _, cause, n in unverified if cause is not None}


def count_pruned_revisions(database: Database) -> int:
    """Revisions whose body was pruned."""
    return count(database, "revisions", "pruned_at IS NOT NULL")


def count_unpruned_revisions(database: Database) -> int:
    """Return the number of revisions that still have their body."""
    return count(database, "revisions", "pruned_at IS NULL")


def count_crowded_texts(database: Database) -> int:
    """Return the number of texts that had more candidates than were compared."""
    return count(database, "texts", "crowded = 1")


def count_by(database: Database, table: str, column: str, where: str = "1") -> dict[str, int]:
    """Value of a column → rows."""
    return {r[0]: r[1] for r in database.rows(f"SELECT {column}, count(*) FROM {table} WHERE {where} GROUP BY 1 ORDER BY 1")}


def count_exact_copies(database: Database) -> int:
    """Pages beyond the first for each text that several pages show, in any revision."""
    text_page_pairs = int(
        database.value("SELECT count(*) FROM (SELECT DISTINCT text_id, page_id FROM revisions WHERE text_id IS NOT NULL)")
    )
    return text_page_pairs - int(database.value("SELECT count(DISTINCT text_id) FROM revisions"))
