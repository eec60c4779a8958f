"""Reconcile: compare the crawl directories with the database and record the differences."""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat as modes
import threading
import time
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import NamedTuple

from more_itertools import chunked

from dedup import store
from dedup.files.descriptors import is_exhausted
from dedup.files.nofollow import NoFollowTree, find_barrier
from dedup.pipeline.batch import BatchListener, CommittedBatch, RecordedFault
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.crawl_directories import (
    CrawlDirectory,
    find_absent_mounts,
    has_recorded_file,
    is_absent,
    is_below,
    mount_points_below,
    read_identity,
    save_identity,
    to_identity,
)
from dedup.pipeline.extract import CrawlFile, Extraction, seconds_since_change, to_file_stamp, unproven_settle_seconds, unreadable_fault
from dedup.pipeline.record import record_extractions
from dedup.pipeline.session import Session
from dedup.pipeline.workers import WorkerPool, count_processors
from dedup.store.rows import ARTICLE, FAULT, GONE, FileStamp, RecordedFile
from dedup.text import sanitise, times

BATCH_FILES = 512
BATCH_BYTES = 8_000_000
CHUNK_ENTRIES = 20_000
"""Entries of a folder to compare at once."""
MAX_WAITING = 20_000
"""Unsettled files to remember before the walk pauses until they are settled."""

_Entry = tuple[bytes, os.DirEntry[str]]
"""(name, entry) of a folder."""
_entry_name = itemgetter(0)


def _new_id_array() -> array[int]:
    return array("q")


@dataclass(slots=True)
class _WaitingFile:
    """A file that is not safe to read yet: its state when it was first seen, and when that was. `is_unproven`: it was read, and nothing
    showed that it was complete."""

    file: CrawlFile
    since_monotonic: float
    is_unproven: bool = False


class _WalkedFolders(NamedTuple):
    """Folders that a walk listed, folders that it could not list (or enter on the way), and mounts below the crawl directory with their
    identity."""

    visited: set[bytes]
    unreadable: list[bytes]
    mounts: dict[bytes, tuple[int, int]]


@dataclass(slots=True)
class Scan:
    """Passes over the crawl directories of a session.

    `stop` ends a pass between batches. `progress` is called after every batch and folder; `report` with (kind, line) for every noteworthy
    event once it is recorded; `on_folder` for every listed folder; `on_absent` for a crawl directory that is absent or was replaced when
    something in it had to be checked, so that its changes are unknown.

    `was_closed` returns whether a writer closed a file (crawl directory, relative path) since its modification time (ns since 1970): False
    if the file was created and not closed, None if that is unknown. `on_committed` receives what each transaction recorded.
    """

    session: Session
    stop: threading.Event = field(default_factory=threading.Event)
    progress: Callable[[ScanCounts], None] = lambda _: None
    report: Callable[[str, str], None] | None = None
    on_folder: Callable[[CrawlDirectory, bytes], None] = lambda _directory, _folder: None
    on_absent: Callable[[CrawlDirectory], None] = lambda _directory: None
    was_closed: Callable[[int, bytes, int], bool | None] = lambda _directory, _path, _modified_ns: None
    on_committed: BatchListener | None = None
    counts: ScanCounts = field(default_factory=ScanCounts)
    _batch: list[CrawlFile] = field(default_factory=list)
    _batch_bytes: int = 0
    _recording_count: int = 0
    _waiting: dict[bytes, _WaitingFile] = field(default_factory=dict)
    _missing_ids: array[int] = field(default_factory=_new_id_array)
    _first_time_ids: set[int] = field(default_factory=set)
    _recording_seconds: float = 0.0
    _name_pattern: re.Pattern[str] = field(init=False)
    _workers: WorkerPool = field(init=False)

    def __post_init__(self) -> None:
        patterns = self.session.settings.crawl.patterns
        self._name_pattern = re.compile("|".join(fnmatch.translate(p) for p in patterns) or "(?!)")
        self._workers = WorkerPool(self.session.options, self.session.settings.crawl.workers or count_processors())

    def run(self) -> ScanCounts:
        """Reconcile all scopes once, waiting for unsettled files; then close this scan."""
        try:
            return self.reconcile(wait_for_unsettled=True)
        finally:
            self.close()

    @property
    def compare_seconds(self) -> float:
        """Return the seconds that a pass took to compare, which the next pass takes as well; recording is not included."""
        return max(0.0, self.counts.seconds - self._recording_seconds)

    def close(self) -> None:
        """End the worker processes."""
        self._workers.close()

    def reconcile(self, *, wait_for_unsettled: bool = False) -> ScanCounts:
        """Walk every crawl directory that is present, record what differs, and mark missing files gone.

        Absent directories and mounts are noted in `counts`; none of their files is marked gone. Unsettled files are waited for if
        `wait_for_unsettled`, else they are remembered for `queue_settled`.
        """
        started = time.monotonic()
        self.reread(self.session.scopes)
        walks: list[tuple[CrawlDirectory, tuple[int, int] | None, array[int]]] = []
        for directory, top in self.session.scopes:
            if is_absent(self.session.database, directory):
                self.counts.absent_directories.append(directory.display_path)
            elif not self.stop.is_set():
                if store.directories.identity(self.session.database, directory.id) is None:
                    self._first_time_ids.add(directory.id)
                identity_before, self._missing_ids = read_identity(directory.path), _new_id_array()
                self._walk(directory, top, identity_before)
                walks.append((directory, identity_before, self._missing_ids))
        self._flush()
        if wait_for_unsettled:
            self.settle()
        for directory, identity_before, missing_ids in walks:
            if not self.stop.is_set():  # files that moved are recorded at their new path by now
                self._mark_gone(directory, identity_before, missing_ids, is_whole=True)
        self.counts.seconds = time.monotonic() - started
        return self.counts

    def reread(self, scopes: Iterable[tuple[CrawlDirectory, bytes]]) -> None:
        """Read queued files again that are still as recorded; those that changed are found by comparing.

        Files of an absent crawl directory stay in the queue. `scopes` are (crawl directory, folder) pairs as in `Session.scopes`.
        """
        database = self.session.database
        if not store.rereads.has_queued(database):
            return
        for directory, top in scopes:
            if is_absent(database, directory):
                continue
            after_id = 0
            with NoFollowTree() as tree:
                while not self.stop.is_set() and (rows := store.rereads.list_queued(database, directory.id, after_id, BATCH_FILES)):
                    for _, folder, name, stamp in rows:
                        if is_below(folder, top) and self.is_included(name) and _read_stamp(tree, directory.path, folder, name) == stamp:
                            self._queue(CrawlFile(directory.id, directory.path, folder, name, stamp, is_reread=True))
                    after_id = rows[-1][0]
        self._flush()

    def estimate_entries(self) -> int:
        """Return about how many directory entries a pass will see, from a quick count of names, for progress estimates."""
        with NoFollowTree() as tree:
            return sum(1 for directory, top in self.session.scopes for _ in tree.walk_files(os.path.join(directory.path, top)))

    def reconcile_folder(self, directory: CrawlDirectory, folder: bytes) -> None:
        """Reconcile one folder (relative to `directory`) and everything below it, whether it still exists or not."""
        if self._is_absent(directory):
            return
        identity_before, self._missing_ids = read_identity(directory.path), _new_id_array()
        self._walk(directory, folder, identity_before)
        self._flush()
        if not self.stop.is_set():
            self._mark_gone(directory, identity_before, self._missing_ids)

    def has_access_changed(self, directory: CrawlDirectory, folder: bytes) -> bool:
        """Return whether a folder is accessible now but recorded as unreadable, or the reverse."""
        is_accessible = os.access(os.path.join(directory.path, folder), os.R_OK | os.X_OK, effective_ids=True)
        return is_accessible == self._is_unreadable(directory, folder)

    def check_paths(self, directory: CrawlDirectory, paths: Iterable[bytes]) -> None:
        """Check single paths (relative to `directory`) as a scan would; unsettled ones are remembered for `queue_settled`."""
        if self._is_absent(directory):
            return
        with NoFollowTree() as tree:
            for relative_path in paths:
                if self.stop.is_set():
                    break
                folder, _, name = relative_path.rpartition(b"/")
                if self.is_included(name):
                    self._check_path(directory, folder, name, tree)
        self._flush()

    def count_waiting(self) -> int:
        """Return how many files are not settled yet."""
        return len(self._waiting)

    def has_settling_files(self) -> bool:
        """Return whether unsettled files may be read soon. Files that wait because nothing shows that they are complete do not count."""
        return any(not w.is_unproven for w in self._waiting.values())

    def backlog(self) -> tuple[int, float | None]:
        """Return (number of files seen but not recorded yet, monotonic time in seconds when the oldest unsettled file was first seen)."""
        oldest = min((w.since_monotonic for w in self._waiting.values()), default=None)
        return len(self._waiting) + len(self._batch) + self._workers.pending_files + self._recording_count, oldest

    def adopt(self, other: Scan) -> None:
        """Take over another scan's unsettled files and its set of first-time directories, which raise no alerts."""
        self._first_time_ids |= other._first_time_ids
        for path, waiting in other._waiting.items():
            self._waiting.setdefault(path, waiting)

    def queue_settled(self) -> float:
        """Queue the waiting files that have settled. Returns the seconds until the next one may settle (at most `settle_seconds`, unless
        that is 0)."""
        with NoFollowTree() as tree:
            return self._queue_settled(tree)

    def _queue_settled(self, tree: NoFollowTree) -> float:
        crawl = self.session.settings.crawl
        next_seconds = crawl.settle_seconds
        for path, waiting in list(self._waiting.items()):
            if self.stop.is_set():
                break
            file = waiting.file
            stamp = _read_stamp(tree, file.directory_path, file.folder, file.name)
            if stamp is None:
                del self._waiting[path]
                self._queue(waiting.file)  # reading it shows that it is gone
                continue
            current = waiting
            if stamp != waiting.file.stamp:
                current = _WaitingFile(replace(waiting.file, stamp=stamp), time.monotonic())
                self._waiting[path] = current
            settle_seconds = crawl.settle_seconds
            if current.is_unproven:
                settle_seconds = max(
                    settle_seconds, unproven_settle_seconds(self._with_writer_state(current.file), crawl.unprobed_settle_seconds)
                )
            remaining_seconds = settle_seconds - max(seconds_since_change(stamp), time.monotonic() - current.since_monotonic)
            if remaining_seconds <= 0:
                del self._waiting[path]
                self._queue(replace(current.file, is_trusted=current.is_unproven))
            else:
                next_seconds = min(next_seconds, remaining_seconds) if next_seconds > 0 else remaining_seconds
        return next_seconds

    def _with_writer_state(self, file: CrawlFile) -> CrawlFile:
        """Return the file with the state of its writer, as far as events show it."""
        was_closed = self.was_closed(file.directory_id, file.relative_path, file.stamp.mtime_ns)
        # A complete file that was linked or moved here was not closed here either; its ctime is later than its mtime.
        is_open = was_closed is False and file.stamp.mtime_ns == file.stamp.ctime_ns
        return replace(file, is_trusted=file.is_trusted or was_closed is True, is_open=is_open)

    def flush(self) -> None:
        """Record everything that is queued, unless `stop` is set."""
        self._flush()
        if not self._waiting:
            self._first_time_ids.clear()  # every file of the first pass is recorded

    # The walk

    def _walk(self, directory: CrawlDirectory, top: bytes, identity_before: tuple[int, int] | None) -> None:
        """Compare a folder and everything below it with the database; ids of recorded files that are missing go to `_missing_ids`."""
        database = self.session.database
        first_new_id = database.next_id("files")
        walked = self._compare_folders(directory, top)
        self._flush()
        if self.stop.is_set():
            return
        self._exclude_foreign_mounts(directory, walked.mounts, first_new_id)
        self._save_mounts(directory, walked.mounts, walked.visited)
        for folder in store.files.folders(database, directory.id, top):
            if folder not in walked.visited and not any(is_below(folder, path) for path in walked.unreadable):
                self._missing_ids.extend(file for file, _ in store.files.present_in_folder(database, directory.id, folder))
        self._delete_recovered_faults(directory, top, walked.unreadable)
        if not top and read_identity(directory.path) == identity_before:
            save_identity(database, directory)

    def _compare_folders(self, directory: CrawlDirectory, top: bytes) -> _WalkedFolders:
        walked = _WalkedFolders(set(), [], {})
        mount_points = mount_points_below(directory.path)
        folders: list[tuple[bytes, int | None, int | None]] = [(top, _parent_device(directory, top), None)]
        while folders and not self.stop.is_set():
            folder, parent_device, entry_inode = folders.pop()
            subfolders: dict[bytes, int] = {}
            try:
                stat = self._compare_folder(directory, folder, subfolders)
            except (FileNotFoundError, NotADirectoryError):
                continue  # it disappeared during the walk, or is a link now; its files are found missing
            except OSError as error:
                barrier = find_barrier(directory.path, folder) or folder
                walked.unreadable.append(barrier)
                self.counts.faults += 1
                self._record_folder_fault(directory, barrier, error)
                continue
            walked.visited.add(folder)
            self.on_folder(directory, folder)
            # The directory entry has the inode below the mount. A mount that shows a directory in its own place does not count.
            if folder and (stat.st_dev != parent_device or (folder in mount_points and entry_inode not in (None, stat.st_ino))):
                walked.mounts[folder] = to_identity(stat)
            folders.extend((os.path.join(folder, name), stat.st_dev, subfolders[name]) for name in sorted(subfolders, reverse=True))
        return walked

    def _delete_recovered_faults(self, directory: CrawlDirectory, top: bytes, unreadable_folders: Collection[bytes]) -> None:
        """Delete the faults of folders below `top` that are readable again or no longer exist."""
        database = self.session.database
        recovered_folders = [
            folder
            for folder in store.faults.folders_with_faults(database, directory.id)
            if is_below(folder, top) and folder not in unreadable_folders
        ]
        if recovered_folders:
            with database.transaction() as transaction:
                store.faults.replace(transaction, [(directory.id, folder, "", ()) for folder in recovered_folders], times.now())

    def _exclude_foreign_mounts(self, directory: CrawlDirectory, current_mounts: dict[bytes, tuple[int, int]], first_new_id: int) -> None:
        """Remove from `current_mounts` volumes that replaced a recorded one and have none of its files: the recorded one is absent.

        `first_new_id` is the id of the next new file when the walk began.
        """
        database = self.session.database
        recorded_mounts = store.directories.mounts(database, directory.id)
        replaced_mounts = [path for path, identity in current_mounts.items() if recorded_mounts.get(path, identity) != identity]
        absent_from_ids = store.directories.absent_mounts(database, directory.id)
        foreign_mounts = [
            path for path in replaced_mounts if not has_recorded_file(database, directory, path, absent_from_ids.get(path, first_new_id))
        ]
        for path in foreign_mounts:
            del current_mounts[path]
        if set(foreign_mounts) - absent_from_ids.keys():
            with database.transaction() as transaction:
                store.directories.set_mounts_absent(transaction, directory.id, foreign_mounts, first_new_id)

    def _save_mounts(self, directory: CrawlDirectory, current_mounts: dict[bytes, tuple[int, int]], visited_folders: set[bytes]) -> None:
        """Record the mounts below a crawl directory. Files recorded there before that are missing now are hidden by the mount."""
        if not current_mounts:
            return
        database = self.session.database
        recorded_mounts, absent_from_ids = (
            store.directories.mounts(database, directory.id),
            store.directories.absent_mounts(database, directory.id),
        )
        new_mounts = {path: i for path, i in current_mounts.items() if recorded_mounts.get(path) != i or path in absent_from_ids}
        if not new_mounts:
            return
        # When a mount comes back, it hides files that were recorded while it was absent; its other missing files are gone.
        first_hidden_ids = {
            path: absent_from_ids.get(path, 0) for path in new_mounts if path not in recorded_mounts or path in absent_from_ids
        }
        hidden_ids: list[int] = []
        if first_hidden_ids:
            missing_ids = set(self._missing_ids)
            for folder in store.files.folders(database, directory.id, b""):
                first_ids = [file_id for path, file_id in first_hidden_ids.items() if is_below(folder, path)]
                if first_ids:
                    files = (file for file, _ in store.files.present_in_folder(database, directory.id, folder) if file >= min(first_ids))
                    hidden_ids += [file for file in files if file in missing_ids or folder not in visited_folders]
        with database.transaction() as transaction:
            store.directories.set_mounts(transaction, directory.id, new_mounts)
            store.files.hide(transaction, hidden_ids)

    def _compare_folder(self, directory: CrawlDirectory, folder: bytes, subfolders: dict[bytes, int]) -> os.stat_result:
        """Compare one folder with its recorded files; returns its stat result and adds its subfolders to `subfolders` (name → inode of the
        entry).

        Ignored entries are counted; links are not followed. At most CHUNK_ENTRIES entries are in memory at once.
        """
        database = self.session.database
        with NoFollowTree() as tree, tree.list_folder(directory.path, folder) as entries:
            stat = os.fstat(tree.open_folder(directory.path, folder))
            chunk, has_more = self._list_entries(entries, subfolders)
            if not has_more:
                rows_by_name = store.files.recorded_in_folder(database, directory.id, folder)
                self._compare_entries(directory, folder, chunk, rows_by_name)
                self._missing_ids.extend(row[1] for row in rows_by_name.values() if row[6] != GONE)
                return stat
            seen_bits = bytearray(database.next_id("files") // 8 + 1)  # one bit per file id
            while chunk and not self.stop.is_set():
                rows_by_name = store.files.recorded_by_name(database, directory.id, folder, (name for name, _ in chunk))
                for row in rows_by_name.values():
                    if row[1] // 8 < len(seen_bits):
                        seen_bits[row[1] // 8] |= 1 << row[1] % 8
                self._compare_entries(directory, folder, chunk, rows_by_name)
                chunk, has_more = self._list_entries(entries, subfolders)
        if not self.stop.is_set():
            for file_id, _ in store.files.present_in_folder(database, directory.id, folder):
                if file_id // 8 < len(seen_bits) and not seen_bits[file_id // 8] >> file_id % 8 & 1:
                    self._missing_ids.append(file_id)
        return stat

    def _list_entries(self, entries: Iterator[os.DirEntry[str]], subfolders: dict[bytes, int]) -> tuple[list[_Entry], bool]:
        """Return the next entries of a folder that may be articles, sorted by name, and whether there may be more; adds to `subfolders`."""
        ignored = self.counts.ignored
        chunk: list[_Entry] = []
        match_name, encode = self._name_pattern.match, os.fsencode
        for entry in entries:
            if entry.is_file(follow_symlinks=False):
                if match_name(entry.name):
                    chunk.append((encode(entry.name), entry))
                    if len(chunk) >= CHUNK_ENTRIES:
                        break
                else:
                    ignored["pattern"] += 1
            elif entry.is_symlink():
                ignored["symlink"] += 1
            elif entry.is_dir(follow_symlinks=False):
                subfolders[encode(entry.name)] = entry.inode()
            else:
                ignored["special"] += 1
        chunk.sort(key=_entry_name)
        return chunk, len(chunk) >= CHUNK_ENTRIES

    def _compare_entries(
        self, directory: CrawlDirectory, folder: bytes, entries: list[_Entry], rows_by_name: dict[bytes, RecordedFile]
    ) -> None:
        """Count the files that are as recorded and queue the others; removes the entries' rows from `rows_by_name`."""
        pop_row = rows_by_name.pop
        article_count = fault_count = 0
        max_bytes = self.session.settings.crawl.max_file_bytes
        is_stopped = self.stop.is_set
        for name, entry in entries:
            if is_stopped():
                break
            row = pop_row(name, None)
            try:
                stat = entry.stat(follow_symlinks=False)
            except OSError as error:
                if error.errno == errno.EACCES and not os.access(os.path.join(directory.path, folder), os.X_OK, effective_ids=True):
                    raise  # the folder can be listed but not entered: that is one fault
                with NoFollowTree() as tree:
                    self._check_path(directory, folder, name, tree)
                continue
            if row is not None and (
                (stat.st_mtime_ns == row[3] and stat.st_size == row[2] and stat.st_ctime_ns == row[5] and stat.st_ino == row[4])
                or to_file_stamp(stat) == FileStamp(row[2], row[3], row[4], row[5])  # numbers beyond 64 bits are stored differently
            ):
                if row[6] == ARTICLE and row[2] <= max_bytes:
                    article_count += 1
                    continue
                if row[6] == FAULT:
                    fault_count += 1
                    continue
            self._queue_or_wait(CrawlFile(directory.id, directory.path, folder, name, to_file_stamp(stat)))
        self.counts.unchanged += article_count
        self.counts.faults += fault_count
        self.progress(self.counts)

    def is_included(self, name: bytes) -> bool:
        """Return whether a file name matches the configured patterns."""
        return self._name_pattern.match(os.fsdecode(name)) is not None

    def _check_path(self, directory: CrawlDirectory, folder: bytes, name: bytes, tree: NoFollowTree) -> None:
        """Compare one path with its row, and queue the file if it differs."""
        path = (directory.id, folder, name)
        row = store.files.find_by_path(self.session.database, [path]).get(path)
        file = CrawlFile(directory.id, directory.path, folder, name, row.stamp if row else FileStamp(0, 0, 0, 0))
        stamp = _read_stamp(tree, directory.path, folder, name)
        if stamp is None:
            if row:
                self._queue(file)
        elif row and row.stamp == stamp and not row.is_gone and row.content_digest is not None:
            if row.is_article:
                self.counts.unchanged += 1
            else:
                self.counts.faults += 1
        else:
            self._queue_or_wait(replace(file, stamp=stamp))

    def _queue_or_wait(self, file: CrawlFile) -> None:
        """Queue a file that is not as recorded if it has settled, else remember it as waiting."""
        if self._seconds_to_settle(file.stamp) > 0:
            self._waiting.setdefault(file.path, _WaitingFile(file, time.monotonic()))
            if len(self._waiting) >= MAX_WAITING:
                self._flush()
                self.settle()
            return
        self._queue(file)

    def _is_absent(self, directory: CrawlDirectory) -> bool:
        absent = is_absent(self.session.database, directory)
        if absent:
            self.on_absent(directory)
        return absent

    def _seconds_to_settle(self, stamp: FileStamp) -> float:
        """Return the seconds until the file has been unchanged for `settle_seconds` by its own time stamps; ≤ 0 if it has."""
        return self.session.settings.crawl.settle_seconds - seconds_since_change(stamp)

    def _queue(self, file: CrawlFile) -> None:
        if self._waiting:
            self._waiting.pop(file.path, None)
        self._batch.append(self._with_writer_state(file))
        self._batch_bytes += file.stamp.size
        if len(self._batch) >= BATCH_FILES or self._batch_bytes >= BATCH_BYTES:
            self._submit_batch()
            while self._workers.is_full and not self.stop.is_set():
                self._record_oldest()

    def _submit_batch(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            self._set_activity("reading", batch[0], len(batch))
            with self._measure_work():
                self._workers.submit(batch)

    def _flush(self) -> None:
        """Record everything that is queued. If `stop` is set, discard the queue instead; a later scan finds those files."""
        if not self.stop.is_set():
            self._submit_batch()
        while len(self._workers):
            if self.stop.is_set():
                self._workers.discard_pending()
                self.session.database.lock.set_activity("")
                return
            self._record_oldest()

    def _record_oldest(self) -> None:
        """Take the oldest submitted batch from the workers and record it."""
        with self._measure_work():
            extractions = self._workers.take_oldest(self.stop)
        recordable = self._exclude_absent(self._select_recordable(extractions))
        self._recording_count = len(recordable)
        if recordable:
            self._record_batch(recordable)
            self._recording_count = 0
            self.progress(self.counts)
        if self._workers:
            self._set_activity("reading", *self._workers.oldest_batch)
        else:
            self.session.database.lock.set_activity("")

    def _select_recordable(self, extractions: Iterable[Extraction]) -> list[Extraction]:
        """Return the extractions to record; unsettled files are remembered as waiting."""
        recordable = []
        for extraction in map(self._resolve_barred, extractions):
            if extraction is not None and extraction.outcome in ("unsettled", "unproven"):
                self._waiting.setdefault(
                    extraction.file.path, _WaitingFile(extraction.file, time.monotonic(), extraction.outcome == "unproven")
                )
                if extraction.unprobed_owner is not None:
                    self.session.warn_unprobed(extraction.unprobed_owner)
            elif extraction is not None:
                recordable.append(extraction)
        return recordable

    def _exclude_absent(self, extractions: list[Extraction]) -> list[Extraction]:
        """Leave out files that vanished together with their crawl directory or mount."""
        if not any(extraction.outcome == "vanished" for extraction in extractions):
            return extractions
        absent_paths = {
            directory.path: [b""] if self._is_absent(directory) else find_absent_mounts(self.session.database, directory)
            for directory in self.session.directories
        }
        return [
            extraction
            for extraction in extractions
            if extraction.outcome != "vanished"
            or not any(is_below(extraction.file.folder, path) for path in absent_paths[extraction.file.directory_path])
        ]

    def _record_batch(self, extractions: Sequence[Extraction]) -> None:
        self._set_activity("recording", extractions[0].file, len(extractions))
        with self._measure_work():
            record_extractions(
                self.session.database,
                extractions,
                self.session.matcher,
                self.session.policy,
                self.counts,
                self.report,
                self._suppressed_directories(extractions),
                self.on_committed,
            )

    def _resolve_barred(self, extraction: Extraction) -> Extraction | None:
        """Return the extraction to record for a file whose folder could not be entered.

        While it cannot be entered, nothing is known about the file: the folder gets a fault, and None is returned. Other extractions are
        returned unchanged.
        """
        if extraction.outcome != "inaccessible":
            return extraction
        file = extraction.file
        barrier = find_barrier(file.directory_path, file.folder)
        if barrier is None:
            try:
                with NoFollowTree() as tree:
                    tree.stat_path(file.directory_path, file.folder, file.name)
            except OSError as error:
                return replace(extraction, outcome="fault", faults=(unreadable_fault(error),))
            return replace(extraction, outcome="unsettled")  # the folder can be entered again
        directory = next(r for r in self.session.directories if r.id == file.directory_id)
        if not self._is_absent(directory) and not self._is_unreadable(directory, barrier):
            self.counts.faults += 1
            self._record_folder_fault(directory, barrier, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))
        return None

    def _suppressed_directories(self, extractions: Sequence[Extraction]) -> set[int]:
        """Return the crawl directories of a batch that are scanned for the first time: their files raise no alerts."""
        if self.session.alert_on_import or not self.session.policy.alerting.rules:
            return set()
        directory_ids = {e.file.directory_id for e in extractions}
        return {d for d in directory_ids if d in self._first_time_ids or store.directories.identity(self.session.database, d) is None}

    @contextmanager
    def _measure_work(self) -> Iterator[None]:
        """Measure time that is not spent on comparing, and translate errors of the database."""
        started = time.monotonic()
        try:
            with self.session.database.translate_errors():
                yield
        finally:
            self._recording_seconds += time.monotonic() - started

    def _set_activity(self, activity: str, first_file: CrawlFile, count: int) -> None:
        """Record the current activity in the lock file, for the case that this process is killed."""
        self.session.database.lock.set_activity(f"{activity} {count} files, starting with {sanitise.to_printable_path(first_file.path)}")

    def settle(self) -> None:
        """Wait for unsettled files, and record those that settle.

        Waits up to twice `settle_seconds`, and `unprobed_settle_seconds` more if nothing shows that one of them is complete.
        Files that do not settle are counted as unsettled; the next scan finds them.
        """
        crawl = self.session.settings.crawl
        waited_seconds = 0.0
        while self._waiting and not self.stop.is_set():
            pause_seconds = self.queue_settled()
            self._flush()
            has_unproven = any(w.is_unproven for w in self._waiting.values())
            patience_seconds = 2 * crawl.settle_seconds + has_unproven * crawl.unprobed_settle_seconds - waited_seconds
            if not self._waiting or patience_seconds <= 0:
                break
            started = time.monotonic()
            self.stop.wait(max(0.01, min(pause_seconds, patience_seconds)))
            waited_seconds += time.monotonic() - started  # recording is not waiting: files may have settled in the meantime
        self.counts.unsettled += len(self._waiting)
        self._waiting.clear()

    def _mark_gone(
        self, directory: CrawlDirectory, identity_before: tuple[int, int] | None, missing_ids: Sequence[int], *, is_whole: bool = False
    ) -> None:
        """Mark missing files gone that do not exist. `is_whole`: the whole directory was walked.

        Nothing is marked if the directory was replaced in the meantime, nor below an absent mount, nor files hidden by a mount.
        """
        database = self.session.database
        mounts_with_missing: set[bytes] = set()
        for batch in chunked(missing_ids, BATCH_FILES):
            rows = store.files.locations(database, batch)
            with NoFollowTree() as tree:
                folders_by_file = {
                    file_id: folder
                    for file_id, _, folder, name, is_gone in rows
                    if not is_gone and (not self.is_included(name) or _read_stamp(tree, directory.path, folder, name) is None)
                }
            if identity_before is None or read_identity(directory.path) != identity_before:
                self.on_absent(directory)
                return
            absent_mounts = find_absent_mounts(database, directory)
            mounts_with_missing |= {path for path in absent_mounts if any(is_below(folder, path) for folder in folders_by_file.values())}
            hidden_ids = store.files.hidden_among(database, folders_by_file)
            with database.transaction() as transaction:
                gone_ids = (
                    file_id
                    for file_id, folder in folders_by_file.items()
                    if file_id not in hidden_ids and not any(is_below(folder, path) for path in absent_mounts)
                )
                gone_count = store.files.mark_gone(transaction, gone_ids, times.now())
            self.counts.gone += gone_count
            if gone_count and self.on_committed is not None:
                self.on_committed(CommittedBatch(ScanCounts(gone=gone_count)))
        if is_whole:
            self._save_absent_mounts(directory, mounts_with_missing)

    def _save_absent_mounts(self, directory: CrawlDirectory, mounts_with_missing: set[bytes]) -> None:
        """Record the absent mounts that have missing files. An absent mount without missing files is no longer expected."""
        database = self.session.database
        absent_mounts = find_absent_mounts(database, directory)
        self.counts.absent_mounts += [
            sanitise.to_printable_path(os.path.join(directory.path, path)) for path in absent_mounts if path in mounts_with_missing
        ]
        expired_mounts = [path for path in absent_mounts if path not in mounts_with_missing]
        if expired_mounts or (mounts_with_missing and mounts_with_missing - store.directories.absent_mounts(database, directory.id).keys()):
            with database.transaction() as transaction:
                store.directories.delete_mounts(transaction, directory.id, expired_mounts)
                store.directories.set_mounts_absent(transaction, directory.id, mounts_with_missing)

    def _record_folder_fault(self, directory: CrawlDirectory, folder: bytes, error: OSError) -> None:
        fault, is_new = unreadable_fault(error), not self._is_unreadable(directory, folder)
        with self.session.database.transaction() as transaction:
            store.faults.replace(transaction, [(directory.id, folder, sanitise.to_printable_path(folder), (fault,))], times.now())
        path = sanitise.to_printable_path(os.path.join(directory.path, folder))
        if is_new and self.report:
            self.report("fault, unreadable folder", f"fault: {path}: {fault.message}")
        if is_new and self.on_committed is not None:
            self.on_committed(CommittedBatch(ScanCounts(faults=1), faults=[RecordedFault(path, fault)]))

    def _is_unreadable(self, directory: CrawlDirectory, folder: bytes) -> bool:
        """Return whether a folder is recorded as unreadable."""
        location = (directory.id, folder)
        return "unreadable" in store.faults.kinds_at(self.session.database, [location]).get(location, ())


def _read_stamp(tree: NoFollowTree, directory_path: bytes, folder: bytes, name: bytes) -> FileStamp | None:
    """Return the current stamp of a file; None if there is no regular file at the path.

    A file whose stat is refused gets a stamp of zeros, so that it is read and its fault explained. Raises OSError if this process is out
    of descriptors or memory.
    """
    try:
        stat = tree.stat_path(directory_path, folder, name)
    except OSError as error:
        if is_exhausted(error):
            raise
        return FileStamp(0, 0, 0, 0)
    return to_file_stamp(stat) if stat is not None and modes.S_ISREG(stat.st_mode) else None


def _parent_device(directory: CrawlDirectory, folder: bytes) -> int | None:
    """Return st_dev of a folder's parent; None for the crawl directory itself, or if the parent cannot be opened."""
    if not folder:
        return None
    try:
        with NoFollowTree() as tree:
            return os.fstat(tree.open_folder(directory.path, folder.rpartition(b"/")[0])).st_dev
    except OSError:
        return None
