"""Times: printed without an offset in the files, in UTC with one everywhere else."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


def to_utc(text: str, zone: tzinfo) -> str | None:
    """ISO 8601 in UTC with offset for a time as printed in a file; None if it is not one.

    Anything `datetime.fromisoformat` takes is read; a time without an offset is wall-clock time in `zone` (the earlier
    of two where a clock change repeats an hour).
    """
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def from_ns(nanoseconds: int) -> str:
    """ISO 8601 in UTC for a file's time stamp, whole seconds; clamped to the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{9999 if nanoseconds > 0 else 1:04}-01-01T00:00:00+00:00"


EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def to_local(iso: str, zone: tzinfo) -> datetime:
    """An ISO 8601 time in a zone. At the ends of the calendar, where the zone's own time would be in the year 0 or 10000, it stays in
    UTC. Raises ValueError for what is no time."""
    time = datetime.fromisoformat(iso)
    try:
        return time.astimezone(zone)
    except OverflowError:
        return time.astimezone(UTC)


def add_clamped(time: datetime, delta: timedelta) -> datetime:
    """A time in UTC so much later, or earlier; the calendar's last or first second where it would lie beyond."""
    try:
        return time + delta
    except OverflowError:
        return LATEST if delta > timedelta() else EARLIEST


def format_time(time: datetime, *, with_seconds: bool = False) -> str:
    """`2026-03-02 09:00` or `2026-03-02 09:00:00`; the year always has four digits, which strftime(3) does not promise."""
    return time.replace(tzinfo=None, microsecond=0).isoformat(" ", "seconds" if with_seconds else "minutes")


def now() -> str:
    """The present, ISO 8601 in UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def seconds_from_now(seconds: float) -> str:
    """The time in so many seconds, ISO 8601 in UTC, whole seconds."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0).isoformat()


def seconds_between(earlier: str, later: str) -> float:
    """Seconds from one ISO 8601 time to another; negative where `later` is before `earlier`."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
