"""What to look at, as noted by other threads: single files, whole folders, or everything. Bounded."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_PATHS = 50_000
"""Paths kept in mind before their folders stand for them."""


@dataclass(slots=True)
class Notes:
    """What to look at: single files, whole folders and folders whose permissions may have changed (relative to a root), or
    everything, and why."""

    files: dict[int, set[bytes]] = field(default_factory=dict)
    folders: dict[int, set[bytes]] = field(default_factory=dict)
    permissions: dict[int, set[bytes]] = field(default_factory=dict)
    everything: str | None = None

    def __bool__(self) -> bool:
        return bool(self.files or self.folders or self.permissions or self.everything)


def tops(folders: Iterable[bytes]) -> list[bytes]:
    """Those of these folders that lie below none of the others, in order: looking at one is looking at all below it. Folders that are
    made in one another are all noted, and with each all below it would be looked at again."""
    found: list[bytes] = []
    for folder in sorted(folders, key=lambda f: f and f + b"/"):
        if not found or not (not found[-1] or folder.startswith(found[-1] + b"/")):
            found.append(folder)
    return found


class Notebook:
    """Notes taken from several threads; bounded. Taking a note never raises and never waits for the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes = Notes()
        self._size = 0
        self._since: float | None = None
        self._writers: dict[tuple[int, bytes], int | None] = {}  # when the writer closed the file (ns); None: it has not
        self.woken = threading.Event()

    def file(self, root: int, relative: bytes) -> None:
        """Look at one file; when too many are noted, at their folders; when too many of those, at everything."""
        with self._lock:
            self._add(self._notes.files, root, relative)
            if self._size > MOST_PATHS:
                for r, paths in self._notes.files.items():
                    self._notes.folders.setdefault(r, set()).update(p.rpartition(b"/")[0] for p in paths)
                self._notes.files = {}
                self._size = sum(len(paths) for kind in (self._notes.folders, self._notes.permissions) for paths in kind.values())
                if self._size > MOST_PATHS // 2:
                    self._notes = Notes(everything="too many folders changed at once")
                    self._size = 0
        self.woken.set()

    def opened(self, root: int, relative: bytes) -> None:
        """A file appeared: somebody created it and has it open, or gave a finished file this name."""
        with self._lock:
            self._set_writer(root, relative, None)

    def closed(self, root: int, relative: bytes) -> None:
        """A writer closed the file now."""
        with self._lock:
            self._set_writer(root, relative, time.time_ns())

    def renamed(self, root: int, before: bytes, after: bytes) -> None:
        """A file has another path; what is known of its writer stays known."""
        with self._lock:
            self._writers.pop((root, after), None)
            if (root, before) in self._writers:
                self._set_writer(root, after, self._writers.pop((root, before)))

    def was_closed(self, root: int, relative: bytes, modified_ns: int) -> bool | None:
        """Whether a writer closed the file since it was modified (ns since 1970); False: the file appeared, and no writer closed it;
        None: not known."""
        with self._lock:
            if (root, relative) not in self._writers:
                return None
            at = self._writers[root, relative]
        return False if at is None else at >= modified_ns or None

    def folder(self, root: int, relative: bytes) -> None:
        """Look at a folder and all below it."""
        with self._lock:
            self._add(self._notes.folders, root, relative)
        self.woken.set()

    def permissions(self, root: int, relative: bytes) -> None:
        """See whether a folder can be read now and could not, or the other way round."""
        with self._lock:
            self._add(self._notes.permissions, root, relative)
        self.woken.set()

    def everything(self, why: str) -> None:
        """Scan all crawl directories."""
        with self._lock:
            self._notes.everything = why
            self._begin()
        self.woken.set()

    def waiting(self) -> tuple[int, float | None]:
        """(paths noted, when the oldest of them was: seconds of the monotonic clock)."""
        with self._lock:
            return self._size, self._since

    def take(self) -> Notes:
        """All notes so far; the book is empty afterwards."""
        with self._lock:
            notes, self._notes, self._size, self._since = self._notes, Notes(), 0, None
            self.woken.clear()
        return notes

    def _set_writer(self, root: int, relative: bytes, closed_at: int | None) -> None:
        self._writers.pop((root, relative), None)  # the latest come last
        self._writers[root, relative] = closed_at
        if len(self._writers) > MOST_PATHS:
            del self._writers[next(iter(self._writers))]

    def _add(self, where: dict[int, set[bytes]], root: int, relative: bytes) -> None:
        paths = where.setdefault(root, set())
        if relative not in paths:
            paths.add(relative)
            self._size += 1
            self._begin()

    def _begin(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
