"""When something is told: at once or in a digest, not in quiet hours, and not too often."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Why = Literal["rhythm", "backlog", "quiet", "cap", "late", "incident"]
"""Why something is told in a digest, or later: by its rule, because nobody looked for a while, because of quiet hours, because
too much was told in this hour, because it could not be sent in time; an incident waits for more of its pages."""

_STEP = timedelta(minutes=10)
"""No zone changes its clocks twice within this time."""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """`every`: `at once`, `hourly` (at the full hour) or `daily` at the time `at`; `quiet` from one time to another nothing is told, at
    most so many messages an hour (0: no limit). All times are those of the `zone`."""

    every: Literal["at once", "hourly", "daily"] = "at once"
    at: time = time(8)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))
    quiet: tuple[time, time] | None = None
    most_per_hour: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """`at` in UTC; `digest` tells why it is told together with what else is due then, None: by itself."""

    at: datetime
    digest: Why | None = None


def due(now: datetime, rhythm: Rhythm, *, sent_this_hour: int = 0, gather: timedelta | None = None) -> Due:
    """When what happened now is told. `sent_this_hour` messages of this rule went out since `hour_of(now)`. `gather`: it comes of a
    backlog and waits so long for more. What would be due in quiet hours is due at the first moment that is not among them, whatever
    happens to the clocks of the zone meanwhile."""
    if rhythm.every == "hourly":
        found = Due(_next_hour(now, rhythm.zone), "rhythm")
    elif rhythm.every == "daily":
        found = Due(_next(now, rhythm.at, rhythm.zone), "rhythm")
    elif gather is not None:
        found = Due(now + gather, "backlog")
    elif 0 < rhythm.most_per_hour <= sent_this_hour:
        found = Due(_next_hour(now, rhythm.zone), "cap")
    else:
        found = Due(now)
    at = found.at.astimezone(UTC)
    if rhythm.quiet is None:
        return Due(at, found.digest)
    end = _end_of_quiet(at, *rhythm.quiet, rhythm.zone)
    return Due(end, found.digest or ("quiet" if end != at else None))


def hour_of(now: datetime, zone: ZoneInfo) -> datetime:
    """The beginning of the hour that it is, by the clocks of the zone; in UTC."""
    local = now.astimezone(zone)
    return now.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _next_hour(now: datetime, zone: ZoneInfo) -> datetime:
    """The next moment at which clocks show a full hour. A change of clocks by half an hour moves it."""
    at = hour_of(now, zone) + timedelta(hours=1)
    while (shown := at.astimezone(zone)).minute or shown.second:
        at += timedelta(minutes=60 - shown.minute) - timedelta(seconds=shown.second)
    return at


def _next(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The next time at which clocks show `at`, once for each date: the first time where they show it twice; where they leap over it, when
    they would have shown it."""
    day = now.astimezone(zone).date()
    days = (day + timedelta(days=n) for n in range(-2, 4))
    moments = (datetime.combine(d, at, zone).astimezone(UTC) for d in days)
    return next(m for m in moments if m > now)


def _end_of_quiet(at: datetime, begin: time, end: time, zone: ZoneInfo) -> datetime:
    """The first moment from `at` on that is not within quiet hours, in UTC. `begin` and `end` differ."""
    while _within((local := at.astimezone(zone)).time(), begin, end):
        left = _between(local.time(), end)
        changed = _change(at, at + left, zone)
        if changed is None:
            return at + left
        at = changed  # the clocks show another time from now on: look again
    return at


def _between(earlier: time, later: time) -> timedelta:
    """From one time of a clock to the next at which it shows another, as long as nobody changes it."""
    day = date(2000, 1, 1)
    return (datetime.combine(day, later) - datetime.combine(day, earlier)) % _DAY


def _change(after: datetime, until: datetime, zone: ZoneInfo) -> datetime | None:
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


def _within(moment: time, begin: time, end: time) -> bool:
    return begin <= moment < end if begin < end else moment >= begin or moment < end
