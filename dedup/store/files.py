"""Files of crawl directories, as they were last seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from dedup.store import statistics
from dedup.store.database import Database, Row, Transaction
from dedup.store.rows import ARTICLE, FAULT, GONE, UNREAD, FileRow, FileStamp, RecordedFile

FilePath = tuple[int, bytes, bytes]
"""(crawl directory, folder, name)."""


class FileLocation(NamedTuple):
    """A file by its id, the path at which it is recorded, and whether it is gone."""

    id: int
    directory_id: int
    folder: bytes
    name: bytes
    is_gone: bool


class SightingFile(NamedTuple):
    """A file that showed a sighting, with the digest of its last content."""

    id: int
    content_digest: bytes | None
    directory_id: int
    folder: bytes
    name: bytes
    is_gone: int


_RECORDED_COLUMNS = (
    f"f.name, f.id, f.size, f.mtime_ns, f.inode, f.ctime_ns, CASE WHEN f.gone = 1 THEN {GONE} WHEN f.content_digest IS NULL THEN {UNREAD}"
    f" WHEN f.current_reading_id IS NULL THEN {FAULT} ELSE {ARTICLE} END"
)


_FILE_COLUMNS = (
    "f.id, f.size, f.mtime_ns, f.inode, f.ctime_ns, f.content_digest, f.current_reading_id IS NOT NULL, f.gone,"
    " f.gone = 1 AND EXISTS (SELECT 1 FROM readings d JOIN sightings s ON s.id = d.sighting_id"
    " JOIN revisions r ON r.id = s.revision_id WHERE d.id = f.current_reading_id AND r.pruned_at IS NOT NULL),"
    " f.current_reading_id, (SELECT q.content_digest FROM reread_queue q WHERE q.file_id = f.id)"
)


def recorded_in_folder(database: Database, directory: int, folder: bytes) -> dict[bytes, RecordedFile]:
    """Return name → what is recorded of each file of a folder, files that are gone included."""
    rows = database.connection.execute(
        f"SELECT {_RECORDED_COLUMNS} FROM files f WHERE directory_id = ? AND folder = ?", (directory, folder)
    )
    return {row[0]: row for row in rows}


def recorded_by_name(database: Database, directory: int, folder: bytes, names: Iterable[bytes]) -> dict[bytes, RecordedFile]:
    """Return name → what is recorded, as `recorded_in_folder` does, for those files of a folder that have one of these names."""
    select = (
        f"SELECT {_RECORDED_COLUMNS} FROM wanted w CROSS JOIN files f ON f.directory_id = w.d AND f.folder = w.folder AND f.name = w.name"
    )
    return {row[0]: row for row in database.select_by_keys("d, folder, name", ((directory, folder, n) for n in names), select)}


def present_in_folder(database: Database, directory: int, folder: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (id, name) of the files of a folder that are not gone."""
    yield from database.connection.execute(
        "SELECT id, name FROM files WHERE directory_id = ? AND folder = ? AND gone = 0", (directory, folder)
    )


def find_by_path(database: Database, paths: Iterable[FilePath]) -> dict[FilePath, FileRow]:
    """Return path → file for the paths at which a file is recorded."""
    rows = database.select_by_keys(
        "d, folder, name", paths,
        f"SELECT w.d, w.folder, w.name, {_FILE_COLUMNS} FROM wanted w CROSS JOIN files f"
        " ON f.directory_id = w.d AND f.folder = w.folder AND f.name = w.name",
    )  # fmt: skip
    return {(directory, folder, name): _file_row(columns) for directory, folder, name, *columns in rows}


def folders(database: Database, directory: int, top: bytes = b"") -> list[bytes]:
    """Return the folders, from `top` down, in which files are recorded. Costs one index lookup per folder, not per file."""
    lower, upper = (b"", None) if not top else (top, top + b"0")  # "0" follows "/"
    result = []
    row = database.row("SELECT folder FROM files WHERE directory_id = ? AND folder >= ? ORDER BY folder LIMIT 1", directory, lower)
    while row and (upper is None or row[0] < upper):
        if not top or row[0] == top or row[0].startswith(top + b"/"):
            result.append(row[0])
        row = database.row("SELECT folder FROM files WHERE directory_id = ? AND folder > ? ORDER BY folder LIMIT 1", directory, row[0])
    return result


def locations(database: Database, files: Iterable[int]) -> list[FileLocation]:
    """Return the locations of the files with these ids."""
    rows = database.select_by_ids(files, "SELECT f.id, f.directory_id, f.folder, f.name, f.gone FROM wanted w JOIN files f ON f.id = w.id")
    return [FileLocation(file, directory, folder, name, bool(is_gone)) for file, directory, folder, name, is_gone in rows]


def files_of_sightings(database: Database, sightings: Iterable[int]) -> dict[int, list[SightingFile]]:
    """Return sighting → every file that showed it."""
    rows = database.group_by_ids(
        sightings,
        "SELECT w.id, f.id, f.content_digest, f.directory_id, f.folder, f.name, f.gone FROM wanted w CROSS JOIN readings d"
        " ON d.sighting_id = w.id JOIN files f ON f.id = d.file_id",
    )
    return {sighting: [SightingFile(*r) for r in of_sighting] for sighting, of_sighting in rows.items()}


def hide(transaction: Transaction, files: Iterable[int]) -> None:
    """Record that something was mounted over these files."""
    transaction.execute_many("INSERT OR IGNORE INTO files_under_mounts VALUES (?)", ((file,) for file in files))


def hidden_among(database: Database, files: Iterable[int]) -> set[int]:
    """Return those of the files that something was mounted over."""
    return {row[0] for row in database.select_by_ids(files, "SELECT h.file_id FROM wanted w JOIN files_under_mounts h ON h.file_id = w.id")}


def count_present(database: Database) -> int:
    """Return the number of files that are not gone."""
    return statistics.count(database, "files", "gone = 0")


def count_gone(database: Database) -> int:
    """Return the number of files that are gone."""
    return statistics.count(database, "files", "gone = 1")


def insert(transaction: Transaction, rows: Iterable[Row]) -> None:
    """Insert rows (id, directory, folder, name, path as text, size, mtime_ns, inode, ctime_ns, content digest, current reading, first seen
    at)."""
    transaction.execute_many(
        "INSERT INTO files (id, directory_id, folder, name, path_text, size, mtime_ns, inode, ctime_ns, content_digest,"
        " current_reading_id, first_seen_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )


def update(transaction: Transaction, files: Iterable[tuple[int, FileStamp, bytes | None]]) -> None:
    """Record the new stamp and content digest of each file. A file that was gone is present again."""
    transaction.execute_many(
        "UPDATE files SET size = ?, mtime_ns = ?, inode = ?, ctime_ns = ?, content_digest = ?, gone = 0, gone_at = NULL WHERE id = ?",
        ((stamp.size, stamp.mtime_ns, stamp.inode, stamp.ctime_ns, content, file) for file, stamp, content in files),
    )


def set_readings(transaction: Transaction, rows: Iterable[tuple[int, int | None]]) -> None:
    """Set the current reading of files: (file, reading, None if its content is a fault)."""
    transaction.execute_many("UPDATE files SET current_reading_id = ? WHERE id = ?", ((reading, file) for file, reading in rows))


def mark_gone(transaction: Transaction, files: Iterable[int], at: str) -> int:
    """Mark files as gone, unless they are already. Their readings stay, their faults are deleted. Returns how many this marked."""
    present = [location for location in locations(transaction, files) if not location.is_gone]
    transaction.execute_many("UPDATE files SET gone = 1, gone_at = ? WHERE id = ?", ((at, f.id) for f in present))
    transaction.execute_many(
        "DELETE FROM faults WHERE directory_id = ? AND path = ?",
        ((f.directory_id, f.folder + b"/" + f.name if f.folder else f.name) for f in present),
    )
    return len(present)


def _file_row(row: Sequence[Any]) -> FileRow:
    file_id, size, mtime_ns, inode, ctime_ns, content_digest, is_article, is_gone, is_pruned, reading_id, reread_digest = row
    stamp = FileStamp(size, mtime_ns, inode, ctime_ns)
    return FileRow(file_id, stamp, content_digest, bool(is_article), bool(is_gone), bool(is_pruned), reading_id, reread_digest)
