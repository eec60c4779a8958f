"""One page: its history, its changes and its copies on other pages."""

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
"""Rows that are shown at once, of each kind."""
MAX_TEXT_CHARACTERS = 20_000
"""Length to which the text is truncated."""


def view(database: Database, query: QueryParameters) -> Page:
    """Show the page that a URL in any spelling, or an article id, identifies.

    `cursor` continues the list of crawls, `revisions_cursor` that of revisions.
    """
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
    """Return the content of the page, and a row for each crawl that it lists."""
    url = store.pages.url(database, page)
    crawl_list, crawls = _list_crawls(database, page, revisions, cursor)
    copies, has_more_copies = reports.list_copies(database, page, MAX_COPIES)
    content = {
        "url": url,
        **_describe_article(database, page),
        "first_crawled_at": min((r.first_crawled_at for r in revisions), default=None),
        "last_crawled_at": max((r.last_crawled_at for r in revisions), default=None),
        "revision_count": len(revisions),
        "sighting_count": store.sightings.count_of_page(database, page),
        "aliases": sorted({urls.to_display_url(spelling) for spelling in store.pages.aliases(database, page)} - {url}),
        **_list_revisions(revisions, before_number),
        **_list_changes(database, url, revisions),
        "copies": copies,
        "has_more_copies": has_more_copies,
        **crawl_list,
    }
    return content, crawls


def _describe_article(database: Database, page: int) -> dict[str, Any]:
    metadata, article = store.pages.current_metadata(database, page), store.pages.current_articles(database, [page]).get(page)
    return {
        "title": article.title if article else "",
        "publisher": article.publisher if article else "",
        "author": metadata.author if metadata else "",
        "category": metadata.category if metadata else "",
        "published_at": metadata.published_at if metadata else None,
        "id": metadata.id if metadata else None,
    }


def _list_revisions(revisions: list[RevisionRow], before_number: int) -> dict[str, Any]:
    numbered = [(n, r) for n, r in enumerate(revisions, 1) if n < before_number][::-1]
    return {
        "revisions": [reports.revision_as_json(n, r) for n, r in numbered[:MAX_REVISIONS]],
        "next_revisions_cursor": encode_cursor(numbered[MAX_REVISIONS - 1][0]) if len(numbered) > MAX_REVISIONS else None,
    }


def _list_changes(database: Database, url: str, revisions: list[RevisionRow]) -> dict[str, Any]:
    numbers = {f"{STATE_RECIPE}:{r.digest.hex()}": n for n, r in enumerate(revisions, 1)}
    changes = list(islice(reports.list_changes(database, ChangeFilter(url=url, min_severity=SEVERITIES[0])), MAX_CHANGES + 1))
    return {
        "changes": [
            {**c, "from_revision": numbers.get(c["state_digest_before"]), "to_revision": numbers.get(c["state_digest_after"])}
            for c in changes[:MAX_CHANGES]
        ],
        "has_more_changes": len(changes) > MAX_CHANGES,
    }


def _list_crawls(
    database: Database, page: int, revisions: list[RevisionRow], cursor: tuple[Any, ...] | None
) -> tuple[dict[str, Any], list[TimelineRow]]:
    numbers = {r.id: n for n, r in enumerate(revisions, 1)}
    rows = store.sightings.list_of_page(database, page, (cursor[0], parse_digest(cursor[1])) if cursor else None, MAX_CRAWLS + 1)
    groups = [list(group) for _, group in groupby(rows, key=lambda r: r.sighting_id)]
    has_more = len(groups) > MAX_CRAWLS
    groups = groups[:MAX_CRAWLS]
    content = {
        "crawls": [_crawl_as_json(group, numbers) for group in groups],
        "next_cursor": encode_cursor(groups[-1][0].crawled_at, groups[-1][0].digest.hex()) if has_more else None,
    }
    return content, [group[0] for group in groups]


def _crawl_as_json(rows: list[TimelineRow], numbers: dict[int, int]) -> dict[str, Any]:
    first = rows[0]
    return {
        "crawled_at": first.crawled_at,
        "revision": numbers.get(first.revision_id) if first.status == "counted" else None,
        "status": first.status,
        "crawled_at_source": first.crawled_at_source,
        "files": [{"path": r.path, "check_status": r.check_status, "check_cause": r.check_cause, "gone": r.is_gone} for r in rows],
    }


def _chart(crawls: list[TimelineRow], numbers: dict[int, int]) -> Markup:
    points = []
    for crawl in reversed(crawls):
        row = numbers.get(crawl.revision_id)
        is_counted = crawl.status == "counted"
        tooltip = f"revision {row or '–'}" + ("" if is_counted else f", {crawl.status}")
        points.append(charts.TimelinePoint(crawl.crawled_at, row or 1, tooltip, is_counted))
    title = "Revision shown at each crawl"
    svg = charts.render_timeline(title, "The table of crawls below contains the same data.", points, len(numbers) or 1)
    return Markup(svg)  # noqa: S704  it escapes
