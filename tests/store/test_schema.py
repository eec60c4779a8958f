"""Released migrations never change, and a schema that differs from the migrations is found and repaired."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from dedup import errors
from dedup.store import open_database, open_writable, schema
from tests.builders.command import CommandResult, run
from tests.builders.crawl import ArticleFile
from tests.builders.schemas import add_later_migration

pytestmark = pytest.mark.slow

DIGESTS = {"0001_base": "4c330be8211dcb21d09006b698d4ae52d8a204528694d0caef3ce0b2bbf91b57"}
"""Migration → SHA-256 of the statements that it runs on a new database, one a line.

From the first release on, a migration adds a line, and no line ever changes: databases that ran another form would stay different for
good. Write another migration instead.
"""


def statements() -> Iterator[tuple[str, str]]:
    """(migration, the statements that it runs on a database of the previous migrations)."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        db = Database(connection)
        for migration in list(schema.migrations.pending(db)):
            executed: list[str] = []
            connection.set_trace_callback(executed.append)
            migration.fn(db)
            connection.set_trace_callback(None)
            yield migration.name, "\n".join(executed)


def test_a_migration_is_never_altered() -> None:
    """If this fails for your new migration, add the line from the output to DIGESTS."""
    digests = {name: hashlib.sha256(executed.encode()).hexdigest() for name, executed in statements()}
    assert digests == DIGESTS
    assert digests.keys() == schema.MIGRATION_NAMES


# Databases of other versions


def connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    return connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scanned crawl directory."""
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', "utf-8")
    for n in range(3):
        ArticleFile(aid=f"{n:04}", body="본문이 한 문단으로 길게 이어진다. " * 10).write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0
    return tmp_path


def test_a_database_of_an_older_version_is_migrated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = run(folder, "dump", "--logical", "-f", "json").out
    add_later_migration(monkeypatch, "ALTER TABLE pages ADD COLUMN more TEXT")
    with pytest.raises(errors.DatabaseUnreadableError, match="dedup scan"), open_database(str(folder / "dedup.db")):
        pass
    assert "older version" in doctor(folder).out
    assert run(folder, "scan").code == 0
    assert run(folder, "dump", "--logical", "-f", "json").out == before
    assert doctor(folder).json()["findings"] == []
    with closing(connect(folder / "dedup.db")) as connection:
        assert connection.execute("SELECT count(*), count(more) FROM pages").fetchone() == (3, 0)
        assert schema.differences(Database(connection)) == []
    monkeypatch.undo()
    result = run(folder, "scan")
    assert (result.code, "newer version" in result.err, "9999_later" in result.err) == (3, True, True)


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("CREATE TABLE publishers (id INTEGER)", "already exists"),
        ("UPDATE revisions SET page_id = page_id + 99", "foreign keys would be broken"),
    ],
)
def test_a_failed_migration_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch, sql: str, words: str) -> None:
    before = run(folder, "dump", "--logical", "-f", "json").out
    add_later_migration(monkeypatch, sql)
    with pytest.raises(errors.DatabaseUnreadableError, match=words), open_writable(str(folder / "dedup.db"), "test"):
        pass
    monkeypatch.undo()
    assert run(folder, "dump", "--logical", "-f", "json").out == before
    assert run(folder, "doctor").code == 0


def content(connection: sqlite3.Connection) -> list[str]:
    """All tables with their rows, without SQLite's own tables."""
    return [line for line in connection.iterdump() if "sqlite_stat" not in line and "ANALYZE" not in line]


@pytest.mark.parametrize("args", [("scan",), ("status",), ("reindex",), ("backup", "kept.db"), ("doctor",), ("doctor", "--repair")])
def test_a_database_of_a_development_version_is_refused(folder: Path, args: tuple[str, ...]) -> None:
    with closing(connect(folder / "dedup.db")) as connection:
        connection.execute("UPDATE _sqlite_migrations SET name = '0001_first'")
        before = content(connection)
    result = run(folder, *args)
    assert result.code == (1 if args[0] == "doctor" else 3)
    output = result.out + result.err
    assert "was written by a version of dedup before the first release and cannot be migrated" in output
    assert "into a new database." in output
    assert args[0] == "doctor" or result.err.count("\n") == 1
    with closing(connect(folder / "dedup.db")) as connection:
        assert content(connection) == before
    assert not (folder / "kept.db").exists()


# `doctor` and the schema

ALTERED = {
    "an index that is missing": "DROP INDEX matches_text_b",
    "an index of other columns": "DROP INDEX matches_text_b; CREATE INDEX matches_text_b ON matches (relation)",
    "a trigger that is missing": "DROP TRIGGER dirty_page_sighting_inserted",
    "a trigger that does nothing": "DROP TRIGGER dirty_page_change_inserted;"
    " CREATE TRIGGER dirty_page_change_inserted AFTER INSERT ON changes BEGIN SELECT 1; END",
    "a view that is missing": "DROP VIEW history",
    "a view of other columns": "DROP VIEW history; CREATE VIEW history AS SELECT 1",
    "summaries that are missing": "DROP TABLE summaries",
    "summaries of other columns": "ALTER TABLE summaries ADD COLUMN more TEXT",
    "clusters that are missing": "PRAGMA foreign_keys=OFF; DROP TABLE cluster_members; DROP TABLE clusters",
}


def doctor(folder: Path, *options: str) -> CommandResult:
    return run(folder, "doctor", "-f", "json", *options)


@pytest.mark.parametrize("script", ALTERED.values(), ids=ALTERED)
def test_altered_views_indexes_and_triggers_are_found_and_rebuilt(folder: Path, script: str) -> None:
    before = run(folder, "dump", "--logical", "-f", "json").out
    with closing(connect(folder / "dedup.db")) as connection:
        connection.executescript(script)
        names = {d.name for d in schema.differences(Database(connection))}
    assert names
    result = doctor(folder)
    assert result.code == 1
    findings = [f for f in result.json()["findings"] if f["check"] == "database"]
    assert {name for name in names if any(f" {name} " in f["message"] and f["repairable"] for f in findings)} == names
    result = doctor(folder, "--repair")
    assert (result.code, result.json()["findings"]) == (0, [])
    with closing(connect(folder / "dedup.db")) as connection:
        assert schema.differences(Database(connection)) == []
        assert connection.execute("SELECT count(*) FROM summaries").fetchone() == (3,)
    assert run(folder, "dump", "--logical", "-f", "json").out == before


@pytest.mark.parametrize("script", ["PRAGMA foreign_keys=OFF; DROP TABLE readings", "ALTER TABLE pages DROP COLUMN current_sighting_id"])
def test_a_lost_table_is_reported_and_not_rebuilt(folder: Path, script: str) -> None:
    with closing(connect(folder / "dedup.db")) as connection:
        for view in ("history", "articles", "cluster_details", "current_articles", "matching_pages"):
            connection.execute(f"DROP VIEW {view}")
        connection.executescript(f"DROP INDEX pages_current_sighting; DROP TRIGGER dirty_page_current_sighting_updated; {script}")
    for options in ((), ("--repair",)):
        result = doctor(folder, *options)
        assert result.code == 1
        (finding,) = (f for f in result.json()["findings"] if f["message"].startswith("the table "))
        assert not finding["repairable"]


def test_additions_of_users_to_the_schema_are_kept(folder: Path) -> None:
    with closing(connect(folder / "dedup.db")) as connection:
        connection.executescript("CREATE TABLE notes (a); CREATE INDEX notes_a ON notes (a); CREATE VIEW seen AS SELECT url FROM pages")
    assert doctor(folder).json()["findings"] == []
