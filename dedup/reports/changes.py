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
from dedup.store.changes import Incident, Spot
from dedup.store.rows import JudgedChange
from dedup.text.publishers import Publishers

CHANGE_COLUMNS = (
    "url", "title", "publisher", "at", "previous_at", "kind", "severity", "stealth", "corrected", "channels", "evidence", "from", "to",
    "body_similarity", "title_before", "incident", "pages",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which changes to tell of; the empty one tells of all but the trivial. `url` is a canonical URL or a pattern with `*`, `edit` one
    edit, as `incident` names it in hexadecimal digits: every page that has it, however trivial, by itself."""

    since: str | None = None
    until: str | None = None
    kinds: frozenset[str] = frozenset()
    min_severity: str = SEVERITIES[1]
    publisher: str | None = None
    url: str | None = None
    stealth: bool = False
    publishers: Publishers = field(default_factory=Publishers)
    edit: bytes | None = None

    @property
    def severities(self) -> frozenset[str]:
        """Those that are grave enough; empty: any is."""
        least = 0 if self.kinds or self.edit is not None else SEVERITIES.index(self.min_severity)
        return frozenset(SEVERITIES[least:]) if least else frozenset()

    def takes(self, publisher: str, oid: str, url: str) -> bool:
        """Whether changes of an article are told of, as far as the database cannot tell: whose it is, and whether its URL fits a
        pattern."""
        return (self.url is None or fnmatchcase(url, self.url)) and (
            self.publisher is None or self.publishers.is_by(self.publisher, publisher, oid, url)
        )


LARGE = 100
"""Pages from which the rest of an incident that was told is not read."""


@dataclass(frozen=True, slots=True)
class Folding:
    """The same edit of so many pages, no more than so many hours lying between one and the next, is one incident."""

    pages: int
    hours: float


def changes(database: Database, wanted: Wanted, folding: Folding | None = None, after: Spot | None = None) -> Iterator[dict[str, Any]]:
    """Changes, the latest first; one that was not judged counts as grave, since nothing is known of it. One that is part of an incident
    stands for all of it: `pages` tells how many, `incident` which. `after`: those that follow a spot, without incidents that were told
    before it. As many are read as are taken."""
    page = None if wanted.url is None or "*" in wanted.url else store.pages.get_by_url(database, wanted.url)
    if page is None and wanted.url is not None and "*" not in wanted.url:
        return
    narrowed = wanted.publisher is not None or (wanted.url is not None and page is None)
    asked = partial(
        store.changes.list_latest, database, since=wanted.since, until=wanted.until, page=page, kinds=wanted.kinds, severities=wanted.severities,
        stealth=wanted.stealth, edit=wanted.edit, takes=wanted.takes if narrowed else None,
    )  # fmt: skip
    folding = folding if wanted.edit is None else None
    told: set[Incident] = set()
    by_edit: dict[bytes, list[Incident]] = {}
    spot, resumed = after, True
    while resumed:
        resumed = False
        for change in asked(after=spot, without=[i for i in told if i.pages > LARGE]):
            part = None
            if folding and change.edit is not None:
                if change.edit not in by_edit:
                    by_edit[change.edit] = store.changes.incidents(database, change.edit, folding.pages, folding.hours)
                    told.update(_told_before(asked, by_edit[change.edit], after))
                part = next((i for i in by_edit[change.edit] if i.begin <= change.at <= i.end), None)
            if part not in told:
                yield one_change(change, part)
            if part is not None:
                told.add(part)
                if part.pages > LARGE:  # the database passes over the rest of it
                    spot, resumed = Spot(change.at, change.url, change.state), True
                    break


def _told_before(asked: Callable[..., Iterator[JudgedChange]], incidents: list[Incident], after: Spot | None) -> Iterator[Incident]:
    """Incidents of which a change that is wanted stands before the spot, where all of it was told."""
    for incident in incidents:
        if after is not None and incident.end >= after.at:
            earlier = asked(edit=incident.edit, upto=after)
            if any(incident.begin <= c.at <= incident.end for c in earlier):
                yield incident


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


def in_words(change: dict[str, Any]) -> list[str]:
    """What a change was judged to be, for people: kind and severity, then whether it was owned up to."""
    kind = f"{change['kind']}, {change['severity']}" if change["kind"] else "not judged"
    return [kind, *(["stealth"] if change["stealth"] else []), *(["marked as a correction"] if change["corrected"] else [])]


def flat_changes(found: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Changes as rows for CSV."""
    for change in found:
        evidence = "; ".join(f"{e['what']}: {e['before']} → {e['after']}" for e in change["evidence"])
        yield {**change, "channels": " ".join(change["channels"]), "evidence": evidence}
