"""The loop of `dedup watch`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dedup import heartbeat
from dedup.daemon import health_file
from dedup.daemon.alert_pump import AlertPump
from dedup.daemon.background import BackgroundWorker
from dedup.daemon.health_file import DegradationReason
from dedup.daemon.health_reporter import HealthReporter
from dedup.daemon.systemd import notify_systemd
from dedup.daemon.watch import PendingPaths, Watcher
from dedup.daemon.watch.change_queue import topmost_folders
from dedup.errors import DatabaseFailedError, DatabaseUnreadableError, DedupError, ShutdownRequested, WalLostError
from dedup.scan.counts import ScanCounts, save_last_scan
from dedup.scan.isolation import log_error_once, summarise_error
from dedup.scan.roots import CrawlDirectory, find_absent_mounts, is_absent
from dedup.scan.scanner import Scan
from dedup.scan.session import Session

TICK_SECONDS = 1.0
"""Seconds between looks at the observer's health."""
MIN_INTERVAL_FACTOR = 50
"""The timer leaves at least so many times the time that the last scan took to compare between scans."""
INCOMPLETE_INTERVAL_SECONDS = 10.0
"""Seconds that it leaves at least between scans while folders are not watched that could be: each tries to watch them again."""
RETRY_SECONDS = (2.0, 60.0)
"""Seconds until what failed is tried again: at first, and at most, doubling."""

_log = logging.getLogger("dedup")


def run(session: Session, stop: threading.Event) -> None:
    """Watch until `stop` is set: what was begun is finished, nothing is left half done.

    A full scan comes first, on the timer, and whenever events cannot be trusted. What cannot be recorded (a full disk) is told
    of and tried again, for as long as it takes. Raises WalLostError where the database must be opened again.
    """
    watcher = Watcher(session.directories)
    watcher.start()  # before the first scan: nothing can fall between the two
    try:
        _Loop(session, stop, watcher).run()
    finally:
        watcher.close()


class _Loop:
    def __init__(self, session: Session, stop: threading.Event, watcher: Watcher) -> None:
        self._session, self._stop, self._watcher = session, stop, watcher
        self._absent_directories: set[CrawlDirectory] = set()
        self._absent_mounts: dict[int, list[bytes]] = {}
        self._live_scan = self._new_live_scan()
        path = health_file.report_path(session.settings.database.path)
        self._health_reporter = HealthReporter(path, session.database.lock, watcher, self._live_scan, session.unprobed_owners)
        self._alert_pump = AlertPump(session.settings, session.database, session.policy, self._health_reporter)
        self._background = BackgroundWorker(session, self._is_busy, stop.is_set, self._report_derived_problem)
        self._report_path = path
        self._directories = {root.id: root for root in session.directories}
        self._is_serving = False
        self._next_scan = self._next_incomplete_scan = 0.0
        self._next_check = 0.0
        self._retry_at = 0.0
        self._retry_seconds = RETRY_SECONDS[0]

    def run(self) -> None:
        """Serve until stopped."""
        self._health_reporter.write_report()  # before anybody is told where: a predecessor's may lie there
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
                    now = time.monotonic()
                    scan_delay = max(self._next_scan_time(), self._retry_at) - now
                    self._watcher.change_queue.wakeup.wait(max(0.02, min(pause, scan_delay, TICK_SECONDS)))
        except WalLostError:
            is_stopping = False  # the caller opens the database again
            raise
        finally:
            if is_stopping:
                notify_systemd("STOPPING=1")
            self._live_scan.close()
            self._alert_pump.finish()
            self._background.close()
            stop_metrics()
        health_file.remove_report(self._report_path)

    def _serve_metrics(self) -> Callable[[], None]:
        settings = self._session.settings
        if not settings.metrics.listen:
            return lambda: None
        from dedup.daemon import metrics

        stop_metrics = metrics.serve_metrics(settings.metrics.listen, lambda: self._health_reporter.last_report, settings.database.path)
        _log.info("metrics on http://%s/metrics", settings.metrics.listen)
        return stop_metrics

    def _run_round(self) -> float:
        """One round of work; returns the seconds until the next one is due for settling files."""
        now = time.monotonic()
        if now >= self._next_check or self._watcher.has_trouble:
            self._watcher.check()
            self._next_check = now + TICK_SECONDS
        if now < self._retry_at:
            self._watcher.change_queue.wakeup.clear()  # it would wake us again and again
            return TICK_SECONDS
        try:
            with self._session.database.translate_errors():
                self._session.database.require_files_unchanged()
                self._scan_or_follow(now)
                pause = self._live_scan.queue_settled()
                self._live_scan.flush()
                if not self._live_scan.count_waiting():
                    self._live_scan.close()
                self._alert_pump.run_once()
                has_more_work = self._is_serving and self._background.run_slice()
        except ShutdownRequested:
            return TICK_SECONDS
        except (DatabaseFailedError, DatabaseUnreadableError) as error:
            self._handle_failure("database", str(error))
            return TICK_SECONDS
        except DedupError:
            raise
        except Exception as error:
            activity = self._session.database.lock.activity or "it was idle"
            log_error_once(error, activity)
            self._handle_failure("internal", f"{summarise_error(error)}, while {activity}.")
            return TICK_SECONDS
        if not self._stop.is_set():  # else it was perhaps not even tried
            self._handle_success()
        return 0.0 if has_more_work else pause if self._live_scan.count_waiting() else TICK_SECONDS

    def _is_busy(self) -> bool:
        return self._stop.is_set() or self._watcher.change_queue.wakeup.is_set() or self._live_scan.has_settling_files()

    def _scan_or_follow(self, now: float) -> None:
        if not self._is_serving:
            self._run_full_scan("starting")
            self._session.matcher.open_candidate_index()  # not when the first article comes
            if not self._stop.is_set():
                self._is_serving = True
                self._health_reporter.set_phase("watching")
                notify_systemd("READY=1")
                _log.info("watching %s", ", ".join(root.display_path for root in self._session.directories))
            return
        if any(not is_absent(self._session.database, root) for root in self._absent_directories):
            self._watcher.change_queue.request_full_scan("a crawl directory is there again")
        if self._have_mounts_changed():
            self._watcher.restart()  # what is mounted is not watched yet, and what was cannot be any more
            self._watcher.change_queue.request_full_scan("something was mounted or unmounted in a crawl directory")
        pending = self._watcher.change_queue.take_all()
        if pending.full_scan_reason:
            self._run_full_scan(pending.full_scan_reason)
        elif now >= self._next_scan_time():
            self._run_full_scan("timer")
        else:
            self._follow_changes(pending)

    def _have_mounts_changed(self) -> bool:
        """Whether other mounts of the crawl directories are absent than when this was last asked."""
        previous, database = self._absent_mounts, self._session.database
        self._absent_mounts = {
            root.id: find_absent_mounts(database, root) for root in self._session.directories if root not in self._absent_directories
        }
        return any(previous.get(root, absent) != absent for root, absent in self._absent_mounts.items())

    def _next_scan_time(self) -> float:
        """When the timer's next scan is due."""
        return min(self._next_scan, self._next_incomplete_scan) if self._watcher.is_incomplete else self._next_scan

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

    def _run_full_scan(self, reason: str) -> None:
        """A full scan; files that are not settled yet stay in mind and are taken as they settle."""
        started_at = time.monotonic()
        if reason == "timer" and self._watcher.is_incomplete:
            self._watcher.restart()  # limits may have been raised
        restart_seconds = time.monotonic() - started_at
        scan = self._new_scan(None if reason == "starting" else _log_event)
        self._health_reporter.full_scan = scan
        self._health_reporter.set_phase("scanning" if self._is_serving else "starting")
        try:
            counts = scan.reconcile()
        finally:
            scan.close()
            self._health_reporter.full_scan = None
            self._health_reporter.add_ended_scan(scan)
        self._live_scan.adopt(scan)
        counts.unsettled = scan.count_waiting()  # each is counted as seen once it has settled
        if self._stop.is_set():
            return
        interval = self._session.settings.crawl.scan_interval_seconds
        now = time.monotonic()
        self._next_scan = now + max(interval, MIN_INTERVAL_FACTOR * scan.compare_seconds)
        self._next_incomplete_scan = now + max(INCOMPLETE_INTERVAL_SECONDS, MIN_INTERVAL_FACTOR * (restart_seconds + scan.compare_seconds))
        save_last_scan(self._session.database, counts, "watch", self._session.scopes)
        self._health_reporter.record_full_scan(scan, self._next_scan)
        self._report_absent(counts)
        level = logging.DEBUG if reason == "timer" and not _has_changes(counts) else logging.INFO
        _log.log(level, "scan (%s): %s", reason, _format_counts(counts))
        self._health_reporter.set_phase("watching")

    def _new_scan(self, report: Callable[[str, str], None] | None) -> Scan:
        return Scan(
            self._session,
            self._stop,
            self._between_batches,
            report,
            self._watcher.add_visited_folder,
            self._on_absent_directory,
            self._watcher.change_queue.was_closed,
        )

    def _between_batches(self, _: ScanCounts) -> None:
        """Between two batches of a pass."""
        self._health_reporter.beat()
        self._alert_pump.run_once()

    def _new_live_scan(self) -> Scan:
        return self._new_scan(_log_event)

    def _on_index_progress(self, _: int) -> None:
        """An index is being made again, which may take minutes; the next start does it anew."""
        self._health_reporter.beat()
        if self._stop.is_set():
            raise ShutdownRequested

    def _on_absent_directory(self, directory: CrawlDirectory) -> None:
        """What changed in a crawl directory cannot be known now; a scan has to tell, if it is not known to be absent."""
        if directory not in self._absent_directories:
            self._watcher.change_queue.request_full_scan("a crawl directory was not there")

    def _report_derived_problem(self, problem: str) -> None:
        """What keeps derived data from being brought up to date; empty: nothing does any more."""
        if problem:
            if self._health_reporter.degrade("derived", problem):
                _log.error("%s. Articles are recorded all the same; it is tried again.", problem)
        elif degradation := self._health_reporter.recover("derived"):
            _log.info("summaries and search index are brought up to date again, which failed since %s", degradation.since)

    def _report_absent(self, counts: ScanCounts) -> None:
        self._absent_directories = {root for root in self._session.directories if root.display_path in counts.absent_directories}
        if counts.absent_directories or counts.absent_mounts:
            message = "; ".join(
                f"{', '.join(paths)} {what}; nothing there was marked as gone"
                for paths, what in (
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
        """What was begun is not recorded. All of it is found again by a scan, once that can be."""
        if self._health_reporter.retry_since is None:
            self._health_reporter.retry_since = time.monotonic()
        self._live_scan.close()
        self._health_reporter.add_ended_scan(self._live_scan)
        self._health_reporter.live_scan = self._live_scan = self._new_live_scan()
        self._watcher.change_queue.request_full_scan("what could not be recorded")
        if self._health_reporter.degrade(reason, problem):
            outlook = "The next start finds it again." if self._stop.is_set() else "Trying again until it can be recorded."
            _log.error("%s %s", problem, outlook)
        self._retry_at = time.monotonic() + self._retry_seconds
        self._retry_seconds = min(2 * self._retry_seconds, RETRY_SECONDS[1])

    def _handle_success(self) -> None:
        self._retry_seconds = RETRY_SECONDS[0]
        self._health_reporter.retry_since = None
        if degradation := self._health_reporter.recover("database"):
            _log.info("the database can be written again; what had to wait since %s is recorded", degradation.since)
        if degradation := self._health_reporter.recover("internal"):
            _log.info("the work that failed is done; what had to wait since %s is recorded", degradation.since)


def _log_event(kind: str, line: str) -> None:
    """Log what was recorded; lines of one kind are limited."""
    _log.info("%s", line, extra={"kind": kind})


def _has_changes(counts: ScanCounts) -> bool:
    return bool(counts.new or counts.changed or counts.moved or counts.gone)


def _format_counts(counts: ScanCounts) -> str:
    return (
        f"{counts.files} files in {counts.seconds:.1f} s: {counts.new} new, {counts.changed} changed, {counts.unchanged} unchanged,"
        f" {counts.moved} moved, {counts.ignored.total()} ignored, {counts.faults} with faults, {counts.unsettled} unsettled,"
        f" {counts.gone} gone; {counts.matches.total()} duplicates, {counts.changes} changes"
    )
