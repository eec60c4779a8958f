"""Who has the same text as a page, and which of its states they copied."""

from __future__ import annotations

from typing import Any

from dedup import store
from dedup.model import IDENTICAL, RELATIONS
from dedup.reports.duplicates import scores_as_json
from dedup.store import Database
from dedup.store.matches import RelatedState
from dedup.text import times

MAX_MATCHES = 2000
"""Matches of each sort that are looked at; one page has more only where thousands show its very text."""


def list_copies(database: Database, page: int, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """Other pages of which any state matches any state of this one, each by its closest: the best relation first, then by coverage and
    similarity; and whether there are more than `limit`. `revision` is this page's, `other_revision` the other one's; numbers as shown."""
    own_digests = [r.digest for r in store.revisions.of_page(database, page)]
    matches = store.matches.list_of_page(database, page, MAX_MATCHES)
    closest_by_page: dict[int, RelatedState] = {}
    for likeness in sorted(matches, key=closeness_key):
        if likeness.digest in own_digests:
            closest_by_page.setdefault(likeness.page_id, likeness)
    ranking = sorted(closest_by_page.values(), key=closeness_key)
    article = store.pages.current_articles(database, [page]).get(page)
    other_articles = store.pages.current_articles(database, [likeness.page_id for likeness in ranking[:limit]])
    rows = []
    for likeness in ranking[:limit]:
        other = other_articles[likeness.page_id]
        other_digests = [r.digest for r in store.revisions.of_page(database, likeness.page_id)]
        lag_seconds = None
        if article is not None and article.published_at and other.published_at:
            lag_seconds = times.seconds_between(article.published_at, other.published_at)
        match = likeness.match
        rows.append(
            {
                "url": other.url,
                "title": other.title,
                "publisher": other.publisher,
                "published_at": other.published_at,
                "crawled_at": other.crawled_at,
                **scores_as_json(match.relation if match else "exact", match.scores if match else IDENTICAL),
                "lag_seconds": lag_seconds,
                "revision": own_digests.index(likeness.digest) + 1,
                "other_revision": other_digests.index(likeness.other_digest) + 1 if likeness.other_digest in other_digests else None,
            }
        )
    return rows, len(ranking) > limit or len(matches) >= MAX_MATCHES


def closeness_key(likeness: RelatedState) -> tuple[int, float, float]:
    if likeness.match is None:
        return 0, -1.0, -1.0
    return RELATIONS.index(likeness.match.relation), -likeness.match.scores.coverage, -likeness.match.scores.similarity
