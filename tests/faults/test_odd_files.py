"""Links, fifos, names and depths that no crawler means to write: nothing waits, nothing is lost, and all of it is told."""

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
from dedup.scan.scanner import Scan
from tests.builders import oddities
from tests.builders import scans as running
from tests.builders.command import run, spawn
from tests.builders.daemon import Daemon, watching
from tests.builders.oddities import article
from tests.builders.opened_files import opened
from tests.builders.oracle import assert_holds, caught_up, ignored, recorded, walk
from tests.builders.privileges import as_service
from tests.fuzz import laws

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]  # what opens a fifo waits for ever

Lay = Callable[[Path], None]
LAID: list[Lay] = [oddities.links, oddities.specials, oddities.names, oddities.sizes, oddities.far, oddities.low]
QUICK = LAID[:3]


@pytest.fixture(autouse=True)
def _removed(tmp_path: Path) -> Iterator[None]:
    with oddities.removed(tmp_path / "crawl"):
        yield


def scanned(crawl: Path, db: Path) -> dict[str, int]:
    """What `dedup scan` tells, in a process of its own."""
    config = db.with_name("scan.toml")
    config.write_text(f'[crawl]\ndirectories = ["{crawl}"]\nsettle_seconds = 0.0\n[database]\npath = "{db}"\n')
    ran = spawn(crawl.parent, "--config", config, "scan", "-f", "json")
    assert (ran.code, ran.err) == (0, ""), ran.err
    told: dict[str, int] = ran.json()
    return told


def last_scan(db: Path) -> dict[str, dict[str, int]]:
    told: dict[str, dict[str, int]] = run(db.parent, "-d", db, "status", "-f", "json").json()["last_scan"]
    return told


def _clean(log: str) -> None:
    """Nothing in it could steer a terminal, and nothing of the program fell over."""
    assert not {c for c in log if unicodedata.category(c) in laws.STEERING and c not in "\n\u200c\u200d"}, ascii(log)
    assert "Traceback" not in log, log


def _folders(crawl: Path) -> int:
    """By another program: find(1) goes from folder to folder."""
    found = subprocess.run(["find", crawl, "-type", "d", "-printf", "x"], capture_output=True, check=True)
    return len(found.stdout)


def _scans_and_adds_up(crawl: Path, db: Path, lay: Lay) -> None:
    lay(crawl)
    there, not_taken = walk(crawl), ignored(crawl)
    told = scanned(crawl, db)
    assert_holds(crawl, db)
    faults = sum(content is None or size == 0 for size, _, content in there.values())
    assert told["files"] == len(there) + not_taken.total()
    assert (told["faults"], told["ignored"], told["unsettled"]) == (faults, not_taken.total(), 0)
    assert (told["new"], told["unchanged"]) == (len(there) - faults, 0)
    assert last_scan(db)["ignored_by"] == dict(not_taken)
    again = scanned(crawl, db)
    assert (again["unchanged"], again["faults"], again["new"], again["gone"]) == (told["new"], faults, 0, 0)
    assert again["files"] == told["files"]
    with running.session(crawl, db) as session:
        assert len(there) <= Scan(session).estimate_entries() <= told["files"]
    assert (found := doctor.count_folders(os.fsencode(crawl))).unreadable == []
    assert found.folders == _folders(crawl)
    assert_holds(crawl, db)


@pytest.mark.parametrize("lay", QUICK)
def test_a_scan_takes_in_what_is_a_file_and_counts_add_up(crawl: Path, db: Path, lay: Lay) -> None:
    _scans_and_adds_up(crawl, db, lay)


@pytest.mark.parametrize("lay", LAID[3:])
def test_a_scan_of_large_or_deep_trees_takes_in_what_is_a_file_and_counts_add_up(crawl: Path, db: Path, lay: Lay) -> None:
    _scans_and_adds_up(crawl, db, lay)


def test_a_tree_of_more_levels_than_calls_may_nest_is_watched_to_its_end(crawl: Path, db: Path) -> None:
    oddities.low(crawl)
    with watching(crawl, db) as daemon:
        _after_all_events(crawl, daemon, 9000)
        (crawl / "d").rename(crawl / "moved")
        daemon.wait_until(lambda: caught_up(crawl, db))
        late = crawl / "moved" / "/".join("d" * (oddities.LEVELS - 1))
        article(9001).write(late, "late.md", age=0)
        daemon.wait_until(lambda: caught_up(crawl, db))
        told = daemon.report()
        assert daemon.leave() == 0
    assert (told.scans, told.restarts, told.unwatched, told.degraded) == (1, 0, 0, ())
    _clean(daemon.log.decode())
    assert_holds(crawl, db)


def _after_all_events(crawl: Path, daemon: Daemon, number: int) -> None:
    """Whatever was laid before has been met: something that came after it is in, and so is everything that a walk finds."""
    name = os.fsencode(article(number).write(crawl, f"after {number}.md", age=0).name)
    daemon.wait_until(lambda: name in recorded(daemon.db) and caught_up(crawl, daemon.db) and daemon.report().backlog.files == 0, 120)


@pytest.mark.parametrize("lay", [lay for lay in LAID if lay is not oddities.far])  # which has a test of its own
def test_what_appears_while_it_runs_is_taken_in_by_events_alone(crawl: Path, db: Path, lay: Lay) -> None:
    with watching(crawl, db) as daemon:
        lay(crawl)
        _after_all_events(crawl, daemon, 9000)
        told = daemon.report()
        assert daemon.leave() == 0
    assert (told.scans, told.restarts, told.overflows, told.unwatched, told.degraded) == (1, 0, 0, 0, ())
    _clean(daemon.log.decode())
    assert_holds(crawl, db)


def _beyond_reach(crawl: Path) -> int:
    """Folders whose path the kernel does not take."""
    base = len(os.fsencode(crawl))
    folders = {path.rpartition(b"/")[0] for path in walk(crawl)}
    deepest = max(folders, key=len).split(b"/")
    lengths = [base + 1 + len(b"/".join(deepest[:n])) for n in range(1, len(deepest) + 1)]
    return sum(length > 4095 for length in lengths)


@pytest.mark.parametrize("when", ["before", "while"])
def test_folders_beyond_the_longest_path_are_told_as_unwatched_and_covered_by_scans(
    crawl: Path, db: Path, tmp_path: Path, when: str
) -> None:
    if when == "before":
        oddities.far(crawl)
    with watching(crawl, db) as daemon:
        if when == "while":
            oddities.far(crawl)
        daemon.wait_until(lambda: caught_up(crawl, db), 120)
        number = _beyond_reach(crawl)
        assert number > 50
        daemon.wait_until(lambda: daemon.report().unwatched == number, 120)
        assert daemon.degraded("unwatched")
        assert not daemon.degraded("events")
        checked = spawn(tmp_path, "-d", db, "status", "--check")
        assert (checked.code, f"{number} folders" in checked.out) == (1, True)
        _after_all_events(crawl, daemon, 9000)
        assert daemon.report().restarts == 0
        assert daemon.leave() == 0
    _clean(daemon.log.decode() + checked.out)
    assert_holds(crawl, db)


# What is something else a moment later

Change = tuple[str, Callable[[Path], object]]


def _put(path: Path, number: int) -> None:
    article(number).write(path.parent, path.name, age=0)


def _link_over(path: Path, target: str) -> None:
    beside = path.with_name("link")
    beside.symlink_to(target)
    beside.replace(path)


def _article_over(path: Path, number: int) -> None:
    beside = article(number).write(path.parent, "part", age=0)
    beside.replace(path)


def _fifo_over(path: Path) -> None:
    os.mkfifo(path.with_name("pipe"))
    path.with_name("pipe").replace(path)


def _socket_over(path: Path) -> None:
    with chdir(path.parent), socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
    path.with_name("socket").replace(path)


def _folder_over(path: Path, number: int) -> None:
    path.unlink()
    _put(path / "in.md", number)


def _link_over_folder(path: Path) -> None:
    shutil.rmtree(path)
    path.symlink_to(".")


def _file_over(path: Path, number: int) -> None:
    shutil.rmtree(path)
    _put(path, number)


def _resize(path: Path, size: int) -> None:
    with open(path, "r+b") as file:
        file.truncate(size)


CHANGES: list[Change] = [
    ("an article", lambda crawl: _put(crawl / "a.md", 1)),
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
    ("NFD of a name", lambda crawl: _put(crawl / (unicodedata.normalize("NFD", oddities.KOREAN) + ".md"), 6)),
    ("NFC of the name beside it", lambda crawl: _put(crawl / (unicodedata.normalize("NFC", oddities.KOREAN) + ".md"), 7)),
    ("the one away", lambda crawl: (crawl / (unicodedata.normalize("NFD", oddities.KOREAN) + ".md")).unlink()),
    ("an article emptied", lambda crawl: _resize(crawl / "other.md", 0)),
    ("and grown beyond any disk", lambda crawl: _resize(crawl / "other.md", 1 << 40)),
    ("and whole again", lambda crawl: _article_over(crawl / "other.md", 5)),
]


def _all_of_it_is_kept(db: Path) -> None:
    """Whatever took its file's place, nothing that was an article is lost."""
    for number in range(1, 8):
        told = running.history(db, article(number).address)
        assert [r["digest"] for r in told["revisions"]], number
    assert len(running.dump(db, "revisions")) == 7


def test_what_takes_the_place_of_something_else_is_found_by_scans(crawl: Path, db: Path) -> None:
    for what, change in CHANGES:
        change(crawl)
        running.scan(crawl, db)
        assert caught_up(crawl, db), what
    assert_holds(crawl, db)
    _all_of_it_is_kept(db)


@as_service
def test_what_takes_the_place_of_something_else_while_it_runs_is_found_by_events_alone(crawl: Path, db: Path) -> None:
    with watching(crawl, db) as daemon:
        for what, change in CHANGES:
            before = walk(crawl)
            change(crawl)
            assert walk(crawl) != before, what
            daemon.wait_until(lambda: caught_up(crawl, db))
        told = daemon.report()
        assert daemon.leave() == 0
    assert (told.scans, told.restarts, told.overflows, told.unwatched, told.degraded) == (1, 0, 0, 0, ())
    _clean(daemon.log.decode())
    assert_holds(crawl, db)
    _all_of_it_is_kept(db)


def test_what_is_no_file_is_never_opened(crawl: Path, db: Path) -> None:
    """Opening a fifo keeps waiting or lets its writer go on, opening a tape rewinds it."""
    oddities.specials(crawl)
    with opened(crawl, crawl / "deep") as touched:
        scanned(crawl, db)
        with watching(crawl, db) as daemon:
            late = crawl / "late.md"
            os.mkfifo(late)
            _after_all_events(crawl, daemon, 9000)
            assert daemon.leave() == 0
        for args in (("verify", crawl), ("-d", db, "doctor"), ("-d", db, "status", "--faults"), ("verify", late), ("similar", late)):
            assert run(crawl.parent, *args).code in (0, 1, 3)
    assert str(crawl / "beside.md") in touched, "what is a file was"
    assert {path for path in touched if path.endswith(("pipe.md", "late.md", "socket.md", "null.md", "tape.md", "disk.md"))} == set()
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


def test_every_command_copes_with_all_of_it(crawl: Path) -> None:
    for lay in LAID:
        lay(crawl)
    folder = crawl.parent
    (folder / "config.toml").write_text('[crawl]\ndirectories = ["crawl"]\nsettle_seconds = 0.0\n')
    assert run(folder, "scan").code == 0
    assert_holds(crawl, folder / "dedup.db")
    for args in _commands(crawl):
        for form in ("text", "json", "csv"):
            ran = run(folder, *args, *(() if form == "text" else ("-f", form)))
            if "Invalid value for '-f'" in ran.err:
                continue
            _clean((ran.out + ran.err).replace("\r\n", "\n"))
            assert ran.code in (0, 1, 3), (args, ran.err)
            if args[0] == "doctor":
                assert not any(phrase in ran.out for phrase in ("cannot be listed", "cannot list")), ran.out
    assert_holds(crawl, folder / "dedup.db")
