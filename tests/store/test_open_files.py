"""Files of an open database that something else removes, replaces or truncates: no commit is lost silently."""

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


def wal_path(db: Path) -> Path:
    return db.with_name(db.name + "-wal")


def shm_path(db: Path) -> Path:
    return db.with_name(db.name + "-shm")


def put_setting(database: WritableDatabase, key: str) -> None:
    with database.transaction() as transaction:
        store.settings.put(transaction, key, "there")


def is_in_main_file(db: Path, key: str) -> bool:
    """Whether the database file holds a setting without its log."""
    alone = db.with_name("alone.db")
    shutil.copyfile(db, alone)
    connection = sqlite3.connect(alone)
    try:
        return bool(connection.execute("SELECT 1 FROM settings WHERE key = ?", (key,)).fetchall())
    finally:
        connection.close()


def run_sqlite(db: Path, statement: str) -> str:
    """Output of a statement in another process, or its error."""
    program = """if True:
        import sqlite3, sys
        try:
            print(sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None).execute(sys.argv[2]).fetchall())
        except sqlite3.Error as error:
            print(error)
    """
    return subprocess.run([sys.executable, "-c", program, db, statement], capture_output=True, text=True, check=True).stdout.strip()


# The lock


@pytest.mark.parametrize("event", ["removed", "replaced"])
def test_a_second_writer_is_refused_even_without_the_lock_file(db: Path, event: str) -> None:
    lock = db.with_name(db.name + ".lock")
    with open_writable(str(db), "first") as database:
        put_setting(database, "a")
        lock.unlink()
        if event == "replaced":
            lock.touch(0o600)
        assert current_holder(str(db)) is not None
        with pytest.raises(DatabaseBusyError), open_writable(str(db), "second"):
            pass
        put_setting(database, "b")
        with pytest.raises(DatabaseBusyError, match="first"):
            Lock(str(db), "second")
        holder = current_holder(str(db))
        assert holder is not None
        assert "first" in holder.description
    Lock(str(db), "second").release()


def test_inspecting_a_database_keeps_the_locks_of_sqlite_in_this_process(db: Path) -> None:
    with open_writable(str(db), "test") as database:
        put_setting(database, "a")
        assert current_holder(str(db)) is not None
        with open_database(str(db)) as reader:
            assert store.settings.get(reader, "a") == "there"
        assert "locked" in run_sqlite(db, "PRAGMA journal_mode=DELETE")
        put_setting(database, "b")


# The log


def remove(path: Path) -> None:
    path.unlink()


def replace_with_other_content(path: Path) -> None:
    path.unlink()
    path.write_bytes(b"something else")


@pytest.mark.parametrize("act", [remove, replace_with_other_content])
@pytest.mark.parametrize("choose_path", [wal_path, shm_path])
def test_commits_are_saved_if_the_log_or_its_index_disappears(
    db: Path, choose_path: Callable[[Path], Path], act: Callable[[Path], None]
) -> None:
    with pytest.raises(WalLostError), open_writable(str(db), "test") as database:  # noqa: PT012 - the whole block is under test
        put_setting(database, "a")
        assert not is_in_main_file(db, "a")
        act(choose_path(db))
        with pytest.raises(WalLostError):
            put_setting(database, "b")
        assert is_in_main_file(db, "a")
        database.require_files_unchanged()
    assert is_in_main_file(db, "a")
    if act is replace_with_other_content:
        assert choose_path(db).read_bytes() == b"something else"
        choose_path(db).unlink()
    with open_writable(str(db), "test") as database:
        assert (store.settings.get(database, "a"), store.settings.get(database, "b")) == ("there", None)
        put_setting(database, "c")


@pytest.mark.parametrize("size", [0, 10_000])
def test_a_truncated_log_is_noticed_and_the_database_stays_sound(db: Path, size: int) -> None:
    with open_writable(str(db), "test") as database:
        put_setting(database, "a")
    with pytest.raises(WalTruncatedError), open_writable(str(db), "test") as database:  # noqa: PT012 - the whole block is under test
        for n in range(20):
            put_setting(database, f"b{n}")
        with wal_path(db).open("r+b") as file:
            file.truncate(size)
        put_setting(database, "c")
    with open_writable(str(db), "test") as database:
        assert store.settings.get(database, "a") == "there"
        assert store.settings.get(database, "c") is None
        assert database.value("PRAGMA integrity_check") == "ok"


def test_a_truncated_index_of_the_log_is_rebuilt(db: Path) -> None:
    with open_writable(str(db), "test") as database:
        put_setting(database, "a")
        with shm_path(db).open("r+b") as file:
            file.truncate(0)
        put_setting(database, "b")
        assert (store.settings.get(database, "a"), store.settings.get(database, "b")) == ("there", "there")


def test_a_truncated_database_is_not_written_to(db: Path) -> None:
    with pytest.raises(DatabaseTruncatedError), open_writable(str(db), "test") as database:  # noqa: PT012 - the whole block is under test
        put_setting(database, "a")
        db.write_bytes(b"")
        put_setting(database, "b")
    assert db.stat().st_size == 0


def test_legitimate_use_by_other_programs_is_not_damage(db: Path) -> None:
    with open_writable(str(db), "test") as database:
        for n in range(5):
            put_setting(database, f"a{n}")
            assert run_sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)").startswith("[(0, ")
            assert wal_path(db).stat().st_size == 0
        with database.transaction() as transaction:
            transaction.execute("CREATE TABLE large (x)")
            transaction.execute("INSERT INTO large VALUES (zeroblob(3000000))")
        run_sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)")
        with database.transaction() as transaction:
            transaction.execute("DROP TABLE large")
        database.connection.execute("PRAGMA incremental_vacuum")
        run_sqlite(db, "PRAGMA wal_checkpoint(TRUNCATE)")
        put_setting(database, "b")
        run_sqlite(db, "INSERT INTO settings VALUES ('c', 'there')")
        put_setting(database, "d")
