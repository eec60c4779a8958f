"""Watch all crawl directories, and supervise the observer that does it: rebuild it when it fails.

The states of a watcher are its observations: `start` begins one, `check` replaces it when it fails, `close` ends it."""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from watchdog.observers.api import BaseObserver
from watchdog.utils import BaseThread

from dedup.daemon.watch.change_queue import ChangeQueue
from dedup.daemon.watch.coverage import is_inotify_instance
from dedup.daemon.watch.event_handler import EVENT_TYPES, EventHandler
from dedup.daemon.watch.folder_checks import FolderChecks
from dedup.daemon.watch.observer import Observer
from dedup.pipeline.crawl_directories import CrawlDirectory, read_identity
from dedup.runtime.log_capture import capture_log

STOP_SECONDS = 2.0
"""Seconds to wait for the threads of an observer to end."""

_LIMIT_MESSAGES = {
    errno.ENOSPC: "inotify's limit of watches is reached: raise fs.inotify.max_user_watches, in a container user.max_inotify_watches",
    errno.EMFILE: "inotify's limit of instances is reached: raise fs.inotify.max_user_instances",
}

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class _Observation:
    """One run of an observer: its threads, its inotify instances, and the crawl directories it watches.

    `identities` maps the id of each watched directory to its (device, inode), `unwatchable` the others to the reason. `problem` is the
    reason why no directory is watched at all."""

    observer: BaseObserver | None = None
    threads: frozenset[threading.Thread] = frozenset()
    descriptors: frozenset[str] = frozenset()
    identities: dict[int, tuple[int, int]] = field(default_factory=dict)
    unwatchable: dict[int, str] = field(default_factory=dict)
    problem: str | None = None


class Watcher:
    """Watches all crawl directories and fills `change_queue`.

    `overflows` counts how often inotify's queue overflowed, `restarts` how often the observer was rebuilt for another reason."""

    def __init__(self, directories: Sequence[CrawlDirectory]) -> None:
        self.change_queue = ChangeQueue()
        self.overflows = 0
        self.restarts = 0
        self._directories = {directory.id: directory for directory in directories}
        self._observation = _Observation()
        self._reported_trouble: str | None = None
        self._folder_checks = FolderChecks(self._directories)
        self._logged_reasons: dict[int, str] = {}
        self._log_capture = ExitStack()

    # States

    def start(self) -> None:
        """Begin to queue changes. Directories that are absent or cannot be watched are left to scans, and tried again by `restart`."""
        self._capture_log()
        self._observation = self._observe()
        self._reported_trouble = None
        unwatchable = self._observation.unwatchable
        for directory_id, reason in unwatchable.items():
            if self._logged_reasons.get(directory_id) != reason:
                path = self._directories[directory_id].display_path
                _log.warning("%s cannot be watched (%s); only scans find what changes there", path, reason)
        self._logged_reasons = unwatchable

    def check(self) -> None:
        """Rebuild the observer if one of its threads died, events were lost, or a crawl directory is not the one watched any more.

        Then check which folders are watched."""
        reason = self._reported_trouble or self._find_trouble()
        if reason is not None:
            if "burst" not in reason:
                self.restarts += 1
            _log.warning("%s: watching again, and scanning", reason)
            self.restart()
            self.change_queue.request_full_scan(reason)
        self._folder_checks.run(self._observation.descriptors, self._observation.unwatchable)

    def restart(self) -> None:
        """Replace the observer by a new one. Only a scan finds what changes in between."""
        self.close()
        self.start()

    def close(self) -> None:
        """Stop watching. Waits at most STOP_SECONDS for watchdog's threads."""
        observer = self._observation.observer
        self._observation = replace(self._observation, observer=None, threads=frozenset())
        self._log_capture.close()
        if observer is None:
            return
        stopper = threading.Thread(target=_stop_observer, args=(observer,), daemon=True)
        try:
            stopper.start()
        except RuntimeError:  # the system has no room for another thread
            _stop_observer(observer)
        else:
            stopper.join(STOP_SECONDS)

    # Health

    @property
    def problem(self) -> str | None:
        """Why there are no events at all; None if there are, or if all crawl directories are absent."""
        return self._observation.problem

    @property
    def has_trouble(self) -> bool:
        """Whether watchdog reported trouble, so that `check` should run at once."""
        return self._reported_trouble is not None

    @property
    def is_incomplete(self) -> bool:
        """Whether existing crawl directories, or folders in them, are not watched."""
        return bool(self._observation.unwatchable) or self._folder_checks.has_unwatched()

    def unwatched_folders(self) -> tuple[int, list[str]]:
        """Return the number of folders that are known not to be watched, and printable paths of a few of them."""
        return self._folder_checks.describe_unwatched()

    def add_visited_folder(self, directory: CrawlDirectory, folder: bytes) -> None:
        """Note a folder (path relative to `directory`) that a scan visited: it should be watched."""
        self._folder_checks.add((directory.id, folder), self._observation.descriptors, self._observation.unwatchable)

    def report_trouble(self, thread_id: int | None, *, is_overflow: bool) -> None:
        """Note that watchdog reported trouble in the thread with this identifier. Threads of earlier observers are ignored."""
        if self._reported_trouble is None and thread_id in {thread.ident for thread in self._observation.threads}:
            self.overflows += is_overflow
            self._reported_trouble = "events were lost in a burst" if is_overflow else "the observer reported trouble"
            self.change_queue.wakeup.set()

    def _on_log_record(self, record: logging.LogRecord) -> None:
        """Pass on a warning of watchdog, which reports lost events only in its log."""
        self.report_trouble(record.thread, is_overflow="overflow" in record.getMessage())

    def _find_trouble(self) -> str | None:
        """Return why the observer must be rebuilt; None if it need not be. Requests a scan if a crawl directory disappeared."""
        observation = self._observation
        if observation.observer is not None:
            if not all(thread.is_alive() for thread in observation.threads):
                return "the observer stopped"
            if not all(is_inotify_instance(fd) for fd in observation.descriptors):
                return "the observer lost its inotify instance"
        for directory in self._directories.values():
            try:
                current = read_identity(directory.path)
            except OSError:
                continue  # unknown now; the next check decides
            if current is None:
                if directory.id in observation.identities:
                    del observation.identities[directory.id]
                    self.change_queue.request_full_scan("a crawl directory disappeared")
            elif current != observation.identities.get(directory.id) and directory.id not in observation.unwatchable:
                return "a crawl directory was replaced or came back"
        return None

    # Beginning an observation

    def _capture_log(self) -> None:
        self._log_capture.close()
        self._log_capture.enter_context(capture_log("watchdog", self._on_log_record))

    def _observe(self) -> _Observation:
        """Start an observer and have it watch every crawl directory that can be watched."""
        previous_threads = frozenset(threading.enumerate())
        observer: Observer | None = None
        identities: dict[int, tuple[int, int]] = {}
        unwatchable: dict[int, str] = {}
        try:
            observer = Observer()
            observer.start()
        except (OSError, RuntimeError) as error:
            unwatchable = dict.fromkeys(self._directories, _explain(error))
        else:
            for directory in self._directories.values():
                self._watch_directory(observer, directory, identities, unwatchable)
        return _Observation(
            observer,
            frozenset(t for t in threading.enumerate() if t not in previous_threads and isinstance(t, BaseThread)),
            frozenset({observer.descriptor}) if observer else frozenset(),
            identities,
            unwatchable,
            next(iter(unwatchable.values())) if unwatchable and not identities else None,
        )

    def _watch_directory(
        self, observer: BaseObserver, directory: CrawlDirectory, identities: dict[int, tuple[int, int]], unwatchable: dict[int, str]
    ) -> None:
        """Watch a crawl directory, and add it to `identities`, or to `unwatchable`; to neither if it is absent."""
        base_path = os.path.realpath(directory.path)  # given a symlink, watchdog would watch the link itself
        try:
            identity = read_identity(directory.path)
        except OSError as error:
            unwatchable[directory.id] = _explain(error)
            return
        if identity is None:
            return
        handler = EventHandler(directory, base_path, self.change_queue)
        try:
            observer.schedule(handler, os.fsdecode(base_path), recursive=True, event_filter=EVENT_TYPES)
        except (FileNotFoundError, NotADirectoryError):
            pass  # it was removed in the meantime
        except OSError as error:
            unwatchable[directory.id] = _explain(error)
        except RecursionError:
            unwatchable[directory.id] = "its folders are nested too deeply to be watched"
        else:
            identities[directory.id] = identity


def _explain(error: OSError | RuntimeError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE) and _lacks_descriptors():
        return "this process may open no more files: raise its limit (ulimit -n, LimitNOFILE=)"
    return _LIMIT_MESSAGES.get(error.errno or 0) or error.strerror or str(error)


def _lacks_descriptors() -> bool:
    """Return whether this process cannot open the three descriptors of an observer: its inotify instance and a pipe."""
    with ExitStack() as stack:
        try:
            for _ in range(3):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return True
    return False


def _stop_observer(observer: BaseObserver) -> None:
    try:
        observer.stop()
        observer.join(STOP_SECONDS)
    except Exception:  # a dead observer may fail in many ways; it is discarded
        _log.debug("stopping the observer failed", exc_info=True)
