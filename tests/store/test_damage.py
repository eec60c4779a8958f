"""What the next start does about a damaged database: it works, or says in a line that it is damaged and who tells more."""

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

pytestmark = pytest.mark.usefixtures("machine_code")

URL = "https://n.news.naver.com/mnews/article/901/0000000004"
READING = [("status",), ("duplicates",), ("duplicates", "--pairs"), ("history", URL), ("diff", URL), ("dump", "--logical")]
WRITING = [("scan",), ("reindex",), ("reindex", "--urls")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A crawl of 40 pages, taken in, and a file that is not yet."""
    damaging.fill(tmp_path / "crawl", 40)
    damaging.configure(tmp_path)
    assert run(tmp_path, "scan").code == 0
    damaging.fill(tmp_path / "crawl", 1, first=40)
    return tmp_path


def _told_of_damage(ran: CommandResult) -> bool:
    return ran.code == 3 and ran.err.startswith("dedup: ") and "dedup doctor" in ran.err and ran.err.count("\n") == 1


@pytest.mark.parametrize("damage", damaging.WAYS, ids=lambda way: way.__name__)
def test_a_damaged_database_is_told_as_such_by_every_command(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "dedup.db")
    for args in READING:
        ran = run(folder, *args)
        assert _told_of_damage(ran) or (ran.code == 0 and not ran.err), (args, ran)
    before = (folder / "dedup.db").read_bytes()
    assert [args for args in WRITING if not _told_of_damage(run(folder, *args))] == []
    assert (folder / "dedup.db").read_bytes() == before, "what can still be saved is as it was"


@pytest.mark.parametrize("damage", damaging.WAYS, ids=lambda way: way.__name__)
def test_the_daemon_leaves_a_damaged_database_alone_with_one_line(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder / "dedup.db")
    ran = spawn(folder, "--quiet", "watch")
    assert _told_of_damage(ran), ran.err


def test_damage_that_the_work_does_not_meet_does_not_stop_it(folder: Path) -> None:
    """Finding it would take reading everything, which `doctor` is for."""
    leaf = damaging.leaves(folder / "dedup.db", "revisions")[3]
    damaging.overwrite(folder / "dedup.db", [leaf], bytes)
    assert run(folder, "status").code == 0
    assert run(folder, "scan").code == 0
    assert _told_of_damage(run(folder, "dump", "--logical"))


@pytest.mark.parametrize("left", [b"", b"SQLite"])
def test_a_database_cut_to_almost_nothing_is_missed(folder: Path, left: bytes) -> None:
    (folder / "dedup.db").write_bytes(left)
    ran = run(folder, "scan")
    if left:
        assert _told_of_damage(ran)
    else:
        assert ran.code == 0
        assert "belongs to another database" in ran.err
        assert "restore a newer backup" in ran.err
        assert run(folder, "scan").err == ""


def test_a_new_database_is_no_reason_for_a_word(folder: Path) -> None:
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


def test_rows_that_are_missing_are_told_as_damage(folder: Path) -> None:
    assert damaging.by_sql(folder / "dedup.db", "DELETE FROM sightings WHERE id = 7") == 1
    with pytest.raises(errors.DatabaseDamagedError, match=r"a row of \w+ refers to a missing row of sightings"):
        _reindex(folder)
    assert _told_of_damage(run(folder, "reindex"))


def test_a_constraint_that_fails_over_damage_is_told_as_damage(folder: Path) -> None:
    def name_nothing() -> None:
        with open_writable(str(folder / "dedup.db"), "test") as database:
            database.connection.execute("INSERT INTO aliases (page_id, url_printed, oid, aid) VALUES (9999, '', '', '')")

    with pytest.raises(errors.DatabaseFailedError, match="FOREIGN KEY"):
        name_nothing()
    damaging.by_sql(folder / "dedup.db", "DELETE FROM pages WHERE id = 5")
    with pytest.raises(errors.DatabaseDamagedError, match="refers to a missing row of pages"):
        name_nothing()


def test_a_text_that_is_none_is_told_as_damage(folder: Path) -> None:
    assert damaging.by_sql(folder / "dedup.db", "UPDATE revisions SET body = CAST(x'ff3c7363' AS TEXT) WHERE id = 3") == 1
    with (
        pytest.raises(errors.DatabaseDamagedError, match="a stored text is not UTF-8"),
        open_database(str(folder / "dedup.db")) as database,
    ):
        store.revisions.body(database, 3)
    assert _told_of_damage(run(folder, "reindex"))


def test_an_error_of_the_programs_own_is_not_taken_for_damage(folder: Path) -> None:
    path = str(folder / "dedup.db")
    with pytest.raises(AssertionError, match="mine"), open_writable(path, "test"):
        raise AssertionError("mine")
    with pytest.raises(LookupError, match="mine"), open_database(path):
        raise LookupError("mine")
    with pytest.raises(errors.DatabaseFailedError, match="NOT NULL"), open_writable(path, "test") as database:
        database.connection.execute("INSERT INTO pages (url) VALUES (NULL)")


# The log


def _clean(folder: Path) -> Path:
    """A database of the same crawl that nothing happened to."""
    running.scan(folder / "crawl", folder / "clean.db")
    return folder / "clean.db"


def test_a_log_that_was_removed_is_missed_and_what_it_held_is_taken_in_again(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.fill(folder / "crawl", 30, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    Path(f"{db}-wal").unlink()
    ran = run(folder, "scan")
    assert ran.code == 0
    assert "a later state of it, with 49 more texts" in ran.err
    assert "its log was lost" in ran.err
    assert running.dump(db) == running.dump(_clean(folder))
    assert run(folder, "scan").err == ""


def test_a_lost_state_is_told_once_although_nothing_is_there_to_take_in(folder: Path) -> None:
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


def test_a_log_that_a_killed_process_left_is_taken_over(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.fill(folder / "crawl", 30, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    assert not wal.is_foreign(str(db), has_writer=False)
    with open_database(str(db)) as database:
        assert store.statistics.count(database, "files") == len(list((folder / "crawl").rglob("*.md")))
    assert run(folder, "scan").err == ""
    assert running.dump(db) == running.dump(_clean(folder))


def _restore_over_log(folder: Path) -> Path:
    """A backup that is copied over a database whose writer was killed, its log left lying there."""
    db, backup = folder / "dedup.db", folder / "backup.db"
    shutil.copy(db, backup)
    for first in (50, 70):
        assert run(folder, "scan").code == 0  # what was killed before is copied back
        damaging.fill(folder / "crawl", 15, first=first)
        damaging.scan_and_be_killed(folder / "crawl", db)
    shutil.copy(backup, db)
    return db


def test_a_backup_is_not_ruined_by_the_log_of_what_it_replaced(folder: Path) -> None:
    db = _restore_over_log(folder)
    before, log = db.read_bytes(), Path(f"{db}-wal").read_bytes()
    for args in (*READING, *WRITING, ("watch",)):
        ran = (spawn if args == ("watch",) else run)(folder, *args)
        assert _told_of_damage(ran), (args, ran)
        assert "and would destroy it" in ran.err
    assert (db.read_bytes(), Path(f"{db}-wal").read_bytes()) == (before, log)
    Path(f"{db}-wal").unlink()
    Path(f"{db}-shm").unlink()
    ran = run(folder, "scan")
    assert "a later state of it" in ran.err
    assert running.dump(db) == running.dump(_clean(folder))


def test_what_the_log_would_have_done_to_the_backup(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That the refusal has a reason: SQLite by itself copies the log over the backup."""
    db = _restore_over_log(folder)
    with closing(sqlite3.connect(db)) as connection:
        try:
            told = connection.execute("PRAGMA integrity_check").fetchall()
        except sqlite3.DatabaseError:
            told = []
    assert told != [("ok",)]


def test_a_log_older_than_the_database_that_was_put_in_its_place_is_refused_too(folder: Path) -> None:
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
    assert not wal.is_foreign(str(old / "dedup.db"), has_writer=True), "while somebody writes, the file may be ahead of what was read"


def test_the_log_of_another_database_is_refused(folder: Path, tmp_path: Path) -> None:
    db, other = folder / "dedup.db", folder / "other.db"
    damaging.fill(tmp_path / "others", 5, first=200)
    running.scan(tmp_path / "others", other)
    damaging.fill(tmp_path / "others", 5, first=210)
    damaging.scan_and_be_killed(tmp_path / "others", other)
    shutil.copy(f"{other}-wal", f"{db}-wal")
    assert wal.is_foreign(str(db), has_writer=False)
    assert _told_of_damage(run(folder, "scan"))


def test_a_log_that_goes_on_is_never_refused(folder: Path) -> None:
    """Whatever of it was copied back: after each of many commits, with the log beginning anew every few."""
    path = str(folder / "dedup.db")
    with open_writable(path, "test") as database:
        database.connection.execute("PRAGMA wal_autocheckpoint=7")
        salts = set()
        for n in range(200):
            if n % 3:
                with database.transaction() as transaction:
                    store.pages.get_or_insert(transaction, f"https://one.example/{n}")
            else:
                database.connection.execute("UPDATE settings SET value = ? WHERE key = 'last_scan'", (f'{{"n": {n}}}',))  # not counted
            assert not wal.is_foreign(path, has_writer=True)
            assert not wal.is_foreign(path, has_writer=False)
            with open(path + "-wal", "rb") as log:
                salts.add(log.read(24)[16:])
    began_anew = len(salts)
    assert began_anew > 5
    assert wal.read_commit_count(path) != 0


def test_the_count_goes_over_its_end(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "PRAGMA user_version = -2")  # the second but greatest of 32 bits
    damaging.fill(folder / "crawl", 20, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    assert not wal.is_foreign(str(db), has_writer=False)
    assert run(folder, "scan").code == 0
    assert 0 <= wal.read_commit_count(str(db)) < 100


def test_a_database_that_never_counted_is_taken_as_it_is_and_counts_from_then_on(folder: Path) -> None:
    db = folder / "dedup.db"
    damaging.by_sql(db, "PRAGMA user_version = 0")
    damaging.fill(folder / "crawl", 5, first=50)
    damaging.scan_and_be_killed(folder / "crawl", db)
    assert not wal.is_foreign(str(db), has_writer=False)
    assert wal.read_commit_count(str(db)) != 0, "the first count is in the file before the log begins"


def test_what_an_earlier_log_left_behind_the_end_of_this_one_is_not_read(folder: Path) -> None:
    """The log began anew with one commit, and that is in the file by now; beyond it lie longer ones of before."""
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


def test_a_log_whose_beginning_is_not_sound_is_none_to_sqlite_either(folder: Path) -> None:
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
def test_a_log_that_is_none_is_nobodys(folder: Path, log: bytes) -> None:
    Path(f"{folder / 'dedup.db'}-wal").write_bytes(log)
    assert not wal.is_foreign(str(folder / "dedup.db"), has_writer=False)
    assert run(folder, "scan").code == 0


# The indexes


@pytest.mark.parametrize("end", [".index", ".passages"])
@pytest.mark.parametrize("harm", ["gone", "short", "noise", "bit"])
def test_a_damaged_index_is_made_again_by_itself(folder: Path, end: str, harm: str) -> None:
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
    assert running.dump(folder / "dedup.db") == running.dump(_clean(folder))
    table, why = HashTable.load_read_only(str(index))
    assert table is not None, why
