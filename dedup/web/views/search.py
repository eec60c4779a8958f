"""Full-text search over current and earlier revisions."""

from __future__ import annotations

from typing import Any

from dedup.reports import STATE_RECIPE
from dedup.search import SearchHit, index_coverage, search_revisions
from dedup.store import Database
from dedup.web.render import Page, QueryParameters

PAGE_SIZE = 30
"""Hits on one page of the list."""


def view(database: Database, query: QueryParameters) -> Page:
    """List revisions that match the query, latest recorded first, with the coverage of the index."""
    query_text = query.text("q")
    if not query_text:
        coverage = index_coverage(database)
        content: dict[str, Any] = {"query": "", "hits": [], "next_cursor": None, "indexed": coverage.indexed, "total": coverage.total}
        return Page("search.html", "Search", content, {"is_first_page": True, "index": query.settings.search.index})
    cursor = query.text("cursor") or None
    result = search_revisions(database, query.settings.publishers.build_publishers(), query_text, cursor, PAGE_SIZE)
    content = {
        "query": query_text,
        "problem": result.problem or None,
        "hits": [_hit_as_json(hit) for hit in result.hits],
        "next_cursor": result.next_cursor,
        "indexed": result.coverage.indexed,
        "total": result.coverage.total,
    }
    return Page("search.html", f"{query_text} · Search", content, {"is_first_page": cursor is None, "index": query.settings.search.index})


def _hit_as_json(hit: SearchHit) -> dict[str, Any]:
    return {
        "url": hit.url,
        "title": [list(piece) for piece in hit.title],
        "publisher": hit.publisher,
        "crawled_at": hit.crawled_at,
        "current": hit.current,
        "state_digest": f"{STATE_RECIPE}:{hit.state_digest.hex()}",
        "snippet": None if hit.snippet is None else [list(piece) for piece in hit.snippet],
        "pruned_at": hit.pruned_at,
    }
