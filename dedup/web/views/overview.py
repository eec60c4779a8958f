"""The start page: state of the daemon, pages of the last day, and what is new."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple
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
"""Growing clusters, silent changes and alerts that are listed."""
HOURS = 24
"""Hours of the chart."""
ALERT_FIELDS = ("topic", "kind", "severity", "title", "publisher", "url", "at", "page_count")
"""Fields of an alert in the content of the page, beside its id."""


def view(database: Database, query: QueryParameters) -> Page:
    """Show the daemon, the new pages of the last 24 hours, growing clusters, silent changes and alerts.

    If no page was new in the last 24 hours, the 24 hours up to the last crawl are shown instead.
    """
    last_crawled_at = store.statistics.latest_crawl(database)
    day = _find_day(database, last_crawled_at)
    hours = _hourly_arrivals(day.since, day.arrivals, ZoneInfo(query.settings.delivery.zone))
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
        "since": day.since,
        "until": day.until,
        "is_today": day.is_today,
        "hours": hours,
        "new_pages": sum(h["pages"] for h in hours),
        "copies": sum(h["copies"] for h in hours),
        "growing": [
            cluster_as_json(c) | {"added_articles": added} for c, added in store.lists.growing_clusters(database, day.since, MAX_LISTED)
        ],
        "silent_edits": list(
            islice(reports.list_changes(database, ChangeFilter(silent=True, min_severity=SEVERITIES[0]), grouping), MAX_LISTED)
        ),
        "alerts": [
            {"id": a.public_id} | {name: getattr(a, name) for name in ALERT_FIELDS}
            for a in store.alerts.list_latest(database, MAX_LISTED, active_only=True)
        ],
        "mismatched": sum(c.page_count for c in store.lists.checks_by_publisher(database) if c.check_status == "mismatched"),
        "faults": store.statistics.count(database, "faults"),
    }
    return Page("overview.html", "Overview", content, {"chart": _chart(hours)})


class _Day(NamedTuple):
    """24 hours in UTC, and (pages, copies) by the hour (`2026-03-02T09`) in which pages were crawled for the first time."""

    since: str
    until: str
    is_today: bool
    arrivals: dict[str, tuple[int, int]]


def _find_day(database: Database, last_crawled_at: str | None) -> _Day:
    """Return the last 24 hours, or those up to the last crawl if no page was new in the last ones."""
    day = _read_day(database, times.now(), is_today=True)
    if day.arrivals:
        return day
    return day._replace(is_today=False) if last_crawled_at is None else _read_day(database, last_crawled_at, is_today=False)


def _read_day(database: Database, until: str, *, is_today: bool) -> _Day:
    since, until = _day_ending(until)
    arrivals = {hour: (pages, copies) for hour, pages, copies in store.lists.arrivals_by_hour(database, since, until)}
    return _Day(since, until, is_today, arrivals)


def _day_ending(until: str) -> tuple[str, str]:
    """Return begin and end of the 24 hours that end with the hour of a time, in UTC."""
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
    description = "One column per hour: articles that are not copies, and stacked on them copies of other articles."
    columns = [
        charts.ChartColumn(
            h["label"], (h["pages"] - h["copies"], h["copies"]), f"{h['pages']:,} new, {h['copies']:,} of them copies", h["at"]
        )
        for h in hours
    ]
    return Markup(charts.render_columns("New pages per hour", description, columns, max_labels=8))  # noqa: S704  it escapes
