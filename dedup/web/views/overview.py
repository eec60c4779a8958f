"""Where one begins: how things go now, the last day in a picture, what is new."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from markupsafe import Markup

from dedup import charts, reports, store
from dedup.model import SEVERITIES
from dedup.reports import ChangeFilter, IncidentGrouping
from dedup.reports.status import daemon_as_json, daemon_status
from dedup.store import Database
from dedup.text import times
from dedup.web.render import Page, QueryParameters
from dedup.web.views.clusters import cluster_as_json

MAX_LISTED = 6
"""Of each kind."""
HOURS = 24
ALERT_FIELDS = ("public_id", "topic", "kind", "severity", "title", "publisher", "url", "at", "page_count")
"""Fields of an alert that are shown."""


def view(database: Database, query: QueryParameters) -> Page:
    """The daemon in short; pages that arrived in the last 24 hours (or in those before the last crawl, where nothing did); growing
    clusters, silent edits, alerts."""
    last_crawled_at = store.statistics.latest_crawl(database)
    now = times.now()
    since, until = _day_ending(now)
    arrivals = store.lists.arrivals_by_hour(database, since, until)
    is_today = bool(arrivals)
    if not is_today and last_crawled_at is not None:
        since, until = _day_ending(last_crawled_at)
        arrivals = store.lists.arrivals_by_hour(database, since, until)
    hours = _hourly_arrivals(since, {h: (n, c) for h, n, c in arrivals}, ZoneInfo(query.settings.delivery.zone))
    change_settings = query.settings.changes
    grouping = IncidentGrouping(change_settings.incident_pages, change_settings.incident_hours)
    daemon_state = daemon_as_json(daemon_status(query.settings.database.path))
    content: dict[str, Any] = {
        "problems": daemon_state["problems"],
        "daemon": daemon_state["daemon"],
        "writer": daemon_state["writer"],
        "pages": store.statistics.count(database, "pages"),
        "dirty_pages": store.statistics.count_unsummarised_pages(database),
        "last_crawled_at": last_crawled_at,
        "since": since,
        "until": until,
        "is_today": is_today,
        "hours": hours,
        "new_pages": sum(h["pages"] for h in hours),
        "copies": sum(h["copies"] for h in hours),
        "growing": [
            cluster_as_json(c) | {"added_articles": added} for c, added in store.lists.growing_clusters(database, since, MAX_LISTED)
        ],
        "silent_edits": list(
            islice(reports.list_changes(database, ChangeFilter(silent=True, min_severity=SEVERITIES[0]), grouping), MAX_LISTED)
        ),
        "alerts": [
            {name: getattr(a, name) for name in ALERT_FIELDS} for a in store.alerts.list_latest(database, MAX_LISTED, active_only=True)
        ],
        "mismatched": sum(c.page_count for c in store.lists.checks_by_publisher(database) if c.check_status == "mismatched"),
        "faults": store.statistics.count(database, "faults"),
    }
    return Page("overview.html", "Overview", content, {"chart": _chart(hours)})


def _day_ending(until: str) -> tuple[str, str]:
    """The 24 hours that end with the hour of a time, in UTC."""
    hour = datetime.fromisoformat(until).replace(minute=0, second=0, microsecond=0)
    end = times.add_clamped(hour, timedelta(hours=1))
    return times.add_clamped(hour, timedelta(hours=1 - HOURS)).isoformat(), end.isoformat()


def _hourly_arrivals(since: str, arrivals: dict[str, tuple[int, int]], zone: ZoneInfo) -> list[dict[str, Any]]:
    begin = datetime.fromisoformat(since)
    hours: list[dict[str, Any]] = []
    for n in range(HOURS):
        at = times.add_clamped(begin, timedelta(hours=n)).replace(minute=0, second=0)
        if hours and hours[-1]["at"] == at.isoformat():
            break  # the calendar ends
        pages, copies = arrivals.get(at.isoformat()[:13], (0, 0))
        hours.append({"at": at.isoformat(), "label": times.to_local(at.isoformat(), zone).strftime("%H"), "pages": pages, "copies": copies})
    return hours


def _chart(hours: list[dict[str, Any]]) -> Markup:
    if not any(h["pages"] for h in hours):
        return Markup("")
    description = "A column for each hour: articles that are no copies, and above them copies of others."
    columns = [
        charts.ChartColumn(
            h["label"], (h["pages"] - h["copies"], h["copies"]), f"{h['pages']:,} new, {h['copies']:,} of them copies", h["at"]
        )
        for h in hours
    ]
    return Markup(charts.render_columns("New pages an hour", description, columns, max_labels=8))  # noqa: S704  it escapes
