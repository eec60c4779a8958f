"""Crawl directories, and the mounts seen in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from dedup.store.database import Database, Transaction
from dedup.store.rows import DirectoryRow, FileStamp


class SampledFile(NamedTuple):
    """A file of a crawl directory, and the size and times recorded of it."""

    folder: bytes
    name: bytes
    stamp: FileStamp


def move(transaction: Transaction, directory: int, path: bytes, path_text: str, identity: tuple[int, int] | None) -> None:
    """Record that a crawl directory is at another path now. Its files keep their relative paths. `identity` is its (st_dev, st_ino), None
    if it does not exist."""
    transaction.execute("UPDATE crawl_directories SET path = ?, path_text = ?, retired_at = NULL WHERE id = ?", path, path_text, directory)
    if identity is not None:
        transaction.execute("UPDATE crawl_directories SET device = ?, inode = ? WHERE id = ?", *identity, directory)


def retire(transaction: Transaction, directory: int, at: str) -> int:
    """Mark a crawl directory as retired and all its files as gone. Returns how many files this marked."""
    transaction.execute("DELETE FROM faults WHERE directory_id = ?", directory)
    gone_count = transaction.execute("UPDATE files SET gone = 1, gone_at = ? WHERE directory_id = ? AND gone = 0", at, directory)
    transaction.execute("UPDATE crawl_directories SET retired_at = ? WHERE id = ?", at, directory)
    return gone_count


def reinstate(transaction: Transaction, directories: Iterable[int]) -> None:
    """Undo the retirement of crawl directories: they are scanned again."""
    transaction.execute_many(
        "UPDATE crawl_directories SET retired_at = NULL WHERE id = ? AND retired_at IS NOT NULL", ((d,) for d in directories)
    )


def set_scanned(transaction: Transaction, directories: Iterable[int], at: str) -> None:
    """Record that a scan of all of these crawl directories ended at that time."""
    transaction.execute_many("UPDATE crawl_directories SET scanned_at = ? WHERE id = ?", ((at, d) for d in directories))


def sample_files(database: Database, directory: int, limit: int) -> list[SampledFile]:
    """Return at most `limit` present files of a crawl directory, spread over the ids of all its files."""
    row = database.row("SELECT min(id), max(id) FROM files WHERE directory_id = ?", directory)
    if row is None or row[0] is None:
        return []
    first, last = row
    step = max(1, (last - first) // limit)
    sample = {}
    for start in range(first, last + 1, step):
        file_row = database.row(
            "SELECT id, folder, name, size, mtime_ns, inode, ctime_ns FROM files WHERE id >= ? AND id < ? AND directory_id = ?"
            " AND gone = 0 ORDER BY id LIMIT 1",
            start, start + step, directory,
        )  # fmt: skip
        if file_row is not None:
            file_id, folder, name, *stamp = file_row
            sample[file_id] = SampledFile(bytes(folder), bytes(name), FileStamp(*stamp))
    return list(sample.values())[:limit]


def mounts(database: Database, directory: int) -> dict[bytes, tuple[int, int]]:
    """Return the mounts seen in a crawl directory: relative path → (st_dev, st_ino). The mount that the crawl directory itself is on is
    included, under its absolute path."""
    rows = database.rows("SELECT path, device, inode FROM mounts WHERE directory_id = ?", directory)
    return {path: (device, inode) for path, device, inode in rows}


def absent_mounts(database: Database, directory: int) -> dict[bytes, int]:
    """Return absent mount → the id of the next file at the time when it was first found absent."""
    rows = database.rows(
        "SELECT path, absent_since_file_id FROM mounts WHERE directory_id = ? AND absent_since_file_id IS NOT NULL", directory
    )
    return dict(rows)


def list_all(database: Database) -> list[DirectoryRow]:
    """Return every crawl directory that the database knows, by path."""
    file_counts: dict[int, int] = dict(database.rows("SELECT directory_id, count(*) FROM files GROUP BY directory_id"))
    gone_counts: dict[int, int] = dict(
        database.rows("SELECT directory_id, count(*) FROM files INDEXED BY files_gone WHERE gone = 1 GROUP BY directory_id")
    )
    directories = []
    for directory, path, scanned_at, retired_at in database.rows(
        "SELECT id, path, scanned_at, retired_at FROM crawl_directories ORDER BY path"
    ):
        gone_count = gone_counts.get(directory, 0)
        directories.append(DirectoryRow(directory, path, file_counts.get(directory, 0) - gone_count, gone_count, scanned_at, retired_at))
    return directories


def active_ids(database: Database) -> dict[bytes, int]:
    """Return path → id of every crawl directory that is not retired."""
    return dict(database.rows("SELECT path, id FROM crawl_directories WHERE retired_at IS NULL ORDER BY path"))


def paths(database: Database) -> list[bytes]:
    """Return the path of every crawl directory that the database knows, in order."""
    return [r[0] for r in database.rows("SELECT path FROM crawl_directories ORDER BY path")]


def get_or_insert(transaction: Transaction, path: bytes, path_text: str) -> int:
    """Return the id of a crawl directory, which is inserted if the database does not know it."""
    existing = find(transaction, path)
    if existing is not None:
        return existing
    return transaction.insert("INSERT INTO crawl_directories (path, path_text) VALUES (?, ?)", (path, path_text))


def find(database: Database, path: bytes) -> int | None:
    """Return the id of a crawl directory, None if the database does not know it."""
    directory: int | None = database.value("SELECT id FROM crawl_directories WHERE path = ?", path)
    return directory


def identity(database: Database, directory: int) -> tuple[int, int] | None:
    """Return (st_dev, st_ino) of the crawl directory when it last had content."""
    row = database.row("SELECT device, inode FROM crawl_directories WHERE id = ? AND device IS NOT NULL", directory)
    return (row[0], row[1]) if row else None


def set_identity(transaction: Transaction, directory: int, device: int, inode: int) -> None:
    """Record (st_dev, st_ino) of a crawl directory."""
    transaction.execute("UPDATE crawl_directories SET device = ?, inode = ? WHERE id = ?", device, inode, directory)


def set_mounts(transaction: Transaction, directory: int, mounts: Mapping[bytes, tuple[int, int]]) -> None:
    """Record mounts of a crawl directory that are present: relative path → (st_dev, st_ino)."""
    transaction.execute_many(
        "INSERT OR REPLACE INTO mounts (directory_id, path, device, inode) VALUES (?, ?, ?, ?)",
        ((directory, path, *identity) for path, identity in mounts.items()),
    )


def set_mounts_absent(transaction: Transaction, directory: int, paths: Iterable[bytes], next_file_id: int | None = None) -> None:
    """Record that mounts are absent. Files with ids from `next_file_id` on (None: the next id) do not belong to them. A mount that was
    absent before keeps its id."""
    if next_file_id is None:
        next_file_id = transaction.next_id("files")
    transaction.execute_many(
        "UPDATE mounts SET absent_since_file_id = coalesce(absent_since_file_id, ?) WHERE directory_id = ? AND path = ?",
        ((next_file_id, directory, path) for path in paths),
    )


def delete_mounts(transaction: Transaction, directory: int, paths: Iterable[bytes]) -> None:
    """Delete mounts that are no longer expected. Files below them that are not found are gone."""
    for path in paths:
        transaction.execute("DELETE FROM mounts WHERE directory_id = ? AND path = ?", directory, path)
        transaction.execute(
            "DELETE FROM files_under_mounts WHERE file_id IN (SELECT id FROM files WHERE directory_id = ?1"
            " AND (folder = ?2 OR substr(folder, 1, length(?2) + 1) = ?2 || x'2f'))",
            directory, path,
        )  # fmt: skip
