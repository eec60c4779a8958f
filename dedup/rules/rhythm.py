"""When something is told: at once or in a digest, not in quiet hours, and not too often."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

Why = Literal["rhythm", "backlog", "quiet", "cap", "late", "incident"]
"""Why something is told in a digest, or later: by its rule, because nobody looked for a while, because of quiet hours, because
too much was told in this hour, because it could not be sent in time; an incident waits for more of its pages."""


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
    backlog and waits so long for more."""
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
    if rhythm.quiet is not None and _within(found.at.astimezone(rhythm.zone).time(), *rhythm.quiet):
        return Due(_next(found.at, rhythm.quiet[1], rhythm.zone), found.digest or "quiet")
    return Due(found.at.astimezone(UTC), found.digest)


def hour_of(now: datetime, zone: ZoneInfo) -> datetime:
    """The beginning of the hour that it is, by the clocks of the zone; in UTC."""
    local = now.astimezone(zone)
    return now.astimezone(UTC) - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def _next_hour(now: datetime, zone: ZoneInfo) -> datetime:
    return hour_of(now, zone) + timedelta(hours=1)


def _next(now: datetime, at: time, zone: ZoneInfo) -> datetime:
    """The next time at which clocks show `at`; where they leap over it, when they would have shown it."""
    day = now.astimezone(zone).date()
    days = (day + timedelta(days=n) for n in range(-1, 3))
    moments = (datetime.combine(d, at, zone).astimezone(UTC) for d in days)
    return next(m for m in moments if m > now)


def _within(moment: time, begin: time, end: time) -> bool:
    return begin <= moment < end if begin < end else moment >= begin or moment < end
