"""Changes of all pages: a feed, with the same edit of many pages told once."""

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
    "url", "title", "publisher", "at", "previous_at", "kind", "severity", "silent", "corrected", "parts", "evidence", "from", "to",
    "body_similarity", "title_before", "incident", "pages",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """Which changes to tell of; the empty one tells of all but the trivial. `url` is a canonical URL or a pattern with `*`, `edit` one
    edit, as `incident` names it in hexadecimal digits: every page that has it, however trivial, by itself."""

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
        """Those that are grave enough; empty: any is."""
        minimum = 0 if self.kinds or self.edit is not None else SEVERITIES.index(self.min_severity)
        return frozenset(SEVERITIES[minimum:]) if minimum else frozenset()

    def accepts(self, publisher: str, oid: str, url: str) -> bool:
        """Whether changes of an article are told of, as far as the database cannot tell: whose it is, and whether its URL fits a
        pattern."""
        return (self.url is None or fnmatchcase(url, self.url)) and (
            self.publisher is None or self.publishers.is_published_by(self.publisher, publisher, oid, url)
        )


LARGE_INCIDENT = 100
"""Pages from which the rest of an incident that was told is not read."""


@dataclass(frozen=True, slots=True)
class IncidentGrouping:
    """The same edit of so many pages, no more than so many hours lying between one and the next, is one incident."""

    min_pages: int
    max_gap_hours: float


def list_changes(
    database: Database, criteria: ChangeFilter, grouping: IncidentGrouping | None = None, cursor: FeedCursor | None = None
) -> Iterator[dict[str, Any]]:
    """Changes, the latest first; one that was not judged counts as grave, since nothing is known of it. One that is part of an incident
    stands for all of it: `pages` tells how many, `incident` which. `cursor`: those that follow a spot, without incidents that were told
    before it. As many are read as are taken."""
    page = None if criteria.url is None or "*" in criteria.url else store.pages.get_by_url(database, criteria.url)
    if page is None and criteria.url is not None and "*" not in criteria.url:
        return
    has_row_filter = criteria.publisher is not None or (criteria.url is not None and page is None)
    read_changes = partial(
        store.changes.list_latest, database, since=criteria.since, until=criteria.until, page=page, kinds=criteria.kinds,
        severities=criteria.severities, silent=criteria.silent, edit_digest=criteria.edit,
        accepts=criteria.accepts if has_row_filter else None,
    )  # fmt: skip
    grouping = grouping if criteria.edit is None else None
    reported: set[Incident] = set()
    incidents_by_edit: dict[bytes, list[Incident]] = {}
    position, has_more = cursor, True
    while has_more:
        has_more = False
        for change in read_changes(cursor=position, excluded_incidents=[i for i in reported if i.page_count > LARGE_INCIDENT]):
            incident = None
            if grouping and change.edit_digest is not None:
                if change.edit_digest not in incidents_by_edit:
                    incidents_by_edit[change.edit_digest] = store.changes.incidents(
                        database, change.edit_digest, grouping.min_pages, grouping.max_gap_hours
                    )
                    reported.update(_incidents_before(read_changes, incidents_by_edit[change.edit_digest], cursor))
                incident = next((i for i in incidents_by_edit[change.edit_digest] if i.first_at <= change.at <= i.last_at), None)
            if incident not in reported:
                yield change_as_json(change, incident)
            if incident is not None:
                reported.add(incident)
                if incident.page_count > LARGE_INCIDENT:  # the database passes over the rest of it
                    position, has_more = FeedCursor(change.at, change.url, change.state), True
                    break


def _incidents_before(
    read_changes: Callable[..., Iterator[ClassifiedChange]], incidents: list[Incident], cursor: FeedCursor | None
) -> Iterator[Incident]:
    """Incidents of which a change that is wanted stands before the spot, where all of it was told."""
    for incident in incidents:
        if cursor is not None and incident.last_at >= cursor.at:
            earlier = read_changes(edit_digest=incident.edit_digest, end_cursor=cursor)
            if any(incident.first_at <= c.at <= incident.last_at for c in earlier):
                yield incident


def change_as_json(change: ClassifiedChange, incident: Incident | None = None) -> dict[str, Any]:
    """A change as every command shows it."""
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
        "from": f"{STATE_RECIPE}:{change.state_before.hex()}",
        "to": f"{STATE_RECIPE}:{change.state.hex()}",
        "body_similarity": None if change.body_similarity is None else round(change.body_similarity, 4),
        "title_before": change.title_before,
        "fields": {name: {"before": before, "after": after} for name, (before, after) in json.loads(change.fields).items()},
        "incident": incident.edit_digest.hex() if incident else None,
        "pages": incident.page_count if incident else 1,
    }


def describe_classification(change: dict[str, Any]) -> list[str]:
    """The classification of a change in words: kind and severity, then whether it is silent or marked as a correction."""
    kind = f"{change['kind']}, {change['severity']}" if change["kind"] else "not classified"
    return [kind, *(["silent"] if change["silent"] else []), *(["marked as a correction"] if change["corrected"] else [])]


def flatten_changes(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Changes as rows for CSV."""
    for change in rows:
        evidence = "; ".join(f"{e['kind']}: {e['before']} → {e['after']}" for e in change["evidence"])
        yield {**change, "parts": " ".join(change["parts"]), "evidence": evidence}
