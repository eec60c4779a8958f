"""What the search index reads from the database."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import closing
from typing import Any

from dedup.store.database import Database, placeholders
from dedup.store.rows import SearchDocument, SearchHitRow

MAX_BATCH_CHARACTERS = 4_000_000
"""Characters of bodies after which no further revision is read for one step of filling the index."""


DIGEST_PREFIX_BYTES = 8
"""Bytes of a state's digest by which one revision is told from another that got its key."""


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


def revisions_after(database: Database, after_id: int, limit: int, max_characters: float = math.inf) -> list[SearchDocument]:
    """The next `limit` revisions after a key, in order of their keys; fewer where their bodies come to so many characters."""
    return _documents(
        database, _limited_rows(database, max_characters, f"{_DOCUMENT_QUERY} WHERE r.id > ? ORDER BY r.id LIMIT ?", after_id, limit)
    )


def revisions(database: Database, revisions: Collection[int], max_characters: float = math.inf) -> list[SearchDocument]:
    """Those of these revisions that are there, in order of their keys; fewer where their bodies come to so many characters."""
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
    """The greatest key of a revision; 0 where there is none."""
    return int(database.value("SELECT coalesce(max(id), 0) FROM revisions"))


def count_revisions_after(database: Database, after_id: int) -> int:
    """How many revisions have a greater key."""
    return int(database.value("SELECT count(*) FROM revisions WHERE id > ?", after_id))


def last_log_id(database: Database) -> int:
    """The id of the last entry of `revision_log`; 0 if it is empty."""
    return int(database.value("SELECT coalesce(max(id), 0) FROM revision_log"))


def log_entries_after(database: Database, position: int, limit: int) -> list[tuple[int, int]] | None:
    """The next (place, revision) that went or changed; None where what came after `position` is not known any more, or `position` is not
    of this database's past."""
    first_id, last_id = database.row("SELECT coalesce(min(id), 1), coalesce(max(id), 0) FROM revision_log") or (1, 0)
    if not first_id - 1 <= position <= last_id:
        return None
    return [
        (r[0], r[1]) for r in database.rows("SELECT id, revision_id FROM revision_log WHERE id > ? ORDER BY id LIMIT ?", position, limit)
    ]


def state_digests(database: Database) -> Iterator[tuple[int, bytes]]:
    """(revision, the first `DIGEST_PREFIX_BYTES` of its state's digest) of all revisions, in no order; bodies are not read."""
    yield from database.connection.execute(f"SELECT id, substr(digest, 1, {DIGEST_PREFIX_BYTES}) FROM revisions INDEXED BY {_STATE_INDEX}")


def state_digests_of(database: Database, revisions: Collection[int]) -> dict[int, bytes]:
    """The same of those of these revisions that are there."""
    return dict(
        database.rows(
            f"SELECT id, substr(digest, 1, {DIGEST_PREFIX_BYTES}) FROM revisions WHERE id IN ({placeholders(revisions)})", *revisions
        )
    )


def pruned_revisions(database: Database) -> set[int]:
    """Revisions whose body was pruned."""
    return {r[0] for r in database.rows("SELECT id FROM revisions INDEXED BY revisions_pruned WHERE pruned_at IS NOT NULL")}


def hits(database: Database, revisions: Collection[int]) -> list[SearchHitRow]:
    """Those of these revisions that a counted crawl shows, the greatest key first."""
    rows = database.rows(f"{_HIT_QUERY} WHERE r.id IN ({placeholders(revisions)}) ORDER BY r.id DESC", *revisions)
    return [SearchHitRow(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], bool(r[9])) for r in rows]
