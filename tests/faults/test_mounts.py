"""Mounts below a crawl directory: after an unmount their files are absent, not gone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dedup.errors import DirectoriesOverlapError, NoAbsentMountError
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.crawl_directories import retire_mount
from dedup.pipeline.session import open_session
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


def _present_paths(db: Path) -> set[str]:
    return {row["path"] for row in running.dump(db, "files") if not row["gone"]}


def _make_disk(crawl: Path, kind: str) -> tuple[Path, list[str]]:
    """Create a mount point below the crawl directory and a disk with three files. Returns the mount point and the arguments of mount(8)."""
    mount_point, disk = crawl / "2026" / "deep", crawl.with_name("disk")
    mount_point.mkdir(parents=True)
    disk.mkdir()
    if kind == "tmpfs":
        mount("-t", "tmpfs", "tmpfs", disk)
    _fill(disk, 100)
    return mount_point, ["--bind", str(disk), str(mount_point)]


def _unmount_and_remount(kind: str) -> None:
    crawl = Path(os.environ["CRAWL"])
    db = crawl.with_name("dedup.db")
    mount_point, arguments = _make_disk(crawl, kind)
    _fill(crawl / "2025", 0)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (6, 0, [])
    before, paths = running.dump(db), _present_paths(db)
    unmount(mount_point)
    for _ in range(2):
        assert _outcome(running.scan(crawl, db)) == (0, 0, [str(mount_point)])
        assert running.dump(db) == before
    (crawl / "2025" / "0.md").unlink()
    _fill(mount_point, 200, 1)  # the crawler continues below the empty mount point
    assert _outcome(running.scan(crawl, db)) == (1, 1, [str(mount_point)])
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [])
    assert paths - _present_paths(db) == {"2025/0.md"}
    (mount_point / "100.md").unlink()
    assert _outcome(running.scan(crawl, db)) == (0, 1, [])


@in_own_mounts
def test_an_unmounted_disk_below_a_crawl_directory_marks_nothing_as_gone(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL", str(crawl))
    _unmount_and_remount("tmpfs")


@in_own_mounts
def test_an_unmounted_bind_mount_of_the_same_file_system_marks_nothing_as_gone(crawl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRAWL", str(crawl))
    _unmount_and_remount("bind")


@in_own_mounts
def test_a_removed_mount_point_is_absent_until_it_is_retired(crawl: Path, db: Path) -> None:
    mount_point, arguments = _make_disk(crawl, "tmpfs")
    mount(*arguments)
    running.scan(crawl, db)
    with running.session(crawl, db) as session, pytest.raises(NoAbsentMountError):
        retire_mount(session.database, session.directories, os.fsencode(mount_point))
    unmount(mount_point)
    mount_point.rmdir()
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(mount_point)])
    with running.session(crawl, db) as session:
        with pytest.raises(NoAbsentMountError):
            retire_mount(session.database, session.directories, os.fsencode(mount_point.parent))
        retire_mount(session.database, session.directories, os.fsencode(mount_point))
    assert _outcome(running.scan(crawl, db)) == (0, 3, [])


@in_own_mounts
def test_copying_the_files_of_a_disk_to_its_mount_point_replaces_the_disk(crawl: Path, db: Path) -> None:
    mount_point, arguments = _make_disk(crawl, "tmpfs")
    mount(*arguments)
    running.scan(crawl, db)
    unmount(mount_point)
    _fill(mount_point, 100)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [])
    (mount_point / "100.md").unlink()
    assert _outcome(running.scan(crawl, db)) == (0, 1, [])


@in_own_mounts
def test_files_below_a_new_mount_are_not_gone(crawl: Path, db: Path) -> None:
    mount_point, arguments = _make_disk(crawl, "tmpfs")
    _fill(mount_point, 0)
    _fill(mount_point / "inner", 10)
    running.scan(crawl, db)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (3, 0, [])
    (mount_point / "100.md").unlink()
    assert _outcome(running.scan(crawl, db)) == (0, 1, [])
    unmount(mount_point)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(mount_point)])


@in_own_mounts
def test_a_different_volume_at_a_mount_point_leaves_the_first_one_absent(crawl: Path, db: Path) -> None:
    mount_point, arguments = _make_disk(crawl, "tmpfs")
    volumes = crawl.with_name("empty"), crawl.with_name("full")
    for volume in volumes:
        volume.mkdir()
    _fill(volumes[1], 500, 1)
    _fill(crawl / "2025", 0)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (6, 0, [])
    paths = _present_paths(db)
    for volume, new in zip(volumes, (0, 1), strict=True):
        unmount(mount_point)
        mount("--bind", volume, mount_point)
        assert _outcome(running.scan(crawl, db)) == (new, 0, [str(mount_point)])
        assert _outcome(running.scan(crawl, db)) == (0, 0, [str(mount_point)])
        unmount(mount_point)
        mount("-t", "tmpfs", "tmpfs", mount_point)
        assert _outcome(running.scan(crawl, db)) == (0, 0, [str(mount_point)])
        assert paths <= _present_paths(db)
    unmount(mount_point)
    mount(*arguments)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [])
    assert paths <= _present_paths(db)


@in_own_mounts
def test_a_crawl_directory_mounted_twice_overlaps_itself(crawl: Path, db: Path) -> None:
    _fill(crawl / "2025", 0)
    second = crawl.with_name("second")
    second.mkdir()
    mount("--bind", crawl / "2025", second)
    settings = running.settings(crawl, db)
    both = settings.model_copy(update={"crawl": settings.crawl.model_copy(update={"directories": (str(crawl), str(second))})})
    with pytest.raises(DirectoriesOverlapError), open_session(both, "test"):
        pass


@in_own_mounts
def test_a_disk_mounted_inside_a_disk_is_absent_alone_or_with_it(crawl: Path, db: Path) -> None:
    mount_point, arguments = _make_disk(crawl, "tmpfs")
    mount(*arguments)
    inner = mount_point / "inner"
    inner.mkdir()
    mount("-t", "tmpfs", "tmpfs", inner)
    _fill(inner, 300)
    assert _outcome(running.scan(crawl, db)) == (6, 0, [])
    mount("--move", inner, crawl.with_name("disk"))
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(inner)])
    unmount(mount_point)
    assert _outcome(running.scan(crawl, db)) == (0, 0, [str(mount_point), str(inner)])


@in_own_mounts
def test_a_crawl_directory_on_an_unmounted_disk_is_absent_although_its_path_exists(crawl: Path, db: Path) -> None:
    root = crawl / "root"
    _fill(root, 400, 1)
    mount("-t", "tmpfs", "tmpfs", crawl)
    _fill(root, 0)
    assert running.scan(root, db).new == 3
    unmount(crawl)
    tally = running.scan(root, db)
    assert (tally.files, tally.gone, tally.absent_directories) == (0, 0, [str(root)])


@in_own_mounts
def test_a_daemon_follows_mounts_below_a_crawl_directory(crawl: Path, db: Path) -> None:
    mount_point, arguments = _make_disk(crawl, "tmpfs")
    _fill(crawl, 0)
    with watching(crawl, db) as daemon:
        mount(*arguments)
        (crawl / "2026" / "new").mkdir()  # a mount raises no event, a new folder does
        _fill(crawl / "2026" / "new", 500, 1)
        daemon.wait_until(lambda: daemon.recorded() == 4)
        assert daemon.leave() == 0
    with watching(crawl, db) as daemon:
        assert daemon.recorded() == 7
        for _ in range(2):
            unmount("--lazy", mount_point)
            daemon.wait_until(lambda: daemon.degraded("absent"))
            assert daemon.recorded() == 7
            mount(*arguments)
            daemon.wait_until(lambda: not daemon.degraded("absent"))
        _fill(mount_point, 600, 1)
        daemon.wait_until(lambda: daemon.recorded() == 8)
        assert daemon.leave() == 0
