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
)
from dedup.store.lock import Lock
from dedup.store.reading import Reader
from dedup.store.writing import Writer


@contextmanager
def open_writer(path: str, purpose: str) -> Iterator[Writer]:
    """The database at `path`, made and migrated if need be, for the one writer, which says `purpose` of itself. Errors of SQLite
    that come out of the block leave as DatabaseFailedError."""
    schema.require_sqlite()
    _make(path)
    lock = Lock(path, purpose)
    try:
        try:
            connection = sqlite3.connect(path, isolation_level=None, timeout=10, check_same_thread=False)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            db = Database(connection)
            _refuse_newer(db, path)
            if schema.pending(db):
                schema.migrate(db)
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("PRAGMA cache_size=-65536")
            connection.execute("PRAGMA wal_autocheckpoint=16384")  # pages: a page that many commits touch is copied back once
            connection.execute("PRAGMA journal_size_limit=67108864")
            connection.execute("INSERT OR IGNORE INTO settings VALUES ('uuid', ?)", (str(uuid.uuid4()),))
        except sqlite3.Error as error:
            raise DatabaseUnreadableError(path=path, problem=error) from error
        try:
            store = Writer(db, path, lock)
            with store.failures():
                yield store
        finally:
            with suppress(sqlite3.Error):
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
    connection = _connect_reading(path)
    try:
        try:
            connection.execute("PRAGMA query_only=ON")
            db = Database(connection)
            _refuse_newer(db, path)
            if schema.pending(db):
                raise DatabaseUnreadableError(path=path, problem="it is empty or of an older version; 'dedup scan' brings it up to date")
            connection.execute("BEGIN")
            yield Reader(db, path)
        except sqlite3.Error as error:
            raise DatabaseUnreadableError(path=path, problem=error) from error
    finally:
        connection.close()


def _connect_reading(path: str) -> sqlite3.Connection:
    """Read-only; where WAL's side files cannot be made (a read-only directory without a writer), as an unchanging file."""
    uri = "file:" + quote(os.fsencode(os.path.abspath(path)))
    problem: Exception | None = None
    ways = ["?mode=ro"]
    if not os.path.exists(path + "-wal") or os.path.getsize(path + "-wal") == 0:
        ways.append("?immutable=1")
    for way in ways:
        connection = sqlite3.connect(uri + way, uri=True, isolation_level=None, timeout=10, check_same_thread=False)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error as error:
            connection.close()
            problem = error
        else:
            return connection
    raise DatabaseUnreadableError(path=path, problem=problem)


def _make(path: str) -> None:
    """An empty file that only its owner may read, where there is none: it will hold the archive."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnreadableError(path=path, problem=f"{error.strerror} ({_hint(path)})") from error


def _hint(path: str) -> str:
    folder = Path(path).parent
    return f"there is no folder {folder}" if not folder.is_dir() else f"is {folder} writable for this user?"


def _refuse_newer(db: Database, path: str) -> None:
    newer = schema.unknown(db)
    if newer:
        raise DatabaseNewerError(path=path, unknown=", ".join(newer))
