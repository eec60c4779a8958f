"""Backups: the database as of one moment, whole and in one file, made while others write; and putting one in its place.

SQLite's online backup begins anew whenever another connection has committed between two of its steps: beside a writer that
commits all the time it never ends. So all steps are taken within one read transaction. In WAL mode that keeps to the state of
its first moment and hinders nobody, and the copy ends after as many steps as the database has pages, tells how far it is and can
be interrupted. A single step or VACUUM INTO would end too, but is silent until then, and the latter writes every table anew. The
price of either is that the write-ahead log is not used again meanwhile: it grows by what is written during the copy.

A copy is made under a name of its own beside its place, checked there, made durable, and only then renamed: there is no moment
without a whole file. It is no WAL database, so that it has no files beside it, and it bears a mark (`wal.BACKUP_COUNT`), by which
opening recognises a log of another database beside it.
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
"""Pages of the database that are copied at a time: 8 MB."""
CHECK_INSTRUCTIONS = 1_000_000
"""Instructions of SQLite's after which the check is heard of again, and can be interrupted."""
_SQLITE_LOCK_RANGE = 0x40000002, 510
"""Where in a database file SQLite locks what it has open: (first byte, bytes)."""

ProgressCallback = Callable[[str, int, int], None]
"""Hears ("copy", bytes copied, bytes in all), then ("check", 0, 0) again and again."""


@dataclass(frozen=True, slots=True)
class BackupResult:
    """A copy that passed its check: its path, its size in bytes, and how much it holds, as `status` counts."""

    path: str
    size_bytes: int
    page_count: int
    file_count: int
    revision_count: int


@dataclass(frozen=True, slots=True)
class RestoreResult:
    """A backup that stands in the database's place, and where what stood there before is now."""

    backup: BackupResult
    previous_files: tuple[str, ...]


def _ignore_progress(_: str, __: int, ___: int) -> None:
    pass


def write(
    database: str,
    target: str,
    *,
    protected: ProtectedFiles | None = None,
    force: bool = False,
    progress: ProgressCallback = _ignore_progress,
) -> BackupResult:
    """Copy the database to `target` (where that is a link, to what it stands for), for its owner alone to read; an earlier backup
    of the same database there is replaced, with `force` one of another database too. Nothing is written where `protected` says that
    nothing may be, nor in a crawl directory that the database knows.

    Raises DatabaseMissingError and DatabaseUnreadableError for what is no database of dedup, BackupRefusedError for a place that
    is not to be written to, BackupCheckFailedError for a copy that did not pass its check, and BackupFailedError for what the system
    or SQLite would not do. Whatever it raises (KeyboardInterrupt too), what stood at `target` stands there still.
    """
    target_path = os.path.realpath(target)

    def unsound_error(problem: object) -> BackupCheckFailedError:
        return BackupCheckFailedError(path=database, file=_printable(target_path), problem=problem)

    with _open_source(database) as (source, uuid):
        protection = _with_known_directories(source, database, protected)
        _require_replaceable(protection, target_path, uuid, force=force)
        try:
            with create_part(os.path.dirname(target_path)) as partial:
                row_counts = _copy_database(source, partial.path, partial.fd, progress)
                source.execute("ROLLBACK")
                _sync_to_disk(partial.fd)
                result = replace(_check_copy(partial.path, uuid, row_counts, progress, unsound_error), path=target_path)
                _require_replaceable(protection, target_path, uuid, force=force)
                partial.move_to(target_path)
        except (sqlite3.Error, OSError) as error:
            raise BackupFailedError(path=database, file=_printable(target_path), problem=_describe_error(error)) from error
    return result


def restore(database: str, backup: str, *, progress: ProgressCallback = _ignore_progress) -> RestoreResult:
    """Put a copy of a backup into the database's place. What stood there, and its log, is kept beside it as
    `<database>.damaged-<time>`. The backup may be any whole database of dedup.

    Raises DatabaseBusyError and DatabaseOpenError where somebody has the database open, and RestoreFailedError for a backup that
    is damaged or not to be read and for what the system would not do. Whatever it raises, the database is as it was.
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
            source, uuid = stack.enter_context(_open_source(backup))
            partial = stack.enter_context(create_part(os.path.dirname(database_path)))
            row_counts = _copy_database(source, partial.path, partial.fd, progress)
            copy_ownership(partial.fd, database_path)  # so that the daemon may still write to it
            _sync_to_disk(partial.fd)
            result = replace(_check_copy(partial.path, uuid, row_counts, progress, restore_error), path=database_path)
            with _exclusive_access(database_path):
                previous_files = _swap_into_place(partial, database_path)
        except DatabaseUnreadableError as error:
            raise restore_error(error.facts["problem"]) from error
        except (sqlite3.Error, OSError) as error:
            raise restore_error(_describe_error(error)) from error
    return RestoreResult(result, previous_files)


# What is copied


@contextmanager
def _open_source(path: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    """A database of dedup, of whatever version that this program knows, within a read transaction; and its uuid."""
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
            raise DatabaseUnreadableError(path=path, problem="it is no database of dedup")
        yield connection, uuid
    finally:
        connection.close()


def _read_uuid(connection: sqlite3.Connection) -> str | None:
    """What tells the database from every other; None for one that is not dedup's."""
    sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('settings', '_sqlite_migrations', 'revisions')"
    if connection.execute(sql).fetchone() != (3,):
        return None
    row = connection.execute("SELECT value FROM settings WHERE key = 'uuid'").fetchone()
    return None if row is None else str(row[0])


def _count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Table → rows."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'").fetchall()
    quoted = ((name, name.replace('"', '""')) for (name,) in names)
    return {name: connection.execute(f'SELECT count(*) FROM "{inner}"').fetchone()[0] for name, inner in quoted}


def _copy_database(source: sqlite3.Connection, part_path: str, fd: int, progress: ProgressCallback) -> dict[str, int]:
    """Copy what `source` sees within its transaction into the empty file `part_path`, of which `fd` is a descriptor. Gives the rows that
    there are."""
    (page_bytes,), (page_count,) = source.execute("PRAGMA page_size").fetchone(), source.execute("PRAGMA page_count").fetchone()
    filesystem = os.statvfs(part_path)
    free_bytes = filesystem.f_bavail * filesystem.f_frsize
    if free_bytes < page_bytes * page_count:  # told before the disk is full, which may be the database's own
        raise OSError(
            errno.ENOSPC,
            f"it takes {format_megabytes(page_bytes * page_count)},"
            f" and {format_megabytes(free_bytes)} are free in {os.path.dirname(part_path)}",
        )
    row_counts = _count_rows(source)
    target = sqlite3.connect(part_path, isolation_level=None)
    try:
        target.execute("PRAGMA journal_mode=OFF")  # a copy that fails is thrown away
        target.execute("PRAGMA synchronous=OFF")  # and one that is whole is made durable at the end
        source.backup(
            target, pages=PAGES_PER_STEP, progress=lambda _, left, all_: progress("copy", (all_ - left) * page_bytes, all_ * page_bytes)
        )
    finally:
        target.close()
    # In the header: by PRAGMA it would become a WAL database on the way, for which there may be no room.
    os.pwrite(fd, b"\1\1", 18)
    os.pwrite(fd, wal.BACKUP_COUNT.to_bytes(4, "big"), wal.COUNT_OFFSET)
    return row_counts


def _check_copy(
    part_path: str, uuid: str, row_counts: dict[str, int], progress: ProgressCallback, make_error: Callable[[object], DedupError]
) -> BackupResult:
    """What the copy holds. Raises what `make_error` makes of a problem, if it has any, and KeyboardInterrupt where that arrives."""
    connection = connect(part_path)
    connection.set_progress_handler(lambda: progress("check", 0, 0), CHECK_INSTRUCTIONS)
    try:
        connection.execute("PRAGMA cache_size=-65536")
        problems = [str(told) for (told,) in connection.execute("PRAGMA integrity_check(3)")]
        if problems != ["ok"]:
            raise make_error("; ".join(" ".join(told.split()) for told in problems))
        broken_references = connection.execute("PRAGMA foreign_key_check").fetchmany(3)
        if broken_references:
            raise make_error(
                "; ".join(f"row {row} of {table} refers to what is not there in {parent}" for table, row, parent, _ in broken_references)
            )
        if _read_uuid(connection) != uuid or _count_rows(connection) != row_counts:
            raise make_error("it does not hold what was copied")
        database = Database(sqlite_utils.Database(connection), part_path)
        return BackupResult(
            part_path,
            os.path.getsize(part_path),
            statistics.count(database, "pages"),
            statistics.count(database, "files"),
            statistics.count_counted_revisions(database),
        )
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:  # what a signal raises within a callback comes out as this
            raise KeyboardInterrupt from None
        raise make_error(error) from error
    finally:
        connection.close()


# Where to


def _with_known_directories(source: sqlite3.Connection, database: str, base: ProtectedFiles | None) -> ProtectedFiles:
    """What no backup may be written to, with the crawl directories that the database knows."""
    combined = base or ProtectedFiles(database)
    known_directories = (os.fsdecode(path) for (path,) in source.execute("SELECT path FROM crawl_directories ORDER BY path"))
    return replace(combined, crawl_directories=tuple(dict.fromkeys((*combined.crawl_directories, *known_directories))))


def _require_replaceable(protected: ProtectedFiles, target: str, uuid: str, *, force: bool) -> None:
    """Raise BackupRefusedError for a place where something is that must not be replaced."""

    def refused_error(problem: str) -> BackupRefusedError:
        return BackupRefusedError(path=protected.database_path, file=_printable(target), problem=problem)

    if problem := protected.find_problem(target, database_allowed=True):
        raise refused_error(problem)
    for end in ("-wal", "-journal"):
        if os.path.exists(target + end) and os.path.getsize(target + end):
            raise refused_error(f"{target + end} lies beside it, which SQLite would take for a part of the backup; move it away")
    try:
        mode = os.lstat(target).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused_error(_describe_error(error)) from error
    if not stat.S_ISREG(mode):
        raise refused_error("it is a folder" if stat.S_ISDIR(mode) else "it is no regular file")
    try:
        with _open_source(target) as (_, other_uuid):
            pass
    except DatabaseUnreadableError as error:
        message = f"what stands there is no backup ({error.facts['problem']}); move it away or choose another name"
        raise refused_error(message) from error
    writer = current_holder(target)
    if writer:
        raise refused_error(f"it is in use, by {writer.description}")
    if other_uuid != uuid and not force:
        raise refused_error("a backup of another database stands there; choose another name, or replace it with --force")


def _is_same_file(one: str, other: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _sync_to_disk(fd: int) -> None:
    """Have a file on the disk, and read from there from now on."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


# In the database's place


@contextmanager
def _exclusive_access(path: str) -> Iterator[None]:
    """Nobody has the database open, nor opens it within the block. Whoever had it open would remove its log by name when leaving,
    and that would be another database's by then. Raises DatabaseOpenError."""
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
    """Rename a file over the database, which is kept under another name, and its log under that name alone, so that the file has
    none beside it. All is as it was where that fails. Gives the new names."""
    base = name = f"{database_path}.damaged-{times.now()[:19].replace('-', '').replace(':', '')}Z"
    numbers = itertools.count(2)
    while any(os.path.lexists(name + end) for end in ("", *SQLITE_SUFFIXES)):
        name = f"{base}-{next(numbers)}"
    try:
        if os.path.lexists(database_path):
            try:
                os.link(database_path, name)
            except OSError:  # a file system without links: for a moment there is no database
                os.rename(database_path, name)
        for end in SQLITE_SUFFIXES:  # before the database, which must never stand beside another one's log
            with suppress(FileNotFoundError):
                os.rename(database_path + end, name + end)
        sync_folder(database_path)
        part.move_to(database_path)
    except BaseException:
        if os.path.lexists(part.path):  # else it has taken the place, and somebody interrupted after that
            for end in SQLITE_SUFFIXES:
                with suppress(OSError):  # that was not renamed yet
                    os.rename(name + end, database_path + end)
            with suppress(FileNotFoundError):
                if os.path.lexists(database_path):
                    os.unlink(name)
                else:
                    os.rename(name, database_path)
        raise
    return tuple(path for path in (name, *(name + end for end in SQLITE_SUFFIXES)) if os.path.lexists(path))


def _printable(path: str) -> str:
    return to_printable_path(os.fsencode(path))


def _describe_error(error: Exception) -> str:
    """What went wrong, and where."""
    if not isinstance(error, OSError):
        return str(error)
    filename = error.filename if isinstance(error.filename, str) and PART_PREFIX not in error.filename else ""
    return (error.strerror or str(error)) + (f": {filename}" if filename else "")
