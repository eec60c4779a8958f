"""Migrations that have run somewhere stay as they are, and a schema that is not as they make it is found and put right."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from dedup.store import open_writable, schema
from tests.conftest import Ran, run
from tests.crawl import Made

DIGESTS = {
    "0001_first": "8b976f348e5b77a0151a008f21c1f4d609801d653284eb52a3157f066ec39240",
    "0002_batches": "0539b97c6f3138941414a5b6791892ebc40418fd046ef084ec84e3fc265f033f",
    "0003_passages": "64fbffc7670334cd768af7f6e475829aa12067db66ce9973c7f1d2de529572a4",
    "0004_pruned": "9bdeff592694ca8e18055eca9421ada94ead9a113cf1b07a01def8723db86b2c",
    "0005_judged": "30ee8d556b4e470c8825b13a120400328bf5edc4a5c181d4e53fbc353f4ab8ca",
    "0006_alerts": "277fa66188470e29d995948d337cb8e5ae65a52f8a914232f3915dedef200778",
    "0007_summaries": "702c5918bedf029d44aa2db9efacc646d92bd36d2b7d47f1b58ce5ca40ac4b6f",
    "0008_altered": "1ab32becebe49cf3597c2b4480ee1ba14d44ec9e4e35ff3c9e8c2d6c9f0a840b",
    "0009_counted": "f031e8a7b68ef06a1bc0c4b5527167b257318bf02fd8734c9bd2b4162f70a5f0",
    "0011_summaries_again": "df9ca54557e7a97c78bc06cca7f071d3c8a9c164133ccad1c725cbce50f2fb3d",
    "0012_rereads": "224a14e598ac5240734dc4562e1a8fd6bb5e4f2dc78f315f02c83fc5ecc60362",
    "0013_neighbours": "9a8add161bb884818d6e77496a09b9450575805f9ff89bab2fdce3158fc39cda",
    "0014_mounts": "e0b70cb37acf97e781a4bc232dbcc17ae246dd36013cee65bb1fe14dacf30f51",
    "0015_schedules": "6478378cb5349785e180c9d5b0da4b166ce6db8ee47bc74bba01a453e1adcca2",
    "0016_quoted": "afa9e240cd3c4e3b7a8caa5ae4d6c372c947d7d16847a12b47b2b375f727de0b",
}
"""Migration → SHA-256 of the statements that it runs on a new database, one a line. A line is added with a migration and never changed:
databases that ran another form of it would stay different for good. Write another migration instead."""


def statements() -> Iterator[tuple[str, str]]:
    """(migration, what it runs on a database that the ones before it made)."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        db = Database(connection)
        for migration in list(schema.migrations.pending(db)):
            ran: list[str] = []
            connection.set_trace_callback(ran.append)
            migration.fn(db)
            connection.set_trace_callback(None)
            yield migration.name, "\n".join(ran)


def test_a_migration_is_never_altered() -> None:
    """Where this fails for a migration of yours that is new: add the line that it shows to DIGESTS."""
    found = {name: hashlib.sha256(ran.encode()).hexdigest() for name, ran in statements()}
    assert found == DIGESTS
    assert found.keys() == schema.MIGRATION_NAMES


# Databases of before


def made(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    return connection


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scanned crawl directory."""
    (tmp_path / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n', "utf-8")
    for n in range(3):
        Made(aid=f"{n:04}", body="본문이 한 문단으로 길게 이어진다. " * 10).write(tmp_path / "crawl")
    assert run(tmp_path, "scan").code == 0
    return tmp_path


def forget(connection: sqlite3.Connection, *names: str) -> None:
    connection.executemany("DELETE FROM _sqlite_migrations WHERE name = ?", ((name,) for name in names))


def test_an_early_form_of_the_summaries_is_brought_up_to_date(folder: Path) -> None:
    """0007 once made no column `text_id`, and fewer indexes."""
    with closing(made(folder / "dedup.db")) as connection:
        forget(connection, "0009_counted", "0011_summaries_again")
        connection.execute("DROP VIEW articles")
        connection.execute("DROP VIEW clusters_view")
        connection.execute("DROP INDEX sightings_doubted")
        connection.execute("DROP INDEX files_gone")
        connection.execute("ALTER TABLE summaries DROP COLUMN text_id")
        for sql in (d.sql for d in schema.differences(Database(connection)) if d.kind == "view"):
            connection.execute(sql)
    Made(aid="9999").write(folder / "crawl")
    assert run(folder, "scan").code == 0
    with closing(made(folder / "dedup.db")) as connection:
        assert schema.differences(Database(connection)) == []
        assert connection.execute("SELECT count(*), count(text_id) FROM summaries").fetchone() == (4, 4)
    assert run(folder, "doctor").code == 0


def test_an_early_form_of_0004_is_brought_up_to_date(tmp_path: Path) -> None:
    """It made the view that 0005 makes."""
    with closing(made(tmp_path / "a.db")) as connection:
        db = Database(connection)
        schema.migrations.apply(db, stop_before="0005_judged")
        connection.execute("CREATE VIEW changes_view AS SELECT 1")
    with open_writable(str(tmp_path / "a.db"), "test"):
        pass
    with closing(made(tmp_path / "a.db")) as connection:
        assert schema.differences(Database(connection)) == []


# What the doctor says and does

ALTERED = {
    "an index that is missing": "DROP INDEX matches_b",
    "an index of other columns": "DROP INDEX matches_b; CREATE INDEX matches_b ON matches (relation)",
    "a trigger that is missing": "DROP TRIGGER due_sighting_new",
    "a trigger that does nothing": "DROP TRIGGER due_change_new; CREATE TRIGGER due_change_new AFTER INSERT ON changes BEGIN SELECT 1; END",
    "a view that is missing": "DROP VIEW history",
    "a view of other columns": "DROP VIEW history; CREATE VIEW history AS SELECT 1",
    "summaries that are missing": "DROP TABLE summaries",
    "summaries of other columns": "ALTER TABLE summaries ADD COLUMN more TEXT",
    "clusters that are missing": "PRAGMA foreign_keys=OFF; DROP TABLE cluster_members; DROP TABLE clusters",
}


def doctor(folder: Path, *options: str) -> Ran:
    return run(folder, "doctor", "-f", "json", *options)


@pytest.mark.parametrize("script", ALTERED.values(), ids=ALTERED)
def test_what_is_derived_of_the_schema_is_found_and_made_again(folder: Path, script: str) -> None:
    before = run(folder, "dump", "--logical", "-f", "json").out
    with closing(made(folder / "dedup.db")) as connection:
        connection.executescript(script)
        names = {d.name for d in schema.differences(Database(connection))}
    assert names
    ran = doctor(folder)
    assert ran.code == 1
    told = [f for f in ran.json()["findings"] if f["check"] == "database"]
    assert {name for name in names if any(f" {name} is " in f["what"] and f["repairable"] for f in told)} == names
    ran = doctor(folder, "--repair")
    assert (ran.code, ran.json()["findings"]) == (0, [])
    with closing(made(folder / "dedup.db")) as connection:
        assert schema.differences(Database(connection)) == []
        assert connection.execute("SELECT count(*) FROM summaries").fetchone() == (3,)
    assert run(folder, "dump", "--logical", "-f", "json").out == before


@pytest.mark.parametrize("script", ["PRAGMA foreign_keys=OFF; DROP TABLE readings", "ALTER TABLE pages DROP COLUMN current_sighting_id"])
def test_a_table_that_was_lost_is_told_and_not_made_again(folder: Path, script: str) -> None:
    with closing(made(folder / "dedup.db")) as connection:
        for view in ("history", "articles", "clusters_view", "current_articles", "duplicates"):
            connection.execute(f"DROP VIEW {view}")
        connection.executescript(f"DROP INDEX pages_current; DROP TRIGGER due_current; {script}")
    for options in ((), ("--repair",)):
        ran = doctor(folder, *options)
        assert ran.code == 1
        (told,) = (f for f in ran.json()["findings"] if f["what"].startswith("the table "))
        assert not told["repairable"]


def test_what_others_add_is_theirs(folder: Path) -> None:
    with closing(made(folder / "dedup.db")) as connection:
        connection.executescript("CREATE TABLE notes (a); CREATE INDEX notes_a ON notes (a); CREATE VIEW seen AS SELECT url FROM pages")
    assert doctor(folder).json()["findings"] == []
