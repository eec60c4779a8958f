"""The daemon: scan, then follow. One loop owns all the work; events only say where to look."""

from __future__ import annotations

import logging
import threading
import time

from dedup.errors import DatabaseFailedError
from dedup.ingest import Scan, Session, Tally, save_last_scan
from dedup.watch import Notes, Watcher

TICK = 1.0
"""Seconds between looks at the observer's health."""
LEAST_RATIO = 50
"""The timer leaves at least so many times the last scan's duration between scans."""

_log = logging.getLogger("dedup")


def run(session: Session, stop: threading.Event) -> None:
    """Watch until `stop` is set: what was begun is finished, nothing is left half done.

    A full scan comes first, on the timer, and whenever events cannot be trusted. A batch that cannot be recorded (a full
    disk) is told of and tried again with the next scan.
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
        self._following = Scan(session, stop, tell=_log.info)
        self._roots = {root.id: root for root in session.roots}
        self._next_scan = 0.0
        self._next_check = 0.0

    def run(self) -> None:
        """Serve until stopped."""
        self._scan("starting")
        self._session.matcher.open()  # not when the first article comes
        _log.info("watching %s", ", ".join(root.shown for root in self._session.roots))
        try:
            self._follow()
        finally:
            self._following.close()

    def _follow(self) -> None:
        while not self._stop.is_set():
            pause = self._serve()
            self._watcher.book.woken.wait(max(0.02, min(pause, self._next_scan - time.monotonic(), TICK)))

    def _serve(self) -> float:
        """One round; returns the seconds until the next one is due for settling files."""
        now = time.monotonic()
        if now >= self._next_check:
            self._watcher.check()
            self._next_check = now + TICK
        try:
            notes = self._watcher.book.take()
            if notes.everything:
                self._scan(notes.everything)
            elif now >= self._next_scan:
                self._scan("timer")
            else:
                self._look(notes)
            pause = self._following.settled()
            self._following.flush()
            if not notes and not self._following.waiting():
                self._following.close()
        except DatabaseFailedError as error:
            _log.error("%s Trying again with a scan.", error)
            self._watcher.book.everything("the last batch could not be recorded")
            self._stop.wait(5)
            return TICK
        return pause if self._following.waiting() else TICK

    def _look(self, notes: Notes) -> None:
        for root, folders in notes.folders.items():
            for folder in sorted(folders):
                if not self._stop.is_set():
                    self._following.subtree(self._roots[root], folder)
        for root, paths in notes.files.items():
            self._following.take(self._roots[root], sorted(paths))

    def _scan(self, why: str) -> None:
        """A full scan; files that are not settled yet stay in mind and are taken as they settle."""
        quiet = why == "starting"
        scan = Scan(self._session, self._stop, tell=None if quiet else _log.info)
        try:
            tally = scan.reconcile()
        finally:
            scan.close()
        self._following.adopt(scan)
        interval = self._session.settings.crawl.scan_interval_seconds
        self._next_scan = time.monotonic() + max(interval, LEAST_RATIO * tally.seconds)
        save_last_scan(self._session.store, tally, "watch")
        for path in tally.absent:
            _log.warning("%s is missing, unreadable, or empty and not the directory it was; nothing there was marked as gone", path)
        level = logging.DEBUG if why == "timer" and not _differs(tally) else logging.INFO
        _log.log(level, "scan (%s): %s", why, _told(tally))


def _differs(t: Tally) -> bool:
    return bool(t.new or t.changed or t.moved or t.gone)


def _told(t: Tally) -> str:
    return (
        f"{t.files} files in {t.seconds:.1f} s: {t.new} new, {t.changed} changed, {t.unchanged} unchanged, {t.moved} moved,"
        f" {t.faults} with faults, {t.gone} gone; {t.matches.total()} duplicates, {t.changes} changes"
    )
