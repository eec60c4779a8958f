"""Delete the bodies of old states, and return free pages of the database file to the disk."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator

from more_itertools import chunked

from dedup.errors import NotEnoughSpaceError
from dedup.store import texts
from dedup.store.database import Database, Row, Transaction, WritableDatabase
from dedup.store.revisions import body_digest
from dedup.store.rows import RetentionState
from dedup.text.format import format_megabytes

PAGES_PER_STEP = 1024
"""Pages of the database file that are released in one transaction, and texts of one DELETE statement."""


INTERRUPT_INSTRUCTIONS = 1_000_000
"""Virtual machine instructions of SQLite between two points where VACUUM can be interrupted."""


_AUTO_VACUUM_INCREMENTAL = 2


_STATES_QUERY = (
    "SELECT r.page_id, r.id, r.digest, min(CASE s.status WHEN 'counted' THEN s.crawled_at END),"
    " max(CASE s.status WHEN 'counted' THEN s.crawled_at END), max(s.crawled_at),"
    " r.id = coalesce((SELECT c.revision_id FROM pages p JOIN sightings c ON c.id = p.current_sighting_id WHERE p.id = r.page_id), 0),"
    " EXISTS (SELECT 1 FROM sightings x JOIN readings d ON d.sighting_id = x.id JOIN files f ON f.current_reading_id = d.id"
    " WHERE x.revision_id = r.id AND f.gone = 0), r.pruned_at IS NOT NULL"
    " FROM revisions r JOIN sightings s ON s.revision_id = r.id WHERE r.page_id IN ({}) GROUP BY r.id ORDER BY r.page_id, r.id"
)


def latest_crawl(database: Database, until: str) -> str | None:
    """The time of the latest crawl up to `until`, or None if there is none."""
    crawled_at: str | None = database.value("SELECT max(crawled_at) FROM sightings WHERE crawled_at <= ?", until)
    return crawled_at


def pages_with_several_states(database: Database, after_id: int, limit: int) -> list[int]:
    """Pages with more than one state and ids greater than `after_id`, by id; at most `limit`."""
    sql = "SELECT page_id FROM revisions WHERE page_id > ? GROUP BY page_id HAVING count(*) > 1 ORDER BY page_id LIMIT ?"
    return [r[0] for r in database.rows(sql, after_id, limit)]


def states(database: Database, pages: Collection[int]) -> Iterator[RetentionState]:
    """Every state of `pages` that has a sighting, by page, then revision."""
    for r in database.connection.execute(_STATES_QUERY.format(", ".join("?" * len(pages))), tuple(pages)):
        yield RetentionState(r[0], r[1], r[2], r[3], r[4], r[5], bool(r[6]), bool(r[7]), bool(r[8]))


def body_bytes(database: Database, revisions: Collection[int]) -> int:
    """Bytes of the bodies of `revisions` in UTF-8."""
    sql = f"SELECT coalesce(sum(length(CAST(body AS BLOB))), 0) FROM revisions WHERE id IN ({', '.join('?' * len(revisions))})"
    return int(database.value(sql, *revisions))


def free_bytes(database: Database) -> int:
    """Bytes of free pages in the database file. SQLite reuses them."""
    return int(database.value("PRAGMA freelist_count")) * int(database.value("PRAGMA page_size"))


def delete_bodies(transaction: Transaction, revisions: Collection[int], pruned_at: str) -> set[int]:
    """Delete the bodies of `revisions`. Returns the texts that no stored body shows any more.

    The rows are deleted and inserted again: SQLite frees no page when rows only become shorter.
    """
    select = (
        "SELECT r.id, r.page_id, r.digest, r.text_id, r.title, r.body"
        " FROM wanted w CROSS JOIN revisions r ON r.id = w.id WHERE r.pruned_at IS NULL"
    )
    rows = list(transaction.select_by_ids(revisions, select))
    transaction.execute("PRAGMA defer_foreign_keys=ON")
    transaction.execute_many("DELETE FROM revisions WHERE id = ?", ((r[0],) for r in rows))
    transaction.execute_many(
        "INSERT INTO revisions (id, page_id, digest, text_id, title, body, pruned_at, pruned_characters, pruned_digest)"
        " VALUES (?, ?, ?, ?, ?, '', ?, ?, ?)",
        ((*columns, pruned_at, len(body), body_digest(body)) for *columns, body in rows),
    )
    return texts.without_body(transaction, {text_id for _, _, _, text_id, *_ in rows if text_id is not None})


def fingerprints(database: Database, texts: Iterable[int]) -> dict[int, bytes]:
    """Leader → its packed fingerprints."""
    return dict(
        database.select_by_ids(texts, "SELECT p.text_id, p.fingerprints FROM wanted w CROSS JOIN text_fingerprints p ON p.text_id = w.id")
    )


def followers(database: Database, texts: Iterable[int]) -> dict[int, list[int]]:
    """Leader → its followers, earliest first. Texts without followers are left out."""
    select = "SELECT w.id, f.follower_id FROM wanted w CROSS JOIN followers f ON f.leader_id = w.id ORDER BY w.id, f.follower_id"
    return {text: [r[0] for r in rows] for text, rows in database.group_by_ids(texts, select).items()}


def remove_from_indexes(transaction: Transaction, texts: Collection[int]) -> None:
    """Delete what the MinHash LSH index and the passage index are built from for `texts`."""
    ids = [(t,) for t in texts]
    transaction.execute_many("UPDATE texts SET signature = NULL WHERE id = ?", ids)
    transaction.execute_many("DELETE FROM text_fingerprints WHERE text_id = ?", ids)
    transaction.execute_many("DELETE FROM followers WHERE leader_id = ?", ids)
    for chunk in chunked(ids, PAGES_PER_STEP):  # `followers` has no index on follower_id
        transaction.execute(f"DELETE FROM followers WHERE follower_id IN ({', '.join('?' * len(chunk))})", *(t for (t,) in chunk))


def set_fingerprints(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Update the fingerprints of leaders. `rows`: (packed fingerprints, text)."""
    transaction.execute_many("UPDATE text_fingerprints SET fingerprints = ? WHERE text_id = ?", rows)


def release_pages(database: WritableDatabase, progress: Callable[[int], None]) -> int:
    """Return free pages to the disk and return the number of bytes. `progress` gets the number of pages of each step.

    Only a database with incremental auto-vacuum can release pages; otherwise nothing happens.
    """
    if database.value("PRAGMA auto_vacuum") != _AUTO_VACUUM_INCREMENTAL:
        return 0
    free_before = free_bytes(database)
    while database.value("PRAGMA freelist_count"):
        with database.transaction() as transaction:
            for _ in range(PAGES_PER_STEP):  # the pragma frees one page per row fetched, and only the first is fetched
                transaction.execute("PRAGMA incremental_vacuum(1)")
        progress(PAGES_PER_STEP)
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")  # the file shrinks only now
    return free_before - free_bytes(database)


def vacuum(database: Database) -> int:
    """Rewrite the whole database without free pages, and switch it to incremental auto-vacuum.

    Returns by how many bytes the file shrank. Raises NotEnoughSpaceError, and KeyboardInterrupt on Ctrl-C; the database is
    unchanged then.
    """
    bytes_before = _size_bytes(database)
    needed_bytes = 2 * (bytes_before - free_bytes(database))  # a copy, and the write-ahead log that copies it back
    folder = os.path.dirname(os.path.realpath(database.path))
    filesystem = os.statvfs(folder)
    if (available_bytes := filesystem.f_bavail * filesystem.f_frsize) < needed_bytes:
        raise NotEnoughSpaceError(
            path=database.path, needed=format_megabytes(needed_bytes), free=format_megabytes(available_bytes), folder=folder
        )
    database.connection.set_progress_handler(lambda: 0, INTERRUPT_INSTRUCTIONS)  # lets Python run signal handlers
    try:
        quoted = folder.replace("'", "''")
        database.connection.execute(f"PRAGMA temp_store_directory='{quoted}'")
        database.connection.execute(f"PRAGMA auto_vacuum={_AUTO_VACUUM_INCREMENTAL}")
        database.connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
            raise KeyboardInterrupt from None
        raise
    finally:
        database.connection.set_progress_handler(None, 0)
        database.connection.execute("PRAGMA temp_store_directory=''")
    database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    return bytes_before - _size_bytes(database)


def _size_bytes(database: Database) -> int:
    return int(database.value("PRAGMA page_count")) * int(database.value("PRAGMA page_size"))
