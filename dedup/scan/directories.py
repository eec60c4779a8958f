"""What can be done with a crawl directory that the database knows: it is moved, or retired. Nothing is read again for either."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from dedup import store
from dedup.errors import (
    OverlapError,
    RootConfiguredError,
    RootContainsError,
    RootInsideError,
    RootMovedError,
    RootMoveRefusedError,
    UnknownRootError,
)
from dedup.files.nofollow import Beneath
from dedup.scan.extract import signature
from dedup.scan.roots import identity, placed
from dedup.store import Database, WritableDatabase
from dedup.store.rows import DirectoryRow, Stat
from dedup.text import times
from dedup.text.normalise import printable_path

SAMPLE = 200
"""Files that are looked at before a crawl directory is moved."""
ENOUGH = 0.9
"""Share of those that must be at the new place as they are recorded: a crawler may have been at work meanwhile."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A crawl directory that was moved: its `files` that are there, and how many of the `sample` of them were found at the new place."""

    files: int
    sample: int
    found: int


def known(database: Database, path: bytes) -> DirectoryRow:
    """The crawl directory at a path, which is absolute. Raises UnknownRootError."""
    rows = store.directories.list_all(database)
    row = next((r for r in rows if r.path == path), None) or next(
        (r for r in rows if os.path.realpath(r.path) == os.path.realpath(path)), None
    )
    if row is None:
        names = ", ".join(printable_path(r.path) for r in rows) or "none"
        raise UnknownRootError(wanted=printable_path(path), known=names)
    return row


def move(database: WritableDatabase, old: bytes, new: bytes, configured: Sequence[bytes], *, force: bool) -> Moved:
    """A crawl directory lies at another path now (both absolute): its files follow, and nothing is read again. `force`: it need not be
    there, nor hold the files. Raises UnknownRootError, RootMoveRefusedError."""

    def refused(problem: str) -> RootMoveRefusedError:
        return RootMoveRefusedError(old=printable_path(old), new=printable_path(new), problem=problem)

    row = known(database, old)
    others = [r for r in store.directories.list_all(database) if r.id != row.id]
    if any(r.path == new for r in others):
        raise refused(f"the database knows that directory already; run 'dedup roots forget {printable_path(old)}' instead")
    in_use = [r.path for r in others if r.forgotten_at is None] + [p for p in configured if p not in (old, new)]
    try:
        place = placed([new], in_use, parts=False)
    except (OverlapError, RootContainsError, RootInsideError) as error:
        raise refused(f"it would overlap with another crawl directory: {error}") from error
    if place[0][0] != new:
        raise refused(f"that is another path to the crawl directory {printable_path(place[0][0])}")
    there = identity(new)
    if there is None and not force:
        raise refused("there is no directory at the new path that can be listed; mount it, or move it all the same with --force")
    sample = store.directories.sample_files(database, row.id, SAMPLE)
    found = held(new, sample)
    if found < ENOUGH * len(sample) and not force:
        problem = f"only {found:,} of {len(sample):,} files that were looked at are there with their size and modification time"
        raise refused(f"{problem}; move it all the same with --force")
    with database.transaction() as transaction:
        store.directories.move(transaction, row.id, new, printable_path(new), there)
    return Moved(row.files, len(sample), found)


def refuse_moved(database: Database, wanted: Sequence[bytes]) -> None:
    """Raise RootMovedError where a directory that is not known is one that the database knows at another path: it was renamed, and all of
    its files would be recorded once more."""
    in_use = store.directories.in_use(database)
    away = {path: number for path, number in in_use.items() if path not in wanted and identity(path) is None}
    for new in wanted if away else ():
        here = None if new in in_use else identity(new)
        for old, number in away.items():
            if (
                here is not None
                and store.directories.identity(database, number) == here
                and held(new, store.directories.sample_files(database, number, 10))
            ):
                raise RootMovedError(old=printable_path(old), new=printable_path(new))


def held(path: bytes, sample: Sequence[tuple[bytes, bytes, Stat]]) -> int:
    """How many of these files (folder, name, recorded state) lie below a path with their size and modification time."""
    found = 0
    with Beneath() as beneath:
        for folder, name, stat in sample:
            try:
                now = beneath.stat(path, folder, name)
            except OSError:
                continue
            if now is not None:
                state = signature(now)
                found += (state.size, state.mtime_ns) == (stat.size, stat.mtime_ns)
    return found


def forget(database: WritableDatabase, path: bytes, configured: Sequence[bytes]) -> int:
    """Retire a crawl directory: its files are marked as gone, and their history stays. Returns how many files went. Raises
    UnknownRootError, RootConfiguredError."""
    row = known(database, path)
    if os.path.realpath(row.path) in {os.path.realpath(p) for p in configured}:
        raise RootConfiguredError(path=printable_path(row.path))
    with database.transaction() as transaction:
        return store.directories.retire(transaction, row.id, times.now())
