"""One page: what it said and when, what was edited, who has the same text."""

from __future__ import annotations

from itertools import groupby, islice
from typing import Any

from markupsafe import Markup

from dedup import charts, reports, store
from dedup.model import SEVERITIES
from dedup.reports import STATE_RECIPE, ChangeFilter
from dedup.store import Database
from dedup.store.rows import RevisionRow, TimelineRow
from dedup.text import urls
from dedup.web.links import decode_cursor, encode_cursor, parse_digest
from dedup.web.render import Page, QueryParameters

MAX_CRAWLS, MAX_REVISIONS, MAX_CHANGES, MAX_COPIES = 200, 50, 50, 100
"""What is shown at once."""
MAX_TEXT_CHARACTERS = 20_000
"""Characters of a text that are shown."""


def view(database: Database, query: QueryParameters) -> Page:
    """The page that a URL in any spelling, or an article's id, stands for. `cursor` continues its sightings, `revisions_cursor` its
    revisions."""
    reference = query.text("url")
    if not reference:
        return Page("page.html", "Find a page", {"url": None}, {})
    cursor = decode_cursor(query.text("cursor"), str, str)
    revision_cursor = decode_cursor(query.text("revisions_cursor"), int)
    page = reports.find_page(database, query.settings.urls.build_canonicaliser(), reference, None)
    revisions = store.revisions.of_page(database, page)
    content, crawls = _page_content(database, page, revisions, cursor, revision_cursor[0] if revision_cursor else len(revisions) + 1)
    current = store.pages.current_state(database, page)
    current_number = next((n for n, r in enumerate(revisions, 1) if r.digest == current), None)
    body = None if current is None else store.revisions.body_of_state(database, page, current)
    context = {
        "chart": _chart(crawls, {r.id: n for n, r in enumerate(revisions, 1)}),
        "current_revision": current_number,
        "body": body and body[:MAX_TEXT_CHARACTERS],
        "is_truncated": bool(body) and len(body or "") > MAX_TEXT_CHARACTERS,
        "is_first_page": cursor is None and revision_cursor is None,
    }
    return Page("page.html", content["title"] or content["url"], content, context)


def _page_content(
    database: Database, page: int, revisions: list[RevisionRow], cursor: tuple[Any, ...] | None, before_number: int
) -> tuple[dict[str, Any], list[TimelineRow]]:
    url = store.pages.url(database, page)
    numbers = {r.id: n for n, r in enumerate(revisions, 1)}
    numbers_by_digest = {f"{STATE_RECIPE}:{r.digest.hex()}": n for n, r in enumerate(revisions, 1)}
    crawls = store.sightings.list_of_page(database, page, (cursor[0], parse_digest(cursor[1])) if cursor else None, MAX_CRAWLS + 1)
    sighting_groups = [list(rows) for _, rows in groupby(crawls, key=lambda r: r.sighting_id)]
    has_more = len(sighting_groups) > MAX_CRAWLS
    sighting_groups = sighting_groups[:MAX_CRAWLS]
    changes = list(islice(reports.list_changes(database, ChangeFilter(url=url, min_severity=SEVERITIES[0])), MAX_CHANGES + 1))
    copies, has_more_copies = reports.list_copies(database, page, MAX_COPIES)
    numbered_revisions = [(n, r) for n, r in enumerate(revisions, 1) if n < before_number][::-1]
    metadata, article = store.pages.current_metadata(database, page), store.pages.current_articles(database, [page]).get(page)
    content = {
        "url": url,
        "title": article.title if article else "",
        "publisher": article.publisher if article else "",
        "author": metadata.author if metadata else "",
        "category": metadata.category if metadata else "",
        "published_at": metadata.published_at if metadata else None,
        "id": metadata.id if metadata else None,
        "first_crawled_at": min((r.first_crawled_at for r in revisions), default=None),
        "last_crawled_at": max((r.last_crawled_at for r in revisions), default=None),
        "revision_count": len(revisions),
        "sighting_count": store.sightings.count_of_page(database, page),
        "aliases": sorted({urls.to_display_url(spelling) for spelling in store.pages.aliases(database, page)} - {url}),
        "revisions": [reports.revision_as_json(n, r) for n, r in numbered_revisions[:MAX_REVISIONS]],
        "next_revisions_cursor": (
            encode_cursor(numbered_revisions[MAX_REVISIONS - 1][0]) if len(numbered_revisions) > MAX_REVISIONS else None
        ),
        "changes": [
            {**c, "from_revision": numbers_by_digest.get(c["from"]), "to_revision": numbers_by_digest.get(c["to"])}
            for c in changes[:MAX_CHANGES]
        ],
        "has_more_changes": len(changes) > MAX_CHANGES,
        "copies": copies,
        "has_more_copies": has_more_copies,
        "crawls": [_crawl_as_json(rows, numbers) for rows in sighting_groups],
        "next_cursor": encode_cursor(sighting_groups[-1][0].crawled_at, sighting_groups[-1][0].digest.hex()) if has_more else None,
    }  # fmt: skip
    return content, [rows[0] for rows in sighting_groups]


def _crawl_as_json(rows: list[TimelineRow], numbers: dict[int, int]) -> dict[str, Any]:
    first = rows[0]
    return {
        "crawled_at": first.crawled_at,
        "revision": numbers.get(first.revision_id) if first.status == "counted" else None,
        "status": first.status,
        "crawled_at_source": first.crawled_at_source,
        "files": [{"path": r.path, "check": r.check_status, "cause": r.check_cause, "gone": r.is_gone} for r in rows],
    }


def _chart(crawls: list[TimelineRow], numbers: dict[int, int]) -> Markup:
    points = []
    for crawl in reversed(crawls):
        row = numbers.get(crawl.revision_id)
        is_counted = crawl.status == "counted"
        tooltip = f"revision {row or '–'}" + ("" if is_counted else f", {crawl.status}")
        points.append(charts.TimelinePoint(crawl.crawled_at, row or 1, tooltip, is_counted))
    title = "Which revision the page showed, by time of crawl"
    svg = charts.render_timeline(title, "The same is in the table of crawls below.", points, len(numbers) or 1)
    return Markup(svg)  # noqa: S704  it escapes
