"""When an alert is sent: at once or in a digest, outside quiet hours, and within the hourly limit."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

DigestReason = Literal["schedule", "backlog", "quiet_hours", "rate_limit", "late", "incident"]
"""Why an alert is sent in a digest, or later: its rule's schedule, a time without a scan, quiet hours, the hourly limit, a delivery
that came too late, or an incident that waits for more of its pages."""

_STEP = timedelta(minutes=10)
"""No zone changes its clocks twice within this time."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Schedule:
    """When alerts of a rule are sent.

    `frequency`: `at once`, `hourly` (at the full hour) or `daily` at the time `at`. In `quiet_hours`, from one time to another,
    nothing is sent. At most `max_per_hour` messages are sent in an hour (0: no limit). All times are those of `zone`.
    """

    frequency: Literal["at once", "hourly", "daily"] = "at once"
    at: time = time(8)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    quiet_hours: tuple[time, time] | None = None
    max_per_hour: int = 0


@dataclass(frozen=True, slots=True)
class DeliveryTime:
    """`at` is in UTC. `digest_reason`: why the alert is sent together with others that are due then; None: it is sent by itself."""

    at: datetime
    digest_reason: DigestReason | None = None


def delivery_time(now: datetime, schedule: Schedule, *, sent_this_hour: int = 0, gather_time: timedelta | None = None) -> DeliveryTime:
    """Return when an alert of an event at `now` is sent.

    `sent_this_hour`: messages of this rule since `start_of_hour(now)`. `gather_time`: the event is part of a backlog and waits this
    long for more. A time within quiet hours becomes the first moment after them, even if the zone's clocks change in between.
    """
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
    """Return the beginning of the current hour of the zone's clocks, in UTC."""
    local = now.astimezone(zone)
    return now.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _next_hour(now: datetime, zone: ZoneInfo) -> datetime:
    """The next full hour of the zone's clocks, in UTC. If they change by half an hour, it comes sooner or later."""
    at = now.astimezone(UTC)
    while True:
        full_hour = start_of_hour(at, zone) + timedelta(hours=1)
        clock_change = _find_clock_change(at, full_hour, zone)
        if clock_change is None:
            return full_hour
        local = clock_change.astimezone(zone)
        if not local.minute and not local.second:
            return clock_change
        at = clock_change


def _next_time_of_day(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The next time at which the clocks show `at`, once for each date. If they show it twice, the first time counts; if they skip it,
    the time at which they would have shown it."""
    day = now.astimezone(zone).date()
    days = (day + timedelta(days=n) for n in range(-2, 4))
    moments = (datetime.combine(d, at, zone).astimezone(UTC) for d in days)
    return next(m for m in moments if m > now)


def _end_of_quiet_hours(at: datetime, begin: time, end: time, zone: ZoneInfo) -> datetime:
    """The first moment from `at` on that is outside quiet hours, in UTC. `begin` and `end` must differ."""
    while _is_within((local := at.astimezone(zone)).time(), begin, end):
        remaining = _time_until(local.time(), end)
        clock_change = _find_clock_change(at, at + remaining, zone)
        if clock_change is None:
            return at + remaining
        at = clock_change  # the clocks show another time from here on: check again
    return at


def _time_until(earlier: time, later: time) -> timedelta:
    """Time from one time of day to the next occurrence of another, without a clock change."""
    day = date(2000, 1, 1)
    return (datetime.combine(day, later) - datetime.combine(day, earlier)) % _DAY


def _find_clock_change(after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
    """The first moment after `after`, up to `until`, at which the zone's clocks change; None if they do not."""
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
