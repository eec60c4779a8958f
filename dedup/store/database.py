"""An open database, and the pattern of every module of `dedup.store`.

All SQL of dedup is in `dedup.store` and `dedup.search`. `dedup.store` has one module for each entity (`pages`, `changes`, `alerts`, …), and
such a module holds plain functions: a function that reads takes a `Database` first, a function that writes a `Transaction`.

    with open_writable(path, "scan") as database:  # a WritableDatabase: this process holds the writer's lock
        with database.transaction() as transaction:  # committed at the end of the block, rolled back if the block raises
            page = pages.get_by_url(transaction, url)  # a Transaction is a Database, so it reads as well
            changes.delete(transaction, sighting_ids)

Only `WritableDatabase.transaction` makes a `Transaction`; a write outside a transaction is a type error. `open_database` yields a database
that cannot write and reads the state of one moment. New SQL goes into the module of its entity; values are always bound, never
formatted into the SQL.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain
from typing import Any

import sqlite_utils
from more_itertools import chunked

from dedup.errors import DatabaseFailedError, DatabaseTruncatedError, WalLostError, WalTruncatedError
from dedup.files import disk_errors
from dedup.store.corruption import SUSPICIOUS_ERRORS, require_sound, to_dedup_error
from dedup.store.database_files import OpenFiles
from dedup.store.lock import Lock

MAX_VARIABLES = 30_000
"""Bound values in one statement; SQLite's own limit is 32,766 by default."""

SOUND_CHECK_TRUST_FACTOR = 20
"""A check that found the database sound is trusted for this many times as long as it took, because it reads the whole file."""

LOCK_TIMEOUT_SECONDS = 10.0
"""Seconds that a transaction waits while another program, such as a shell or a copying tool, holds the database."""

Row = tuple[Any, ...]


def placeholders(values: Sized) -> str:
    """One `?` for each value, separated by commas."""
    return ", ".join("?" * len(values))


@dataclass(slots=True)
class Where:
    """Conditions joined by AND, with the values bound in them."""

    conditions: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, sql: str, *values: Any) -> None:
        """Add a condition and the values for its placeholders."""
        self.conditions.append(sql)
        self.values += values

    def add_optional(self, sql: str, value: Any) -> None:
        """Add a condition with one placeholder, unless `value` is None."""
        if value is not None:
            self.add(sql, value)

    def __str__(self) -> str:
        return " AND ".join(self.conditions) or "1"


class Database:
    """A database that is open for reading.

    `connection` is the SQLite connection, `db` the same for sqlite-utils (schema and migrations). The connection of `open_database` is in a
    read transaction, so all reads see the state of one moment.
    """

    def __init__(self, db: sqlite_utils.Database, path: str, connection: sqlite3.Connection | None = None) -> None:
        self.db = db
        self.connection = db.conn if connection is None else connection
        self.path = path

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Return all rows of a query."""
        return self.connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Row | None:
        """Return the first row of a query, or None without a row."""
        row: Row | None = self.connection.execute(sql, values).fetchone()
        return row

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row of a query, or None without a row."""
        row = self.row(sql, *values)
        return row[0] if row else None

    def select_by_keys(self, columns: str, keys: Iterable[Row], select: str) -> Iterator[Row]:
        """Rows of `select`, which joins the table `wanted` with other tables. `wanted` holds `keys` under the given column names.

        From the LIMIT in `wanted` SQLite knows the number of keys. Without it SQLite assumes a million and may read a whole table
        to build a Bloom filter.
        """
        column_count = columns.count(",") + 1
        for chunk in chunked(keys, MAX_VARIABLES // column_count):
            values = list(chain.from_iterable(chunk))
            wanted_rows = f"SELECT * FROM (VALUES {_value_rows(column_count, len(chunk))}) LIMIT {len(chunk)}"
            yield from self.connection.execute(f"WITH wanted ({columns}) AS ({wanted_rows}) {select}", values)

    def select_by_ids(self, ids: Iterable[int], select: str) -> Iterator[Row]:
        """Rows of `select`, which joins the table `wanted` (one column, `id`) with other tables."""
        return self.select_by_keys("id", ((i,) for i in ids), select)

    def group_by_ids(self, ids: Iterable[int], select: str) -> dict[int, list[Row]]:
        """As `select_by_ids`, grouped by the first column of each row, which is left out of the rows."""
        groups: dict[int, list[Row]] = {}
        for row in self.select_by_ids(ids, select):
            groups.setdefault(row[0], []).append(row[1:])
        return groups

    def next_id(self, table: str) -> int:
        """The id of the next row of a table. Ids are assigned by the one writer, within its transaction."""
        return int(self.value(f"SELECT coalesce(max(id), 0) + 1 FROM {table}"))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Within the block, a connection that is not in a transaction reads the state of one moment."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.rollback()

    def database_bytes(self) -> int:
        """Bytes on disk of the database and its write-ahead log."""
        return sum(os.path.getsize(p) for p in (self.path, self.path + "-wal") if os.path.exists(p))

    def lsh_index_path(self) -> str:
        """Path of the MinHash LSH index, next to the database."""
        return os.path.realpath(self.path) + ".index"

    def passage_index_path(self) -> str:
        """Path of the passage index."""
        return os.path.realpath(self.path) + ".passages"

    def search_index_path(self) -> str:
        """Path of the full-text search index."""
        return os.path.realpath(self.path) + ".search"

    def index_bytes(self) -> int:
        """Bytes on disk of the three indexes. An index that does not exist yet counts 0."""
        indexes = self.lsh_index_path(), self.passage_index_path(), self.search_index_path(), self.search_index_path() + "-wal"
        return sum(os.path.getsize(p) for p in indexes if os.path.exists(p))


class Transaction(Database):
    """An open transaction of the one writer. Functions that write take a Transaction."""

    def __init__(self, writer: WritableDatabase) -> None:
        super().__init__(writer.db, writer.path, writer.connection)
        self._writer = writer

    def require_sound(self, error: Exception) -> None:
        """Raise DatabaseDamagedError if `error` comes from damage to the database. The transaction stays open."""
        self._writer.require_sound(error, rollback=False)

    def execute(self, sql: str, *values: Any) -> int:
        """Run one statement. Returns the number of rows that it inserted, updated or deleted."""
        return self.connection.execute(sql, values).rowcount

    def execute_many(self, sql: str, rows: Iterable[Row]) -> int:
        """Run one statement for each row of values. Returns the number of rows inserted, updated or deleted by all of them."""
        return self.connection.executemany(sql, rows).rowcount

    def insert(self, sql: str, values: Iterable[Any]) -> int:
        """Run an INSERT and return the id of the new row."""
        row = self.connection.execute(sql, tuple(values)).lastrowid
        assert row is not None
        return row

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Write all of the block, or nothing of it if it raises. The transaction continues in either case."""
        self.execute("SAVEPOINT block")
        try:
            yield
        except BaseException:
            if self.connection.in_transaction:
                self.execute("ROLLBACK TO block")
                self.execute("RELEASE block")
            raise
        self.execute("RELEASE block")


class WritableDatabase(Database):
    """The database as its one writer has it open. Writes happen in `transaction`.

    `lock` shows other processes what the writer is doing. Once `is_shutting_down` returns true, a transaction no longer waits for other
    programs.
    """

    def __init__(self, db: sqlite_utils.Database, path: str, lock: Lock) -> None:
        super().__init__(db, path)
        self.lock = lock
        self.is_shutting_down: Callable[[], bool] = lambda: False
        self._files = OpenFiles(path)
        self._commit_count: int | None = None
        self._trusted_until = float("-inf")

    def require_files_unchanged(self) -> None:
        """Raise an error if the files of the database are not those that were opened; see `OpenFiles.check`. What is written to them would
        be lost. A lock file that was removed is created again.

        If the log was removed or replaced, its content is first copied back to the database: no commit is lost.
        """
        self.lock.ensure_file()
        try:
            self._files.check()
        except (DatabaseTruncatedError, WalTruncatedError):
            self.lock.prevent_checkpoint()  # a checkpoint of the rest would mix pages of different commits
            raise
        except WalLostError:
            self.lock.prevent_checkpoint()  # SQLite would remove whatever file now has its name
            self._checkpoint_log()
            raise

    def close_files(self) -> None:
        """Release what `require_files_unchanged` needs. Call it after the connection is closed."""
        self._files.close()

    def _checkpoint_log(self) -> None:
        """Copy the whole log, which may have no name any more, back to the database."""
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            busy, frames, checkpointed = self.connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
            if not busy and checkpointed >= frames:
                return
            if time.monotonic() > deadline:
                raise DatabaseFailedError(path=self.path, problem="its write-ahead log was removed, and a reader prevents copying it back")

    @contextmanager
    def translate_errors(self) -> Iterator[None]:
        """Raise DatabaseFailedError for an error of SQLite or of the operating system (disk full, process limit) in the block. No
        transaction stays open."""
        try:
            with self.translate_sqlite_errors():
                yield
        except OSError as error:
            raise DatabaseFailedError(path=self.path, problem=disk_errors.explain_error(error, self.path)) from error

    @contextmanager
    def translate_sqlite_errors(self) -> Iterator[None]:
        """Raise DatabaseFailedError or DatabaseDamagedError for an error of SQLite in the block. Any error that damage to the database
        caused becomes a DatabaseDamagedError. No transaction stays open."""
        try:
            yield
        except SUSPICIOUS_ERRORS as error:
            self.require_sound(error)
            if isinstance(error, sqlite3.Error):
                raise to_dedup_error(DatabaseFailedError, self.path, error) from error
            raise
        except sqlite3.Error as error:
            if self.connection.in_transaction:
                with suppress(sqlite3.Error):
                    self.connection.rollback()
            raise to_dedup_error(DatabaseFailedError, self.path, error) from error

    def require_sound(self, error: Exception, *, rollback: bool = True) -> None:
        """Raise DatabaseDamagedError if the database is damaged, because then that caused `error`. An open transaction is rolled back
        unless `rollback` is false.

        The check reads the whole file, so a database that was just found sound is not checked again for a while.
        """
        if rollback and self.connection.in_transaction:
            with suppress(sqlite3.Error):
                self.connection.rollback()
        started = time.monotonic()
        if started < self._trusted_until:
            return
        require_sound(self.connection, self.path, error)
        finished = time.monotonic()
        self._trusted_until = finished + SOUND_CHECK_TRUST_FACTOR * (finished - started)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Write all of the block, or nothing of it if it raises. The commit is durable when the block ends (WAL, synchronous=FULL).

        Raises what `require_files_unchanged` raises.
        """
        self.require_files_unchanged()
        self._begin()
        try:
            self._count_commit()
            yield Transaction(self)
            self._commit()
        except BaseException:
            self._commit_count = None
            if self.connection.in_transaction:
                self.connection.rollback()
            raise

    def _commit(self) -> None:
        self.connection.execute("COMMIT")

    def is_free(self) -> bool:
        """Return whether no other program holds the database for writing now."""
        try:
            self.connection.execute("PRAGMA busy_timeout=0")
            self.connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            return False
        finally:
            self.connection.execute("PRAGMA busy_timeout=500")
        self.connection.rollback()
        return True

    def _begin(self) -> None:
        """Wait for the database in short intervals, so that Python handles signals in between."""
        deadline = time.monotonic() + LOCK_TIMEOUT_SECONDS
        while True:
            try:
                self.connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline or self.is_shutting_down():
                    raise
            else:
                return

    def _count_commit(self) -> None:
        """Increase the commit counter in the header of the database; see `store.wal`."""
        count = (int(self.value("PRAGMA user_version")) if self._commit_count is None else self._commit_count) + 1
        self._commit_count = count if count < 1 << 31 else count - (1 << 32)
        self.connection.execute(f"PRAGMA user_version={self._commit_count}")


@lru_cache(maxsize=256)
def _value_rows(column_count: int, row_count: int) -> str:
    return ",".join(["(" + ",".join("?" * column_count) + ")"] * row_count)
