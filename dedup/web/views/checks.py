"""Checks of `content_hash` by publisher, and the mismatched crawls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from dedup import store
from dedup.model import MismatchCause
from dedup.similarity.clustering import CHECK_ORDER
from dedup.store import Database
from dedup.web.links import decode_cursor, encode_cursor
from dedup.web.render import Page, QueryParameters

PAGE_SIZE = 50
"""Mismatched crawls on one page of the list."""
CAUSES = get_args(MismatchCause)


def view(database: Database, query: QueryParameters) -> Page:
    """Count the checks of the latest crawls by publisher, and list every mismatched crawl, newest first."""
    cause = query.choice("check_cause", ("", *CAUSES), "") or None
    publisher = query.publisher("publisher")
    cursor = decode_cursor(query.text("cursor"), str, str)
    results = store.lists.mismatches(database, cause, publisher, (cursor[0], cursor[1]) if cursor else None, PAGE_SIZE + 1)
    rows = results[:PAGE_SIZE]
    counts = _count_checks(store.lists.checks_by_publisher(database))
    content: dict[str, Any] = {
        "filters": {name: value for name, value in (("check_cause", cause), ("publisher", publisher)) if value},
        "checks": {check: counts.total[check] for check in CHECK_ORDER},
        "causes": {mismatch_cause: counts.total[mismatch_cause] for mismatch_cause in CAUSES},
        "publishers": counts.mismatched_publishers,
        "mismatches": [row._asdict() for row in rows],
        "next_cursor": encode_cursor(rows[-1].crawled_at, rows[-1].url) if len(results) > PAGE_SIZE else None,
        "dirty_pages": store.statistics.count_unsummarised_pages(database),
    }
    context = {"meanings": CAUSE_MEANINGS, "is_first_page": cursor is None, "cause": cause, "publisher": publisher or ""}
    return Page("checks.html", "Checks", content, context)


class _CheckCounts(NamedTuple):
    """Pages by check and cause: in total, and of each publisher with mismatched pages, those with the most first."""

    total: Counter[str]
    mismatched_publishers: list[dict[str, Any]]


def _count_checks(rows: Iterable[tuple[str, str, str | None, int]]) -> _CheckCounts:
    """Count rows of (publisher, check, cause, pages)."""
    total: Counter[str] = Counter()
    by_publisher: dict[str, dict[str, int]] = {}
    for publisher, check, cause, pages in rows:
        publisher_counts = by_publisher.setdefault(publisher, dict.fromkeys((*CHECK_ORDER, *CAUSES), 0))
        for key in (check, cause) if cause else (check,):
            total[key] += pages
            publisher_counts[key] += pages
    mismatched: list[dict[str, Any]] = [{"publisher": name, **counts} for name, counts in by_publisher.items() if counts["mismatched"]]
    return _CheckCounts(total, sorted(mismatched, key=lambda row: (-row["mismatched"], row["publisher"])))


CAUSE_MEANINGS = {
    "truncated": "the file ends early",
    "stale": "the digest is that of an earlier revision",
    "altered": "the body does not match the digest, nor does any earlier revision",
    "malformed": "the claim is not a valid digest",
}
