"""File system events as notes of what to look at. Events wake; a scan decides.

watchdog loses events in bursts (inotify's queue overflows and it drops its own), never closes files of new folders, dies
quietly of exceptions in handlers, and does not notice when the root goes. So handlers only note paths, and whatever
cannot be trusted becomes a note to scan everything.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from dedup.ingest import Root
from dedup.ingest.roots import identity

MOST_PATHS = 50_000
"""Paths kept in mind before their folders stand for them."""

_WANTED: list[type[FileSystemEvent]] = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]

_log = logging.getLogger("dedup")


@dataclass(slots=True)
class Notes:
    """What to look at: single files and whole folders (relative to a root), or everything, and why."""

    files: dict[int, set[bytes]] = field(default_factory=dict)
    folders: dict[int, set[bytes]] = field(default_factory=dict)
    everything: str | None = None

    def __bool__(self) -> bool:
        return bool(self.files or self.folders or self.everything)


class Notebook:
    """Notes taken from several threads; bounded. Taking a note never raises and never waits for the disk."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._notes = Notes()
        self._size = 0
        self.woken = threading.Event()

    def file(self, root: int, relative: bytes) -> None:
        """Look at one file; when too many are noted, at their folders; when too many of those, at everything."""
        with self._lock:
            self._add(self._notes.files, root, relative)
            if self._size > MOST_PATHS:
                for r, paths in self._notes.files.items():
                    self._notes.folders.setdefault(r, set()).update(p.rpartition(b"/")[0] for p in paths)
                self._notes.files = {}
                self._size = sum(map(len, self._notes.folders.values()))
                if self._size > MOST_PATHS // 2:
                    self._notes = Notes(everything="too many folders changed at once")
                    self._size = 0
        self.woken.set()

    def folder(self, root: int, relative: bytes) -> None:
        """Look at a folder and all below it."""
        with self._lock:
            self._add(self._notes.folders, root, relative)
        self.woken.set()

    def everything(self, why: str) -> None:
        """Scan all crawl directories."""
        with self._lock:
            self._notes.everything = why
        self.woken.set()

    def take(self) -> Notes:
        """All notes so far; the book is empty afterwards."""
        with self._lock:
            notes, self._notes, self._size = self._notes, Notes(), 0
            self.woken.clear()
        return notes

    def _add(self, where: dict[int, set[bytes]], root: int, relative: bytes) -> None:
        paths = where.setdefault(root, set())
        if relative not in paths:
            paths.add(relative)
            self._size += 1


class _Handler(FileSystemEventHandler):
    """Turns events into notes."""

    def __init__(self, root: Root, book: Notebook) -> None:
        self._root, self._book = root, book

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            for path in (event.src_path, event.dest_path):
                if path:
                    self._note(os.fsencode(path), folder=event.is_directory)
        except Exception:  # an exception would end watchdog's thread, and nobody would hear
            self._book.everything("an event could not be read")

    def _note(self, path: bytes, *, folder: bool) -> None:
        if path == self._root.path:
            self._book.everything("a crawl directory itself changed")
        elif path.startswith(self._root.path + b"/"):
            relative = path[len(self._root.path) + 1 :]
            (self._book.folder if folder else self._book.file)(self._root.id, relative)


class _Overheard(logging.Handler):
    """watchdog tells of lost events in its log only."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(logging.WARNING)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        if "overflow" in record.getMessage():
            self._watcher.overflows += 1
            self._watcher.book.everything("events were lost in a burst")
        else:
            self._watcher.book.everything("the observer reported trouble")


class Watcher:
    """The observer of all crawl directories and its supervision."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self.book = Notebook()
        self.overflows = 0
        self.restarts = 0
        self._roots = tuple(roots)
        self._observer: BaseObserver | None = None
        self._watched: dict[int, tuple[int, int]] = {}
        self._hopeless: set[int] = set()
        self._overheard = _Overheard(self)

    def start(self) -> None:
        """Begin to take notes; directories that are absent or cannot be watched are left to scans, and tried again later."""
        log = logging.getLogger("watchdog")
        if self._overheard not in log.handlers:
            log.addHandler(self._overheard)
            log.propagate = False
        observer = Observer()
        observer.daemon = True
        self._watched = {}
        observer.start()
        for root in self._roots:
            found = identity(root.path)
            if found is None:
                continue
            try:
                observer.schedule(_Handler(root, self.book), os.fsdecode(root.path), recursive=True, event_filter=_WANTED)
            except OSError as error:
                self._hopeless.add(root.id)
                _log.warning("%s cannot be watched (%s); it is scanned on the timer only", root.shown, error.strerror)
            else:
                self._watched[root.id] = found
        self._observer = observer

    def check(self) -> None:
        """Rebuild the observer where a thread of it died or a crawl directory is no longer the one watched."""
        why = self._trouble()
        if why is None:
            return
        self.restarts += 1
        _log.warning("%s: watching again, and scanning", why)
        self.close()
        self.start()
        self.book.everything(why)

    def _trouble(self) -> str | None:
        observer = self._observer
        if observer is None or not observer.is_alive() or not all(e.is_alive() for e in observer.emitters):
            return "the observer stopped"
        for root in self._roots:
            found = identity(root.path)
            if found is None:
                if root.id in self._watched:
                    del self._watched[root.id]
                    self.book.everything("a crawl directory went")
            elif found != self._watched.get(root.id) and root.id not in self._hopeless:
                return "a crawl directory was replaced or came back"
        return None

    def close(self) -> None:
        """Stop taking notes; never waits long for watchdog's threads."""
        observer, self._observer = self._observer, None
        if observer is None:
            return
        stopper = threading.Thread(target=_stop, args=(observer,), daemon=True)
        stopper.start()
        stopper.join(2)


def _stop(observer: BaseObserver) -> None:
    try:
        observer.stop()
        observer.join(2)
    except Exception:  # a dead observer may fail in many ways; it is being thrown away
        _log.debug("stopping the observer failed", exc_info=True)
