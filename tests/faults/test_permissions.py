"""Permissions taken away from folders, files and the crawl directory, and given back: nothing is gone for it, and all is in afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.builders import daemon as daemons
from tests.builders import scans as running
from tests.builders.command import spawn
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import Daemon, equals_a_scan, watching
from tests.builders.oracle import assert_holds, caught_up, recorded, walk
from tests.builders.privileges import as_service

pytestmark = [pytest.mark.system, as_service]

MODES = (0o000, 0o444, 0o111)
FOLDERS = ("locked", "locked/inner", "locked/inner/deep", "open", "")


def _article(number: int, edition: int = 0) -> ArticleFile:
    body = f"{f'본문 {number} ' * 30}{edition}판"
    return ArticleFile(aid=f"{number:010d}", title=f"기사 {number}", body=body, crawled_at=f"2026-03-02 00:{edition:02}:00")


def _write(folder: Path, number: int, edition: int = 0) -> Path:
    return _article(number, edition).write(folder, f"{number}.md", age=0)


def _fill(crawl: Path) -> None:
    for n, folder in enumerate(FOLDERS):
        for number in range(10 * n, 10 * n + 3):
            _write(crawl / folder, number)


def _change(folder: Path) -> None:
    """Another process that may do so creates, changes, moves and deletes what is in it, folders too."""
    _write(folder, 100)
    _write(folder, 0, 1)
    (folder / "1.md").unlink()
    (folder / "2.md").rename(folder / "inner" / "moved.md")
    _write(folder / "inner" / "deep", 101)
    _write(folder / "new" / "in it", 102)
    shutil.rmtree(folder / "inner" / "deep")


def _faults(db: Path) -> list[tuple[str, str]]:
    return [(row["path"], row["kind"]) for row in running.dump(db, "faults")]


def _history(db: Path) -> list[dict[str, Any]]:
    """All that was ever seen: neither which files are there nor what stands now."""
    return [row for row in running.dump(db) if row["table"] not in ("files", "faults", "pages")]


def _below(there: dict[bytes, Any], folder: str) -> dict[bytes, Any]:
    return {path: state for path, state in there.items() if path.startswith(os.fsencode(folder) + b"/")}


def _watched(daemon: Daemon, db: Path, crawl: Path, folder: str, number: int) -> None:
    """What is written into a folder is taken in."""
    path = os.fsencode(_write(crawl / folder, number).relative_to(crawl))
    daemon.wait_until(lambda: recorded(db).get(path) == walk(crawl)[path])


def _scan(crawl: Path, db: Path) -> dict[str, Any]:
    done = subprocess.run(
        [*daemons.UNDER, sys.executable, "-m", "dedup", "-d", db, "scan", "-f", "json", crawl], capture_output=True, text=True, check=False
    )
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["files"] == sum(told[kind] for kind in ("new", "changed", "unchanged", "moved", "ignored", "faults", "unsettled"))
    return {key: told[key] for key in told if key != "seconds"}


# While it runs


@pytest.mark.parametrize("mode", MODES)
def test_a_folder_is_one_fault_while_it_may_not_be_read_and_all_is_in_once_it_may(crawl: Path, db: Path, tmp_path: Path, mode: int) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        there, history = recorded(db), _history(db)
        assert there == walk(crawl)
        (crawl / "locked").chmod(mode)
        daemon.wait_until(lambda: _faults(db) == [("locked", "unreadable")])
        _watched(daemon, db, crawl, "open", 90)
        _watched(daemon, db, crawl, "new", 91)
        assert _below(recorded(db), "locked") == _below(there, "locked")
        told = spawn(tmp_path, "-d", db, "status", "--faults").out
        assert told.count("unreadable") == 2, told  # the number, and the folder
        (crawl / "locked").chmod(0o755)
        daemon.wait_until(lambda: _faults(db) == [])
        assert [row for row in history if row not in _history(db)] == []
        _watched(daemon, db, crawl, "locked", 92)
        _watched(daemon, db, crawl, "locked/inner/deep", 93)
        assert (daemon.problems(), daemon.report().scans, daemon.report().restarts) == ([], 1, 0)
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    equals_a_scan(crawl, db)


@pytest.mark.parametrize("mode", MODES)
def test_what_another_process_does_in_a_closed_folder_is_no_fault_of_each_file_and_found_once_it_is_opened(
    crawl: Path, db: Path, mode: int
) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        there, history = recorded(db), _history(db)
        (crawl / "locked").chmod(mode)
        daemon.wait_until(lambda: _faults(db) == [("locked", "unreadable")])
        _change(crawl / "locked")
        (crawl / "locked" / "inner").chmod(0o775)
        _watched(daemon, db, crawl, "open", 90)
        daemon.wait_until(lambda: daemon.report().backlog.files == 0)
        assert _faults(db) == [("locked", "unreadable")]
        if mode != 0o111:  # where what is in it may be asked for by name, it is
            assert _below(recorded(db), "locked") == _below(there, "locked")
        (crawl / "locked").chmod(0o755)
        daemon.wait_until(lambda: caught_up(crawl, db))
        daemon.wait_until(lambda: _faults(db) == [])
        assert [row for row in history if row not in _history(db)] == []
        assert (daemon.report().scans, daemon.report().restarts) == (1, 0)
        daemon.wait_until(lambda: daemon.problems() == [] and daemon.report().unwatched == 0)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


def test_folders_closed_within_closed_ones_are_opened_one_by_one(crawl: Path, db: Path) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        for folder, faults in (("locked/inner/deep", "locked/inner/deep"), ("locked", "locked"), ("locked/inner", "locked")):
            (crawl / folder).chmod(0)
            daemon.wait_until(lambda faults=faults: _faults(db) == [(faults, "unreadable")])  # type: ignore[misc]
            _watched(daemon, db, crawl, "open", 90 + len(folder))
        assert _faults(db) == [("locked", "unreadable")]
        for folder, left in (("locked", ["locked/inner"]), ("locked/inner", ["locked/inner/deep"]), ("locked/inner/deep", [])):
            (crawl / folder).chmod(0o755)
            daemon.wait_until(lambda left=left: _faults(db) == [(f, "unreadable") for f in left])  # type: ignore[misc]
        _watched(daemon, db, crawl, "locked/inner/deep", 99)
        assert (daemon.report().scans, daemon.report().restarts) == (1, 0)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


def test_a_file_is_a_fault_while_it_may_not_be_read_and_its_history_stays(crawl: Path, db: Path) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        before, history = running.dump(db), _history(db)
        path = crawl / "open" / "30.md"
        path.chmod(0)
        daemon.wait_until(lambda: _faults(db) == [("open/30.md", "unreadable")])
        _watched(daemon, db, crawl, "open", 90)
        assert [row for row in history if row not in _history(db)] == []
        assert walk(crawl).keys() == recorded(db).keys()
        path.chmod(0o644)
        daemon.wait_until(lambda: _faults(db) == [] and caught_up(crawl, db))
        (crawl / "open" / "90.md").unlink()
        daemon.wait_until(lambda: caught_up(crawl, db))
        assert [row for row in before if row not in running.dump(db)] == []
        assert (daemon.problems(), daemon.report().scans) == ([], 1)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


@pytest.mark.parametrize(("which", "mode"), [*(("itself", mode) for mode in MODES), ("what it lies in", 0o000), ("what it lies in", 0o444)])
def test_a_crawl_directory_that_may_not_be_read_is_absent_until_it_may(tmp_path: Path, db: Path, which: str, mode: int) -> None:
    crawl = tmp_path / "outer" / "crawl"
    _fill(crawl)
    closed = crawl if which == "itself" else crawl.parent
    with watching(crawl, db) as daemon:
        before = running.dump(db)
        closed.chmod(mode)
        daemon.wait_until(lambda: daemon.degraded("absent"))
        _change(crawl / "locked")
        daemon.wait_until(lambda: daemon.report().phase == "watching" and daemon.report().backlog.files == 0)
        assert running.dump(db) == before
        _given_back(daemon, db, crawl, closed)
    assert_holds(crawl, db)


def _given_back(daemon: Daemon, db: Path, crawl: Path, closed: Path) -> None:
    """With its permissions again all is taken in and followed, and it leaves."""
    closed.chmod(0o755)
    daemon.wait_until(lambda: caught_up(crawl, db))
    daemon.wait_until(lambda: daemon.problems() == [])
    _watched(daemon, db, crawl, "locked/inner", 99)
    assert _faults(db) == []
    assert daemon.leave() == 0


# While it did not


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("opened", ["while it runs", "while it is down"])
def test_a_start_while_a_folder_is_closed_makes_up_for_it_once_it_is_opened(crawl: Path, db: Path, mode: int, opened: str) -> None:
    _fill(crawl)
    running.scan(crawl, db)
    there, history = recorded(db), _history(db)
    (crawl / "locked").chmod(mode)
    _change(crawl / "locked")
    with watching(crawl, db) as daemon:
        assert _faults(db) == [("locked", "unreadable")]
        assert _below(recorded(db), "locked") == _below(there, "locked")
        _watched(daemon, db, crawl, "open", 90)
        if opened == "while it runs":
            (crawl / "locked").chmod(0o755)
            daemon.wait_until(lambda: caught_up(crawl, db))
            daemon.wait_until(lambda: _faults(db) == [] and daemon.problems() == [] and daemon.report().unwatched == 0)
            _watched(daemon, db, crawl, "locked/inner", 91)
        assert daemon.leave() == 0
    (crawl / "locked").chmod(0o755)
    with watching(crawl, db) as daemon:
        assert (recorded(db), _faults(db)) == (walk(crawl), [])
        assert daemon.leave() == 0
    assert [row for row in history if row not in _history(db)] == []
    assert_holds(crawl, db)


@pytest.mark.parametrize("mode", MODES)
def test_scans_of_a_closed_folder_count_it_once_and_the_same_each_time(crawl: Path, db: Path, mode: int) -> None:
    _fill(crawl)
    (crawl / "locked" / "notes.txt").write_text("no article")
    first = _scan(crawl, db)
    assert (first["new"], first["faults"], first["ignored"]) == (15, 0, 1)
    there = recorded(db)
    (crawl / "locked").chmod(mode)
    (crawl / "open" / "30.md").chmod(0)
    once = _scan(crawl, db)
    assert (once["unchanged"], once["faults"], once["gone"]) == (5, 2, 0)
    assert _scan(crawl, db) == once
    assert sorted(_faults(db)) == [("locked", "unreadable"), ("open/30.md", "unreadable")]
    (crawl / "locked").chmod(0o755)
    (crawl / "open" / "30.md").chmod(0o644)
    after = _scan(crawl, db)
    assert (after["unchanged"], after["changed"], after["faults"], after["gone"]) == (14, 1, 0, 0)
    assert (recorded(db), _faults(db)) == (there, [])
    assert_holds(crawl, db)


@pytest.mark.parametrize("mode", MODES)
def test_a_start_while_the_crawl_directory_is_closed_loses_nothing(crawl: Path, db: Path, mode: int) -> None:
    _fill(crawl)
    running.scan(crawl, db)
    before = running.dump(db)
    crawl.chmod(mode)
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.degraded("absent"))
        _change(crawl / "locked")
        assert running.dump(db) == before
        _given_back(daemon, db, crawl, crawl)
    assert_holds(crawl, db)
