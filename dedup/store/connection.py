"""Opening the database: one writer, held by a lock beside it; readers that cannot write; what is damaged is told as such."""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat as modes
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import sqlite_utils

from dedup.errors import DatabaseMissingError, DatabaseNewerError, DatabaseUnreadableError, ForeignLogError
from dedup.files import disk_errors
from dedup.store import schema, wal
from dedup.store.corruption import SQLITE, UNEXPECTED, failure, require_sound
from dedup.store.database import Database, WritableDatabase
from dedup.store.lock import Lock, held
from dedup.store.ownership import APPLICATION_ID, require_own

SYNCHRONOUS = "FULL"
"""How far SQLite goes for a commit: it is on the disk when it ends."""


@contextmanager
def open_writable(path: str, purpose: str) -> Iterator[WritableDatabase]:
    """Open the database at `path` for the one writer. It is created and migrated if necessary. `purpose` names the command that holds
    the lock.

    An SQLite error in the block becomes a DatabaseFailedError or a DatabaseDamagedError. Any error becomes a DatabaseDamagedError if a
    damaged database caused it. Raises DatabaseBusyError if another process has the lock, DatabaseUnreadableError and
    DatabaseNewerError if the file cannot be used.
    """
    schema.require_sqlite()
    require_own(path)
    _create(path)
    lock = Lock(path, purpose)
    try:
        with open_locked(path, lock) as database:
            yield database
    finally:
        lock.release()


@contextmanager
def open_locked(path: str, lock: Lock) -> Iterator[WritableDatabase]:
    """As `open_writable`, for a process that has the lock already."""
    require_own(path)
    _require_files_beside(path)
    refuse_foreign_log(path, written=False)
    closing = ExitStack()
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    try:
        try:
            _keep_temporary_files(connection, path)
            db = _prepare(connection, path)
        except SQLITE as error:
            raise failure(DatabaseUnreadableError, path, error) from error
        database = WritableDatabase(db, path, lock)
        closing.callback(database.close_files)
        with database.failures():
            yield database
    finally:
        with suppress(*SQLITE):
            connection.execute("PRAGMA busy_timeout=0")
            connection.execute("PRAGMA analysis_limit=1000")  # of a table of millions it would read everything
            connection.execute("PRAGMA optimize")
        connection.close()
        closing.close()


def _keep_temporary_files(connection: sqlite3.Connection, path: str) -> None:
    """Have SQLite keep its temporary files where `disk.temporary_folder` says: where the database has room, they have. It is said for the
    whole process, by the one writer before it works; a SQLite that was built without this goes by TMPDIR."""
    folder = disk_errors.temporary_folder(path)
    if folder is None or "SQLITE_TMPDIR" in os.environ:
        return
    with suppress(UnicodeEncodeError):  # SQL is UTF-8, which the name of a folder need not be
        connection.execute("PRAGMA temp_store_directory='{}'".format(folder.replace("'", "''")))


def _prepare(connection: sqlite3.Connection, path: str) -> sqlite_utils.Database:
    marked = connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    if connection.execute("PRAGMA user_version").fetchone() == (wal.BACKUP,):
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA user_version=0")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # see `pruning`; said of one that is so already, it would be written
    if not marked:  # before anything else is written: whoever looks later knows it by that
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode=WAL")
    if not marked:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the mark is looked for in the file
    connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
    db = sqlite_utils.Database(connection)
    refuse_newer(db, path)
    if schema.pending(db):
        schema.migrate(db)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("PRAGMA wal_autocheckpoint=16384")  # pages: a page that many commits touch is copied back once
    connection.execute("PRAGMA journal_size_limit=67108864")
    connection.execute("INSERT OR IGNORE INTO settings VALUES ('uuid', ?)", (str(uuid.uuid4()),))
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        connection.execute(f"PRAGMA user_version={1 + secrets.randbelow(1 << 30)}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or the log would begin with a leap
    connection.execute("PRAGMA busy_timeout=500")  # no signal is heard while SQLite waits; see `WritableDatabase.transaction`
    return db


@contextmanager
def open_database(path: str) -> Iterator[Database]:
    """Open the database at `path` read-only. All reads see the state of one moment for as long as it is open.

    An SQLite error in the block becomes a DatabaseUnreadableError. Any error becomes a DatabaseDamagedError if a damaged database
    caused it. Raises DatabaseMissingError if there is no file.
    """
    schema.require_sqlite()
    require_own(path)
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    connection = connect_reading(path)
    try:
        try:
            db = sqlite_utils.Database(connection)
            refuse_newer(db, path)
            if schema.pending(db):
                raise DatabaseUnreadableError(path=path, problem="it is empty or of an older version; 'dedup scan' brings it up to date")
            connection.execute("BEGIN")
            yield Database(db, path)
        except UNEXPECTED as error:
            with suppress(sqlite3.Error):
                connection.rollback()
            require_sound(connection, path, error)
            raise
        except sqlite3.Error as error:
            raise failure(DatabaseUnreadableError, path, error) from error
    finally:
        connection.close()


def connect_reading(path: str) -> sqlite3.Connection:
    """Read-only; where WAL's side files cannot be made (a read-only directory without a writer), as an unchanging file.
    Raises DatabaseUnreadableError, DatabaseDamagedError, ForeignLogError."""
    _require_files_beside(path)
    refuse_foreign_log(path, written=held(path) is not None)
    problem: sqlite3.Error | UnicodeDecodeError | None = None
    ways = [False]
    if not os.path.exists(path + "-wal") or os.path.getsize(path + "-wal") == 0:
        ways.append(True)
    for unchanging in ways:
        try:
            connection = connect(path, unchanging=unchanging)
        except sqlite3.Error as error:
            problem = error
            continue
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except SQLITE as error:
            connection.close()
            problem = error
        else:
            return connection
    assert problem is not None
    raise failure(DatabaseUnreadableError, path, problem) from problem


def connect(path: str, *, unchanging: bool = False) -> sqlite3.Connection:
    """A connection that cannot write; nothing is read yet. `unchanging`: there is no log to be looked at, and no lock to be taken."""
    uri = "file:" + quote(os.fsencode(os.path.abspath(path))) + ("?immutable=1" if unchanging else "?mode=ro")
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10, check_same_thread=False)
    connection.execute("PRAGMA query_only=ON")
    return connection


def refuse_foreign_log(path: str, *, written: bool) -> None:
    """Raise ForeignLogError where the log that lies beside a database is another's; `written`: somebody writes to it now."""
    place = os.path.realpath(path)
    if wal.is_foreign(place, written=written):
        raise ForeignLogError(path=path, log=place + "-wal")


def _require_files_beside(path: str) -> None:
    """SQLite writes to its side files, and follows where they lead."""
    for suffix in ("-wal", "-shm", "-journal"):
        beside = os.path.realpath(path) + suffix
        if os.path.lexists(beside) and not modes.S_ISREG(os.lstat(beside).st_mode):
            raise DatabaseUnreadableError(path=path, problem=f"{beside} is a link or no file; nobody but SQLite makes files of that name")


def _create(path: str) -> None:
    """An empty file that only its owner may read, where there is none: it will hold the archive."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnreadableError(path=path, problem=f"{error.strerror} ({_hint(path)})") from error


def _hint(path: str) -> str:
    folder = Path(path).parent
    return disk_errors.trouble(path) or f"is {folder} writable for this user?" if folder.is_dir() else f"there is no folder {folder}"


def refuse_newer(db: sqlite_utils.Database, path: str) -> None:
    """Raise DatabaseNewerError for what a later version of the program made."""
    newer = schema.unknown(db)
    if newer:
        raise DatabaseNewerError(path=path, unknown=", ".join(newer))
