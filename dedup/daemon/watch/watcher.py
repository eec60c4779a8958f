"""The observer of all crawl directories, and its supervision: it is rebuilt when it dies, and what it does not watch is told."""

from __future__ import annotations

import errno
import logging
import os
import sys
import threading
import time
import warnings
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

from dedup.daemon.watch.change_queue import Notebook
from dedup.daemon.watch.coverage import Coverage, coverage, is_instance
from dedup.daemon.watch.observer import Observer
from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import Beneath
from dedup.scan.roots import Root, identity

PATIENCE = 2.0
"""Seconds that watchdog has to watch a new folder before it counts as unwatched."""
LEVELS = 4096
"""Calls within one another that Python is to allow: before 3.12 os.walk makes one for every level of folders, of which a path of
PATH_MAX bytes has half so many."""
SHARE = 50
"""Looking at what is watched may take one part in so many of the time."""
CHUNK = 4096

_WANTED: list[type[FileSystemEvent]] = [
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
_LIMITS = {
    errno.ENOSPC: "inotify's limit of watches is reached: raise fs.inotify.max_user_watches, in a container user.max_inotify_watches",
    errno.EMFILE: "inotify's limit of instances is reached: raise fs.inotify.max_user_instances",
}

_log = logging.getLogger("dedup")


class _Handler(FileSystemEventHandler):
    """Turns events into notes; `base` is the crawl directory's path with links resolved."""

    def __init__(self, root: Root, base: bytes, book: Notebook) -> None:
        self._root, self._base, self._book = root, base, book

    def dispatch(self, event: FileSystemEvent) -> None:
        try:
            self._note_writer(event)
            for path in (event.src_path, event.dest_path):
                if path:
                    self._note(os.fsencode(path), event)
        except Exception:  # an exception would end watchdog's thread, and nobody would hear
            self._book.everything("an event could not be read")

    def _note_writer(self, event: FileSystemEvent) -> None:
        root, path = self._root.id, self._relative(os.fsencode(event.src_path))
        if isinstance(event, FileCreatedEvent):
            self._book.opened(root, path)
        elif isinstance(event, FileClosedEvent):
            self._book.closed(root, path)
        elif isinstance(event, FileMovedEvent):
            self._book.renamed(root, path, self._relative(os.fsencode(event.dest_path)))

    def _relative(self, path: bytes) -> bytes:
        return path[len(self._base) + 1 :]

    def _note(self, path: bytes, event: FileSystemEvent) -> None:
        if path != self._base and not path.startswith(self._base + b"/"):
            return
        relative = self._relative(path)
        if isinstance(event, DirAttribEvent):
            self._book.permissions(self._root.id, relative)
        elif not relative:
            self._book.everything("a crawl directory itself changed")
        else:
            (self._book.folder if event.is_directory else self._book.file)(self._root.id, relative)


class _Overheard(logging.Handler):
    """watchdog tells of lost events in its log only."""

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(logging.WARNING)
        self._watcher = watcher

    def emit(self, record: logging.LogRecord) -> None:
        self._watcher.heard(record.thread, overflow="overflow" in record.getMessage())


class Watcher:
    """The observer of all crawl directories. `overflows` counts how often inotify's queue ran over, `restarts` how often the
    observer had to be rebuilt for another reason. `problem` is why no events come at all."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self.book = Notebook()
        self.overflows = 0
        self.restarts = 0
        self.problem: str | None = None
        self._roots = {root.id: root for root in roots}
        self._observer: BaseObserver | None = None
        self._threads: frozenset[threading.Thread] = frozenset()
        self._descriptors: frozenset[str] = frozenset()
        self._watched: dict[int, tuple[int, int]] = {}
        self._hopeless: dict[int, str] = {}
        self._heard: str | None = None
        self._pending: list[tuple[int, bytes]] = []
        self._doubtful: dict[tuple[int, bytes], float] = {}
        self._unwatched: set[tuple[int, bytes]] = set()
        self._told = 0
        self._next_look = 0.0
        self._overheard = _Overheard(self)

    def start(self) -> None:
        """Begin to take notes; directories that are absent or cannot be watched are left to scans, and tried again later."""
        log = logging.getLogger("watchdog")
        if self._overheard not in log.handlers:
            log.addHandler(self._overheard)
            log.propagate = False
        # of the second folder that may not be read it says that it met the first before
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="watchdog")
        sys.setrecursionlimit(max(sys.getrecursionlimit(), LEVELS))
        hopeless, self._hopeless, self._watched = self._hopeless, {}, {}
        threads, self._descriptors = frozenset(threading.enumerate()), frozenset()
        try:
            observer = self._observer = Observer()
            self._descriptors = frozenset({observer.descriptor})
            observer.start()
        except (OSError, RuntimeError) as error:
            self._hopeless = {root: _why(error) for root in self._roots}
        else:
            for root in self._roots.values():
                self._schedule(observer, root)
        self._threads = frozenset(t for t in threading.enumerate() if t not in threads and isinstance(t, BaseThread))
        self._heard = None
        self.problem = next(iter(self._hopeless.values())) if self._hopeless and not self._watched else None
        for root_id, why in self._hopeless.items():
            if hopeless.get(root_id) != why:
                _log.warning("%s cannot be watched (%s); scans alone find what changes there", self._roots[root_id].shown, why)

    def _schedule(self, observer: BaseObserver, root: Root) -> None:
        base = os.path.realpath(root.path)  # of a link watchdog would watch the link itself
        try:
            found = identity(root.path)
        except OSError as error:
            self._hopeless[root.id] = _why(error)
            return
        if found is None:
            return
        try:
            observer.schedule(_Handler(root, base, self.book), os.fsdecode(base), recursive=True, event_filter=_WANTED)
        except (FileNotFoundError, NotADirectoryError):
            pass  # it went meanwhile
        except OSError as error:
            self._hopeless[root.id] = _why(error)
        except RecursionError:
            self._hopeless[root.id] = "folders are nested more deeply in it than can be watched"
        else:
            self._watched[root.id] = found

    def heard(self, thread: int | None, *, overflow: bool) -> None:
        """watchdog reported trouble, in the thread with this identifier; one of an observer that is already gone is no news."""
        if self._heard is None and thread in {t.ident for t in self._threads}:
            self.overflows += overflow
            self._heard = "events were lost in a burst" if overflow else "the observer reported trouble"
            self.book.woken.set()

    def check(self) -> None:
        """Rebuild the observer where a thread of it died, events were lost, or a crawl directory is no longer the one watched;
        and look which folders are watched."""
        why = self._heard or self._trouble()
        if why is not None:
            if "burst" not in why:
                self.restarts += 1
            _log.warning("%s: watching again, and scanning", why)
            self.renew()
            self.book.everything(why)
        self._look()

    def renew(self) -> None:
        """A new observer in place of the old one. What happens in between only a scan can tell."""
        self.close()
        self.start()

    @property
    def alarmed(self) -> bool:
        """Whether watchdog reported trouble: `check` is not to wait."""
        return self._heard is not None

    @property
    def incomplete(self) -> bool:
        """Whether there are crawl directories or folders in them that are not watched though they are there."""
        return bool(self._hopeless or self._unwatched)

    def visited(self, root: Root, folder: bytes) -> None:
        """A scan has come by a folder (relative to `root`): it should be watched."""
        self._pending.append((root.id, folder))
        if len(self._pending) >= CHUNK:
            self._sort()

    def unwatched(self) -> tuple[int, list[str]]:
        """How many folders are known not to be watched, and some of them, for people."""
        some = sorted(self._unwatched)[:5] if len(self._unwatched) < CHUNK else list(self._unwatched)[:5]
        return len(self._unwatched), [Root(0, os.path.join(self._roots[root].path, folder)).shown for root, folder in some]

    def close(self) -> None:
        """Stop taking notes; never waits long for watchdog's threads."""
        observer, self._observer = self._observer, None
        self._threads = frozenset()
        if observer is not None:
            stopper = threading.Thread(target=_stop, args=(observer,), daemon=True)
            try:
                stopper.start()
            except RuntimeError:  # there is no room for another thread
                _stop(observer)
            else:
                stopper.join(2)

    def _trouble(self) -> str | None:
        if self._observer is not None:
            if not all(t.is_alive() for t in self._threads):
                return "the observer stopped"
            if not all(is_instance(fd) for fd in self._descriptors):
                return "the observer lost its inotify instance"
        for root in self._roots.values():
            try:
                found = identity(root.path)
            except OSError:
                continue  # nothing is known about it now; the next look will show
            if found is None:
                if root.id in self._watched:
                    del self._watched[root.id]
                    self.book.everything("a crawl directory went")
            elif found != self._watched.get(root.id) and root.id not in self._hopeless:
                return "a crawl directory was replaced or came back"
        return None

    # What is watched

    def _look(self) -> None:
        """Sort what scans came by; now and then look again at what is not watched."""
        begun = time.monotonic()
        if not (self._pending or self._doubtful or self._unwatched) or begun < self._next_look:
            return
        self._doubtful |= dict.fromkeys(self._unwatched, -PATIENCE)
        self._pending += self._doubtful
        self._sort()
        self._unwatched = {place for place, since in self._doubtful.items() if begun - since >= PATIENCE}
        for place in self._unwatched:
            del self._doubtful[place]
        self._tell()
        self._next_look = time.monotonic() + SHARE * (time.monotonic() - begun)

    def _sort(self) -> None:
        """Of the folders that scans came by, keep those in mind that are there and not watched."""
        try:
            watched, now = coverage(self._descriptors), time.monotonic()
        except OSError:
            return  # nothing is known now; the folders stay pending
        roots: dict[int, os.stat_result | None] = {}
        pending, self._pending = self._pending, []
        for root_id, folder in pending:
            path = self._roots[root_id].path
            if root_id not in roots:
                roots[root_id] = _stat(path)
            root, place = roots[root_id], (root_id, folder)
            if root is None or self._is_watched(root_id, path, folder, root, watched):
                self._doubtful.pop(place, None)
            else:
                self._doubtful.setdefault(place, now)

    def _is_watched(self, root_id: int, path: bytes, folder: bytes, root: os.stat_result, watched: Coverage) -> bool:
        """Or not there any more."""
        try:
            found = _below(path, folder) if folder else root
        except OSError:
            return False  # nothing is known about it now; it is looked at again
        return found is None or (root_id not in self._hopeless and watched.holds(found, root))

    def _tell(self) -> None:
        number, some = self.unwatched()
        if number > self._told:
            _log.warning("%d folders are not watched (%s, …); the timer's scans find what changes there", number, some[0])
        elif self._told and not number:
            _log.info("all folders are watched again")
        self._told = number


def _why(error: OSError | RuntimeError) -> str:
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in (errno.EMFILE, errno.ENFILE) and _exhausted():
        return "this process may open no more files: raise its limit (ulimit -n, LimitNOFILE=)"
    return _LIMITS.get(error.errno or 0) or error.strerror or str(error)


def _exhausted() -> bool:
    """Whether this process cannot open as many descriptors as an observer has: its instance, and a pipe."""
    with ExitStack() as opened:
        try:
            for _ in range(3):
                opened.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            return True
    return False


def _stat(path: bytes) -> os.stat_result | None:
    try:
        return os.stat(path)  # the operator may have named a link
    except OSError:
        return None


def _below(path: bytes, folder: bytes) -> os.stat_result | None:
    """What a folder of a crawl directory is; its path may be longer than any that the kernel takes. Raises OSError
    where this process has no descriptor or memory left to look."""
    try:
        try:
            return os.stat(os.path.join(path, folder), follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
        with Beneath() as beneath:
            return beneath.stat(path, *os.path.split(folder))
    except OSError as error:
        if is_exhausted(error):
            raise
        return None


def _stop(observer: BaseObserver) -> None:
    try:
        observer.stop()
        observer.join(2)
    except Exception:  # a dead observer may fail in many ways; it is being thrown away
        _log.debug("stopping the observer failed", exc_info=True)
