"""Opening the database: one writer, held by a lock beside it; readers that cannot write."""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from sqlite_utils import Database

from dedup import schema
from dedup.errors import (
    DatabaseMissingError,
    DatabaseNewerError,
    DatabaseUnreadableError,
    ForeignLogError,
)
from dedup.store.lock import Lock
from dedup.store.reading import Reader
from dedup.store.writing import Writer

BACKUP = 0x6465_6475
"""The user_version of a backup. Such a file is no WAL database until a writer opens it, and that takes the mark away first: a
write-ahead log beside a file that bears it is the log of the database that stood there before."""


@contextmanager
def open_writer(path: str, purpose: str) -> Iterator[Writer]:
    """The database at `path`, made and migrated if need be, for the one writer, which says `purpose` of itself. Errors of SQLite
    that come out of the block leave as DatabaseFailedError."""
    schema.require_sqlite()
    _make(path)
    lock = Lock(path, purpose)
    try:
        try:
            refuse_foreign_log(path)
            connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
            if _is_backup(connection):
                connection.execute("PRAGMA journal_mode=DELETE")
                connection.execute("PRAGMA user_version=0")
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            db = Database(connection)
            refuse_newer(db, path)
            if schema.pending(db):
                schema.migrate(db)
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA cache_size=-65536")
            connection.execute("PRAGMA wal_autocheckpoint=16384")  # pages: a page that many commits touch is copied back once
            connection.execute("PRAGMA journal_size_limit=67108864")
            connection.execute("INSERT OR IGNORE INTO settings VALUES ('uuid', ?)", (str(uuid.uuid4()),))
            connection.execute("PRAGMA busy_timeout=500")  # no signal is heard while SQLite waits; see `Writer.transaction`
        except sqlite3.Error as error:
            raise DatabaseUnreadableError(path=path, problem=error) from error
        try:
            store = Writer(db, path, lock)
            with store.failures():
                yield store
        finally:
            with suppress(sqlite3.Error):
                connection.execute("PRAGMA busy_timeout=0")
                connection.execute("PRAGMA analysis_limit=1000")  # of a table of millions it would read everything
                connection.execute("PRAGMA optimize")
            connection.close()
    finally:
        lock.release()


@contextmanager
def open_reader(path: str) -> Iterator[Reader]:
    """The database at `path`, read-only; a reader sees the state of one moment for as long as it is open."""
    schema.require_sqlite()
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    connection = connect_reading(path)
    try:
        try:
            connection.execute("PRAGMA query_only=ON")
            db = Database(connection)
            refuse_newer(db, path)
            if schema.pending(db):
                raise DatabaseUnreadableError(path=path, problem="it is empty or of an older version; 'dedup scan' brings it up to date")
            connection.execute("BEGIN")
            yield Reader(db, path)
        except sqlite3.Error as error:
            raise DatabaseUnreadableError(path=path, problem=error) from error
    finally:
        connection.close()


def connect_reading(path: str) -> sqlite3.Connection:
    """Read-only; where WAL's side files cannot be made (a read-only directory without a writer), as an unchanging file.
    Raises DatabaseUnreadableError, ForeignLogError."""
    refuse_foreign_log(path)
    problem: Exception | None = None
    ways = ["?mode=ro"]
    if not os.path.exists(path + "-wal") or os.path.getsize(path + "-wal") == 0:
        ways.append("?immutable=1")
    for way in ways:
        connection = sqlite3.connect(file_uri(path) + way, uri=True, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            connection.close()
            problem = error
        else:
            return connection
    raise DatabaseUnreadableError(path=path, problem=problem)


def file_uri(path: str) -> str:
    """A path as SQLite wants it where parameters follow."""
    return "file:" + quote(os.fsencode(os.path.abspath(path)))


def refuse_foreign_log(path: str) -> None:
    """Raise ForeignLogError for a backup that was put beside the write-ahead log of another database. SQLite cannot tell whose
    log it is: it would mix what that holds into the backup, and at best undo what the backup is there for."""
    log = os.path.realpath(path) + "-wal"
    if not os.path.exists(log) or os.path.getsize(log) == 0:
        return
    connection = sqlite3.connect(file_uri(path) + "?immutable=1", uri=True)  # the file without its log
    try:
        with suppress(sqlite3.Error):  # being written this moment, or damaged: whoever opens it will tell
            if _is_backup(connection):
                raise ForeignLogError(path=path, log=log)
    finally:
        connection.close()


def _is_backup(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA user_version").fetchone() == (BACKUP,))


def _make(path: str) -> None:
    """An empty file that only its owner may read, where there is none: it will hold the archive."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnreadableError(path=path, problem=f"{error.strerror} ({_hint(path)})") from error


def _hint(path: str) -> str:
    folder = Path(path).parent
    return f"there is no folder {folder}" if not folder.is_dir() else f"is {folder} writable for this user?"


def refuse_newer(db: Database, path: str) -> None:
    newer = schema.unknown(db)
    if newer:
        raise DatabaseNewerError(path=path, unknown=", ".join(newer))
