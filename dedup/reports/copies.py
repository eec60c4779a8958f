"""Who has the same text as a page, and which of its states they copied."""

from __future__ import annotations

from typing import Any

from dedup import store
from dedup.model import ALIKE, RELATIONS
from dedup.reports.duplicates import told
from dedup.store import Database
from dedup.store.matches import Likeness
from dedup.text import times

LOOKED_AT = 2000
"""Matches of each sort that are looked at; one page has more only where thousands show its very text."""


def copies(database: Database, page: int, most: int) -> tuple[list[dict[str, Any]], bool]:
    """Other pages of which any state matches any state of this one, each by its closest: the best relation first, then by coverage and
    similarity; and whether there are more than `most`. `revision` is this page's, `other_revision` the other one's; numbers as shown."""
    own = [r.digest for r in store.revisions.of_page(database, page)]
    found = store.matches.list_of_page(database, page, LOOKED_AT)
    closest: dict[int, Likeness] = {}
    for likeness in sorted(found, key=_closeness):
        if likeness.own in own:
            closest.setdefault(likeness.page, likeness)
    chosen = sorted(closest.values(), key=_closeness)
    here = store.pages.current_articles(database, [page]).get(page)
    there = store.pages.current_articles(database, [likeness.page for likeness in chosen[:most]])
    rows = []
    for likeness in chosen[:most]:
        other = there[likeness.page]
        numbers = [r.digest for r in store.revisions.of_page(database, likeness.page)]
        lag = None
        if here is not None and here.published_at and other.published_at:
            lag = times.seconds_between(here.published_at, other.published_at)
        match = likeness.match
        rows.append(
            {
                "url": other.url,
                "title": other.title,
                "publisher": other.publisher,
                "published_at": other.published_at,
                "crawled_at": other.crawled_at,
                **told(match.relation if match else "exact", match.numbers if match else ALIKE),
                "lag_seconds": lag,
                "revision": own.index(likeness.own) + 1,
                "other_revision": numbers.index(likeness.other) + 1 if likeness.other in numbers else None,
            }
        )
    return rows, len(chosen) > most or len(found) >= LOOKED_AT


def _closeness(likeness: Likeness) -> tuple[int, float, float]:
    if likeness.match is None:
        return 0, -1.0, -1.0
    return RELATIONS.index(likeness.match.relation), -likeness.match.numbers.coverage, -likeness.match.numbers.similarity
