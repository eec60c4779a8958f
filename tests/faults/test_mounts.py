"""What is mounted below a crawl directory and goes away is absent, not gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dedup.errors import DirectoriesOverlapError, NoAbsentMountError
from dedup.scan.counts import ScanCounts
from dedup.scan.roots import retire_mount
from dedup.scan.session import open_session
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile
from tests.builders.daemon import watching
from tests.builders.mounts import in_own_mounts, mount, unmount

pytestmark = pytest.mark.system


def _fill(folder: Path, first: int, number: int = 3) -> None:
    for n in range(first, first + number):
        ArticleFile(aid=f"{n:010d}", title=f"기사 {n}", body=f"본문 {n} 이 있다. " * 20).write(folder, f"{n}.md")


def _outcome(tally: ScanCounts) -> tuple[int, int, list[str]]:
    return tally.new, tally.gone, tally.absent_mounts


def _there(db: Path) -> set[str]:
    return {row["path"] for row in running.dump(db, "files") if not row["gone"]}


def _disk(crawl: Path, kind: str) -> tuple[Path, list[str]]:
    """A mount point below the crawl directory, and the arguments of mount(8) that bring its three files there."""
    at, disk = crawl / "2026" / "deep", crawl.with_name("disk")
    at.mkdir(parents=True)
    disk.mkdir()
    if kind == "tmpfs":
        mount("-t", "tmpfs", "tmpfs", disk)
    _fill(disk, 100)
    return at, ["--bind", str(disk), str(at)]


def _away(kind: str) -> None:
    crawl = Path(os.environ["CRAWL"])
    db = crawl.with_name("dedup.db")
    at, arguments = _disk(crawl, kind)
    _fill(crawl / "2025", 0)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (6, 0, [])
    before, there = running.dump(db), _there(db)
    unmount(at)
    for _ in range(2):
        assert _outcome(running.scan(crawl, db)) == (0, 0, [str(at)])
        assert running.dump(db) == before
    (crawl / "2025" / "0.md").unlink()
    _fill(at, 200, 1)  # the crawler goes on, into the directory that the disk was mounted on
    assert _outcome(running.scan(crawl, db)) == (1, 1, [str(at)])
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [])
    assert there - _there(db) == {"2025/0.md"}
    (at / "100.md").unlink()
    assert _outcome(running.scan(crawl, db)) == (0, 1, [])


@in_own_mounts
def test_a_disk_below_a_crawl_directory_that_is_away_deletes_nothing(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL", str(crawl))
    _away("tmpfs")


@in_own_mounts
def test_a_bind_mount_of_the_same_file_system_that_is_away_deletes_nothing(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL", str(crawl))
    _away("bind")


@in_own_mounts
def test_a_mount_point_that_was_removed_with_its_mount_is_absent_until_it_is_accepted(crawl: Path, db: Path) -> None:
    at, arguments = _disk(crawl, "tmpfs")
    mount(*arguments)
    running.scan(crawl, db)
    with running.session(crawl, db) as session, pytest.raises(NoAbsentMountError):
        retire_mount(session.database, session.directories, os.fsencode(at))
    unmount(at)
    at.rmdir()
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(at)])
    with running.session(crawl, db) as session:
        with pytest.raises(NoAbsentMountError):
            retire_mount(session.database, session.directories, os.fsencode(at.parent))
        retire_mount(session.database, session.directories, os.fsencode(at))
    assert _outcome(running.scan(crawl, db)) == (0, 3, [])


@in_own_mounts
def test_files_that_were_copied_from_a_disk_to_its_mount_point_end_the_wait_for_it(crawl: Path, db: Path) -> None:
    at, arguments = _disk(crawl, "tmpfs")
    mount(*arguments)
    running.scan(crawl, db)
    unmount(at)
    _fill(at, 100)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [])
    (at / "100.md").unlink()
    assert _outcome(running.scan(crawl, db)) == (0, 1, [])


@in_own_mounts
def test_files_that_something_is_mounted_over_are_not_gone(crawl: Path, db: Path) -> None:
    at, arguments = _disk(crawl, "tmpfs")
    _fill(at, 0)
    _fill(at / "inner", 10)
    running.scan(crawl, db)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (3, 0, [])
    (at / "100.md").unlink()
    assert _outcome(running.scan(crawl, db)) == (0, 1, [])
    unmount(at)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(at)])


@in_own_mounts
def test_another_volume_in_place_of_one_deletes_nothing_and_leaves_it_absent(crawl: Path, db: Path) -> None:
    at, arguments = _disk(crawl, "tmpfs")
    others = crawl.with_name("empty"), crawl.with_name("full")
    for other in others:
        other.mkdir()
    _fill(others[1], 500, 1)
    _fill(crawl / "2025", 0)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (6, 0, [])
    there = _there(db)
    for other, new in zip(others, (0, 1), strict=True):
        unmount(at)
        mount("--bind", other, at)
        assert _outcome(running.scan(crawl, db)) == (new, 0, [str(at)])
        assert _outcome(running.scan(crawl, db)) == (0, 0, [str(at)])
        unmount(at)
        mount("-t", "tmpfs", "tmpfs", at)
        assert _outcome(running.scan(crawl, db)) == (0, 0, [str(at)])
        assert there <= _there(db)
    unmount(at)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [])
    assert there <= _there(db)


@in_own_mounts
def test_a_crawl_directory_that_is_mounted_a_second_time_overlaps_itself(crawl: Path, db: Path) -> None:
    _fill(crawl / "2025", 0)
    second = crawl.with_name("second")
    second.mkdir()
    mount("--bind", crawl / "2025", second)
    settings = running.settings(crawl, db)
    both = settings.model_copy(update={"crawl": settings.crawl.model_copy(update={"directories": (str(crawl), str(second))})})
    with pytest.raises(DirectoriesOverlapError), open_session(both, "test"):
        pass


@in_own_mounts
def test_a_disk_in_a_disk_is_absent_with_it_and_by_itself(crawl: Path, db: Path) -> None:
    at, arguments = _disk(crawl, "tmpfs")
    mount(*arguments)
    inner = at / "inner"
    inner.mkdir()
    mount("-t", "tmpfs", "tmpfs", inner)
    _fill(inner, 300)
    assert _outcome(running.scan(crawl, db)) == (6, 0, [])
    mount("--move", inner, crawl.with_name("disk"))
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(inner)])
    unmount(at)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(at), str(inner)])


@in_own_mounts
def test_a_crawl_directory_on_a_disk_with_another_of_its_name_below_is_absent_while_the_disk_is(crawl: Path, db: Path) -> None:
    root = crawl / "root"
    _fill(root, 400, 1)
    mount("-t", "tmpfs", "tmpfs", crawl)
    _fill(root, 0)
    assert running.scan(root, db).new == 3
    unmount(crawl)
    tally = running.scan(root, db)
    assert (tally.files, tally.gone, tally.absent_directories) == (0, 0, [str(root)])


@in_own_mounts
def test_the_daemon_follows_what_is_mounted_and_unmounted_below_a_crawl_directory(crawl: Path, db: Path) -> None:
    at, arguments = _disk(crawl, "tmpfs")
    _fill(crawl, 0)
    with watching(crawl, db) as daemon:
        mount(*arguments)
        (crawl / "2026" / "new").mkdir()  # what is mounted raises no event; the folder does
        _fill(crawl / "2026" / "new", 500, 1)
        daemon.wait_until(lambda: daemon.recorded() == 4)
        assert daemon.leave() == 0
    with watching(crawl, db) as daemon:
        assert daemon.recorded() == 7
        for _ in range(2):
            unmount("--lazy", at)
            daemon.wait_until(lambda: daemon.degraded("absent"))
            assert daemon.recorded() == 7
            mount(*arguments)
            daemon.wait_until(lambda: not daemon.degraded("absent"))
        _fill(at, 600, 1)
        daemon.wait_until(lambda: daemon.recorded() == 8)
        assert daemon.leave() == 0
