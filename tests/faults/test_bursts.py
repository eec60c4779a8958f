"""Many files at once: none is missed, whatever inotify drops."""

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
from tests.builders.daemon import equals_a_scan, watching
from tests.builders.oracle import assert_holds, caught_up, walk
from tests.builders.privileges import as_service

pytestmark = pytest.mark.system

MANY = 20_000


def _rendered(number: int) -> list[str]:
    """Short articles, quick to make: what counts here is their number."""
    return [ArticleFile(body=(f"본문 {n} " * 12).strip(), aid=f"{n:010d}", title=f"기사 {n}").render() for n in range(number)]


def _in_place(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def _by_rename(path: str, text: str) -> None:
    _in_place(path + ".part", text)
    os.rename(path + ".part", path)


@pytest.mark.parametrize("write", [_in_place, _by_rename])
@pytest.mark.parametrize("folders", [1, 400])
def test_a_burst_is_taken_in_whole(crawl: Path, db: Path, write: Callable[[str, str], None], folders: int) -> None:
    texts = _rendered(MANY)
    with watching(crawl, db, "-q", until=None) as daemon:
        daemon.wait_until(lambda: db.exists() and daemon.problems() == [] and daemon.report().phase == "watching")
        for n, text in enumerate(texts):
            folder = crawl / f"{n % folders:04d}" if folders > 1 else crawl
            if n < folders and folders > 1:
                folder.mkdir()
            write(f"{folder}/{n}.md", text)
        daemon.wait_until(lambda: daemon.recorded() == MANY, 120, every=0.2)
        assert caught_up(crawl, db)
        report = daemon.report()
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert (report.degraded, report.unwatched) == ((), 0)


@as_service
def test_events_lost_while_it_was_stopped_are_noticed_counted_and_made_up_for_by_one_scan(crawl: Path, db: Path) -> None:
    texts = _rendered(MANY)
    with watching(crawl, db) as daemon:
        daemon.process.send_signal(signal.SIGSTOP)
        for n, text in enumerate(texts):
            _in_place(f"{crawl}/{n}.md", text)
        daemon.process.send_signal(signal.SIGCONT)
        daemon.wait_until(lambda: daemon.recorded() == MANY, 120, every=0.2)
        daemon.wait_until(lambda: daemon.report().scans > 1 and daemon.report().backlog.files == 0)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.overflows, report.restarts, report.scans) == (1, 0, 2)
    assert_holds(crawl, db)


def test_folders_made_and_filled_at_once_are_followed(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        for n, text in enumerate(_rendered(500)):
            folder = crawl / f"{n}" / "b" / "c"
            folder.mkdir(parents=True)
            _in_place(f"{folder}/a.md", text)
        daemon.wait_until(lambda: daemon.recorded() == 500)
        late = ArticleFile(aid="0000099999").write(crawl / "250" / "b" / "c", age=0)  # each of them is watched by now
        daemon.wait_until(lambda: os.fsencode(late.relative_to(crawl)) in walk(crawl) and daemon.recorded() == 501)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.overflows, report.unwatched, report.scans) == (0, 0, 1)
    assert_holds(crawl, db)


def test_trees_renamed_in_within_and_out_are_followed(crawl: Path, db: Path) -> None:
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
    equals_a_scan_but_for_what_went(crawl, db)


def equals_a_scan_but_for_what_went(crawl: Path, db: Path) -> None:
    """Files that went are kept as gone; a scan of what is there now never saw them."""
    with sqlite3.connect(db) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("DELETE FROM readings WHERE file_id IN (SELECT id FROM files WHERE gone = 1)")
        connection.execute("DELETE FROM files WHERE gone = 1")
    connection.close()
    equals_a_scan(crawl, db)


def test_a_burst_is_in_within_fifteen_seconds_and_the_time_of_a_scan(crawl: Path, db: Path) -> None:
    """The one time that is promised: what a scan of the same files takes on the same machine is measured beside it."""
    texts = _rendered(MANY)
    with watching(crawl, db, "-q", until=None) as daemon:
        daemon.wait_until(lambda: db.exists() and daemon.problems() == [] and daemon.report().phase == "watching")
        for n, text in enumerate(texts):
            _in_place(f"{crawl}/{n}.md", text)
        written = time.monotonic()
        daemon.wait_until(lambda: daemon.recorded() == MANY, 120, every=0.2)
        taken = time.monotonic() - written
        assert daemon.leave() == 0
    begun = time.monotonic()
    running.scan(crawl, db.with_name("clean.db"), workers=0)
    assert taken < 15 + (time.monotonic() - begun)
