"""Sightings: each crawl of a page."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from dedup.model import Metadata, MismatchCause
from dedup.store.database import Database, Row, Transaction
from dedup.store.rows import FirstCrawl, MergedReadings, SightingRow, TimelineRow


class CountedCrawl(NamedTuple):
    """A counted sighting: its page, its time and its revision."""

    page_id: int
    crawled_at: str
    revision_id: int


def counted_crawls(database: Database, pages: Iterable[int]) -> Iterator[CountedCrawl]:
    """Yield the counted sightings of these pages, page by page, in the order of the crawls."""
    select = (
        "SELECT s.page_id, s.crawled_at, s.revision_id FROM wanted w CROSS JOIN sightings s ON s.page_id = w.id"
        " WHERE s.status = 'counted' ORDER BY w.id, s.crawled_at"
    )
    return map(CountedCrawl._make, database.select_by_ids(pages, select))


def count_of_page(database: Database, page: int) -> int:
    """Number of sightings of a page, of any status."""
    return int(database.value("SELECT count(*) FROM sightings WHERE page_id = ?", page))


def list_of_page(database: Database, page: int, cursor: tuple[str, bytes] | None, limit: int) -> list[TimelineRow]:
    """At most `limit` sightings of a page, latest first, with a row for each path that showed them.

    `cursor`: (crawl time, state digest) of the last sighting of the previous part, or None for the first part.
    """
    at, state = cursor or ("\x7f", b"")
    rows = database.rows(
        "SELECT s.id, s.crawled_at, s.crawled_at_source, s.revision_id, s.digest, s.status, d.check_status, d.check_cause,"
        " o.path_text || '/' || f.path_text, f.gone FROM (SELECT s.*, r.digest FROM sightings s"
        " JOIN revisions r ON r.id = s.revision_id WHERE s.page_id = ?1"
        " AND (s.crawled_at < ?2 OR (s.crawled_at = ?2 AND r.digest > ?3))"
        " ORDER BY s.crawled_at DESC, r.digest LIMIT ?4) s"
        " JOIN readings d ON d.sighting_id = s.id JOIN files f ON f.id = d.file_id JOIN crawl_directories o ON o.id = f.directory_id"
        " ORDER BY s.crawled_at DESC, s.digest, f.path_text",
        page, at, state, limit,
    )  # fmt: skip
    return [_timeline_row(r) for r in rows]


def find_by_crawl(database: Database, keys: Iterable[tuple[int, str, int]]) -> dict[tuple[int, str, int], int]:
    """(page, crawl time, revision) → sighting. Unknown ones are left out."""
    select = (
        "SELECT s.page_id, s.crawled_at, s.revision_id, s.id FROM wanted w CROSS JOIN sightings s"
        " ON s.page_id = w.page AND s.crawled_at = w.crawled_at AND s.revision_id = w.revision"
    )
    return {(r[0], r[1], r[2]): r[3] for r in database.select_by_keys("page, crawled_at, revision", keys, select)}


def first_crawls(database: Database, pages: Iterable[int]) -> dict[int, list[FirstCrawl]]:
    """Page → its revisions that have a counted sighting, each with the first such crawl."""
    select = (
        "SELECT w.id, r.id, r.digest, (SELECT min(s.crawled_at) FROM sightings s WHERE s.revision_id = r.id AND s.status = 'counted')"
        " AS first_at, r.pruned_at IS NOT NULL FROM wanted w CROSS JOIN revisions r ON r.page_id = w.id WHERE first_at IS NOT NULL"
    )
    return {page: [FirstCrawl(*r) for r in rows] for page, rows in database.group_by_ids(pages, select).items()}


def of_pages(database: Database, pages: Iterable[int]) -> dict[int, list[SightingRow]]:
    """Page → its sightings in the order of its history: by crawl time, then state digest."""
    rows = database.group_by_ids(
        pages,
        "SELECT w.id, s.id, s.crawled_at, s.revision_id, r.digest, s.status, s.check_status, s.check_cause,"
        " m.publisher_printed, m.author, m.category, m.published_at FROM wanted w CROSS JOIN sightings s ON s.page_id = w.id"
        " JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id ORDER BY w.id, s.crawled_at, r.digest",
    )
    return {
        page: [SightingRow(r[0], r[1], r[2], r[3], r[4], r[5], r[6], Metadata(*r[7:])) for r in of_page] for page, of_page in rows.items()
    }


def mismatch_causes(database: Database, sightings: Iterable[int]) -> dict[int, MismatchCause]:
    """Sighting → cause of its mismatch. Other sightings are left out."""
    select = "SELECT s.id, s.check_cause FROM wanted w CROSS JOIN sightings s ON s.id = w.id WHERE s.check_cause IS NOT NULL"
    return dict(database.select_by_ids(sightings, select))


def timeline(database: Database, page: int) -> list[TimelineRow]:
    """The sightings of a page by crawl time, then state digest, with a row for each path that showed them."""
    return [
        _timeline_row(r)
        for r in database.rows(
            "SELECT s.id, s.crawled_at, s.crawled_at_source, s.revision_id, r.digest, s.status, d.check_status, d.check_cause,"
            " o.path_text || '/' || f.path_text, f.gone FROM sightings s JOIN revisions r ON r.id = s.revision_id"
            " JOIN readings d ON d.sighting_id = s.id JOIN files f ON f.id = d.file_id JOIN crawl_directories o ON o.id = f.directory_id"
            " WHERE s.page_id = ? ORDER BY s.crawled_at, r.digest, f.path_text",
            page,
        )
    ]


def mismatches_of_pages(database: Database, pages: Iterable[int]) -> set[tuple[int, bytes, str]]:
    """(page, state digest, crawl time) of every mismatched sighting of `pages`."""
    select = (
        "SELECT s.page_id, r.digest, s.crawled_at FROM wanted w CROSS JOIN sightings s ON s.page_id = w.id"
        " JOIN revisions r ON r.id = s.revision_id WHERE s.check_status = 'mismatched'"
    )
    return {(r[0], r[1], r[2]) for r in database.select_by_ids(pages, select)}


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert sightings. `rows`: (id, page, crawl time, revision, then the fields of `MergedReadings`)."""
    transaction.execute_many(
        "INSERT INTO sightings (id, page_id, crawled_at, revision_id, status, check_status, check_cause, metadata_id,"
        " crawled_at_source) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def update(transaction: Transaction, rows: Iterable[tuple[int, MergedReadings]]) -> None:
    """Update sightings from their readings. `rows`: (sighting, its merged readings)."""
    transaction.execute_many(
        "UPDATE sightings SET status = ?, check_status = ?, check_cause = ?, metadata_id = ?, crawled_at_source = ? WHERE id = ?",
        ((*merged, sighting) for sighting, merged in rows),
    )


def delete(transaction: Transaction, sightings: Collection[int]) -> None:
    """Delete sightings without readings, their changes, and revisions that no other sighting shows.

    The texts of these revisions stay: the candidate index may still name them.
    """
    revision_rows = transaction.select_by_ids(
        sightings, "SELECT DISTINCT s.revision_id FROM wanted w CROSS JOIN sightings s ON s.id = w.id"
    )
    revisions = [(r[0], r[0]) for r in revision_rows]
    ids = [(s,) for s in sightings]
    transaction.execute_many("UPDATE pages SET current_sighting_id = NULL WHERE current_sighting_id = ?1"
               " AND id = (SELECT page_id FROM sightings WHERE id = ?1)", ids)  # fmt: skip
    transaction.execute_many("DELETE FROM changes WHERE sighting_id = ?", ids)
    transaction.execute_many(
        "DELETE FROM changes WHERE previous_sighting_id = ?1 AND page_id = (SELECT page_id FROM sightings WHERE id = ?1)", ids
    )
    transaction.execute_many("DELETE FROM sightings WHERE id = ?", ids)
    transaction.execute_many("DELETE FROM revisions WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sightings WHERE revision_id = ?)", revisions)


def copy_to_page(transaction: Transaction, sighting: int, page: int, revision: int) -> int:
    """Copy a sighting to another page and return the id of the copy. A sighting that the page already has is reused.

    The copy is `counted` and `unclaimed` until its readings are merged.
    """
    row = transaction.row("SELECT crawled_at, crawled_at_source, metadata_id FROM sightings WHERE id = ?", sighting)
    assert row is not None
    crawled_at, crawled_at_source, metadata_id = row
    key = (page, crawled_at, revision)
    existing = find_by_crawl(transaction, [key]).get(key)
    if existing is not None:
        return existing
    return transaction.insert(
        "INSERT INTO sightings (page_id, crawled_at, revision_id, crawled_at_source, metadata_id, status, check_status)"
        " VALUES (?, ?, ?, ?, ?, 'counted', 'unclaimed')",
        (*key, crawled_at_source, metadata_id),
    )


def _timeline_row(row: tuple[Any, ...]) -> TimelineRow:
    return TimelineRow(row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], bool(row[9]))
