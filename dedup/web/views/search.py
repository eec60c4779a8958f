"""Search: which pages say something, now or in an earlier text."""

from __future__ import annotations

from typing import Any

from dedup.reports import STATE_RECIPE
from dedup.search import Hit, find, reach
from dedup.store import Database
from dedup.web.render import Answer, Asked

SHOWN = 30


def view(database: Database, asked: Asked) -> Answer:
    """Revisions that hold what is looked for, the last recorded first, and how far search reaches."""
    wanted = asked.text("q")
    if not wanted:
        far = reach(database)
        told: dict[str, Any] = {"q": "", "hits": [], "after": None, "reached": far.held, "texts": far.all}
        return Answer("search.html", "Search", told, {"begun": True, "index": asked.settings.search.index})
    before = asked.text("after") or None
    found = find(database, asked.settings.publishers.publishers(), wanted, before, SHOWN)
    told = {
        "q": wanted,
        "problem": found.problem or None,
        "hits": [_told(hit) for hit in found.hits],
        "after": found.next,
        "reached": found.reach.held,
        "texts": found.reach.all,
    }
    return Answer("search.html", f"{wanted} · Search", told, {"begun": before is None, "index": asked.settings.search.index})


def _told(hit: Hit) -> dict[str, Any]:
    return {
        "url": hit.url,
        "title": [list(piece) for piece in hit.title],
        "publisher": hit.publisher,
        "crawled_at": hit.crawled_at,
        "current": hit.current,
        "state": f"{STATE_RECIPE}:{hit.state.hex()}",
        "text": None if hit.text is None else [list(piece) for piece in hit.text],
        "pruned_at": hit.pruned_at,
    }
