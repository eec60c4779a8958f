"""Limit the log lines of each kind, and count the rest.

A flood of one kind of message (200,000 unreadable files, a database that fails every two seconds) must not hide other lines or fill the
disk. Each kind may write `max_lines` lines in `seconds`; then one line reports how many more there were.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

MAX_LINES = 100
"""Lines of one kind in one period."""
PERIOD_SECONDS = 60.0
"""Length of a period in seconds. It begins with the first line of its kind."""
MAX_KINDS = 500
"""Kinds with a count of their own; all others share one."""
OTHER_KIND = "other messages"


@dataclass(slots=True)
class _Period:
    """The counts of a kind since `started_at`, a time of the limiter's clock."""

    started_at: float
    written_count: int = 0
    suppressed_count: int = 0


@dataclass(frozen=True, slots=True)
class SuppressedCount:
    """The number of messages of a kind that were not written in a past period."""

    kind: str
    count: int

    def __str__(self) -> str:
        return f"and {self.count:,} more of this kind: {self.kind}"


class LogLimiter:
    """Decides which messages are written. Thread-safe. `clock` returns monotonic seconds."""

    def __init__(self, max_lines: int = MAX_LINES, seconds: float = PERIOD_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_lines, self.seconds, self._clock = max_lines, seconds, clock
        self._lock = threading.Lock()
        self._periods: dict[str, _Period] = {}

    def admit(self, kind: str) -> bool:
        """Return whether a message of this kind is written now; else count it."""
        now = self._clock()
        with self._lock:
            period = self._periods.get(kind)
            if period is None and len(self._periods) >= MAX_KINDS:
                self._periods = {k: p for k, p in self._periods.items() if p.suppressed_count or now - p.started_at < self.seconds}
                if len(self._periods) >= MAX_KINDS:
                    kind = OTHER_KIND
                    period = self._periods.get(kind)
            if period is None or (not period.suppressed_count and now - period.started_at >= self.seconds):
                period = self._periods[kind] = _Period(now)
            if period.written_count < self._max_lines:
                period.written_count += 1
                return True
            period.suppressed_count += 1
            return False

    def pop_suppressed(self, *, include_running: bool = False) -> list[SuppressedCount]:
        """Return and reset the suppressed counts of past periods, with `include_running` of all periods."""
        now = self._clock()
        with self._lock:
            kinds = [k for k, p in self._periods.items() if include_running or now - p.started_at >= self.seconds]
            periods = [(kind, self._periods.pop(kind)) for kind in kinds]
        return [SuppressedCount(kind, period.suppressed_count) for kind, period in periods if period.suppressed_count]


class LogLimitFilter(logging.Filter):
    """A filter for the handler or logger `target`: add it with `target.addFilter`, and `close` it at the end.

    The kind of a record is its attribute `kind` (`extra={"kind": ...}`), else its message without arguments. The next record after a
    period, a timer or `close` writes how many records were suppressed.
    """

    def __init__(self, target: logging.Handler | logging.Logger, limiter: LogLimiter | None = None) -> None:
        super().__init__()
        self._target = target
        self._limiter = limiter or LogLimiter()
        self._levels: dict[str, int] = {}
        self._timer: threading.Timer | None = None
        self._closed = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the record is written."""
        if getattr(record, "summary", False):
            return True
        self.report_suppressed()
        kind = _record_kind(record)
        if self._limiter.admit(kind):
            return True
        if len(self._levels) < MAX_KINDS:
            self._levels[kind] = record.levelno
        if self._timer is None and not self._closed:
            timer = self._timer = threading.Timer(self._limiter.seconds, self._on_timer)
            timer.daemon = True
            with suppress(RuntimeError, MemoryError):  # no more threads can be started; the next record reports
                timer.start()
        return False

    def report_suppressed(self, *, include_running: bool = False) -> None:
        """Write how many records were suppressed in past periods, or in all."""
        for summary in self._limiter.pop_suppressed(include_running=include_running):
            record = logging.LogRecord("dedup", self._levels.pop(summary.kind, logging.WARNING), __file__, 0, "%s", (summary,), None)
            record.summary = True
            self._target.handle(record)

    def close(self) -> None:
        """Stop the timer and write the remaining counts."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self.report_suppressed(include_running=True)

    def _on_timer(self) -> None:
        self._timer = None
        self.report_suppressed()


def _record_kind(record: logging.LogRecord) -> str:
    kind = getattr(record, "kind", None)
    return str(kind) if kind else str(record.msg)[:200]
