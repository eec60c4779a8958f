"""The file of the search index: a SQLite database next to the database, so that neither waits for the other.

It holds words and the revisions that they occur in, but no texts. It is derived: if anything is wrong with it, it is deleted and rebuilt.
"""

from __future__ import annotations

import os
import sqlite3
import stat as modes
from contextlib import suppress
from functools import lru_cache
from urllib.parse import quote

from dedup.files import secure
from dedup.search.index_tables import DDL, IndexState, transaction, write_state
from dedup.search.tokenizer import RECIPE
from dedup.text.sanitise import to_printable_path

FILE_SUFFIXES = ("", "-wal", "-shm", "-journal")
"""Suffixes of the index and of the files that SQLite creates next to it."""
NOT_AVAILABLE = "the SQLite of this machine has no full-text search (FTS5)"


@lru_cache(maxsize=1)
def is_available() -> bool:
    """Return whether this SQLite has FTS5, which the index needs."""
    connection = sqlite3.connect(":memory:")
    try:
        return bool(connection.execute("SELECT count(*) FROM pragma_module_list WHERE name = 'fts5'").fetchone()[0])
    finally:
        connection.close()


def remove(path: str) -> None:
    """Delete an index and the files that SQLite created next to it. Raises OSError, for example if `path` is a folder."""
    for suffix in reversed(FILE_SUFFIXES):
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)


def create(path: str, uuid: str) -> sqlite3.Connection:
    """Create an empty index, replacing whatever is at `path`. Raises OSError and sqlite3.Error."""
    remove(path)
    os.close(secure.open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL))
    connection = _connect_for_writing(path)
    try:
        with transaction(connection):
            for statement in DDL:
                connection.execute(statement)
            write_state(connection, IndexState(uuid, RECIPE, 0, 0, 0, b""))
    except BaseException:
        connection.close()
        raise
    return connection


def open_for_writing(path: str) -> sqlite3.Connection:
    """Open the index at `path` for writing. Raises OSError and sqlite3.Error."""
    os.close(secure.open_private(path, os.O_RDWR))
    return _connect_for_writing(path)


def open_for_reading(path: str) -> sqlite3.Connection:
    """Open the index at `path` for reading in its state of this moment. Raises OSError and sqlite3.Error.

    If SQLite cannot create its files next to the index, and the index has no write-ahead log, it is opened as an immutable file.
    """
    os.close(secure.open_private(path, os.O_RDONLY))
    _refuse_links(path)
    uri = "file:" + quote(os.fsencode(os.path.abspath(path)))
    try:
        return _begin_reading(f"{uri}?mode=ro")
    except sqlite3.OperationalError as error:
        if os.path.exists(path + "-wal") and os.path.getsize(path + "-wal"):
            raise
        if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
            raise
        return _begin_reading(f"{uri}?immutable=1")


def _begin_reading(uri: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=2, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only=ON")
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _connect_for_writing(path: str) -> sqlite3.Connection:
    _refuse_links(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=1, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")  # commits that a power cut loses are indexed again
        connection.execute("PRAGMA cache_size=-32768")
        connection.execute("PRAGMA journal_size_limit=16777216")
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_links(path: str) -> None:
    """Raise OSError if the index or a file of SQLite next to it is a link or no regular file: another user may have put it there."""
    for suffix in FILE_SUFFIXES:
        with suppress(FileNotFoundError):
            file_stat = os.lstat(path + suffix)
            if not modes.S_ISREG(file_stat.st_mode) or file_stat.st_nlink > 1:
                raise OSError(f"{printable_index_path(path + suffix)} is a link, or not a regular file")


def printable_index_path(path: str) -> str:
    """The path of an index as printable text."""
    return to_printable_path(os.fsencode(path))
