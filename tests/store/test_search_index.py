"""The search index: its file, whatever is wrong with that, and those who fill it."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest

from dedup.search import IndexCoverage, IndexProgress, SearchIndexer, index_coverage, index_file, index_tables
from dedup.store import open_database, open_writable
from tests.builders import scans as running
from tests.builders.command import Ran, run
from tests.builders.daemon import NEVER, watching
from tests.builders.oracle import assert_holds, assert_sound
from tests.builders.private_files import KINDS, mode_of, plant, unharmed
from tests.builders.processes import patched
from tests.builders.search import filled, looked_for, numbered, scanned, titles

# Its file


def revisions_found(db: Path, asked: str = "이야기") -> int:
    return len(looked_for(db, asked).hits)


def three(crawl: Path, db: Path) -> Path:
    scanned(crawl, db, *(numbered(n, f"예산 이야기 {n}") for n in range(3)))
    return Path(f"{db}.search")


def test_the_index_is_its_owners_alone(crawl: Path, db: Path) -> None:
    before = os.umask(0)
    try:
        place = three(crawl, db)
        assert mode_of(place) == 0o600
        with open_writable(str(db), "test") as database:
            search = SearchIndexer(database)
            search.update()
            beside = {p.name for p in place.parent.iterdir() if p.name.startswith(place.name) and mode_of(p) & 0o077}
            search.close()
        assert beside == set()
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["", "-wal", "-journal"])
def test_something_else_in_its_place_is_not_touched_and_never_in_the_way(crawl: Path, db: Path, kind: str, end: str) -> None:
    numbered(1, "예산 이야기").write(crawl)
    running.scan(crawl, db)
    target = plant(Path(f"{db}.search{end}"), kind)
    made = filled(db)
    assert unharmed(target, kind)
    if kind == "folder":
        assert made.problem
        assert looked_for(db, "예산").hits == ()
    else:
        assert made == IndexProgress(1, 0)
        assert revisions_found(db) == 1


@pytest.mark.parametrize("kind", ["link", "hard link"])
@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_nothing_is_written_through_a_link_beside_an_index_that_is_whole(crawl: Path, db: Path, kind: str, end: str) -> None:
    """SQLite would take what it leads to for its own."""
    place = three(crawl, db)
    target = plant(Path(f"{place}{end}"), kind)
    numbered(9, "예산 이야기 9").write(crawl)
    running.scan(crawl, db)
    assert looked_for(db, "이야기").problem
    assert filled(db) == IndexProgress(4, 0)
    assert unharmed(target, kind)
    assert revisions_found(db) == 4


def scribble(place: Path) -> None:
    with place.open("r+b") as opened:
        opened.seek(4096)
        opened.write(random.Random(1).randbytes(place.stat().st_size - 4096))


def forget_meta(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as asked:
        asked.execute("DELETE FROM meta WHERE key = 'last_revision'")


def another_recipe(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as asked:
        asked.execute("UPDATE meta SET value = 'fts0' WHERE key = 'recipe'")


def another_uuid(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as asked:
        asked.execute("UPDATE meta SET value = 'another' WHERE key = 'uuid'")


def wrong_kind(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as asked:
        asked.execute("UPDATE meta SET value = 'many' WHERE key = 'last_revision'")


DAMAGE = {
    "deleted": lambda p: p.unlink(),
    "empty": lambda p: os.truncate(p, 0),
    "cut short": lambda p: os.truncate(p, p.stat().st_size // 2),
    "text": lambda p: p.write_text("no index at all" * 1000),
    "scribbled over": scribble,
    "without its standing": forget_meta,
    "of another recipe": another_recipe,
    "of another database": another_uuid,
    "with a standing that is none": wrong_kind,
}


@pytest.mark.parametrize("harm", DAMAGE)
def test_whatever_is_wrong_with_the_index_it_is_made_again(crawl: Path, db: Path, harm: str) -> None:
    place = three(crawl, db)
    DAMAGE[harm](place)
    asked = looked_for(db, "이야기")
    assert (asked.hits == () and asked.problem) or len(asked.hits) == 3
    numbered(9, "예산 이야기 9").write(crawl)
    running.scan(crawl, db)
    made = filled(db)
    assert (made.remaining, made.problem) == (0, "")
    assert revisions_found(db) == 4
    assert_sound(db)


def test_an_older_copy_of_the_database_finds_what_it_has_and_nothing_else(crawl: Path, db: Path, tmp_path: Path) -> None:
    """Keys are given out anew there, to other texts than before."""
    three(crawl, db)
    shutil.copy(db, tmp_path / "older")
    numbered(7, "육교 이야기").write(crawl)
    numbered(8, "터널 이야기").write(crawl)
    running.scan(crawl, db)
    filled(db)
    assert revisions_found(db) == 5
    for gone in crawl.glob("*_000000000[78]*"):
        gone.unlink()
    shutil.copy(tmp_path / "older", db)
    assert looked_for(db, "이야기").coverage.indexed == 0
    assert titles(db, "육교") == []
    numbered(9, "다리 이야기").write(crawl)
    numbered(10, "항구 이야기").write(crawl)
    running.scan(crawl, db)
    assert looked_for(db, "이야기").coverage.indexed == 0
    filled(db)
    assert [titles(db, asked) for asked in ("육교", "터널", "다리", "항구")] == [[], [], ["제목9"], ["제목10"]]
    assert looked_for(db, "이야기").coverage == IndexCoverage(5, 5)


def test_a_restored_backup_is_not_searched_by_the_index_of_what_was_there_before(tmp_path: Path) -> None:
    folder = tmp_path
    for name, body in (("crawl", "예산 이야기"), ("other", "육교 이야기")):
        numbered(1, body).write(folder / name)
    for name in ("crawl", "other"):
        assert run(folder, "--database", f"{name}.db", "scan", name).code == 0
    assert run(folder, "--database", "other.db", "backup", "saved.db").code == 0
    assert not (folder / "saved.db.search").exists()
    assert run(folder, "--database", "crawl.db", "restore", "saved.db").code == 0
    assert looked_for(folder / "crawl.db", "이야기").hits == ()
    filled(folder / "crawl.db")
    assert titles(folder / "crawl.db", "육교") == ["제목1"]
    assert titles(folder / "crawl.db", "예산") == []


def test_a_backup_cannot_take_the_place_of_the_index(crawl: Path, db: Path) -> None:
    three(crawl, db)
    for end in index_file.FILE_SUFFIXES:
        assert run(db.parent, "--database", db, "backup", f"{db}.search{end}").code == 2


def test_an_index_that_cannot_be_written_is_told_once_and_hinders_nothing(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    numbered(1, "예산 이야기").write(crawl)
    running.scan(crawl, db)

    def full(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("dedup.search.indexer.RETRY_SECONDS", 0.0)
    with monkeypatch.context() as patch, open_writable(str(db), "test") as database:
        patch.setattr(index_tables, "add_revisions", full)
        search = SearchIndexer(database)
        assert search.update().problem == "database or disk is full"
        assert search.update().problem == "database or disk is full"
        assert len(caplog.records) == 1
        patch.undo()
        assert search.update() == IndexProgress(1, 0)
        search.close()


def test_without_fts5_search_says_so_and_nothing_else_is_different(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "is_available", lambda: False)
    numbered(1, "예산 이야기").write(crawl)
    assert run(db.parent, "--database", db, "scan", crawl, "--format", "json").json()["new"] == 1
    assert not Path(f"{db}.search").exists()
    ran = run(db.parent, "--database", db, "search", "예산")
    assert ran.code == 3
    assert "FTS5" in ran.err


# Commands and the daemon


def found_by(folder: Path, *args: str | Path) -> Ran:
    return run(folder, "--database", folder / "dedup.db", "search", *args)


def test_a_scan_fills_the_index_and_the_command_finds_it(crawl: Path, db: Path) -> None:
    numbered(1, "새솔시 예산안을 의결했다", title='=예산 "소식"').write(crawl)
    assert run(db.parent, "--database", db, "scan", crawl).code == 0
    ran = found_by(db.parent, "예산안", "--format", "json")
    (row,) = ran.json()
    assert (row["title"], row["current"], row["pruned_at"]) == ('=예산 "소식"', True, None)
    assert [piece["text"] for piece in row["snippet"] if piece["hit"]] == ["예산안"]
    assert "'=예산" in found_by(db.parent, "예산안", "--format", "csv").out
    shown = found_by(db.parent, "예산안")
    assert "새솔시 예산안을 의결했다" in shown.out
    assert "1 text\n" in shown.out
    assert shown.err == ""


def test_the_command_tells_why_it_cannot_look_and_how_far_it_reaches(crawl: Path, db: Path) -> None:
    for n in range(2):
        numbered(n, f"예산 이야기 {n}").write(crawl)
    running.scan(crawl, db)
    assert "there is no search index yet" in found_by(db.parent, "예산").err
    assert found_by(db.parent, "월").code == 2
    filled(db)
    numbered(2, "예산 이야기 2").write(crawl)
    running.scan(crawl, db)
    ran = found_by(db.parent, "예산", "--limit", "1")
    assert "1 text, and more" in ran.out
    assert "Search reaches 2 of 3 texts" in ran.err
    assert run(db.parent, "--database", db, "status", "--format", "json").json()["search"] == {"indexed": 2, "total": 3}
    assert "covers 2 of 3 texts" in run(db.parent, "--database", db, "status").out


def test_reindex_makes_the_whole_index_anew(crawl: Path, db: Path) -> None:
    place = three(crawl, db)
    scribble(place)
    assert run(db.parent, "--database", db, "reindex", "--search", "--format", "json").json() == {"indexed_texts": 3}
    assert revisions_found(db) == 3


def test_a_configuration_can_leave_the_index_out(crawl: Path, db: Path) -> None:
    (db.parent / "config.toml").write_text("[crawl]\nsettle_seconds = 0.0\n[search]\nindex = false\n")
    numbered(1, "예산 이야기").write(crawl)
    assert run(db.parent, "--database", db, "scan", crawl).code == 0
    assert not Path(f"{db}.search").exists()


def test_the_command_shows_nothing_that_a_terminal_would_obey(crawl: Path, db: Path) -> None:
    scanned(crawl, db, numbered(1, "예산 \x1b[2J\u202e이야기", title="예산 \x1b]0;x\x07", publisher="\x1b[31m"))
    shown = found_by(db.parent, "예산").out
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "예산" in shown


def test_the_daemon_lets_search_reach_what_it_takes_in(crawl: Path, db: Path) -> None:
    numbered(1, "예산 이야기 1").write(crawl)
    with watching(crawl, db, interval=NEVER) as daemon:
        daemon.wait_until(lambda: Path(f"{db}.search").exists() and revisions_found(db) == 1)
        numbered(2, "예산 이야기 2").write(crawl)
        daemon.wait_until(lambda: revisions_found(db) == 2)
        Path(f"{db}.search").unlink()
        numbered(3, "예산 이야기 3").write(crawl)
        daemon.wait_until(lambda: revisions_found(db) == 3)
        assert daemon.leave(signal.SIGTERM) == 0
    assert_holds(crawl, db)


SLOW = """
import time
from dedup.search import indexer
indexer.MAX_STEP_REVISIONS = 1
replace_revisions = indexer.SearchIndexer._replace_revisions
def slowly(self, *what):
    time.sleep(0.3)
    return replace_revisions(self, *what)
indexer.SearchIndexer._replace_revisions = slowly
"""


def held(db: Path) -> int:
    with open_database(str(db)) as database:
        return index_coverage(database).indexed


def test_files_go_before_search_and_the_daemon_leaves_however_much_is_to_be_entered(crawl: Path, db: Path) -> None:
    for n in range(60):
        numbered(n, f"예산 이야기 {n}").write(crawl)
    with watching(crawl, db, interval=NEVER, under=patched(SLOW)) as daemon:
        daemon.wait_until(lambda: held(db) > 1)
        numbered(60, "예산 이야기 60").write(crawl)
        daemon.wait_until(lambda: daemon.recorded() == 61)
        assert held(db) < 60
        assert daemon.leave(signal.SIGTERM) == 0
    assert held(db) < 60
    filled(db)
    assert revisions_found(db) == 61
    assert_holds(crawl, db)


# Doctor


def of_search(found: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [f for f in found if "the search index" in f["message"]]


def drop_held(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as asked:
        asked.execute("DELETE FROM indexed_revisions WHERE revision = 2")


def drop_words(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as asked:
        asked.execute("INSERT INTO words (words) VALUES ('delete-all')")


HARM: dict[str, tuple[str, str]] = {
    "deleted": ("ok", "missing"),
    "cut short": ("warning", "damaged"),
    "scribbled over": ("warning", "damaged"),
    "of another recipe": ("warning", "of another version"),
    "of another database": ("warning", "another database's"),
    "lacks one": ("error", "lacks stored revisions"),
    "finds nothing": ("error", "lacks stored revisions"),
}


@pytest.mark.parametrize("harm", HARM)
def test_the_doctor_finds_what_is_wrong_with_the_index_and_repairs_it(crawl: Path, db: Path, harm: str) -> None:
    (db.parent / "config.toml").write_text(f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = 0.0\n[database]\npath = "{db}"\n')
    for n in range(3):
        numbered(n, f"예산 이야기 {n}").write(crawl)
    assert run(db.parent, "scan").code == 0
    assert of_search(run(db.parent, "doctor", "--format", "json").json()["findings"]) == []
    (DAMAGE | {"lacks one": drop_held, "finds nothing": drop_words})[harm](Path(f"{db}.search"))
    (told,) = of_search(run(db.parent, "doctor", "--format", "json").json()["findings"])
    severity, why = HARM[harm]
    assert told["severity"] == severity
    assert why in told["message"]
    mended = run(db.parent, "doctor", "--repair", "--format", "json").json()
    assert any("search index" in sentence for sentence in mended["repaired"])
    assert of_search(mended["findings"]) == []
    assert revisions_found(db) == 3
