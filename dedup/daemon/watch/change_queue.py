"""A bounded queue of changed paths: single files, whole folders, or everything. Other threads fill it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

MAX_PATHS = 50_000
"""Queued paths; beyond, files are replaced by their folders."""


@dataclass(slots=True)
class PendingPaths:
    """Paths to check: single files, whole folders, and folders whose permissions may have changed, as paths relative to the crawl directory
    with this id; or everything, if `full_scan_reason` is set."""

    files: dict[int, set[bytes]] = field(default_factory=dict)
    folders: dict[int, set[bytes]] = field(default_factory=dict)
    permission_changes: dict[int, set[bytes]] = field(default_factory=dict)
    full_scan_reason: str | None = None

    def __bool__(self) -> bool:
        return bool(self.files or self.folders or self.permission_changes or self.full_scan_reason)


def topmost_folders(folders: Iterable[bytes]) -> list[bytes]:
    """Return the folders that lie below none of the others, sorted.

    Checking a folder checks everything below it, and of nested new folders each is queued."""
    topmost: list[bytes] = []
    for folder in sorted(folders, key=lambda f: f and f + b"/"):
        if not topmost or not (not topmost[-1] or folder.startswith(topmost[-1] + b"/")):
            topmost.append(folder)
    return topmost


class ChangeQueue:
    """Collects changes from several threads. Adding one never raises and never waits for the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pending = PendingPaths()
        self._path_count = 0
        self._waiting_since: float | None = None
        self._writer_closed_ns: dict[tuple[int, bytes], int | None] = {}  # when a writer closed a new file (ns); None: not yet
        self.wakeup = threading.Event()

    def add_file(self, directory_id: int, relative: bytes) -> None:
        """Queue a file. Beyond MAX_PATHS, files are replaced by their folders; if those are too many too, by a full scan."""
        with self._lock:
            self._add(self._pending.files, directory_id, relative)
            if self._path_count > MAX_PATHS:
                for changed_directory_id, paths in self._pending.files.items():
                    self._pending.folders.setdefault(changed_directory_id, set()).update(p.rpartition(b"/")[0] for p in paths)
                self._pending.files = {}
                self._path_count = sum(
                    len(paths) for kind in (self._pending.folders, self._pending.permission_changes) for paths in kind.values()
                )
                if self._path_count > MAX_PATHS // 2:
                    self._pending = PendingPaths(full_scan_reason="too many folders changed at once")
                    self._path_count = 0
        self.wakeup.set()

    def record_opened(self, directory_id: int, relative: bytes) -> None:
        """Note that a file appeared: it was created and may be open, or a finished file was renamed to this path."""
        with self._lock:
            self._set_writer(directory_id, relative, None)

    def record_closed(self, directory_id: int, relative: bytes) -> None:
        """Note that a writer closed a file just now."""
        with self._lock:
            self._set_writer(directory_id, relative, time.time_ns())

    def record_renamed(self, directory_id: int, old_relative: bytes, new_relative: bytes) -> None:
        """Note that a file was renamed. What is known of its writer moves with it."""
        with self._lock:
            self._writer_closed_ns.pop((directory_id, new_relative), None)
            if (directory_id, old_relative) in self._writer_closed_ns:
                self._set_writer(directory_id, new_relative, self._writer_closed_ns.pop((directory_id, old_relative)))

    def was_closed(self, directory_id: int, relative: bytes, modified_ns: int) -> bool | None:
        """Return whether a writer closed a file since `modified_ns` (nanoseconds since 1970).

        False: the file appeared, and no writer has closed it. None: unknown."""
        with self._lock:
            if (directory_id, relative) not in self._writer_closed_ns:
                return None
            closed_ns = self._writer_closed_ns[directory_id, relative]
        return False if closed_ns is None else closed_ns >= modified_ns or None

    def add_folder(self, directory_id: int, relative: bytes) -> None:
        """Queue a folder and everything below it."""
        with self._lock:
            self._add(self._pending.folders, directory_id, relative)
        self.wakeup.set()

    def add_permission_change(self, directory_id: int, relative: bytes) -> None:
        """Queue a folder that may have become readable or unreadable."""
        with self._lock:
            self._add(self._pending.permission_changes, directory_id, relative)
        self.wakeup.set()

    def request_full_scan(self, reason: str) -> None:
        """Request a scan of all crawl directories."""
        with self._lock:
            self._pending.full_scan_reason = reason
            self._start_waiting()
        self.wakeup.set()

    def backlog(self) -> tuple[int, float | None]:
        """Return the number of queued paths, and when the oldest was queued (seconds of the monotonic clock)."""
        with self._lock:
            return self._path_count, self._waiting_since

    def take_all(self) -> PendingPaths:
        """Return everything queued, and empty the queue."""
        with self._lock:
            pending, self._pending, self._path_count, self._waiting_since = self._pending, PendingPaths(), 0, None
            self.wakeup.clear()
        return pending

    def _set_writer(self, directory_id: int, relative: bytes, closed_ns: int | None) -> None:
        self._writer_closed_ns.pop((directory_id, relative), None)  # re-inserted: the newest entry is the last
        self._writer_closed_ns[directory_id, relative] = closed_ns
        if len(self._writer_closed_ns) > MAX_PATHS:
            del self._writer_closed_ns[next(iter(self._writer_closed_ns))]

    def _add(self, paths_by_directory: dict[int, set[bytes]], directory_id: int, relative: bytes) -> None:
        paths = paths_by_directory.setdefault(directory_id, set())
        if relative not in paths:
            paths.add(relative)
            self._path_count += 1
            self._start_waiting()

    def _start_waiting(self) -> None:
        if self._waiting_since is None:
            self._waiting_since = time.monotonic()
