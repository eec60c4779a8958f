"""How the daemon is: what it has seen, what it owes, what it cannot do. Kept by the loop, told in reports."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Collection

from dedup.daemon import health_file
from dedup.daemon.health_file import Alerts, Backlog, Degraded, Health, Phase, Rates, Reason
from dedup.daemon.systemd import notify
from dedup.daemon.watch import Watcher
from dedup.files import disk_errors
from dedup.scan.counts import Tally
from dedup.scan.scanner import Scan
from dedup.store.lock import Lock
from dedup.text import times

_SPANS = (60.0, 300.0, 900.0)
_BEAT = 1.0
"""Seconds between two signs of life for systemd, at most."""

_log = logging.getLogger("dedup")


class Vitals:
    """Reports to the file at `path`, and by the `lock` that it cannot; `told` is the last report. `scan` is the pass that is under
    way, `following` the one that events feed; `owing` is when (of the monotonic clock) work began to wait that no pass holds, as
    while the database cannot be written; `unprobed` are owners of files whose writers
    cannot be detected; `alerts` is how their delivery stands, `news` what could not be done
    lately, until somebody takes it from there."""

    def __init__(self, path: str, lock: Lock, watcher: Watcher, following: Scan, unprobed: Collection[int] = ()) -> None:
        self.following = following
        self.scan: Scan | None = None
        self.owing: float | None = None
        self.alerts = Alerts()
        self.news: list[Degraded] = []
        self._path, self._lock, self._watcher, self._unprobed = path, lock, watcher, unprobed
        self._started_at = times.now()
        self._phase: Phase = "starting"
        self._over = Tally()
        self._scans = 0
        self._last: tuple[str, float] | None = None
        self._next_scan = 0.0
        self._degraded: dict[Reason, Degraded] = {}
        self._since = _earlier(path)
        self._samples: deque[tuple[float, int, int]] = deque([(time.monotonic(), 0, 0)])
        self._next_beat = self._next_report = 0.0
        self._failing = False
        self.told = self.health()

    def phase(self, phase: Phase) -> None:
        """What is done from now on."""
        if phase != self._phase:
            self._phase = phase
            self.report()

    def finished(self, scan: Scan, next_scan: float) -> None:
        """A pass over everything has come to its end; the next one is due at `next_scan` of the monotonic clock."""
        self._scans += 1
        self._last = times.now(), scan.tally.seconds
        self._next_scan = next_scan

    def over(self, scan: Scan) -> None:
        """A pass is over, finished or not: what it saw was seen."""
        self._over.add(scan.tally)

    def degrade(self, reason: Reason, message: str) -> bool:
        """Something cannot be done; whether that is news."""
        known = self._degraded.get(reason)
        if known and known.message == message:
            return False
        since = known.since if known else self._since.pop(reason, times.now())
        now = self._degraded[reason] = Degraded(reason, since, message)
        if known is None:
            self.news.append(now)
        self.report()
        return True

    def recover(self, reason: Reason) -> Degraded | None:
        """It can be done again; what was told of it, if anything was."""
        known = self._degraded.pop(reason, None)
        self._since.pop(reason, None)
        if known:
            self.report()
        return known

    def beat(self) -> None:
        """The loop gets on. Tells systemd so, and reports when it is time to."""
        now = time.monotonic()
        if now >= self._next_beat:
            self._next_beat = now + _BEAT
            notify("WATCHDOG=1")
        if now >= self._next_report:
            self.report()

    def report(self) -> None:
        """Write a report."""
        self._next_report = time.monotonic() + health_file.EVERY
        told = self.told = self.health()
        try:
            health_file.write(self._path, told)
        except OSError as error:
            if not self._failing:
                self._failing = True
                self._lock.mute(on=True)
                _log.warning("the report %s cannot be written: %s", self._path, disk_errors.explained(error, self._path))
        else:
            if self._failing:
                self._failing = False
                self._lock.mute(on=False)
        notify("STATUS=" + _sentence(told))

    def health(self) -> Health:
        """The report of this moment."""
        watcher, seen = self._watcher, self.seen()
        unwatched, some = watcher.unwatched()
        self._note_unwatched(unwatched, some)
        return Health(
            process=os.getpid(),
            started_at=self._started_at,
            at=times.now(),
            phase=self._phase,
            seen=seen.as_json() | {"ignored_by": dict(sorted(seen.ignored.items()))},
            backlog=self._backlog(),
            rates=self._rates(seen),
            scans=self._scans,
            last_scan_at=self._last[0] if self._last else None,
            last_scan_seconds=round(self._last[1], 3) if self._last else None,
            next_scan_at=times.after(self._next_scan - time.monotonic()) if self._last else None,
            overflows=watcher.overflows,
            restarts=watcher.restarts,
            unwatched=unwatched,
            unwatched_some=tuple(some),
            alerts=self.alerts,
            unprobed=tuple(sorted(self._unprobed)),
            degraded=tuple(sorted(self._degraded.values(), key=lambda d: d.since)),
        )

    def seen(self) -> Tally:
        """Everything looked at since the start."""
        seen = Tally()
        for tally in (self._over, self.following.tally, self.scan.tally if self.scan else Tally()):
            seen.add(tally)
        return seen

    def _note_unwatched(self, number: int, some: list[str]) -> None:
        told: dict[Reason, str | None] = {
            "events": self._watcher.problem,
            "unwatched": f"{number} folders, {some[0]} among them" if number and not self._watcher.problem else None,
        }
        for reason, message in told.items():
            known = self._degraded.pop(reason, None)
            if message:
                since = known.since if known else self._since.pop(reason, times.now())
                now = self._degraded[reason] = Degraded(reason, since, message)
                if known is None:
                    self.news.append(now)

    def _backlog(self) -> Backlog:
        noted, since = self._watcher.book.waiting()
        parts = [(noted, since), self.following.backlog(), (0, self.owing)]
        if self.scan:
            parts.append(self.scan.backlog())
        oldest = min((begun for _, begun in parts if begun is not None), default=None)
        return Backlog(sum(n for n, _ in parts), round(time.monotonic() - oldest, 1) if oldest is not None else 0.0)

    def _rates(self, seen: Tally) -> Rates:
        now = time.monotonic()
        samples = self._samples
        samples.append((now, seen.files, seen.new + seen.changed + seen.moved))
        while len(samples) > 2 and now - samples[1][0] >= _SPANS[-1]:
            samples.popleft()
        files, recorded = [], []
        for span in _SPANS:
            then = next((s for s in samples if now - s[0] <= span), samples[-1])
            passed = max(now - then[0], 1e-9)
            files.append(round((seen.files - then[1]) / passed, 2))
            recorded.append(round((samples[-1][2] - then[2]) / passed, 2))
        return Rates((files[0], files[1], files[2]), (recorded[0], recorded[1], recorded[2]))


def _earlier(path: str) -> dict[Reason, str]:
    """Since when what this process reported last could not be done, before it opened the database again."""
    last = health_file.read(path)
    return {d.reason: d.since for d in last.degraded} if last and last.process == os.getpid() else {}


def _sentence(told: Health) -> str:
    trouble = "".join(f"; DEGRADED: {d.message}" for d in told.degraded)
    return f"{told.phase}: {told.seen['files']} files seen, {told.backlog.files} waiting{trouble}"
