"""Which folders are watched, according to the kernel, with real inotify."""

from __future__ import annotations

import os
from pathlib import Path

from watchdog.events import FileSystemEventHandler

from dedup.daemon.watch import Watcher
from dedup.daemon.watch.coverage import WatchedInodes, read_watched_inodes
from dedup.daemon.watch.folder_checks import WATCH_DELAY_SECONDS
from dedup.daemon.watch.observer import Observer
from dedup.pipeline.crawl_directories import CrawlDirectory


def test_exactly_the_folders_of_an_observer_are_watched(tmp_path: Path) -> None:
    for name in ("in/a/b", "in/c", "out"):
        (tmp_path / name).mkdir(parents=True)
    observer = Observer()
    descriptors = frozenset({observer.descriptor})
    observer.schedule(FileSystemEventHandler(), str(tmp_path / "in"), recursive=True)
    observer.start()
    try:
        inodes = read_watched_inodes(descriptors)
        root = os.stat(tmp_path / "in")
        watched = {name: inodes.is_watched(os.stat(tmp_path / name), root) for name in ("in", "in/a", "in/a/b", "in/c", "out")}
        assert watched == {"in": True, "in/a": True, "in/a/b": True, "in/c": True, "out": False}
    finally:
        observer.stop()
        observer.join()
    assert read_watched_inodes(descriptors) == WatchedInodes(frozenset(), frozenset())


def test_inodes_decide_if_device_numbers_differ_or_the_root_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    root, folder = os.stat(tmp_path), os.stat(tmp_path / "a")
    elsewhere = 1 << 19
    assert WatchedInodes(frozenset({(elsewhere, root.st_ino)}), frozenset({root.st_ino, folder.st_ino})).is_watched(folder, root)
    assert not WatchedInodes(frozenset({(elsewhere, root.st_ino)}), frozenset({root.st_ino})).is_watched(folder, root)
    assert WatchedInodes(frozenset(), frozenset()).is_watched(folder, root)


def test_a_folder_without_a_watch_is_reported_until_a_new_observer_watches_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    root = CrawlDirectory(1, os.fsencode(tmp_path))
    watcher = Watcher([root])
    checks = watcher._folder_checks
    watcher.start()
    try:
        group = next(iter(watcher._observation.observer.emitters))._inotify  # type: ignore[union-attr]
        watch = group._active_callbacks_by_path[os.fsencode(tmp_path / "a" / "b")]
        group._remove_callbacks([watch])
        for folder in (b"", b"a", b"a/b"):
            watcher.add_visited_folder(root, folder)
        checks._next_check = 0.0
        watcher.check()
        assert watcher.unwatched_folders() == (0, [])  # watchdog may be about to add it
        checks._suspects = {place: since - WATCH_DELAY_SECONDS for place, since in checks._suspects.items()}
        checks._next_check = 0.0
        watcher.check()
        assert watcher.unwatched_folders() == (1, [f"{tmp_path}/a/b"])
        assert watcher.is_incomplete
        watcher.restart()
        checks._next_check = 0.0
        watcher.check()
        assert (watcher.unwatched_folders(), watcher.is_incomplete) == ((0, []), False)
    finally:
        watcher.close()
