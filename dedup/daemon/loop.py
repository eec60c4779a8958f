"""The loop of `dedup watch`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from dedup import heartbeat
from dedup.daemon import health_file
from dedup.daemon.alert_pump import Posting
from dedup.daemon.background import Idle
from dedup.daemon.health_file import Reason
from dedup.daemon.health_reporter import Vitals
from dedup.daemon.systemd import notify
from dedup.daemon.watch import Notes, Watcher
from dedup.daemon.watch.change_queue import tops
from dedup.errors import DatabaseFailedError, DatabaseLogLostError, DatabaseUnreadableError, DedupError
from dedup.scan.counts import Tally, save_last_scan
from dedup.scan.isolation import log_once, summary
from dedup.scan.roots import Root, absent_mounts, is_absent
from dedup.scan.scanner import Scan
from dedup.scan.session import Session

TICK = 1.0
"""Seconds between looks at the observer's health."""
LEAST_RATIO = 50
"""The timer leaves at least so many times the time that the last scan took to compare between scans."""
SOONER = 10.0
"""Seconds that it leaves at least between scans while folders are not watched that could be: each tries to watch them again."""
PAUSES = (2.0, 60.0)
"""Seconds until what failed is tried again: at first, and at most, doubling."""

_log = logging.getLogger("dedup")


def run(session: Session, stop: threading.Event) -> None:
    """Watch until `stop` is set: what was begun is finished, nothing is left half done.

    A full scan comes first, on the timer, and whenever events cannot be trusted. What cannot be recorded (a full disk) is told
    of and tried again, for as long as it takes. Raises DatabaseLogLostError where the database must be opened again.
    """
    watcher = Watcher(session.roots)
    watcher.start()  # before the first scan: nothing can fall between the two
    try:
        _Loop(session, stop, watcher).run()
    finally:
        watcher.close()


class _Loop:
    def __init__(self, session: Session, stop: threading.Event, watcher: Watcher) -> None:
        self._session, self._stop, self._watcher = session, stop, watcher
        self._absent: set[Root] = set()
        self._unmounted: dict[int, list[bytes]] = {}
        self._following = self._new_following()
        path = health_file.place(session.settings.database.path)
        self._vitals = Vitals(path, session.database.lock, watcher, self._following, session.unprobed)
        self._posting = Posting(session.settings, session.database, session.policy, self._vitals)
        self._idle = Idle(session, self._busy, stop.is_set, self._derived)
        self._report_path = path
        self._roots = {root.id: root for root in session.roots}
        self._serving = False
        self._next_scan = self._sooner = 0.0
        self._next_check = 0.0
        self._not_before = 0.0
        self._pause = PAUSES[0]

    def run(self) -> None:
        """Serve until stopped."""
        self._vitals.report()  # before anybody is told where: a predecessor's may lie there
        self._session.database.lock.report_in(self._report_path)
        self._session.database.is_shutting_down = self._stop.is_set
        end_metrics = self._serve_metrics()
        self._session.matcher.progress = self._indexing
        leaving = True
        try:
            while not self._stop.is_set():
                with heartbeat.heard_by(self._vitals.beat):
                    pause = self._round()
                self._vitals.beat()
                if not self._stop.is_set():
                    now = time.monotonic()
                    due = max(self._due(), self._not_before) - now
                    self._watcher.book.woken.wait(max(0.02, min(pause, due, TICK)))
        except DatabaseLogLostError:
            leaving = False  # the caller opens the database again
            raise
        finally:
            if leaving:
                notify("STOPPING=1")
            self._following.close()
            self._posting.finish()
            self._idle.close()
            end_metrics()
        health_file.remove(self._report_path)

    def _serve_metrics(self) -> Callable[[], None]:
        settings = self._session.settings
        if not settings.metrics.listen:
            return lambda: None
        from dedup.daemon import metrics

        end = metrics.serve(settings.metrics.listen, lambda: self._vitals.told, settings.database.path)
        _log.info("metrics on http://%s/metrics", settings.metrics.listen)
        return end

    def _round(self) -> float:
        """One round of work; returns the seconds until the next one is due for settling files."""
        now = time.monotonic()
        if now >= self._next_check or self._watcher.alarmed:
            self._watcher.check()
            self._next_check = now + TICK
        if now < self._not_before:
            self._watcher.book.woken.clear()  # it would wake us again and again
            return TICK
        try:
            with self._session.database.work():
                self._session.database.require_in_place()
                self._work(now)
                pause = self._following.settled()
                self._following.flush()
                if not self._following.waiting():
                    self._following.close()
                self._posting.exchange()
                more = self._serving and self._idle.work()
        except _LeavingError:
            return TICK
        except (DatabaseFailedError, DatabaseUnreadableError) as error:
            self._failed("database", str(error))
            return TICK
        except DedupError:
            raise
        except Exception as error:
            doing = self._session.database.lock.at or "it was idle"
            log_once(error, doing)
            self._failed("internal", f"{summary(error)}, while {doing}.")
            return TICK
        if not self._stop.is_set():  # else it was perhaps not even tried
            self._succeeded()
        return 0.0 if more else pause if self._following.waiting() else TICK

    def _busy(self) -> bool:
        return self._stop.is_set() or self._watcher.book.woken.is_set() or self._following.pressing()

    def _work(self, now: float) -> None:
        if not self._serving:
            self._scan("starting")
            self._session.matcher.open()  # not when the first article comes
            if not self._stop.is_set():
                self._serving = True
                self._vitals.phase("watching")
                notify("READY=1")
                _log.info("watching %s", ", ".join(root.shown for root in self._session.roots))
            return
        if any(not is_absent(self._session.database, root) for root in self._absent):
            self._watcher.book.everything("a crawl directory is there again")
        if self._mounts_changed():
            self._watcher.renew()  # what is mounted is not watched yet, and what was cannot be any more
            self._watcher.book.everything("something was mounted or unmounted in a crawl directory")
        notes = self._watcher.book.take()
        if notes.everything:
            self._scan(notes.everything)
        elif now >= self._due():
            self._scan("timer")
        else:
            self._look(notes)

    def _mounts_changed(self) -> bool:
        """Whether other mounts of the crawl directories are absent than when this was last asked."""
        before, database = self._unmounted, self._session.database
        self._unmounted = {root.id: absent_mounts(database, root) for root in self._session.roots if root not in self._absent}
        return any(before.get(root, absent) != absent for root, absent in self._unmounted.items())

    def _due(self) -> float:
        """When the timer's next scan is due."""
        return min(self._next_scan, self._sooner) if self._watcher.incomplete else self._next_scan

    def _look(self, notes: Notes) -> None:
        for root, folders in notes.folders.items():
            for folder in tops(folders):
                if not self._stop.is_set():
                    self._following.subtree(self._roots[root], folder)
        for root, folders in notes.permissions.items():
            for folder in sorted(folders):
                if not self._stop.is_set() and self._following.opened_or_closed(self._roots[root], folder):
                    self._following.subtree(self._roots[root], folder)
        for root, paths in notes.files.items():
            self._following.take(self._roots[root], sorted(paths))

    def _scan(self, why: str) -> None:
        """A full scan; files that are not settled yet stay in mind and are taken as they settle."""
        begun = time.monotonic()
        if why == "timer" and self._watcher.incomplete:
            self._watcher.renew()  # limits may have been raised
        renewing = time.monotonic() - begun
        scan = self._new_scan(None if why == "starting" else _note)
        self._vitals.scan = scan
        self._vitals.phase("scanning" if self._serving else "starting")
        try:
            tally = scan.reconcile()
        finally:
            scan.close()
            self._vitals.scan = None
            self._vitals.over(scan)
        self._following.adopt(scan)
        tally.unsettled = scan.waiting()  # each is counted as seen once it has settled
        if self._stop.is_set():
            return
        interval = self._session.settings.crawl.scan_interval_seconds
        now = time.monotonic()
        self._next_scan = now + max(interval, LEAST_RATIO * scan.comparing)
        self._sooner = now + max(SOONER, LEAST_RATIO * (renewing + scan.comparing))
        save_last_scan(self._session.database, tally, "watch", self._session.places)
        self._vitals.finished(scan, self._next_scan)
        self._note_absent(tally)
        level = logging.DEBUG if why == "timer" and not _differs(tally) else logging.INFO
        _log.log(level, "scan (%s): %s", why, _told(tally))
        self._vitals.phase("watching")

    def _new_scan(self, tell: Callable[[str, str], None] | None) -> Scan:
        return Scan(self._session, self._stop, self._between, tell, self._watcher.visited, self._away, self._watcher.book.was_closed)

    def _between(self, _: Tally) -> None:
        """Between two batches of a pass."""
        self._vitals.beat()
        self._posting.exchange()

    def _new_following(self) -> Scan:
        return self._new_scan(_note)

    def _indexing(self, _: int) -> None:
        """An index is being made again, which may take minutes; the next start does it anew."""
        self._vitals.beat()
        if self._stop.is_set():
            raise _LeavingError

    def _away(self, root: Root) -> None:
        """What changed in a crawl directory cannot be known now; a scan has to tell, if it is not known to be absent."""
        if root not in self._absent:
            self._watcher.book.everything("a crawl directory was not there")

    def _derived(self, problem: str) -> None:
        """What keeps derived data from being brought up to date; empty: nothing does any more."""
        if problem:
            if self._vitals.degrade("derived", problem):
                _log.error("%s. Articles are recorded all the same; it is tried again.", problem)
        elif known := self._vitals.recover("derived"):
            _log.info("summaries and search index are brought up to date again, which failed since %s", known.since)

    def _note_absent(self, tally: Tally) -> None:
        self._absent = {root for root in self._session.roots if root.shown in tally.absent}
        if tally.absent or tally.unmounted:
            told = "; ".join(
                f"{', '.join(paths)} {what}; nothing there was marked as gone"
                for paths, what in (
                    (tally.absent, "missing, unreadable, or empty and not the directory it was"),
                    (tally.unmounted, "not mounted"),
                )
                if paths
            )
            if self._vitals.degrade("absent", told):
                _log.warning("%s", told)
        elif self._vitals.recover("absent"):
            _log.info("all crawl directories are there again")

    def _failed(self, reason: Reason, problem: str) -> None:
        """What was begun is not recorded. All of it is found again by a scan, once that can be."""
        if self._vitals.owing is None:
            self._vitals.owing = time.monotonic()
        self._following.close()
        self._vitals.over(self._following)
        self._vitals.following = self._following = self._new_following()
        self._watcher.book.everything("what could not be recorded")
        if self._vitals.degrade(reason, problem):
            later = "The next start finds it again." if self._stop.is_set() else "Trying again until it can be recorded."
            _log.error("%s %s", problem, later)
        self._not_before = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, PAUSES[1])

    def _succeeded(self) -> None:
        self._pause = PAUSES[0]
        self._vitals.owing = None
        if known := self._vitals.recover("database"):
            _log.info("the database can be written again; what had to wait since %s is recorded", known.since)
        if known := self._vitals.recover("internal"):
            _log.info("the work that failed is done; what had to wait since %s is recorded", known.since)


class _LeavingError(BaseException):
    """What is being done takes too long to be finished before leaving; nothing of it is recorded. No error: nothing handles it as one."""


def _note(kind: str, line: str) -> None:
    """Log what was recorded; lines of one kind are limited."""
    _log.info("%s", line, extra={"kind": kind})


def _differs(t: Tally) -> bool:
    return bool(t.new or t.changed or t.moved or t.gone)


def _told(t: Tally) -> str:
    return (
        f"{t.files} files in {t.seconds:.1f} s: {t.new} new, {t.changed} changed, {t.unchanged} unchanged, {t.moved} moved,"
        f" {t.ignored.total()} ignored, {t.faults} with faults, {t.unsettled} unsettled, {t.gone} gone;"
        f" {t.matches.total()} duplicates, {t.changes} changes"
    )
