"""Bursts of files: none is missed, whatever inotify drops."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.builders import scans as running
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import assert_equals_scan, watching
from tests.builders.oracle import assert_holds, caught_up, walk
from tests.builders.privileges import as_service

pytestmark = pytest.mark.system

FILES = 20_000


def _rendered(number: int) -> list[str]:
    """Short articles, which are quick to write."""
    return [ArticleFile(body=(f"본문 {n} " * 12).strip(), aid=f"{n:010d}", title=f"기사 {n}").render() for n in range(number)]


def _in_place(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _by_rename(path: str, text: str) -> None:
    _in_place(path + ".part", text)
    os.rename(path + ".part", path)


@pytest.mark.parametrize("write", [_in_place, _by_rename])
@pytest.mark.parametrize("folders", [1, 400])
def test_every_file_of_a_burst_is_recorded(crawl: Path, db: Path, write: Callable[[str, str], None], folders: int) -> None:
    texts = _rendered(FILES)
    with watching(crawl, db, "-q", until=None) as daemon:
        daemon.wait_until(lambda: db.exists() and daemon.problems() == [] and daemon.report().phase == "watching")
        for n, text in enumerate(texts):
            folder = crawl / f"{n % folders:04d}" if folders > 1 else crawl
            if n < folders and folders > 1:
                folder.mkdir()
            write(f"{folder}/{n}.md", text)
        daemon.wait_until(lambda: daemon.recorded() == FILES, 120, every=0.2)
        assert caught_up(crawl, db)
        report = daemon.report()
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert (report.degraded, report.unwatched) == ((), 0)


@as_service
def test_lost_events_are_counted_and_one_scan_makes_up_for_them(crawl: Path, db: Path) -> None:
    texts = _rendered(FILES)
    with watching(crawl, db) as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        for n, text in enumerate(texts):
            _in_place(f"{crawl}/{n}.md", text)
        daemon.process.send_signal(signal.SIGCONT)
        daemon.wait_until(lambda: daemon.recorded() == FILES, 120, every=0.2)
        daemon.wait_until(lambda: daemon.report().scans > 1 and daemon.report().backlog.files == 0)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.overflows, report.restarts, report.scans) == (1, 0, 2)
    assert_holds(crawl, db)


def test_folders_created_and_filled_at_once_are_followed(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        for n, text in enumerate(_rendered(500)):
            folder = crawl / f"{n}" / "b" / "c"
            folder.mkdir(parents=True)
            _in_place(f"{folder}/a.md", text)
        daemon.wait_until(lambda: daemon.recorded() == 500)
        late = ArticleFile(aid="0000099999").write(crawl / "250" / "b" / "c", age=0)  # all folders are watched by now
        daemon.wait_until(lambda: os.fsencode(late.relative_to(crawl)) in walk(crawl) and daemon.recorded() == 501)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.overflows, report.unwatched, report.scans) == (0, 0, 1)
    assert_holds(crawl, db)


def test_renaming_trees_into_within_and_out_of_the_directory_is_followed(crawl: Path, db: Path) -> None:
    outside = crawl.with_name("outside")
    texts = _rendered(300)
    for n, text in enumerate(texts):
        folder = outside / f"t{n % 3}" / f"{n % 10}" / "deep"
        folder.mkdir(parents=True, exist_ok=True)
        _in_place(f"{folder}/{n}.md", text)
    with watching(crawl, db) as daemon:
        for n in range(3):
            (outside / f"t{n}").rename(crawl / f"t{n}")
        daemon.wait_until(lambda: daemon.recorded() == 300)
        (crawl / "t0").rename(crawl / "t1" / "within")
        daemon.wait_until(lambda: caught_up(crawl, db))
        (crawl / "t1" / "within" / "3" / "deep").rename(crawl / "t2" / "again")
        _in_place(f"{crawl}/t2/again/late.md", ArticleFile(aid="0000099999").render())
        daemon.wait_until(lambda: caught_up(crawl, db))
        (crawl / "t2").rename(outside / "t2")
        daemon.wait_until(lambda: caught_up(crawl, db))
        (outside / "t2").rename(crawl / "t2")
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert_equals_a_scan_without_gone_files(crawl, db)


def assert_equals_a_scan_without_gone_files(crawl: Path, db: Path) -> None:
    """Compare with a scan of the present files, without the rows of gone files."""
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM readings WHERE file_id IN (SELECT id FROM files WHERE gone = 1)")
        connection.execute("DELETE FROM files WHERE gone = 1")
    connection.close()
    assert_equals_scan(crawl, db)


def test_a_burst_is_recorded_within_the_time_of_a_scan_plus_fifteen_seconds(crawl: Path, db: Path) -> None:
    """The scan of the same files is measured on the same machine."""
    texts = _rendered(FILES)
    with watching(crawl, db, "-q", until=None) as daemon:
        daemon.wait_until(lambda: db.exists() and daemon.problems() == [] and daemon.report().phase == "watching")
        for n, text in enumerate(texts):
            _in_place(f"{crawl}/{n}.md", text)
        written_at = time.monotonic()
        daemon.wait_until(lambda: daemon.recorded() == FILES, 120, every=0.2)
        seconds = time.monotonic() - written_at
        assert daemon.leave() == 0
    start = time.monotonic()
    running.scan(crawl, db.with_name("clean.db"), workers=0)
    assert seconds < 15 + (time.monotonic() - start)
