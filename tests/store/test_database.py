"""The database: one writer, read-only readers, atomic transactions, and a schema that explains itself."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from dedup import errors, store
from dedup.store import Database, open_database, open_writable
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile

pytestmark = pytest.mark.slow


@pytest.fixture
def db(tmp_path: Path) -> Path:
    ArticleFile(oid="901").write(tmp_path / "crawl")
    ArticleFile(oid="902").write(tmp_path / "crawl")
    ArticleFile(oid="902", body="고쳐 쓴 본문", crawled_at="2026-03-03 00:00:00").write(tmp_path / "crawl", "b.md")
    running.scan(tmp_path / "crawl", tmp_path / "dedup.db")
    return tmp_path / "dedup.db"


def test_a_second_writer_is_refused_at_once_with_the_name_of_the_first(db: Path) -> None:
    hold = """
import sys
from dedup.store import open_writable
with open_writable(sys.argv[1], "watch"):
    print("open", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", hold, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        with pytest.raises(errors.DatabaseBusyError, match=rf"'dedup watch' \(process {process.pid}"), open_writable(str(db), "scan"):
            pass
        with open_database(str(db)) as database:
            assert store.statistics.count(database, "pages") == 2
        process.communicate(b"")
    with open_writable(str(db), "scan"):
        pass


def test_a_failed_transaction_leaves_nothing(db: Path) -> None:
    with open_writable(str(db), "test") as database:

        def fail() -> None:
            with database.transaction() as transaction:
                store.pages.get_or_insert(transaction, "https://one.example/")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert store.pages.get_by_url(database, "https://one.example/") is None


def test_an_error_of_sqlite_becomes_a_message_of_one_line(db: Path) -> None:
    with pytest.raises(errors.DatabaseFailedError, match="no file was partly recorded"), open_writable(str(db), "test") as database:
        database.connection.execute("INSERT INTO pages (url) VALUES (NULL)")


def test_a_reader_cannot_write(db: Path) -> None:
    with pytest.raises(errors.DatabaseUnreadableError, match="readonly"), open_database(str(db)) as database:
        database.connection.execute("DELETE FROM pages")


def test_reading_does_not_create_a_missing_database(tmp_path: Path) -> None:
    with pytest.raises(errors.DatabaseMissingError), open_database(str(tmp_path / "none.db")):
        pass
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("opening", [open_database, lambda path: open_writable(path, "test")])
def test_a_newer_database_is_refused(db: Path, opening: object) -> None:
    with sqlite3.connect(db) as connection:
        connection.execute("INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('dedup', '9999_later', 'x')")
    connection.close()
    with pytest.raises(errors.DatabaseNewerError, match="9999_later"), opening(str(db)):  # type: ignore[operator]
        pass


def test_a_file_that_is_not_a_database_is_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "dedup.db"
    path.write_bytes(b"not a database, but another file " * 100)
    before = path.read_bytes()
    with pytest.raises(errors.DatabaseUnreadableError), open_writable(str(path), "test"):
        pass
    assert path.read_bytes() == before


def test_only_the_owner_can_read_the_database(db: Path) -> None:
    assert stat.S_IMODE(os.stat(db).st_mode) == 0o600


def test_tables_are_strict_and_integrity_and_foreign_keys_hold(db: Path) -> None:
    connection = sqlite3.connect(db)
    tables = connection.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'").fetchall()
    assert {name for name, strict in tables if not strict and not name.startswith("sqlite_")} == {"_sqlite_migrations"}
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def test_the_views_have_readable_rows(db: Path) -> None:
    database = sqlite_utils.Database(db)
    assert [r["crawled_at"] for r in database["history"].rows if r["url"].endswith("902/0000000001")] == [
        "2026-03-02T00:30:00+00:00",
        "2026-03-03T00:00:00+00:00",
    ]
    assert [(r["body_changed"], r["body_after"]) for r in database["change_details"].rows] == [(1, "고쳐 쓴 본문")]
    assert list(database["duplicates"].rows) == []
    database.close()


def test_eight_processes_that_start_at_once_create_one_valid_database(tmp_path: Path) -> None:
    path = tmp_path / "dedup.db"
    start = """
import sys
from dedup import errors
from dedup.store import schema
from dedup.store import open_writable
try:
    with open_writable(sys.argv[1], "scan"):
        print("made")
except errors.DatabaseBusyError:
    print("busy")
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", start, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(8)
    ]
    outputs = [p.communicate() for p in processes]
    assert {out.strip() for out, _ in outputs} <= {b"made", b"busy"}, outputs
    assert b"made" in {out.strip() for out, _ in outputs}
    with open_database(str(path)) as database:
        assert store.statistics.count(database, "pages") == 0


def test_a_process_outside_the_tests_syncs_commits_and_creates_the_same_schema(tmp_path: Path) -> None:
    """The tests turn syncing off within their own process, to be faster."""
    program = """
import sys
from dedup.store import open_writable
with open_writable(sys.argv[1], "scan") as store:
    print(store.value("PRAGMA synchronous"), store.value("PRAGMA journal_mode"))
"""
    process_db, test_db = tmp_path / "theirs.db", tmp_path / "ours.db"
    output = subprocess.run([sys.executable, "-c", program, str(process_db)], capture_output=True, text=True, check=True).stdout
    assert output == "2 wal\n", "FULL"
    with open_writable(str(test_db), "test"):
        pass
    queries = (
        "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY 1, 2",
        "PRAGMA auto_vacuum",
        "PRAGMA journal_mode",
        "PRAGMA page_size",
    )
    schemas = []
    for path in (process_db, test_db):
        with closing(sqlite3.connect(path)) as connection:
            schemas.append([connection.execute(sql).fetchall() for sql in queries])
    assert schemas[0] == schemas[1]


def test_old_batch_tokens_are_deleted(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.store.batches.MAX_BATCHES", 3)
    with open_writable(str(db), "test") as database:
        with database.transaction() as transaction:
            tokens = [store.batches.insert(transaction, n) for n in range(5)]
        assert [store.batches.last_text_of_token(database, t) for t in tokens] == [None, None, 2, 3, 4]
        assert store.batches.latest(database) == (tokens[-1], 4)
        with database.transaction() as transaction:
            new_token = store.batches.restart(transaction)
        assert [store.batches.last_text_of_token(database, t) for t in tokens] == [None] * 5
        assert store.batches.latest(database) == (
            new_token,
            database.value("SELECT coalesce(max(id), 0) FROM texts WHERE signature IS NOT NULL"),
        )


def test_a_few_ids_are_looked_up_without_a_table_scan() -> None:
    plans: list[str] = []

    class ExplainingConnection:
        def execute(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Cursor:
            plans.extend(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", values))
            return connection.execute(sql, values)

    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE large (id INTEGER PRIMARY KEY, x TEXT)")
        connection.executemany("INSERT INTO large VALUES (?, 'x')", ((n,) for n in range(5000)))
        connection.execute("ANALYZE")
        lookups = Database.__new__(Database)
        lookups.connection = ExplainingConnection()  # type: ignore[assignment]
        rows = list(lookups.select_by_ids(range(500), "SELECT t.id FROM wanted w CROSS JOIN large t ON t.id = w.id WHERE t.x IS NOT NULL"))
    assert len(rows) == 500
    assert "SEARCH t USING INTEGER PRIMARY KEY (rowid=?)" in plans
    assert not [plan for plan in plans if "BLOOM" in plan]
