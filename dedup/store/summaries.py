"""Summaries of pages, clusters and their members: derived tables, and the queues of what must be recomputed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from dedup.model import CLUSTER_RELATIONS, CheckStatus, Match, MismatchCause
from dedup.store.database import Database, Transaction, placeholders
from dedup.store.matches import MATCH_COLUMNS, match_from_row

CLUSTERED_RELATIONS_SQL = ", ".join(f"'{relation}'" for relation in CLUSTER_RELATIONS)
"""The relations that connect articles to a cluster, as an SQL list."""


@dataclass(frozen=True, slots=True)
class ClusterableArticle:
    """A summary with the fields that clustering needs: an article as in `dedup.similarity.clustering`."""

    page_id: int
    text_id: int | None
    url: str
    publisher: str
    published_at: str | None
    first_crawled_at: str
    crawled_at: str
    check_status: CheckStatus
    crowded: bool
    cluster_role: str
    digest: bytes = b""


class SummaryRow(NamedTuple):
    """A row of `summaries` without `cluster_role`."""

    page_id: int
    publisher: str
    published_at: str | None
    first_crawled_at: str
    last_crawled_at: str
    check_status: CheckStatus
    check_cause: MismatchCause | None
    revisions: int
    sightings: int
    changes: int
    silent_changes: int
    characters: int
    text_id: int | None


class CurrentCrawl(NamedTuple):
    """The current sighting of a page with the metadata and the text that it shows."""

    page_id: int
    url: str
    publisher_printed: str
    oid: str
    published_at: str | None
    crawled_at: str
    check_status: CheckStatus
    check_cause: MismatchCause | None
    characters: int
    text_id: int | None


class ClusterRow(NamedTuple):
    """A row of `clusters`."""

    page_id: int
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


class MemberRow(NamedTuple):
    """A row of `cluster_members`."""

    cluster_id: int
    page_id: int
    relation: str
    similarity: float
    coverage: float
    via_text_id: int | None


def dirty_batch(database: Database, limit: int) -> tuple[set[int], set[int]]:
    """(dirty pages, dirty texts), at most `limit` of each, lowest ids first."""
    pages = database.connection.execute("SELECT page_id FROM dirty_pages ORDER BY page_id LIMIT ?", (limit,))
    texts = database.connection.execute("SELECT text_id FROM dirty_texts ORDER BY text_id LIMIT ?", (limit,))
    return {r[0] for r in pages}, {r[0] for r in texts}


def dirty_pages_among(database: Database, pages: Iterable[int]) -> set[int]:
    """Those of `pages` that are dirty."""
    return {r[0] for r in database.select_by_ids(pages, "SELECT d.page_id FROM wanted w CROSS JOIN dirty_pages d ON d.page_id = w.id")}


def dirty_texts_among(database: Database, texts: Iterable[int]) -> set[int]:
    """Those of `texts` that are dirty."""
    return {r[0] for r in database.select_by_ids(texts, "SELECT d.text_id FROM wanted w CROSS JOIN dirty_texts d ON d.text_id = w.id")}


def clear_dirty(transaction: Transaction, pages: Iterable[int], texts: Iterable[int]) -> None:
    """Remove pages and texts from the dirty ones."""
    transaction.connection.executemany("DELETE FROM dirty_pages WHERE page_id = ?", ((p,) for p in pages))
    transaction.connection.executemany("DELETE FROM dirty_texts WHERE text_id = ?", ((t,) for t in texts))


def mark_all_dirty(transaction: Transaction) -> None:
    """Mark every page dirty."""
    transaction.execute("INSERT OR IGNORE INTO dirty_pages SELECT id FROM pages")


def delete_all(transaction: Transaction) -> None:
    """Delete all summaries and clusters, and mark every page dirty."""
    for table in ("cluster_members", "clusters", "summaries"):
        transaction.execute(f"DELETE FROM {table}")
    mark_all_dirty(transaction)


def summarised_texts(database: Database, pages: Iterable[int]) -> dict[int, int]:
    """Page → the text in its stored summary. Pages without a text are left out."""
    select = "SELECT v.page_id, v.text_id FROM wanted w CROSS JOIN summaries v ON v.page_id = w.id WHERE v.text_id IS NOT NULL"
    return dict(database.select_by_ids(pages, select))


def current_texts(database: Database, pages: Iterable[int]) -> set[int]:
    """The texts that `pages` show now."""
    select = (
        "SELECT r.text_id FROM wanted w CROSS JOIN pages p ON p.id = w.id JOIN sightings s ON s.id = p.current_sighting_id"
        " JOIN revisions r ON r.id = s.revision_id WHERE r.text_id IS NOT NULL"
    )
    return {r[0] for r in database.select_by_ids(pages, select)}


def pages_showing(database: Database, texts: Iterable[int]) -> set[int]:
    """The pages that show one of `texts` now."""
    select = (
        "SELECT r.page_id FROM wanted w CROSS JOIN revisions r ON r.text_id = w.id JOIN pages p ON p.id = r.page_id"
        " JOIN sightings s ON s.id = p.current_sighting_id AND s.revision_id = r.id"
    )
    return {r[0] for r in database.select_by_ids(texts, select)}


def texts_in_same_cluster(database: Database, texts: Iterable[int]) -> set[int]:
    """The texts that match one of `texts` in a relation that connects articles to a cluster."""
    text_ids = list(texts)
    sides = [
        database.select_by_ids(
            text_ids,
            f"SELECT m.{other} FROM wanted w CROSS JOIN matches m ON m.{side} = w.id WHERE m.relation IN ({CLUSTERED_RELATIONS_SQL})",
        )
        for side, other in (("text_a_id", "text_b_id"), ("text_b_id", "text_a_id"))
    ]
    return {r[0] for rows in sides for r in rows}


def clusters_with_pages(database: Database, pages: Collection[int]) -> set[int]:
    """Ids of the stored clusters that one of `pages` represents or is a member of."""
    members = database.select_by_ids(pages, "SELECT m.cluster_id FROM wanted w CROSS JOIN cluster_members m ON m.page_id = w.id")
    own = database.select_by_ids(pages, "SELECT c.page_id FROM wanted w CROSS JOIN clusters c ON c.page_id = w.id")
    return {r[0] for r in members} | {r[0] for r in own}


def cluster_matches(database: Database, texts: Iterable[int]) -> Iterator[Match]:
    """Matches that connect articles to a cluster and whose text `a` is one of `texts`."""
    select = (
        f"SELECT {MATCH_COLUMNS} FROM wanted w CROSS JOIN matches m ON m.text_a_id = w.id WHERE m.relation IN ({CLUSTERED_RELATIONS_SQL})"
    )
    yield from map(match_from_row, database.select_by_ids(texts, select))


def current_crawls(database: Database, pages: Iterable[int]) -> Iterator[CurrentCrawl]:
    """The current crawl of each page that has a current sighting."""
    select = (
        "SELECT p.id, p.url, m.publisher_printed, m.oid, m.published_at, s.crawled_at, s.check_status, s.check_cause,"
        " coalesce((SELECT t.characters FROM texts t WHERE t.id = r.text_id), 0), r.text_id"
        " FROM wanted w CROSS JOIN pages p ON p.id = w.id JOIN sightings s ON s.id = p.current_sighting_id"
        " JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id"
    )
    yield from map(CurrentCrawl._make, database.select_by_ids(pages, select))


def count_changes(database: Database, pages: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Page → (changes of title or body, silent changes). Pages without changes are left out."""
    select = (
        "SELECT c.page_id, sum(c.title_changed = 1 OR c.body_changed = 1), sum(c.silent) FROM wanted w"
        " CROSS JOIN changes c ON c.page_id = w.id GROUP BY c.page_id"
    )
    return {r[0]: (r[1], r[2]) for r in database.select_by_ids(pages, select)}


def upsert(transaction: Transaction, rows: Iterable[SummaryRow]) -> None:
    """Insert or update summaries. An existing `cluster_role` stays; a new one is 'alone'."""
    transaction.connection.executemany(
        "INSERT INTO summaries (page_id, publisher, published_at, first_crawled_at, last_crawled_at, check_status, check_cause,"
        " revisions, sightings,"
        " changes, silent_changes, characters, text_id, cluster_role) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,"
        " 'alone')"
        " ON CONFLICT (page_id) DO UPDATE SET publisher = ?2, published_at = ?3, first_crawled_at = ?4, last_crawled_at = ?5,"
        " check_status = ?6,"
        " check_cause = ?7, revisions = ?8, sightings = ?9, changes = ?10, silent_changes = ?11, characters = ?12, text_id = ?13",
        rows,
    )


def page_ids(database: Database, *, after_id: int, limit: int) -> list[int]:
    """Ids of pages greater than `after_id`, in order; at most `limit`."""
    return [r[0] for r in database.rows("SELECT id FROM pages WHERE id > ? ORDER BY id LIMIT ?", after_id, limit)]


def stored_rows(database: Database, pages: Iterable[int]) -> set[SummaryRow]:
    """The stored summaries of `pages`."""
    select = f"SELECT {', '.join('v.' + name for name in SummaryRow._fields)} FROM wanted w CROSS JOIN summaries v ON v.page_id = w.id"
    return {SummaryRow(*r) for r in database.select_by_ids(pages, select)}


def cluster_roles(database: Database, pages: Iterable[int]) -> dict[int, str]:
    """Page → its stored `cluster_role`. Pages without a summary are left out."""
    return dict(database.select_by_ids(pages, "SELECT v.page_id, v.cluster_role FROM wanted w CROSS JOIN summaries v ON v.page_id = w.id"))


def delete(transaction: Transaction, pages: Iterable[int]) -> None:
    """Delete the summaries of `pages`."""
    transaction.connection.executemany("DELETE FROM summaries WHERE page_id = ?", ((p,) for p in pages))


def articles(database: Database, pages: Iterable[int]) -> list[ClusterableArticle]:
    """The summaries of `pages` as clusterable articles. Pages without a summary are left out."""
    select = (
        "SELECT v.page_id, v.text_id, p.url, v.publisher, v.published_at, v.first_crawled_at, v.last_crawled_at, v.check_status,"
        " EXISTS (SELECT 1 FROM texts t INDEXED BY texts_crowded WHERE t.id = v.text_id AND t.crowded = 1), v.cluster_role"
        " FROM wanted w CROSS JOIN summaries v ON v.page_id = w.id JOIN pages p ON p.id = v.page_id"
    )
    return [
        ClusterableArticle(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], bool(r[8]), r[9]) for r in database.select_by_ids(pages, select)
    ]


def set_cluster_roles(transaction: Transaction, rows: Iterable[tuple[int, str]]) -> None:
    """Set cluster roles. `rows`: (page, role)."""
    transaction.connection.executemany("UPDATE summaries SET cluster_role = ? WHERE page_id = ?", ((role, page) for page, role in rows))


def cluster_rows(database: Database, ids: Collection[int]) -> set[ClusterRow]:
    """The stored clusters with these ids."""
    select = "SELECT c.* FROM wanted w CROSS JOIN clusters c ON c.page_id = w.id"
    return {ClusterRow(*r) for r in database.select_by_ids(ids, select)}


def member_rows(database: Database, ids: Collection[int]) -> set[MemberRow]:
    """The stored members of the clusters with these ids."""
    select = "SELECT m.* FROM wanted w CROSS JOIN cluster_members m ON m.cluster_id = w.id"
    return {MemberRow(*r) for r in database.select_by_ids(ids, select)}


def replace_clusters(transaction: Transaction, rows: Collection[ClusterRow], removed_ids: Iterable[int]) -> None:
    """Delete the clusters `removed_ids` with their members, then insert or update `rows`."""
    transaction.connection.executemany("DELETE FROM clusters WHERE page_id = ?", ((c,) for c in removed_ids))
    names = ClusterRow._fields
    assignments = ", ".join(f"{name} = excluded.{name}" for name in names[1:])
    transaction.connection.executemany(
        f"INSERT INTO clusters ({', '.join(names)}) VALUES ({placeholders(names)}) ON CONFLICT (page_id) DO UPDATE SET {assignments}", rows
    )


def replace_members(transaction: Transaction, rows: Collection[MemberRow], removed: Iterable[MemberRow]) -> None:
    """Delete the members `removed`, then insert `rows`."""
    transaction.connection.executemany(
        "DELETE FROM cluster_members WHERE cluster_id = ? AND page_id = ?", ((m.cluster_id, m.page_id) for m in removed)
    )
    names = MemberRow._fields
    transaction.connection.executemany(f"INSERT INTO cluster_members ({', '.join(names)}) VALUES ({placeholders(names)})", rows)
