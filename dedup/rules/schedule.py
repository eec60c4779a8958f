"""When something is told: at once or in a digest, not in quiet hours, and not too often."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

DigestReason = Literal["schedule", "backlog", "quiet_hours", "rate_limit", "late", "incident"]
"""Why something is told in a digest, or later: by its rule, because nobody looked for a while, because of quiet hours, because
too much was told in this hour, because it could not be sent in time; an incident waits for more of its pages."""

_STEP = timedelta(minutes=10)
"""No zone changes its clocks twice within this time."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`frequency`: `at once`, `hourly` (at the full hour) or `daily` at the time `at`; in `quiet_hours`, from one time to another, nothing
    is sent, and at most `max_per_hour` messages an hour (0: no limit). All times are those of the `zone`."""

    frequency: Literal["at once", "hourly", "daily"] = "at once"
    at: time = time(8)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    quiet_hours: tuple[time, time] | None = None
    max_per_hour: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryTime:
    """`at` in UTC; `digest_reason` says why it is sent together with what else is due then, None: by itself."""

    at: datetime
    digest_reason: DigestReason | None = None


def delivery_time(now: datetime, schedule: Schedule, *, sent_this_hour: int = 0, gather_time: timedelta | None = None) -> DeliveryTime:
    """When what happened now is told. `sent_this_hour` messages of this rule went out since `start_of_hour(now)`. `gather_time`: it comes
    of a backlog and waits this long for more. What would be due in quiet hours is due at the first moment that is not among them, whatever
    happens to the clocks of the zone meanwhile."""
    if schedule.frequency == "hourly":
        planned_time = DeliveryTime(_next_hour(now, schedule.zone), "schedule")
    elif schedule.frequency == "daily":
        planned_time = DeliveryTime(_next_time_of_day(now, schedule.at, schedule.zone), "schedule")
    elif gather_time is not None:
        planned_time = DeliveryTime(now + gather_time, "backlog")
    elif 0 < schedule.max_per_hour <= sent_this_hour:
        planned_time = DeliveryTime(_next_hour(now, schedule.zone), "rate_limit")
    else:
        planned_time = DeliveryTime(now)
    at = planned_time.at.astimezone(UTC)
    if schedule.quiet_hours is None:
        return DeliveryTime(at, planned_time.digest_reason)
    allowed_at = _end_of_quiet_hours(at, *schedule.quiet_hours, schedule.zone)
    return DeliveryTime(allowed_at, planned_time.digest_reason or ("quiet_hours" if allowed_at != at else None))


def start_of_hour(now: datetime, zone: ZoneInfo) -> datetime:
    """The beginning of the hour that it is, by the clocks of the zone; in UTC."""
    local = now.astimezone(zone)
    return now.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _next_hour(now: datetime, zone: ZoneInfo) -> datetime:
    """The next moment at which clocks show a full hour. A change of clocks by half an hour moves it."""
    at = start_of_hour(now, zone) + timedelta(hours=1)
    while (local := at.astimezone(zone)).minute or local.second:
        at += timedelta(minutes=60 - local.minute) - timedelta(seconds=local.second)
    return at


def _next_time_of_day(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The next time at which clocks show `at`, once for each date: the first time where they show it twice; where they leap over it, when
    they would have shown it."""
    day = now.astimezone(zone).date()
    days = (day + timedelta(days=n) for n in range(-2, 4))
    moments = (datetime.combine(d, at, zone).astimezone(UTC) for d in days)
    return next(m for m in moments if m > now)


def _end_of_quiet_hours(at: datetime, begin: time, end: time, zone: ZoneInfo) -> datetime:
    """The first moment from `at` on that is not within quiet hours, in UTC. `begin` and `end` differ."""
    while _is_within((local := at.astimezone(zone)).time(), begin, end):
        remaining = _time_until(local.time(), end)
        clock_change = _find_clock_change(at, at + remaining, zone)
        if clock_change is None:
            return at + remaining
        at = clock_change  # the clocks show another time from now on: look again
    return at


def _time_until(earlier: time, later: time) -> timedelta:
    """From one time of a clock to the next at which it shows another, as long as nobody changes it."""
    day = date(2000, 1, 1)
    return (datetime.combine(day, later) - datetime.combine(day, earlier)) % _DAY


def _find_clock_change(after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment after one, and not after another, at which the clocks of a zone are changed; None where there is none."""
    offset = after.astimezone(zone).utcoffset()
    low = after
    while low < until:
        high = min(low + _STEP, until)
        if high.astimezone(zone).utcoffset() != offset:
            low, high = low.replace(microsecond=0), high.replace(microsecond=0) + timedelta(seconds=bool(high.microsecond))
            while high - low > timedelta(seconds=1):
                middle = low + timedelta(seconds=(high - low) // timedelta(seconds=2))
                if middle.astimezone(zone).utcoffset() == offset:
                    low = middle
                else:
                    high = middle
            return high
        low = high
    return None


def _is_within(moment: time, begin: time, end: time) -> bool:
    return begin <= moment < end if begin < end else moment >= begin or moment < end
