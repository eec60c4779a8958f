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
from dedup.files.protected import SQLITE_MAGIC
from dedup.store.corruption import SQLITE_ERRORS, to_dedup_error
from dedup.store.descriptors import shared_descriptor

APPLICATION_ID = 0x6464_7570
"""The mark of a database of dedup."""
_APPLICATION_ID_OFFSET = 68
"""Byte of the header where the mark is."""
_FILE_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_SIDE_SUFFIXES = (".lock", ".index", ".passages", ".search", "-wal")
"""What shows, beside a file that SQLite does not know, that it was a database of dedup before it was damaged."""


def require_dedup_database(path: str, *, allow_damaged: bool = False) -> None:
    """Raise DatabaseUnreadableError for what is at `path` and is no database of dedup, and DatabaseDamagedError for one that cannot be
    known any more. An empty file is fine; so is nothing, or a link to where a file can be made; and with `allow_damaged`, a file that
    SQLite does not know.

    Nothing is written, and nothing waits: not for a pipe, and not for another program.
    """

    def unreadable_error(problem: str) -> DatabaseUnreadableError:
        return DatabaseUnreadableError(path=path, problem=problem)

    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path) and not os.path.isdir(os.path.dirname(os.path.realpath(path))):
            raise unreadable_error(f"it is a link to {os.readlink(path)}, which is not there") from None
        return
    except OSError as error:
        raise unreadable_error(disk_errors.explain_error(error, path)) from error
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _FILE_KINDS if test(mode)), "something else")
        raise unreadable_error(f"it is {kind}, not a file")
    try:
        header = _read_header(path)
    except PermissionError as error:
        raise unreadable_error(f"{error.strerror} (its permissions are {stat.S_IMODE(mode):03o})") from error
    except OSError as error:
        raise unreadable_error(disk_errors.explain_error(error, path)) from error
    if header and not header.startswith(SQLITE_MAGIC):
        if allow_damaged or any(os.path.exists(os.path.realpath(path) + end) for end in _SIDE_SUFFIXES):
            return  # damaged: SQLite and 'dedup doctor' say more
        raise unreadable_error("it is a file of something else, and no SQLite database")
    if header and read_application_id(header) != APPLICATION_ID and (problem := _foreign_reason(path)):
        raise unreadable_error(f"it is no database of dedup, but another program's ({problem})")


def read_application_id(header: bytes) -> int:
    """The application_id in the first 100 bytes of a database."""
    return int.from_bytes(header[_APPLICATION_ID_OFFSET : _APPLICATION_ID_OFFSET + 4], "big")


def _read_header(path: str) -> bytes:
    return os.pread(shared_descriptor(path), 100, 0)


def _foreign_reason(path: str) -> str | None:
    """What shows that a database is not dedup's; None for one of an earlier version, and for one without tables and marks.

    It is read without its log first, which nobody notices; with it only where that alone can tell.
    """
    log_path = os.path.realpath(path) + "-wal"
    has_log = os.path.exists(log_path) and os.path.getsize(log_path) > 0
    for mode in ("immutable=1", "mode=ro") if has_log else ("immutable=1",):
        try:
            with closing(sqlite3.connect(f"file:{quote(os.fsencode(os.path.abspath(path)))}?{mode}", uri=True)) as connection:
                problem, empty = _inspect(connection)
        except SQLITE_ERRORS as error:
            if mode == "mode=ro" or not has_log:
                raise to_dedup_error(DatabaseUnreadableError, path, error) from error
        else:
            if not (empty and has_log and mode == "immutable=1"):
                return problem
    return None


def _inspect(connection: sqlite3.Connection) -> tuple[str | None, bool]:
    """(what shows that it is another program's, whether it holds no tables)."""
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    (user_version,) = connection.execute("PRAGMA user_version").fetchone()
    if application_id and application_id != APPLICATION_ID:
        return f"its application_id is {application_id & 0xFFFFFFFF:#010x}", not tables
    if not tables:
        return (f"its user_version is {user_version}" if user_version and not application_id else None), True
    if "_sqlite_migrations" in tables:
        (applied_count,) = connection.execute("SELECT count(*) FROM _sqlite_migrations WHERE migration_set = 'dedup'").fetchone()
        if applied_count:
            return None, False
    return f"it has the table {tables[0]}", False
