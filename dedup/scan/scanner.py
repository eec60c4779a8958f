"""Reconcile: compare the crawl directories with the database and take in what differs."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat as modes
import threading
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import itemgetter

from dedup import store
from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import Beneath, barrier_to
from dedup.scan.counts import Tally
from dedup.scan.extract import Examined, Found, signature, unchanged_for, unproven_settle, unreadable_because
from dedup.scan.record import record
from dedup.scan.roots import Root, absent_mounts, below, holds_recorded, identity, identity_of, is_absent, points_below, remember
from dedup.scan.session import Session
from dedup.scan.workers import Examiners, processors
from dedup.store.rows import ARTICLE, FAULT, GONE, Recorded, Stat
from dedup.text import normalise, times

BATCH_FILES = 512
BATCH_BYTES = 8_000_000
PART = 20_000
"""Entries of a folder compared at once."""
MOST_WAITING = 20_000
"""Unsettled files kept in mind before the walk stops to work them off."""

_Entry = tuple[bytes, os.DirEntry[str]]
"""An entry of a folder and its name."""
_name = itemgetter(0)


def _keys() -> array[int]:
    return array("q")


@dataclass(slots=True)
class _Waiting:
    """A file that is not yet safe to read: what it was like when first looked at, and when that was. `unproven`: it was read, and
    nothing showed that it was complete."""

    found: Found
    since: float
    unproven: bool = False


@dataclass(slots=True)
class Scan:
    """Passes over the crawl directories. `stop` ends one between batches; `progress` hears of every batch, `tell` (kind, line) of every
    noteworthy thing once it is recorded, `visit` of every folder that is listed, `away` of a crawl directory that was not there,
    or no longer the same, when something in it was to be looked at: what changed there is not known. `closed` says whether a writer
    closed a file (crawl directory, path relative to it) since it was modified (ns since 1970): False if the file was created and not
    closed, None if that is not known."""

    session: Session
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[Tally], None] = lambda _: None
    tell: Callable[[str, str], None] | None = None
    visit: Callable[[Root, bytes], None] = lambda _root, _folder: None
    away: Callable[[Root], None] = lambda _root: None
    closed: Callable[[int, bytes, int], bool | None] = lambda _root, _path, _modified: None
    tally: Tally = field(default_factory=Tally)
    _batch: list[Found] = field(default_factory=list)
    _bytes: int = 0
    _recording: int = 0
    _waiting: dict[bytes, _Waiting] = field(default_factory=dict)
    _missing: array[int] = field(default_factory=_keys)
    _new: set[int] = field(default_factory=set)
    _taking_in: float = 0.0
    _wanted: re.Pattern[str] = field(init=False)
    _examiners: Examiners = field(init=False)

    def __post_init__(self) -> None:
        patterns = self.session.settings.crawl.patterns
        self._wanted = re.compile("|".join(fnmatch.translate(p) for p in patterns) or "(?!)")
        self._examiners = Examiners(self.session.options, self.session.settings.crawl.workers or processors())

    def run(self) -> Tally:
        """`reconcile`, with patience for files that are not settled yet."""
        try:
            return self.reconcile(patient=True)
        finally:
            self.close()

    @property
    def comparing(self) -> float:
        """Seconds of a pass that went into comparing, which the next pass will take too: not those of taking in what differed."""
        return max(0.0, self.tally.seconds - self._taking_in)

    def close(self) -> None:
        """End what helped with many files."""
        self._examiners.close()

    def reconcile(self, *, patient: bool = False) -> Tally:
        """Walk every crawl directory that is there, take in what differs, mark what is gone. Absent ones are in
        `tally.absent`, absent mounts below one in `tally.unmounted`; nothing of theirs is marked gone. Unsettled files stay in mind, or
        with `patient` are waited for."""
        begun = time.monotonic()
        self.reread(self.session.places)
        walked: list[tuple[Root, tuple[int, int] | None, array[int]]] = []
        for root, top in self.session.places:
            if is_absent(self.session.database, root):
                self.tally.absent.append(root.shown)
            elif not self.stop.is_set():
                if store.directories.identity(self.session.database, root.id) is None:
                    self._new.add(root.id)
                begun_as, self._missing = identity(root.path), _keys()
                self._folder(root, top, begun_as)
                walked.append((root, begun_as, self._missing))
        self._flush()
        if patient:
            self.settle()
        for root, begun_as, missing in walked:
            if not self.stop.is_set():  # by now a file that moved is known by its new path
                self._mark_gone(root, begun_as, missing, whole=True)
        self.tally.seconds = time.monotonic() - begun
        return self.tally

    def reread(self, places: Iterable[tuple[Root, bytes]]) -> None:
        """Read recorded files again that are queued for it, and are as they were recorded; the others are found by comparing. Where a
        crawl directory is absent its files stay in the queue. `places` as in `Session`."""
        database = self.session.database
        if not store.rereads.any_queued(database):
            return
        for root, top in places:
            if is_absent(database, root):
                continue
            last = 0
            with Beneath() as beneath:
                while not self.stop.is_set() and (rows := store.rereads.queued(database, root.id, last, BATCH_FILES)):
                    for _, folder, name, stat in rows:
                        if below(folder, top) and self.matches(name) and _stat(beneath, root.path, folder, name) == stat:
                            self._queue(Found(root.id, root.path, folder, name, stat, reread=True))
                    last = rows[-1][0]
        self._flush()

    def expected(self) -> int:
        """About how many directory entries a pass will meet: a quick count of names, for telling the time left."""
        with Beneath() as beneath:
            return sum(1 for root, top in self.session.places for _ in beneath.files(os.path.join(root.path, top)))

    def subtree(self, root: Root, folder: bytes) -> None:
        """Reconcile one folder (relative to `root`) and all below it, whether it is still there or not."""
        if self._is_away(root):
            return
        begun_as, self._missing = identity(root.path), _keys()
        self._folder(root, folder, begun_as)
        self._flush()
        if not self.stop.is_set():
            self._mark_gone(root, begun_as, self._missing)

    def settle(self) -> None:
        """Wait for unsettled files, up to twice `settle_seconds`, and take in those that settled."""
        self._settle_waiting()

    def opened_or_closed(self, root: Root, folder: bytes) -> bool:
        """Whether a folder may be listed and entered now and could not be, or the other way round, as is recorded."""
        may = os.access(os.path.join(root.path, folder), os.R_OK | os.X_OK, effective_ids=True)
        return may == self._is_unreadable(root, folder)

    def take(self, root: Root, paths: Iterable[bytes]) -> None:
        """Look at single paths (relative to `root`) as a scan would; unsettled ones are kept for `settled`."""
        if self._is_away(root):
            return
        with Beneath() as beneath:
            for relative in paths:
                if self.stop.is_set():
                    break
                folder, _, name = relative.rpartition(b"/")
                if self.matches(name):
                    self._look(root, folder, name, beneath)
        self._flush()

    def waiting(self) -> int:
        """How many files are not settled yet."""
        return len(self._waiting)

    def pressing(self) -> bool:
        """Whether files wait that may be read soon, not counting those that wait because nothing shows that they are complete."""
        return any(not w.unproven for w in self._waiting.values())

    def backlog(self) -> tuple[int, float | None]:
        """(files that are known of and not recorded yet, when the oldest of the unsettled was met: seconds of the monotonic
        clock)."""
        oldest = min((w.since for w in self._waiting.values()), default=None)
        return len(self._waiting) + len(self._batch) + self._examiners.files + self._recording, oldest

    def adopt(self, other: Scan) -> None:
        """Keep in mind what another pass left unsettled; of a crawl directory that it took in for the first time that is no news either."""
        self._new |= other._new
        for path, waiting in other._waiting.items():
            self._waiting.setdefault(path, waiting)

    def settled(self) -> float:
        """Queue those waiting files that have settled; returns the seconds until the next one may have (at most
        `settle_seconds`, unless that is 0)."""
        with Beneath() as beneath:
            return self._settled(beneath)

    def _settled(self, beneath: Beneath) -> float:
        crawl = self.session.settings.crawl
        soonest = crawl.settle_seconds
        for path, known in list(self._waiting.items()):
            if self.stop.is_set():
                break
            f = known.found
            now = _stat(beneath, f.root, f.folder, f.name)
            if now is None:
                del self._waiting[path]
                self._queue(known.found)  # reading it will tell that it is gone
                continue
            w = known
            if now != known.found.stat:
                w = _Waiting(replace(known.found, stat=now), time.monotonic())
                self._waiting[path] = w
            settle = crawl.settle_seconds
            if w.unproven:
                settle = max(settle, unproven_settle(self._with_writer(w.found), crawl.unprobed_settle_seconds))
            left = settle - max(unchanged_for(now), time.monotonic() - w.since)
            if left <= 0:
                del self._waiting[path]
                self._queue(replace(w.found, trusted=w.unproven))
            else:
                soonest = min(soonest, left) if soonest > 0 else left
        return soonest

    def _with_writer(self, found: Found) -> Found:
        """The file with what events show of its writer."""
        closed = self.closed(found.directory, found.relative, found.stat.mtime_ns)
        # A finished file that was linked or moved here was not closed here either: its ctime is that of the link, its mtime is older.
        is_open = closed is False and found.stat.mtime_ns == found.stat.ctime_ns
        return replace(found, trusted=found.trusted or closed is True, open=is_open)

    def flush(self) -> None:
        """Take in whatever is queued, unless it is time to stop."""
        self._flush()
        if not self._waiting:
            self._new.clear()  # all that was there at the first pass is in

    # The walk

    def _folder(self, root: Root, top: bytes, begun_as: tuple[int, int] | None) -> None:
        database = self.session.database
        visited: set[bytes] = set()
        unreadable: list[bytes] = []
        mounted: dict[bytes, tuple[int, int]] = {}
        points, begun_at = points_below(root.path), database.next_id("files")
        folders: list[tuple[bytes, int | None, int | None]] = [(top, _device_above(root, top), None)]
        while folders and not self.stop.is_set():
            folder, above, entry_inode = folders.pop()
            inner: dict[bytes, int] = {}
            try:
                stat = self._compare(root, folder, inner)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it went while we walked, or is a link now; what it held is found to be gone
            except OSError as error:
                barrier = barrier_to(root.path, folder) or folder
                unreadable.append(barrier)
                self.tally.faults += 1
                self._folder_fault(root, barrier, error)
                continue
            visited.add(folder)
            self.visit(root, folder)
            # The entry of a directory has the inode of what is mounted over. Mounts that show a directory in its own place are none.
            if folder and (stat.st_dev != above or (folder in points and entry_inode not in (None, stat.st_ino))):
                mounted[folder] = identity_of(stat)
            folders.extend((os.path.join(folder, name), stat.st_dev, inner[name]) for name in sorted(inner, reverse=True))
        self._flush()
        if self.stop.is_set():
            return
        self._note_foreign_mounts(root, mounted, begun_at)
        self._note_mounts(root, mounted, visited)
        for folder in store.files.folders(database, root.id, top):
            if folder not in visited and not any(below(folder, u) for u in unreadable):
                self._missing.extend(file for file, _ in store.files.present_in_folder(database, root.id, folder))
        over = [f for f in store.faults.folders_with_faults(database, root.id) if below(f, top) and f not in unreadable]
        if over:
            with database.transaction() as transaction:
                store.faults.replace(transaction, [(root.id, folder, "", ()) for folder in over], times.now())
        if not top and identity(root.path) == begun_as:
            remember(database, root)

    def _note_foreign_mounts(self, root: Root, mounted: dict[bytes, tuple[int, int]], begun_at: int) -> None:
        """Take out of `mounted` what lies where another volume was and has none of its files: that volume is absent. `begun_at` is the key
        that the next file had when the walk began."""
        database = self.session.database
        known = store.directories.mounts(database, root.id)
        replaced = [path for path, identity_ in mounted.items() if known.get(path, identity_) != identity_]
        absent_from = store.directories.absent_mounts(database, root.id)
        foreign = [path for path in replaced if not holds_recorded(database, root, path, absent_from.get(path, begun_at))]
        for path in foreign:
            del mounted[path]
        if set(foreign) - absent_from.keys():
            with database.transaction() as transaction:
                store.directories.set_absent(transaction, root.id, foreign, begun_at)

    def _note_mounts(self, root: Root, mounted: dict[bytes, tuple[int, int]], visited: set[bytes]) -> None:
        """Record what is mounted below a crawl directory. Files that were there before and are not found are hidden by it."""
        if not mounted:
            return
        database = self.session.database
        known, absent_from = store.directories.mounts(database, root.id), store.directories.absent_mounts(database, root.id)
        new = {path: i for path, i in mounted.items() if known.get(path) != i or path in absent_from}
        if not new:
            return
        # Of a mount that comes back, files that were recorded while it was away are hidden; what else is missing of it is gone.
        first = {path: absent_from.get(path, 0) for path in new if path not in known or path in absent_from}
        hidden: list[int] = []
        if first:
            missing = set(self._missing)
            for folder in store.files.folders(database, root.id, b""):
                over = [key for path, key in first.items() if below(folder, path)]
                if over:
                    files = (file for file, _ in store.files.present_in_folder(database, root.id, folder) if file >= min(over))
                    hidden += [file for file in files if file in missing or folder not in visited]
        with database.transaction() as transaction:
            store.directories.set_mounts(transaction, root.id, new)
            store.files.hide(transaction, hidden)

    def _compare(self, root: Root, folder: bytes, inner: dict[bytes, int]) -> os.stat_result:
        """Compare one folder with what is recorded of it; returns what it is, and adds the folders in it to `inner` (name → inode of the
        entry). What is ignored is counted; links are not followed. However many files it has, so many at a time are in memory."""
        database = self.session.database
        with Beneath() as beneath, beneath.listed(root.path, folder) as entries:
            stat = os.fstat(beneath.folder(root.path, folder))
            part, more = self._listed(entries, inner)
            if not more:
                known = store.files.recorded_in_folder(database, root.id, folder)
                self._entries(root, folder, part, known)
                self._missing.extend(row[1] for row in known.values() if row[6] != GONE)
                return stat
            seen = bytearray(database.next_id("files") // 8 + 1)  # a bit for every file
            while part and not self.stop.is_set():
                known = store.files.recorded_by_name(database, root.id, folder, (name for name, _ in part))
                for row in known.values():
                    if row[1] // 8 < len(seen):
                        seen[row[1] // 8] |= 1 << row[1] % 8
                self._entries(root, folder, part, known)
                part, more = self._listed(entries, inner)
        if not self.stop.is_set():
            for file, _ in store.files.present_in_folder(database, root.id, folder):
                if file // 8 < len(seen) and not seen[file // 8] >> file % 8 & 1:
                    self._missing.append(file)
        return stat

    def _listed(self, entries: Iterator[os.DirEntry[str]], inner: dict[bytes, int]) -> tuple[list[_Entry], bool]:
        """The next candidates of a folder by name, and whether there may be more; folders are added to `inner`."""
        ignored = self.tally.ignored
        part: list[_Entry] = []
        wanted, encode = self._wanted.match, os.fsencode
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                if wanted(entry.name):
                    part.append((encode(entry.name), entry))
                    if len(part) >= PART:
                        break
                else:
                    ignored["pattern"] += 1
            elif entry.is_symlink():
                ignored["symlink"] += 1
            elif entry.is_dir(follow_symlinks=False):
                inner[encode(entry.name)] = entry.inode()
            else:
                ignored["special"] += 1
        part.sort(key=_name)
        return part, len(part) >= PART

    def _entries(self, root: Root, folder: bytes, entries: list[_Entry], known: dict[bytes, Recorded]) -> None:
        """Count the files that are as recorded, queue the others; those met are taken out of `known`."""
        take = known.pop
        articles = faults = 0
        most = self.session.settings.crawl.max_file_bytes
        stopped = self.stop.is_set
        for name, entry in entries:
            if stopped():
                break
            row = take(name, None)
            try:
                stat = entry.stat(follow_symlinks=False)
            except OSError as error:
                if error.errno == errno.EACCES and not os.access(os.path.join(root.path, folder), os.X_OK, effective_ids=True):
                    raise  # the folder may be listed and not entered: that is one fault
                with Beneath() as beneath:
                    self._look(root, folder, name, beneath)
                continue
            if row is not None and (
                (stat.st_mtime_ns == row[3] and stat.st_size == row[2] and stat.st_ctime_ns == row[5] and stat.st_ino == row[4])
                or signature(stat) == Stat(row[2], row[3], row[4], row[5])  # numbers beyond 64 bits are stored otherwise
            ):
                if row[6] == ARTICLE and row[2] <= most:
                    articles += 1
                    continue
                if row[6] == FAULT:
                    faults += 1
                    continue
            self._differs(Found(root.id, root.path, folder, name, signature(stat)))
        self.tally.unchanged += articles
        self.tally.faults += faults
        self.progress(self.tally)

    def matches(self, name: bytes) -> bool:
        """Whether the configured patterns take this file name."""
        return self._wanted.match(os.fsdecode(name)) is not None

    def _look(self, root: Root, folder: bytes, name: bytes, beneath: Beneath) -> None:
        """Look at one path by itself."""
        path = (root.id, folder, name)
        known = store.files.find_by_path(self.session.database, [path]).get(path)
        found = Found(root.id, root.path, folder, name, known.stat if known else Stat(0, 0, 0, 0))
        stat = _stat(beneath, root.path, folder, name)
        if stat is None:
            if known:
                self._queue(found)
        elif known and known.stat == stat and not known.gone and known.content is not None:
            if known.is_article:
                self.tally.unchanged += 1
            else:
                self.tally.faults += 1
        else:
            self._differs(replace(found, stat=stat))

    def _differs(self, found: Found) -> None:
        """A file that is not as recorded: queue it if it has settled, else keep it in mind."""
        if self._unsettled_for(found.stat) > 0:
            self._waiting.setdefault(found.path, _Waiting(found, time.monotonic()))
            if len(self._waiting) >= MOST_WAITING:
                self._flush()
                self._settle_waiting()
            return
        self._queue(found)

    def _is_away(self, root: Root) -> bool:
        absent = is_absent(self.session.database, root)
        if absent:
            self.away(root)
        return absent

    def _unsettled_for(self, stat: Stat) -> float:
        """Seconds until the file has stood unchanged for `settle_seconds` by its own time stamps; ≤ 0: it has."""
        return self.session.settings.crawl.settle_seconds - unchanged_for(stat)

    def _queue(self, found: Found) -> None:
        if self._waiting:
            self._waiting.pop(found.path, None)
        self._batch.append(self._with_writer(found))
        self._bytes += found.stat.size
        if len(self._batch) >= BATCH_FILES or self._bytes >= BATCH_BYTES:
            self._give()
            while self._examiners.busy and not self.stop.is_set():
                self._record()

    def _give(self) -> None:
        batch, self._batch, self._bytes = self._batch, [], 0
        if batch:
            self._tell("reading", batch[0], len(batch))
            with self._work():
                self._examiners.give(batch)

    def _flush(self) -> None:
        """Take in whatever is queued; what is queued when `stop` is set is forgotten, and found again by a later scan."""
        if not self.stop.is_set():
            self._give()
        while len(self._examiners):
            if self.stop.is_set():
                self._examiners.forget()
                self.session.database.lock.doing("")
                return
            self._record()

    def _record(self) -> None:
        """Take the oldest batch that is being examined into the database."""
        with self._work():
            examined = self._examiners.take(self.stop)
        known = []
        for e in map(self._unbarred, examined):
            if e is not None and e.outcome in ("unsettled", "unproven"):
                self._waiting.setdefault(e.found.path, _Waiting(e.found, time.monotonic(), e.outcome == "unproven"))
                if e.unprobed is not None:
                    self.session.note_unprobed(e.unprobed)
            elif e is not None:
                known.append(e)
        if any(e.outcome == "vanished" for e in known):
            away = {root.path: [b""] if self._is_away(root) else absent_mounts(self.session.database, root) for root in self.session.roots}
            known = [e for e in known if e.outcome != "vanished" or not any(below(e.found.folder, path) for path in away[e.found.root])]
        self._recording = len(known)
        if known:
            self._tell("recording", known[0].found, len(known))
            with self._work():
                record(self.session.database, known, self.session.matcher, self.session.policy, self.tally, self.tell, self._quiet(known))
            self._recording = 0
            self.progress(self.tally)
        if self._examiners:
            self._tell("reading", *self._examiners.oldest)
        else:
            self.session.database.lock.doing("")

    def _unbarred(self, e: Examined) -> Examined | None:
        """Of a file in a folder that may not be entered nothing is known: None, and the folder's fault says so. What became of it
        is found once that may be entered."""
        if e.outcome != "barred":
            return e
        found = e.found
        barrier = barrier_to(found.root, found.folder)
        if barrier is None:
            try:
                with Beneath() as beneath:
                    beneath.stat(found.root, found.folder, found.name)
            except OSError as error:
                return replace(e, outcome="fault", faults=(unreadable_because(error),))
            return replace(e, outcome="unsettled")  # it may be entered again
        root = next(r for r in self.session.roots if r.id == found.directory)
        if not self._is_away(root) and not self._is_unreadable(root, barrier):
            self.tally.faults += 1
            self._folder_fault(root, barrier, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        return None

    def _quiet(self, examined: Sequence[Examined]) -> set[int]:
        """The crawl directories of a batch that are taken in for the first time: what is there is no news."""
        if self.session.alert_on_import or not self.session.policy.alerting.rules:
            return set()
        directories = {e.found.directory for e in examined}
        return {d for d in directories if d in self._new or store.directories.identity(self.session.database, d) is None}

    @contextmanager
    def _work(self) -> Iterator[None]:
        """Time that is not spent on comparing, with errors that are not those of listing a folder."""
        begun = time.monotonic()
        try:
            with self.session.database.work():
                yield
        finally:
            self._taking_in += time.monotonic() - begun

    def _tell(self, what: str, first: Found, number: int) -> None:
        """Leave word of what is being done, should this process be killed."""
        self.session.database.lock.doing(f"{what} {number} files, {normalise.printable_path(first.path)} the first of them")

    def _settle_waiting(self) -> None:
        """Give unsettled files up to twice `settle_seconds` of waiting, and those that nothing shows to be complete
        `unprobed_settle_seconds` more; those that do not settle are counted, and found again."""
        crawl = self.session.settings.crawl
        waited = 0.0
        while self._waiting and not self.stop.is_set():
            pause = self.settled()
            self._flush()
            unproven = any(w.unproven for w in self._waiting.values())
            patience = 2 * crawl.settle_seconds + unproven * crawl.unprobed_settle_seconds - waited
            if not self._waiting or patience <= 0:
                break
            begun = time.monotonic()
            self.stop.wait(max(0.01, min(pause, patience)))
            waited += time.monotonic() - begun  # what the work takes is no waiting: files may have settled meanwhile
        self.tally.unsettled += len(self._waiting)
        self._waiting.clear()

    def _mark_gone(self, root: Root, begun_as: tuple[int, int] | None, missing: Sequence[int], *, whole: bool = False) -> None:
        """Mark files as gone that were not listed and are not there, unless the whole directory went meanwhile, what was mounted there
        is not now, or something is mounted over them. `whole`: the whole directory was walked."""
        database = self.session.database
        held: set[bytes] = set()
        for start in range(0, len(missing), BATCH_FILES):
            some = store.files.paths(database, missing[start : start + BATCH_FILES])
            with Beneath() as beneath:
                really = {
                    file: f
                    for file, _, f, name, gone in some
                    if not gone and (not self.matches(name) or _stat(beneath, root.path, f, name) is None)
                }
            if begun_as is None or identity(root.path) != begun_as:
                self.away(root)
                return
            absent = absent_mounts(database, root)
            held |= {path for path in absent if any(below(folder, path) for folder in really.values())}
            hidden = store.files.hidden_among(database, really)
            with database.transaction() as transaction:
                gone = (f for f, folder in really.items() if f not in hidden and not any(below(folder, path) for path in absent))
                self.tally.gone += store.files.mark_gone(transaction, gone, times.now())
        if whole:
            self._note_absent_mounts(root, held)

    def _note_absent_mounts(self, root: Root, held: set[bytes]) -> None:
        """Count the mounts as absent that files are missing of. One that nothing is missing of is not expected any more."""
        database = self.session.database
        absent = absent_mounts(database, root)
        self.tally.unmounted += [normalise.printable_path(os.path.join(root.path, path)) for path in absent if path in held]
        over = [path for path in absent if path not in held]
        if over or (held and held - store.directories.absent_mounts(database, root.id).keys()):
            with database.transaction() as transaction:
                store.directories.delete_mounts(transaction, root.id, over)
                store.directories.set_absent(transaction, root.id, held)

    def _folder_fault(self, root: Root, folder: bytes, error: OSError) -> None:
        fault, news = unreadable_because(error), not self._is_unreadable(root, folder)
        with self.session.database.transaction() as transaction:
            store.faults.replace(transaction, [(root.id, folder, normalise.printable_path(folder), (fault,))], times.now())
        if news and self.tell:
            self.tell("fault, unreadable folder", f"fault: {normalise.printable_path(os.path.join(root.path, folder))}: {fault.message}")

    def _is_unreadable(self, root: Root, folder: bytes) -> bool:
        """Whether that is recorded of a folder."""
        place = (root.id, folder)
        return "unreadable" in store.faults.kinds_at(self.session.database, [place]).get(place, ())


def _stat(beneath: Beneath, root: bytes, folder: bytes, name: bytes) -> Stat | None:
    """What a file is like now; None: it is not there, or something else is (a folder, a link). One that may not be asked about is
    left to reading to explain. Raises OSError where this process has no descriptor or memory left to look."""
    try:
        found = beneath.stat(root, folder, name)
    except OSError as error:
        if is_exhausted(error):
            raise
        return Stat(0, 0, 0, 0)
    return signature(found) if found is not None and modes.S_ISREG(found.st_mode) else None


def _device_above(root: Root, folder: bytes) -> int | None:
    """st_dev of the folder that holds one; None for the crawl directory itself, or where it is not there."""
    if not folder:
        return None
    try:
        with Beneath() as beneath:
            return os.fstat(beneath.folder(root.path, folder.rpartition(b"/")[0])).st_dev
    except OSError:
        return None
