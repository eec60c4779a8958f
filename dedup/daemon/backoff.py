"""Pauses between retries of work that failed."""

from __future__ import annotations

import time
from collections.abc import Callable


class Backoff:
    """Doubles the pause with each failure: from `first_seconds` up to `max_seconds`. `retry_at` is a time of `clock`."""

    def __init__(self, first_seconds: float, max_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.retry_at = float("-inf")
        self._first_seconds, self._max_seconds, self._clock = first_seconds, max_seconds, clock
        self._pause_seconds = first_seconds

    def is_waiting(self) -> bool:
        """Return whether it is too early for a retry."""
        return self._clock() < self.retry_at

    def record_failure(self) -> None:
        self.retry_at = self._clock() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, self._max_seconds)

    def record_success(self) -> None:
        self._pause_seconds = self._first_seconds
