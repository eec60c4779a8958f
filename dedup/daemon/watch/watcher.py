"""The observer of all crawl directories, and its supervision: it is rebuilt when it dies, and what it does not watch is told."""

from __future__ import annotations

import errno
import logging
import os
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack

from watchdog.events import (
    DirAttribEvent,
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileAttribEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.api import BaseObserver
from watchdog.utils import BaseThread

from dedup.daemon.watch.change_queue import ChangeQueue
from dedup.daemon.watch.coverage import WatchedInodes, is_inotify_instance, read_watched_inodes
from dedup.daemon.watch.observer import Observer
from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import NoFollowTree
from dedup.scan.roots import CrawlDirectory, read_identity

WATCH_DELAY_SECONDS = 2.0
"""Seconds that watchdog has to watch a new folder before it counts as unwatched."""
CHECK_INTERVAL_FACTOR = 50
"""Looking at what is watched may take one part in so many of the time."""
CHUNK_FOLDERS = 4096

_EVENT_TYPES: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileAttribEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
    DirAttribEvent,
]
_LIMIT_MESSAGES = {
    errno.ENOSPC: "inotify's limit of watches is reached: raise fs.inotify.max_user_watches, in a container user.max_inotify_watches",
    errno.EMFILE: "inotify's limit of instances is reached: raise fs.inotify.max_user_instances",
}

_log = logging.getLogger("dedup")


class _Handler(FileSystemEventHandler):
    """Turns events into notes; `base_path` is the crawl directory's path with links resolved."""

    def __init__(self, directory: CrawlDirectory, base_path: bytes, change_queue: ChangeQueue) -> None:
        self._directory, self._base_path, self._change_queue = directory, base_path, change_queue

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._record_writer(event)
            for path in (event.src_path, event.dest_path):
                if path:
                    self._queue_path(os.fsencode(path), event)
        except Exception:  # an exception would end watchdog's thread, and nobody would hear
            self._change_queue.request_full_scan("an event could not be read")

    def _record_writer(self, event: FileSystemEvent) -> None:
        directory_id, path = self._directory.id, self._relative(os.fsencode(event.src_path))
        if isinstance(event, FileCreatedEvent):
            self._change_queue.record_opened(directory_id, path)
        elif isinstance(event, FileClosedEvent):
            self._change_queue.record_closed(directory_id, path)
        elif isinstance(event, FileMovedEvent):
            self._change_queue.record_renamed(directory_id, path, self._relative(os.fsencode(event.dest_path)))

    def _relative(self, path: bytes) -> bytes:
        return path[len(self._base_path) + 1 :]

    def _queue_path(self, path: bytes, event: FileSystemEvent) -> None:
        if path != self._base_path and not path.startswith(self._base_path + b"/"):
            return
        relative = self._relative(path)
        if isinstance(event, DirAttribEvent):
            self._change_queue.add_permission_change(self._directory.id, relative)
        elif not relative:
            self._change_queue.request_full_scan("a crawl directory itself changed")
        else:
            (self._change_queue.add_folder if event.is_directory else self._change_queue.add_file)(self._directory.id, relative)


class _LogCapture(logging.Handler):
    """watchdog tells of lost events in its log only."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(logging.WARNING)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        self._watcher.report_trouble(record.thread, is_overflow="overflow" in record.getMessage())


class Watcher:
    """The observer of all crawl directories. `overflows` counts how often inotify's queue ran over, `restarts` how often the
    observer had to be rebuilt for another reason. `problem` is why no events come at all."""

    def __init__(self, directories: Sequence[CrawlDirectory]) -> None:
        self.change_queue = ChangeQueue()
        self.overflows = 0
        self.restarts = 0
        self.problem: str | None = None
        self._directories = {root.id: root for root in directories}
        self._observer: BaseObserver | None = None
        self._threads: frozenset[threading.Thread] = frozenset()
        self._descriptors: frozenset[str] = frozenset()
        self._watched_identities: dict[int, tuple[int, int]] = {}
        self._unwatchable: dict[int, str] = {}
        self._reported_trouble: str | None = None
        self._unchecked: list[tuple[int, bytes]] = []
        self._suspects: dict[tuple[int, bytes], float] = {}
        self._unwatched_folders: set[tuple[int, bytes]] = set()
        self._reported_count = 0
        self._next_check = 0.0
        self._log_capture = _LogCapture(self)

    def start(self) -> None:
        """Begin to take notes; directories that are absent or cannot be watched are left to scans, and tried again later."""
        watchdog_log = logging.getLogger("watchdog")
        if self._log_capture not in watchdog_log.handlers:
            watchdog_log.addHandler(self._log_capture)
            watchdog_log.propagate = False
        previously_unwatchable, self._unwatchable, self._watched_identities = self._unwatchable, {}, {}
        previous_threads, self._descriptors = frozenset(threading.enumerate()), frozenset()
        try:
            observer = self._observer = Observer()
            self._descriptors = frozenset({observer.descriptor})
            observer.start()
        except (OSError, RuntimeError) as error:
            self._unwatchable = {root: _explain(error) for root in self._directories}
        else:
            for root in self._directories.values():
                self._schedule(observer, root)
        self._threads = frozenset(t for t in threading.enumerate() if t not in previous_threads and isinstance(t, BaseThread))
        self._reported_trouble = None
        self.problem = next(iter(self._unwatchable.values())) if self._unwatchable and not self._watched_identities else None
        for directory_id, reason in self._unwatchable.items():
            if previously_unwatchable.get(directory_id) != reason:
                _log.warning(
                    "%s cannot be watched (%s); scans alone find what changes there", self._directories[directory_id].display_path, reason
                )

    def _schedule(self, observer: BaseObserver, directory: CrawlDirectory) -> None:
        base_path = os.path.realpath(directory.path)  # of a link watchdog would watch the link itself
        try:
            current = read_identity(directory.path)
        except OSError as error:
            self._unwatchable[directory.id] = _explain(error)
            return
        if current is None:
            return
        try:
            observer.schedule(
                _Handler(directory, base_path, self.change_queue), os.fsdecode(base_path), recursive=True, event_filter=_EVENT_TYPES
            )
        except (FileNotFoundError, NotADirectoryError):
            pass  # it went meanwhile
        except OSError as error:
            self._unwatchable[directory.id] = _explain(error)
        except RecursionError:
            self._unwatchable[directory.id] = "folders are nested more deeply in it than can be watched"
        else:
            self._watched_identities[directory.id] = current

    def report_trouble(self, thread_id: int | None, *, is_overflow: bool) -> None:
        """watchdog reported trouble, in the thread with this identifier; one of an observer that is already gone is no news."""
        if self._reported_trouble is None and thread_id in {t.ident for t in self._threads}:
            self.overflows += is_overflow
            self._reported_trouble = "events were lost in a burst" if is_overflow else "the observer reported trouble"
            self.change_queue.wakeup.set()

    def check(self) -> None:
        """Rebuild the observer where a thread of it died, events were lost, or a crawl directory is no longer the one watched;
        and look which folders are watched."""
        reason = self._reported_trouble or self._find_trouble()
        if reason is not None:
            if "burst" not in reason:
                self.restarts += 1
            _log.warning("%s: watching again, and scanning", reason)
            self.restart()
            self.change_queue.request_full_scan(reason)
        self._check_folders()

    def restart(self) -> None:
        """A new observer in place of the old one. What happens in between only a scan can tell."""
        self.close()
        self.start()

    @property
    def has_trouble(self) -> bool:
        """Whether watchdog reported trouble: `check` is not to wait."""
        return self._reported_trouble is not None

    @property
    def is_incomplete(self) -> bool:
        """Whether there are crawl directories or folders in them that are not watched though they are there."""
        return bool(self._unwatchable or self._unwatched_folders)

    def add_visited_folder(self, directory: CrawlDirectory, folder: bytes) -> None:
        """A scan has come by a folder (relative to `directory`): it should be watched."""
        self._unchecked.append((directory.id, folder))
        if len(self._unchecked) >= CHUNK_FOLDERS:
            self._sort_unchecked()

    def unwatched_folders(self) -> tuple[int, list[str]]:
        """How many folders are known not to be watched, and some of them, for people."""
        examples = (
            sorted(self._unwatched_folders)[:5] if len(self._unwatched_folders) < CHUNK_FOLDERS else list(self._unwatched_folders)[:5]
        )
        return len(self._unwatched_folders), [
            CrawlDirectory(0, os.path.join(self._directories[root].path, folder)).display_path for root, folder in examples
        ]

    def close(self) -> None:
        """Stop taking notes; never waits long for watchdog's threads."""
        observer, self._observer = self._observer, None
        self._threads = frozenset()
        if observer is not None:
            stopper = threading.Thread(target=_stop_observer, args=(observer,), daemon=True)
            try:
                stopper.start()
            except RuntimeError:  # there is no room for another thread
                _stop_observer(observer)
            else:
                stopper.join(2)

    def _find_trouble(self) -> str | None:
        if self._observer is not None:
            if not all(t.is_alive() for t in self._threads):
                return "the observer stopped"
            if not all(is_inotify_instance(fd) for fd in self._descriptors):
                return "the observer lost its inotify instance"
        for directory in self._directories.values():
            try:
                current = read_identity(directory.path)
            except OSError:
                continue  # nothing is known about it now; the next look will show
            if current is None:
                if directory.id in self._watched_identities:
                    del self._watched_identities[directory.id]
                    self.change_queue.request_full_scan("a crawl directory went")
            elif current != self._watched_identities.get(directory.id) and directory.id not in self._unwatchable:
                return "a crawl directory was replaced or came back"
        return None

    # What is watched

    def _check_folders(self) -> None:
        """Sort what scans came by; now and then look again at what is not watched."""
        started_at = time.monotonic()
        if not (self._unchecked or self._suspects or self._unwatched_folders) or started_at < self._next_check:
            return
        self._suspects |= dict.fromkeys(self._unwatched_folders, -WATCH_DELAY_SECONDS)
        self._unchecked += self._suspects
        self._sort_unchecked()
        self._unwatched_folders = {location for location, since in self._suspects.items() if started_at - since >= WATCH_DELAY_SECONDS}
        for location in self._unwatched_folders:
            del self._suspects[location]
        self._log_unwatched()
        self._next_check = time.monotonic() + CHECK_INTERVAL_FACTOR * (time.monotonic() - started_at)

    def _sort_unchecked(self) -> None:
        """Of the folders that scans came by, keep those in mind that are there and not watched."""
        try:
            watched_inodes, now = read_watched_inodes(self._descriptors), time.monotonic()
        except OSError:
            return  # nothing is known now; the folders stay pending
        directory_stats: dict[int, os.stat_result | None] = {}
        unchecked, self._unchecked = self._unchecked, []
        for directory_id, folder in unchecked:
            path = self._directories[directory_id].path
            if directory_id not in directory_stats:
                directory_stats[directory_id] = _stat_or_none(path)
            directory_stat, location = directory_stats[directory_id], (directory_id, folder)
            if directory_stat is None or self._is_watched_or_gone(directory_id, path, folder, directory_stat, watched_inodes):
                self._suspects.pop(location, None)
            else:
                self._suspects.setdefault(location, now)

    def _is_watched_or_gone(
        self, directory_id: int, path: bytes, folder: bytes, directory_stat: os.stat_result, watched_inodes: WatchedInodes
    ) -> bool:
        """Or not there any more."""
        try:
            folder_stat = _stat_below(path, folder) if folder else directory_stat
        except OSError:
            return False  # nothing is known about it now; it is looked at again
        return folder_stat is None or (directory_id not in self._unwatchable and watched_inodes.is_watched(folder_stat, directory_stat))

    def _log_unwatched(self) -> None:
        count, examples = self.unwatched_folders()
        if count > self._reported_count:
            _log.warning("%d folders are not watched (%s, …); the timer's scans find what changes there", count, examples[0])
        elif self._reported_count and not count:
            _log.info("all folders are watched again")
        self._reported_count = count


def _explain(error: OSError | RuntimeError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE) and _lacks_descriptors():
        return "this process may open no more files: raise its limit (ulimit -n, LimitNOFILE=)"
    return _LIMIT_MESSAGES.get(error.errno or 0) or error.strerror or str(error)


def _lacks_descriptors() -> bool:
    """Whether this process cannot open as many descriptors as an observer has: its instance, and a pipe."""
    with ExitStack() as stack:
        try:
            for _ in range(3):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return True
    return False


def _stat_or_none(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)  # the operator may have named a link
    except OSError:
        return None


def _stat_below(directory_path: bytes, folder: bytes) -> os.stat_result | None:
    """What a folder of a crawl directory is; its path may be longer than any that the kernel takes. Raises OSError
    where this process has no descriptor or memory left to look."""
    try:
        try:
            return os.stat(os.path.join(directory_path, folder), follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        with NoFollowTree() as tree:
            return tree.stat_path(directory_path, *os.path.split(folder))
    except OSError as error:
        if is_exhausted(error):
            raise
        return None


def _stop_observer(observer: BaseObserver) -> None:
    try:
        observer.stop()
        observer.join(2)
    except Exception:  # a dead observer may fail in many ways; it is being thrown away
        _log.debug("stopping the observer failed", exc_info=True)
