"""The health of the daemon: what it has checked, what waits, and what it cannot do. The loop updates it and writes the reports."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Collection

from dedup.daemon import health_file
from dedup.daemon.health_file import Backlog, Degradation, DegradationReason, DeliveryBacklog, Health, Phase, Rates
from dedup.daemon.systemd import Notify, notify_systemd
from dedup.daemon.watch import Watcher
from dedup.files import disk_errors
from dedup.pipeline.counts import ScanCounts
from dedup.pipeline.scanner import Scan
from dedup.store.lock import Lock
from dedup.text import times

_RATE_SPANS_SECONDS = (60.0, 300.0, 900.0)
_WATCHDOG_INTERVAL_SECONDS = 1.0
"""Shortest time between two WATCHDOG=1 messages to systemd, in seconds."""

_log = logging.getLogger("dedup")


class HealthReporter:
    """Writes reports to the file at `path`. If that fails, the lock file says so.

    The loop sets `live_scan` (the scan that events feed), `full_scan` (the full scan that is running) and `retry_since` (when work began to
    wait for a retry, by the monotonic clock). The alert pump sets `delivery_backlog` and empties `new_degradations`. `unprobed` are the
    owners of files whose writers cannot be detected. `last_report` is the latest report."""

    def __init__(
        self,
        path: str,
        lock: Lock,
        watcher: Watcher,
        live_scan: Scan,
        unprobed: Collection[int] = (),
        notify: Notify = notify_systemd,
    ) -> None:
        self.live_scan = live_scan
        self.full_scan: Scan | None = None
        self.retry_since: float | None = None
        self.delivery_backlog = DeliveryBacklog()
        self.new_degradations: list[Degradation] = []
        self._path, self._lock, self._watcher, self._unprobed_owners, self._notify = path, lock, watcher, unprobed, notify
        self._started_at = times.now()
        self._phase: Phase = "starting"
        self._ended_counts = ScanCounts()
        self._full_scan_count = 0
        self._last_full_scan: tuple[str, float] | None = None
        self._next_scan = 0.0
        self._degradations: dict[DegradationReason, Degradation] = {}
        self._previous_since = _previous_degradations(path)
        self._samples: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])
        self._next_beat = self._next_report = 0.0
        self._cannot_write = False
        self.last_report = self.current_health()

    def set_phase(self, phase: Phase) -> None:
        """Set what the daemon is doing, and report it."""
        if phase != self._phase:
            self._phase = phase
            self.write_report()

    def record_full_scan(self, finished_scan: Scan, next_scan: float) -> None:
        """Note that a full scan ended. The next one is due at `next_scan` of the monotonic clock."""
        self._full_scan_count += 1
        self._last_full_scan = times.now(), finished_scan.counts.seconds
        self._next_scan = next_scan

    def add_ended_scan(self, ended_scan: Scan) -> None:
        """Add the counts of a scan that ended, whether it finished or failed."""
        self._ended_counts.add(ended_scan.counts)

    def degrade(self, reason: DegradationReason, message: str) -> bool:
        """Note that some work cannot be done. Returns whether the problem or its message is new."""
        existing = self._degradations.get(reason)
        if existing and existing.message == message:
            return False
        since = existing.since if existing else self._previous_since.pop(reason, times.now())
        degradation = self._degradations[reason] = Degradation(reason, since, message)
        if existing is None:
            self.new_degradations.append(degradation)
        self.write_report()
        return True

    def recover(self, reason: DegradationReason) -> Degradation | None:
        """Note that the work can be done again. Returns the degradation that ended, if there was one."""
        degradation = self._degradations.pop(reason, None)
        self._previous_since.pop(reason, None)
        if degradation:
            self.write_report()
        return degradation

    def beat(self) -> None:
        """Note that the loop makes progress: notify systemd, and write a report if one is due."""
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + _WATCHDOG_INTERVAL_SECONDS
            self._notify("WATCHDOG=1")
        if now >= self._next_report:
            self.write_report()

    def write_report(self) -> None:
        """Write a report now."""
        self._next_report = time.monotonic() + health_file.REPORT_INTERVAL_SECONDS
        health = self.last_report = self.current_health()
        try:
            health_file.write_report(self._path, health)
        except OSError as error:
            if not self._cannot_write:
                self._cannot_write = True
                self._lock.set_cannot_report(on=True)
                _log.warning("cannot write the health report %s: %s", self._path, disk_errors.explain_error(error, self._path))
        else:
            if self._cannot_write:
                self._cannot_write = False
                self._lock.set_cannot_report(on=False)
        self._notify("STATUS=" + _format_status(health))

    def current_health(self) -> Health:
        """Return a report of the current state."""
        watcher, counts = self._watcher, self.total_counts()
        unwatched_count, examples = watcher.unwatched_folders()
        self._update_watch_degradations(unwatched_count, examples)
        return Health(
            process=os.getpid(),
            started_at=self._started_at,
            at=times.now(),
            phase=self._phase,
            counts=counts.as_json() | {"ignored_by": dict(sorted(counts.ignored.items()))},
            backlog=self._backlog(),
            rates=self._rates(counts),
            scans=self._full_scan_count,
            last_scan_at=self._last_full_scan[0] if self._last_full_scan else None,
            last_scan_seconds=round(self._last_full_scan[1], 3) if self._last_full_scan else None,
            next_scan_at=times.seconds_from_now(self._next_scan - time.monotonic()) if self._last_full_scan else None,
            overflows=watcher.overflows,
            restarts=watcher.restarts,
            unwatched=unwatched_count,
            unwatched_examples=tuple(examples),
            alerts=self.delivery_backlog,
            unprobed_owners=tuple(sorted(self._unprobed_owners)),
            degraded=tuple(sorted(self._degradations.values(), key=lambda d: d.since)),
        )

    def total_counts(self) -> ScanCounts:
        """Return the counts of all scans since the start."""
        total = ScanCounts()
        for counts in (self._ended_counts, self.live_scan.counts, self.full_scan.counts if self.full_scan else ScanCounts()):
            total.add(counts)
        return total

    def _update_watch_degradations(self, unwatched_count: int, examples: list[str]) -> None:
        messages: dict[DegradationReason, str | None] = {
            "events": self._watcher.problem,
            "unwatched": f"{unwatched_count} folders, for example {examples[0]}" if unwatched_count and not self._watcher.problem else None,
        }
        for reason, message in messages.items():
            existing = self._degradations.pop(reason, None)
            if message:
                since = existing.since if existing else self._previous_since.pop(reason, times.now())
                degradation = self._degradations[reason] = Degradation(reason, since, message)
                if existing is None:
                    self.new_degradations.append(degradation)

    def _backlog(self) -> Backlog:
        queued, since = self._watcher.change_queue.backlog()
        backlogs = [(queued, since), self.live_scan.backlog(), (0, self.retry_since)]
        if self.full_scan:
            backlogs.append(self.full_scan.backlog())
        oldest = min((begun for _, begun in backlogs if begun is not None), default=None)
        return Backlog(sum(n for n, _ in backlogs), round(time.monotonic() - oldest, 1) if oldest is not None else 0.0)

    def _rates(self, counts: ScanCounts) -> Rates:
        now = time.monotonic()
        samples = self._samples
        samples.append((now, counts.files, counts.new + counts.changed + counts.moved))
        while len(samples) > 2 and now - samples[1][0] >= _RATE_SPANS_SECONDS[-1]:
            samples.popleft()
        files, recorded = [], []
        for span in _RATE_SPANS_SECONDS:
            oldest = next((s for s in samples if now - s[0] <= span), samples[-1])
            elapsed = max(now - oldest[0], 1e-9)
            files.append(round((counts.files - oldest[1]) / elapsed, 2))
            recorded.append(round((samples[-1][2] - oldest[2]) / elapsed, 2))
        return Rates((files[0], files[1], files[2]), (recorded[0], recorded[1], recorded[2]))


def _previous_degradations(path: str) -> dict[DegradationReason, str]:
    """Return reason → since when, from the last report of this process: it may have closed and opened the database in between."""
    previous = health_file.read_report(path)
    return {d.reason: d.since for d in previous.degraded} if previous and previous.process == os.getpid() else {}


def _format_status(health: Health) -> str:
    degradations = "".join(f"; DEGRADED: {d.message}" for d in health.degraded)
    return f"{health.phase}: {health.counts['files']} files seen, {health.backlog.files} waiting{degradations}"
