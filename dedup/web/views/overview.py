"""Where one begins: how things go now, the last day in a picture, what is new."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from dedup import charts, reports, store
from dedup.model import SEVERITIES
from dedup.reports import Folding, Wanted
from dedup.reports.status import daemon, told
from dedup.store import Database
from dedup.text import times
from dedup.web.render import Answer, Asked
from dedup.web.views.clusters import as_told

SHOWN = 6
"""Of each kind."""
HOURS = 24
ALERT = ("name", "topic", "kind", "severity", "title", "publisher", "url", "at", "pages")
"""What is told of an alert."""


def view(database: Database, asked: Asked) -> Answer:
    """The daemon in short; pages that arrived in the last 24 hours (or in those before the last crawl, where nothing did); growing
    clusters, stealthy edits, alerts."""
    last = store.lists.latest_crawl(database)
    now = times.now()
    since, until = _day(now)
    arrivals = store.lists.arrivals_by_hour(database, since, until)
    live = bool(arrivals)
    if not live and last is not None:
        since, until = _day(last)
        arrivals = store.lists.arrivals_by_hour(database, since, until)
    hours = _hours(since, {h: (n, c) for h, n, c in arrivals}, ZoneInfo(asked.settings.delivery.zone))
    changes = asked.settings.changes
    folding = Folding(changes.incident_pages, changes.incident_hours)
    state = told(daemon(asked.settings.database.path))
    found: dict[str, Any] = {
        "problems": state["problems"],
        "daemon": state["daemon"],
        "writer": state["writer"],
        "pages": store.statistics.count(database, "pages"),
        "due": store.lists.count_unsummarised_pages(database),
        "last_crawled_at": last,
        "since": since,
        "until": until,
        "live": live,
        "hours": hours,
        "arrived": sum(h["pages"] for h in hours),
        "copies": sum(h["copies"] for h in hours),
        "growing": [as_told(c) | {"grown": grown} for c, grown in store.lists.growing_clusters(database, since, SHOWN)],
        "stealth": list(islice(reports.changes(database, Wanted(stealth=True, min_severity=SEVERITIES[0]), folding), SHOWN)),
        "alerts": [{name: getattr(a, name) for name in ALERT} for a in store.alerts.list_latest(database, SHOWN, standing=True)],
        "mismatched": sum(n for _, status, _, n in store.lists.checks_by_publisher(database) if status == "mismatched"),
        "faults": store.statistics.count(database, "faults"),
    }
    return Answer("overview.html", "Overview", found, {"chart": _chart(hours)})


def _day(until: str) -> tuple[str, str]:
    """The 24 hours that end with the hour of a time, in UTC."""
    hour = datetime.fromisoformat(until).replace(minute=0, second=0, microsecond=0)
    end = times.shifted(hour, timedelta(hours=1))
    return times.shifted(hour, timedelta(hours=1 - HOURS)).isoformat(), end.isoformat()


def _hours(since: str, arrivals: dict[str, tuple[int, int]], zone: ZoneInfo) -> list[dict[str, Any]]:
    begin = datetime.fromisoformat(since)
    found: list[dict[str, Any]] = []
    for n in range(HOURS):
        at = times.shifted(begin, timedelta(hours=n)).replace(minute=0, second=0)
        if found and found[-1]["at"] == at.isoformat():
            break  # the calendar ends
        pages, copies = arrivals.get(at.isoformat()[:13], (0, 0))
        found.append({"at": at.isoformat(), "label": times.local(at.isoformat(), zone).strftime("%H"), "pages": pages, "copies": copies})
    return found


def _chart(hours: list[dict[str, Any]]) -> Markup:
    if not any(h["pages"] for h in hours):
        return Markup("")
    told = "A column for each hour: articles that are no copies, and above them copies of others."
    shown = [
        charts.Column(h["label"], (h["pages"] - h["copies"], h["copies"]), f"{h['pages']:,} new, {h['copies']:,} of them copies", h["at"])
        for h in hours
    ]
    return Markup(charts.columns("New pages an hour", told, shown, labels=8))  # noqa: S704  it escapes
