"""Check that the file at the database's path belongs to dedup, before SQLite opens it for writing and changes another program's file.

A database of dedup has a mark in its header (`PRAGMA application_id`). A database of an earlier version has no mark; its table of
applied migrations identifies it. https://www.sqlite.org/fileformat2.html
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
"""The `application_id` of a database of dedup."""
_APPLICATION_ID_OFFSET = 68
"""Byte offset of `application_id` in the header."""
_FILE_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_SIDE_SUFFIXES = (".lock", ".index", ".passages", ".search", "-wal")
"""If one of these files lies next to a file that is not a SQLite database, that file is a damaged database of dedup."""


def require_dedup_database(path: str, *, allow_damaged: bool = False) -> None:
    """Check that `path` is a database of dedup or can become one.

    Accepts an empty file, no file, a link to a place where a file can be created, and with `allow_damaged` a file that is not a
    SQLite database. Writes nothing, and waits neither for a pipe nor for another program. Raises DatabaseUnreadableError for anything
    else, and DatabaseDamagedError if SQLite finds the file damaged.
    """

    header = _read_header(path)
    if not header:
        return
    if not header.startswith(SQLITE_MAGIC):
        if allow_damaged or any(os.path.exists(os.path.realpath(path) + suffix) for suffix in _SIDE_SUFFIXES):
            return  # damaged: SQLite and 'dedup doctor' report details
        raise DatabaseUnreadableError(path=path, problem="it is not a SQLite database")
    if read_application_id(header) != APPLICATION_ID and (problem := _foreign_reason(path)):
        raise DatabaseUnreadableError(path=path, problem=f"it is not a database of dedup, but of another program ({problem})")


def read_application_id(header: bytes) -> int:
    """The `application_id` in a database header, the first 100 bytes of the file."""
    return int.from_bytes(header[_APPLICATION_ID_OFFSET : _APPLICATION_ID_OFFSET + 4], "big")


def _read_header(path: str) -> bytes:
    """The first 100 bytes of the file at `path`, or no bytes if it is empty or does not exist yet. Raises DatabaseUnreadableError."""
    mode = _file_mode(path)
    if mode is None:
        return b""
    try:
        return os.pread(shared_descriptor(path), 100, 0)
    except PermissionError as error:
        problem = f"{error.strerror} (its permissions are {stat.S_IMODE(mode):03o})"
        raise DatabaseUnreadableError(path=path, problem=problem) from error
    except OSError as error:
        raise DatabaseUnreadableError(path=path, problem=disk_errors.explain_error(error, path)) from error


def _file_mode(path: str) -> int | None:
    """The mode of the regular file at `path`, or None if a file can be created there. Raises DatabaseUnreadableError."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path) and not os.path.isdir(os.path.dirname(os.path.realpath(path))):
            problem = f"it is a link to {os.readlink(path)}, which does not exist"
            raise DatabaseUnreadableError(path=path, problem=problem) from None
        return None
    except OSError as error:
        raise DatabaseUnreadableError(path=path, problem=disk_errors.explain_error(error, path)) from error
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _FILE_KINDS if test(mode)), "something else")
        raise DatabaseUnreadableError(path=path, problem=f"it is {kind}, not a file")
    return mode


def _foreign_reason(path: str) -> str | None:
    """Why a SQLite database does not belong to dedup, or None if it does. A database without tables and marks does.

    It is read without its write-ahead log first, which touches no other file. It is read with the log only if the file alone has no
    tables and no marks.
    """
    log_path = os.path.realpath(path) + "-wal"
    has_log = os.path.exists(log_path) and os.path.getsize(log_path) > 0
    for mode in ("immutable=1", "mode=ro") if has_log else ("immutable=1",):
        try:
            with closing(sqlite3.connect(f"file:{quote(os.fsencode(os.path.abspath(path)))}?{mode}", uri=True)) as connection:
                problem, is_empty = _inspect(connection)
        except SQLITE_ERRORS as error:
            if mode == "mode=ro" or not has_log:
                raise to_dedup_error(DatabaseUnreadableError, path, error) from error
        else:
            if not (is_empty and has_log and mode == "immutable=1"):
                return problem
    return None


def _inspect(connection: sqlite3.Connection) -> tuple[str | None, bool]:
    """(why the database belongs to another program or None, whether it has no tables)."""
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
