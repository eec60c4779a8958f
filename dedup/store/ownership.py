"""Whose file is at the database's path: asked before SQLite opens it for writing, which would change another program's database.

A database of dedup bears a mark in its header (`PRAGMA application_id`). One of an earlier version bears none and is known by the
record of its migrations. https://www.sqlite.org/fileformat2.html
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Callable
from contextlib import closing
from urllib.parse import quote

from dedup.errors import DatabaseUnreadableError
from dedup.files import disk_errors
from dedup.files.protected import SQLITE
from dedup.store.corruption import SQLITE as SQLITE_ERRORS
from dedup.store.corruption import failure
from dedup.store.descriptors import kept_open

APPLICATION_ID = 0x6464_7570
"""The mark of a database of dedup."""
_ID_AT = 68
"""Byte of the header where the mark is."""
_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_BESIDE = (".lock", ".index", ".passages", ".search", "-wal")
"""What shows, beside a file that SQLite does not know, that it was a database of dedup before it was damaged."""


def require_own(path: str, *, damaged: bool = False) -> None:
    """Raise DatabaseUnreadableError for what is at `path` and is no database of dedup, and DatabaseDamagedError for one that cannot be
    known any more. An empty file is fine; so is nothing, or a link to where a file can be made; and with `damaged`, a file that SQLite
    does not know.

    Nothing is written, and nothing waits: not for a pipe, and not for another program.
    """

    def unreadable(problem: str) -> DatabaseUnreadableError:
        return DatabaseUnreadableError(path=path, problem=problem)

    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path) and not os.path.isdir(os.path.dirname(os.path.realpath(path))):
            raise unreadable(f"it is a link to {os.readlink(path)}, which is not there") from None
        return
    except OSError as error:
        raise unreadable(disk_errors.explained(error, path)) from error
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "something else")
        raise unreadable(f"it is {kind}, not a file")
    try:
        header = _header(path)
    except PermissionError as error:
        raise unreadable(f"{error.strerror} (its permissions are {stat.S_IMODE(mode):03o})") from error
    except OSError as error:
        raise unreadable(disk_errors.explained(error, path)) from error
    if header and not header.startswith(SQLITE):
        if damaged or any(os.path.exists(os.path.realpath(path) + end) for end in _BESIDE):
            return  # damaged: SQLite and 'dedup doctor' say more
        raise unreadable("it is a file of something else, and no SQLite database")
    if header and mark(header) != APPLICATION_ID and (problem := _foreign(path)):
        raise unreadable(f"it is no database of dedup, but another program's ({problem})")


def mark(header: bytes) -> int:
    """The application_id in the first 100 bytes of a database."""
    return int.from_bytes(header[_ID_AT : _ID_AT + 4], "big")


def _header(path: str) -> bytes:
    return os.pread(kept_open(path), 100, 0)


def _foreign(path: str) -> str | None:
    """What shows that a database is not dedup's; None for one of an earlier version, and for one without tables and marks.

    It is read without its log first, which nobody notices; with it only where that alone can tell.
    """
    log = os.path.realpath(path) + "-wal"
    logged = os.path.exists(log) and os.path.getsize(log) > 0
    for way in ("immutable=1", "mode=ro") if logged else ("immutable=1",):
        try:
            with closing(sqlite3.connect(f"file:{quote(os.fsencode(os.path.abspath(path)))}?{way}", uri=True)) as connection:
                problem, empty = _looked_at(connection)
        except SQLITE_ERRORS as error:
            if way == "mode=ro" or not logged:
                raise failure(DatabaseUnreadableError, path, error) from error
        else:
            if not (empty and logged and way == "immutable=1"):
                return problem
    return None


def _looked_at(connection: sqlite3.Connection) -> tuple[str | None, bool]:
    """(what shows that it is another program's, whether it holds no tables)."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    (other,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if other and other != APPLICATION_ID:
        return f"its application_id is {other & 0xFFFFFFFF:#010x}", not tables
    if not tables:
        return (f"its user_version is {version}" if version and not other else None), True
    if "_sqlite_migrations" in tables:
        (applied,) = connection.execute("SELECT count(*) FROM _sqlite_migrations WHERE migration_set = 'dedup'").fetchone()
        if applied:
            return None, False
    return f"it has the table {tables[0]}", False
