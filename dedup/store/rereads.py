"""The queue of files to read again because settings that interpret them changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from dedup.store import files, statistics
from dedup.store.database import Database, Transaction
from dedup.store.files import FilePath
from dedup.store.rows import FileStamp


class QueuedFile(NamedTuple):
    """A file of `reread_queue` with its path in its crawl directory and its recorded stamp."""

    id: int
    folder: bytes
    name: bytes
    stamp: FileStamp


_ENQUEUE = (
    "INSERT INTO reread_queue (file_id, content_digest) SELECT f.id, f.content_digest FROM files f WHERE f.content_digest IS NOT NULL"
)


_ON_CONFLICT = " ON CONFLICT (file_id) DO UPDATE SET content_digest = excluded.content_digest"


def count(database: Database) -> int:
    """Number of queued files that exist."""
    return int(database.value("SELECT count(*) FROM reread_queue q CROSS JOIN files f ON f.id = q.file_id WHERE f.gone = 0"))


def queue_all(transaction: Transaction) -> int:
    """Queue every file whose bytes were read. Returns the length of the queue.

    Files that are gone are queued too: their bytes may be at another path by now.
    """
    transaction.execute(_ENQUEUE + _ON_CONFLICT)
    return statistics.count(transaction, "reread_queue")


def queue_faults(transaction: Transaction) -> int:
    """Queue every file that exists and is a fault. Returns their number."""
    paths = {
        (directory, folder, name): None
        for directory, path in transaction.rows("SELECT DISTINCT directory_id, path FROM faults")
        for folder, _, name in (bytes(path).rpartition(b"/"),)
    }
    ids = [row.id for row in files.find_by_path(transaction, paths).values() if not row.is_gone and row.content_digest is not None]
    _enqueue(transaction, ids)
    return len(ids)


def queue_files_of_aliases(transaction: Transaction, aliases: Iterable[int]) -> None:
    """Queue the existing files whose current reading has one of these aliases."""
    select = (
        "SELECT f.id FROM wanted w CROSS JOIN readings d ON d.alias_id = w.id JOIN files f ON f.current_reading_id = d.id WHERE f.gone = 0"
    )
    _enqueue(transaction, [r[0] for r in transaction.select_by_ids(aliases, select)])


def _enqueue(transaction: Transaction, files: Iterable[int]) -> None:
    transaction.connection.executemany(f"{_ENQUEUE} AND f.id = ?{_ON_CONFLICT}", ((f,) for f in files))


def list_queued(database: Database, directory: int, after_id: int, limit: int) -> list[QueuedFile]:
    """Queued files of a crawl directory that exist, with ids greater than `after_id`, by id; at most `limit`."""
    rows = database.rows(
        "SELECT f.id, f.folder, f.name, f.size, f.mtime_ns, f.inode, f.ctime_ns FROM reread_queue q CROSS JOIN files f ON f.id = q.file_id"
        " WHERE q.file_id > ? AND f.directory_id = ? AND f.gone = 0 ORDER BY q.file_id LIMIT ?",
        after_id, directory, limit,
    )  # fmt: skip
    return [QueuedFile(r[0], r[1], r[2], FileStamp(r[3], r[4], r[5], r[6])) for r in rows]


def has_queued(database: Database) -> bool:
    """Return whether any file is in the queue."""
    return database.row("SELECT 1 FROM reread_queue LIMIT 1") is not None


def queued_by_content(database: Database, contents: Iterable[bytes]) -> dict[bytes, list[tuple[int, FilePath]]]:
    """Content digest → (file, path) of every queued file with this content, including files that are gone."""
    select = (
        "SELECT q.content_digest, q.file_id, f.directory_id, f.folder, f.name FROM wanted w CROSS"
        " JOIN reread_queue q ON q.content_digest = w.content"
        " JOIN files f ON f.id = q.file_id ORDER BY q.file_id"
    )
    queued_files: dict[bytes, list[tuple[int, FilePath]]] = {}
    for content, file, directory, folder, name in database.select_by_keys("content", ((c,) for c in contents), select):
        queued_files.setdefault(content, []).append((file, (directory, folder, name)))
    return queued_files


def unqueue(transaction: Transaction, files: Iterable[int]) -> None:
    """Take files out of the queue."""
    transaction.connection.executemany("DELETE FROM reread_queue WHERE file_id = ?", ((f,) for f in files))
