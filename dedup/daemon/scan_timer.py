"""When the next timed scan is due."""

from __future__ import annotations

import time

MIN_INTERVAL_FACTOR = 50
"""Timed scans are at least this many times as far apart as the last scan took to compare files with the database."""
INCOMPLETE_INTERVAL_SECONDS = 10.0
"""Minimum seconds between scans while folders are not watched that could be: each such scan tries to watch them again."""


class ScanTimer:
    """Computes the time of the next scan from the cost of the last one. Times are those of the monotonic clock."""

    def __init__(self, interval_seconds: float) -> None:
        self.next_scan = 0.0
        self._interval_seconds = interval_seconds
        self._next_incomplete_scan = 0.0

    def record_scan(self, compare_seconds: float, restart_seconds: float) -> None:
        """Note that a scan ended. It spent `compare_seconds` on comparing, after the observer was restarted in `restart_seconds`."""
        now = time.monotonic()
        self.next_scan = now + max(self._interval_seconds, MIN_INTERVAL_FACTOR * compare_seconds)
        incomplete_interval = max(INCOMPLETE_INTERVAL_SECONDS, MIN_INTERVAL_FACTOR * (restart_seconds + compare_seconds))
        self._next_incomplete_scan = now + incomplete_interval

    def next_time(self, *, is_incomplete: bool) -> float:
        """Return when the next scan is due. `is_incomplete`: something is not watched."""
        return min(self.next_scan, self._next_incomplete_scan) if is_incomplete else self.next_scan
