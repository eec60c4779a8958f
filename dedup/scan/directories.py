"""What can be done with a crawl directory that the database knows: it is moved, or retired. Nothing is read again for either."""

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
from dedup.scan.extract import to_file_stamp
from dedup.scan.roots import locate_directories, read_identity
from dedup.store import Database, WritableDatabase
from dedup.store.rows import DirectoryRow, FileStamp
from dedup.text import times
from dedup.text.sanitise import to_printable_path

SAMPLE_FILES = 200
"""Files that are looked at before a crawl directory is moved."""
MIN_SAMPLE_SHARE = 0.9
"""Share of those that must be at the new place as they are recorded: a crawler may have been at work meanwhile."""


@dataclass(frozen=True, slots=True)
class MoveResult:
    """A crawl directory that was moved: its `files` that are there, and how many of the `sample_files` of them were found at the new
    place."""

    files: int
    sample_files: int
    present_files: int


def find_directory(database: Database, path: bytes) -> DirectoryRow:
    """The crawl directory at a path, which is absolute. Raises UnknownDirectoryError."""
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
    """A crawl directory lies at another path now (both absolute): its files follow, and nothing is read again. `force`: it need not be
    there, nor hold the files. Raises UnknownDirectoryError, DirectoryMoveRefusedError."""

    def to_refusal(problem: str) -> DirectoryMoveRefusedError:
        return DirectoryMoveRefusedError(old=to_printable_path(old_path), new=to_printable_path(new_path), problem=problem)

    row = find_directory(database, old_path)
    other_rows = [r for r in store.directories.list_all(database) if r.id != row.id]
    if any(r.path == new_path for r in other_rows):
        raise to_refusal(f"the database knows that directory already; run 'dedup roots forget {to_printable_path(old_path)}' instead")
    paths_in_use = [r.path for r in other_rows if r.retired_at is None] + [p for p in configured_paths if p not in (old_path, new_path)]
    try:
        locations = locate_directories([new_path], paths_in_use, allow_subfolders=False)
    except (DirectoriesOverlapError, DirectoryContainsError, DirectoryInsideError) as error:
        raise to_refusal(f"it would overlap with another crawl directory: {error}") from error
    if locations[0][0] != new_path:
        raise to_refusal(f"that is another path to the crawl directory {to_printable_path(locations[0][0])}")
    new_identity = read_identity(new_path)
    if new_identity is None and not force:
        raise to_refusal("there is no directory at the new path that can be listed; mount it, or move it all the same with --force")
    sample = store.directories.sample_files(database, row.id, SAMPLE_FILES)
    present_files = count_present_files(new_path, sample)
    if present_files < MIN_SAMPLE_SHARE * len(sample) and not force:
        problem = f"only {present_files:,} of {len(sample):,} files that were looked at are there with their size and modification time"
        raise to_refusal(f"{problem}; move it all the same with --force")
    with database.transaction() as transaction:
        store.directories.move(transaction, row.id, new_path, to_printable_path(new_path), new_identity)
    return MoveResult(row.file_count, len(sample), present_files)


def require_unmoved(database: Database, paths: Sequence[bytes]) -> None:
    """Raise DirectoryMovedError where a directory that is not known is one that the database knows at another path: it was renamed, and all
    of its files would be recorded once more."""
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
    """How many of these files (folder, name, recorded state) lie below a path with their size and modification time."""
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
    """Retire a crawl directory: its files are marked as gone, and their history stays. Returns how many files went. Raises
    UnknownDirectoryError, DirectoryConfiguredError."""
    row = find_directory(database, path)
    if os.path.realpath(row.path) in {os.path.realpath(p) for p in configured_paths}:
        raise DirectoryConfiguredError(path=to_printable_path(row.path))
    with database.transaction() as transaction:
        return store.directories.retire(transaction, row.id, times.now())
