"""Reconcile: compare the crawl directories with the database and take in what differs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from dedup import text, times
from dedup.ingest.examine import Found, examine, signature
from dedup.ingest.record import record
from dedup.ingest.roots import Root, identity, is_absent, remember
from dedup.ingest.session import Session
from dedup.ingest.tally import Tally
from dedup.model import FAULTS, Fault
from dedup.store.rows import FileRow, Stat

BATCH_FILES = 256
BATCH_BYTES = 32_000_000
MOST_WAITING = 20_000
"""Unsettled files kept in mind before the walk stops to work them off."""


@dataclass(slots=True)
class _Waiting:
    """A file that is not yet safe to read: what it was like when first looked at, and when that was."""

    found: Found
    since: float


@dataclass(slots=True)
class Scan:
    """Passes over the crawl directories. `stop` ends one between batches; `progress` hears of every batch, `tell` of every
    noteworthy thing once it is recorded."""

    session: Session
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[Tally], None] = lambda _: None
    tell: Callable[[str], None] | None = None
    tally: Tally = field(default_factory=Tally)
    _batch: list[Found] = field(default_factory=list)
    _bytes: int = 0
    _waiting: dict[bytes, _Waiting] = field(default_factory=dict)
    _missing: list[tuple[bytes, bytes, int]] = field(default_factory=list)

    def run(self) -> Tally:
        """`reconcile`, with patience for files that are not settled yet."""
        return self.reconcile(patient=True)

    def reconcile(self, *, patient: bool = False) -> Tally:
        """Walk every crawl directory that is there, take in what differs, mark what is gone. Absent ones are in
        `tally.absent`; nothing of theirs is touched. Unsettled files stay in mind, or with `patient` are waited for."""
        begun = time.monotonic()
        walked: list[tuple[Root, tuple[int, int] | None, list[tuple[bytes, bytes, int]]]] = []
        for root in self.session.roots:
            if is_absent(self.session.store, root):
                self.tally.absent.append(root.shown)
            elif not self.stop.is_set():
                begun_as, self._missing = identity(root.path), []
                self._folder(root, b"", begun_as)
                walked.append((root, begun_as, self._missing))
        self._flush()
        if patient:
            self._settle_waiting()
        for root, begun_as, missing in walked:
            if not self.stop.is_set():  # by now a file that moved is known by its new path
                self._mark_gone(root, begun_as, missing)
        self.tally.seconds = time.monotonic() - begun
        return self.tally

    def expected(self) -> int:
        """About how many directory entries a pass will meet: a quick count of names, for telling the time left."""
        return sum(len(names) for root in self.session.roots for _, _, names in os.walk(root.path))

    def subtree(self, root: Root, folder: bytes) -> None:
        """Reconcile one folder (relative to `root`) and all below it, whether it is still there or not."""
        if is_absent(self.session.store, root):
            return
        begun_as, self._missing = identity(root.path), []
        self._folder(root, folder, begun_as)
        self._flush()
        if not self.stop.is_set():
            self._mark_gone(root, begun_as, self._missing)

    def take(self, root: Root, paths: Iterable[bytes]) -> None:
        """Look at single paths (relative to `root`) as a scan would; unsettled ones are kept for `settled`."""
        if is_absent(self.session.store, root):
            return
        for relative in paths:
            folder, _, name = relative.rpartition(b"/")
            whole = os.path.join(root.path, relative)
            if self.matches(name) and not os.path.islink(whole) and (os.path.isfile(whole) or not os.path.lexists(whole)):
                self._entry(root, folder, name, self.session.store.file(root.id, folder, name))
        self._flush()

    def waiting(self) -> int:
        """How many files are not settled yet."""
        return len(self._waiting)

    def adopt(self, other: Scan) -> None:
        """Keep in mind what another pass left unsettled."""
        for path, waiting in other._waiting.items():
            self._waiting.setdefault(path, waiting)

    def settled(self) -> float:
        """Queue those waiting files that have settled; returns the seconds until the next one may have (at most
        `settle_seconds`)."""
        settle = self.session.settings.crawl.settle_seconds
        soonest = settle
        for path, known in list(self._waiting.items()):
            now = self._stat(path)
            if now is None:
                del self._waiting[path]
                self._queue(known.found)  # reading it will tell that it is gone
                continue
            w = known
            if now != known.found.stat:
                w = _Waiting(replace(known.found, stat=now), time.monotonic())
                self._waiting[path] = w
            left = min(self._unsettled_for(now), settle - (time.monotonic() - w.since))
            if left <= 0:
                del self._waiting[path]
                self._queue(w.found)
            else:
                soonest = min(soonest, left)
        return soonest

    def flush(self) -> None:
        """Take in whatever is queued."""
        self._flush()

    # The walk

    def _folder(self, root: Root, top: bytes, begun_as: tuple[int, int] | None) -> None:
        store = self.session.store
        visited: set[bytes] = set()
        unreadable: list[bytes] = []
        for folder, names in self._walk(root, top, visited, unreadable):
            known = store.files_in(root.id, folder)
            for name in names:
                if self.stop.is_set():
                    return
                self._entry(root, folder, name, known.pop(name, None))
            self._miss(folder, known)
        self._flush()
        if self.stop.is_set():
            return
        for folder in store.folders(root.id):
            if below(folder, top) and folder not in visited and not any(below(folder, u) for u in unreadable):
                self._miss(folder, store.files_in(root.id, folder))
        with store.transaction():
            now = times.now()
            for folder in store.folder_faults(root.id):
                if below(folder, top) and folder not in unreadable:
                    store.set_faults(root.id, folder, "", (), now)
            if not top and identity(root.path) == begun_as:
                remember(store, root)

    def _walk(self, root: Root, top: bytes, visited: set[bytes], unreadable: list[bytes]) -> Iterator[tuple[bytes, list[bytes]]]:
        """(folder, its candidate names) for every folder from `top` down; what is ignored is counted on the way. Links are not
        followed."""
        folders = [top]
        while folders:
            folder = folders.pop()
            path = os.path.join(root.path, folder)
            names, inner = [], []
            try:
                if folder and os.path.islink(path):
                    continue
                with os.scandir(path) as entries:
                    for entry in entries:
                        if entry.is_symlink():
                            self.tally.ignored["symlink"] += 1
                        elif entry.is_dir(follow_symlinks=False):
                            inner.append(entry.name)
                        elif not entry.is_file(follow_symlinks=False):
                            self.tally.ignored["special"] += 1
                        elif not self.matches(entry.name):
                            self.tally.ignored["pattern"] += 1
                        else:
                            names.append(entry.name)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it went while we walked; what it held is found to be gone
            except OSError as error:
                unreadable.append(folder)
                self.tally.faults += 1
                self._folder_fault(root, folder, error)
                continue
            visited.add(folder)
            folders.extend(folder + b"/" + name if folder else name for name in sorted(inner, reverse=True))
            yield folder, sorted(names)

    def matches(self, name: bytes) -> bool:
        """Whether the configured patterns take this file name."""
        decoded = os.fsdecode(name)
        return any(fnmatchcase(decoded, pattern) for pattern in self.session.settings.crawl.patterns)

    def _entry(self, root: Root, folder: bytes, name: bytes, known: FileRow | None) -> None:
        found = Found(root.id, root.path, folder, name, known.stat if known else Stat(0, 0, 0, 0))
        stat = self._stat(found.path)
        if stat is None:
            if known:
                self._queue(found)
            return
        if known and known.stat == stat and not known.gone and known.content is not None:
            if known.is_article:
                self.tally.unchanged += 1
            else:
                self.tally.faults += 1
            return
        found = Found(root.id, root.path, folder, name, stat)
        if self._unsettled_for(stat) > 0:
            self._waiting.setdefault(found.path, _Waiting(found, time.monotonic()))
            if len(self._waiting) >= MOST_WAITING:
                self._flush()
                self._settle_waiting()
            return
        self._queue(found)

    def _stat(self, path: bytes) -> Stat | None:
        """What a file is like now; None: it is not there. One that may not be asked about is left to reading to explain."""
        try:
            return signature(os.lstat(path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            return Stat(0, 0, 0, 0)

    def _unsettled_for(self, stat: Stat) -> float:
        """Seconds until the file has stood unchanged for `settle_seconds` by its own time stamps; ≤ 0: it has."""
        newest = max(stat.mtime_ns, stat.ctime_ns)
        return self.session.settings.crawl.settle_seconds - (time.time_ns() - newest) / 1e9

    def _queue(self, found: Found) -> None:
        self._batch.append(found)
        self._bytes += found.stat.size
        if len(self._batch) >= BATCH_FILES or self._bytes >= BATCH_BYTES:
            self._flush()

    def _flush(self) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        if not batch:
            return
        examined = examine(batch, self.session.options)
        for e in examined:
            if e.outcome == "unsettled":
                self._waiting.setdefault(e.found.path, _Waiting(e.found, time.monotonic()))
        there = {root.path for root in self.session.roots if not is_absent(self.session.store, root)}
        known = [e for e in examined if e.outcome != "unsettled" and (e.outcome != "vanished" or e.found.root in there)]
        record(self.session.store, known, self.session.matcher, self.tally, self.tell)
        self.progress(self.tally)

    def _settle_waiting(self) -> None:
        """Give unsettled files up to twice `settle_seconds`; those that do not settle are counted, and found again."""
        deadline = time.monotonic() + 2 * self.session.settings.crawl.settle_seconds
        while self._waiting and not self.stop.is_set():
            pause = self.settled()
            self._flush()
            left = deadline - time.monotonic()
            if not self._waiting or left <= 0:
                break
            self.stop.wait(max(0.01, min(pause, left)))
        self.tally.unsettled += len(self._waiting)
        self._waiting.clear()

    def _miss(self, folder: bytes, rows: dict[bytes, FileRow]) -> None:
        """Keep in mind files that were not listed, until it is known which of them moved."""
        self._missing.extend((folder, name, row.id) for name, row in rows.items() if not row.gone)

    def _mark_gone(self, root: Root, begun_as: tuple[int, int] | None, missing: list[tuple[bytes, bytes, int]]) -> None:
        """Mark files as gone that were not listed and are not there, unless the whole directory went meanwhile."""
        really = [i for folder, name, i in missing if self._stat(os.path.join(root.path, folder, name)) is None]
        store = self.session.store
        for start in range(0, len(really), BATCH_FILES):
            if begun_as is None or identity(root.path) != begun_as:
                return
            with store.transaction():
                left = store.still_there(really[start : start + BATCH_FILES])
                store.mark_gone(left, times.now())
            self.tally.gone += len(left)

    def _folder_fault(self, root: Root, folder: bytes, error: OSError) -> None:
        fault = Fault("unreadable", f"{FAULTS['unreadable']}: {os.strerror(error.errno or 0)}")
        with self.session.store.transaction():
            self.session.store.set_faults(root.id, folder, text.printable_path(folder), [fault], times.now())


def below(folder: bytes, top: bytes) -> bool:
    """Whether a folder is `top` or lies below it; the empty path is the crawl directory itself."""
    return not top or folder == top or folder.startswith(top + b"/")
