"""Move or retire a crawl directory of the database. Neither reads any file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from dedup import store
from dedup.errors import (
    DirectoriesOverlapError,
    DirectoryConfiguredError,
    DirectoryContainsError,
    DirectoryInsideError,
    DirectoryMovedError,
    DirectoryMoveRefusedError,
    UnknownDirectoryError,
)
from dedup.files.nofollow import NoFollowTree
from dedup.pipeline.crawl_directories import locate_directories, read_identity
from dedup.pipeline.extract import to_file_stamp
from dedup.store import Database, WritableDatabase
from dedup.store.rows import DirectoryRow, FileStamp
from dedup.text import times
from dedup.text.sanitise import to_printable_path

SAMPLE_FILES = 200
"""Files to check before a crawl directory is moved."""
MIN_SAMPLE_SHARE = 0.9
"""Share of the checked files that must be unchanged at the new path. It is less than 1 because a crawler may have replaced some."""


@dataclass(frozen=True, slots=True)
class MoveResult:
    """Result of moving a crawl directory: how many files it has, how many were checked, and how many of those are at the new path."""

    files: int
    sample_files: int
    present_files: int


def find_directory(database: Database, path: bytes) -> DirectoryRow:
    """Return the crawl directory at an absolute path, links resolved if need be. Raises UnknownDirectoryError."""
    rows = store.directories.list_all(database)
    row = next((r for r in rows if r.path == path), None) or next(
        (r for r in rows if os.path.realpath(r.path) == os.path.realpath(path)), None
    )
    if row is None:
        known_paths = ", ".join(to_printable_path(r.path) for r in rows) or "none"
        raise UnknownDirectoryError(path=to_printable_path(path), available=known_paths)
    return row


def move_directory(
    database: WritableDatabase, old_path: bytes, new_path: bytes, configured_paths: Sequence[bytes], *, force: bool
) -> MoveResult:
    """Record that a crawl directory now lies at another path (both absolute). Its files move with it.

    With `force` the new path need not exist or hold the files. Raises UnknownDirectoryError, DirectoryMoveRefusedError.
    """

    def to_refusal(problem: str) -> DirectoryMoveRefusedError:
        return DirectoryMoveRefusedError(old=to_printable_path(old_path), new=to_printable_path(new_path), problem=problem)

    row = find_directory(database, old_path)
    other_rows = [r for r in store.directories.list_all(database) if r.id != row.id]
    if any(r.path == new_path for r in other_rows):
        raise to_refusal(f"that directory is already in the database; run 'dedup directories retire {to_printable_path(old_path)}' instead")
    paths_in_use = [r.path for r in other_rows if r.retired_at is None] + [p for p in configured_paths if p not in (old_path, new_path)]
    try:
        locations = locate_directories([new_path], paths_in_use, allow_subfolders=False)
    except (DirectoriesOverlapError, DirectoryContainsError, DirectoryInsideError) as error:
        raise to_refusal(f"it would overlap with another crawl directory: {error}") from error
    if locations[0][0] != new_path:
        raise to_refusal(f"it is another path to the crawl directory {to_printable_path(locations[0][0])}")
    new_identity = read_identity(new_path)
    if new_identity is None and not force:
        raise to_refusal("there is no readable directory at the new path; mount it, or use --force to move it anyway")
    sample = store.directories.sample_files(database, row.id, SAMPLE_FILES)
    present_files = count_present_files(new_path, sample)
    if present_files < MIN_SAMPLE_SHARE * len(sample) and not force:
        problem = f"only {present_files:,} of {len(sample):,} checked files are there with the same size and modification time"
        raise to_refusal(f"{problem}; use --force to move it anyway")
    with database.transaction() as transaction:
        store.directories.move(transaction, row.id, new_path, to_printable_path(new_path), new_identity)
    return MoveResult(row.file_count, len(sample), present_files)


def require_unmoved(database: Database, paths: Sequence[bytes]) -> None:
    """Raise DirectoryMovedError if an unknown directory is a renamed crawl directory: all of its files would be recorded twice."""
    ids_by_path = store.directories.active_ids(database)
    missing_directories = {
        path: directory_id for path, directory_id in ids_by_path.items() if path not in paths and read_identity(path) is None
    }
    for new_path in paths if missing_directories else ():
        new_identity = None if new_path in ids_by_path else read_identity(new_path)
        for old_path, directory_id in missing_directories.items():
            if (
                new_identity is not None
                and store.directories.identity(database, directory_id) == new_identity
                and count_present_files(new_path, store.directories.sample_files(database, directory_id, 10))
            ):
                raise DirectoryMovedError(old=to_printable_path(old_path), new=to_printable_path(new_path))


def count_present_files(path: bytes, sample: Sequence[tuple[bytes, bytes, FileStamp]]) -> int:
    """Return how many of these files (folder, name, recorded stamp) lie below a path with their size and modification time."""
    count = 0
    with NoFollowTree() as tree:
        for folder, name, stamp in sample:
            try:
                stat_result = tree.stat_path(path, folder, name)
            except OSError:
                continue
            if stat_result is not None:
                current_stamp = to_file_stamp(stat_result)
                count += (current_stamp.size, current_stamp.mtime_ns) == (stamp.size, stamp.mtime_ns)
    return count


def retire_directory(database: WritableDatabase, path: bytes, configured_paths: Sequence[bytes]) -> int:
    """Retire a crawl directory: mark its files as gone and keep their history. Returns the number of files marked.

    Raises UnknownDirectoryError, DirectoryConfiguredError.
    """
    row = find_directory(database, path)
    if os.path.realpath(row.path) in {os.path.realpath(p) for p in configured_paths}:
        raise DirectoryConfiguredError(path=to_printable_path(row.path))
    with database.transaction() as transaction:
        return store.directories.retire(transaction, row.id, times.now())
