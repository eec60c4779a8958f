"""No room, no leave to write, a disk that dies: it says so, claims nothing, and makes up for it."""

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
from dedup.scan import scanner
from dedup.scan.scanner import Scan
from dedup.scan.workers import WorkerPool
from tests.builders import scans as running
from tests.builders.command import spawn
from tests.builders.crawl import ArticleFile, edited, words
from tests.builders.daemon import Daemon, equals_a_scan, watching
from tests.builders.disks import Image, fill, image, immutable, memory, read_only
from tests.builders.oracle import assert_holds, assert_sound, caught_up
from tests.builders.privileges import OTHER, Privileges

pytestmark = pytest.mark.system

__all__ = ["image"]

BEFORE, AFTER = 20, 180
_FULL = "the file system mounted on {} has "


def _articles() -> list[ArticleFile]:
    """Some of the later ones are near copies of the earlier: what an index forgot would be missed."""
    rng = random.Random(5)
    made: list[ArticleFile] = []
    for n in range(BEFORE + AFTER):
        if n % 3 == 2:
            copied = made[n // 2]
            made.append(replace(copied, oid="902", aid=f"{n:010d}", body=" ".join(edited(rng, copied.body.split(), 0.02))))
        else:
            made.append(ArticleFile(body=" ".join(words(rng, 150)), aid=f"{n:010d}", title=f"기사 {n}"))
    return made


def _check(daemon: Daemon) -> str:
    """What `dedup status --check` says, which must not be content."""
    told = spawn(daemon.db.parent.parent, "-d", daemon.db, "status", "--check")
    assert told.code == 1, told
    assert "Traceback" not in told.err
    return told.out


def _bodies(articles: list[ArticleFile]) -> list[str]:
    return [a.body for a in articles]


@pytest.mark.parametrize(("leaving", "privileges"), [(0, "root"), (40, "root"), (200, OTHER), (500, "root")], indirect=["privileges"])
def test_a_full_disk_is_told_claims_nothing_and_is_made_up_for(crawl: Path, tmp_path: Path, leaving: int, privileges: Privileges) -> None:
    """Room ends at once, within a batch, as it is committed, or where the indexes grow."""
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
            told = _check(daemon)
            report, recorded = daemon.report(), daemon.recorded()
            assert before == BEFORE
            assert "the database cannot be written" in told
            assert _FULL.format(disk) in told
            assert "bytes left; make room there" in told
            assert report.counts["new"] == recorded < len(articles)
            daemon.wait_until(lambda: daemon.report().backlog.oldest_seconds > 0)
            assert_sound(db, _bodies(articles))
            ballast.unlink()
            daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [], 180, every=0.2)
            daemon.wait_until(lambda: daemon.report().counts["new"] == len(articles))
            assert daemon.leave() == 0
        assert_holds(crawl, db, _bodies(articles))
        equals_a_scan(crawl, db)
    assert daemon.log.count(b"the database can be written again") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_whoever_leaves_or_is_killed_on_a_full_disk_has_claimed_nothing(crawl: Path, tmp_path: Path, number: int) -> None:
    """And whoever starts on it says what is wrong: `scan` ends with one line, `watch` goes on trying."""
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
        told = spawn(tmp_path, "-c", f"{db}.toml", "scan")
        assert (told.code, told.out) == (3, "")
        (line,) = [line for line in told.err.splitlines() if line.startswith("dedup: ")]
        assert line.startswith(f"dedup: Writing to the database {db} failed: database or disk is full: {_FULL.format(disk)}")
        assert "make room there" in line
        assert "Traceback" not in told.err
        with watching(crawl, db, until="Trying again until it can be recorded") as daemon:
            assert _FULL.format(disk) in _check(daemon)
            assert daemon.leave() == 0
        ballast.unlink()
        assert_sound(db, _bodies(articles))
        with watching(crawl, db) as daemon:
            daemon.wait_until(lambda: caught_up(crawl, db), 120, every=0.2)
            assert daemon.leave() == 0
        assert_holds(crawl, db, _bodies(articles))
        equals_a_scan(crawl, db)


def test_a_scan_that_finds_no_room_says_so_and_another_goes_on_from_what_was_committed(
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
        with pytest.raises(DatabaseFailedError, match="make room there") as failed:
            running.scan(crawl, db)
        assert failed.value.exit_code == 3
        assert BEFORE <= len(running.dump(db, "files")) < len(articles)
        assert_sound(db, _bodies(articles))
        told = spawn(tmp_path, "-d", db, "scan", crawl)
        assert told.code == 3
        (line,) = [line for line in told.err.splitlines() if line.startswith("dedup: ")]
        assert line.startswith(f"dedup: Writing to the database {db} failed: database or disk is full: {_FULL.format(disk)}")
        assert told.out == ""
        ballast.unlink()
        running.scan(crawl, db)
        assert_holds(crawl, db, _bodies(articles))
        equals_a_scan(crawl, db)


def test_a_limit_of_file_sizes_is_told_and_made_up_for_once_it_is_raised(crawl: Path, db: Path) -> None:
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    with watching(crawl, db) as daemon:
        size = os.path.getsize(f"{db}-wal")
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (size + 40_000, resource.RLIM_INFINITY))
        for a in articles[BEFORE:]:
            a.write(crawl, age=0)
        daemon.wait_until(lambda: daemon.degraded("database"), 120)
        told = _check(daemon)
        assert f"this process may not write files of more than {size + 40_000:,} bytes (ulimit -f); raise that" in told
        assert daemon.report().counts["new"] == daemon.recorded() < len(articles)
        resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [], 180, every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, _bodies(articles))
    equals_a_scan(crawl, db)


_LOG_GROWS = """
import os, resource, sys
from pathlib import Path
from dedup.scan.scanner import Scan
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


def test_what_is_committed_and_finds_no_room_in_the_database_itself_stays_in_its_log(crawl: Path, db: Path) -> None:
    subprocess.run([sys.executable, "-c", _LOG_GROWS, crawl, db], check=True, timeout=240)
    assert_holds(crawl, db)
    equals_a_scan(crawl, db)


def test_files_that_take_no_writing_for_a_while_are_written_again_by_the_same_process(image: Image, crawl: Path) -> None:
    """As on a file system that is read-only for some time, from under those who have its files open."""
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    db = image.place / "dedup.db"
    held = [db, Path(f"{db}-wal")]
    with watching(crawl, db) as daemon:
        for path in held:
            immutable(path, on=True)
        try:
            for a in articles[BEFORE:]:
                a.write(crawl, age=0)
            daemon.wait_until(lambda: daemon.degraded("database"), 120)
            assert "disk I/O error" in _check(daemon)
            assert daemon.recorded() == daemon.report().counts["new"] == BEFORE
        finally:
            for path in held:
                immutable(path, on=False)
        daemon.wait_until(lambda: caught_up(crawl, db) and daemon.problems() == [], 180, every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, _bodies(articles))
    equals_a_scan(crawl, db)


@pytest.mark.parametrize("how", ["error", "die"])
def test_a_file_system_that_breaks_is_told_and_let_go_of_and_all_is_found_once_it_is_mended(image: Image, crawl: Path, how: str) -> None:
    articles = _articles()
    for a in articles[:BEFORE]:
        a.write(crawl)
    db = image.place / "dedup.db"
    with watching(crawl, db) as daemon:
        getattr(image, how)()
        daemon.wait_for_log("dedup.db.health cannot be written")  # nothing else had to be
        told = _check(daemon)
        assert f"the file system mounted on {image.place} failed and refuses writing; stop dedup, check the file system" in told or (
            f"the file system mounted on {image.place} is read-only" in told
        )
        for a in articles[BEFORE:]:
            a.write(crawl, age=0)
        daemon.wait_for_log("Trying again until it can be recorded", 120)
        tried = daemon.log.count(b"ERROR")
        daemon.wait_until(lambda: daemon.process.poll() is None and tried > 0)
        begun = time.monotonic()
        assert daemon.leave() == 0
        assert time.monotonic() - begun < 10
        assert b"can be written again" not in daemon.log
    image.repair()
    assert_sound(db, _bodies(articles))
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: caught_up(crawl, db), 120, every=0.2)
        assert daemon.leave() == 0
    assert_holds(crawl, db, _bodies(articles))
    equals_a_scan(crawl, db)


def test_a_folder_that_is_read_only_from_the_start_is_told_in_one_line_and_can_be_read(crawl: Path, tmp_path: Path) -> None:
    ArticleFile().write(crawl)
    place = tmp_path / "place"
    place.mkdir()
    db = place / "dedup.db"
    running.scan(crawl, db)
    with read_only(place):
        for name in ("scan", "watch"):
            told = spawn(tmp_path, "-d", db, name, crawl)
            assert (told.code, told.out) == (3, "")
            (line,) = told.err.splitlines()
            assert line.startswith(f"dedup: The database {db} cannot be opened: ")
            assert f"the file system mounted on {place} is read-only; mount it for writing" in line
        assert spawn(tmp_path, "-d", db, "history", ArticleFile().address).code == 0
        assert disks.find_write_problem(str(db)) == f"the file system mounted on {place} is read-only; mount it for writing"
    assert disks.find_write_problem(str(db)) == ""
    running.scan(crawl, db)
    assert_holds(crawl, db)


def test_a_database_that_is_moved_away_is_not_written_where_nobody_looks(crawl: Path, db: Path) -> None:
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


def test_another_database_in_place_of_the_one_that_was_opened_ends_it(crawl: Path, db: Path) -> None:
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


def test_what_fails_while_a_folder_is_compared_is_no_fault_of_the_folder(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of the system come from working on its files too, and those are not all of them seen to."""
    for n in range(5):
        ArticleFile(aid=f"{n:010d}").write(crawl)

    def no_room(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with running.session(crawl, db) as session:
        with monkeypatch.context() as patch:
            patch.setattr(scanner, "BATCH_FILES", 2)
            patch.setattr(scanner, "record_extractions", no_room)
            with pytest.raises(DatabaseFailedError, match="No space left on device"):
                Scan(session).run()
            patch.setattr(WorkerPool, "submit", no_room)
            with pytest.raises(DatabaseFailedError, match="No space left on device"):
                Scan(session).run()
        assert store.statistics.count(session.database, "faults") == 0
        assert Scan(session).run().new == 5


def test_what_an_index_could_not_take_in_is_caught_up(crawl: Path, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    articles = _articles()[: 3 * BEFORE]

    def broken(*_: object) -> None:
        raise MemoryError

    with running.session(crawl, db) as session:
        for a in articles[:BEFORE]:
            a.write(crawl)
        with monkeypatch.context() as patch:
            patch.setattr(CandidateIndex, "add", broken)
            assert Scan(session).run().new == BEFORE, "they are committed before the index takes them in"
        for a in articles[BEFORE:]:
            a.write(crawl)
        Scan(session).run()
        assert isinstance(session.matcher, Matcher)
    assert_holds(crawl, db)
    equals_a_scan(crawl, db)


def test_what_is_known_to_be_wrong_with_a_disk(tmp_path: Path) -> None:
    assert disks.find_write_problem(str(tmp_path / "dedup.db")) == ""
    assert (
        disks.find_write_problem(str(tmp_path / "nowhere" / "dedup.db"))
        == f"{tmp_path}/nowhere cannot be reached (No such file or directory)"
    )
    assert disks.explain_error(OSError(28, "No space left on device"), str(tmp_path)) == "No space left on device"
    assert disks.explain_error(sqlite3.OperationalError("database is locked"), "/nowhere/dedup.db") == "database is locked"
