"""Full-text search: the revisions that match a query, and how much of the database the answer covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dedup.config import Settings
from dedup.errors import QueryError, SearchUnavailableError
from dedup.reports.history import STATE_RECIPE
from dedup.search import IndexCoverage, SearchHit, parse_query, pieces_to_text, search_revisions
from dedup.store import Database

_MAX_QUERY_CHARACTERS = 80
"""Characters of a query that are shown in an error."""


@dataclass(frozen=True, slots=True)
class FoundHits:
    """The most recently recorded hits of a query, whether there are more, and how many texts the index covers."""

    hits: list[SearchHit]
    has_more: bool
    coverage: IndexCoverage


def require_query(query_text: str) -> None:
    """Raise QueryError if a query is not valid."""
    if problem := parse_query(query_text).problem:
        raise QueryError(query=query_text[:_MAX_QUERY_CHARACTERS], problem=problem)


def find_hits(database: Database, settings: Settings, query_text: str, limit: int) -> FoundHits:
    """Return up to `limit` hits (at least 1). Raises QueryError, SearchUnavailableError."""
    require_query(query_text)
    hits: list[SearchHit] = []
    cursor = coverage = None
    while True:
        page = search_revisions(database, settings.publishers.build_publishers(), query_text, cursor, limit - len(hits))
        if page.problem:
            raise SearchUnavailableError(problem=page.problem)
        hits += page.hits
        coverage = coverage or page.coverage  # on later pages this reader may lag behind the index
        cursor = page.next_cursor
        if cursor is None or len(hits) == limit:
            return FoundHits(hits, cursor is not None, coverage)


def hit_as_json(hit: SearchHit) -> dict[str, Any]:
    """Return a hit as JSON."""
    return {
        "url": hit.url,
        "title": pieces_to_text(hit.title),
        "publisher": hit.publisher,
        "crawled_at": hit.crawled_at,
        "current": hit.current,
        "state_digest": f"{STATE_RECIPE}:{hit.state_digest.hex()}",
        "snippet": None if hit.snippet is None else [{"text": text, "found": is_hit} for text, is_hit in hit.snippet],
        "pruned_at": hit.pruned_at,
    }
