"""Checks of `content_hash`: what fits, what does not, and why."""

from __future__ import annotations

from collections import Counter
from typing import Any, get_args

from dedup import store
from dedup.model import MismatchCause
from dedup.similarity.clustering import CHECK_ORDER
from dedup.store import Database
from dedup.web.links import decode_cursor, encode_cursor
from dedup.web.render import Page, QueryParameters

PAGE_SIZE = 50
CAUSES = get_args(MismatchCause)


def view(database: Database, query: QueryParameters) -> Page:
    """What pages' current crawls claim, by publisher; and every crawl that claims what does not fit, the latest first."""
    cause = query.choice("cause", ("", *CAUSES), "") or None
    publisher = query.publisher("publisher")
    cursor = decode_cursor(query.text("cursor"), str, str)
    results = store.lists.mismatches(database, cause, publisher, (cursor[0], cursor[1]) if cursor else None, PAGE_SIZE + 1)
    rows = results[:PAGE_SIZE]
    counts = store.lists.checks_by_publisher(database)
    totals: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    by_publisher: dict[str, dict[str, int]] = {}
    for name, check, mismatch_cause, number in counts:
        totals[check] += number
        if mismatch_cause:
            causes[mismatch_cause] += number
        publisher_counts = by_publisher.setdefault(name, dict.fromkeys((*CHECK_ORDER, *CAUSES), 0))
        publisher_counts[check] += number
        if mismatch_cause:
            publisher_counts[mismatch_cause] += number
    worst = sorted((h for h in by_publisher.items() if h[1]["mismatched"]), key=lambda h: (-h[1]["mismatched"], h[0]))
    content: dict[str, Any] = {
        "filters": {name: value for name, value in (("cause", cause), ("publisher", publisher)) if value},
        "checks": {check: totals[check] for check in CHECK_ORDER},
        "causes": {mismatch_cause: causes[mismatch_cause] for mismatch_cause in CAUSES},
        "publishers": [{"publisher": name, **counts} for name, counts in worst],
        "mismatches": [row._asdict() for row in rows],
        "next_cursor": encode_cursor(rows[-1].crawled_at, rows[-1].url) if len(results) > PAGE_SIZE else None,
        "dirty_pages": store.statistics.count_unsummarised_pages(database),
    }
    return Page(
        "checks.html",
        "Checks",
        content,
        {"meanings": CAUSE_MEANINGS, "is_first_page": cursor is None, "cause": cause, "publisher": publisher or ""},
    )


CAUSE_MEANINGS = {
    "truncated": "the file ends in the middle of its text",
    "stale": "the text changed; the claim is that of an earlier revision",
    "altered": "the text is not what was claimed, and no earlier revision is either",
    "malformed": "what is claimed is no digest that could be made",
}
