"""Permissions of folders, files and crawl directories are removed and restored. Nothing is gone, and everything is recorded afterwards."""

from __future__ import annotations

import json
import os
import re
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
from tests.builders.daemon import Daemon, assert_equals_scan, watching
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
    """Create, change, move and delete files and folders in it, as another process with permission would."""
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
    """Everything that was ever recorded, without the current state of files and pages."""
    return [row for row in running.dump(db) if row["table"] not in ("files", "faults", "pages")]


def _below(files: dict[bytes, Any], folder: str) -> dict[bytes, Any]:
    return {path: state for path, state in files.items() if path.startswith(os.fsencode(folder) + b"/")}


def _assert_followed(daemon: Daemon, db: Path, crawl: Path, folder: str, number: int) -> None:
    """A file that is written into the folder is recorded."""
    path = os.fsencode(_write(crawl / folder, number).relative_to(crawl))
    daemon.wait_until(lambda: recorded(db).get(path) == walk(crawl)[path])


def _scan(crawl: Path, db: Path) -> dict[str, Any]:
    result = subprocess.run(
        [*daemons.UNDER, sys.executable, "-m", "dedup", "-d", db, "scan", "-f", "json", crawl], capture_output=True, text=True, check=False
    )
    counts: dict[str, Any] = json.loads(result.stdout)
    assert counts["files"] == sum(counts[kind] for kind in ("new", "changed", "unchanged", "moved", "ignored", "faults", "unsettled"))
    return {key: counts[key] for key in counts if key != "seconds"}


# While a daemon runs


@pytest.mark.parametrize("mode", MODES)
def test_an_unreadable_folder_is_one_fault_until_it_is_readable(crawl: Path, db: Path, tmp_path: Path, mode: int) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        files, history = recorded(db), _history(db)
        assert files == walk(crawl)
        (crawl / "locked").chmod(mode)
        daemon.wait_until(lambda: _faults(db) == [("locked", "unreadable")])
        _assert_followed(daemon, db, crawl, "open", 90)
        _assert_followed(daemon, db, crawl, "new", 91)
        assert _below(recorded(db), "locked") == _below(files, "locked")
        output = spawn(tmp_path, "-d", db, "status", "--faults").out
        assert re.search(r"(?m)^faults +1 unreadable$", output), output
        assert re.search(r"(?m)^unreadable +/", output), output
        (crawl / "locked").chmod(0o755)
        daemon.wait_until(lambda: _faults(db) == [])
        assert [row for row in history if row not in _history(db)] == []
        _assert_followed(daemon, db, crawl, "locked", 92)
        _assert_followed(daemon, db, crawl, "locked/inner/deep", 93)
        assert (daemon.problems(), daemon.report().scans, daemon.report().restarts) == ([], 1, 0)
        assert daemon.leave() == 0
    assert_holds(crawl, db)
    assert_equals_scan(crawl, db)


@pytest.mark.parametrize("mode", MODES)
def test_changes_in_an_unreadable_folder_are_found_once_it_is_readable(crawl: Path, db: Path, mode: int) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        files, history = recorded(db), _history(db)
        (crawl / "locked").chmod(mode)
        daemon.wait_until(lambda: _faults(db) == [("locked", "unreadable")])
        _change(crawl / "locked")
        (crawl / "locked" / "inner").chmod(0o775)
        _assert_followed(daemon, db, crawl, "open", 90)
        daemon.wait_until(lambda: daemon.report().backlog.files == 0)
        assert _faults(db) == [("locked", "unreadable")]
        if mode != 0o111:  # with x and without r, files in it can be read by name
            assert _below(recorded(db), "locked") == _below(files, "locked")
        (crawl / "locked").chmod(0o755)
        daemon.wait_until(lambda: caught_up(crawl, db))
        daemon.wait_until(lambda: _faults(db) == [])
        assert [row for row in history if row not in _history(db)] == []
        assert (daemon.report().scans, daemon.report().restarts) == (1, 0)
        daemon.wait_until(lambda: daemon.problems() == [] and daemon.report().unwatched == 0)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


def test_nested_unreadable_folders_become_readable_one_by_one(crawl: Path, db: Path) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        for folder, faults in (("locked/inner/deep", "locked/inner/deep"), ("locked", "locked"), ("locked/inner", "locked")):
            (crawl / folder).chmod(0)
            daemon.wait_until(lambda faults=faults: _faults(db) == [(faults, "unreadable")])  # type: ignore[misc]
            _assert_followed(daemon, db, crawl, "open", 90 + len(folder))
        assert _faults(db) == [("locked", "unreadable")]
        for folder, remaining in (("locked", ["locked/inner"]), ("locked/inner", ["locked/inner/deep"]), ("locked/inner/deep", [])):
            (crawl / folder).chmod(0o755)
            daemon.wait_until(lambda remaining=remaining: _faults(db) == [(f, "unreadable") for f in remaining])  # type: ignore[misc]
        _assert_followed(daemon, db, crawl, "locked/inner/deep", 99)
        assert (daemon.report().scans, daemon.report().restarts) == (1, 0)
        assert daemon.leave() == 0
    assert_holds(crawl, db)


def test_an_unreadable_file_is_a_fault_and_its_history_stays(crawl: Path, db: Path) -> None:
    _fill(crawl)
    with watching(crawl, db) as daemon:
        before, history = running.dump(db), _history(db)
        path = crawl / "open" / "30.md"
        path.chmod(0)
        daemon.wait_until(lambda: _faults(db) == [("open/30.md", "unreadable")])
        _assert_followed(daemon, db, crawl, "open", 90)
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


@pytest.mark.parametrize(("closed_folder", "mode"), [*(("itself", mode) for mode in MODES), ("its parent", 0o000), ("its parent", 0o444)])
def test_an_unreadable_crawl_directory_is_absent_until_it_is_readable(tmp_path: Path, db: Path, closed_folder: str, mode: int) -> None:
    crawl = tmp_path / "outer" / "crawl"
    _fill(crawl)
    closed = crawl if closed_folder == "itself" else crawl.parent
    with watching(crawl, db) as daemon:
        before = running.dump(db)
        closed.chmod(mode)
        daemon.wait_until(lambda: daemon.degraded("absent"))
        _change(crawl / "locked")
        daemon.wait_until(lambda: daemon.report().phase == "watching" and daemon.report().backlog.files == 0)
        assert running.dump(db) == before
        _reopen_and_stop(daemon, db, crawl, closed)
    assert_holds(crawl, db)


def _reopen_and_stop(daemon: Daemon, db: Path, crawl: Path, closed: Path) -> None:
    """Restore the permissions. The daemon catches up, follows the directory, and stops."""
    closed.chmod(0o755)
    daemon.wait_until(lambda: caught_up(crawl, db))
    daemon.wait_until(lambda: daemon.problems() == [])
    _assert_followed(daemon, db, crawl, "locked/inner", 99)
    assert _faults(db) == []
    assert daemon.leave() == 0


# While no daemon runs


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("when_opened", ["while a daemon runs", "while no daemon runs"])
def test_a_daemon_started_while_a_folder_is_unreadable_catches_up_later(crawl: Path, db: Path, mode: int, when_opened: str) -> None:
    _fill(crawl)
    running.scan(crawl, db)
    files, history = recorded(db), _history(db)
    (crawl / "locked").chmod(mode)
    _change(crawl / "locked")
    with watching(crawl, db) as daemon:
        assert _faults(db) == [("locked", "unreadable")]
        assert _below(recorded(db), "locked") == _below(files, "locked")
        _assert_followed(daemon, db, crawl, "open", 90)
        if when_opened == "while a daemon runs":
            (crawl / "locked").chmod(0o755)
            daemon.wait_until(lambda: caught_up(crawl, db))
            daemon.wait_until(lambda: _faults(db) == [] and daemon.problems() == [] and daemon.report().unwatched == 0)
            _assert_followed(daemon, db, crawl, "locked/inner", 91)
        assert daemon.leave() == 0
    (crawl / "locked").chmod(0o755)
    with watching(crawl, db) as daemon:
        assert (recorded(db), _faults(db)) == (walk(crawl), [])
        assert daemon.leave() == 0
    assert [row for row in history if row not in _history(db)] == []
    assert_holds(crawl, db)


@pytest.mark.parametrize("mode", MODES)
def test_scans_count_an_unreadable_folder_once(crawl: Path, db: Path, mode: int) -> None:
    _fill(crawl)
    (crawl / "locked" / "notes.txt").write_text("no article")
    first = _scan(crawl, db)
    assert (first["new"], first["faults"], first["ignored"]) == (15, 0, 1)
    files = recorded(db)
    (crawl / "locked").chmod(mode)
    (crawl / "open" / "30.md").chmod(0)
    closed = _scan(crawl, db)
    assert (closed["unchanged"], closed["faults"], closed["gone"]) == (5, 2, 0)
    assert _scan(crawl, db) == closed
    assert sorted(_faults(db)) == [("locked", "unreadable"), ("open/30.md", "unreadable")]
    (crawl / "locked").chmod(0o755)
    (crawl / "open" / "30.md").chmod(0o644)
    reopened = _scan(crawl, db)
    assert (reopened["unchanged"], reopened["changed"], reopened["faults"], reopened["gone"]) == (14, 1, 0, 0)
    assert (recorded(db), _faults(db)) == (files, [])
    assert_holds(crawl, db)


@pytest.mark.parametrize("mode", MODES)
def test_a_daemon_started_while_the_crawl_directory_is_unreadable_loses_nothing(crawl: Path, db: Path, mode: int) -> None:
    _fill(crawl)
    running.scan(crawl, db)
    before = running.dump(db)
    crawl.chmod(mode)
    with watching(crawl, db) as daemon:
        daemon.wait_until(lambda: daemon.degraded("absent"))
        _change(crawl / "locked")
        assert running.dump(db) == before
        _reopen_and_stop(daemon, db, crawl, crawl)
    assert_holds(crawl, db)
