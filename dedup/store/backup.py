"""Backups: the database as of one moment, whole and in one file, made while others write; and putting one in its place.

SQLite's online backup begins anew whenever another connection has committed between two of its steps: beside a writer that
commits all the time it never ends. So all steps are taken within one read transaction. In WAL mode that keeps to the state of
its first moment and hinders nobody, and the copy ends after as many steps as the database has pages, tells how far it is and can
be interrupted. A single step or VACUUM INTO would end too, but is silent until then, and the latter writes every table anew. The
price of either is that the write-ahead log is not used again meanwhile: it grows by what is written during the copy.

A copy is made under a name of its own beside its place, checked there, made durable, and only then renamed: there is no moment
without a whole file. It is no WAL database, so that it has no files beside it, and it bears a mark (`wal.BACKUP`), by which
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
    BackupFailedError,
    BackupRefusedError,
    BackupUnsoundError,
    DatabaseMissingError,
    DatabaseOpenError,
    DatabaseUnreadableError,
    DedupError,
    RestoreFailedError,
)
from dedup.files.atomic import BESIDE, PART, part, sync_folder
from dedup.files.protected import Protected
from dedup.store import schema, statistics, wal
from dedup.store.connection import connect, connect_reading, refuse_newer
from dedup.store.database import Database
from dedup.store.lock import Lock, held
from dedup.store.ownership import require_own
from dedup.text import times
from dedup.text.normalise import printable_path

STEP = 2048
"""Pages of the database that are copied at a time: 8 MB."""
WORK = 1_000_000
"""Instructions of SQLite's after which the check is heard of again, and can be interrupted."""
_SHARED_BYTES = 0x40000002, 510
"""Where in a database file SQLite locks what it has open: (first byte, bytes)."""

Heard = Callable[[str, int, int], None]
"""Hears ("copy", bytes copied, bytes in all), then ("check", 0, 0) again and again."""


@dataclass(frozen=True, slots=True)
class Copied:
    """A copy that passed its check: its path, its size in bytes, and how much it holds, as `status` counts."""

    path: str
    bytes: int
    pages: int
    files: int
    revisions: int


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that stands in the database's place, and where what stood there before is now."""

    copied: Copied
    aside: tuple[str, ...]


def _nobody(_: str, __: int, ___: int) -> None:
    pass


def write(
    database: str, target: str, *, protected: Protected | None = None, force: bool = False, progress: Heard = _nobody
) -> Copied:  # fmt: skip
    """Copy the database to `target` (where that is a link, to what it stands for), for its owner alone to read; an earlier backup
    of the same database there is replaced, with `force` one of another database too. Nothing is written where `protected` says that
    nothing may be, nor in a crawl directory that the database knows.

    Raises DatabaseMissingError and DatabaseUnreadableError for what is no database of dedup, BackupRefusedError for a place that
    is not to be written to, BackupUnsoundError for a copy that did not pass its check, and BackupFailedError for what the system
    or SQLite would not do. Whatever it raises (KeyboardInterrupt too), what stood at `target` stands there still.
    """
    place = os.path.realpath(target)

    def unsound(problem: object) -> BackupUnsoundError:
        return BackupUnsoundError(path=database, file=_shown(place), problem=problem)

    with _reading(database) as (source, uuid):
        guard = _protection(source, database, protected)
        _refuse(guard, place, uuid, force=force)
        try:
            with part(os.path.dirname(place)) as new:
                rows = _copy(source, new.path, new.fd, progress)
                source.execute("ROLLBACK")
                _settle(new.fd)
                copied = replace(_check(new.path, uuid, rows, progress, unsound), path=place)
                _refuse(guard, place, uuid, force=force)
                new.take_place(place)
        except (sqlite3.Error, OSError) as error:
            raise BackupFailedError(path=database, file=_shown(place), problem=_told(error)) from error
    return copied


def restore(database: str, backup: str, *, progress: Heard = _nobody) -> Restored:
    """Put a copy of a backup into the database's place. What stood there, and its log, is kept beside it as
    `<database>.damaged-<time>`. The backup may be any whole database of dedup.

    Raises DatabaseBusyError and DatabaseOpenError where somebody has the database open, and RestoreFailedError for a backup that
    is damaged or not to be read and for what the system would not do. Whatever it raises, the database is as it was.
    """
    place = os.path.realpath(database)

    def failed(problem: object) -> RestoreFailedError:
        return RestoreFailedError(path=database, file=_shown(backup), problem=problem)

    try:
        require_own(database, damaged=True)
    except DatabaseUnreadableError as error:
        raise failed(f"{database} is not replaced: {error.facts['problem']}") from error
    if not os.path.isfile(backup):
        raise failed("there is no such file")
    if _same(backup, place):
        raise failed("it is the database itself")
    with ExitStack() as stack:
        stack.callback(Lock(place, "restore").release)
        try:
            source, uuid = stack.enter_context(_reading(backup))
            new = stack.enter_context(part(os.path.dirname(place)))
            rows = _copy(source, new.path, new.fd, progress)
            _inherit(new.fd, place)
            _settle(new.fd)
            copied = replace(_check(new.path, uuid, rows, progress, failed), path=place)
            with _alone(place):
                aside = _swap(new.path, place)
        except DatabaseUnreadableError as error:
            raise failed(error.facts["problem"]) from error
        except (sqlite3.Error, OSError) as error:
            raise failed(_told(error)) from error
    return Restored(copied, aside)


# What is copied


@contextmanager
def _reading(path: str) -> Iterator[tuple[sqlite3.Connection, str]]:
    """A database of dedup, of whatever version that this program knows, within a read transaction; and its uuid."""
    schema.require_sqlite()
    require_own(path)
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    connection = connect_reading(path)
    try:
        try:
            connection.execute("PRAGMA query_only=ON")
            connection.execute("BEGIN")
            uuid = _uuid(connection)
            refuse_newer(sqlite_utils.Database(connection), path)
        except sqlite3.Error as error:
            raise DatabaseUnreadableError(path=path, problem=error) from error
        if uuid is None:
            raise DatabaseUnreadableError(path=path, problem="it is no database of dedup")
        yield connection, uuid
    finally:
        connection.close()


def _uuid(connection: sqlite3.Connection) -> str | None:
    """What tells the database from every other; None for one that is not dedup's."""
    wanted = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name IN ('settings', '_sqlite_migrations', 'revisions')"
    if connection.execute(wanted).fetchone() != (3,):
        return None
    row = connection.execute("SELECT value FROM settings WHERE key = 'uuid'").fetchone()
    return None if row is None else str(row[0])


def _rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Table → rows."""
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'").fetchall()
    quoted = ((name, name.replace('"', '""')) for (name,) in names)
    return {name: connection.execute(f'SELECT count(*) FROM "{inner}"').fetchone()[0] for name, inner in quoted}


def _copy(source: sqlite3.Connection, part: str, fd: int, progress: Heard) -> dict[str, int]:
    """Copy what `source` sees within its transaction into the empty file `part`, of which `fd` is a descriptor. Gives the rows that
    there are."""
    (size,), (pages,) = source.execute("PRAGMA page_size").fetchone(), source.execute("PRAGMA page_count").fetchone()
    there = os.statvfs(part)
    free = there.f_bavail * there.f_frsize
    if free < size * pages:  # told before the disk is full, which may be the database's own
        raise OSError(errno.ENOSPC, f"it takes {size * pages / 1e6:,.1f} MB, and {free / 1e6:,.1f} MB are free in {os.path.dirname(part)}")
    rows = _rows(source)
    target = sqlite3.connect(part, isolation_level=None)
    try:
        target.execute("PRAGMA journal_mode=OFF")  # a copy that fails is thrown away
        target.execute("PRAGMA synchronous=OFF")  # and one that is whole is made durable at the end
        source.backup(target, pages=STEP, progress=lambda _, left, all_: progress("copy", (all_ - left) * size, all_ * size))
    finally:
        target.close()
    # In the header: by PRAGMA it would become a WAL database on the way, for which there may be no room.
    os.pwrite(fd, b"\1\1", 18)
    os.pwrite(fd, wal.BACKUP.to_bytes(4, "big"), wal.COUNT_AT)
    return rows


def _check(part: str, uuid: str, rows: dict[str, int], progress: Heard, unsound: Callable[[object], DedupError]) -> Copied:
    """What the copy holds. Raises what `unsound` makes of a problem, if it has any, and KeyboardInterrupt where that arrives."""
    connection = connect(part)
    connection.set_progress_handler(lambda: progress("check", 0, 0), WORK)
    try:
        connection.execute("PRAGMA cache_size=-65536")
        broken = [str(told) for (told,) in connection.execute("PRAGMA integrity_check(3)")]
        if broken != ["ok"]:
            raise unsound("; ".join(" ".join(told.split()) for told in broken))
        orphans = connection.execute("PRAGMA foreign_key_check").fetchmany(3)
        if orphans:
            raise unsound("; ".join(f"row {row} of {table} refers to what is not there in {parent}" for table, row, parent, _ in orphans))
        if _uuid(connection) != uuid or _rows(connection) != rows:
            raise unsound("it does not hold what was copied")
        database = Database(sqlite_utils.Database(connection), part)
        return Copied(
            part,
            os.path.getsize(part),
            statistics.count(database, "pages"),
            statistics.count(database, "files"),
            statistics.count_counted_revisions(database),
        )
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:  # what a signal raises within a callback comes out as this
            raise KeyboardInterrupt from None
        raise unsound(error) from error
    finally:
        connection.close()


# Where to


def _protection(source: sqlite3.Connection, database: str, protected: Protected | None) -> Protected:
    """What no backup may be written to, with the crawl directories that the database knows."""
    given = protected or Protected(database)
    known = (os.fsdecode(path) for (path,) in source.execute("SELECT path FROM directories ORDER BY path"))
    return replace(given, directories=tuple(dict.fromkeys((*given.directories, *known))))


def _refuse(protected: Protected, target: str, uuid: str, *, force: bool) -> None:
    """Raise BackupRefusedError for a place where something is that must not be replaced."""

    def refused(problem: str) -> BackupRefusedError:
        return BackupRefusedError(path=protected.database, file=_shown(target), problem=problem)

    if problem := protected.problem(target, database_allowed=True):
        raise refused(problem)
    for end in ("-wal", "-journal"):
        if os.path.exists(target + end) and os.path.getsize(target + end):
            raise refused(f"{target + end} lies beside it, which SQLite would take for a part of the backup; move it away")
    try:
        kind = os.lstat(target).st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise refused(_told(error)) from error
    if not stat.S_ISREG(kind):
        raise refused("it is a folder" if stat.S_ISDIR(kind) else "it is no regular file")
    try:
        with _reading(target) as (_, other):
            pass
    except DatabaseUnreadableError as error:
        told = f"what stands there is no backup ({error.facts['problem']}); move it away or choose another name"
        raise refused(told) from error
    writer = held(target)
    if writer:
        raise refused(f"it is in use, by {writer.holder}")
    if other != uuid and not force:
        raise refused("a backup of another database stands there; choose another name, or replace it with --force")


def _same(one: str, other: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _settle(fd: int) -> None:
    """Have a file on the disk, and read from there from now on."""
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


# In the database's place


def _inherit(fd: int, place: str) -> None:
    """Give a file the owner and the permissions of what it will replace, so that the daemon may still write to it."""
    with suppress(FileNotFoundError):
        before = os.stat(place)
        with suppress(PermissionError):
            os.fchown(fd, before.st_uid, before.st_gid)
        os.fchmod(fd, stat.S_IMODE(before.st_mode))


@contextmanager
def _alone(place: str) -> Iterator[None]:
    """Nobody has the database open, nor opens it within the block. Whoever had it open would remove its log by name when leaving,
    and that would be another database's by then. Raises DatabaseOpenError."""
    try:
        fd = os.open(place, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        begin, length = _SHARED_BYTES
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, length, begin)
        except OSError:
            raise DatabaseOpenError(path=place) from None
        yield
    finally:
        os.close(fd)


def _swap(part: str, place: str) -> tuple[str, ...]:
    """Rename a file over the database, which is kept under another name, and its log under that name alone, so that the file has
    none beside it. All is as it was where that fails. Gives the new names."""
    base = name = f"{place}.damaged-{times.now()[:19].replace('-', '').replace(':', '')}Z"
    numbers = itertools.count(2)
    while any(os.path.lexists(name + end) for end in ("", *BESIDE)):
        name = f"{base}-{next(numbers)}"
    try:
        if os.path.lexists(place):
            try:
                os.link(place, name)
            except OSError:  # a file system without links: for a moment there is no database
                os.rename(place, name)
        for end in BESIDE:  # before the database, which must never stand beside another one's log
            with suppress(FileNotFoundError):
                os.rename(place + end, name + end)
        sync_folder(place)
        os.replace(part, place)
    except BaseException:
        if os.path.lexists(part):  # else it has taken the place, and somebody interrupted after that
            for end in BESIDE:
                with suppress(OSError):  # that was not renamed yet
                    os.rename(name + end, place + end)
            with suppress(FileNotFoundError):
                if os.path.lexists(place):
                    os.unlink(name)
                else:
                    os.rename(name, place)
        raise
    sync_folder(place)
    return tuple(path for path in (name, *(name + end for end in BESIDE)) if os.path.lexists(path))


def _shown(path: str) -> str:
    return printable_path(os.fsencode(path))


def _told(error: Exception) -> str:
    """What went wrong, and where."""
    if not isinstance(error, OSError):
        return str(error)
    named = error.filename if isinstance(error.filename, str) and PART not in error.filename else ""
    return (error.strerror or str(error)) + (f": {named}" if named else "")
