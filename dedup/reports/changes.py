"""Changes of all pages: a feed, with the same edit of many pages told once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from dedup.model import SEVERITIES
from dedup.publishers import Publishers
from dedup.reports.history import STATE_RECIPE
from dedup.store.feed import Feed, Incident
from dedup.store.rows import JudgedChange

CHANGE_COLUMNS = (
    "url", "title", "publisher", "at", "previous_at", "kind", "severity", "stealth", "corrected", "channels", "evidence", "from", "to",
    "body_similarity", "title_before", "incident", "pages",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes to tell of; the empty one tells of all but the trivial. `url` is a canonical URL or a pattern with `*`."""

    since: str | None = None
    until: str | None = None
    kinds: frozenset[str] = frozenset()
    min_severity: str = SEVERITIES[1]
    publisher: str | None = None
    url: str | None = None
    stealth: bool = False
    publishers: Publishers = field(default_factory=Publishers)

    def takes(self, change: JudgedChange) -> bool:
        """Whether a change is told of; one that was not judged counts as grave, since nothing is known of it."""
        severity = change.severity or SEVERITIES[-1]
        return (
            (not self.kinds or change.kind in self.kinds)
            and (bool(self.kinds) or SEVERITIES.index(severity) >= SEVERITIES.index(self.min_severity))
            and (not self.stealth or bool(change.stealth))
            and (self.url is None or fnmatchcase(change.url, self.url))
            and (self.publisher is None or self.publishers.is_by(self.publisher, change.publisher, change.oid, change.url))
        )


def changes(store: Feed, wanted: Wanted, incidents: list[Incident]) -> Iterator[dict[str, Any]]:
    """Changes, the latest first. One that is part of an incident stands for all of it: `pages` tells how many, `incident` which."""
    told: set[Incident] = set()
    by_edit: dict[bytes, list[Incident]] = {}
    for incident in incidents:
        by_edit.setdefault(incident.edit, []).append(incident)
    page = None if wanted.url is None or "*" in wanted.url else store.page_by_url(wanted.url)
    if page is None and wanted.url is not None and "*" not in wanted.url:
        return
    for change in store.judged(since=wanted.since, until=wanted.until, page=page):
        if not wanted.takes(change):
            continue
        part = next((i for i in by_edit.get(change.edit or b"", ()) if i.begin <= change.at <= i.end), None)
        if part in told:
            continue
        if part is not None:
            told.add(part)
        yield one_change(change, part)


def one_change(c: JudgedChange, incident: Incident | None = None) -> dict[str, Any]:
    """A change as every command shows it."""
    return {
        "url": c.url,
        "title": c.title,
        "publisher": c.publisher,
        "at": c.at,
        "previous_at": c.previous_at,
        "kind": c.kind,
        "severity": c.severity,
        "stealth": bool(c.stealth),
        "corrected": bool(c.corrected),
        "channels": json.loads(c.channels) if c.channels else [],
        "evidence": [dict(zip(("what", "before", "after"), e, strict=True)) for e in json.loads(c.evidence or "[]")],
        "from": f"{STATE_RECIPE}:{c.state_before.hex()}",
        "to": f"{STATE_RECIPE}:{c.state.hex()}",
        "body_similarity": None if c.body_similarity is None else round(c.body_similarity, 4),
        "title_before": c.title_before,
        "fields": {name: {"before": before, "after": after} for name, (before, after) in json.loads(c.fields).items()},
        "incident": incident.edit.hex() if incident else None,
        "pages": incident.pages if incident else 1,
    }


def flat_changes(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Changes as rows for CSV."""
    for change in found:
        evidence = "; ".join(f"{e['what']}: {e['before']} → {e['after']}" for e in change["evidence"])
        yield {**change, "channels": " ".join(change["channels"]), "evidence": evidence}
