"""Crawl directories that are deleted, renamed, replaced, unmounted and restored. What cannot be seen is absent, not gone."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.builders import scans as running
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import Daemon, assert_equals_scan, watching
from tests.builders.mounts import in_own_mounts, mount, unmount
from tests.builders.oracle import assert_holds, assert_sound, caught_up, recorded, walk
from tests.builders.privileges import as_service

pytestmark = pytest.mark.system

ARTICLES = 40


def _article(number: int, **kw: Any) -> ArticleFile:
    return ArticleFile(body=(f"본문 {number} " * 30).strip(), aid=f"{number:010d}", title=f"기사 {number}", **kw)


def _fill(folder: Path, number: int = ARTICLES, first: int = 0) -> None:
    for n in range(first, first + number):
        _article(n).write(folder / ["", "2026/03/02", "다른"][n % 3])


def _history(db: Path) -> list[dict[str, Any]]:
    """Everything recorded except the state of files."""
    return [row for row in running.dump(db) if row["table"] not in ("files", "faults")]


def _absent(daemon: Daemon) -> bool:
    return daemon.degraded("absent")


def _assert_events_arrive(daemon: Daemon, db: Path, root: Path, number: int, folder: str = "") -> None:
    """A file that is written into the folder is recorded because of an event. Retry if a scan happened to run in between."""
    for name in ("", "second-", "third-", "fourth-"):
        before = daemon.report().scans
        path = _article(number).write(root / folder, f"{name}{number}.md", age=0)
        relative = os.fsencode(path.relative_to(root))
        daemon.wait_until(lambda: recorded(db).get(relative) == walk(root)[relative])  # noqa: B023 - waited for at once
        report = daemon.report()
        if (report.phase, report.scans) == ("watching", before):
            return
    raise AssertionError(daemon.log.decode())


# Roots that disappear and return


@contextmanager
def _renamed(crawl: Path) -> Iterator[None]:
    away = crawl.rename(crawl.with_name("away"))
    yield
    away.rename(crawl)


@contextmanager
def _replaced_by_an_empty_folder(crawl: Path) -> Iterator[None]:
    with _renamed(crawl):
        crawl.mkdir()
        yield  # the root is renamed over the empty folder afterwards


@contextmanager
def _replaced_by_a_file(crawl: Path) -> Iterator[None]:
    with _renamed(crawl):
        crawl.write_text("?")
        yield
        crawl.unlink()


@contextmanager
def _replaced_by_a_dangling_link(crawl: Path) -> Iterator[None]:
    with _renamed(crawl):
        crawl.symlink_to("nowhere")
        yield
        crawl.unlink()


@contextmanager
def _parent_renamed(crawl: Path) -> Iterator[None]:
    with _renamed(crawl.parent):
        yield


@as_service
@pytest.mark.parametrize(
    "take_away",
    [_renamed, _replaced_by_an_empty_folder, _replaced_by_a_file, _replaced_by_a_dangling_link, _parent_renamed],
)
def test_a_root_that_disappears_and_returns_loses_nothing_and_is_followed(tmp_path: Path, db: Path, take_away: Any) -> None:
    crawl = tmp_path / "in" / "crawl"
    _fill(crawl)
    with watching(crawl, db) as daemon:
        before, files = running.dump(db), recorded(db)
        with take_away(crawl):
            daemon.wait_until(lambda: _absent(daemon))
            assert (running.dump(db), recorded(db)) == (before, files)
            assert any(str(crawl) in problem for problem in daemon.problems())
        daemon.wait_until(lambda: not _absent(daemon))
        _assert_events_arrive(daemon, db, crawl, ARTICLES)
        _assert_events_arrive(daemon, db, crawl, ARTICLES + 1, "2026/03/02")
        (crawl / "다른" / _article(2).name).unlink()
        daemon.wait_until(lambda: caught_up(crawl, db))
        report = daemon.report()
        assert (daemon.problems(), report.unwatched) == ([], 0)
        assert report.scans <= 4  # at the start, after the loss, after the return, and once more if that took two steps
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert running.dump(db, "changes") == []


def test_an_absent_root_does_not_stop_another_root_or_cause_repeated_scans(tmp_path: Path, db: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    _fill(one / "1")
    _fill(other / "2", first=ARTICLES)
    with watching(one, db, str(one), str(other)) as daemon:
        files = recorded(db)
        assert files == walk(one) | walk(other)
        one.rename(tmp_path / "away")
        daemon.wait_until(lambda: _absent(daemon))
        scans, start = daemon.report().scans, time.monotonic()
        number = 2 * ARTICLES
        while time.monotonic() - start < 6 or number < 2 * ARTICLES + 10:
            _assert_events_arrive(daemon, db, other, number, "2")
            _article(number).write(tmp_path / "away" / "1", f"unseen{number}.md", age=0)  # a watch on the moved folder sees this
            number += 1
        daemon.wait_until(lambda: not (walk(other).items() - recorded(db).items()))
        report = daemon.report()
        assert (report.scans, report.restarts) == (scans, 0)
        assert {p: s for p, s in recorded(db).items() if p.startswith(b"1/")} == {p: s for p, s in files.items() if p.startswith(b"1/")}
        assert [str(one) in d.message and str(other) not in d.message for d in report.degraded] == [True]
        (tmp_path / "away").rename(one)
        daemon.wait_until(lambda: recorded(db) == walk(one) | walk(other))
        daemon.wait_until(lambda: not _absent(daemon))
        _assert_events_arrive(daemon, db, one, 9000, "1")
        assert daemon.report().scans <= scans + 2
        assert daemon.leave() == 0
    assert_sound(db)
    assert recorded(db) == walk(one) | walk(other)


def test_a_root_that_is_absent_at_the_start_is_reported_and_followed_later(crawl: Path, db: Path) -> None:
    crawl.rmdir()
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: _absent(daemon))
        _fill(crawl.with_name("made"))
        crawl.with_name("made").rename(crawl)
        daemon.wait_until(lambda: not _absent(daemon))
        daemon.wait_until(lambda: caught_up(crawl, db))
        _assert_events_arrive(daemon, db, crawl, ARTICLES)
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert_equals_scan(crawl, db)


def test_a_root_that_disappeared_while_no_daemon_ran_loses_nothing(crawl: Path, db: Path) -> None:
    _fill(crawl)
    running.scan(crawl, db)
    before = running.dump(db)
    away = crawl.rename(crawl.with_name("away"))
    crawl.mkdir()
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: _absent(daemon))
        assert running.dump(db) == before
        away.rename(crawl)
        daemon.wait_until(lambda: not _absent(daemon))
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert running.dump(db) == before


def test_a_root_that_is_deleted_and_restored_keeps_its_history(crawl: Path, db: Path) -> None:
    _fill(crawl)
    shutil.copytree(crawl, crawl.with_name("copy"))
    with watching(crawl, db) as daemon:
        before = running.dump(db)
        history = _history(db)
        shutil.rmtree(crawl)
        daemon.wait_until(lambda: _absent(daemon))
        assert _history(db) == history
        crawl.with_name("copy").rename(crawl)
        daemon.wait_until(lambda: not _absent(daemon) and caught_up(crawl, db))
        _assert_events_arrive(daemon, db, crawl, ARTICLES)
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert [row for row in before if row not in running.dump(db)] == []


# Roots with other content


def test_files_removed_by_an_archiving_job_are_gone(crawl: Path, db: Path) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        history = _history(db)
        for path in list(crawl.rglob("*.md")):
            path.unlink()
        for folder in crawl.iterdir():
            shutil.rmtree(folder)
        daemon.wait_until(lambda: recorded(db) == {})
        _assert_events_arrive(daemon, db, crawl, ARTICLES)
        assert (daemon.problems(), daemon.report().scans) == ([], 1)
        assert daemon.leave() == 0
    assert [row for row in history if row not in _history(db)] == []
    assert_holds(crawl, db)


def test_files_of_a_root_emptied_while_no_daemon_ran_are_gone(crawl: Path, db: Path) -> None:
    _fill(crawl)
    running.scan(crawl, db)
    for entry in crawl.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    with watching(crawl, db) as daemon:
        assert (recorded(db), daemon.problems()) == ({}, [])
        assert daemon.leave() == 0


def test_a_directory_with_other_files_replaces_a_root(crawl: Path, db: Path) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        history = _history(db)
        other = crawl.with_name("other")
        _fill(other, 5, ARTICLES - 2)  # two of them are known
        crawl.rename(crawl.with_name("away"))
        other.rename(crawl)
        daemon.wait_until(lambda: caught_up(crawl, db))
        _assert_events_arrive(daemon, db, crawl, ARTICLES + 10)
        assert daemon.problems() == []
        assert [row for row in history if row not in _history(db)] == []
        crawl.rename(other)
        crawl.with_name("away").rename(crawl)
        daemon.wait_until(lambda: caught_up(crawl, db))
        _assert_events_arrive(daemon, db, crawl, ARTICLES + 11)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@as_service
def test_an_empty_directory_in_place_of_a_root_is_absent_until_it_has_files(crawl: Path, db: Path) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        files = recorded(db)
        crawl.rename(crawl.with_name("away"))
        crawl.mkdir()
        daemon.wait_until(lambda: _absent(daemon))
        assert recorded(db) == files
        _article(ARTICLES).write(crawl / "new", age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        daemon.wait_until(lambda: daemon.problems() == [])
        assert daemon.report().scans <= 4
        assert daemon.leave() == 0
    assert_holds(crawl, db)


# Roots that are links


def test_a_root_that_is_a_link_is_followed_also_after_it_points_elsewhere(crawl: Path, db: Path) -> None:
    one, two = crawl.with_name("one"), crawl.with_name("two")
    _fill(one)
    _fill(two, ARTICLES, ARTICLES // 2)
    crawl.rmdir()
    crawl.symlink_to(one)
    with watching(crawl, db) as daemon:
        assert caught_up(crawl, db)
        _assert_events_arrive(daemon, db, crawl, 1000)
        _assert_events_arrive(daemon, db, one, 1001, "다른")
        _assert_events_arrive(daemon, db, crawl, 1002, "new/deep")
        for target in (two, one):
            crawl.with_name("link").symlink_to(target)
            crawl.with_name("link").rename(crawl)
            daemon.wait_until(lambda: caught_up(crawl, db))
            _assert_events_arrive(daemon, db, crawl, 1003)
        files = recorded(db)
        crawl.unlink()
        daemon.wait_until(lambda: _absent(daemon))
        assert recorded(db) == files
        crawl.symlink_to(one)
        daemon.wait_until(lambda: not _absent(daemon))
        _assert_events_arrive(daemon, db, crawl, 1004)
        shutil.rmtree(one)
        daemon.wait_until(lambda: _absent(daemon))
        assert daemon.leave() == 0
    assert_sound(db)


# Roots that are mounted


@in_own_mounts
def test_an_unmounted_root_marks_nothing_as_gone(crawl: Path, db: Path) -> None:
    aside = crawl.with_name("aside")
    aside.mkdir()
    mount("-t", "tmpfs", "tmpfs", crawl)
    _fill(crawl)
    with watching(crawl, db) as daemon:
        files, before = recorded(db), running.dump(db)
        for n in range(2):
            mount("--move", crawl, aside)
            daemon.wait_until(lambda: _absent(daemon))
            assert running.dump(db) == before
            if n:
                _article(ARTICLES + 100).write(aside / "unseen", age=0)
            mount("--move", aside, crawl)
            daemon.wait_until(lambda: not _absent(daemon) and caught_up(crawl, db))
            assert daemon.report().scans <= 1 + 3 * (n + 1)
        assert files.items() <= recorded(db).items()
        _assert_events_arrive(daemon, db, crawl, ARTICLES)
        _assert_events_arrive(daemon, db, crawl, ARTICLES + 1, "unseen")
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@in_own_mounts
def test_an_empty_file_system_mounted_over_a_root_is_absent(crawl: Path, db: Path) -> None:
    mount("-t", "tmpfs", "tmpfs", crawl)
    _fill(crawl)
    with watching(crawl, db) as daemon:
        files = recorded(db)
        mount("-t", "tmpfs", "tmpfs", crawl)  # on top of the first
        daemon.wait_until(lambda: _absent(daemon))
        assert recorded(db) == files
        unmount(crawl)
        daemon.wait_until(lambda: not _absent(daemon))
        assert recorded(db) == files
        _assert_events_arrive(daemon, db, crawl, ARTICLES)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@in_own_mounts
def test_changes_during_a_lazy_unmount_are_found_after_the_mount(crawl: Path, db: Path) -> None:
    real = crawl.with_name("real")
    _fill(real)
    mount("--bind", real, crawl)
    with watching(crawl, db) as daemon:
        with (crawl / "held.txt").open("w") as open_file:  # an open file allows only a lazy unmount
            unmount("-l", crawl)
            daemon.wait_until(lambda: _absent(daemon))
            files, scans = recorded(db), daemon.report().scans
            for n in range(5):
                _article(ARTICLES + n).write(real / "다른", age=0)
                (real / "다른" / _article(3 * n + 2).name).unlink()
                open_file.write("?")
            daemon.wait_until(lambda: daemon.report().backlog.files == 0)
            assert (recorded(db), daemon.report().scans) == (files, scans)
        mount("--bind", real, crawl)
        daemon.wait_until(lambda: not _absent(daemon) and caught_up(crawl, db))
        _assert_events_arrive(daemon, db, crawl, ARTICLES + 100, "다른")
        assert daemon.report().scans <= scans + 2
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@in_own_mounts
def test_a_root_below_an_unmounted_file_system_is_absent(tmp_path: Path, db: Path) -> None:
    outer = tmp_path / "srv"
    outer.mkdir()
    (tmp_path / "aside").mkdir()
    mount("-t", "tmpfs", "tmpfs", outer)
    crawl = outer / "crawl"
    _fill(crawl)
    with watching(crawl, db) as daemon:
        before = running.dump(db)
        mount("--move", outer, tmp_path / "aside")
        daemon.wait_until(lambda: _absent(daemon))
        assert running.dump(db) == before
        mount("--move", tmp_path / "aside", outer)
        daemon.wait_until(lambda: not _absent(daemon))
        _assert_events_arrive(daemon, db, crawl, ARTICLES)
        assert daemon.leave() == 0
    assert_holds(crawl, db)
