"""A health report of a daemon."""

from __future__ import annotations

from dedup.daemon.health_file import Backlog, Degradation, Health, Rates

REPORT = Health(
    process=4711,
    started_at="2026-03-05T09:12:40+00:00",
    at="2026-03-05T09:13:40+00:00",
    phase="watching",
    counts={"files": 3},
    backlog=Backlog(2, 1.5),
    rates=Rates((1.0, 2.0, 3.0), (0.5, 0.0, 0.25)),
    scans=2,
    unwatched=1,
    unwatched_examples=("/srv/가/\\xff",),
    degraded=(Degradation("database", "2026-03-05T09:13:00+00:00", "database or disk is full"),),
)
