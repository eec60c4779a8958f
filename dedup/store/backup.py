"""Backup and restore: copy the whole database as of one moment into a single file, while a writer works, and put a copy in its place.

SQLite's online backup restarts whenever another connection commits between two of its steps. With a writer that commits all the time it
never ends. All steps therefore run within one read transaction. In WAL mode that transaction sees the state of its first moment and blocks
no other connection. The copy ends after a known number of steps, reports its progress and can be interrupted. A single step or VACUUM INTO
would end too, but report nothing until then, and VACUUM INTO rewrites every table. The price of each is that the write-ahead log cannot be
reset: it grows by everything that is written during the copy.

A copy is written to a temporary file in the target folder, checked there, made durable, and only then renamed: at every moment there is a
complete file. It is not a WAL database, so it needs no side files. Its header carries a mark (`wal.BACKUP_COUNT`), from which opening
recognises that a log next to it belongs to another database.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import sqlite_utils

from dedup.errors import (
    BackupCheckFailedError,
    BackupFailedError,
    BackupRefusedError,
    DatabaseMissingError,
    DatabaseOpenError,
    DatabaseUnreadableError,
    DedupError,
    RestoreFailedError,
)
from dedup.files.atomic import PART_PREFIX, SQLITE_SUFFIXES, PartFile, copy_ownership, create_part, sync_folder
from dedup.files.protected import ProtectedFiles
from dedup.store import schema, statistics, wal
from dedup.store.connection import connect, connect_readonly, refuse_unknown_version
from dedup.store.database import Database
from dedup.store.lock import Lock, current_holder
from dedup.store.ownership import require_dedup_database
from dedup.text import times
from dedup.text.format import format_megabytes
from dedup.text.sanitise import to_printable_path

PAGES_PER_STEP = 2048
"""Database pages copied per step: 8 MB."""
CHECK_INSTRUCTIONS = 1_000_000
"""SQLite instructions after which the check reports progress and can be interrupted."""
_SQLITE_LOCK_RANGE = 0x40000002, 510
"""The byte range that SQLite locks in a database file that it has open: (first byte, length)."""

ProgressCallback = Callable[[str, int, int], None]
"""Called with ("copy", bytes copied, bytes in total), then repeatedly with ("check", 0, 0)."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A copy that passed its check: its path, its size in bytes, and its pages, files and counted revisions."""

    path: str
    size_bytes: int
    page_count: int
    file_count: int
    revision_count: int


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """The restored backup, and the paths under which the previous database and its log are kept."""

    backup: BackupResult
    previous_files: tuple[str, ...]


def _ignore_progress(_: str, __: int, ___: int) -> None:
    pass


class _Source(NamedTuple):
    """A database that is open in a read transaction, and its uuid."""

    connection: sqlite3.Connection
    uuid: str


def write(
    database: str,
    target: str,
    *,
    protected: ProtectedFiles | None = None,
    force: bool = False,
    progress: ProgressCallback = _ignore_progress,
) -> BackupResult:
    """Copy the database to `target`, readable for its owner alone. If `target` is a link, its destination is written.

    An earlier backup of the same database is replaced, with `force` also one of another database. Nothing is written where `protected`
    forbids it, nor in a crawl directory that the database knows.

    Raises DatabaseMissingError and DatabaseUnreadableError if `database` is not a dedup database, BackupRefusedError if `target` must not
    be written, BackupCheckFailedError if the copy does not pass its check, and BackupFailedError for an error of the system or of SQLite.
    After any exception (KeyboardInterrupt too) the previous file at `target` is unchanged.
    """
    target_path = os.path.realpath(target)

    def unsound_error(problem: object) -> BackupCheckFailedError:
        return BackupCheckFailedError(path=database, file=_printable(target_path), problem=problem)

    with _open_source(database) as source:
        protection = _with_known_directories(source, database, protected)
        _require_replaceable(protection, target_path, source.uuid, force=force)
        try:
            with create_part(os.path.dirname(target_path)) as partial:
                row_counts = _copy_database(source, partial.path, partial.fd, progress)
                source.connection.execute("ROLLBACK")
                _sync_to_disk(partial.fd)
                result = replace(_check_copy(partial.path, source.uuid, row_counts, progress, unsound_error), path=target_path)
                _require_replaceable(protection, target_path, source.uuid, force=force)
                partial.move_to(target_path)
        except (sqlite3.Error, OSError) as error:
            raise BackupFailedError(path=database, file=_printable(target_path), problem=_describe_error(error)) from error
    return result


def restore(database: str, backup: str, *, progress: ProgressCallback = _ignore_progress) -> RestoreResult:
    """Replace the database by a copy of a backup. The previous database and its log are kept as `<database>.damaged-<time>`. The backup may
    be any complete dedup database.

    Raises DatabaseBusyError and DatabaseOpenError if another process has the database open, and RestoreFailedError for a backup that is
    damaged or unreadable and for an error of the system. After any exception the database is unchanged.
    """
    database_path = os.path.realpath(database)

    def restore_error(problem: object) -> RestoreFailedError:
        return RestoreFailedError(path=database, file=_printable(backup), problem=problem)

    try:
        require_dedup_database(database, allow_damaged=True)
    except DatabaseUnreadableError as error:
        raise restore_error(f"{database} is not replaced: {error.facts['problem']}") from error
    if not os.path.isfile(backup):
        raise restore_error("there is no such file")
    if _is_same_file(backup, database_path):
        raise restore_error("it is the database itself")
    with ExitStack() as stack:
        stack.callback(Lock(database_path, "restore").release)
        try:
            source = stack.enter_context(_open_source(backup))
            partial = stack.enter_context(create_part(os.path.dirname(database_path)))
            row_counts = _copy_database(source, partial.path, partial.fd, progress)
            copy_ownership(partial.fd, database_path)  # so that the daemon may still write to it
            _sync_to_disk(partial.fd)
            result = replace(_check_copy(partial.path, source.uuid, row_counts, progress, restore_error), path=database_path)
            with _exclusive_access(database_path):
                previous_files = _swap_into_place(partial, database_path)
        except DatabaseUnreadableError as error:
            raise restore_error(error.facts["problem"]) from error
        except (sqlite3.Error, OSError) as error:
            raise restore_error(_describe_error(error)) from error
    return RestoreResult(result, previous_files)


# Copy


@contextmanager
def _open_source(path: str) -> Iterator[_Source]:
    """Open a dedup database of any version that this program knows in a read transaction."""
    schema.require_sqlite()
    require_dedup_database(path)
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    connection = connect_readonly(path)
    try:
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            uuid = _read_uuid(connection)
            refuse_unknown_version(sqlite_utils.Database(connection), path)
        except sqlite3.Error as error:
            raise DatabaseUnreadableError(path=path, problem=error) from error
        if uuid is None:
            raise DatabaseUnreadableError(path=path, problem="it is not a dedup database")
        yield _Source(connection, uuid)
    finally:
        connection.close()


def _read_uuid(connection: sqlite3.Connection) -> str | None:
    """Return the uuid of the database, None if it is not a dedup database."""
    sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('settings', '_sqlite_migrations', 'revisions')"
    if connection.execute(sql).fetchone() != (3,):
        return None
    row = connection.execute("SELECT value FROM settings WHERE key = 'uuid'").fetchone()
    return None if row is None else str(row[0])


def _count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return table → rows."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'").fetchall()
    quoted = ((name, name.replace('"', '""')) for (name,) in names)
    return {name: connection.execute(f'SELECT count(*) FROM "{inner}"').fetchone()[0] for name, inner in quoted}


def _copy_database(source: _Source, part_path: str, fd: int, progress: ProgressCallback) -> dict[str, int]:
    """Copy the state that `source` sees in its transaction into the empty file `part_path`, which is open as `fd`. Returns table → rows."""
    (page_bytes,) = source.connection.execute("PRAGMA page_size").fetchone()
    (page_count,) = source.connection.execute("PRAGMA page_count").fetchone()
    _require_free_space(part_path, page_bytes * page_count)
    row_counts = _count_rows(source.connection)
    target = sqlite3.connect(part_path, isolation_level=None)
    try:
        target.execute("PRAGMA journal_mode=OFF")  # a copy that fails is deleted
        target.execute("PRAGMA synchronous=OFF")  # a complete copy is made durable at the end
        source.connection.backup(
            target,
            pages=PAGES_PER_STEP,
            progress=lambda _, remaining, total: progress("copy", (total - remaining) * page_bytes, total * page_bytes),
        )
    finally:
        target.close()
    # Written into the header: a PRAGMA would make it a WAL database on the way, and there may be no room for that.
    os.pwrite(fd, b"\1\1", 18)
    os.pwrite(fd, wal.BACKUP_COUNT.to_bytes(4, "big"), wal.COUNT_OFFSET)
    return row_counts


def _require_free_space(part_path: str, needed_bytes: int) -> None:
    """Raise OSError before the disk fills up: the database may be on the same one."""
    folder, filesystem = os.path.dirname(part_path), os.statvfs(part_path)
    free_bytes = filesystem.f_bavail * filesystem.f_frsize
    if free_bytes < needed_bytes:
        raise OSError(errno.ENOSPC, f"it needs {format_megabytes(needed_bytes)}, and {format_megabytes(free_bytes)} are free in {folder}")


def _check_copy(
    part_path: str, uuid: str, row_counts: dict[str, int], progress: ProgressCallback, make_error: Callable[[object], DedupError]
) -> BackupResult:
    """Check the copy and count its content. Raises what `make_error` makes of a problem, and KeyboardInterrupt."""
    connection = connect(part_path)
    connection.set_progress_handler(lambda: progress("check", 0, 0), CHECK_INSTRUCTIONS)
    try:
        connection.execute("PRAGMA cache_size=-65536")
        problems = [str(line) for (line,) in connection.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise make_error("; ".join(" ".join(line.split()) for line in problems))
        broken_references = connection.execute("PRAGMA foreign_key_check").fetchmany(3)
        if broken_references:
            raise make_error(
                "; ".join(f"row {row} of {table} refers to a missing row of {parent}" for table, row, parent, _ in broken_references)
            )
        if _read_uuid(connection) != uuid or _count_rows(connection) != row_counts:
            raise make_error("the copy differs from the database that was copied")
        database = Database(sqlite_utils.Database(connection), part_path)
        return BackupResult(
            part_path,
            os.path.getsize(part_path),
            statistics.count(database, "pages"),
            statistics.count(database, "files"),
            statistics.count_counted_revisions(database),
        )
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:  # a signal arrived during the progress callback
            raise KeyboardInterrupt from None
        raise make_error(error) from error
    finally:
        connection.close()


# Target of a backup


def _with_known_directories(source: _Source, database: str, base: ProtectedFiles | None) -> ProtectedFiles:
    """Return `base` with the crawl directories that the database knows added to it."""
    combined = base or ProtectedFiles(database)
    known_directories = (os.fsdecode(path) for (path,) in source.connection.execute("SELECT path FROM crawl_directories ORDER BY path"))
    return replace(combined, crawl_directories=tuple(dict.fromkeys((*combined.crawl_directories, *known_directories))))


def _require_replaceable(protected: ProtectedFiles, target: str, uuid: str, *, force: bool) -> None:
    """Raise BackupRefusedError if something at `target` must not be replaced."""

    def refused_error(problem: str) -> BackupRefusedError:
        return BackupRefusedError(path=protected.database_path, file=_printable(target), problem=problem)

    if problem := protected.find_problem(target, database_allowed=True):
        raise refused_error(problem)
    for suffix in ("-wal", "-journal"):
        if os.path.exists(target + suffix) and os.path.getsize(target + suffix):
            raise refused_error(f"{target + suffix} exists, and SQLite would take it for a part of the backup; move it away")
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused_error(_describe_error(error)) from error
    if not stat.S_ISREG(mode):
        raise refused_error("it is a folder" if stat.S_ISDIR(mode) else "it is not a regular file")
    try:
        with _open_source(target) as existing:
            existing_uuid = existing.uuid
    except DatabaseUnreadableError as error:
        message = f"the existing file is not a backup ({error.facts['problem']}); move it away or choose another name"
        raise refused_error(message) from error
    writer = current_holder(target)
    if writer:
        raise refused_error(f"it is in use by {writer.description}")
    if existing_uuid != uuid and not force:
        raise refused_error("the existing file is a backup of another database; choose another name, or replace it with --force")


def _is_same_file(one: str, other: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _sync_to_disk(fd: int) -> None:
    """Write a file to the disk and drop it from the page cache: it is read from the disk from now on."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


# Restore


@contextmanager
def _exclusive_access(path: str) -> Iterator[None]:
    """Lock the database file against every other process that opens it with SQLite.

    A process that has it open would remove the log by its name on closing, and by then that would be another database's log. Raises
    DatabaseOpenError if a process has it open.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        start, length = _SQLITE_LOCK_RANGE
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except OSError:
            raise DatabaseOpenError(path=path) from None
        yield
    finally:
        os.close(fd)


def _swap_into_place(part: PartFile, database_path: str) -> tuple[str, ...]:
    """Rename a file over the database. The previous database and its log are kept under other names, which are returned. The new database
    has no log. If this fails, everything is as before."""
    kept_path = _unused_damaged_path(database_path)
    try:
        if os.path.lexists(database_path):
            try:
                os.link(database_path, kept_path)
            except OSError:  # a file system without links: for a moment there is no database
                os.rename(database_path, kept_path)
        for suffix in SQLITE_SUFFIXES:  # before the database, which must never have another database's log
            with suppress(FileNotFoundError):
                os.rename(database_path + suffix, kept_path + suffix)
        sync_folder(database_path)
        part.move_to(database_path)
    except BaseException:
        if os.path.lexists(part.path):  # otherwise it is in place, and the interrupt came later
            _undo_renames(kept_path, database_path)
        raise
    return tuple(path for path in (kept_path, *(kept_path + suffix for suffix in SQLITE_SUFFIXES)) if os.path.lexists(path))


def _unused_damaged_path(database_path: str) -> str:
    """Return `<database>.damaged-<time>`, with a number at its end if a file of that name, or of its side files, exists."""
    base = path = f"{database_path}.damaged-{times.now()[:19].replace('-', '').replace(':', '')}Z"
    numbers = itertools.count(2)
    while any(os.path.lexists(path + suffix) for suffix in ("", *SQLITE_SUFFIXES)):
        path = f"{base}-{next(numbers)}"
    return path


def _undo_renames(kept_path: str, database_path: str) -> None:
    for suffix in SQLITE_SUFFIXES:
        with suppress(OSError):  # it was not renamed yet
            os.rename(kept_path + suffix, database_path + suffix)
    with suppress(FileNotFoundError):
        if os.path.lexists(database_path):
            os.unlink(kept_path)
        else:
            os.rename(kept_path, database_path)


def _printable(path: str) -> str:
    return to_printable_path(os.fsencode(path))


def _describe_error(error: Exception) -> str:
    """Return what went wrong, with the path unless it is that of the temporary file."""
    if not isinstance(error, OSError):
        return str(error)
    filename = error.filename if isinstance(error.filename, str) and PART_PREFIX not in error.filename else ""
    return (error.strerror or str(error)) + (f": {filename}" if filename else "")
