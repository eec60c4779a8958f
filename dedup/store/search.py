"""Revisions as the search index reads them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any, NamedTuple

from dedup.store.database import Database, placeholders
from dedup.store.rows import SearchDocument, SearchHitRow

DIGEST_PREFIX_BYTES = 8
"""Bytes of a state digest that the index stores, to detect that another revision reuses an id."""


_STATE_INDEX = "sqlite_autoindex_revisions_1"


_DOCUMENT_QUERY = (
    "SELECT r.id, r.digest, r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END, p.url FROM revisions r JOIN pages p ON p.id = r.page_id"
)


_HIT_QUERY = (
    "SELECT r.id, p.url, r.digest, r.title, CASE WHEN r.pruned_at IS NULL THEN r.body END, r.pruned_at, m.publisher_printed, m.oid,"
    " s.crawled_at, r.id IS (SELECT c.revision_id FROM sightings c WHERE c.id = p.current_sighting_id)"
    " FROM revisions r JOIN pages p ON p.id = r.page_id JOIN sightings s ON s.id = (SELECT x.id FROM sightings x"
    " WHERE x.revision_id = r.id AND x.status = 'counted' ORDER BY x.crawled_at DESC LIMIT 1) JOIN metadata m ON m.id = s.metadata_id"
)


class LogEntry(NamedTuple):
    """A row of `revision_log`: a revision that the search index must read again."""

    id: int
    revision_id: int


def revisions_after(database: Database, after_id: int, limit: int, max_characters: float = math.inf) -> list[SearchDocument]:
    """At most `limit` revisions with ids greater than `after_id`, by id. Stops once their bodies have `max_characters` in sum."""
    return _documents(
        database, _limited_rows(database, max_characters, f"{_DOCUMENT_QUERY} WHERE r.id > ? ORDER BY r.id LIMIT ?", after_id, limit)
    )


def revisions(database: Database, revisions: Collection[int], max_characters: float = math.inf) -> list[SearchDocument]:
    """Those of `revisions` that exist, by id. Stops once their bodies have `max_characters` in sum."""
    return _documents(
        database,
        _limited_rows(database, max_characters, f"{_DOCUMENT_QUERY} WHERE r.id IN ({placeholders(revisions)}) ORDER BY r.id", *revisions),
    )


def _limited_rows(database: Database, remaining: float, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    with closing(database.connection.execute(sql, values)) as cursor:
        for row in cursor:
            rows.append(row)
            remaining -= len(row[3] or "")
            if remaining <= 0:
                break
    return rows


def _documents(database: Database, rows: Collection[tuple[Any, ...]]) -> list[SearchDocument]:
    sql = "SELECT DISTINCT s.revision_id, m.publisher_printed, m.oid FROM sightings s JOIN metadata m ON m.id = s.metadata_id"
    publishers: dict[int, list[tuple[str, str]]] = {r[0]: [] for r in rows}
    for revision, name, oid in database.rows(f"{sql} WHERE s.revision_id IN ({placeholders(rows)}) ORDER BY 1, 2, 3", *publishers):
        publishers[revision].append((name, oid))
    return [SearchDocument(r[0], r[1], r[2], r[3], r[4], tuple(publishers[r[0]])) for r in rows]


def last_revision_id(database: Database) -> int:
    """The greatest id of a revision, or 0 if there is none."""
    return int(database.value("SELECT coalesce(max(id), 0) FROM revisions"))


def count_revisions_after(database: Database, after_id: int) -> int:
    """Number of revisions with ids greater than `after_id`."""
    return int(database.value("SELECT count(*) FROM revisions WHERE id > ?", after_id))


def last_log_id(database: Database) -> int:
    """The id of the last entry of `revision_log`, or 0 if it is empty."""
    return int(database.value("SELECT coalesce(max(id), 0) FROM revision_log"))


def log_entries_after(database: Database, position: int, limit: int) -> list[LogEntry] | None:
    """At most `limit` entries of `revision_log` after the id `position`, by id.

    Returns None if the log no longer reaches back to `position`, or if `position` is beyond its end: it belongs to another history.
    """
    first_id, last_id = database.row("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM revision_log") or (1, 0)
    if not first_id - 1 <= position <= last_id:
        return None
    return [
        LogEntry(*r) for r in database.rows("SELECT id, revision_id FROM revision_log WHERE id > ? ORDER BY id LIMIT ?", position, limit)
    ]


def state_digests(database: Database) -> Iterator[tuple[int, bytes]]:
    """(revision, first `DIGEST_PREFIX_BYTES` of its state digest) of all revisions, in no order. Reads an index only, no bodies."""
    yield from database.connection.execute(f"SELECT id, substr(digest, 1, {DIGEST_PREFIX_BYTES}) FROM revisions INDEXED BY {_STATE_INDEX}")


def state_digests_of(database: Database, revisions: Collection[int]) -> dict[int, bytes]:
    """Revision → first `DIGEST_PREFIX_BYTES` of its state digest, for those of `revisions` that exist."""
    return dict(
        database.rows(
            f"SELECT id, substr(digest, 1, {DIGEST_PREFIX_BYTES}) FROM revisions WHERE id IN ({placeholders(revisions)})", *revisions
        )
    )


def pruned_revisions(database: Database) -> set[int]:
    """Ids of the revisions whose body was pruned."""
    return {r[0] for r in database.rows("SELECT id FROM revisions INDEXED BY revisions_pruned WHERE pruned_at IS NOT NULL")}


def hits(database: Database, revisions: Collection[int]) -> list[SearchHitRow]:
    """Those of `revisions` that have a counted sighting, greatest id first."""
    rows = database.rows(f"{_HIT_QUERY} WHERE r.id IN ({placeholders(revisions)}) ORDER BY r.id DESC", *revisions)
    return [SearchHitRow(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], bool(r[9])) for r in rows]
