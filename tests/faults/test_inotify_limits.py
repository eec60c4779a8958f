"""More folders than inotify watches: they are reported, found by timed scans, and watched once the limit is raised. Each test runs in its
own user namespace."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import pytest

from tests.builders.command import spawn
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import NEVER, watching
from tests.builders.inotify_limits import set_limit, with_limit
from tests.builders.oracle import assert_holds, caught_up

pytestmark = [pytest.mark.system, pytest.mark.timeout(600)]
FOLDERS = 100
WATCHES = 20


def _write_into_each_folder(crawl: Path, first: int) -> None:
    """Write one more article into every folder."""
    for n in range(FOLDERS):
        ArticleFile(aid=f"{first + n:010d}", body=(f"본문 {first + n} " * 12).strip()).write(crawl / f"{n:03d}", age=0)


@pytest.fixture
def folders(crawl: Path) -> Path:
    """A crawl directory with many folders."""
    _write_into_each_folder(crawl, 0)
    return crawl


@pytest.mark.parametrize("interval", [1.0, NEVER])
def test_folders_beyond_the_limit_are_reported_scanned_and_watched_after_it_is_raised(
    folders: Path, db: Path, tmp_path: Path, interval: float
) -> None:
    """Unwatched folders make timed scans more frequent, whatever the configured interval."""
    with watching(folders, db, interval=interval, under=with_limit("watches", WATCHES)) as daemon:
        daemon.wait_until(lambda: daemon.report().unwatched == FOLDERS + 1 - WATCHES)
        assert daemon.degraded("unwatched")
        assert not daemon.degraded("events")
        result = spawn(tmp_path, "-d", db, "status", "--check")
        assert result.code == 1
        assert "folders are not watched; timed scans find what changes there: 81 folders" in result.out
        assert "81 folders not watched: " in spawn(tmp_path, "-d", db, "status").out
        _write_into_each_folder(folders, FOLDERS)
        daemon.wait_until(lambda: caught_up(folders, db), 240)
        assert daemon.report().unwatched == FOLDERS + 1 - WATCHES
        set_limit(daemon, "watches", 10 * FOLDERS)
        daemon.wait_until(lambda: daemon.report().unwatched == 0 and daemon.problems() == [], 240)
        daemon.wait_for_log("all folders are watched again")
        _write_into_each_folder(folders, 2 * FOLDERS)
        daemon.wait_until(lambda: caught_up(folders, db), 240)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.restarts, report.overflows) == (0, 0)
    assert_holds(folders, db)


def test_new_folders_beyond_the_limit_are_reported(crawl: Path, db: Path) -> None:
    with watching(crawl, db, under=with_limit("watches", WATCHES)) as daemon:
        assert daemon.report().unwatched == 0
        _write_into_each_folder(crawl, 0)
        daemon.wait_until(lambda: daemon.report().unwatched == FOLDERS + 1 - WATCHES, 240)
        daemon.wait_until(lambda: caught_up(crawl, db), 240)
        for n in range(FOLDERS // 2):
            shutil.rmtree(crawl / f"{n:03d}")
        daemon.wait_until(lambda: daemon.report().unwatched == FOLDERS // 2 + 1 - WATCHES, 240)
        for n in range(FOLDERS // 2, FOLDERS - WATCHES // 2):
            shutil.rmtree(crawl / f"{n:03d}")
        daemon.wait_until(lambda: daemon.problems() == [] and caught_up(crawl, db), 240)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@pytest.mark.parametrize("limit", ["watches", "instances"])
def test_without_any_watch_timed_scans_find_changes_until_the_limit_is_raised(
    folders: Path, db: Path, tmp_path: Path, limit: Literal["watches", "instances"]
) -> None:
    with watching(folders, db, interval=1.0, under=with_limit(limit, 0)) as daemon:
        daemon.wait_until(lambda: daemon.degraded("events"))
        result = spawn(tmp_path, "-d", db, "status", "--check")
        assert result.code == 1
        assert f"no events come; only scans find what changes: inotify's limit of {limit} is reached: raise " in result.out
        _write_into_each_folder(folders, FOLDERS)
        daemon.wait_until(lambda: caught_up(folders, db), 240)
        set_limit(daemon, limit, 10 * FOLDERS)
        daemon.wait_until(lambda: daemon.problems() == [] and daemon.report().unwatched == 0, 240)
        _write_into_each_folder(folders, 2 * FOLDERS)
        daemon.wait_until(lambda: caught_up(folders, db), 240)
        assert daemon.leave() == 0
    assert daemon.log.count(b"cannot be watched") == 1
    assert_holds(folders, db)


def test_short_lived_folders_are_not_reported_as_unwatched(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        for n in range(300):
            (crawl / f"{n}" / "a" / "b").mkdir(parents=True)
            if n % 3:
                shutil.rmtree(crawl / f"{n}")
        for n in range(0, 300, 3):
            (crawl / f"{n}" / "a").rename(crawl / f"{n}" / "c")
        ArticleFile().write(crawl / "297" / "c" / "b", age=0)
        daemon.wait_until(lambda: daemon.recorded() == 1, 240)
        scans = daemon.report().scans
        for n in range(0, 300, 6):
            shutil.rmtree(crawl / f"{n}")
        ArticleFile(aid="0000000002").write(crawl / "late", age=0)
        daemon.wait_until(lambda: daemon.recorded() == 2 and caught_up(crawl, db), 240)
        daemon.wait_until(lambda: daemon.report().backlog.files == 0)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.unwatched, report.degraded, report.scans) == (0, (), scans)
    assert b"not watched" not in daemon.log
    assert_holds(crawl, db)
