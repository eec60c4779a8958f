"""Files of crawl directories, as last seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dedup.store.database import Database, Row, Transaction
from dedup.store.rows import (
    ARTICLE,
    FAULT,
    GONE,
    UNREAD,
    FileRow,
    FileStamp,
    RecordedFile,
)

FilePath = tuple[int, bytes, bytes]
"""(crawl directory, folder, name)."""


_RECORDED_COLUMNS = (
    f"f.name, f.id, f.size, f.mtime_ns, f.inode, f.ctime_ns, CASE WHEN f.gone = 1 THEN {GONE} WHEN f.content_digest IS NULL THEN {UNREAD}"
    f" WHEN f.current_reading_id IS NULL THEN {FAULT} ELSE {ARTICLE} END"
)


_FILE_COLUMNS = (
    "f.id, f.size, f.mtime_ns, f.inode, f.ctime_ns, f.content_digest, f.current_reading_id IS NOT NULL, f.gone, f.gone = 1"
    " AND EXISTS (SELECT 1"
    " FROM readings d JOIN sightings s ON s.id = d.sighting_id JOIN revisions r ON r.id = s.revision_id"
    " WHERE d.id = f.current_reading_id AND r.pruned_at IS NOT NULL), f.current_reading_id, (SELECT q.content_digest FROM reread_queue q"
    " WHERE q.file_id = f.id)"
)


def recorded_in_folder(database: Database, directory: int, folder: bytes) -> dict[bytes, RecordedFile]:
    """Name → what is recorded of the file, of one folder; files that are gone included."""
    rows = database.connection.execute(
        f"SELECT {_RECORDED_COLUMNS} FROM files f WHERE directory_id = ? AND folder = ?", (directory, folder)
    )
    return {row[0]: row for row in rows}


def recorded_by_name(database: Database, directory: int, folder: bytes, names: Iterable[bytes]) -> dict[bytes, RecordedFile]:
    """The same of those files of a folder that have one of these names."""
    select = (
        f"SELECT {_RECORDED_COLUMNS} FROM wanted w CROSS JOIN files f ON f.directory_id = w.d AND f.folder = w.folder AND f.name = w.name"
    )
    return {row[0]: row for row in database.select_by_keys("d, folder, name", ((directory, folder, n) for n in names), select)}


def present_in_folder(database: Database, directory: int, folder: bytes) -> Iterator[tuple[int, bytes]]:
    """(file, name) of those files of a folder that are not gone."""
    yield from database.connection.execute(
        "SELECT id, name FROM files WHERE directory_id = ? AND folder = ? AND gone = 0", (directory, folder)
    )


def find_by_path(database: Database, paths: Iterable[FilePath]) -> dict[FilePath, FileRow]:
    """Path → file."""
    rows = database.select_by_keys(
        "d, folder, name", paths,
        f"SELECT w.d, w.folder, w.name, {_FILE_COLUMNS} FROM wanted w CROSS JOIN files f"
        " ON f.directory_id = w.d AND f.folder = w.folder AND f.name = w.name",
    )  # fmt: skip
    return {(row[0], row[1], row[2]): _file_row(row[3:]) for row in rows}


def folders(database: Database, directory: int, top: bytes = b"") -> list[bytes]:
    """Folders from `top` down in which files are recorded. One look into the index for each, however many files it has."""
    lower, upper = (b"", None) if not top else (top, top + b"0")  # "0" follows "/"
    result = []
    row = database.row("SELECT folder FROM files WHERE directory_id = ? AND folder >= ? ORDER BY folder LIMIT 1", directory, lower)
    while row and (upper is None or row[0] < upper):
        if not top or row[0] == top or row[0].startswith(top + b"/"):
            result.append(row[0])
        row = database.row("SELECT folder FROM files WHERE directory_id = ? AND folder > ? ORDER BY folder LIMIT 1", directory, row[0])
    return result


def paths(database: Database, files: Iterable[int]) -> list[tuple[int, int, bytes, bytes, bool]]:
    """(file, directory, folder, name, gone) of each."""
    rows = database.select_by_ids(files, "SELECT f.id, f.directory_id, f.folder, f.name, f.gone FROM wanted w JOIN files f ON f.id = w.id")
    return [(r[0], r[1], r[2], r[3], bool(r[4])) for r in rows]


def files_of_sightings(database: Database, sightings: Iterable[int]) -> dict[int, list[tuple[Any, ...]]]:
    """Sighting → (file, content, directory, folder, name, whether it is gone) of every file that showed it."""
    return database.group_by_ids(
        sightings,
        "SELECT w.id, f.id, f.content_digest, f.directory_id, f.folder, f.name, f.gone FROM wanted w CROSS JOIN readings d"
        " ON d.sighting_id = w.id JOIN files f ON f.id = d.file_id",
    )


def hide(transaction: Transaction, files: Iterable[int]) -> None:
    """Files that something was mounted over."""
    transaction.execute_many("INSERT OR IGNORE INTO files_under_mounts VALUES (?)", ((file,) for file in files))


def hidden_among(database: Database, files: Iterable[int]) -> set[int]:
    """Those of these files that something was mounted over."""
    return {row[0] for row in database.select_by_ids(files, "SELECT h.file_id FROM wanted w JOIN files_under_mounts h ON h.file_id = w.id")}


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Rows (id, directory, folder, name, path as text, size, mtime_ns, inode, ctime_ns, content, reading, seen at)."""
    transaction.execute_many(
        "INSERT INTO files (id, directory_id, folder, name, path_text, size, mtime_ns, inode, ctime_ns, content_digest,"
        " current_reading_id, first_seen_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def update(transaction: Transaction, files: Iterable[tuple[int, FileStamp, bytes | None]]) -> None:
    """The new state of each file; one that was gone is there again."""
    transaction.execute_many(
        "UPDATE files SET size = ?, mtime_ns = ?, inode = ?, ctime_ns = ?, content_digest = ?, gone = 0, gone_at = NULL WHERE id = ?",
        ((stat.size, stat.mtime_ns, stat.inode, stat.ctime_ns, content, file) for file, stat, content in files),
    )


def set_readings(transaction: Transaction, rows: Iterable[tuple[int, int | None]]) -> None:
    """(file, the reading of what it holds now; None where it is a fault)."""
    transaction.execute_many("UPDATE files SET current_reading_id = ? WHERE id = ?", ((reading, file) for file, reading in rows))


def mark_gone(transaction: Transaction, files: Iterable[int], at: str) -> int:
    """The files are no longer there, if they were; their readings stay. What was wrong with them no longer matters.
    Returns how many went now."""
    present = [(file, directory, folder, name) for file, directory, folder, name, gone in paths(transaction, files) if not gone]
    transaction.execute_many("UPDATE files SET gone = 1, gone_at = ? WHERE id = ?", ((at, file) for file, *_ in present))
    transaction.execute_many(
        "DELETE FROM faults WHERE directory_id = ? AND path = ?",
        ((directory, folder + b"/" + name if folder else name) for _, directory, folder, name in present),
    )
    return len(present)


def _file_row(row: tuple[Any, ...]) -> FileRow:
    return FileRow(row[0], FileStamp(row[1], row[2], row[3], row[4]), row[5], bool(row[6]), bool(row[7]), bool(row[8]), row[9], row[10])
