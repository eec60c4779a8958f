"""Times: printed without an offset in the files, in UTC with one everywhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


def to_utc(printed: str, zone: tzinfo) -> str | None:
    """ISO 8601 in UTC with offset for a time as printed in a file; None if it is not one.

    Anything `datetime.fromisoformat` takes is read; a time without an offset is wall-clock time in `zone` (the earlier
    of two where a clock change repeats an hour).
    """
    try:
        time = datetime.fromisoformat(printed)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def from_ns(nanoseconds: int) -> str:
    """ISO 8601 in UTC for a file's time stamp, whole seconds; clamped to the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{9999 if nanoseconds > 0 else 1:04}-01-01T00:00:00+00:00"


def now() -> str:
    """The present, ISO 8601 in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def after(seconds: float) -> str:
    """The time in so many seconds, ISO 8601 in UTC, whole seconds."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0).isoformat()


def seconds_between(earlier: str, later: str) -> float:
    """Seconds from one ISO 8601 time to another; negative where `later` is before `earlier`."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
