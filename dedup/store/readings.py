"""Readings: what one file showed at one time."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from dedup.model import MismatchCause
from dedup.store.database import Database, Row, Transaction
from dedup.store.rows import FileReadingRow, ReadingRow, StaleCandidate


class MisplacedReading(NamedTuple):
    """A reading whose alias belongs to another page than its sighting. `target_page_id` is the page of the alias."""

    id: int
    sighting_id: int
    revision_id: int
    target_page_id: int


_STALE_CANDIDATE_COLUMNS = "d.id, s.page_id, s.id, s.crawled_at, s.revision_id, d.claimed_digest, d.check_cause"


_MAY_BE_STALE = "(d.check_cause = 'altered' OR d.check_cause = 'stale')"


_FILE_READING_COLUMNS = "d.id, d.sighting_id, d.check_status, d.status, s.page_id, s.crawled_at, d.crawled_at_source, s.revision_id"


def latest_of_files(database: Database, files: Iterable[int]) -> dict[int, FileReadingRow]:
    """File → its current reading, or its latest one if it is a fault now. Files without readings are left out."""
    select = (
        f"SELECT w.id, {_FILE_READING_COLUMNS} FROM wanted w CROSS JOIN files f ON f.id = w.id"
        " JOIN readings d ON d.id = coalesce(f.current_reading_id, (SELECT max(id) FROM readings WHERE file_id = f.id))"
        " JOIN sightings s ON s.id = d.sighting_id"
    )
    return {r[0]: FileReadingRow(*r[1:]) for r in database.select_by_ids(files, select)}


def find_by_crawl(database: Database, crawls: Iterable[tuple[int, int, str]]) -> dict[int, list[FileReadingRow]]:
    """File → its readings of a crawl, by id. `crawls`: (file, page, crawl time)."""
    select = (
        f"SELECT w.file, {_FILE_READING_COLUMNS} FROM wanted w CROSS JOIN sightings s ON s.page_id = w.page AND s.crawled_at = w.crawled_at"
        " CROSS JOIN readings d ON d.sighting_id = s.id AND d.file_id = w.file ORDER BY w.file, d.id"
    )
    readings_by_file: dict[int, list[FileReadingRow]] = {}
    for row in database.select_by_keys("file, page, crawled_at", crawls, select):
        readings_by_file.setdefault(row[0], []).append(FileReadingRow(*row[1:]))
    return readings_by_file


def of_sightings(database: Database, sightings: Iterable[int]) -> dict[int, list[ReadingRow]]:
    """Sighting → its readings, by metadata digest, then id."""
    rows = database.group_by_ids(
        sightings,
        "SELECT w.id, d.status, d.check_status, d.check_cause, d.metadata_id, m.digest, d.crawled_at_source FROM wanted w"
        " CROSS JOIN readings d ON d.sighting_id = w.id JOIN metadata m ON m.id = d.metadata_id ORDER BY w.id, m.digest, d.id",
    )
    return {sighting: [ReadingRow(*r) for r in of_sighting] for sighting, of_sighting in rows.items()}


def stale_candidates_of_pages(database: Database, pages: Iterable[int]) -> list[StaleCandidate]:
    """Counted readings of `pages` that are `altered` or `stale`: the claim may be the digest of an earlier state."""
    select = (
        f"SELECT {_STALE_CANDIDATE_COLUMNS} FROM wanted w CROSS JOIN aliases a ON a.page_id = w.id"
        " CROSS JOIN readings d INDEXED BY readings_mismatched_by_alias ON d.alias_id = a.id AND d.check_status = 'mismatched'"
        f" AND d.status = 'counted' CROSS JOIN sightings s ON s.id = d.sighting_id WHERE {_MAY_BE_STALE}"
    )
    return [StaleCandidate(*r) for r in database.select_by_ids(pages, select)]


def stale_candidates_of_sightings(database: Database, sightings: Iterable[int]) -> list[StaleCandidate]:
    """Counted readings of `sightings` that are `altered` or `stale`: the claim may be the digest of an earlier state."""
    select = (
        f"SELECT {_STALE_CANDIDATE_COLUMNS} FROM wanted w CROSS JOIN sightings s ON s.id = w.id"
        f" CROSS JOIN readings d ON d.sighting_id = s.id WHERE d.check_status = 'mismatched' AND d.status = 'counted' AND {_MAY_BE_STALE}"
    )
    return [StaleCandidate(*r) for r in database.select_by_ids(sightings, select)]


def verified_claims(database: Database, revisions: Iterable[int]) -> dict[int, list[str]]:
    """Revision → its distinct verified claims, sorted."""
    select = (
        "SELECT DISTINCT w.id, d.claimed_digest FROM wanted w CROSS JOIN sightings s ON s.revision_id = w.id"
        " JOIN readings d ON d.sighting_id = s.id WHERE d.check_status = 'verified' ORDER BY 1, 2"
    )
    return {revision: [r[0] for r in rows] for revision, rows in database.group_by_ids(revisions, select).items()}


def sightings(database: Database, readings: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Reading → (its sighting, the page of the sighting)."""
    select = "SELECT w.id, s.id, s.page_id FROM wanted w CROSS JOIN readings d ON d.id = w.id JOIN sightings s ON s.id = d.sighting_id"
    return {r[0]: (r[1], r[2]) for r in database.select_by_ids(readings, select)}


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert readings.

    `rows`: (id, file, sighting, alias, metadata, status, check status, check cause, claimed digest, digest recipe, encoding, source of
    the crawl time, read at).
    """
    transaction.execute_many(
        "INSERT INTO readings (id, file_id, sighting_id, alias_id, metadata_id, status, check_status, check_cause, claimed_digest,"
        " digest_recipe,"
        " encoding, crawled_at_source, read_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def update(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Update readings of files that were read again. `rows` as for `insert`; file and sighting stay."""
    transaction.execute_many(
        "UPDATE readings SET alias_id = ?, metadata_id = ?, status = ?, check_status = ?, check_cause = ?, claimed_digest = ?,"
        " digest_recipe = ?,"
        " encoding = ?, crawled_at_source = ?, read_at = ? WHERE id = ?",
        ((*row[3:], row[0]) for row in rows),
    )


def supersede(transaction: Transaction, readings: Iterable[int]) -> None:
    """Mark readings as superseded: the same crawl was read again with other content, and neither version is verified."""
    transaction.execute_many("UPDATE readings SET status = 'superseded' WHERE id = ?", ((r,) for r in readings))


def delete(transaction: Transaction, readings: Collection[int]) -> None:
    """Delete readings, and clear them as current readings of their files."""
    transaction.execute_many("UPDATE files SET current_reading_id = NULL WHERE current_reading_id = ?", ((r,) for r in readings))
    transaction.execute_many("DELETE FROM readings WHERE id = ?", ((r,) for r in readings))


def set_causes(transaction: Transaction, causes: Iterable[tuple[int, MismatchCause]]) -> None:
    """Update the cause of mismatches, for when more of a page's history is known. `causes`: (reading, cause)."""
    transaction.execute_many("UPDATE readings SET check_cause = ? WHERE id = ?", ((cause, reading) for reading, cause in causes))


def list_misplaced(database: Database) -> list[MisplacedReading]:
    """Every misplaced reading, by id."""
    return [
        MisplacedReading(*r)
        for r in database.rows(
            "SELECT d.id, s.id, s.revision_id, a.page_id FROM readings d JOIN aliases a ON a.id = d.alias_id"
            " JOIN sightings s ON s.id = d.sighting_id WHERE a.page_id <> s.page_id ORDER BY d.id"
        )
    ]


def move(transaction: Transaction, reading: int, sighting: int) -> None:
    """Move a reading to another sighting. It replaces a reading that the same file already has there."""
    file = transaction.value("SELECT file_id FROM readings WHERE id = ?", reading)
    existing = transaction.row("SELECT id FROM readings WHERE sighting_id = ? AND file_id = ?", sighting, file)
    if existing:
        transaction.execute("UPDATE files SET current_reading_id = ? WHERE current_reading_id = ?", reading, existing[0])
        transaction.execute("DELETE FROM readings WHERE id = ?", existing[0])
    transaction.execute("UPDATE readings SET sighting_id = ? WHERE id = ?", sighting, reading)
