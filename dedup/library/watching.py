"""Follow crawl directories, and hand out what is recorded."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from types import TracebackType
from typing import Self

from dedup import store
from dedup.config import Settings
from dedup.daemon import loop
from dedup.errors import ShutdownRequested
from dedup.files import descriptors
from dedup.library.batches import RecordedFault, RecordedFile, WatchBatch
from dedup.library.changes import Change
from dedup.library.parameters import require_main_thread
from dedup.library.settings import SettingsSource, StrPath, resolve_settings
from dedup.model import RELATIONS
from dedup.pipeline.batch import CommittedBatch
from dedup.pipeline.session import Session
from dedup.reports.changes import change_as_json
from dedup.runtime import process
from dedup.store import Database

MAX_WAITING_BATCHES = 16
"""The number of batches that may wait to be taken. While that many wait, nothing more is recorded."""


def watch(
    settings: SettingsSource = None,
    *,
    directories: Iterable[StrPath] = (),
    database: StrPath | None = None,
    alert_on_import: bool = False,
    prepare_process: bool = False,
) -> Watch:
    """Follow the crawl directories as `dedup watch` does, and yield what each transaction records. Returns an iterator of WatchBatch.

        with dedup.watch("config.toml") as batches:
            for batch in batches:
                print(len(batch.new), "new files")

    The first batches come from a scan of everything; then file system events and a timer start scans. The parameters are those of `scan`.
    Alerts are sent, and metrics are served, as configured; the dashboard is not served, and systemd is not notified.

    The work is done in a thread. When 16 batches wait to be taken, it pauses: nothing is recorded or sent until one is taken. The iterator
    ends when `stop` or `close` is called.

    With `prepare_process` the process may open more files, watch folders that are nested more deeply, and collects garbage less often, for
    the rest of its life; only the main thread can do that.

    Raises the errors of `scan` when it is called. Errors that end the work later are raised by the iterator. A full disk and the like do
    not end it: the work is retried, and the problem is logged.
    """
    paths = tuple(os.fspath(path) for path in directories)
    resolved = resolve_settings(settings, directories=paths, database=database)
    if prepare_process:
        require_main_thread("prepare_process")
        descriptors.raise_open_file_limit()
        process.prepare_for_scanning()
        process.prepare_for_watching()
    return Watch(resolved, alert_on_import=alert_on_import)


class Watch:
    """An iterator over what is recorded, made by `watch`. Close it, or use it as a context manager, to stop the work.

    `close` waits until the batch in progress is recorded and the database is closed.
    """

    def __init__(self, settings: Settings, *, alert_on_import: bool) -> None:
        self._settings, self._alert_on_import = settings, alert_on_import
        self._stop = threading.Event()
        self._condition = threading.Condition()
        self._batches: deque[WatchBatch] = deque()
        self._is_open = self._has_ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="dedup-watch", daemon=True)
        self._thread.start()
        try:
            with self._condition:
                self._condition.wait_for(lambda: self._is_open or self._has_ended)
        except BaseException:  # Ctrl-C
            self.stop()
            raise
        if not self._is_open:
            self._raise_error()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> WatchBatch:
        """Wait for the next batch and return it. Raises the error that ended the work."""
        with self._condition:
            self._condition.wait_for(lambda: self._batches or self._has_ended or self._stop.is_set())
            if self._batches and not self._stop.is_set():
                self._condition.notify_all()
                return self._batches.popleft()
        self._raise_error()
        raise StopIteration

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def stop(self) -> None:
        """End the iterator, and the work soon. Does not wait; any thread may call it. Batches that wait are dropped; they are recorded."""
        with self._condition:
            self._stop.set()
            self._condition.notify_all()

    def close(self) -> None:
        """Stop, and wait for the end. Closing again does nothing."""
        self.stop()
        self._thread.join()

    def _raise_error(self) -> None:
        """Raise the error that ended the work, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    # In the thread

    def _run(self) -> None:
        try:
            loop.run_until_stopped(
                self._settings,
                self._stop,
                alert_on_import=self._alert_on_import,
                enter_session=self._enter_session,
                on_committed=self._hand_over,
                notify=lambda _: None,  # the socket of systemd belongs to the program that imports this
            )
        except ShutdownRequested:
            pass  # `stop` interrupted the work
        except BaseException as error:
            self._error = error
        finally:
            with self._condition:
                self._has_ended = True
                self._condition.notify_all()

    @contextmanager
    def _enter_session(self, session: Session) -> Iterator[None]:
        self._database: Database = session.database
        with self._condition:
            self._is_open = True
            self._condition.notify_all()
        yield

    def _hand_over(self, committed: CommittedBatch) -> None:
        """Queue a batch, unless it is empty. Waits while too many are queued."""
        counts = committed.counts
        if not (committed.files or committed.faults or committed.changed_sightings or counts.gone):
            return
        batch = WatchBatch(
            files=tuple(RecordedFile.from_dict(asdict(file)) for file in committed.files),
            faults=tuple(RecordedFault(recorded.path, recorded.fault.kind, recorded.fault.message) for recorded in committed.faults),
            changes=tuple(
                Change.from_dict(change_as_json(change))
                for change in store.changes.list_by_sightings(self._database, committed.changed_sightings)
            ),
            gone=counts.gone,
            sightings=counts.sightings,
            revisions=counts.revisions,
            matches={relation: counts.matches[relation] for relation in RELATIONS},
        )
        with self._condition:
            self._condition.wait_for(lambda: len(self._batches) < MAX_WAITING_BATCHES or self._stop.is_set())
            if not self._stop.is_set():
                self._batches.append(batch)
                self._condition.notify_all()
