"""Neighbours in the history of a page, found in time that does not grow with its length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from dedup.model import Metadata
from dedup.store.database import Database
from dedup.store.rows import KeptSighting, StoredChange, Worth

Position = tuple[str, bytes]
"""(crawl time, digest of the state): the order of a page's history."""


BEGINNING: Position = ("", b"")
"""Before every crawl."""


class Place(NamedTuple):
    """Where a sighting is in its page's history, and what it is worth as stored."""

    page: int
    at: Position
    revision: int
    worth: Worth


class Start(NamedTuple):
    """The beginning of a run of one state."""

    at: Position
    returned: bool


class ChangeAt(NamedTuple):
    """A stored change with the position of its later sighting. `incomplete`: the bodies could not be compared."""

    sighting: int
    at: Position
    stored: StoredChange
    of_state: bool
    incomplete: bool


_SIGHTING = (
    "SELECT s.id, s.crawled_at, s.revision_id, r.digest, s.standing, s.check_status, s.check_cause, m.publisher, m.author, m.category,"
    " m.published_at FROM sightings s JOIN revisions r ON r.id = s.revision_id JOIN metadata m ON m.id = s.metadata_id"
)


_ASCENDING = " ORDER BY s.crawled_at, r.digest"


_DESCENDING = " ORDER BY s.crawled_at DESC, r.digest DESC"


_OF_STATE = "(c.title_changed = 1 OR c.body_changed = 1)"


_CHANGE_FROM = "FROM changes c JOIN sightings s ON s.id = c.sighting_id JOIN revisions r ON r.id = s.revision_id"


_CHANGE = (
    f"SELECT c.sighting_id, c.at, r.digest, c.previous_id, c.returned, c.fields, c.past, c.kind, {_OF_STATE}, c.body_similarity IS NULL"
    f" {_CHANGE_FROM}"
)


_CHANGES_UP = "ORDER BY c.at, r.digest"


_CHANGES_DOWN = "ORDER BY c.at DESC, r.digest DESC"


def positions(database: Database, sightings: Iterable[int]) -> dict[int, Place]:
    """Sighting → where it is."""
    select = (
        "SELECT s.id, s.page_id, s.crawled_at, r.digest, s.revision_id, s.standing, s.check_status, s.check_cause, s.metadata_id,"
        " s.crawled_at_from FROM wanted w CROSS JOIN sightings s ON s.id = w.id JOIN revisions r ON r.id = s.revision_id"
    )
    return {r[0]: Place(r[1], (r[2], r[3]), r[4], Worth(*r[5:])) for r in database.select_by_ids(sightings, select)}


def longer_than(database: Database, pages: dict[int, int]) -> set[int]:
    """Those of the pages that have more sightings than the number given for each."""
    most = max(pages.values(), default=0) + 1
    few = f"(SELECT count(*) FROM (SELECT 1 FROM sightings WHERE page_id = w.id LIMIT {most}))"
    return {r[0] for r in database.select_by_ids(pages, f"SELECT w.id, {few} FROM wanted w") if r[1] > pages[r[0]]}


def counted_at(database: Database, page: int, at: Position) -> KeptSighting | None:
    """The sighting at a position."""
    return _neighbour(database, "s.crawled_at = ?2 AND r.digest = ?3", page, at)


def counted_before(database: Database, page: int, at: Position) -> KeptSighting | None:
    """The last sighting before a position."""
    return _neighbour(database, "s.crawled_at <= ?2 AND (s.crawled_at < ?2 OR r.digest < ?3)" + _DESCENDING, page, at)


def counted_after(database: Database, page: int, at: Position) -> KeptSighting | None:
    """The first sighting after a position."""
    return _neighbour(database, "s.crawled_at >= ?2 AND (s.crawled_at > ?2 OR r.digest > ?3)" + _ASCENDING, page, at)


def last_counted(database: Database, page: int) -> int | None:
    """The last sighting of a page."""
    found: int | None = database.value(
        "SELECT s.id FROM sightings s JOIN revisions r ON r.id = s.revision_id WHERE s.page_id = ? AND s.standing = 'counted'"
        f" {_DESCENDING} LIMIT 1",
        page,
    )
    return found


def crawls_of_revision(database: Database, revision: int, since: str = "") -> Iterator[str]:
    """The times of the crawls that showed a revision, from one on, in their order."""
    sql = "SELECT crawled_at FROM sightings WHERE revision_id = ? AND standing = 'counted' AND crawled_at >= ? ORDER BY crawled_at"
    return (r[0] for r in database.connection.execute(sql, (revision, since)))


def change_at(database: Database, sighting: int) -> ChangeAt | None:
    """The stored change that leads to a sighting."""
    row = database.row(f"{_CHANGE} WHERE c.sighting_id = ?", sighting)
    return _change(row) if row else None


def change_after(database: Database, page: int, at: Position) -> ChangeAt | None:
    """The first stored change after a position."""
    row = database.row(f"{_CHANGE} WHERE c.page_id = ?1 AND c.at >= ?2 AND (c.at > ?2 OR r.digest > ?3) {_CHANGES_UP} LIMIT 1", page, *at)
    return _change(row) if row else None


def state_changes_after(database: Database, page: int, at: Position, most: int) -> list[Position]:
    """The positions of the next `most` stored changes of state."""
    sql = f"SELECT c.at, r.digest {_CHANGE_FROM} WHERE c.page_id = ?1 AND {_OF_STATE} AND c.at >= ?2 AND (c.at > ?2 OR r.digest > ?3)"
    return [(r[0], r[1]) for r in database.rows(f"{sql} {_CHANGES_UP} LIMIT ?4", page, *at, most)]


def run_starts_before(database: Database, page: int, at: Position, most: int) -> list[Start]:
    """The beginnings of the last `most` runs that a stored change leads to, the latest first."""
    sql = f"SELECT c.at, r.digest, c.returned {_CHANGE_FROM} WHERE c.page_id = ?1 AND {_OF_STATE}"
    sql += f" AND c.at <= ?2 AND (c.at < ?2 OR r.digest < ?3) {_CHANGES_DOWN} LIMIT ?4"
    return [Start((r[0], r[1]), bool(r[2])) for r in database.rows(sql, page, *at, most)]


def is_removed_before(database: Database, page: int, at: Position) -> bool:
    """Whether the page showed no article by then: the last change of that kind before the position was a removal."""
    kind = database.value(
        f"SELECT c.kind {_CHANGE_FROM} WHERE c.page_id = ?1 AND (c.kind = 'removed' OR c.kind = 'restored')"
        f" AND c.at <= ?2 AND (c.at < ?2 OR r.digest < ?3) {_CHANGES_DOWN} LIMIT 1",
        page, *at,
    )  # fmt: skip
    return bool(kind == "removed")


def _neighbour(database: Database, where: str, page: int, at: Position) -> KeptSighting | None:
    row = database.row(f"{_SIGHTING} WHERE s.page_id = ?1 AND s.standing = 'counted' AND {where} LIMIT 1", page, *at)
    return KeptSighting(row[0], row[1], row[2], row[3], row[4], row[5], row[6], Metadata(*row[7:])) if row else None


def _change(r: tuple[Any, ...]) -> ChangeAt:
    return ChangeAt(r[0], (r[1], r[2]), StoredChange(r[3], bool(r[4]), r[5], r[6], r[7]), bool(r[8]), bool(r[9]))
