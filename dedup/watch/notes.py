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

    def _add(self, where: dict[int, set[bytes]], root: int, relative: bytes) -> None:
        paths = where.setdefault(root, set())
        if relative not in paths:
            paths.add(relative)
            self._size += 1
            self._begin()

    def _begin(self) -> None:
        if self._since is None:
            self._since = time.monotonic()
