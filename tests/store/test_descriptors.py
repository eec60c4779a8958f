"""A process without free file descriptors takes nothing for absent, damaged or unlocked."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from dedup.daemon import health_file
from dedup.daemon.watch import Watcher
from dedup.daemon.watch.coverage import read_watched_inodes
from dedup.doctor import folder_walk
from dedup.errors import DatabaseFailedError
from dedup.files import descriptors, mounts
from dedup.files.nofollow import NoFollowTree
from dedup.index import hashtable
from dedup.pipeline.crawl_directories import is_absent, read_identity
from dedup.pipeline.scanner import Scan
from dedup.store import lock, wal
from tests.builders import scans as running
from tests.builders.crawl import ArticleFile


@contextmanager
def without_descriptors() -> Iterator[None]:
    """Use up all file descriptors within the block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, max(map(int, os.listdir("/proc/self/fd"))) + 20), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        with suppress(OSError):
            while True:
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
        yield


def test_descriptors_are_free_again_after_the_block() -> None:
    with without_descriptors(), pytest.raises(OSError, match="Too many open files"):
        os.open(os.devnull, os.O_RDONLY)
    os.close(os.open(os.devnull, os.O_RDONLY))


def inotify_descriptors() -> frozenset[str]:
    return frozenset({"0"})


READS: dict[str, Callable[[Path, Path], object]] = {
    "the identity of a crawl directory": lambda crawl, db: read_identity(os.fsencode(crawl)),
    "a file in a crawl directory": lambda crawl, db: NoFollowTree().stat_path(os.fsencode(crawl), b"", b"no such file"),
    "the folders of a crawl directory": lambda crawl, db: folder_walk.count_folders(os.fsencode(crawl)),
    "the watches of inotify": lambda crawl, db: read_watched_inodes(inotify_descriptors()),
    "mounts": lambda crawl, db: mounts.read_mounts(),
    "the holder of the lock": lambda crawl, db: lock.current_holder(str(db)),
    "the report of a daemon": lambda crawl, db: health_file.read_report(str(crawl)),
    "whether a log is foreign": lambda crawl, db: wal.is_foreign(str(db), has_writer=False),
    "an index": lambda crawl, db: hashtable.HashTable.load(f"{db}.index"),
    "the header of an index": lambda crawl, db: hashtable.read_state(f"{db}.index"),
}


@pytest.mark.parametrize("subject", READS)
def test_a_file_that_cannot_be_opened_now_is_not_reported_as_missing(crawl: Path, db: Path, subject: str) -> None:
    ArticleFile().write(crawl)
    running.scan(crawl, db)
    db.with_name(db.name + "-wal").touch()
    with without_descriptors(), pytest.raises(OSError) as failed:
        READS[subject](crawl, db)
    assert failed.value.errno == errno.EMFILE
    with suppress(OSError):
        READS[subject](crawl, db)


def test_a_scan_marks_no_file_gone_and_no_directory_absent(crawl: Path, db: Path) -> None:
    for n in range(3):
        ArticleFile(aid=f"{n:010d}").write(crawl)
    with running.session(crawl, db) as session:
        Scan(session).run()
        (root,) = session.directories
        before = running.dump(db)
        with without_descriptors():
            with pytest.raises(OSError):
                is_absent(session.database, root)
            scan = Scan(session)
            with pytest.raises(DatabaseFailedError, match=r"Too many open files.*LimitNOFILE"), session.database.translate_errors():
                scan.reconcile()
            assert (scan.counts.absent_directories, scan.counts.gone, scan.counts.faults) == ([], 0, 0)
        assert Scan(session).run().unchanged == 3
    assert running.dump(db) == before


def test_the_watcher_continues_and_reports_no_folder_as_unwatched(crawl: Path, db: Path) -> None:
    (crawl / "folder").mkdir()
    with running.session(crawl, db) as session:
        watcher = Watcher(session.directories)
        watcher.start()
        try:
            watcher.add_visited_folder(session.directories[0], b"folder")
            watcher.change_queue.take_all()
            with without_descriptors():
                watcher.check()
                watcher.check()
            assert (watcher.restarts, watcher.unwatched_folders()[0], watcher.change_queue.take_all().full_scan_reason) == (0, 0, None)
            watcher.check()
            assert (watcher.restarts, watcher.is_incomplete) == (0, False)
        finally:
            watcher.close()


def test_the_soft_limit_is_raised_to_the_hard_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, soft), hard))
    try:
        new_limit = descriptors.raise_open_file_limit()
        assert new_limit == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert new_limit == (descriptors.MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, descriptors.MAX_OPEN_FILES))
        assert descriptors.raise_open_file_limit() == new_limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_systemd_unit_sets_a_limit() -> None:
    from importlib.resources import files

    unit = files("dedup").joinpath("share", "dedup.service").read_text("utf-8")
    assert "\nLimitNOFILE=" in unit
