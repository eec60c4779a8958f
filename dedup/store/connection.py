"""Open the database: `open_writable` for the one writer, which holds a lock, and `open_database` for any number of readers.

Errors that damage to the database causes are raised as DatabaseDamagedError.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat as modes
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

import sqlite_utils

from dedup.errors import (
    DatabaseBusyError,
    DatabaseMissingError,
    DatabaseNewerError,
    DatabaseTooOldError,
    DatabaseUnreadableError,
    ForeignWalError,
)
from dedup.files import disk_errors
from dedup.store import schema, wal
from dedup.store.corruption import SQLITE_ERRORS, SUSPICIOUS_ERRORS, require_sound, to_dedup_error
from dedup.store.database import Database, WritableDatabase
from dedup.store.descriptors import close_after_connections, connected
from dedup.store.lock import Lock, current_holder
from dedup.store.ownership import APPLICATION_ID, require_dedup_database

SYNCHRONOUS = "FULL"
"""A commit is on the disk when it returns."""


@contextmanager
def open_writable(path: str, purpose: str) -> Iterator[WritableDatabase]:
    """Open the database at `path` for the one writer. It is created and migrated if necessary. `purpose` names the command that holds the
    lock.

    An SQLite error in the block becomes a DatabaseFailedError or a DatabaseDamagedError. Any error becomes a DatabaseDamagedError if a
    damaged database caused it. Raises DatabaseBusyError if another process has the lock, and DatabaseUnreadableError, DatabaseTooOldError
    or DatabaseNewerError if the file cannot be used.
    """
    schema.require_sqlite()
    require_dedup_database(path)
    holder = current_holder(path)
    if holder is not None:  # before the file is touched; it may be this process
        raise DatabaseBusyError(path=path, holder=holder.description)
    _create_file(path)
    lock = Lock(path, purpose)
    try:
        with open_locked(path, lock) as database:
            yield database
    finally:
        lock.release()


@contextmanager
def open_locked(path: str, lock: Lock) -> Iterator[WritableDatabase]:
    """Open the database as `open_writable` does, in a process that already holds the lock."""
    require_dedup_database(path)
    _require_regular_side_files(path)
    refuse_foreign_log(path, has_writer=False)
    cleanup = ExitStack()
    connections = ExitStack()
    connections.enter_context(connected(path))
    connection = sqlite3.connect(path, isolation_level=None, timeout=5, check_same_thread=False)
    try:
        try:
            _set_temporary_folder(connection, path)
            db = _configure(connection, path)
        except SQLITE_ERRORS as error:
            raise to_dedup_error(DatabaseUnreadableError, path, error) from error
        database = WritableDatabase(db, path, lock)
        cleanup.callback(database.close_files)
        with database.translate_sqlite_errors():
            yield database
    finally:
        with suppress(*SQLITE_ERRORS):
            connection.execute("PRAGMA busy_timeout=0")
            connection.execute("PRAGMA analysis_limit=1000")  # otherwise SQLite reads all of a table of millions of rows
            connection.execute("PRAGMA optimize")
        connection.close()
        connections.close()
        cleanup.close()


def _set_temporary_folder(connection: sqlite3.Connection, path: str) -> None:
    """Make SQLite keep its temporary files in the folder that `disk_errors.find_temporary_folder` returns: where there is room for the
    database, there is room for them.

    The setting applies to the whole process; the one writer makes it before it does anything. An SQLite built without it uses TMPDIR.
    """
    folder = disk_errors.find_temporary_folder(path)
    if folder is None or "SQLITE_TMPDIR" in os.environ:
        return
    with suppress(UnicodeEncodeError):  # SQL is UTF-8; the name of a folder need not be
        connection.execute("PRAGMA temp_store_directory='{}'".format(folder.replace("'", "''")))


def _configure(connection: sqlite3.Connection, path: str) -> sqlite_utils.Database:
    """Set up a connection that writes; create or migrate the schema if necessary."""
    _prepare_file(connection)
    connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")
    db = sqlite_utils.Database(connection)
    refuse_unknown_version(db, path)
    if schema.has_pending_migrations(db):
        schema.migrate(db)
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA cache_size=-65536")
    connection.execute("PRAGMA wal_autocheckpoint=16384")  # pages: one that many commits change is copied back once
    connection.execute("PRAGMA journal_size_limit=67108864")
    connection.execute("INSERT OR IGNORE INTO settings VALUES ('uuid', ?)", (str(uuid.uuid4()),))
    if connection.execute("PRAGMA user_version").fetchone() == (0,):
        connection.execute(f"PRAGMA user_version={1 + secrets.randbelow(1 << 30)}")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # otherwise the count in the log would jump
    connection.execute("PRAGMA busy_timeout=500")  # Python handles no signal while SQLite waits; see `WritableDatabase.transaction`
    return db


def _prepare_file(connection: sqlite3.Connection) -> None:
    """Mark the file as a database of dedup and switch it to WAL. The counter of a restored backup is reset; see `wal`."""
    is_marked = connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    if connection.execute("PRAGMA user_version").fetchone() == (wal.BACKUP_COUNT,):
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA user_version=0")
    if connection.execute("PRAGMA page_count").fetchone() == (0,):
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")  # see `prune`; on an existing database it would write
    if not is_marked:  # before anything else: it identifies a database of dedup
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
    connection.execute("PRAGMA journal_mode=WAL")
    if not is_marked:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # `require_dedup_database` reads the mark from the file


@contextmanager
def open_database(path: str) -> Iterator[Database]:
    """Open the database at `path` read-only. All reads see the state of one moment for as long as it is open.

    An SQLite error in the block becomes a DatabaseUnreadableError. Any error becomes a DatabaseDamagedError if a damaged database
    caused it. Raises DatabaseMissingError if there is no file.
    """
    schema.require_sqlite()
    require_dedup_database(path)
    if not os.path.exists(path):
        raise DatabaseMissingError(path=path)
    with connected(path), closing(connect_readonly(path)) as connection, translate_read_errors(connection, path):
        db = sqlite_utils.Database(connection)
        refuse_unknown_version(db, path)
        if schema.has_pending_migrations(db):
            raise DatabaseUnreadableError(path=path, problem="it is empty or of an older version; run 'dedup scan' to update it")
        connection.execute("BEGIN")
        yield Database(db, path)


@contextmanager
def translate_read_errors(connection: sqlite3.Connection, path: str) -> Iterator[None]:
    """Raise DatabaseUnreadableError for an SQLite error in the block, and DatabaseDamagedError for any error that a damaged database
    caused."""
    try:
        yield
    except SUSPICIOUS_ERRORS as error:
        with suppress(sqlite3.Error):
            connection.rollback()
        require_sound(connection, path, error)
        raise
    except sqlite3.Error as error:
        raise to_dedup_error(DatabaseUnreadableError, path, error) from error


def connect_readonly(path: str) -> sqlite3.Connection:
    """Return a connection that cannot write.

    Where WAL's side files cannot be created (a read-only folder without a writer), the file is opened as one that does not change. Raises
    DatabaseUnreadableError, DatabaseDamagedError and ForeignWalError.
    """
    _require_regular_side_files(path)
    refuse_foreign_log(path, has_writer=current_holder(path) is not None)
    last_error: sqlite3.Error | UnicodeDecodeError | None = None
    has_log = os.path.exists(path + "-wal") and os.path.getsize(path + "-wal") > 0
    for immutable in (False,) if has_log else (False, True):
        try:
            connection = connect(path, immutable=immutable)
        except sqlite3.Error as error:
            last_error = error
            continue
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except SQLITE_ERRORS as error:
            connection.close()
            last_error = error
        else:
            return connection
    assert last_error is not None
    raise to_dedup_error(DatabaseUnreadableError, path, last_error) from last_error


def connect(path: str, *, immutable: bool = False) -> sqlite3.Connection:
    """Return a connection that cannot write; nothing is read yet. With `immutable`, SQLite ignores the log and takes no locks."""
    uri = "file:" + quote(os.fsencode(os.path.abspath(path))) + ("?immutable=1" if immutable else "?mode=ro")
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=10, check_same_thread=False)
    connection.execute("PRAGMA query_only=ON")
    return connection


def refuse_foreign_log(path: str, *, has_writer: bool) -> None:
    """Raise ForeignWalError if the log next to a database belongs to another one. `has_writer`: another process writes to it now."""
    real_path = os.path.realpath(path)
    if wal.is_foreign(real_path, has_writer=has_writer):
        raise ForeignWalError(path=path, log=real_path + "-wal")


def _require_regular_side_files(path: str) -> None:
    """Raise DatabaseUnreadableError if a side file is a link or not a regular file: SQLite would write to what it leads to."""
    for suffix in ("-wal", "-shm", "-journal"):
        side_path = os.path.realpath(path) + suffix
        if os.path.lexists(side_path) and not modes.S_ISREG(os.lstat(side_path).st_mode):
            raise DatabaseUnreadableError(
                path=path, problem=f"{side_path} is a link or not a regular file; only SQLite creates files of that name"
            )


def _create_file(path: str) -> None:
    """Create an empty file that only its owner may read, unless it exists: it will hold the archive."""
    try:
        close_after_connections(path, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise DatabaseUnreadableError(path=path, problem=f"{error.strerror} ({_missing_access_hint(path)})") from error


def _missing_access_hint(path: str) -> str:
    folder = Path(path).parent
    return (
        disk_errors.find_write_problem(path) or f"is {folder} writable for this user?"
        if folder.is_dir()
        else f"there is no folder {folder}"
    )


def refuse_unknown_version(db: sqlite_utils.Database, path: str) -> None:
    """Raise DatabaseTooOldError for a database of a development version, DatabaseNewerError for one of a later version."""
    if schema.is_of_development(db):
        raise DatabaseTooOldError(path=path)
    unknown_migrations = schema.unknown_migrations(db)
    if unknown_migrations:
        raise DatabaseNewerError(path=path, unknown=", ".join(unknown_migrations))
