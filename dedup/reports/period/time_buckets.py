"""Groups hours into hours, days or weeks of a time zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dedup.text import times

HOUR_SECONDS = 3600
SPAN_UNITS = (
    (HOUR_SECONDS, "hour"),
    (24 * HOUR_SECONDS, "day"),
    (7 * 24 * HOUR_SECONDS, "week"),
    (28 * 24 * HOUR_SECONDS, "four weeks"),
    (364 * 24 * HOUR_SECONDS, "52 weeks"),
)
"""Spans into which hours are grouped: (seconds, name)."""


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Consecutive spans of time without gaps: begin and sums of each. `unit` is the name of the span."""

    unit: str
    begins: tuple[datetime, ...]
    sums: tuple[tuple[int, ...], ...]


def local_hour(quarter: str, zone: ZoneInfo) -> str:
    """Return the begin of the local hour that contains a quarter of an hour, as ISO 8601 with offset.

    `quarter` is in UTC; `2026-03-02T09:3` is the quarter from 09:45.
    """
    local_time = times.to_local(f"{quarter[:-1]}{15 * int(quarter[-1]):02}:00+00:00", zone)
    return local_time.replace(minute=0).isoformat()


def hour_of_day(hour: str) -> int:
    """Return the hour of the day (0 to 23) of an ISO 8601 time."""
    return int(hour[11:13])


def group_hours(hours: Sequence[tuple[str, tuple[int, ...]]], limit: int) -> TimeSeries | None:
    """Add the values of hours up into at most `limit` spans of equal length, as short as possible. None without hours.

    `hours` are (begin with offset, values). Days begin at local midnight, weeks on Monday.
    """
    if not hours:
        return None
    local_times = [datetime.fromisoformat(hour).replace(tzinfo=None) for hour, _ in hours]
    first, last = min(local_times), max(local_times)
    units = (u for u in SPAN_UNITS if (last - _span_begin(first, u[0])).total_seconds() // u[0] < limit)
    seconds, unit = next(units, (0, ""))
    if not seconds:
        longest = SPAN_UNITS[-1][0]
        multiple = int((last - _span_begin(first, longest)).total_seconds() // longest // limit) + 1
        seconds, unit = longest * multiple, f"{52 * multiple} weeks"
    begin = _span_begin(first, seconds)
    bucket_count = int((last - begin).total_seconds() // seconds) + 1
    width = len(hours[0][1])
    sums = [[0] * width for _ in range(bucket_count)]
    for local_time, (_, values) in zip(local_times, hours, strict=True):
        bucket = sums[int((local_time - begin).total_seconds() // seconds)]
        for i, value in enumerate(values):
            bucket[i] += value
    begins = tuple(begin + timedelta(seconds=seconds * n) for n in range(bucket_count))
    return TimeSeries(unit, begins, tuple(map(tuple, sums)))


def _span_begin(time: datetime, seconds: int) -> datetime:
    if seconds <= HOUR_SECONDS:
        return time
    day = time.replace(hour=0)
    days_back = day.weekday() if seconds > 24 * HOUR_SECONDS and day.toordinal() > day.weekday() else 0
    return day - timedelta(days=days_back)
