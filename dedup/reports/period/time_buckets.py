"""Hours and days of a zone."""

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
"""What hours are gathered to: (seconds, what it is called)."""


@dataclass(frozen=True, slots=True)
class TimeSeries:
    """Spans of time one after the other, without gaps: the beginning of each, and the sums of it; `unit` is what each is."""

    unit: str
    begins: tuple[datetime, ...]
    sums: tuple[tuple[int, ...], ...]


def local_hour(quarter: str, zone: ZoneInfo) -> str:
    """The beginning of the hour in a zone that a quarter of an hour lies in, which is told as `2026-03-02T09:3` in UTC."""
    local_time = times.to_local(f"{quarter[:-1]}{15 * int(quarter[-1]):02}:00+00:00", zone)
    return local_time.replace(minute=0).isoformat()


def hour_of_day(hour: str) -> int:
    """Which hour of the day it is."""
    return int(hour[11:13])


def group_hours(hours: Sequence[tuple[str, tuple[int, ...]]], limit: int) -> TimeSeries | None:
    """Sums of hours (their beginning in a zone, with offset), in spans of one length so that there are no more than `limit`. None where
    there are no hours. Days begin with the clocks of the zone, weeks on Mondays."""
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
