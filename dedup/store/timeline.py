"""Neighbours in the history of a page. The time to find one does not grow with the length of the history."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dedup.model import Metadata
from dedup.store.database import Database
from dedup.store.rows import MergedReadings, SightingRow, StoredChange

Position = tuple[str, bytes]
"""(crawl time, state digest): a page's history is ordered by it."""


BEGINNING: Position = ("", b"")
"""Before every crawl."""


class SightingPosition(NamedTuple):
    """A sighting with its position in its page's history, its revision, and its stored merged readings."""

    page_id: int
    position: Position
    revision_id: int
    readings: MergedReadings


class RunStart(NamedTuple):
    """Where a run of one state begins. `returned`: the page had the state before."""

    position: Position
    returned: bool


class PositionedChange(NamedTuple):
    """A stored change with the position of its later sighting. `is_incomplete`: the bodies could not be compared."""

    sighting_id: int
    position: Position
    change: StoredChange
    is_state_change: bool
    is_incomplete: bool


_SIGHTING_QUERY = (
    "SELECT s.id, s.crawled_at, s.revision_id, r.digest, s.status, s.check_status, s.check_cause, m.publisher_printed, m.author,"
    " m.category,"
    " m.published_at FROM sightings s JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id"
)


_ASCENDING = " ORDER BY s.crawled_at, r.digest"


_DESCENDING = " ORDER BY s.crawled_at DESC, r.digest DESC"


_IS_STATE_CHANGE = "(c.title_changed = 1 OR c.body_changed = 1)"


_CHANGE_JOINS = "FROM changes c JOIN sightings s ON s.id = c.sighting_id JOIN revisions r ON r.id = s.revision_id"


_CHANGE_QUERY = (
    f"SELECT c.sighting_id, c.at, r.digest, c.previous_sighting_id, c.returned, c.fields, c.page_history, c.kind, {_IS_STATE_CHANGE},"
    " c.body_similarity IS NULL"
    f" {_CHANGE_JOINS}"
)


_CHANGES_ASCENDING = "ORDER BY c.at, r.digest"


_CHANGES_DESCENDING = "ORDER BY c.at DESC, r.digest DESC"


def positions(database: Database, sightings: Iterable[int]) -> dict[int, SightingPosition]:
    """Sighting → its position."""
    select = (
        "SELECT s.id, s.page_id, s.crawled_at, r.digest, s.revision_id, s.status, s.check_status, s.check_cause, s.metadata_id,"
        " s.crawled_at_source FROM wanted w CROSS JOIN sightings s ON s.id = w.id JOIN revisions r ON r.id = s.revision_id"
    )
    return {r[0]: SightingPosition(r[1], (r[2], r[3]), r[4], MergedReadings(*r[5:])) for r in database.select_by_ids(sightings, select)}


def pages_longer_than(database: Database, limits: dict[int, int]) -> set[int]:
    """Pages that have more sightings than their limit. `limits`: page → limit."""
    max_count = max(limits.values(), default=0) + 1
    count_sql = f"(SELECT count(*) FROM (SELECT 1 FROM sightings WHERE page_id = w.id LIMIT {max_count}))"
    return {r[0] for r in database.select_by_ids(limits, f"SELECT w.id, {count_sql} FROM wanted w") if r[1] > limits[r[0]]}


def counted_at(database: Database, page: int, position: Position) -> SightingRow | None:
    """The counted sighting at a position, or None."""
    return _neighbour(database, "s.crawled_at = ?2 AND r.digest = ?3", page, position)


def counted_before(database: Database, page: int, position: Position) -> SightingRow | None:
    """The last counted sighting before a position, or None."""
    return _neighbour(database, "s.crawled_at <= ?2 AND (s.crawled_at < ?2 OR r.digest < ?3)" + _DESCENDING, page, position)


def counted_after(database: Database, page: int, position: Position) -> SightingRow | None:
    """The first counted sighting after a position, or None."""
    return _neighbour(database, "s.crawled_at >= ?2 AND (s.crawled_at > ?2 OR r.digest > ?3)" + _ASCENDING, page, position)


def last_counted(database: Database, page: int) -> int | None:
    """The last counted sighting of a page, or None."""
    sighting_id: int | None = database.value(
        "SELECT s.id FROM sightings s JOIN revisions r ON r.id = s.revision_id WHERE s.page_id = ? AND s.status = 'counted'"
        f" {_DESCENDING} LIMIT 1",
        page,
    )
    return sighting_id


def crawls_of_revision(database: Database, revision: int, since: str = "") -> Iterator[str]:
    """Times of the counted crawls of a revision from `since` on, in order."""
    sql = "SELECT crawled_at FROM sightings WHERE revision_id = ? AND status = 'counted' AND crawled_at >= ? ORDER BY crawled_at"
    return (r[0] for r in database.connection.execute(sql, (revision, since)))


def change_at(database: Database, sighting: int) -> PositionedChange | None:
    """The stored change whose later sighting is this one, or None."""
    row = database.row(f"{_CHANGE_QUERY} WHERE c.sighting_id = ?", sighting)
    return _positioned_change(row) if row else None


def change_after(database: Database, page: int, position: Position) -> PositionedChange | None:
    """The first stored change after a position, or None."""
    row = database.row(
        f"{_CHANGE_QUERY} WHERE c.page_id = ?1 AND c.at >= ?2 AND (c.at > ?2 OR r.digest > ?3) {_CHANGES_ASCENDING} LIMIT 1",
        page,
        *position,
    )
    return _positioned_change(row) if row else None


def state_changes_after(database: Database, page: int, position: Position, limit: int) -> list[Position]:
    """Positions of the next `limit` stored changes of title or body after a position."""
    sql = (
        f"SELECT c.at, r.digest {_CHANGE_JOINS} WHERE c.page_id = ?1 AND {_IS_STATE_CHANGE} AND c.at >= ?2 AND (c.at > ?2 OR r.digest > ?3)"
    )
    return [(r[0], r[1]) for r in database.rows(f"{sql} {_CHANGES_ASCENDING} LIMIT ?4", page, *position, limit)]


def run_starts_before(database: Database, page: int, position: Position, limit: int) -> list[RunStart]:
    """Starts of the last `limit` runs before a position that a stored change leads to, latest first."""
    sql = f"SELECT c.at, r.digest, c.returned {_CHANGE_JOINS} WHERE c.page_id = ?1 AND {_IS_STATE_CHANGE}"
    sql += f" AND c.at <= ?2 AND (c.at < ?2 OR r.digest < ?3) {_CHANGES_DESCENDING} LIMIT ?4"
    return [RunStart((r[0], r[1]), bool(r[2])) for r in database.rows(sql, page, *position, limit)]


def is_removed_before(database: Database, page: int, position: Position) -> bool:
    """Return whether the page showed no article just before a position: its last removal or restoration was a removal."""
    kind = database.value(
        f"SELECT c.kind {_CHANGE_JOINS} WHERE c.page_id = ?1 AND (c.kind = 'removed' OR c.kind = 'restored')"
        f" AND c.at <= ?2 AND (c.at < ?2 OR r.digest < ?3) {_CHANGES_DESCENDING} LIMIT 1",
        page, *position,
    )  # fmt: skip
    return bool(kind == "removed")


def _neighbour(database: Database, where: str, page: int, position: Position) -> SightingRow | None:
    row = database.row(f"{_SIGHTING_QUERY} WHERE s.page_id = ?1 AND s.status = 'counted' AND {where} LIMIT 1", page, *position)
    return SightingRow(row[0], row[1], row[2], row[3], row[4], row[5], row[6], Metadata(*row[7:])) if row else None


def _positioned_change(r: tuple[Any, ...]) -> PositionedChange:
    return PositionedChange(r[0], (r[1], r[2]), StoredChange(r[3], bool(r[4]), r[5], r[6], r[7]), bool(r[8]), bool(r[9]))
