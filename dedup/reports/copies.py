"""Other pages with the text of a page, and which revision they match."""

from __future__ import annotations

from typing import Any

from dedup import store
from dedup.model import IDENTICAL
from dedup.reports.duplicates import match_closeness, scores_as_json
from dedup.store import Database
from dedup.store.matches import RelatedState
from dedup.text import times

MAX_MATCHES = 2000
"""Exact matches, and other matches, that are read per page. A page has more only if thousands of pages show its text."""


def list_copies(database: Database, page: int, limit: int) -> tuple[list[dict[str, Any]], bool]:
    """List the pages with a revision that matches a revision of `page`, each with its closest match, the closest page first.

    Closest means the best relation, then the highest coverage, then the highest similarity. In a row, `revision` is the
    revision number of `page` and `other_revision` that of the other page. Returns up to `limit` rows and whether there are
    more.
    """
    own_digests = [r.digest for r in store.revisions.of_page(database, page)]
    matches = store.matches.list_of_page(database, page, MAX_MATCHES)
    closest_by_page: dict[int, RelatedState] = {}
    for state in sorted(matches, key=_closeness):
        if state.digest in own_digests:
            closest_by_page.setdefault(state.page_id, state)
    ranking = sorted(closest_by_page.values(), key=_closeness)
    article = store.pages.current_articles(database, [page]).get(page)
    other_articles = store.pages.current_articles(database, [state.page_id for state in ranking[:limit]])
    rows = []
    for state in ranking[:limit]:
        other = other_articles[state.page_id]
        other_digests = [r.digest for r in store.revisions.of_page(database, state.page_id)]
        lag_seconds = None
        if article is not None and article.published_at and other.published_at:
            lag_seconds = times.seconds_between(article.published_at, other.published_at)
        match = state.match
        rows.append(
            {
                "url": other.url,
                "title": other.title,
                "publisher": other.publisher,
                "published_at": other.published_at,
                "crawled_at": other.crawled_at,
                **scores_as_json(match.relation if match else "exact", match.scores if match else IDENTICAL),
                "lag_seconds": lag_seconds,
                "revision": own_digests.index(state.digest) + 1,
                "other_revision": other_digests.index(state.other_digest) + 1 if state.other_digest in other_digests else None,
            }
        )
    return rows, len(ranking) > limit or len(matches) >= MAX_MATCHES


def _closeness(state: RelatedState) -> tuple[int, float, float]:
    return match_closeness(state.match)
