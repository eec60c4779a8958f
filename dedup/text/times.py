"""Convert and format times. Files print them without an offset; everywhere else they are ISO 8601 in UTC with offset."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo


def to_utc(text: str, zone: tzinfo) -> str | None:
    """Return a printed time as ISO 8601 in UTC with offset; None if `datetime.fromisoformat` cannot parse it.

    A time without an offset is wall-clock time in `zone`; in an hour that a clock change repeats, it is the earlier one.
    """
    try:
        time = datetime.fromisoformat(text)
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        return None


def from_ns(nanoseconds: int) -> str:
    """Return a file's time stamp as ISO 8601 in UTC, in whole seconds, clamped to the years 1 to 9999."""
    try:
        return datetime.fromtimestamp(nanoseconds // 1_000_000_000, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return f"{9999 if nanoseconds > 0 else 1:04}-01-01T00:00:00+00:00"


EARLIEST = datetime(1, 1, 1, tzinfo=UTC)
LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def to_local(iso: str, zone: tzinfo) -> datetime:
    """Return an ISO 8601 time in a zone, or in UTC if the zone's time would be in the year 0 or 10000. Raises ValueError."""
    time = datetime.fromisoformat(iso)
    try:
        return time.astimezone(zone)
    except OverflowError:
        return time.astimezone(UTC)


def add_clamped(time: datetime, delta: timedelta) -> datetime:
    """Return the sum of a time in UTC and `delta`, clamped to the calendar's first and last second."""
    try:
        return time + delta
    except OverflowError:
        return LATEST if delta > timedelta() else EARLIEST


def format_time(time: datetime, *, with_seconds: bool = False) -> str:
    """Return `2026-03-02 09:00` or `2026-03-02 09:00:00`. The year has four digits, which strftime(3) does not guarantee."""
    return time.replace(tzinfo=None, microsecond=0).isoformat(" ", "seconds" if with_seconds else "minutes")


def now() -> str:
    """Return the current time as ISO 8601 in UTC, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def seconds_from_now(seconds: float) -> str:
    """Return the time `seconds` from now as ISO 8601 in UTC, in whole seconds."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0).isoformat()


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from one ISO 8601 time to another; negative if `later` is before `earlier`."""
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()
