"""Crawl directories, and the mounts seen in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from dedup.store.database import Database, Transaction
from dedup.store.rows import (
    DirectoryRow,
    FileStamp,
)


def move(transaction: Transaction, directory: int, path: bytes, path_text: str, identity: tuple[int, int] | None) -> None:
    """A crawl directory lies at another path now. Its files keep their relative paths. `identity`: its (st_dev, st_ino), or None where
    it is not there."""
    transaction.execute("UPDATE crawl_directories SET path = ?, path_text = ?, retired_at = NULL WHERE id = ?", path, path_text, directory)
    if identity is not None:
        transaction.execute("UPDATE crawl_directories SET device = ?, inode = ? WHERE id = ?", *identity, directory)


def retire(transaction: Transaction, directory: int, at: str) -> int:
    """Mark all files of a crawl directory as gone, and the directory as retired; returns how many files went now."""
    transaction.execute("DELETE FROM faults WHERE directory_id = ?", directory)
    changes_before = transaction.connection.total_changes
    transaction.execute("UPDATE files SET gone = 1, gone_at = ? WHERE directory_id = ? AND gone = 0", at, directory)
    gone_count = transaction.connection.total_changes - changes_before
    transaction.execute("UPDATE crawl_directories SET retired_at = ? WHERE id = ?", at, directory)
    return gone_count


def reinstate(transaction: Transaction, directories: Iterable[int]) -> None:
    """Crawl directories that were retired are scanned again."""
    transaction.connection.executemany(
        "UPDATE crawl_directories SET retired_at = NULL WHERE id = ? AND retired_at IS NOT NULL", ((d,) for d in directories)
    )


def set_scanned(transaction: Transaction, directories: Iterable[int], at: str) -> None:
    """All of these crawl directories was scanned, until then."""
    transaction.connection.executemany("UPDATE crawl_directories SET scanned_at = ? WHERE id = ?", ((at, d) for d in directories))


def sample_files(database: Database, directory: int, limit: int) -> list[tuple[bytes, bytes, FileStamp]]:
    """(folder, name, recorded state) of files of a crawl directory that are there, at most so many, from all over it."""
    row = database.row("SELECT min(id), max(id) FROM files WHERE directory_id = ?", directory)
    if row is None or row[0] is None:
        return []
    first, last = row
    step = max(1, (last - first) // limit)
    samples = {}
    for start in range(first, last + 1, step):
        file_row = database.row(
            "SELECT id, folder, name, size, mtime_ns, inode, ctime_ns FROM files WHERE id >= ? AND id < ? AND directory_id = ?"
            " AND gone = 0 ORDER BY id LIMIT 1",
            start, start + step, directory,
        )  # fmt: skip
        if file_row is not None:
            samples[file_row[0]] = (bytes(file_row[1]), bytes(file_row[2]), FileStamp(*file_row[3:]))
    return list(samples.values())[:limit]


def mounts(database: Database, directory: int) -> dict[bytes, tuple[int, int]]:
    """Mounts seen in a crawl directory: path relative to it → (st_dev, st_ino); and, by its absolute path, the mount that the crawl
    directory is on."""
    rows = database.rows("SELECT path, device, inode FROM mounts WHERE directory_id = ?", directory)
    return {path: (device, inode) for path, device, inode in rows}


def absent_mounts(database: Database, directory: int) -> dict[bytes, int]:
    """Mounts that were absent last → the key that the next file had when they were first found to be."""
    rows = database.rows(
        "SELECT path, absent_since_file_id FROM mounts WHERE directory_id = ? AND absent_since_file_id IS NOT NULL", directory
    )
    return dict(rows)


def list_all(database: Database) -> list[DirectoryRow]:
    """Every crawl directory that the database knows, by path."""
    files: dict[int, int] = dict(database.rows("SELECT directory_id, count(*) FROM files GROUP BY directory_id"))
    gone: dict[int, int] = dict(
        database.rows("SELECT directory_id, count(*) FROM files INDEXED BY files_gone WHERE gone = 1 GROUP BY directory_id")
    )
    rows = database.rows("SELECT id, path, scanned_at, retired_at FROM crawl_directories ORDER BY path")
    return [DirectoryRow(r[0], r[1], files.get(r[0], 0) - gone.get(r[0], 0), gone.get(r[0], 0), r[2], r[3]) for r in rows]


def active_ids(database: Database) -> dict[bytes, int]:
    """Path → key of every crawl directory that was not retired."""
    return dict(database.rows("SELECT path, id FROM crawl_directories WHERE retired_at IS NULL ORDER BY path"))


def paths(database: Database) -> list[bytes]:
    return [r[0] for r in database.rows("SELECT path FROM crawl_directories ORDER BY path")]


def get_or_insert(transaction: Transaction, path: bytes, path_text: str) -> int:
    """The key of a crawl directory, made at first sight."""
    existing = find(transaction, path)
    return (
        transaction.insert("INSERT INTO crawl_directories (path, path_text) VALUES (?, ?)", (path, path_text))
        if existing is None
        else existing
    )


def find(database: Database, path: bytes) -> int | None:
    """The key of a crawl directory, if it was seen before."""
    row = database.row("SELECT id FROM crawl_directories WHERE path = ?", path)
    return row[0] if row else None


def identity(database: Database, directory: int) -> tuple[int, int] | None:
    """(st_dev, st_ino) of the crawl directory when it was last seen with something in it."""
    row = database.row("SELECT device, inode FROM crawl_directories WHERE id = ? AND device IS NOT NULL", directory)
    return (row[0], row[1]) if row else None


def set_identity(transaction: Transaction, directory: int, device: int, inode: int) -> None:
    transaction.execute("UPDATE crawl_directories SET device = ?, inode = ? WHERE id = ?", device, inode, directory)


def set_mounts(transaction: Transaction, directory: int, mounts: Mapping[bytes, tuple[int, int]]) -> None:
    """Mounts of a crawl directory that are mounted now, with their identity."""
    transaction.execute_many(
        "INSERT OR REPLACE INTO mounts (directory_id, path, device, inode) VALUES (?, ?, ?, ?)",
        ((directory, path, *identity) for path, identity in mounts.items()),
    )


def set_mounts_absent(transaction: Transaction, directory: int, paths: Iterable[bytes], next_file_id: int | None = None) -> None:
    """Mounts that are absent now; files from the key `next_file_id` on (None: the next that is given) are not of them."""
    if next_file_id is None:
        next_file_id = transaction.next_id("files")
    transaction.execute_many(
        "UPDATE mounts SET absent_since_file_id = coalesce(absent_since_file_id, ?) WHERE directory_id = ? AND path = ?",
        ((next_file_id, directory, path) for path in paths),
    )


def delete_mounts(transaction: Transaction, directory: int, paths: Iterable[bytes]) -> None:
    """Mounts that are not expected any more: what is not found where they were is gone."""
    for path in paths:
        transaction.execute("DELETE FROM mounts WHERE directory_id = ? AND path = ?", directory, path)
        transaction.execute(
            "DELETE FROM files_under_mounts WHERE file_id IN (SELECT id FROM files WHERE directory_id = ?1"
            " AND (folder = ?2 OR substr(folder, 1, length(?2) + 1) = ?2 || x'2f'))",
            directory, path,
        )  # fmt: skip
