"""Counts of the whole database, and statistics of a period for reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from dedup.store.database import Database, Row


@dataclass(frozen=True, slots=True)
class Period:
    """A period of time (`until` excluded) and a publisher (canonical name). A field that is None does not restrict what is counted."""

    since: str | None = None
    until: str | None = None
    publisher: str | None = None


class Publication(NamedTuple):
    """When an article was published, and by which publisher."""

    published_at: str
    publisher: str


class PublisherArticleRow(NamedTuple):
    """Articles of a publisher in `summaries`. `copies` copy an article of another publisher, `own_copies` one of its own."""

    publisher: str
    articles: int
    copies: int
    own_copies: int


class QuarterHourRow(NamedTuple):
    """Articles of a publisher that were first crawled in one quarter of an hour, and how many of them are copies.

    `quarter` is like `2026-03-02T09:3`: the last character is the number (0 to 3) of the quarter within the hour.
    """

    quarter: str
    publisher: str
    articles: int
    copies: int


class CheckRow(NamedTuple):
    """Number of `sightings` of a publisher with one result of the check."""

    publisher: str
    check_status: str
    check_cause: str | None
    crawls: int


class UnsummarisedCheckRow(NamedTuple):
    """The check of a sighting whose page has no summary, with what the publisher is resolved from."""

    publisher_printed: str
    oid: str
    url: str
    check_status: str
    check_cause: str | None


class ClusterTotals(NamedTuple):
    """Number of clusters, of the articles in them (each counted once), and of members by relation to the representative."""

    clusters: int
    articles: int
    exact: int
    near: int
    copy: int


class ReportedClusterRow(NamedTuple):
    """A row of `clusters` with URL, title and publisher of its representative."""

    page_id: int
    url: str
    title: str
    publisher: str
    size: int
    publishers: int
    first_published_at: str | None
    last_published_at: str | None
    started_at: str
    last_joined_at: str
    first_hour_articles: int


class FirstArticleRow(NamedTuple):
    """When a publisher's first article in a cluster was published. `in_period` (0 or 1): that article was first crawled in the period."""

    cluster_id: int
    publisher: str
    published_at: str
    in_period: int


class EditedPageRow(NamedTuple):
    """A page with the number of its changes of title or body, how many of them are silent, and the time of the last one."""

    url: str
    title: str
    publisher: str
    changes: int
    silent: int
    last_changed_at: str


class ChangeKindRow(NamedTuple):
    """Number of `changes` of one kind and severity (None: not classified), and how many of them are silent."""

    kind: str | None
    severity: str | None
    changes: int
    silent: int


class EditDelayRow(NamedTuple):
    """Number of changes of title or body, and how many of them are silent, by whole hours after publication.

    `hours` is -1 if the time of publication is unknown, and -2 if the crawl was before it.
    """

    hours: int
    changes: int
    silent: int


class SilentEditRow(NamedTuple):
    """A silent change with URL, title and publisher of its page. `evidence` is a JSON list of [kind, before, after]."""

    url: str
    title: str
    publisher: str
    at: str
    kind: str | None
    severity: str | None
    evidence: str | None


class FaultKindRow(NamedTuple):
    """Number of `faults` of one kind."""

    kind: str
    faults: int


_BY_PUBLISHER = "(:publisher IS NULL OR v.publisher = :publisher)"


_DELAY_SECONDS = "(CAST(strftime('%s', substr(c.at, 1, 19)) AS INTEGER) - CAST(strftime('%s', substr(v.published_at, 1, 19)) AS INTEGER))"
"""Whole seconds from publication to the change. Fractions are cut off, because SQLite rounds them: the end of the year 9999 would
be rounded beyond its calendar, to NULL."""


_DELAY_BUCKET = f"CASE WHEN v.published_at IS NULL THEN -1 WHEN {_DELAY_SECONDS} < 0 THEN -2 ELSE {_DELAY_SECONDS} / 3600 END"


def _in_period(column: str) -> str:
    return f"(:since IS NULL OR {column} >= :since) AND (:until IS NULL OR {column} < :until)"


_ARRIVED_IN_PERIOD = f"{_in_period('v.first_crawled_at')} AND {_BY_PUBLISHER}"
"""Condition on `summaries v`: the page was first crawled in the period."""


_CLUSTERS_OF_PERIOD = (
    f"SELECT v.page_id FROM summaries v WHERE v.cluster_role = 'representative' AND {_ARRIVED_IN_PERIOD} UNION SELECT m.cluster_id"
    " FROM summaries v"
    f" JOIN cluster_members m ON m.page_id = v.page_id WHERE v.cluster_role <> 'alone' AND {_ARRIVED_IN_PERIOD}"
)
"""Query for the clusters that hold an article that was first crawled in the period."""


_CLUSTER_ORDERS = {
    "largest": "c.size DESC",
    "newest": "c.last_joined_at DESC",
    "fastest": "c.first_hour_articles DESC, c.publishers DESC, c.size DESC",
}


def _period_rows(database: Database, period: Period, sql: str, **extra_values: Any) -> Iterator[Row]:
    values = {"since": period.since, "until": period.until, "publisher": period.publisher, **extra_values}
    yield from database.connection.execute(sql, values)


def count_unsummarised_pages(database: Database) -> int:
    """Number of pages whose summary is missing or out of date."""
    return count(database, "dirty_pages")


def latest_crawl(database: Database) -> str | None:
    """The time of the latest counted crawl, or None if there is none."""
    crawled_at: str | None = database.value("SELECT max(last_crawled_at) FROM summaries")
    return crawled_at


def articles_by_publisher(database: Database, period: Period) -> list[PublisherArticleRow]:
    """Articles and copies of each publisher, most articles first."""
    copies_sql = (
        "SELECT v.page_id, max(r.publisher <> v.publisher) AS others FROM summaries v JOIN cluster_members m ON m.page_id = v.page_id"
        f" JOIN summaries r ON r.page_id = m.cluster_id WHERE v.cluster_role = 'member' AND {_ARRIVED_IN_PERIOD} GROUP BY v.page_id"
    )
    rows = _period_rows(
        database,
        period,
        "SELECT v.publisher, count(*), coalesce(sum(k.others), 0), coalesce(sum(1 - k.others), 0)"
        f" FROM summaries v LEFT JOIN ({copies_sql}) k ON k.page_id = v.page_id WHERE {_ARRIVED_IN_PERIOD}"
        " GROUP BY 1 ORDER BY 2 DESC, 1",
    )
    return [PublisherArticleRow(*r) for r in rows]


def articles_by_quarter_hour(database: Database, period: Period) -> Iterator[QuarterHourRow]:
    """Articles and copies by quarter of an hour and publisher, in order of time. Offsets of time zones are multiples of a quarter."""
    rows = _period_rows(
        database,
        period,
        "SELECT substr(v.first_crawled_at, 1, 14) || (substr(v.first_crawled_at, 15, 2) / 15), v.publisher, count(*), sum(v.cluster_role"
        " = 'member')"
        f" FROM summaries v WHERE {_ARRIVED_IN_PERIOD} GROUP BY 1, 2 ORDER BY 1, 2",
    )
    return (QuarterHourRow(*r) for r in rows)


def checks(database: Database, period: Period) -> list[CheckRow]:
    """Results of the checks by publisher, for sightings of pages that have a summary."""
    rows = _period_rows(
        database,
        period,
        "SELECT v.publisher, s.check_status, s.check_cause, count(*) FROM sightings s JOIN summaries v ON v.page_id = s.page_id"
        f" WHERE {_in_period('s.crawled_at')} AND {_BY_PUBLISHER} GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    )
    return [CheckRow(*r) for r in rows]


def checks_of_unsummarised_pages(database: Database, period: Period) -> list[UnsummarisedCheckRow]:
    """The check of every sighting whose page has no summary: no sighting of the page counts, or the page is new."""
    rows = _period_rows(
        database,
        period,
        "SELECT m.publisher_printed, m.oid, p.url, s.check_status, s.check_cause FROM pages p JOIN sightings s ON s.page_id = p.id"
        " JOIN metadata m ON m.id = s.metadata_id"
        f" WHERE NOT EXISTS (SELECT 1 FROM summaries v WHERE v.page_id = p.id) AND {_in_period('s.crawled_at')}",
    )
    return [UnsummarisedCheckRow(*r) for r in rows]


def cluster_totals(database: Database, period: Period) -> ClusterTotals:
    """Totals over the clusters that hold an article of the period."""
    clusters, exact, near, copy = next(
        _period_rows(
            database,
            period,
            f"SELECT count(*), sum(c.exact), sum(c.near), sum(c.copy) FROM clusters c WHERE c.page_id IN ({_CLUSTERS_OF_PERIOD})",
        )
    )
    (articles,) = next(
        _period_rows(database, period, f"SELECT count(*) FROM summaries v WHERE v.cluster_role <> 'alone' AND {_ARRIVED_IN_PERIOD}")
    )
    return ClusterTotals(clusters, articles, exact or 0, near or 0, copy or 0)


def clusters(database: Database, period: Period, order: str, limit: int) -> list[ReportedClusterRow]:
    """The first `limit` clusters that hold an article of the period, ordered `largest`, `newest` or `fastest`."""
    rows = _period_rows(
        database,
        period,
        "SELECT c.page_id, p.url, r.title, v.publisher, c.size, c.publishers, c.first_published_at, c.last_published_at, c.started_at,"
        " c.last_joined_at, c.first_hour_articles FROM clusters c JOIN pages p ON p.id = c.page_id"
        " JOIN summaries v ON v.page_id = c.page_id"
        " JOIN sightings s ON s.id = p.current_sighting_id JOIN revisions r ON r.id = s.revision_id"
        f" WHERE c.page_id IN ({_CLUSTERS_OF_PERIOD}) ORDER BY {_CLUSTER_ORDERS[order]}, p.url LIMIT :limit",
        limit=limit,
    )
    return [ReportedClusterRow(*r) for r in rows]


def publications(database: Database, cluster: int) -> list[Publication]:
    """Return the publications of the articles of a cluster by time, then by publisher. Articles without a time are left out."""
    rows = database.rows(
        "SELECT published_at, publisher FROM summaries WHERE published_at IS NOT NULL AND (page_id = ?1 OR page_id IN"
        " (SELECT page_id FROM cluster_members WHERE cluster_id = ?1)) ORDER BY 1, 2",
        cluster,
    )
    return [Publication(*r) for r in rows]


def first_articles_by_publisher(database: Database, period: Period) -> Iterator[FirstArticleRow]:
    """The first article of each publisher in each cluster that holds an article of the period, by cluster, then time of publication."""
    in_period = _in_period("v.first_crawled_at")
    rows = _period_rows(
        database,
        period,
        f"SELECT k.cluster_id, v.publisher, min(v.published_at) AS at, {in_period} FROM"
        " (SELECT page_id AS cluster_id, page_id FROM clusters UNION ALL SELECT cluster_id, page_id FROM cluster_members) k"
        f" JOIN summaries v ON v.page_id = k.page_id WHERE v.published_at IS NOT NULL AND k.cluster_id IN ({_CLUSTERS_OF_PERIOD})"
        " GROUP BY k.cluster_id, v.publisher ORDER BY k.cluster_id, at, v.publisher",
    )
    return (FirstArticleRow(*r) for r in rows)


def most_edited_pages(database: Database, period: Period, limit: int) -> list[EditedPageRow]:
    """The `limit` pages with the most changes of title or body."""
    rows = _period_rows(
        database,
        period,
        "SELECT p.url, r.title, v.publisher, count(*), sum(c.silent), max(c.at) FROM changes c JOIN pages p ON p.id = c.page_id"
        " JOIN summaries v ON v.page_id = p.id JOIN sightings s ON s.id = p.current_sighting_id"
        " JOIN revisions r ON r.id = s.revision_id WHERE (c.title_changed = 1 OR c.body_changed = 1)"
        f" AND {_in_period('c.at')} AND {_BY_PUBLISHER} GROUP BY p.id ORDER BY 4 DESC, 1 LIMIT :limit",
        limit=limit,
    )
    return [EditedPageRow(*r) for r in rows]


def changes_by_kind(database: Database, period: Period) -> list[ChangeKindRow]:
    """Changes by kind and severity."""
    rows = _period_rows(
        database,
        period,
        "SELECT c.kind, c.severity, count(*), sum(c.silent) FROM changes c JOIN summaries v ON v.page_id = c.page_id"
        f" WHERE {_in_period('c.at')} AND {_BY_PUBLISHER} GROUP BY 1, 2 ORDER BY 1, 2",
    )
    return [ChangeKindRow(*r) for r in rows]


def edit_delays(database: Database, period: Period) -> list[EditDelayRow]:
    """Changes of title or body by whole hours after publication."""
    rows = _period_rows(
        database,
        period,
        f"SELECT {_DELAY_BUCKET}, count(*), sum(c.silent) FROM changes c JOIN summaries v ON v.page_id = c.page_id"
        f" WHERE (c.title_changed = 1 OR c.body_changed = 1) AND {_in_period('c.at')} AND {_BY_PUBLISHER} GROUP BY 1 ORDER BY 1",
    )
    return [EditDelayRow(*r) for r in rows]


def silent_edits(database: Database, period: Period, limit: int) -> list[SilentEditRow]:
    """The newest `limit` silent changes."""
    rows = _period_rows(
        database,
        period,
        "SELECT p.url, r.title, v.publisher, c.at, c.kind, c.severity, c.evidence FROM changes c JOIN pages p ON p.id = c.page_id"
        " JOIN summaries v ON v.page_id = p.id JOIN sightings s ON s.id = c.sighting_id JOIN revisions r ON r.id = s.revision_id"
        f" WHERE c.silent = 1 AND {_in_period('c.at')} AND {_BY_PUBLISHER} ORDER BY c.at DESC, p.url, r.digest LIMIT :limit",
        limit=limit,
    )
    return [SilentEditRow(*r) for r in rows]


def faults_by_kind(database: Database, period: Period) -> list[FaultKindRow]:
    """Faults first seen in the period, by kind, most frequent first."""
    rows = _period_rows(
        database, period, f"SELECT kind, count(*) FROM faults WHERE {_in_period('first_seen_at')} GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return [FaultKindRow(*r) for r in rows]


def count(database: Database, table: str, where: str = "1") -> int:
    """Number of rows of a table. `table` and `where` are inserted as SQL: never pass input from outside the program."""
    return int(database.value(f"SELECT count(*) FROM {table} WHERE {where}"))


def count_counted_revisions(database: Database) -> int:
    """Number of revisions with a counted sighting."""
    uncounted_sql = (
        "SELECT count(DISTINCT s.revision_id) FROM sightings s WHERE s.status <> 'counted' AND NOT EXISTS"
        " (SELECT 1 FROM sightings o WHERE o.revision_id = s.revision_id AND o.status = 'counted')"
    )
    return count(database, "revisions") - int(database.value(uncounted_sql))


def count_checks(database: Database) -> tuple[dict[str, int], dict[str, int]]:
    """(check status → number of sightings, cause of a mismatch → number of sightings)."""
    unverified = database.rows(
        "SELECT check_status, check_cause, count(*) FROM sightings WHERE check_status <> 'verified' GROUP BY 1, 2 ORDER BY 1, 2"
    )
    counts = {status: sum(n for s, _, n in unverified if s == status) for status in ("mismatched", "unclaimed")}
    verified = count(database, "sightings") - sum(counts.values())
    return {"verified": verified, **counts}, {cause: n for _, cause, n in unverified if cause is not None}


def count_pruned_revisions(database: Database) -> int:
    """Number of revisions whose body was pruned."""
    return count(database, "revisions", "pruned_at IS NOT NULL")


def count_unpruned_revisions(database: Database) -> int:
    """Return the number of revisions that still have their body."""
    return count(database, "revisions", "pruned_at IS NULL")


def count_crowded_texts(database: Database) -> int:
    """Return the number of texts that had more candidates than were compared."""
    return count(database, "texts", "crowded = 1")


def count_by(database: Database, table: str, column: str, where: str = "1") -> dict[str, int]:
    """Value of a column → number of rows. Table, column and `where` are inserted as SQL, as in `count`."""
    return {r[0]: r[1] for r in database.rows(f"SELECT {column}, count(*) FROM {table} WHERE {where} GROUP BY 1 ORDER BY 1")}


def count_exact_copies(database: Database) -> int:
    """Number of pages, without the first one for each text, that show a text in any revision: the exact copies."""
    text_page_pairs = int(
        database.value("SELECT count(*) FROM (SELECT DISTINCT text_id, page_id FROM revisions WHERE text_id IS NOT NULL)")
    )
    return text_page_pairs - int(database.value("SELECT count(DISTINCT text_id) FROM revisions"))
