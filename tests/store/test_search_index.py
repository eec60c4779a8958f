"""The search index: its file, its damage, and how scans and the daemon fill it."""

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
from tests.builders.command import CommandResult, run
from tests.builders.daemon import NEVER, watching
from tests.builders.oracle import assert_holds, assert_sound
from tests.builders.private_files import KINDS, mode_of, plant, unharmed
from tests.builders.processes import patched_command
from tests.builders.search import numbered_article, scan_articles, search_page, titles, update_index

pytestmark = pytest.mark.slow

# The file


def count_hits(db: Path, query: str = "이야기") -> int:
    return len(search_page(db, query).hits)


def index_three_articles(crawl: Path, db: Path) -> Path:
    scan_articles(crawl, db, *(numbered_article(n, f"예산 이야기 {n}") for n in range(3)))
    return Path(f"{db}.search")


def test_only_the_owner_can_read_the_index(crawl: Path, db: Path) -> None:
    before = os.umask(0)
    try:
        place = index_three_articles(crawl, db)
        assert mode_of(place) == 0o600
        with open_writable(str(db), "test") as database:
            search = SearchIndexer(database)
            search.update()
            readable = {p.name for p in place.parent.iterdir() if p.name.startswith(place.name) and mode_of(p) & 0o077}
            search.close()
        assert readable == set()
    finally:
        os.umask(before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["", "-wal", "-journal"])
def test_a_planted_file_in_place_of_the_index_is_not_changed(crawl: Path, db: Path, kind: str, end: str) -> None:
    numbered_article(1, "예산 이야기").write(crawl)
    running.scan(crawl, db)
    target = plant(Path(f"{db}.search{end}"), kind)
    progress = update_index(db)
    assert unharmed(target, kind)
    if kind == "folder":
        assert progress.problem
        assert search_page(db, "예산").hits == ()
    else:
        assert progress == IndexProgress(1, 0)
        assert count_hits(db) == 1


@pytest.mark.parametrize("kind", ["link", "hard link"])
@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal"])
def test_nothing_is_written_through_a_link_beside_a_valid_index(crawl: Path, db: Path, kind: str, end: str) -> None:
    """SQLite would take the target of the link for its own file."""
    place = index_three_articles(crawl, db)
    target = plant(Path(f"{place}{end}"), kind)
    numbered_article(9, "예산 이야기 9").write(crawl)
    running.scan(crawl, db)
    assert search_page(db, "이야기").problem
    assert update_index(db) == IndexProgress(4, 0)
    assert unharmed(target, kind)
    assert count_hits(db) == 4


def overwrite(place: Path) -> None:
    with place.open("r+b") as file:
        file.seek(4096)
        file.write(random.Random(1).randbytes(place.stat().st_size - 4096))


def forget_meta(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("DELETE FROM meta WHERE key = 'last_revision'")


def another_recipe(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 'fts0' WHERE key = 'recipe'")


def another_uuid(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 'another' WHERE key = 'uuid'")


def wrong_kind(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 'many' WHERE key = 'last_revision'")


DAMAGE = {
    "deleted": lambda p: p.unlink(),
    "empty": lambda p: os.truncate(p, 0),
    "cut short": lambda p: os.truncate(p, p.stat().st_size // 2),
    "text": lambda p: p.write_text("no index at all" * 1000),
    "scribbled over": overwrite,
    "without its state": forget_meta,
    "of another recipe": another_recipe,
    "of another database": another_uuid,
    "with an invalid state": wrong_kind,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_rebuilt(crawl: Path, db: Path, damage: str) -> None:
    place = index_three_articles(crawl, db)
    DAMAGE[damage](place)
    result = search_page(db, "이야기")
    assert (result.hits == () and result.problem) or len(result.hits) == 3
    numbered_article(9, "예산 이야기 9").write(crawl)
    running.scan(crawl, db)
    progress = update_index(db)
    assert (progress.remaining, progress.problem) == (0, "")
    assert count_hits(db) == 4
    assert_sound(db)


def test_an_older_copy_of_the_database_finds_only_its_own_texts(crawl: Path, db: Path, tmp_path: Path) -> None:
    """The older copy assigns the same revision ids to other texts."""
    index_three_articles(crawl, db)
    shutil.copy(db, tmp_path / "older")
    numbered_article(7, "육교 이야기").write(crawl)
    numbered_article(8, "터널 이야기").write(crawl)
    running.scan(crawl, db)
    update_index(db)
    assert count_hits(db) == 5
    for path in crawl.glob("*_000000000[78]*"):
        path.unlink()
    shutil.copy(tmp_path / "older", db)
    assert search_page(db, "이야기").coverage.indexed == 0
    assert titles(db, "육교") == []
    numbered_article(9, "다리 이야기").write(crawl)
    numbered_article(10, "항구 이야기").write(crawl)
    running.scan(crawl, db)
    assert search_page(db, "이야기").coverage.indexed == 0
    update_index(db)
    assert [titles(db, query) for query in ("육교", "터널", "다리", "항구")] == [[], [], ["제목9"], ["제목10"]]
    assert search_page(db, "이야기").coverage == IndexCoverage(5, 5)


def test_a_restored_backup_does_not_use_the_index_of_the_replaced_database(tmp_path: Path) -> None:
    folder = tmp_path
    for name, body in (("crawl", "예산 이야기"), ("other", "육교 이야기")):
        numbered_article(1, body).write(folder / name)
    for name in ("crawl", "other"):
        assert run(folder, "--database", f"{name}.db", "scan", name).code == 0
    assert run(folder, "--database", "other.db", "backup", "saved.db").code == 0
    assert not (folder / "saved.db.search").exists()
    assert run(folder, "--database", "crawl.db", "restore", "saved.db").code == 0
    assert search_page(folder / "crawl.db", "이야기").hits == ()
    update_index(folder / "crawl.db")
    assert titles(folder / "crawl.db", "육교") == ["제목1"]
    assert titles(folder / "crawl.db", "예산") == []


def test_a_backup_cannot_take_the_place_of_the_index(crawl: Path, db: Path) -> None:
    index_three_articles(crawl, db)
    for end in index_file.FILE_SUFFIXES:
        assert run(db.parent, "--database", db, "backup", f"{db}.search{end}").code == 2


def test_an_unwritable_index_is_reported_once_and_blocks_nothing(
    crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    numbered_article(1, "예산 이야기").write(crawl)
    running.scan(crawl, db)

    def fail(*_: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    monkeypatch.setattr("dedup.search.indexer.RETRY_SECONDS", 0.0)
    with monkeypatch.context() as patch, open_writable(str(db), "test") as database:
        patch.setattr(index_tables, "add_revisions", fail)
        search = SearchIndexer(database)
        assert search.update().problem == "database or disk is full"
        assert search.update().problem == "database or disk is full"
        assert len(caplog.records) == 1
        patch.undo()
        assert search.update() == IndexProgress(1, 0)
        search.close()


def test_without_fts5_only_search_fails(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_file, "is_available", lambda: False)
    numbered_article(1, "예산 이야기").write(crawl)
    assert run(db.parent, "--database", db, "scan", crawl, "--format", "json").json()["new"] == 1
    assert not Path(f"{db}.search").exists()
    result = run(db.parent, "--database", db, "search", "예산")
    assert result.code == 3
    assert "FTS5" in result.err


# Commands and the daemon


def run_search(folder: Path, *args: str | Path) -> CommandResult:
    return run(folder, "--database", folder / "dedup.db", "search", *args)


def test_a_scan_fills_the_index_for_dedup_search(crawl: Path, db: Path) -> None:
    numbered_article(1, "새솔시 예산안을 의결했다", title='=예산 "소식"').write(crawl)
    assert run(db.parent, "--database", db, "scan", crawl).code == 0
    result = run_search(db.parent, "예산안", "--format", "json")
    (row,) = result.json()
    assert (row["title"], row["current"], row["pruned_at"]) == ('=예산 "소식"', True, None)
    assert [piece["text"] for piece in row["snippet"] if piece["found"]] == ["예산안"]
    assert "'=예산" in run_search(db.parent, "예산안", "--format", "csv").out
    text_output = run_search(db.parent, "예산안")
    assert "새솔시 예산안을 의결했다" in text_output.out
    assert "1 text\n" in text_output.out
    assert text_output.err == ""


def test_dedup_search_reports_errors_and_its_coverage(crawl: Path, db: Path) -> None:
    for n in range(2):
        numbered_article(n, f"예산 이야기 {n}").write(crawl)
    running.scan(crawl, db)
    assert "there is no search index yet" in run_search(db.parent, "예산").err
    assert run_search(db.parent, "월").code == 2
    update_index(db)
    numbered_article(2, "예산 이야기 2").write(crawl)
    running.scan(crawl, db)
    result = run_search(db.parent, "예산", "--limit", "1")
    assert "1 text, and more" in result.out
    assert "Search reaches 2 of 3 texts" in result.err
    assert run(db.parent, "--database", db, "status", "--format", "json").json()["search"] == {"indexed": 2, "total": 3}
    assert "covers 2 of 3 texts" in run(db.parent, "--database", db, "status").out


def test_reindex_rebuilds_the_whole_index(crawl: Path, db: Path) -> None:
    place = index_three_articles(crawl, db)
    overwrite(place)
    assert run(db.parent, "--database", db, "reindex", "--search", "--format", "json").json() == {"indexed_texts": 3}
    assert count_hits(db) == 3


def test_the_index_can_be_turned_off(crawl: Path, db: Path) -> None:
    (db.parent / "config.toml").write_text("[crawl]\nsettle_seconds = 0.0\n[search]\nindex = false\n")
    numbered_article(1, "예산 이야기").write(crawl)
    assert run(db.parent, "--database", db, "scan", crawl).code == 0
    assert not Path(f"{db}.search").exists()


def test_dedup_search_escapes_control_characters(crawl: Path, db: Path) -> None:
    scan_articles(crawl, db, numbered_article(1, "예산 \x1b[2J\u202e이야기", title="예산 \x1b]0;x\x07", publisher="\x1b[31m"))
    output = run_search(db.parent, "예산").out
    assert "\x1b" not in output
    assert "\u202e" not in output
    assert "예산" in output


def test_the_daemon_indexes_new_articles(crawl: Path, db: Path) -> None:
    numbered_article(1, "예산 이야기 1").write(crawl)
    with watching(crawl, db, interval=NEVER) as daemon:
        daemon.wait_until(lambda: Path(f"{db}.search").exists() and count_hits(db) == 1)
        numbered_article(2, "예산 이야기 2").write(crawl)
        daemon.wait_until(lambda: count_hits(db) == 2)
        Path(f"{db}.search").unlink()
        numbered_article(3, "예산 이야기 3").write(crawl)
        daemon.wait_until(lambda: count_hits(db) == 3)
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


def count_indexed(db: Path) -> int:
    with open_database(str(db)) as database:
        return index_coverage(database).indexed


@pytest.mark.system
def test_files_come_before_indexing_and_the_daemon_exits_with_work_left(crawl: Path, db: Path) -> None:
    for n in range(60):
        numbered_article(n, f"예산 이야기 {n}").write(crawl)
    with watching(crawl, db, interval=NEVER, under=patched_command(SLOW)) as daemon:
        daemon.wait_until(lambda: count_indexed(db) > 1)
        numbered_article(60, "예산 이야기 60").write(crawl)
        daemon.wait_until(lambda: daemon.recorded() == 61)
        assert count_indexed(db) < 60
        assert daemon.leave(signal.SIGTERM) == 0
    assert count_indexed(db) < 60
    update_index(db)
    assert count_hits(db) == 61
    assert_holds(crawl, db)


# Doctor


def search_index_findings(findings: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    return [f for f in findings if "the search index" in f["message"]]


def drop_revision(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("DELETE FROM indexed_revisions WHERE revision = 2")


def drop_words(place: Path) -> None:
    with closing(sqlite3.connect(place, isolation_level=None)) as connection:
        connection.execute("INSERT INTO words (words) VALUES ('delete-all')")


HARM: dict[str, tuple[str, str]] = {
    "deleted": ("ok", "missing"),
    "cut short": ("warning", "damaged"),
    "scribbled over": ("warning", "damaged"),
    "of another recipe": ("warning", "of another version"),
    "of another database": ("warning", "another database's"),
    "lacks one": ("error", "lacks stored revisions"),
    "finds nothing": ("error", "lacks stored revisions"),
}


@pytest.mark.parametrize("damage", HARM)
def test_doctor_finds_and_repairs_a_damaged_index(crawl: Path, db: Path, damage: str) -> None:
    (db.parent / "config.toml").write_text(f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = 0.0\n[database]\npath = "{db}"\n')
    for n in range(3):
        numbered_article(n, f"예산 이야기 {n}").write(crawl)
    assert run(db.parent, "scan").code == 0
    assert search_index_findings(run(db.parent, "doctor", "--format", "json").json()["findings"]) == []
    (DAMAGE | {"lacks one": drop_revision, "finds nothing": drop_words})[damage](Path(f"{db}.search"))
    (finding,) = search_index_findings(run(db.parent, "doctor", "--format", "json").json()["findings"])
    severity, words = HARM[damage]
    assert finding["severity"] == severity
    assert words in finding["message"]
    repair = run(db.parent, "doctor", "--repair", "--format", "json").json()
    assert any("search index" in sentence for sentence in repair["repaired"])
    assert search_index_findings(repair["findings"]) == []
    assert count_hits(db) == 3
