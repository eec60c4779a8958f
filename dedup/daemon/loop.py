"""The loop of `dedup watch`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from dedup.config import Settings
from dedup.daemon import health_file
from dedup.daemon.alert_pump import AlertPump
from dedup.daemon.background import BackgroundWorker
from dedup.daemon.backoff import Backoff
from dedup.daemon.health_file import DegradationReason
from dedup.daemon.health_reporter import HealthReporter
from dedup.daemon.scan_timer import ScanTimer
from dedup.daemon.systemd import Notify, notify_systemd
from dedup.daemon.watch import PendingPaths, Watcher
from dedup.daemon.watch.change_queue import topmost_folders
from dedup.errors import DatabaseFailedError, DatabaseUnreadableError, DedupError, ShutdownRequested, WalLostError
from dedup.pipeline.batch import BatchListener
from dedup.pipeline.counts import ScanCounts, save_last_scan
from dedup.pipeline.crawl_directories import CrawlDirectory, find_absent_mounts, is_absent
from dedup.pipeline.isolation import log_error_once, summarise_error
from dedup.pipeline.scanner import Scan
from dedup.pipeline.session import Session, open_session
from dedup.runtime import heartbeat
from dedup.store.database_files import are_open

TICK_SECONDS = 1.0
"""Seconds between checks of the observer, and longest pause between rounds."""
MIN_PAUSE_SECONDS = 0.02
"""Shortest pause between rounds."""
RETRY_SECONDS = (2.0, 60.0)
"""Seconds before failed work is retried: at first, and at most."""

_log = logging.getLogger("dedup")


@dataclass(frozen=True, slots=True)
class _FullScan:
    """Scan all crawl directories."""

    reason: str


@dataclass(frozen=True, slots=True)
class _FollowChanges:
    """Check the paths that events named."""

    pending: PendingPaths


_STARTING = _FullScan("starting")
_TIMER = _FullScan("timer")


def run(session: Session, stop: threading.Event, on_committed: BatchListener | None = None, notify: Notify = notify_systemd) -> None:
    """Watch the crawl directories until `stop` is set. Work that was begun is finished first.

    `on_committed` receives what each transaction recorded; nothing else is recorded until it returns. `notify` sends states to the
    service manager.

    Scans everything at first, then when the timer is due and when events cannot be trusted. Work that fails because of the database or of
    the program itself is reported and retried until it succeeds. Raises WalLostError if the database must be opened again.
    """
    watcher = Watcher(session.directories)
    watcher.start()  # before the first scan, so that no change falls between the two
    try:
        _Loop(session, stop, watcher, on_committed, notify).run()
    finally:
        watcher.close()


def run_until_stopped(
    settings: Settings,
    stop: threading.Event,
    *,
    alert_on_import: bool = False,
    configured_directories: Sequence[str] | None = None,
    enter_session: Callable[[Session], AbstractContextManager[None]] = lambda _: nullcontext(),
    on_committed: BatchListener | None = None,
    notify: Notify = notify_systemd,
) -> None:
    """Open the database and watch until `stop` is set. If the database's write-ahead log is lost, open it again.

    `enter_session` receives each session and returns the context in which to watch. `configured_directories` are as for `open_session`,
    which raises the errors of opening.
    """
    while not stop.is_set():
        try:
            with (
                open_session(settings, "watch", alert_on_import=alert_on_import, configured_directories=configured_directories) as session,
                enter_session(session),
            ):
                run(session, stop, on_committed, notify)
        except WalLostError as error:
            _log.warning("%s", error)
            if are_open(settings.database.path):  # by a thread that hangs: a second connection would use the old files
                raise
            _log.info("reopening the database")


class _Loop:
    """Runs rounds. A round checks the watcher, performs one action (scan everything, or follow changes), records files that have settled,
    sends alerts, and does background work if nothing else waits.

    The loop begins with a full scan, retried until it succeeds; then it is serving. After a failure it pauses, then scans everything."""

    def __init__(
        self, session: Session, stop: threading.Event, watcher: Watcher, on_committed: BatchListener | None, notify: Notify
    ) -> None:
        self._session, self._stop, self._watcher = session, stop, watcher
        self._on_committed, self._notify = on_committed, notify
        self._directories = {directory.id: directory for directory in session.directories}
        self._absent_directories: set[CrawlDirectory] = set()
        self._absent_mounts: dict[int, list[bytes]] = {}
        self._live_scan = self._new_scan(_log_event)
        self._report_path = health_file.report_path(session.settings.database.path)
        self._health_reporter = HealthReporter(
            self._report_path, session.database.lock, watcher, self._live_scan, session.unprobed_owners, notify
        )
        self._alert_pump = AlertPump(session.settings, session.database, session.policy, self._health_reporter)
        self._background = BackgroundWorker(session, self._is_busy, stop.is_set, self._report_derived_problem)
        self._scan_timer = ScanTimer(session.settings.crawl.scan_interval_seconds)
        self._backoff = Backoff(*RETRY_SECONDS)
        self._is_serving = False
        self._next_check = 0.0

    def run(self) -> None:
        """Run rounds until stopped."""
        self._health_reporter.write_report()  # before the path is published: a report of an earlier daemon may be there
        self._session.database.lock.set_health_path(self._report_path)
        self._session.database.is_shutting_down = self._stop.is_set
        stop_metrics = self._serve_metrics()
        self._session.matcher.progress = self._on_index_progress
        is_stopping = True
        try:
            while not self._stop.is_set():
                with heartbeat.listen_to_beats(self._health_reporter.beat):
                    pause = self._run_round()
                self._health_reporter.beat()
                if not self._stop.is_set():
                    self._wait(pause)
        except WalLostError:
            is_stopping = False  # the caller opens the database again
            raise
        finally:
            if is_stopping:
                self._notify("STOPPING=1")
            self._live_scan.close()
            self._alert_pump.finish()
            self._background.close()
            stop_metrics()
        health_file.remove_report(self._report_path)

    def _serve_metrics(self) -> Callable[[], None]:
        """Serve metrics if configured. Returns the function that stops it."""
        settings = self._session.settings
        if not settings.metrics.listen:
            return lambda: None
        from dedup.daemon import metrics

        stop_metrics = metrics.serve_metrics(settings.metrics.listen, lambda: self._health_reporter.last_report, settings.database.path)
        _log.info("metrics on http://%s/metrics", settings.metrics.listen)
        return stop_metrics

    # A round

    def _wait(self, pause: float) -> None:
        """Wait for `pause` seconds, less if an event arrives or a scan is due."""
        scan_delay = max(self._next_scan_time(), self._backoff.retry_at) - time.monotonic()
        self._watcher.change_queue.wakeup.wait(max(MIN_PAUSE_SECONDS, min(pause, scan_delay, TICK_SECONDS)))

    def _run_round(self) -> float:
        """Run one round. Returns the seconds until the next one is due; events may make it earlier."""
        now = time.monotonic()
        if now >= self._next_check or self._watcher.has_trouble:
            self._watcher.check()
            self._next_check = now + TICK_SECONDS
        if self._backoff.is_waiting():
            self._watcher.change_queue.wakeup.clear()  # otherwise queued events end every pause at once
            return TICK_SECONDS
        try:
            with self._session.database.translate_errors():
                pause = self._work(now)
        except ShutdownRequested:
            return TICK_SECONDS
        except (DatabaseFailedError, DatabaseUnreadableError) as error:
            self._handle_failure("database", str(error))
            return TICK_SECONDS
        except DedupError:
            raise
        except Exception as error:
            activity = self._session.database.lock.activity or "idle"
            log_error_once(error, activity)
            self._handle_failure("internal", f"{summarise_error(error)}, while {activity}.")
            return TICK_SECONDS
        if not self._stop.is_set():  # a stopped round may not even have tried the work that failed
            self._handle_success()
        return pause

    def _work(self, now: float) -> float:
        """Do the work of one round. Returns the seconds until the next one."""
        self._session.database.require_files_unchanged()
        self._perform(self._choose_action(now))
        settle_pause = self._record_settled()
        self._alert_pump.run_once()
        if self._is_serving and self._background.run_slice():
            return 0.0
        return settle_pause if self._live_scan.count_waiting() else TICK_SECONDS

    def _choose_action(self, now: float) -> _FullScan | _FollowChanges:
        if not self._is_serving:
            return _STARTING
        self._request_scan_after_mounting()
        pending = self._watcher.change_queue.take_all()
        if pending.full_scan_reason:
            return _FullScan(pending.full_scan_reason)
        return _TIMER if now >= self._next_scan_time() else _FollowChanges(pending)

    def _perform(self, action: _FullScan | _FollowChanges) -> None:
        if isinstance(action, _FollowChanges):
            self._follow_changes(action.pending)
            return
        self._run_full_scan(action)
        if action is _STARTING:
            self._begin_serving()

    def _begin_serving(self) -> None:
        self._session.matcher.open_candidate_index()  # now, not when the first article arrives
        if not self._stop.is_set():
            self._is_serving = True
            self._health_reporter.set_phase("watching")
            self._notify("READY=1")
            _log.info("watching %s", ", ".join(directory.display_path for directory in self._session.directories))

    def _record_settled(self) -> float:
        """Record files that have settled. Returns the seconds until others may have."""
        pause = self._live_scan.queue_settled()
        self._live_scan.flush()
        if not self._live_scan.count_waiting():
            self._live_scan.close()
        return pause

    def _is_busy(self) -> bool:
        return self._stop.is_set() or self._watcher.change_queue.wakeup.is_set() or self._live_scan.has_settling_files()

    def _next_scan_time(self) -> float:
        return self._scan_timer.next_time(is_incomplete=self._watcher.is_incomplete)

    # Following changes

    def _follow_changes(self, pending: PendingPaths) -> None:
        for directory_id, folders in pending.folders.items():
            for folder in topmost_folders(folders):
                if not self._stop.is_set():
                    self._live_scan.reconcile_folder(self._directories[directory_id], folder)
        for directory_id, folders in pending.permission_changes.items():
            for folder in sorted(folders):
                if not self._stop.is_set() and self._live_scan.has_access_changed(self._directories[directory_id], folder):
                    self._live_scan.reconcile_folder(self._directories[directory_id], folder)
        for directory_id, paths in pending.files.items():
            self._live_scan.check_paths(self._directories[directory_id], sorted(paths))

    def _request_scan_after_mounting(self) -> None:
        """Request a full scan if a crawl directory, or a mount in one, appeared or disappeared."""
        if any(not is_absent(self._session.database, directory) for directory in self._absent_directories):
            self._watcher.change_queue.request_full_scan("a crawl directory is there again")
        if self._have_mounts_changed():
            self._watcher.restart()  # what is mounted now is not watched yet
            self._watcher.change_queue.request_full_scan("something was mounted or unmounted in a crawl directory")

    def _have_mounts_changed(self) -> bool:
        """Return whether the absent mounts of the crawl directories differ from those of the last call."""
        previous, database = self._absent_mounts, self._session.database
        self._absent_mounts = {
            directory.id: find_absent_mounts(database, directory)
            for directory in self._session.directories
            if directory not in self._absent_directories
        }
        return any(previous.get(directory_id, absent) != absent for directory_id, absent in self._absent_mounts.items())

    # Full scans

    def _run_full_scan(self, action: _FullScan) -> None:
        """Scan everything. Files that have not settled are recorded as they settle."""
        started_at = time.monotonic()
        if action is _TIMER and self._watcher.is_incomplete:
            self._watcher.restart()  # limits may have been raised
        restart_seconds = time.monotonic() - started_at
        scan = self._reconcile_all(None if action is _STARTING else _log_event)
        counts = scan.counts
        self._live_scan.adopt(scan)
        counts.unsettled = scan.count_waiting()  # a file counts as seen once it has settled
        if self._stop.is_set():
            return
        self._scan_timer.record_scan(scan.compare_seconds, restart_seconds)
        save_last_scan(self._session.database, counts, "watch", self._session.scopes)
        self._health_reporter.record_full_scan(scan, self._scan_timer.next_scan)
        self._report_absent(counts)
        level = logging.DEBUG if action is _TIMER and not _has_changes(counts) else logging.INFO
        _log.log(level, "scan (%s): %s", action.reason, _format_counts(counts))
        self._health_reporter.set_phase("watching")

    def _reconcile_all(self, report: Callable[[str, str], None] | None) -> Scan:
        """Compare all crawl directories with the database. Returns the closed scan."""
        scan = self._new_scan(report)
        self._health_reporter.full_scan = scan
        self._health_reporter.set_phase("scanning" if self._is_serving else "starting")
        try:
            scan.reconcile()
        finally:
            scan.close()
            self._health_reporter.full_scan = None
            self._health_reporter.add_ended_scan(scan)
        return scan

    def _new_scan(self, report: Callable[[str, str], None] | None) -> Scan:
        return Scan(
            self._session,
            self._stop,
            self._between_batches,
            report,
            self._watcher.add_visited_folder,
            self._on_absent_directory,
            self._watcher.change_queue.was_closed,
            self._on_committed,
        )

    def _between_batches(self, _: ScanCounts) -> None:
        self._health_reporter.beat()
        self._alert_pump.run_once()

    def _on_index_progress(self, _: int) -> None:
        """Report progress while an index is rebuilt, which may take minutes. Stopping aborts it; the next start begins again."""
        self._health_reporter.beat()
        if self._stop.is_set():
            raise ShutdownRequested

    def _on_absent_directory(self, directory: CrawlDirectory) -> None:
        """Request a full scan when a crawl directory that was not known to be absent cannot be read."""
        if directory not in self._absent_directories:
            self._watcher.change_queue.request_full_scan("a crawl directory was not there")

    # Degradations

    def _report_derived_problem(self, problem: str) -> None:
        """Report why summaries or the search index cannot be updated. An empty text: they can be again."""
        if problem:
            if self._health_reporter.degrade("derived", problem):
                _log.error("%s. Articles are still recorded; the update is retried.", problem)
        elif degradation := self._health_reporter.recover("derived"):
            _log.info("summaries and search index are updated again; updating had failed since %s", degradation.since)

    def _report_absent(self, counts: ScanCounts) -> None:
        self._absent_directories = {
            directory for directory in self._session.directories if directory.display_path in counts.absent_directories
        }
        if counts.absent_directories or counts.absent_mounts:
            message = "; ".join(
                f"{', '.join(paths)} {problem}; nothing there was marked as gone"
                for paths, problem in (
                    (counts.absent_directories, "missing, unreadable, or empty and not the directory it was"),
                    (counts.absent_mounts, "not mounted"),
                )
                if paths
            )
            if self._health_reporter.degrade("absent", message):
                _log.warning("%s", message)
        elif self._health_reporter.recover("absent"):
            _log.info("all crawl directories are there again")

    def _handle_failure(self, reason: DegradationReason, problem: str) -> None:
        """Report a failure, drop unfinished work, and pause. The full scan after the pause finds the work again."""
        if self._health_reporter.retry_since is None:
            self._health_reporter.retry_since = time.monotonic()
        self._live_scan.close()
        self._health_reporter.add_ended_scan(self._live_scan)
        self._health_reporter.live_scan = self._live_scan = self._new_scan(_log_event)
        self._watcher.change_queue.request_full_scan("retrying what could not be recorded")
        if self._health_reporter.degrade(reason, problem):
            outlook = "The next start finds it again." if self._stop.is_set() else "Trying again until it can be recorded."
            _log.error("%s %s", problem, outlook)
        self._backoff.record_failure()

    def _handle_success(self) -> None:
        self._backoff.record_success()
        self._health_reporter.retry_since = None
        if degradation := self._health_reporter.recover("database"):
            _log.info("the database can be written again; everything that waited since %s is recorded", degradation.since)
        if degradation := self._health_reporter.recover("internal"):
            _log.info("the work that failed is done; everything that waited since %s is recorded", degradation.since)


def _log_event(kind: str, line: str) -> None:
    """Log what was recorded. The number of lines of one kind is limited."""
    _log.info("%s", line, extra={"kind": kind})


def _has_changes(counts: ScanCounts) -> bool:
    return bool(counts.new or counts.changed or counts.moved or counts.gone)


def _format_counts(counts: ScanCounts) -> str:
    return (
        f"{counts.files} files in {counts.seconds:.1f} s: {counts.new} new, {counts.changed} changed, {counts.unchanged} unchanged,"
        f" {counts.moved} moved, {counts.ignored.total()} ignored, {counts.faults} with faults, {counts.unsettled} unsettled,"
        f" {counts.gone} gone; {counts.matches.total()} duplicates, {counts.changes} changes"
    )
