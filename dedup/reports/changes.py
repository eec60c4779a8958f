"""Changes of all pages, the latest first. An edit of many pages (an incident) can be listed once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

from dedup import store
from dedup.model import SEVERITIES
from dedup.reports.history import STATE_RECIPE
from dedup.store import Database
from dedup.store.changes import FeedCursor, Incident
from dedup.store.rows import ClassifiedChange
from dedup.text.publishers import PublisherResolver

CHANGE_COLUMNS = (
    "url", "title", "publisher", "at", "previous_at", "kind", "severity", "silent", "corrected", "parts", "evidence",
    "state_digest_before", "state_digest_after", "body_similarity", "title_before", "incident", "page_count",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Which changes to list. By default all of at least minor severity.

    `url` is a canonical URL, or a pattern with `*`. `edit` is the digest of one edit: every change with that edit is listed,
    whatever its severity. `kinds` also disables `min_severity`. Times are ISO 8601 in UTC; `until` is exclusive.
    """

    since: str | None = None
    until: str | None = None
    kinds: frozenset[str] = frozenset()
    min_severity: str = SEVERITIES[1]
    publisher: str | None = None
    url: str | None = None
    silent: bool = False
    publishers: PublisherResolver = field(default_factory=PublisherResolver)
    edit: bytes | None = None

    @property
    def severities(self) -> frozenset[str]:
        """Severities to list. Empty: any."""
        minimum = 0 if self.kinds or self.edit is not None else SEVERITIES.index(self.min_severity)
        return frozenset(SEVERITIES[minimum:]) if minimum else frozenset()

    def accepts(self, publisher: str, oid: str, url: str) -> bool:
        """Return whether an article passes the filters that SQL cannot apply: the publisher and the URL pattern."""
        return (self.url is None or fnmatchcase(url, self.url)) and (
            self.publisher is None or self.publishers.is_published_by(self.publisher, publisher, oid, url)
        )


LARGE_INCIDENT = 100
"""Pages above which the rest of a listed incident is skipped in SQL instead of being read."""
ChangeReader = Callable[..., Iterator[ClassifiedChange]]
"""`store.changes.list_latest` with the filter applied."""


@dataclass(frozen=True, slots=True)
class IncidentGrouping:
    """When one edit on many pages is an incident: on at least `min_pages`, with at most `max_gap_hours` between successive pages."""

    min_pages: int
    max_gap_hours: float


def list_changes(
    database: Database, criteria: ChangeFilter, grouping: IncidentGrouping | None = None, cursor: FeedCursor | None = None
) -> Iterator[dict[str, Any]]:
    """List changes, the latest first, as JSON objects. Reads lazily.

    With `grouping` an incident is listed once, by its latest change: `incident` is its id and `pages` its number of pages. A
    filter on one edit disables the grouping. With `cursor` the list continues after that position, without the incidents
    listed before it. A change that is not classified counts as severe, because nothing is known about it.
    """
    is_one_page = criteria.url is not None and "*" not in criteria.url
    page = store.pages.get_by_url(database, criteria.url) if criteria.url is not None and is_one_page else None
    if is_one_page and page is None:
        return
    has_row_filter = criteria.publisher is not None or (criteria.url is not None and page is None)
    read_changes = partial(
        store.changes.list_latest, database, since=criteria.since, until=criteria.until, page=page, kinds=criteria.kinds,
        severities=criteria.severities, silent=criteria.silent, edit_digest=criteria.edit,
        accepts=criteria.accepts if has_row_filter else None,
    )  # fmt: skip
    if grouping is None or criteria.edit is not None:
        yield from map(change_as_json, read_changes(cursor=cursor))
    else:
        yield from _list_grouped(_IncidentIndex(database, grouping, read_changes, cursor), read_changes, cursor)


def _list_grouped(incidents: _IncidentIndex, read_changes: ChangeReader, cursor: FeedCursor | None) -> Iterator[dict[str, Any]]:
    position, has_more = cursor, True
    while has_more:
        has_more = False
        for change in read_changes(cursor=position, excluded_incidents=[i for i in incidents.listed if i.page_count > LARGE_INCIDENT]):
            incident = incidents.find(change)
            if incident not in incidents.listed:
                yield change_as_json(change, incident)
            if incident is not None:
                incidents.listed.add(incident)
                if incident.page_count > LARGE_INCIDENT:  # start a query that excludes it
                    position, has_more = FeedCursor(change.at, change.url, change.state), True
                    break


class _IncidentIndex:
    """Incidents by edit, loaded when a change of the edit is read. `listed` are those already in the list, or before `cursor`."""

    def __init__(self, database: Database, grouping: IncidentGrouping, read_changes: ChangeReader, cursor: FeedCursor | None) -> None:
        self.listed: set[Incident] = set()
        self._database, self._grouping, self._read_changes, self._cursor = database, grouping, read_changes, cursor
        self._by_edit: dict[bytes, list[Incident]] = {}

    def find(self, change: ClassifiedChange) -> Incident | None:
        """Return the incident that a change is part of."""
        if change.edit_digest is None:
            return None
        if change.edit_digest not in self._by_edit:
            incidents = store.changes.incidents(self._database, change.edit_digest, self._grouping.min_pages, self._grouping.max_gap_hours)
            self._by_edit[change.edit_digest] = incidents
            self.listed.update(filter(self._is_before_cursor, incidents))
        return next((i for i in self._by_edit[change.edit_digest] if i.first_at <= change.at <= i.last_at), None)

    def _is_before_cursor(self, incident: Incident) -> bool:
        """Return whether a change of the incident that passes the filter precedes the cursor, so that an earlier page listed it."""
        if self._cursor is None or incident.last_at < self._cursor.at:
            return False
        earlier = self._read_changes(edit_digest=incident.edit_digest, end_cursor=self._cursor)
        return any(incident.first_at <= c.at <= incident.last_at for c in earlier)


def change_as_json(change: ClassifiedChange, incident: Incident | None = None) -> dict[str, Any]:
    """Return a change as JSON. With `incident` it represents all changes of that incident."""
    return {
        "url": change.url,
        "title": change.title,
        "publisher": change.publisher,
        "at": change.at,
        "previous_at": change.previous_at,
        "kind": change.kind,
        "severity": change.severity,
        "silent": bool(change.silent),
        "corrected": bool(change.corrected),
        "parts": json.loads(change.parts) if change.parts else [],
        "evidence": [dict(zip(("kind", "before", "after"), e, strict=True)) for e in json.loads(change.evidence or "[]")],
        "state_digest_before": f"{STATE_RECIPE}:{change.state_before.hex()}",
        "state_digest_after": f"{STATE_RECIPE}:{change.state.hex()}",
        "body_similarity": None if change.body_similarity is None else round(change.body_similarity, 4),
        "title_before": change.title_before,
        "fields": {name: {"before": before, "after": after} for name, (before, after) in json.loads(change.fields).items()},
        "incident": incident.edit_digest.hex() if incident else None,
        "page_count": incident.page_count if incident else 1,
    }


def describe_classification(change: dict[str, Any]) -> list[str]:
    """Return the classification of a change in words: kind and severity, then `silent` or `marked as a correction`."""
    kind = f"{change['kind']}, {change['severity']}" if change["kind"] else "not classified"
    return [kind, *(["silent"] if change["silent"] else []), *(["marked as a correction"] if change["corrected"] else [])]


def flatten_changes(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Return changes as flat rows for CSV."""
    for change in rows:
        evidence = "; ".join(f"{e['kind']}: {e['before']} → {e['after']}" for e in change["evidence"])
        yield {**change, "parts": " ".join(change["parts"]), "evidence": evidence}
