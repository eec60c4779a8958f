"""The files of an open database: removed, replaced or cut short by something else, nothing that was committed is lost silently."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dedup import store
from dedup.errors import DatabaseBusyError, DatabaseTruncatedError, WalLostError, WalTruncatedError
from dedup.store import Lock, WritableDatabase, open_database, open_writable
from dedup.store.lock import current_holder


def _wal(db: Path) -> Path:
    return db.with_name(db.name + "-wal")


def _shm(db: Path) -> Path:
    return db.with_name(db.name + "-shm")


def _put(database: WritableDatabase, key: str) -> None:
    with database.transaction() as transaction:
        store.settings.put(transaction, key, "there")


def _in_main_file(db: Path, key: str) -> bool:
    """Whether the database file by itself, without its log, holds a setting."""
    alone = db.with_name("alone.db")
    shutil.copyfile(db, alone)
    connection = sqlite3.connect(alone)
    try:
        return bool(connection.execute("SELECT 1 FROM settings WHERE key = ?", (key,)).fetchall())
    finally:
        connection.close()


def _sqlite(db: Path, statement: str) -> str:
    """What another program gets for a statement, or its error."""
    program = """if True:
        import sqlite3, sys
        try:
            print(sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute(sys.argv[2]).fetchall())
        except sqlite3.Error as error:
            print(error)
    """
    return subprocess.run([sys.executable, "-c", program, db, statement], capture_output=True, text=True, check=True).stdout.strip()


# The lock


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_without_its_lock_file_a_writer_is_still_the_only_one(db: Path, how: str) -> None:
    lock = db.with_name(db.name + ".lock")
    with open_writable(str(db), "first") as database:
        _put(database, "a")
        lock.unlink()
        if how == "replaced":
            lock.touch(0o600)
        assert current_holder(str(db)) is not None
        with pytest.raises(DatabaseBusyError), open_writable(str(db), "second"):
            pass
        _put(database, "b")
        with pytest.raises(DatabaseBusyError, match="first"):
            Lock(str(db), "second")
        found = current_holder(str(db))
        assert found is not None
        assert "first" in found.description
    Lock(str(db), "second").release()


def test_looking_at_a_database_keeps_the_locks_that_sqlite_holds_in_this_process(db: Path) -> None:
    with open_writable(str(db), "test") as database:
        _put(database, "a")
        assert current_holder(str(db)) is not None
        with open_database(str(db)) as reader:
            assert store.settings.get(reader, "a") == "there"
        assert "locked" in _sqlite(db, "PRAGMA journal_mode=DELETE")
        _put(database, "b")


# The log


def _removed(path: Path) -> None:
    path.unlink()


def _replaced(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"something else")


@pytest.mark.parametrize("how", [_removed, _replaced])
@pytest.mark.parametrize("which", [_wal, _shm])
def test_what_was_committed_is_saved_when_the_log_or_its_index_goes(
    db: Path, which: Callable[[Path], Path], how: Callable[[Path], None]
) -> None:
    with pytest.raises(WalLostError), open_writable(str(db), "test") as database:  # noqa: PT012 - what happens within is the case
        _put(database, "a")
        assert not _in_main_file(db, "a")
        how(which(db))
        with pytest.raises(WalLostError):
            _put(database, "b")
        assert _in_main_file(db, "a")
        database.require_files_unchanged()
    assert _in_main_file(db, "a")
    if how is _replaced:
        assert which(db).read_bytes() == b"something else"
        which(db).unlink()
    with open_writable(str(db), "test") as database:
        assert (store.settings.get(database, "a"), store.settings.get(database, "b")) == ("there", None)
        _put(database, "c")


@pytest.mark.parametrize("size", [0, 10_000])
def test_a_log_that_was_cut_short_is_noticed_and_the_database_stays_sound(db: Path, size: int) -> None:
    with open_writable(str(db), "test") as database:
        _put(database, "a")
    with pytest.raises(WalTruncatedError), open_writable(str(db), "test") as database:  # noqa: PT012 - what happens within is the case
        for n in range(20):
            _put(database, f"b{n}")
        with _wal(db).open("r+b") as file:
            file.truncate(size)
        _put(database, "c")
    with open_writable(str(db), "test") as database:
        assert store.settings.get(database, "a") == "there"
        assert store.settings.get(database, "c") is None
        assert database.value("PRAGMA integrity_check") == "ok"


def test_an_index_of_the_log_that_was_cut_short_is_made_again(db: Path) -> None:
    with open_writable(str(db), "test") as database:
        _put(database, "a")
        with _shm(db).open("r+b") as file:
            file.truncate(0)
        _put(database, "b")
        assert (store.settings.get(database, "a"), store.settings.get(database, "b")) == ("there", "there")


def test_a_database_that_was_cut_short_is_not_written_any_more(db: Path) -> None:
    with pytest.raises(DatabaseTruncatedError), open_writable(str(db), "test") as database:  # noqa: PT012 - what happens within is the case
        _put(database, "a")
        db.write_bytes(b"")
        _put(database, "b")
    assert db.stat().st_size == 0


def test_what_other_programs_may_do_is_no_damage(db: Path) -> None:
    with open_writable(str(db), "test") as database:
        for n in range(5):
            _put(database, f"a{n}")
            assert _sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)").startswith("[(0, ")
            assert _wal(db).stat().st_size == 0
        with database.transaction() as transaction:
            transaction.execute("CREATE TABLE large (x)")
            transaction.execute("INSERT INTO large VALUES (zeroblob(3000000))")
        _sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)")
        with database.transaction() as transaction:
            transaction.execute("DROP TABLE large")
        database.connection.execute("PRAGMA incremental_vacuum")
        _sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)")
        _put(database, "b")
        _sqlite(db, "INSERT INTO settings VALUES ('c', 'there')")
        _put(database, "d")
