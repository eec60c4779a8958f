"""Hours and days of a zone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from dedup.text import times

HOUR = 3600
UNITS = ((HOUR, "hour"), (24 * HOUR, "day"), (7 * 24 * HOUR, "week"), (28 * 24 * HOUR, "four weeks"), (364 * 24 * HOUR, "52 weeks"))
"""What hours are gathered to: (seconds, what it is called)."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Spans of time one after the other, without gaps: the beginning of each, and the sums of it; `unit` is what each is."""

    unit: str
    begins: tuple[datetime, ...]
    sums: tuple[tuple[int, ...], ...]


def hour_of(quarter: str, zone: ZoneInfo) -> str:
    """The beginning of the hour in a zone that a quarter of an hour lies in, which is told as `2026-03-02T09:3` in UTC."""
    moment = times.local(f"{quarter[:-1]}{15 * int(quarter[-1]):02}:00+00:00", zone)
    return moment.replace(minute=0).isoformat()


def day_of(hour: str) -> int:
    """Which hour of the day it is."""
    return int(hour[11:13])


def gathered(hours: Sequence[tuple[str, tuple[int, ...]]], most: int) -> Gathered | None:
    """Sums of hours (their beginning in a zone, with offset), in spans of one length so that there are no more than `most`. None where
    there are no hours. Days begin with the clocks of the zone, weeks on Mondays."""
    if not hours:
        return None
    clocks = [datetime.fromisoformat(hour).replace(tzinfo=None) for hour, _ in hours]
    first, last = min(clocks), max(clocks)
    fitting = (u for u in UNITS if (last - _begin(first, u[0])).total_seconds() // u[0] < most)
    seconds, unit = next(fitting, (0, ""))
    if not seconds:
        longest = UNITS[-1][0]
        several = int((last - _begin(first, longest)).total_seconds() // longest // most) + 1
        seconds, unit = longest * several, f"{52 * several} weeks"
    begin = _begin(first, seconds)
    number = int((last - begin).total_seconds() // seconds) + 1
    width = len(hours[0][1])
    sums = [[0] * width for _ in range(number)]
    for clock, (_, values) in zip(clocks, hours, strict=True):
        there = sums[int((clock - begin).total_seconds() // seconds)]
        for i, value in enumerate(values):
            there[i] += value
    begins = tuple(begin + timedelta(seconds=seconds * n) for n in range(number))
    return Gathered(unit, begins, tuple(map(tuple, sums)))


def _begin(moment: datetime, seconds: int) -> datetime:
    if seconds <= HOUR:
        return moment
    day = moment.replace(hour=0)
    back = day.weekday() if seconds > 24 * HOUR and day.toordinal() > day.weekday() else 0
    return day - timedelta(days=back)
