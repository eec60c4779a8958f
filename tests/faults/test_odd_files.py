"""Links, fifos, odd names and deep trees: nothing blocks, nothing is lost, and everything is counted."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import chdir
from itertools import pairwise
from pathlib import Path

import pytest

from dedup.doctor import folder_walk as doctor
from dedup.pipeline.scanner import Scan
from tests.builders import oddities
from tests.builders import scans as running
from tests.builders.command import run, spawn
from tests.builders.daemon import Daemon, watching
from tests.builders.oddities import article
from tests.builders.opened_files import record_opened_files
from tests.builders.oracle import assert_holds, caught_up, ignored, recorded, walk
from tests.builders.privileges import as_service
from tests.fuzz import laws

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]  # opening a fifo may block forever

Layout = Callable[[Path], None]
LAYOUTS: list[Layout] = [oddities.links, oddities.specials, oddities.names, oddities.sizes, oddities.far, oddities.low]
QUICK_LAYOUTS = LAYOUTS[:3]


@pytest.fixture(autouse=True)
def _remove_crawl(tmp_path: Path) -> Iterator[None]:
    with oddities.removed(tmp_path / "crawl"):
        yield


def scan_in_process(crawl: Path, db: Path) -> dict[str, int]:
    """Counts of `dedup scan` in a process of its own."""
    config = db.with_name("scan.toml")
    config.write_text(f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = 0.0\n[database]\npath = "{db}"\n')
    result = spawn(crawl.parent, "--config", config, "scan", "-f", "json")
    assert (result.code, result.err) == (0, ""), result.err
    counts: dict[str, int] = result.json()
    return counts


def last_scan(db: Path) -> dict[str, dict[str, int]]:
    last: dict[str, dict[str, int]] = run(db.parent, "-d", db, "status", "-f", "json").json()["last_scan"]
    return last


def _assert_clean(log: str) -> None:
    """Neither control characters nor tracebacks."""
    assert not {c for c in log if unicodedata.category(c) in laws.STEERING and c not in "\n\u200c\u200d"}, ascii(log)
    assert "Traceback" not in log, log


def _count_folders(crawl: Path) -> int:
    """Count folders with find(1)."""
    result = subprocess.run(["find", crawl, "-type", "d", "-printf", "x"], capture_output=True, check=True)
    return len(result.stdout)


def _assert_scan_adds_up(crawl: Path, db: Path, lay: Layout) -> None:
    lay(crawl)
    files, ignored_files = walk(crawl), ignored(crawl)
    first = scan_in_process(crawl, db)
    assert_holds(crawl, db)
    faults = sum(content is None or size == 0 for size, _, content in files.values())
    assert first["files"] == len(files) + ignored_files.total()
    assert (first["faults"], first["ignored"], first["unsettled"]) == (faults, ignored_files.total(), 0)
    assert (first["new"], first["unchanged"]) == (len(files) - faults, 0)
    assert last_scan(db)["ignored_by"] == dict(ignored_files)
    second = scan_in_process(crawl, db)
    assert (second["unchanged"], second["faults"], second["new"], second["gone"]) == (first["new"], faults, 0, 0)
    assert second["files"] == first["files"]
    with running.session(crawl, db) as session:
        assert len(files) <= Scan(session).estimate_entries() <= first["files"]
    assert (count := doctor.count_folders(os.fsencode(crawl))).unreadable == []
    assert count.folders == _count_folders(crawl)
    assert_holds(crawl, db)


@pytest.mark.parametrize("lay", QUICK_LAYOUTS)
def test_a_scan_records_regular_files_and_its_counts_add_up(crawl: Path, db: Path, lay: Layout) -> None:
    _assert_scan_adds_up(crawl, db, lay)


@pytest.mark.parametrize("lay", LAYOUTS[3:])
def test_a_scan_of_large_or_deep_trees_records_regular_files_and_its_counts_add_up(crawl: Path, db: Path, lay: Layout) -> None:
    _assert_scan_adds_up(crawl, db, lay)


def test_a_tree_deeper_than_the_recursion_limit_is_watched(crawl: Path, db: Path) -> None:
    oddities.low(crawl)
    with watching(crawl, db) as daemon:
        _wait_for_all_events(crawl, daemon, 9000)
        (crawl / "d").rename(crawl / "moved")
        daemon.wait_until(lambda: caught_up(crawl, db))
        late = crawl / "moved" / "/".join("d" * (oddities.LEVELS - 1))
        article(9001).write(late, "late.md", age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.scans, report.restarts, report.unwatched, report.degraded) == (1, 0, 0, ())
    _assert_clean(daemon.log.decode())
    assert_holds(crawl, db)


def _wait_for_all_events(crawl: Path, daemon: Daemon, number: int) -> None:
    """Wait until a new article and everything written before it are recorded."""
    name = os.fsencode(article(number).write(crawl, f"after {number}.md", age=0).name)
    daemon.wait_until(lambda: name in recorded(daemon.db) and caught_up(crawl, daemon.db) and daemon.report().backlog.files == 0, 120)


@pytest.mark.parametrize("lay", [lay for lay in LAYOUTS if lay is not oddities.far])  # it has its own test
def test_files_that_appear_while_a_daemon_runs_are_recorded_by_events_alone(crawl: Path, db: Path, lay: Layout) -> None:
    with watching(crawl, db) as daemon:
        lay(crawl)
        _wait_for_all_events(crawl, daemon, 9000)
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.scans, report.restarts, report.overflows, report.unwatched, report.degraded) == (1, 0, 0, 0, ())
    _assert_clean(daemon.log.decode())
    assert_holds(crawl, db)


def _folders_beyond_the_longest_path(crawl: Path) -> int:
    """Number of folders whose path is longer than the kernel accepts."""
    base = len(os.fsencode(crawl))
    folders = {path.rpartition(b"/")[0] for path in walk(crawl)}
    deepest = max(folders, key=len).split(b"/")
    lengths = [base + 1 + len(b"/".join(deepest[:n])) for n in range(1, len(deepest) + 1)]
    return sum(length > 4095 for length in lengths)


@pytest.mark.parametrize("when", ["before", "while"])
def test_folders_beyond_the_longest_path_are_reported_as_unwatched_and_scanned(crawl: Path, db: Path, tmp_path: Path, when: str) -> None:
    if when == "before":
        oddities.far(crawl)
    with watching(crawl, db) as daemon:
        if when == "while":
            oddities.far(crawl)
        daemon.wait_until(lambda: caught_up(crawl, db), 120)
        number = _folders_beyond_the_longest_path(crawl)
        assert number > 50
        daemon.wait_until(lambda: daemon.report().unwatched == number, 120)
        assert daemon.degraded("unwatched")
        assert not daemon.degraded("events")
        result = spawn(tmp_path, "-d", db, "status", "--check")
        assert (result.code, f"{number} folders" in result.out) == (1, True)
        _wait_for_all_events(crawl, daemon, 9000)
        assert daemon.report().restarts == 0
        assert daemon.leave() == 0
    _assert_clean(daemon.log.decode() + result.out)
    assert_holds(crawl, db)


# Entries that are replaced by others

Change = tuple[str, Callable[[Path], object]]


def _write(path: Path, number: int) -> None:
    article(number).write(path.parent, path.name, age=0)


def _link_over(path: Path, target: str) -> None:
    link = path.with_name("link")
    link.symlink_to(target)
    link.replace(path)


def _article_over(path: Path, number: int) -> None:
    part = article(number).write(path.parent, "part", age=0)
    part.replace(path)


def _fifo_over(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.with_name("pipe").replace(path)


def _socket_over(path: Path) -> None:
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    path.with_name("socket").replace(path)


def _folder_over(path: Path, number: int) -> None:
    path.unlink()
    _write(path / "in.md", number)


def _link_over_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to(".")


def _file_over(path: Path, number: int) -> None:
    shutil.rmtree(path)
    _write(path, number)


def _resize(path: Path, size: int) -> None:
    with open(path, "r+b") as file:
        file.truncate(size)


CHANGES: list[Change] = [
    ("an article", lambda crawl: _write(crawl / "a.md", 1)),
    ("a link in its place", lambda crawl: _link_over(crawl / "a.md", "b.md")),
    ("an article in the link's place", lambda crawl: _article_over(crawl / "a.md", 2)),
    ("a fifo in its place", lambda crawl: _fifo_over(crawl / "a.md")),
    ("an article in the fifo's place", lambda crawl: _article_over(crawl / "a.md", 1)),
    ("a socket in its place", lambda crawl: _socket_over(crawl / "a.md")),
    ("an article in the socket's place", lambda crawl: _article_over(crawl / "a.md", 1)),
    ("a folder of its name", lambda crawl: _folder_over(crawl / "a.md", 3)),
    ("a file of the folder's name", lambda crawl: _file_over(crawl / "a.md", 4)),
    ("a folder again", lambda crawl: _folder_over(crawl / "a.md", 1)),
    ("a link in the place of a folder", lambda crawl: _link_over_folder(crawl / "a.md")),
    ("a folder in the place of a link", lambda crawl: _folder_over(crawl / "a.md", 5)),
    ("a name in another case", lambda crawl: (crawl / "a.md" / "in.md").rename(crawl / "a.md" / "IN.md")),
    ("a folder in another case", lambda crawl: (crawl / "a.md").rename(crawl / "A.md")),
    ("another name of the same file", lambda crawl: os.link(crawl / "A.md" / "IN.md", crawl / "other.md")),
    ("the first name away", lambda crawl: (crawl / "A.md" / "IN.md").unlink()),
    ("NFD of a name", lambda crawl: _write(crawl / (unicodedata.normalize("NFD", oddities.KOREAN) + ".md"), 6)),
    ("NFC of the same name", lambda crawl: _write(crawl / (unicodedata.normalize("NFC", oddities.KOREAN) + ".md"), 7)),
    ("the one away", lambda crawl: (crawl / (unicodedata.normalize("NFD", oddities.KOREAN) + ".md")).unlink()),
    ("an article emptied", lambda crawl: _resize(crawl / "other.md", 0)),
    ("and grown beyond any disk", lambda crawl: _resize(crawl / "other.md", 1 << 40)),
    ("and whole again", lambda crawl: _article_over(crawl / "other.md", 5)),
]


def _assert_all_revisions_stay(db: Path) -> None:
    """No article is lost when its file is replaced."""
    for number in range(1, 8):
        history = running.history(db, article(number).address)
        assert [r["state_digest"] for r in history["revisions"]], number
    assert len(running.dump(db, "revisions")) == 7


def test_scans_find_replaced_entries(crawl: Path, db: Path) -> None:
    for step, change in CHANGES:
        change(crawl)
        running.scan(crawl, db)
        assert caught_up(crawl, db), step
    assert_holds(crawl, db)
    _assert_all_revisions_stay(db)


@as_service
def test_events_alone_are_enough_to_find_replaced_entries(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        for step, change in CHANGES:
            before = walk(crawl)
            change(crawl)
            assert walk(crawl) != before, step
            daemon.wait_until(lambda: caught_up(crawl, db))
        report = daemon.report()
        assert daemon.leave() == 0
    assert (report.scans, report.restarts, report.overflows, report.unwatched, report.degraded) == (1, 0, 0, 0, ())
    _assert_clean(daemon.log.decode())
    assert_holds(crawl, db)
    _assert_all_revisions_stay(db)


def test_only_regular_files_are_opened(crawl: Path, db: Path) -> None:
    """Opening a fifo may block, or unblock its writer; opening a tape rewinds it."""
    oddities.specials(crawl)
    with record_opened_files(crawl, crawl / "deep") as opened_paths:
        scan_in_process(crawl, db)
        with watching(crawl, db) as daemon:
            late = crawl / "late.md"
            os.mkfifo(late)
            _wait_for_all_events(crawl, daemon, 9000)
            assert daemon.leave() == 0
        for args in (("verify", crawl), ("-d", db, "doctor"), ("-d", db, "status", "--faults"), ("verify", late), ("similar", late)):
            assert run(crawl.parent, *args).code in (0, 1, 3)
    assert str(crawl / "beside.md") in opened_paths, "the probe sees regular files"
    assert {path for path in opened_paths if path.endswith(("pipe.md", "late.md", "socket.md", "null.md", "tape.md", "disk.md"))} == set()
    assert_holds(crawl, db)


# Every command


def _commands(crawl: Path) -> Iterator[tuple[str | bytes, ...]]:
    top = os.fsencode(crawl)
    files = [os.path.join(top, path) for path in sorted(walk(crawl))]
    yield from (("status",), ("status", "--faults"), ("status", "--check"), ("duplicates",), ("duplicates", "--pairs", "--all-revisions"))
    yield from (("doctor",), ("doctor", "--quick"), ("dump", "--logical"), ("boilerplate", "list"), ("verify", "-v", top), ("scan",))
    yield from ((name, path) for name in ("history", "diff", "similar", "verify") for path in files)
    yield from (("why", a, b) for a, b in pairwise(files))
    others = [os.path.join(top, name) for name in os.listdir(top)]
    yield from ((name, path) for name in ("history", "verify", "similar") for path in others if not os.path.isdir(path))


def test_every_command_handles_odd_files(crawl: Path) -> None:
    for lay in LAYOUTS:
        lay(crawl)
    folder = crawl.parent
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert run(folder, "scan").code == 0
    assert_holds(crawl, folder / "dedup.db")
    for args in _commands(crawl):
        for form in ("text", "json", "csv"):
            result = run(folder, *args, *(() if form == "text" else ("-f", form)))
            if "Invalid value for '-f'" in result.err:
                continue
            _assert_clean((result.out + result.err).replace("\r\n", "\n"))
            assert result.code in (0, 1, 3), (args, result.err)
            if args[0] == "doctor":
                assert not any(phrase in result.out for phrase in ("cannot be listed", "cannot list")), result.out
    assert_holds(crawl, folder / "dedup.db")
