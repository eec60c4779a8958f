"""A start with a damaged database works, or reports the damage in one line that names `dedup doctor`."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dedup import errors, store
from dedup.index.hashtable import HEADER_BYTES, HashTable
from dedup.maintenance.reindex import reindex_signatures
from dedup.matching.matcher import Matcher
from dedup.pipeline.session import build_extract_options, build_matching
from dedup.store import open_database, open_writable, wal
from tests.builders import damage as damaging
from tests.builders import scans as running
from tests.builders.command import CommandResult, run, spawn

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("machine_code")]

URL = "https://n.news.naver.com/mnews/article/901/0000000004"
READERS = [("status",), ("duplicates",), ("duplicates", "--pairs"), ("history", URL), ("diff", URL), ("dump", "--logical")]
WRITERS = [("scan",), ("reindex",), ("reindex", "--urls")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A scanned crawl of 40 pages, and one file that was not scanned."""
    damaging.fill(tmp_path / "crawl", 40)
    damaging.configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    damaging.fill(tmp_path / "crawl", 1, first=40)
    return tmp_path


def reports_damage(result: CommandResult) -> bool:
    return result.code == 3 and result.err.startswith("dedup: ") and "dedup doctor" in result.err and result.err.count("\n") == 1


@pytest.mark.parametrize("damage", damaging.WAYS, ids=lambda way: way.__name__)
def test_every_command_reports_a_damaged_database(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "dedup.db")
    for args in READERS:
        result = run(folder, *args)
        assert reports_damage(result) or (result.code == 0 and not result.err), (args, result)
    before = (folder / "dedup.db").read_bytes()
    assert [args for args in WRITERS if not reports_damage(run(folder, *args))] == []
    assert (folder / "dedup.db").read_bytes() == before, "readable content is unchanged"


@pytest.mark.system
@pytest.mark.parametrize("damage", damaging.WAYS, ids=lambda way: way.__name__)
def test_the_daemon_exits_with_one_line_on_a_damaged_database(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "dedup.db")
    result = spawn(folder, "--quiet", "watch")
    assert reports_damage(result), result.err


def test_damage_that_a_scan_does_not_read_does_not_stop_it(folder: Path) -> None:
    """Detecting it takes a full read, which is the task of `doctor`."""
    leaf = damaging.leaves(folder / "dedup.db", "revisions")[3]
    damaging.overwrite(folder / "dedup.db", [leaf], bytes)
    assert run(folder, "status").code == 0
    assert run(folder, "scan").code == 0
    assert reports_damage(run(folder, "dump", "--logical"))


@pytest.mark.parametrize("remainder", [b"", b"SQLite"])
def test_a_database_truncated_to_almost_nothing_is_noticed(folder: Path, remainder: bytes) -> None:
    (folder / "dedup.db").write_bytes(remainder)
    result = run(folder, "scan")
    if remainder:
        assert reports_damage(result)
    else:
        assert result.code == 0
        assert "belongs to another database" in result.err
        assert "restore a newer backup" in result.err
        assert run(folder, "scan").err == ""


def test_a_new_database_causes_no_message(folder: Path) -> None:
    for path in folder.glob("dedup.db*"):
        path.unlink()
    assert run(folder, "scan").err == ""
    damaging.fill(folder / "crawl", 3, first=90)
    assert run(folder, "scan").err == ""


# Rows


def _reindex(folder: Path) -> dict[str, int]:
    settings = running.settings(folder / "crawl", folder / "dedup.db")
    with open_writable(settings.database.path, "reindex") as database:
        return reindex_signatures(
            database, build_extract_options(settings), Matcher(database, build_matching(settings), settings.publishers.build_publishers())
        )


def test_missing_rows_are_reported_as_damage(folder: Path) -> None:
    assert damaging.by_sql(folder / "dedup.db", "DELETE FROM sightings WHERE id = 7") == 1
    with pytest.raises(errors.DatabaseDamagedError, match=r"a row of \w+ refers to a missing row of sightings"):
        _reindex(folder)
    assert reports_damage(run(folder, "reindex"))


def test_a_constraint_that_fails_because_of_damage_is_reported_as_damage(folder: Path) -> None:
    def insert_orphan_alias() -> None:
        with open_writable(str(folder / "dedup.db"), "test") as database:
            database.connection.execute("INSERT INTO aliases (page_id, url_printed, oid, aid) VALUES (9999, '', '', '')")

    with pytest.raises(errors.DatabaseFailedError, match="FOREIGN KEY"):
        insert_orphan_alias()
    damaging.by_sql(folder / "dedup.db", "DELETE FROM pages WHERE id = 5")
    with pytest.raises(errors.DatabaseDamagedError, match="refers to a missing row of pages"):
        insert_orphan_alias()


def test_a_text_that_is_not_utf8_is_reported_as_damage(folder: Path) -> None:
    assert damaging.by_sql(folder / "dedup.db", "UPDATE revisions SET body = CAST(x'ff3c7363' AS TEXT) WHERE id = 3") == 1
    with (
        pytest.raises(errors.DatabaseDamagedError, match="a stored text is not UTF-8"),
        open_database(str(folder / "dedup.db")) as database,
    ):
        store.revisions.body(database, 3)
    assert reports_damage(run(folder, "reindex"))


def test_an_internal_error_is_not_reported_as_damage(folder: Path) -> None:
    path = str(folder / "dedup.db")
    with pytest.raises(AssertionError, match="mine"), open_writable(path, "test"):
        raise AssertionError("mine")
    with pytest.raises(LookupError, match="mine"), open_database(path):
        raise LookupError("mine")
    with pytest.raises(errors.DatabaseFailedError, match="NOT NULL"), open_writable(path, "test") as database:
        database.connection.execute("INSERT INTO pages (url) VALUES (NULL)")


# The log


def undamaged_database(folder: Path) -> Path:
    """A database of the same crawl without any damage."""
    running.scan(folder / "crawl", folder / "clean.db")
    return folder / "clean.db"


def test_a_removed_log_is_noticed_and_its_articles_are_read_again(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.fill(folder / "crawl", 30, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    Path(f"{db}-wal").unlink()
    result = run(folder, "scan")
    assert result.code == 0
    assert "a later state of it, with 49 more texts" in result.err
    assert "its log was lost" in result.err
    assert running.dump(db) == running.dump(undamaged_database(folder))
    assert run(folder, "scan").err == ""


def test_a_lost_state_is_reported_once_without_new_files(folder: Path) -> None:
    db = folder / "dedup.db"
    assert run(folder, "scan").code == 0
    for article in damaging.fill(folder / "late", 8, first=50):
        article.write(folder / "crawl")
    damaging.scan_and_be_killed(folder / "crawl", db)
    Path(f"{db}-wal").unlink()
    for path in (folder / "crawl").glob("*.md"):
        path.unlink()
    assert "a later state of it" in run(folder, "scan").err
    assert "a later state of it" not in run(folder, "scan").err


def test_the_log_of_a_killed_process_is_used(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.fill(folder / "crawl", 30, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    assert not wal.is_foreign(str(db), has_writer=False)
    with open_database(str(db)) as database:
        assert store.statistics.count(database, "files") == len(list((folder / "crawl").rglob("*.md")))
    assert run(folder, "scan").err == ""
    assert running.dump(db) == running.dump(undamaged_database(folder))


def _restore_over_log(folder: Path) -> Path:
    """A backup copied over a database whose writer was killed, so its log remains."""
    db, backup = folder / "dedup.db", folder / "backup.db"
    shutil.copy(db, backup)
    for first in (50, 70):
        assert run(folder, "scan").code == 0  # copies the log of the killed writer back
        damaging.fill(folder / "crawl", 15, first=first)
        damaging.scan_and_be_killed(folder / "crawl", db)
    shutil.copy(backup, db)
    return db


@pytest.mark.system
def test_a_backup_is_not_damaged_by_the_log_of_the_database_it_replaced(folder: Path) -> None:
    db = _restore_over_log(folder)
    before, log = db.read_bytes(), Path(f"{db}-wal").read_bytes()
    for args in (*READERS, *WRITERS, ("watch",)):
        result = (spawn if args == ("watch",) else run)(folder, *args)
        assert reports_damage(result), (args, result)
        assert "and would destroy it" in result.err
    assert (db.read_bytes(), Path(f"{db}-wal").read_bytes()) == (before, log)
    Path(f"{db}-wal").unlink()
    Path(f"{db}-shm").unlink()
    result = run(folder, "scan")
    assert "a later state of it" in result.err
    assert running.dump(db) == running.dump(undamaged_database(folder))


@pytest.mark.system
def test_sqlite_alone_would_damage_the_backup(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason for the refusal: SQLite copies the log over the backup."""
    db = _restore_over_log(folder)
    with closing(sqlite3.connect(db)) as connection:
        try:
            integrity = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError:
            integrity = []
    assert integrity != [("ok",)]


def test_a_log_older_than_the_restored_database_is_refused(folder: Path) -> None:
    db, old = folder / "dedup.db", folder / "old"
    damaging.fill(folder / "crawl", 10, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    old.mkdir()
    for path in folder.glob("dedup.db*"):
        shutil.copy(path, old / path.name)
    damaging.fill(folder / "crawl", 10, first=60)
    assert run(folder, "scan").code == 0
    shutil.copy(db, old / "dedup.db")
    assert wal.is_foreign(str(old / "dedup.db"), has_writer=False)
    assert not wal.is_foreign(str(old / "dedup.db"), has_writer=True), "while a writer is active, the file may be ahead"


def test_the_log_of_another_database_is_refused(folder: Path, tmp_path: Path) -> None:
    db, other_db = folder / "dedup.db", folder / "other.db"
    damaging.fill(tmp_path / "others", 5, first=200)
    running.scan(tmp_path / "others", other_db)
    damaging.fill(tmp_path / "others", 5, first=210)
    damaging.scan_and_be_killed(tmp_path / "others", other_db)
    shutil.copy(f"{other_db}-wal", f"{db}-wal")
    assert wal.is_foreign(str(db), has_writer=False)
    assert reports_damage(run(folder, "scan"))


def test_a_valid_log_is_never_refused(folder: Path) -> None:
    """After each of many commits, with any part copied back to the database, and with the log restarted every few commits."""
    path = str(folder / "dedup.db")
    with open_writable(path, "test") as database:
        database.connection.execute("PRAGMA wal_autocheckpoint=7")
        salts = set()
        for n in range(200):
            if n % 3:
                with database.transaction() as transaction:
                    store.pages.get_or_insert(transaction, f"https://one.example/{n}")
            else:
                database.connection.execute("UPDATE settings SET value = ? WHERE key = 'last_scan'", (f'{{"n": {n}}}',))  # is not counted
            assert not wal.is_foreign(path, has_writer=True)
            assert not wal.is_foreign(path, has_writer=False)
            with open(path + "-wal", "rb") as log:
                salts.add(log.read(24)[16:])
    began_anew = len(salts)
    assert began_anew > 5
    assert wal.read_commit_count(path) != 0


def test_the_commit_counter_wraps_around(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "PRAGMA user_version = -2")  # the second largest value of 32 bits
    damaging.fill(folder / "crawl", 20, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    assert not wal.is_foreign(str(db), has_writer=False)
    assert run(folder, "scan").code == 0
    assert 0 <= wal.read_commit_count(str(db)) < 100


def test_a_database_without_a_commit_counter_is_opened_and_starts_counting(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "PRAGMA user_version = 0")
    damaging.fill(folder / "crawl", 5, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    assert not wal.is_foreign(str(db), has_writer=False)
    assert wal.read_commit_count(str(db)) != 0, "the first count is in the file before the log begins"


def test_remains_of_an_earlier_log_beyond_the_end_are_ignored(folder: Path) -> None:
    """The log restarted with one commit, which is already in the database file. Longer frames of the earlier log follow it."""
    path = str(folder / "dedup.db")
    with open_writable(path, "test") as database:
        for part in range(8):
            with database.transaction() as transaction:
                for n in range(100):
                    store.pages.get_or_insert(transaction, f"https://{part}.example/{n}")
        database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        with database.transaction() as transaction:
            store.pages.get_or_insert(transaction, "https://last.example/")
        database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        assert Path(path + "-wal").stat().st_size > 10 * damaging.PAGE
        assert not wal.is_foreign(path, has_writer=False)


@pytest.mark.system
def test_a_log_with_an_invalid_header_is_ignored_as_sqlite_does(folder: Path) -> None:
    db = _restore_over_log(folder)
    assert wal.is_foreign(str(db), has_writer=False)
    with open(f"{db}-wal", "r+b") as log:
        log.seek(26)
        log.write(b"?")
    assert not wal.is_foreign(str(db), has_writer=False)
    before = running.dump(db.with_name("backup.db"))
    Path(f"{db}-shm").unlink()
    assert running.dump(db) == before


@pytest.mark.parametrize("log", [b"", b"x" * 10, b"x" * 100_000, b"\x37\x7f\x06\x82" + bytes(100_000)])
def test_a_file_that_is_not_a_log_belongs_to_no_database(folder: Path, log: bytes) -> None:
    Path(f"{folder / 'dedup.db'}-wal").write_bytes(log)
    assert not wal.is_foreign(str(folder / "dedup.db"), has_writer=False)
    assert run(folder, "scan").code == 0


# The indexes


@pytest.mark.parametrize("end", [".index", ".passages"])
@pytest.mark.parametrize("harm", ["gone", "short", "noise", "bit"])
def test_a_damaged_index_is_rebuilt_automatically(folder: Path, end: str, harm: str) -> None:
    index = folder / f"dedup.db{end}"
    content = bytearray(index.read_bytes())
    if harm == "gone":
        index.unlink()
    elif harm == "short":
        os.truncate(index, len(content) // 2)
    elif harm == "noise":
        index.write_bytes(os.urandom(len(content)))
    else:
        content[HEADER_BYTES + next(i for i, b in enumerate(content[HEADER_BYTES:]) if b)] ^= 4
        index.write_bytes(content)
    assert run(folder, "scan").code == 0
    assert running.dump(folder / "dedup.db") == running.dump(undamaged_database(folder))
    table, reason = HashTable.load_read_only(str(index))
    assert table is not None, reason
