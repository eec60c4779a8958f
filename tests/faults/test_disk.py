"""Full, read-only and failing disks: the daemon reports them, claims nothing that is not stored, and catches up."""

from __future__ import annotations

import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dedup import store
from dedup.errors import DatabaseFailedError
from dedup.files import disk_errors as disks
from dedup.index.lsh import CandidateIndex
from dedup.matching.matcher import Matcher
from dedup.pipeline import scanner
from dedup.pipeline.scanner import Scan
from dedup.pipeline.workers import WorkerPool
from tests.builders import scans as running
from tests.builders.command import spawn
from tests.builders.crawl import ArticleFile, edit_words, words
from tests.builders.daemon import Daemon, assert_equals_scan, watching
from tests.builders.disks import Image, fill, image, immutable, memory, read_only
from tests.builders.oracle import assert_holds, assert_sound, caught_up
from tests.builders.privileges import OTHER, Privileges

pytestmark = pytest.mark.system

__all__ = ["image"]

BEFORE, AFTER = 20, 180
_FULL_MESSAGE = "the file system mounted on {} has "


def _articles() -> list[ArticleFile]:
    """Some later articles are near copies of earlier ones, so that a lost index entry is noticed."""
    rng = random.Random(5)
    articles: list[ArticleFile] = []
    for n in range(BEFORE + AFTER):
        if n % 3 == 2:
            original = articles[n // 2]
            articles.append(replace(original, oid="902", aid=f"{n:010d}", body=" ".join(edit_words(rng, original.body.split(), 0.02))))
        else:
            articles.append(ArticleFile(body=" ".join(words(rng, 150)), aid=f"{n:010d}", title=f"기사 {n}"))
    return articles


def _failed_check(daemon: Daemon) -> str:
    """The output of `dedup status --check`, which must fail."""
    result = spawn(daemon.db.parent.parent, "-d", daemon.db, "status", "--check")
    assert result.code == 1, result
    assert "Traceback" not in result.err
    return result.out


def _bodies(articles: list[ArticleFile]) -> list[str]:
    return [a.body for a in articles]


@pytest.mark.parametrize(("leaving", "privileges"), [(0, "root"), (40, "root"), (200, OTHER), (500, "root")], indirect=["privileges"])
def test_a_full_disk_is_reported_and_every_file_is_recorded_once_there_is_room(
    crawl: Path, tmp_path: Path, leaving: int, privileges: Privileges
) -> None:
    """Depending on `leaving`, space runs out at once, within a batch, at its commit, or when an index grows."""
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    with memory(tmp_path / "disk", "8m") as disk:
        db = disk / "dedup.db"
        with watching(crawl, db) as daemon:
            before = daemon.recorded()
            ballast = fill(disk, leaving)
            for a in articles[BEFORE:]:
                a.write(crawl, age=0)
            daemon.wait_until(lambda: daemon.degraded("database"), 120)
            output = _failed_check(daemon)
            report, recorded = daemon.report(), daemon.recorded()
            assert before == BEFORE
            assert "the database cannot be written" in output
            assert _FULL_MESSAGE.format(disk) in output
            assert "bytes left; make room there" in output
            assert report.counts["new"] == recorded < len(articles)
            daemon.wait_until(lambda: daemon.report().backlog.oldest_seconds > 0)
            assert_sound(db, _bodies(articles))
            ballast.unlink()
            daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [], 180, every=0.2)
            daemon.wait_until(lambda: daemon.report().counts["new"] == len(articles))
            assert daemon.leave() == 0
        assert_holds(crawl, db, _bodies(articles))
        assert_equals_scan(crawl, db)
    assert daemon.log.count(b"the database can be written again") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_daemon_stopped_or_killed_on_a_full_disk_loses_nothing(crawl: Path, tmp_path: Path, number: int) -> None:
    """On a full disk, `scan` then fails with one line, and `watch` keeps trying."""
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    with memory(tmp_path / "disk", "8m") as disk:
        db = disk / "dedup.db"
        with watching(crawl, db) as daemon:
            ballast = fill(disk)
            for a in articles[BEFORE:]:
                a.write(crawl, age=0)
            daemon.wait_until(lambda: daemon.degraded("database"), 120)
            assert daemon.leave(number) == (0 if number == signal.SIGTERM else -number)
            assert b"can be written again" not in daemon.log
        result = spawn(tmp_path, "-c", f"{db}.toml", "scan")
        assert (result.code, result.out) == (3, "")
        (line,) = [line for line in result.err.splitlines() if line.startswith("dedup: ")]
        assert line.startswith(f"dedup: Writing to the database {db} failed: database or disk is full: {_FULL_MESSAGE.format(disk)}")
        assert "make room there" in line
        assert "Traceback" not in result.err
        with watching(crawl, db, until="Trying again until it can be recorded") as daemon:
            assert _FULL_MESSAGE.format(disk) in _failed_check(daemon)
            assert daemon.leave() == 0
        ballast.unlink()
        assert_sound(db, _bodies(articles))
        with watching(crawl, db) as daemon:
            daemon.wait_until(lambda: caught_up(crawl, db), 120, every=0.2)
            assert daemon.leave() == 0
        assert_holds(crawl, db, _bodies(articles))
        assert_equals_scan(crawl, db)


def test_a_scan_on_a_full_disk_fails_with_one_line_and_the_next_scan_continues(
    crawl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    monkeypatch.setattr(scanner, "BATCH_FILES", 20)
    with memory(tmp_path / "disk", "8m") as disk:
        db = disk / "dedup.db"
        running.scan(crawl, db)
        for a in articles[BEFORE:]:
            a.write(crawl)
        ballast = fill(disk, 400)
        with pytest.raises(DatabaseFailedError, match="make room there") as error:
            running.scan(crawl, db)
        assert error.value.exit_code == 3
        assert BEFORE <= len(running.dump(db, "files")) < len(articles)
        assert_sound(db, _bodies(articles))
        result = spawn(tmp_path, "-d", db, "scan", crawl)
        assert result.code == 3
        (line,) = [line for line in result.err.splitlines() if line.startswith("dedup: ")]
        assert line.startswith(f"dedup: Writing to the database {db} failed: database or disk is full: {_FULL_MESSAGE.format(disk)}")
        assert result.out == ""
        ballast.unlink()
        running.scan(crawl, db)
        assert_holds(crawl, db, _bodies(articles))
        assert_equals_scan(crawl, db)


def test_a_file_size_limit_is_reported_and_recording_continues_after_it_is_raised(crawl: Path, db: Path) -> None:
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    with watching(crawl, db) as daemon:
        size = os.path.getsize(f"{db}-wal")
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size + 40_000, resource.RLIM_INFINITY))
        for a in articles[BEFORE:]:
            a.write(crawl, age=0)
        daemon.wait_until(lambda: daemon.degraded("database"), 120)
        output = _failed_check(daemon)
        assert f"this process may not write files of more than {size + 40_000:,} bytes (ulimit -f); raise that" in output
        assert daemon.report().counts["new"] == daemon.recorded() < len(articles)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [], 180, every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, _bodies(articles))
    assert_equals_scan(crawl, db)


_SCAN_WITH_FULL_DATABASE_FILE = """
import os, resource, sys
from pathlib import Path
from dedup.pipeline.scanner import Scan
from tests.builders import scans as running
from tests.faults.test_disk import BEFORE, _articles
crawl, db = Path(sys.argv[1]), Path(sys.argv[2])
articles = _articles()
with running.session(crawl, db) as session:
    for a in articles[:BEFORE]:
        a.write(crawl)
    Scan(session).run()
    pragma = session.database.connection.execute
    pragma("PRAGMA wal_checkpoint(TRUNCATE)")
    pragma("PRAGMA wal_autocheckpoint=1")
    size = os.path.getsize(db)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    for a in articles[BEFORE : BEFORE + 15]:
        a.write(crawl)
    assert Scan(session).run().new == 15
    assert os.path.getsize(db) == size
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for a in articles[BEFORE + 15 :]:
        a.write(crawl)
    Scan(session).run()
"""


def test_commits_that_do_not_fit_into_the_database_file_stay_in_its_log(crawl: Path, db: Path) -> None:
    subprocess.run([sys.executable, "-c", _SCAN_WITH_FULL_DATABASE_FILE, crawl, db], check=True, timeout=240)
    assert_holds(crawl, db)
    assert_equals_scan(crawl, db)


def test_a_daemon_continues_after_its_files_were_read_only(image: Image, crawl: Path) -> None:
    """As on a file system that becomes read-only while its files are open."""
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    db = image.place / "dedup.db"
    files = [db, Path(f"{db}-wal")]
    with watching(crawl, db) as daemon:
        for path in files:
            immutable(path, on=True)
        try:
            for a in articles[BEFORE:]:
                a.write(crawl, age=0)
            daemon.wait_until(lambda: daemon.degraded("database"), 120)
            assert "disk I/O error" in _failed_check(daemon)
            assert daemon.recorded() == daemon.report().counts["new"] == BEFORE
        finally:
            for path in files:
                immutable(path, on=False)
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [], 180, every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, _bodies(articles))
    assert_equals_scan(crawl, db)


@pytest.mark.parametrize("how", ["error", "die"])
def test_a_broken_file_system_is_reported_and_everything_is_recorded_after_its_repair(image: Image, crawl: Path, how: str) -> None:
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    db = image.place / "dedup.db"
    with watching(crawl, db) as daemon:
        getattr(image, how)()
        daemon.wait_for_log("cannot write the health report")  # nothing else is due
        output = _failed_check(daemon)
        assert f"the file system mounted on {image.place} failed and refuses writing; stop dedup, check the file system" in output or (
            f"the file system mounted on {image.place} is read-only" in output
        )
        for a in articles[BEFORE:]:
            a.write(crawl, age=0)
        daemon.wait_for_log("Trying again until it can be recorded", 120)
        errors = daemon.log.count(b"ERROR")
        daemon.wait_until(lambda: daemon.process.poll() is None and errors > 0)
        start = time.monotonic()
        assert daemon.leave() == 0
        assert time.monotonic() - start < 10
        assert b"can be written again" not in daemon.log
    image.repair()
    assert_sound(db, _bodies(articles))
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db), 120, every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, _bodies(articles))
    assert_equals_scan(crawl, db)


def test_a_read_only_folder_is_refused_with_one_line_and_can_be_read(crawl: Path, tmp_path: Path) -> None:
    ArticleFile().write(crawl)
    folder = tmp_path / "place"
    folder.mkdir()
    db = folder / "dedup.db"
    running.scan(crawl, db)
    with read_only(folder):
        for name in ("scan", "watch"):
            result = spawn(tmp_path, "-d", db, name, crawl)
            assert (result.code, result.out) == (3, "")
            (line,) = result.err.splitlines()
            assert line.startswith(f"dedup: The database {db} cannot be opened: ")
            assert f"the file system mounted on {folder} is read-only; mount it for writing" in line
        assert spawn(tmp_path, "-d", db, "history", ArticleFile().address).code == 0
        assert disks.find_write_problem(str(db)) == f"the file system mounted on {folder} is read-only; mount it for writing"
    assert disks.find_write_problem(str(db)) == ""
    running.scan(crawl, db)
    assert_holds(crawl, db)


def test_a_database_that_is_moved_away_is_not_written(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    with watching(crawl, db) as daemon:
        db.rename(db.with_name("away.db"))
        ArticleFile(aid="0000000002").write(crawl, age=0)
        daemon.wait_until(lambda: daemon.degraded("database"))
        assert "it no longer exists (No such file or directory)" in daemon.report().degraded[0].message
        db.with_name("away.db").rename(db)
        assert daemon.recorded() == 1
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [])
        assert daemon.leave() == 0
    assert_holds(crawl, db)


def test_a_replaced_database_stops_the_daemon(crawl: Path, db: Path) -> None:
    ArticleFile().write(crawl)
    running.scan(crawl, db)
    other = db.with_name("other.db")
    with sqlite3.connect(db) as source, sqlite3.connect(other) as target:
        source.backup(target)
    source.close()
    target.close()
    with watching(crawl, db) as daemon:
        other.rename(db)
        assert daemon.wait(60) == 3
        assert f"The database {db} was replaced by another file while it was open" in daemon.log.decode()
        assert b"Traceback" not in daemon.log


def test_an_error_while_recording_is_not_a_fault_of_the_folder(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An `OSError` may come from recording and not from reading the folder."""
    for n in range(5):
        ArticleFile(aid=f"{n:010d}").write(crawl)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with running.session(crawl, db) as session:
        with monkeypatch.context() as patch:
            patch.setattr(scanner, "BATCH_FILES", 2)
            patch.setattr(scanner, "record_extractions", fail)
            with pytest.raises(DatabaseFailedError, match="No space left on device"):
                Scan(session).run()
            patch.setattr(WorkerPool, "submit", fail)
            with pytest.raises(DatabaseFailedError, match="No space left on device"):
                Scan(session).run()
        assert store.statistics.count(session.database, "faults") == 0
        assert Scan(session).run().new == 5


def test_an_index_catches_up_after_a_failed_update(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    articles = _articles()[: 3 * BEFORE]

    def fail(*_: object) -> None:
        raise MemoryError

    with running.session(crawl, db) as session:
        for a in articles[:BEFORE]:
            a.write(crawl)
        with monkeypatch.context() as patch:
            patch.setattr(CandidateIndex, "add", fail)
            assert Scan(session).run().new == BEFORE, "the commit comes before the update of the index"
        for a in articles[BEFORE:]:
            a.write(crawl)
        Scan(session).run()
        assert isinstance(session.matcher, Matcher)
    assert_holds(crawl, db)
    assert_equals_scan(crawl, db)


def test_find_write_problem_explains_what_is_wrong_with_a_disk(tmp_path: Path) -> None:
    assert disks.find_write_problem(str(tmp_path / "dedup.db")) == ""
    assert (
        disks.find_write_problem(str(tmp_path / "nowhere" / "dedup.db"))
        == f"{tmp_path}/nowhere cannot be reached (No such file or directory)"
    )
    assert disks.explain_error(OSError(28, "No space left on device"), str(tmp_path)) == "No space left on device"
    assert disks.explain_error(sqlite3.OperationalError("database is locked"), "/nowhere/dedup.db") == "database is locked"
